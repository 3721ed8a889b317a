//! The id of a request: sent back, and found again in the logs of all nodes that have to do with it.

use anyhow::{Context, Result, ensure};
use hyper::Method;
use replog_tests::harness::{Answer, Cluster, Node, eventually};

use crate::support::SOON;
use crate::watch::Watch;

const ID: &str = "order-66/retry=1";

async fn ask(node: &Node, method: Method, path: &str, id: &str, body: &str) -> Result<Answer> {
    let headers = [("x-request-id", id)];
    let (http, body) = (node.http(), body.to_owned().into());
    http.request(method, path, &headers, body).await
}

fn id_of(answer: &Answer) -> Result<&str> {
    let id = answer.headers.get("x-request-id");
    Ok(id.with_context(|| format!("no id: {answer:?}"))?.to_str()?)
}

/// Waits for a line of the node's log that has all of these parts.
async fn wait_line(node: &Node, parts: &[&str]) -> Result<()> {
    eventually(
        &format!("{parts:?} in a line of {}", node.name()),
        SOON,
        async || {
            let log = node.log_tail(100_000);
            let has_all = |line: &str| parts.iter().all(|part| line.contains(part));
            ensure!(log.lines().any(has_all), "{}", node.log_tail(20));
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn a_request_is_found_by_its_id() {
    let builder = Cluster::builder()
        .secondaries(2)
        .listed(true)
        .env("RUST_LOG", "replog=debug");
    builder
        .run(async |cluster| {
            let mut watch = Watch::of(&cluster.broker).await?;
            let body = r#"{"content":"x","w":3}"#;
            let posted = ask(&cluster.master, Method::POST, "/messages", ID, body)
                .await?
                .expect(200)?;
            ensure!(id_of(&posted)? == ID, "{posted:?}");
            for id in ["batch-1", "load-1"] {
                let (path, body) = match id {
                    "batch-1" => ("/messages?w=3", r#"[{"content":"a"},{"content":"b"}]"#),
                    _ => ("/append", r#"{"msg":"c","w":3}"#),
                };
                let answer = ask(&cluster.master, Method::POST, path, id, body)
                    .await?
                    .expect(200)?;
                ensure!(id_of(&answer)? == id, "{answer:?}");
            }
            for node in [cluster.secondary(1), cluster.secondary(2)] {
                wait_line(node, &["append for a request", "first=1", "last=1", ID]).await?;
                wait_line(
                    node,
                    &["append for a request", "first=2", "last=3", "batch-1"],
                )
                .await?;
                wait_line(
                    node,
                    &["append for a request", "first=4", "last=4", "load-1"],
                )
                .await?;
            }
            let line = [
                "method=POST",
                "path=\"/messages\"",
                "status=200",
                ID,
                "client=127.0.0.1:",
            ];
            wait_line(&cluster.master, &line).await?;
            // Beside the entries, not in them.
            let seen = watch.until("append of the batch", |seen| {
                seen.is("append", "secondary1") && seen.json["seq"] == 3
            });
            let seen = seen.await?;
            let append = seen.last().context("an append")?;
            ensure!(
                append.json["request_ids"][0]["id"] == "batch-1",
                "{}",
                append.json
            );
            for node in cluster.nodes() {
                let log = node.http().get("/messages").await?.expect(200)?.body;
                ensure!(
                    !String::from_utf8_lossy(&log).contains("batch-1"),
                    "stored: {log:?}"
                );
            }
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn every_answer_has_an_id() {
    let builder = Cluster::builder().secondaries(1);
    builder
        .run(async |cluster| {
            for node in cluster.nodes() {
                for (method, path, status) in [
                    (Method::GET, "/livez", 200),
                    (Method::GET, "/messages", 200),
                    (Method::GET, "/nothing", 404),
                    (Method::DELETE, "/messages", 405),
                    (Method::POST, "/clear", 403),
                ] {
                    let sent = ask(node, method.clone(), path, ID, "")
                        .await?
                        .expect(status)?;
                    ensure!(id_of(&sent)? == ID, "{sent:?}");
                    // One that is none is not sent back.
                    let wrong = ask(node, method, path, "two words", "")
                        .await?
                        .expect(status)?;
                    let made = id_of(&wrong)?;
                    ensure!(made.len() == 25 && made.is_ascii(), "{made}");
                }
            }
            let one = cluster.master.http().get("/livez").await?;
            let other = cluster.master.http().get("/livez").await?;
            ensure!(id_of(&one)? != id_of(&other)?, "the same id twice");
            Ok(())
        })
        .await;
}
