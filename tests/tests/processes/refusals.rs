//! What the master refuses, before anything is appended, and in which parts.

use anyhow::{Context, Result, ensure};
use hyper::Method;
use replog_tests::harness::{Answer, BrokerOptions, Cluster, Node};
use serde_json::{Value, json};

use crate::support::{refused, shown, wait_equal};

const ID: &str = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";

async fn post_raw(node: &Node, path: &str, body: &str) -> Result<Answer> {
    node.http()
        .request(Method::POST, path, &[], body.to_owned().into())
        .await
}

/// Each body is refused with 400 in parts that have the right one in them.
async fn all_bad(cluster: &Cluster, bodies: &[(&str, &str)]) -> Result<()> {
    for (body, part) in bodies {
        let problem = refused(post_raw(&cluster.master, "/messages", body).await?, 400);
        let problem = problem.with_context(|| format!("the answer to {body}"))?;
        let detail = problem["detail"].as_str().unwrap_or_default();
        ensure!(
            detail.contains(part),
            "no {part:?} in {detail:?}, the answer to {body}"
        );
    }
    ensure!(
        shown(&cluster.master).await?.is_empty(),
        "something was appended"
    );
    Ok(())
}

#[tokio::test]
async fn bodies_that_are_no_message() {
    let builder = Cluster::builder()
        .secondaries(2)
        .absent(1)
        .absent(2)
        .listed(true);
    builder
        .run(async |cluster| {
            let bodies = [
                ("", "object"),
                ("{", "not JSON"),
                (r#"{"content":"x","w":1"#, "not JSON"),
                (r#"{"content":"x","w":1} x"#, "not JSON"),
                ("content=x&w=1", "object"),
                (r#""x""#, "object"),
                ("null", "object"),
                (r#"{"w":1}"#, "content is missing"),
                (r#"{"content":null,"w":1}"#, "content is missing"),
                (r#"{"content":7,"w":1}"#, "content must be a string"),
                (r#"{"content":["x"],"w":1}"#, "content must be a string"),
                (r#"{"content":"\ud800","w":1}"#, "content must be a string"),
                (r#"{"content":"x","w":1,"timeout_ms":-1}"#, "timeout_ms"),
                (r#"{"content":"x","w":1,"timeout_ms":"1s"}"#, "timeout_ms"),
                (r#"{"content":"x","w":1,"expected_seq":0}"#, "expected_seq"),
                (r#"{"content":"x","w":1,"expected_seq":1.5}"#, "expected_seq"),
                (r#"{"content":"x","w":1,"message_id":"7"}"#, "UUID"),
                (r#"{"content":"x","w":1,"message_id":7}"#, "UUID"),
                (r#"{"content":"x","w":1,"message_id":""}"#, "UUID"),
                (r#"{"content":"x","w":1,"message_id":"{6ba7b810-9dad-11d1-80b4-00c04fd430c8}"}"#, "UUID"),
            ];
            all_bad(cluster, &bodies).await?;
            let too_long = "k".repeat(256);
            for key in ["", &too_long] {
                let headers = [("idempotency-key", key)];
                let body = r#"{"content":"x","w":1}"#.into();
                let http = cluster.master.http();
                refused(http.request(Method::POST, "/messages", &headers, body).await?, 400)?;
            }
            let headers = [("idempotency-key", "another")];
            let body = json!({"content": "x", "w": 1, "message_id": ID}).to_string().into();
            let http = cluster.master.http();
            let both = http.request(Method::POST, "/messages", &headers, body).await?;
            refused(both, 400)?;
            ensure!(shown(&cluster.master).await?.is_empty());
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn a_w_that_cannot_be() {
    let builder = Cluster::builder()
        .secondaries(2)
        .absent(1)
        .absent(2)
        .listed(true);
    builder
        .run(async |cluster| {
            let whole = "whole number from 1";
            let wrong = ["0", "-1", "1.0", "1.5", "1e0", "true", "[]", "{}"];
            let parts = [
                r#""two""#, r#""""#, r#""0""#, r#""-1""#, r#""+2""#, r#"" 2""#, r#""ALL""#,
            ];
            for w in wrong.into_iter().chain(parts) {
                all_bad(
                    cluster,
                    &[(&format!(r#"{{"content":"x","w":{w}}}"#), whole)],
                )
                .await?;
            }
            for w in ["4", r#""4""#, "4294967295", "99999999999"] {
                all_bad(
                    cluster,
                    &[(&format!(r#"{{"content":"x","w":{w}}}"#), "from 1 to 3")],
                )
                .await?;
            }
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn paths_methods_and_parameters() {
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .run(async |cluster| {
            cluster.post("one", 2).await?.expect(200)?;
            for node in cluster.nodes() {
                for (path, status) in [
                    ("/messages?from=0", 400),
                    ("/messages?from=-1", 400),
                    ("/messages?from=x", 400),
                    ("/messages?limit=0", 400),
                    ("/messages?limit=", 400),
                    ("/messages?wait=5", 400),
                    ("/messages/0", 400),
                    ("/messages/abc", 400),
                    ("/messages/1.0", 400),
                    ("/messages/-1", 400),
                    ("/messages/%FF", 400),
                    ("/messages/2", 404),
                    ("/messages/99999999999999999999999", 404),
                    ("/nothing", 404),
                    ("/messages/", 404),
                ] {
                    let problem = refused(node.http().get(path).await?, status);
                    problem.with_context(|| format!("GET {path} of {}", node.name()))?;
                }
                let http = node.http();
                let delete = http
                    .request(Method::DELETE, "/messages", &[], "".into())
                    .await?;
                let allowed = delete.header("allow").unwrap_or_default().to_owned();
                ensure!(allowed.contains("GET"), "{allowed:?}");
                let takes_posts = node.name() == "master";
                ensure!(allowed.contains("POST") == takes_posts, "{allowed:?}");
                refused(delete, 405)?;
                refused(node.http().get("/clear").await?, 405)?;
            }
            let master = cluster.master.http();
            let allowed = master
                .request(Method::PUT, "/messages", &[], "{}".into())
                .await?;
            ensure!(
                allowed.header("allow").is_some_and(|a| a.contains("POST")),
                "{allowed:?}"
            );
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn a_message_the_broker_would_not_take() {
    let broker = BrokerOptions::default().max_payload(8192);
    let builder = Cluster::builder()
        .secondaries(1)
        .listed(true)
        .broker(broker);
    builder
        .run(async |cluster| {
            // With its acknowledgement the broker has said what it takes.
            cluster.post("small", 2).await?.expect(200)?;
            let mut most = 0;
            for (path, field) in [("/messages", "content"), ("/append", "msg")] {
                let body = json!({field: "x".repeat(8192 - 1000), "w": 1});
                let problem = refused(cluster.master.http().post(path, &body).await?, 413)?;
                let detail = problem["detail"].as_str().unwrap_or_default();
                ensure!(detail.contains("max_payload"), "{detail}");
                let room = detail.rsplit(' ').next().unwrap_or_default();
                // The content as JSON has its two quotes.
                most = room.parse::<usize>().context("the last part is how many")? - 2;
            }
            // A message and its entry need 4 KiB beside the content: little of the usual 1 MiB, half of what is set here.
            ensure!(most > 8192 / 3, "too much is kept free: {most}");
            // The order of the checks: what cannot be waited for comes first.
            let both = json!({"content": "x".repeat(8192), "w": 3});
            refused(cluster.master.http().post("/messages", &both).await?, 400)?;
            // The largest that is taken gets through; the detail names it.
            cluster.post(&"x".repeat(most), 2).await?.expect(200)?;
            refused(cluster.post(&"x".repeat(most + 1), 2).await?, 413)?;
            cluster.post("after", 2).await?.expect(200)?;
            ensure!(wait_equal(cluster).await?.len() == 3);
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn another_position_and_another_content() {
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .run(async |cluster| {
            let post = async |body: Value| cluster.master.http().post("/messages", &body).await;
            let first = json!({"content": "one", "w": 2, "message_id": ID, "expected_seq": 1});
            post(first.clone()).await?.expect(200)?;
            let late = post(json!({"content": "late", "w": 2, "expected_seq": 1})).await?;
            ensure!(refused(late, 412)?["last_seq"] == 1);
            let early = post(json!({"content": "early", "w": 2, "expected_seq": 3})).await?;
            ensure!(refused(early, 412)?["last_seq"] == 1);
            let other = post(json!({"content": "two", "w": 2, "message_id": ID})).await?;
            ensure!(refused(other, 422)?["seq"] == 1);
            // The order of the checks: 400 before 413 before 422 before 412; a duplicate before all of the last.
            let both = json!({"content": "two", "message_id": ID, "expected_seq": 9});
            refused(post(both.clone()).await?, 422)?;
            refused(
                post(json!({"content": "two", "message_id": ID, "w": 3})).await?,
                400,
            )?;
            let again = post(first).await?.expect(200)?.json()?;
            ensure!(again["duplicate"] == true, "{again}");
            post(json!({"content": "two", "w": 2, "expected_seq": 2}))
                .await?
                .expect(200)?;
            ensure!(wait_equal(cluster).await? == ["one", "two"]);
            Ok(())
        })
        .await;
}
