//! `POST /messages` with a message a line: a load of any length.

use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use hyper::Method;
use replog_tests::bench::usage;
use replog_tests::harness::{Answer, Cluster, Node, RawConnection, eventually};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{
    ALLOW_CLEAR, AT_ONCE, SOON, ends_within, health, member, refused, shown, wait_equal,
    wait_health, wait_status,
};

/// The most lines of a run, as the master has it.
const RUN_LINES: u64 = 4096;
const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");

/// Lines with the contents `from`, `from + 1`, …
fn lines(from: usize, count: usize) -> String {
    let mut lines = String::new();
    for i in from..from + count {
        let _ = writeln!(lines, r#"{{"content":"{i}"}}"#);
    }
    lines
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|i| i.to_string()).collect()
}

async fn load(
    node: &Node,
    path: &str,
    key: Option<&str>,
    lines: impl Into<Bytes>,
) -> Result<Answer> {
    let mut headers = vec![NDJSON];
    headers.extend(key.map(|key| ("idempotency-key", key)));
    let http = node.http().with_deadline(SOON * 2);
    http.request(Method::POST, path, &headers, lines.into())
        .await
}

/// A load whose lines are sent as the test likes.
async fn begin(node: &Node, path: &str, headers: &str) -> Result<RawConnection> {
    let mut client = RawConnection::open(node.addr()).await?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n{headers}Transfer-Encoding: chunked\r\n\r\n"
    );
    client.send(&head).await?;
    Ok(client)
}

/// One chunk of a body.
fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

async fn wait_last_seq(node: &Node, last: u64) -> Result<()> {
    eventually(
        &format!("entry {last} on {}", node.name()),
        SOON,
        async || {
            let health = health(node).await?;
            ensure!(health["last_seq"].as_u64() >= Some(last), "{health}");
            Ok(())
        },
    )
    .await
}

/// The problem that ended a load: its status, its first line that is not in the log, how many were appended, the log's end.
fn ended(answer: Answer, status: u16, line: u64, appended: u64, last_seq: u64) -> Result<Value> {
    let problem = refused(answer, status)?;
    for (field, value) in [
        ("line", line),
        ("appended", appended),
        ("last_seq", last_seq),
    ] {
        ensure!(problem[field] == value, "{field} of {problem}");
    }
    Ok(problem)
}

#[tokio::test]
async fn a_load_is_on_every_node_however_long_it_is() {
    let builder = Cluster::builder().secondaries(2).listed(true);
    builder
        .master_arg("--max-body-bytes", "1KiB")
        .run(async |cluster| {
            cluster.post("before", 3).await?.expect(200)?;
            let count = 100_000;
            let answer = load(
                &cluster.master,
                "/messages?w=3&expected_seq=2",
                None,
                lines(0, count),
            );
            let answer = answer.await?.expect(200)?.json()?;
            for (field, value) in [
                ("status", json!("replicated")),
                ("count", json!(count)),
                ("first_seq", json!(2)),
                ("last_seq", json!(count + 1)),
                ("duplicates", json!(0)),
                ("w", json!(3)),
                ("acks", json!(3)),
            ] {
                ensure!(answer[field] == value, "{field} of {answer}");
            }
            let health = health(&cluster.master).await?;
            ensure!(answer["log_id"] == health["log_id"] && answer["epoch"] == health["epoch"]);
            ensure!(wait_equal(cluster).await?[1..] == numbers(count));
            Ok(())
        })
        .await;
}

