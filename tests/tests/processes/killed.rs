//! Killed in between: an entry is on a disk, and nobody has been told.

use anyhow::{Result, ensure};
use replog_tests::harness::eventually;
use serde_json::json;

use crate::disk::durable;
use crate::support::{SOON, shown, wait_equal, wait_status};
use crate::traffic::at_rest;

const ID: &str = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";

#[tokio::test]
async fn a_secondary_killed_between_its_write_and_its_ack_holds_the_entry_once() {
    // It stores, and never says so.
    let silent = ["--error-rate", "1"];
    // The answer to a heartbeat or to a retry would say so.
    at_rest(durable())
        .secondary_args(1, silent)
        .secondary_args(2, silent)
        .run(async |cluster| {
            cluster.wait_healthy(2).await?;
            let waits = cluster.post_pending("once", 3);
            for i in 1..=2 {
                cluster
                    .wait_messages(cluster.secondary(i), &["once"])
                    .await?;
            }
            ensure!(waits.is_pending(), "nobody has acknowledged it");
            for i in 1..=2 {
                cluster.kill_secondary(i).await?;
                cluster.secondary_mut(i).spec_mut().args.clear();
                cluster.start_secondary(i).await?;
            }
            let answer = waits.answer().await?.expect(200)?.json()?;
            ensure!(answer["acks"] == 3 && answer["seq"] == 1, "{answer}");
            cluster.post("next", 3).await?.expect(200)?;
            ensure!(wait_equal(cluster).await? == ["once", "next"]);
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn a_master_killed_between_its_write_and_its_answer_holds_the_message_once() {
    durable()
        .run(async |cluster| {
            cluster.wait_healthy(2).await?;
            cluster.kill_secondary(2).await?;
            let keyed = json!({"content": "once", "w": 3, "message_id": ID});
            let waits = cluster.master.http().post_pending("/messages", &keyed);
            eventually(
                "the entry on the master's disk",
                SOON,
                async || -> Result<()> {
                    ensure!(shown(&cluster.master).await? == ["once"]);
                    Ok(())
                },
            )
            .await?;
            ensure!(waits.is_pending(), "one node is missing");
            cluster.kill_nodes().await?;
            ensure!(waits.answer().await.is_err(), "nobody is there to answer");
            cluster.start_nodes().await?;
            // The client does not know, and asks again.
            let http = cluster.master.http();
            let again = http.post("/messages", &keyed).await?.expect(200)?.json()?;
            ensure!(again["duplicate"] == true && again["seq"] == 1, "{again}");
            wait_status(&cluster.master, "secondary2", "healthy").await?;
            ensure!(wait_equal(cluster).await? == ["once"]);
            Ok(())
        })
        .await;
}
