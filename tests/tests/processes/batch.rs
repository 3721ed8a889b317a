//! `POST /messages` with an array: one append of many messages. And what holds for every append: parameters, keys, positions.

use anyhow::{Context, ensure};
use hyper::Method;
use replog_tests::harness::{BrokerOptions, Cluster};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{all_ok, refused, shown, wait_equal, wait_status};

fn id(n: u128) -> String {
    Uuid::from_u128(n).to_string()
}

/// Messages `<name> 0`, `<name> 1`, …
fn named(name: &str, count: usize) -> Value {
    (0..count)
        .map(|i| json!({"content": format!("{name} {i}")}))
        .collect()
}

#[tokio::test]
async fn a_batch_is_never_mixed_with_anything() {
    let builder = Cluster::builder().secondaries(2).listed(true);
    builder
        .run(async |cluster| {
            let http = cluster.master.http();
            let mut pending = Vec::new();
            for b in 0..20 {
                let batch = named(&format!("batch {b}:"), 50);
                pending.push(http.post_pending("/messages?w=3", &batch));
                pending.push(cluster.post_pending("single", 1));
            }
            let answers = all_ok(pending).await?;
            let contents = wait_equal(cluster).await?;
            ensure!(contents.len() == 20 * 51, "{}", contents.len());
            for answer in answers.iter().filter(|a| a["count"].is_u64()) {
                let seq = |field: &str| answer[field].as_u64().context("a position");
                let (first, last) = (seq("first_seq")?, seq("last_seq")?);
                ensure!(last - first == 49 && answer["acks"] == 3, "{answer}");
                ensure!(
                    answer["status"] == "replicated" && answer["w"] == 3,
                    "{answer}"
                );
                let begin = usize::try_from(first)? - 1;
                let (name, _) = contents[begin].rsplit_once(' ').context("a name")?;
                for (i, content) in contents[begin..begin + 50].iter().enumerate() {
                    ensure!(*content == format!("{name} {i}"), "{content} in {name}");
                }
            }
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn a_batch_that_is_there_is_a_duplicate_and_one_in_part_is_refused() {
    let builder = Cluster::builder().secondaries(1).listed(true).durable(true);
    builder
        .run(async |cluster| {
            let batch = |ids: &[u128]| -> Value {
                let message = |n: &u128| json!({"content": n.to_string(), "message_id": id(*n)});
                ids.iter().map(message).collect()
            };
            let http = cluster.master.http();
            let first = http
                .post("/messages", &batch(&[1, 2, 3]))
                .await?
                .expect(200)?;
            ensure!(first.json()?["duplicate"] == false);
            // Also where the ids are known to the disk alone.
            for round in 0..2 {
                let path = "/messages?expected_seq=77";
                let again = http
                    .post(path, &batch(&[1, 2, 3]))
                    .await?
                    .expect(200)?
                    .json()?;
                ensure!(
                    again["duplicate"] == true && again["first_seq"] == 1,
                    "{again}"
                );
                ensure!(again["last_seq"] == 3 && again["count"] == 3, "{again}");
                for ids in [&[3, 4][..], &[4, 1], &[2, 1], &[1, 3], &[5, 5]] {
                    let path = "/messages?expected_seq=77";
                    refused(http.post(path, &batch(ids)).await?, 422)?;
                }
                let other = json!([{"content": "x"}, {"content": "other", "message_id": id(2)}]);
                refused(http.post("/messages", &other).await?, 422)?;
                let late = http
                    .post("/messages?expected_seq=77", &batch(&[8, 9]))
                    .await?;
                ensure!(refused(late, 412)?["last_seq"] == 3);
                ensure!(shown(&cluster.master).await?.len() == 3, "round {round}");
                cluster.kill_nodes().await?;
                cluster.start_nodes().await?;
            }
            let path = "/messages?expected_seq=4";
            http.post(path, &batch(&[8, 9])).await?.expect(200)?;
            ensure!(wait_equal(cluster).await? == ["1", "2", "3", "8", "9"]);
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn what_is_no_batch_is_refused_before_anything_is_appended() {
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .run(async |cluster| {
            let http = cluster.master.http();
            let post = async |path: &str, headers: &[(&str, &str)], body: &str| {
                let body = body.to_owned().into();
                http.request(Method::POST, path, headers, body).await
            };
            for (path, body, part) in [
                ("/messages", "[]", "empty"),
                ("/messages", " [ {\"content\":\"a\"}", "not JSON"),
                (
                    "/messages",
                    r#"[{"content":"a"},{"content":"b","w":1}]"#,
                    "element [1]",
                ),
                (
                    "/messages",
                    r#"[{"content":"a","timeout_ms":1}]"#,
                    "timeout_ms",
                ),
                ("/messages", r#"[{"content":"a"},7]"#, "element [1]"),
                ("/messages?w=3", r#"[{"content":"a"}]"#, "from 1 to 2"),
                (
                    "/messages?w=x",
                    r#"[{"content":"a"}]"#,
                    "whole number from 1",
                ),
                ("/messages?w=1&w=1", r#"[{"content":"a"}]"#, "given twice"),
                (
                    "/messages?expected=1",
                    r#"[{"content":"a"}]"#,
                    "expected_seq",
                ),
            ] {
                let problem = refused(post(path, &[], body).await?, 400)?;
                let detail = problem["detail"].as_str().unwrap_or_default();
                ensure!(detail.contains(part), "{part} in {detail}");
            }
            let key = [("idempotency-key", "a")];
            refused(post("/messages", &key, r#"[{"content":"a"}]"#).await?, 400)?;
            refused(post("/append", &[], r#"[{"content":"a"}]"#).await?, 400)?;
            ensure!(shown(&cluster.master).await?.is_empty());
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn a_batch_may_be_larger_than_what_the_broker_takes_at_once() {
    let broker = BrokerOptions::default().max_payload(8192);
    let builder = Cluster::builder().secondaries(2).listed(true).durable(true);
    builder
        .broker(broker)
        .run(async |cluster| {
            cluster.post("first", 3).await?.expect(200)?;
            let batch: Value = (0..100)
                .map(|i| json!({"content": format!("{i} {}", "x".repeat(1000))}))
                .collect();
            let answer = cluster
                .master
                .http()
                .post("/messages?w=all", &batch)
                .await?;
            let answer = answer.expect(200)?.json()?;
            ensure!(answer["last_seq"] == 101 && answer["acks"] == 3, "{answer}");
            ensure!(wait_equal(cluster).await?.len() == 101);
            let one = json!([{"content": "a"}, {"content": "x".repeat(8192)}]);
            refused(cluster.master.http().post("/messages", &one).await?, 413)?;
            ensure!(wait_equal(cluster).await?.len() == 101);
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn a_batch_waits_as_a_whole() {
    let builder = Cluster::builder().secondaries(2).absent(2).listed(true);
    builder
        .run(async |cluster| {
            wait_status(&cluster.master, "secondary1", "healthy").await?;
            let http = cluster.master.http();
            let path = "/messages?w=3&timeout_ms=100";
            let late = refused(http.post(path, &named("a", 3)).await?, 504)?;
            ensure!(
                late["reason"] == "timeout" && late["in_log"] == true,
                "{late}"
            );
            ensure!(late["first_seq"] == 1 && late["last_seq"] == 3, "{late}");
            ensure!(
                late["count"] == 3 && late["acks"] == 2 && late["w"] == 3,
                "{late}"
            );
            let waits = http.post_pending("/messages?w=3", &named("b", 3));
            http.post("/messages?w=2", &named("c", 3))
                .await?
                .expect(200)?;
            ensure!(waits.is_pending());
            cluster.start_secondary(2).await?;
            waits.answer().await?.expect(200)?;
            ensure!(wait_equal(cluster).await?.len() == 9);
            Ok(())
        })
        .await;
}

/// Each spelling says the same, and two that differ are refused.
#[tokio::test]
async fn parameters_and_keys_are_other_spellings() {
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .run(async |cluster| {
            let http = cluster.master.http();
            let post = async |path: &str, headers: &[(&str, &str)], body: &str| {
                let body = body.to_owned().into();
                http.request(Method::POST, path, headers, body).await
            };
            let one = r#"{"content":"one"}"#;
            let answer = post("/messages?w=1&timeout_ms=9000&expected_seq=1", &[], one).await?;
            ensure!(
                answer.header("location") == Some("/messages/1"),
                "{answer:?}"
            );
            let answer = answer.expect(200)?.json()?;
            ensure!(answer["w"] == 1 && answer["seq"] == 1, "{answer}");
            let both = r#"{"content":"x","w":1,"timeout_ms":5,"expected_seq":9}"#;
            for path in [
                "/messages?w=2",
                "/messages?timeout_ms=6",
                "/messages?expected_seq=8",
                "/messages?w=1&w=2",
            ] {
                refused(post(path, &[], both).await?, 400)?;
            }
            let late = post("/messages?w=1&timeout_ms=5&expected_seq=9", &[], both).await?;
            ensure!(refused(late, 412)?["last_seq"] == 1);

            let key = |value| [("Idempotency-Key", value)];
            let msg = r#"{"msg":"two"}"#;
            let line = "Appended 01 \"two\" to the log list\n";
            for value in ["order \\ 66", r#""order \\ 66""#] {
                let answer = post("/append", &key(value), msg).await?.expect(200)?;
                ensure!(answer.text() == line, "{}", answer.text());
                let answer = post("/messages", &key(value), r#"{"content":"two"}"#).await?;
                let answer = answer.expect(200)?.json()?;
                ensure!(
                    answer["duplicate"] == true && answer["seq"] == 2,
                    "{answer}"
                );
            }
            let mine = format!(
                r#"{{"msg":"three","message_id":"{}","timeout_ms":9000}}"#,
                id(3)
            );
            for _ in 0..2 {
                let answer = post("/append?w=2", &[], &mine).await?.expect(200)?;
                ensure!(
                    answer.text().starts_with("Appended 02 "),
                    "{}",
                    answer.text()
                );
            }
            for path in ["/messages", "/append"] {
                let body = match path {
                    "/append" => msg,
                    _ => one,
                };
                for wrong in ["", "\"\"", "\"a", r#""a"b"#] {
                    refused(post(path, &key(wrong), body).await?, 400)?;
                }
                let two = [("Idempotency-Key", "a"), ("Idempotency-Key", "\"b\"")];
                refused(post(path, &two, body).await?, 400)?;
            }
            refused(post("/append", &key("other"), &mine).await?, 400)?;
            ensure!(wait_equal(cluster).await? == ["one", "two", "three"]);
            Ok(())
        })
        .await;
}
