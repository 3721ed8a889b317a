//! What every node shows, and what only a secondary answers.

use anyhow::{Context, Result, ensure};
use hyper::Method;
use replog_tests::harness::{Cluster, Node};
use serde_json::{Value, json};

use crate::support::{ALLOW_FAULTS, acks_after, health, refused, wait_equal, wait_health};

async fn seqs(node: &Node, query: &str) -> Result<Vec<u64>> {
    let list = node
        .http()
        .get(&format!("/messages{query}"))
        .await?
        .expect(200)?
        .json()?;
    ensure!(list["last_seq"] == 5, "whatever the limit: {list}");
    let messages = list["messages"].as_array().context("messages")?;
    messages
        .iter()
        .map(|one| one["seq"].as_u64().context("seq"))
        .collect()
}

#[tokio::test]
async fn ranges_and_single_entries() {
    let builder = Cluster::builder().secondaries(2).absent(2).listed(true);
    builder
        .run(async |cluster| {
            for i in 1..=5 {
                cluster
                    .post(&format!("message {i}"), 2)
                    .await?
                    .expect(200)?;
            }
            for node in [&cluster.master, cluster.secondary(1)] {
                let whole = [1, 2, 3, 4, 5];
                ensure!(seqs(node, "").await? == whole && seqs(node, "?limit=9").await? == whole);
                ensure!(seqs(node, "?from=4").await? == [4, 5]);
                ensure!(seqs(node, "?limit=2").await? == [1, 2]);
                ensure!(seqs(node, "?from=2&limit=3").await? == [2, 3, 4]);
                ensure!(seqs(node, "?from=6").await?.is_empty());
                ensure!(
                    seqs(node, "?from=18446744073709551615&limit=9")
                        .await?
                        .is_empty()
                );
                let one = node.http().get("/messages/3").await?.expect(200)?.json()?;
                ensure!(one["seq"] == 3 && one["content"] == "message 3", "{one}");
                ensure!(one["message_id"].is_string() && one["epoch"] == 1, "{one}");
            }
            let answer = cluster.master.http().get("/messages/5").await?;
            let answer = answer.expect(200)?;
            ensure!(answer.header("replog-log-id").is_some());
            let one = answer.json()?;
            ensure!(
                one["acks"] == 2 && one["acked_by"] == json!(["master", "secondary1"]),
                "{one}"
            );
            cluster.kill_secondary(1).await?;
            cluster.post("alone", 1).await?.expect(200)?;
            let one = cluster
                .master
                .http()
                .get("/messages/6")
                .await?
                .expect(200)?
                .json()?;
            ensure!(
                one["acks"] == 1 && one["acked_by"] == json!(["master"]),
                "{one}"
            );
            let health = health(&cluster.master).await?;
            ensure!(
                health["last_seq"] == 6 && health["status"] == "ok",
                "{health}"
            );
            ensure!(health["members"][1]["status"] == "unknown", "{health}");
            ensure!(health["quorum"]["needed"] == 2, "{health}");
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn any_string_is_the_same_on_every_node() {
    let builder = Cluster::builder().secondaries(2).listed(true);
    builder
        .run(async |cluster| {
            let mut sent: Vec<String> = [
                "",
                " ",
                "привіт",
                "漢字かな",
                "😀👩‍👩‍👧🏳️‍🌈",
                "e\u{301}\u{200f}\u{202e}",
            ]
            .map(Into::into)
            .into();
            sent.extend(
                [
                    "\0\u{1}\u{1f}\u{7f}\u{80}",
                    "\"\\/\n\r\t\u{8}\u{c}",
                    "\u{feff}\u{ffff}\u{10ffff}",
                ]
                .map(Into::into),
            );
            sent.extend(
                [
                    "{\"kind\":\"append\"}",
                    "]}],\"tail\":9",
                    "</script>'; DROP TABLE log;--",
                ]
                .map(Into::into),
            );
            sent.push("long ".repeat(40_000));
            // Every scalar value of the first planes' beginnings, in one string.
            sent.push((0..0x3000).filter_map(char::from_u32).collect());
            for content in &sent {
                let answer = cluster.post(content, 3).await?.expect(200)?.json()?;
                ensure!(answer["content"] == content.as_str());
            }
            ensure!(wait_equal(cluster).await? == sent);
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn a_secondary_takes_no_appends_and_names_who_does() {
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .run(async |cluster| {
            let http = cluster.secondary(1).http();
            for path in ["/messages", "/append"] {
                let answer = http
                    .post(path, &json!({"content": "x", "msg": "x", "w": 1}))
                    .await?;
                let detail = refused(answer, 405)?["detail"].to_string();
                ensure!(detail.contains("master"), "{detail}");
            }
            for method in [Method::GET, Method::PUT] {
                let answer = http.request(method, "/faults", &[], "{}".into()).await?;
                let detail = refused(answer, 403)?["detail"].to_string();
                ensure!(detail.contains("REPLOG_ALLOW_FAULTS=true"), "{detail}");
            }
            cluster.post("hello", 2).await?.expect(200)?;
            http.get("/readyz").await?.expect(200)?;
            let health = health(cluster.secondary(1)).await?;
            for (field, expected) in [
                ("status", json!("ok")),
                ("role", json!("secondary")),
                ("id", json!("secondary1")),
                ("last_seq", json!(1)),
                ("lag", json!(0)),
                ("held_back", json!(0)),
                ("broker", json!("connected")),
            ] {
                ensure!(health[field] == expected, "{field} of {health}");
            }
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn faults_are_set_while_it_runs() {
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .env(ALLOW_FAULTS.0, ALLOW_FAULTS.1)
        .run(async |cluster| {
            let http = cluster.secondary(1).http();
            let get = async || anyhow::Ok(http.get("/faults").await?.expect(200)?.json()?);
            let set = async |body: Value| http.put("/faults", &body).await;
            let none = json!({"delay_ms": 0, "error_rate": 0.0, "drop_rate": 0.0});
            ensure!(get().await? == none);
            cluster.post("one", 2).await?.expect(200)?;
            for wrong in [
                json!({"drop_rate": 1.5}),
                json!({"delay": 5}),
                json!({"delay_ms": -1}),
            ] {
                refused(set(wrong).await?, 400)?;
            }
            ensure!(get().await? == none);

            set(json!({"drop_rate": 1.0})).await?.expect(200)?;
            ensure!(acks_after(cluster, "two", 2, 500).await? == 1);
            ensure!(get().await?["drop_rate"] == 1.0);
            refused(http.get("/messages?min_seq=2&wait=50ms").await?, 504)?;
            refused(http.get("/readyz").await?, 503)?;
            set(json!({"drop_rate": 0, "error_rate": 1.0}))
                .await?
                .expect(200)?;
            http.get("/messages?min_seq=2&wait=20s")
                .await?
                .expect(200)?;
            // Never an ACK for entries, and yet the next heartbeat's answer says that they are there.
            cluster.post("three", 2).await?.expect(200)?;
            set(json!({"error_rate": 0})).await?.expect(200)?;
            cluster.post("four", 2).await?.expect(200)?;
            ensure!(wait_equal(cluster).await?.len() == 4);
            wait_health(cluster.secondary(1), "lag", 0).await
        })
        .await;
}
