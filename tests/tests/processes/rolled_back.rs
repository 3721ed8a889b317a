//! What was taken out of a log is kept on the disk, and shown after a restart as well.

use std::fs;

use anyhow::{Context, Result, ensure};
use replog_tests::harness::Node;
use serde_json::json;

use crate::disk::{durable, pair};
use crate::support::{second_master, wait_equal, wait_health, wait_same};
use crate::watch::Watch;

/// The contents of all tails that a node has kept.
async fn kept(node: &Node) -> Result<Vec<String>> {
    let all = node.http().get("/diverged").await?.expect(200)?.json()?;
    let tails = all["tails"].as_array().context("tails")?;
    let entries = tails
        .iter()
        .flat_map(|tail| tail["entries"].as_array().into_iter().flatten());
    let contents = entries.map(|entry| entry["content"].as_str().map(str::to_owned));
    contents
        .collect::<Option<_>>()
        .with_context(|| format!("a content in {all}"))
}

/// Case A5.
#[tokio::test]
async fn what_a_secondary_had_before_it_rejoined_is_shown_after_a_restart() {
    pair()
        .run(async |cluster| {
            let old = ["old 1", "old 2", "old 3"];
            for content in old {
                cluster.post(content, 2).await?.expect(200)?;
            }
            // The only holder sleeps while the master, whose disk is lost, begins a new history.
            cluster.secondary(1).stop().await?;
            cluster.master.kill().await?;
            fs::remove_dir_all(cluster.dir().join("data-master"))?;
            cluster.master.restart().await?;
            cluster.post("new", 1).await?.expect(200)?;
            cluster.secondary(1).resume()?;
            wait_health(cluster.secondary(1), "status", "diverged").await?;
            let http = cluster.secondary(1).http();
            http.post("/rejoin", &json!({})).await?.expect(200)?;
            wait_same(&cluster.master, cluster.secondary(1)).await?;
            ensure!(kept(cluster.secondary(1)).await? == old);

            for _ in 0..2 {
                cluster.start_secondary(1).await?;
                ensure!(kept(cluster.secondary(1)).await? == old);
            }
            wait_same(&cluster.master, cluster.secondary(1)).await
        })
        .await;
}

/// A master that comes back with a tail that the cluster went on without is no better than a secondary.
#[tokio::test]
async fn a_master_keeps_and_shows_its_own_tail_as_well() {
    durable()
        .run(async |cluster| {
            cluster.post("common", 3).await?.expect(200)?;
            for i in [1, 2] {
                cluster.kill_secondary(i).await?;
            }
            let lost = ["lost 1", "lost 2", "lost 3"];
            for content in lost {
                cluster.post(content, 1).await?.expect(200)?;
            }
            cluster.master.kill().await?;
            for i in [1, 2] {
                cluster.start_secondary(i).await?;
            }
            let dir = cluster.dir().join("data-master2").display().to_string();
            let mut second = second_master(cluster, &["--data-dir", &dir])?;
            second.restart().await?;
            let instead = json!({"content": "instead", "w": 3});
            let instead = second.http().post("/messages", &instead).await?;
            ensure!(instead.expect(200)?.json()?["seq"] == 2);
            second.kill().await?;

            let mut watch = Watch::of(&cluster.broker).await?;
            cluster.master.restart().await?;
            let event = "event.master.rolled_back";
            watch.until(event, |seen| seen.about == event).await?;
            ensure!(wait_equal(cluster).await? == ["common", "instead"]);
            ensure!(kept(&cluster.master).await? == lost);
            cluster.master.restart().await?;
            ensure!(kept(&cluster.master).await? == lost);
            cluster.post("after", 3).await?.expect(200)?;
            ensure!(wait_equal(cluster).await? == ["common", "instead", "after"]);
            Ok(())
        })
        .await;
}
