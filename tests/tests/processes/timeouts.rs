//! `timeout_ms`: the one error after the append says so, and the entry stays.

use std::time::{Duration, Instant};

use anyhow::ensure;
use replog_tests::harness::Cluster;
use serde_json::json;

use crate::support::{refused, wait_equal, wait_status};

#[tokio::test]
async fn the_client_is_told_that_the_entry_is_in_the_log() {
    let builder = Cluster::builder().secondaries(2).absent(2).listed(true);
    builder
        .run(async |cluster| {
            wait_status(&cluster.master, "secondary1", "healthy").await?;
            let post = async |content: &str, w: u32, ms: u64| {
                let body = json!({"content": content, "w": w, "timeout_ms": ms});
                cluster.master.http().post("/messages", &body).await
            };
            post("in time", 2, 20_000).await?.expect(200)?;
            let began = Instant::now();
            let late = refused(post("late", 3, 400).await?, 504)?;
            ensure!(began.elapsed() >= Duration::from_millis(400));
            for (field, expected) in [
                ("in_log", json!(true)),
                ("reason", json!("timeout")),
                ("acks", json!(2)),
                ("w", json!(3)),
                ("seq", json!(2)),
            ] {
                ensure!(late[field] == expected, "{field} of {late}");
            }
            ensure!(late["message_id"].is_string(), "{late}");
            // At once: nobody but the master can have it.
            let at_once = refused(post("at once", 3, 0).await?, 504)?;
            ensure!(at_once["acks"] == 1 && at_once["seq"] == 3, "{at_once}");
            post("alone", 1, 0).await?.expect(200)?;

            // A blocked one neither holds up the others nor ends with them.
            let waits = cluster.post_pending("waits", 3);
            refused(post("late again", 3, 50).await?, 504)?;
            ensure!(waits.is_pending());
            cluster.start_secondary(2).await?;
            waits.answer().await?.expect(200)?;
            // The same id asks again what became of it.
            let again = json!({"content": "late", "w": 3, "message_id": late["message_id"]});
            let again = cluster
                .master
                .http()
                .post("/messages", &again)
                .await?
                .expect(200)?
                .json()?;
            ensure!(again["duplicate"] == true && again["seq"] == 2, "{again}");
            ensure!(wait_equal(cluster).await?.len() == 6);
            Ok(())
        })
        .await;
}