/// No run is sent before the one before it is held by `w` nodes, so a slow one is never further behind than one run.
#[tokio::test]
async fn a_slow_node_slows_a_load_and_one_run_is_on_its_way() {
    let builder = Cluster::builder().secondaries(2).listed(true);
    builder
        .secondary_args(2, ["--delay", "20ms"])
        .run(async |cluster| {
            cluster.post("before", 3).await?.expect(200)?;
            let count = 300_000;
            let loading = load(&cluster.master, "/messages?w=3", None, lines(0, count));
            let watching = async {
                loop {
                    let now = health(&cluster.master).await?;
                    ensure!(now["waiting"].as_u64() <= Some(1), "{now}");
                    for one in now["members"].as_array().context("members")? {
                        ensure!(one["lag"].as_u64() <= Some(RUN_LINES), "{now}");
                    }
                }
                #[expect(unreachable_code, reason = "it goes on until the load has ended")]
                Ok(())
            };
            let answer = tokio::select! {
                answer = loading => answer?.expect(200)?.json()?,
                failed = watching => return failed,
            };
            ensure!(answer["count"] == count && answer["acks"] == 3, "{answer}");
            ensure!(wait_equal(cluster).await?.len() == count + 1);
            Ok(())
        })
        .await;
}

/// A client that sends 60 MB meanwhile is kept from sending.
#[tokio::test]
async fn a_load_that_waits_takes_no_memory() {
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .run(async |cluster| {
            cluster.post("before", 2).await?.expect(200)?;
            let pid = usage::child_of(cluster.master.pid()).or(cluster.master.pid());
            let before = usage::memory_bytes(pid);
            cluster.secondary(1).stop().await?;
            let line = format!("{{\"content\":\"{}\"}}\n", "x".repeat(988));
            let count = 60_000;
            let loading = load(&cluster.master, "/messages?w=2", None, line.repeat(count));
            let watching = async {
                wait_health(&cluster.master, "waiting", 1).await?;
                wait_status(&cluster.master, "secondary1", "unhealthy").await?;
                let now = health(&cluster.master).await?;
                // 256 KiB are a run.
                let last_seq = now["last_seq"].as_u64().context("a position")?;
                ensure!((2..=1 + 270).contains(&last_seq), "{now}");
                if let (Some(before), Some(peak)) = (before, usage::peak_bytes(pid)) {
                    ensure!(peak < before + (20 << 20), "{before} became {peak} bytes");
                }
                cluster.secondary(1).resume()
            };
            let (answer, watched) = tokio::join!(loading, watching);
            watched?;
            ensure!(answer?.expect(200)?.json()?["count"] == count);
            ensure!(wait_equal(cluster).await?.len() == count + 1);
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn lines_are_appended_as_they_come_and_stay_when_the_client_is_gone() {
    let builder = Cluster::builder().secondaries(2).listed(true);
    builder
        .run(async |cluster| {
            let mut client = begin(&cluster.master, "/messages?w=3", "").await?;
            client
                .send(&chunk("{\"content\":\"0\"}\n{\"content\":"))
                .await?;
            wait_last_seq(cluster.secondary(2), 1).await?;
            client.send(&chunk("\"1\"}\n\n{\"content\":\"2")).await?;
            wait_last_seq(cluster.secondary(2), 2).await?;
            drop(client);
            cluster.post("after", 3).await?.expect(200)?;
            ensure!(wait_equal(cluster).await? == ["0", "1", "after"]);
            ensure!(health(&cluster.master).await?["waiting"] == 0);
            Ok(())
        })
        .await;
}

/// On disk: what was appended is known there alone, once the master has started again.
#[tokio::test]
async fn a_broken_load_is_simply_sent_again() {
    let builder = Cluster::builder().secondaries(1).listed(true).durable(true);
    builder
        .run(async |cluster| {
            let count = 20_000;
            let key = "Idempotency-Key: \"load 1\"\r\n";
            let mut client = begin(&cluster.master, "/messages?w=2", key).await?;
            client.send(&chunk(&lines(0, count / 2))).await?;
            wait_last_seq(&cluster.master, 1_000).await?;
            cluster.kill_nodes().await?;
            drop(client);
            cluster.start_nodes().await?;
            cluster.post("of somebody else", 2).await?.expect(200)?;
            let there = shown(&cluster.master).await?.len() - 1;
            ensure!(there >= 1_000);

            let again = async || {
                load(
                    &cluster.master,
                    "/messages?w=2",
                    Some("load 1"),
                    lines(0, count),
                )
                .await
            };
            let answer = again().await?.expect(200)?.json()?;
            ensure!(
                answer["count"] == count && answer["duplicates"] == there,
                "{answer}"
            );
            ensure!(
                answer["first_seq"] == 1 && answer["last_seq"] == count + 1,
                "{answer}"
            );
            let answer = again().await?.expect(200)?.json()?;
            ensure!(
                answer["duplicates"] == count && answer["last_seq"] == count + 1,
                "{answer}"
            );
            let mut contents = wait_equal(cluster).await?;
            ensure!(contents.remove(there) == "of somebody else");
            ensure!(contents == numbers(count));
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn an_export_goes_into_an_empty_log_unchanged() {
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .env(ALLOW_CLEAR.0, ALLOW_CLEAR.1)
        .run(async |cluster| {
            let http = cluster.master.http();
            let mut lines = lines(0, 1000);
            lines.push_str("{\"content\":\"\\u00e9 \\n \\\" 'x' \"}\n{\"content\":\"\"}\n");
            load(&cluster.master, "/messages", None, lines)
                .await?
                .expect(200)?;
            let list = async || anyhow::Ok(http.get("/messages").await?.expect(200)?.json()?);
            let before = list().await?;
            let messages = before["messages"].as_array().context("messages")?;
            let export: String = messages.iter().map(|m| format!("{m}\n")).collect();
            http.post("/clear", &json!({})).await?.expect(200)?;
            let answer = load(&cluster.master, "/messages", None, export.clone()).await?;
            let answer = answer.expect(200)?.json()?;
            ensure!(
                answer["count"] == 1002 && answer["duplicates"] == 0,
                "{answer}"
            );
            let mut after = list().await?;
            ensure!(after["log_id"] != before["log_id"]);
            for (before, after) in messages
                .iter()
                .zip(after["messages"].as_array_mut().into_iter().flatten())
            {
                after["epoch"] = before["epoch"].clone();
            }
            ensure!(after["messages"] == before["messages"]);
            wait_equal(cluster).await?;

            // It is there: again it is all duplicates. In part it fits nowhere else.
            let again = load(&cluster.master, "/messages", None, export.clone()).await?;
            ensure!(again.expect(200)?.json()?["duplicates"] == 1002);
            http.post("/clear", &json!({})).await?.expect(200)?;
            let (head, rest) =
                export.split_at(export.match_indices('\n').nth(9).context("ten lines")?.0 + 1);
            let answer = load(&cluster.master, "/messages", None, rest.to_owned()).await?;
            ended(answer, 412, 1, 0, 0)?;
            load(&cluster.master, "/messages", None, head.to_owned())
                .await?
                .expect(200)?;
            load(&cluster.master, "/messages", None, rest.to_owned())
                .await?
                .expect(200)?;
            ensure!(list().await?["last_seq"] == 1002);
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn a_wrong_line_ends_it_and_what_stands_before_it_stays() {
    let builder = Cluster::builder().secondaries(2).listed(true);
    builder
        .run(async |cluster| {
            let there =
                json!({"content": "there", "message_id": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"});
            cluster
                .master
                .http()
                .post("/messages", &there)
                .await?
                .expect(200)?;
            let large = json!({"content": "x".repeat(2 << 20)}).to_string();
            let other = json!({"content": "other", "message_id": there["message_id"]}).to_string();
            let mut last_seq = 1;
            for (wrong, status, part) in [
                ("content=x", 400, "JSON object"),
                (r#"{"content":"x","w":2}"#, 400, "no field"),
                (r#"{"content":"x""#, 400, "not JSON"),
                (&large, 413, "max_payload"),
                (&other, 422, "another content"),
                (r#"{"content":"x","seq":7}"#, 412, "seq 7"),
            ] {
                let text = format!("{}{wrong}\n{}", lines(0, 5000), lines(5000, 5000));
                let answer = load(&cluster.master, "/messages?w=3", None, text).await?;
                last_seq += 5000;
                let problem = ended(answer, status, 5001, 5000, last_seq)?;
                let detail = problem["detail"].as_str().unwrap_or_default();
                ensure!(detail.contains(part), "{part} in {detail}");
            }
            for (path, text, status) in [
                ("/messages", "", 400),
                ("/messages", "\n\n", 400),
                ("/messages?w=4", "{\"content\":\"x\"}\n", 400),
                ("/messages?expected_seq=1", "{\"content\":\"x\"}\n", 412),
            ] {
                let problem = refused(load(&cluster.master, path, None, text).await?, status)?;
                ensure!(
                    problem["appended"] == 0 && problem["last_seq"] == last_seq,
                    "{problem}"
                );
            }
            let mut expected = vec!["there".to_owned()];
            for _ in 0..6 {
                expected.extend(numbers(5000));
            }
            ensure!(wait_equal(cluster).await? == expected);
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn who_sends_nothing_more_is_waited_for_only_so_long() {
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .master_arg("--body-timeout", "300ms")
        .run(async |cluster| {
            let mut client = begin(&cluster.master, "/messages", "").await?;
            client.send(&chunk("{\"content\":\"0\"}\n{")).await?;
            let answer = client.read_until("}\n").await?;
            ensure!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
            ensure!(
                answer.contains(r#""line":2,"appended":1,"last_seq":1"#),
                "{answer}"
            );
            ensure!(wait_equal(cluster).await? == ["0"]);
            Ok(())
        })
        .await;
}

/// The client goes on sending meanwhile, and reads the answer all the same.
#[tokio::test]
async fn a_stop_ends_a_load_at_once() {
    let builder = Cluster::builder().secondaries(2).absent(2).listed(true);
    builder
        .run(async |cluster| {
            wait_status(&cluster.master, "secondary1", "healthy").await?;
            let mut sends = begin(&cluster.master, "/messages?w=2", "").await?;
            let mut waits = begin(&cluster.master, "/messages?w=3", "").await?;
            waits.send(&chunk("{\"content\":\"waits\"}\n")).await?;
            wait_health(&cluster.master, "waiting", 1).await?;
            sends.send(&chunk("{\"content\":\"sent\"}\n")).await?;
            wait_last_seq(cluster.secondary(1), 2).await?;
            let sending = async {
                let mut sent = 1_u64;
                while sends.send(&chunk(&lines(0, 10))).await.is_ok() {
                    sent += 10;
                }
                (sends.read_to_end().await, sent)
            };
            let ending = ends_within(&mut cluster.master, Signal::TERM, AT_ONCE);
            let ((answer, sent), end) = tokio::join!(sending, ending);
            end?;
            let answer = answer?;
            let is_stopping = answer.contains(r#""reason":"stopping""#);
            ensure!(is_stopping && answer.contains("\"line\":"), "{answer}");
            ensure!(
                answer.starts_with("HTTP/1.1 50"),
                "{answer} after {sent} lines"
            );
            let answer = waits.read_to_end().await?;
            ensure!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
            ensure!(answer.contains(r#""reason":"stopping""#), "{answer}");
            ensure!(answer.contains(r#""line":2,"appended":1"#), "{answer}");
            Ok(())
        })
        .await;
}

/// Two loads of the same lines at once, each line in the log once.
#[tokio::test]
async fn loads_at_the_same_time_do_not_disturb_each_other() {
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .run(async |cluster| {
            let load = async || {
                let answer =
                    load(&cluster.master, "/messages", Some("both"), lines(0, 20_000)).await?;
                let answer = answer.expect(200)?.json()?;
                answer["duplicates"].as_u64().context("a number")
            };
            let (one, two) = tokio::join!(load(), load());
            let twice = one? + two?;
            ensure!(twice == 20_000, "{twice} duplicates");
            let mut contents = wait_equal(cluster).await?;
            contents.sort_by_key(|content| content.parse::<usize>().ok());
            ensure!(contents == numbers(20_000));
            ensure!(member(&cluster.master, "secondary1").await?["lag"] == 0);
            Ok(())
        })
        .await;
}
