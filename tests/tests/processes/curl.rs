//! Second lab report, curl line by curl line: what it sends, and what it prints.

use anyhow::{Context, Result, ensure};
use hyper::Method;
use replog_tests::harness::{Answer, Cluster, Node};
use serde_json::json;

use crate::support::{refused, wait_equal, wait_status};

/// `curl -d BODY ADDR/append`: a form by its header, JSON by its content.
async fn curl(node: &Node, body: &str) -> Result<Answer> {
    let form = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("accept", "*/*"),
    ];
    let body = body.to_owned().into();
    node.http()
        .request(Method::POST, "/append", &form, body)
        .await
}

async fn list(node: &Node) -> Result<String> {
    let answer = node.http().get("/list").await?.expect(200)?;
    let kind = answer.header("content-type").context("a type")?;
    ensure!(kind.starts_with("text/plain"), "{kind}");
    Ok(answer.text())
}

#[tokio::test]
async fn the_session_of_the_report() {
    let builder = Cluster::builder().secondaries(2).absent(2).listed(true);
    builder
        .run(async |cluster| {
            wait_status(&cluster.master, "secondary1", "healthy").await?;
            ensure!(
                list(&cluster.master).await?.is_empty(),
                "an empty list is empty"
            );
            let said = curl(&cluster.master, r#"{"msg":"hello","w":1}"#)
                .await?
                .expect(200)?;
            ensure!(
                said.text() == "Appended 00 \"hello\" to the log list\n",
                "{}",
                said.text()
            );
            let said = curl(&cluster.master, r#"{"msg":"two","w":2}"#)
                .await?
                .expect(200)?;
            ensure!(
                said.text() == "Appended 01 \"two\" to the log list\n",
                "{}",
                said.text()
            );
            let expected = "(0, 'hello')\n(1, 'two')\n";
            for node in [&cluster.master, cluster.secondary(1)] {
                ensure!(list(node).await? == expected, "{}", node.name());
            }

            let http = cluster.master.http();
            let third = http.post_pending("/append", &json!({"msg": "three", "w": 3}));
            cluster
                .wait_messages(cluster.secondary(1), &["hello", "two", "three"])
                .await?;
            let given_up = http.post_pending("/append", &json!({"msg": "Ctrl-C", "w": 3}));
            let four = ["hello", "two", "three", "Ctrl-C"];
            cluster.wait_messages(cluster.secondary(1), &four).await?;
            ensure!(third.is_pending() && given_up.is_pending());
            given_up.hang_up().await;
            ensure!(third.is_pending());
            cluster.start_secondary(2).await?;
            let said = third.answer().await?.expect(200)?.text();
            ensure!(said == "Appended 02 \"three\" to the log list\n", "{said}");
            ensure!(wait_equal(cluster).await? == four);
            let expected = "(0, 'hello')\n(1, 'two')\n(2, 'three')\n(3, 'Ctrl-C')\n";
            for node in cluster.nodes() {
                ensure!(list(node).await? == expected, "{}", node.name());
            }
            Ok(())
        })
        .await;
}

/// Left: the message as JSON. Right: what CPython 3.11 prints for the string.
const PRINTED: [(&str, &str); 14] = [
    (r#""""#, "''"),
    (r#""it's""#, r#""it's""#),
    (r#""say \"hi\"""#, r#"'say "hi"'"#),
    (r#""both ' and \"""#, r#"'both \' and "'"#),
    (r#""back\\slash""#, r"'back\\slash'"),
    (r#""two\nlines\r\ttab""#, r"'two\nlines\r\ttab'"),
    (r#""\u0000\u001b\u007f""#, r"'\x00\x1b\x7f'"),
    ("\"привіт 漢字\"", "'привіт 漢字'"),
    ("\"😀 👩‍👩‍👧\"", r"'😀 👩\u200d👩\u200d👧'"),
    (r#""\ud83d\ude00 \u00e9""#, "'😀 é'"),
    (r#""e\u0301""#, "'e\u{301}'"),
    (r#""\u00a0\u2028\ufeff\ue000""#, r"'\xa0\u2028\ufeff\ue000'"),
    (r#""\udbff\udfff""#, r"'\U0010ffff'"),
    (
        r#""<b>&amp;</b> %s {} $(id)""#,
        "'<b>&amp;</b> %s {} $(id)'",
    ),
];

#[tokio::test]
async fn the_list_prints_as_python_does_on_every_node() {
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .run(async |cluster| {
            let mut expected = String::new();
            for (i, (json, printed)) in PRINTED.iter().enumerate() {
                let body = format!(r#"{{"msg":{json},"w":2}}"#);
                curl(&cluster.master, &body).await?.expect(200)?;
                expected.push_str(&format!("({i}, {printed})\n"));
            }
            for node in cluster.nodes() {
                let printed = list(node).await?;
                ensure!(printed == expected, "{}: {printed}", node.name());
            }
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn what_is_no_append_is_refused() {
    let builder = Cluster::builder().secondaries(1).absent(1).listed(true);
    builder
        .run(async |cluster| {
            for body in ["", "msg=hello", "[]", "{}", r#"{"content":"hello","w":1}"#] {
                refused(curl(&cluster.master, body).await?, 400)?;
            }
            for w in ["0", "3", "1.0", "true", "\"x\""] {
                let body = format!(r#"{{"msg":"hello","w":{w}}}"#);
                refused(curl(&cluster.master, &body).await?, 400)?;
            }
            ensure!(list(&cluster.master).await?.is_empty());
            Ok(())
        })
        .await;
}
