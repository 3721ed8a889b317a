//! `POST /clear`: an empty log on every node, under a new history.

use anyhow::{Result, ensure};
use replog_tests::harness::{Cluster, Node, eventually};
use serde_json::json;

use crate::support::{ALLOW_CLEAR, SOON, health, refused, wait_equal, wait_health, wait_one_line};
use crate::watch::Watch;

async fn clear(node: &Node) -> Result<serde_json::Value> {
    node.http()
        .post("/clear", &json!({}))
        .await?
        .expect(200)?
        .json()
}

#[tokio::test]
async fn on_the_master_it_empties_every_node_under_a_new_history() {
    let builder = Cluster::builder().secondaries(2).absent(2).listed(true);
    builder
        .env(ALLOW_CLEAR.0, ALLOW_CLEAR.1)
        .run(async |cluster| {
            for i in 0..5 {
                cluster.post(&format!("old {i}"), 2).await?.expect(200)?;
            }
            let old = health(&cluster.master).await?["log_id"].clone();
            let waits = cluster.post_pending("for all", 3);
            eventually("the sixth entry", SOON, async || {
                cluster
                    .secondary(1)
                    .http()
                    .get("/messages/6")
                    .await?
                    .expect(200)
            })
            .await?;
            let cleared = clear(&cluster.master).await?;
            ensure!(cleared["log_id"] != old, "{cleared}");
            let [old, new] = [&old, &cleared["log_id"]].map(|id| id.as_str().unwrap_or("?"));
            let says = [
                "INFO",
                "the log was cleared",
                "client=127.0.0.1:",
                "entries=6 ",
                &format!("old_log_id={old}"),
                &format!("new_log_id={new}"),
            ];
            wait_one_line(&cluster.master, &says).await?;
            let gone = refused(waits.answer().await?, 410)?;
            ensure!(gone["message_id"].is_string(), "{gone}");
            for node in [&cluster.master, cluster.secondary(1)] {
                wait_health(node, "log_id", cleared["log_id"].clone()).await?;
                cluster.wait_messages(node, &[]).await?;
            }
            cluster.start_secondary(2).await?;
            let first = cluster.post("new", 3).await?.expect(200)?.json()?;
            ensure!(
                first["seq"] == 1 && first["log_id"] == cleared["log_id"],
                "{first}"
            );
            ensure!(wait_equal(cluster).await? == ["new"]);
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn whoever_sleeps_through_it_follows_all_the_same() {
    let builder = Cluster::builder().secondaries(2).listed(true);
    builder
        .env(ALLOW_CLEAR.0, ALLOW_CLEAR.1)
        .run(async |cluster| {
            cluster.post("old", 3).await?.expect(200)?;
            cluster.secondary(2).stop().await?;
            clear(&cluster.master).await?;
            clear(&cluster.master).await?;
            cluster.post("new", 2).await?.expect(200)?;
            cluster.secondary(2).resume()?;
            cluster.post("newer", 3).await?.expect(200)?;
            ensure!(wait_equal(cluster).await? == ["new", "newer"]);
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn on_a_secondary_it_forgets_and_is_filled_again() {
    let builder = Cluster::builder().secondaries(2).listed(true);
    builder
        .env(ALLOW_CLEAR.0, ALLOW_CLEAR.1)
        .run(async |cluster| {
            for i in 0..30 {
                cluster
                    .post(&format!("message {i}"), 3)
                    .await?
                    .expect(200)?;
            }
            let mut watch = Watch::of(&cluster.broker).await?;
            let before = watch.storage_of("secondary1").await?;
            clear(cluster.secondary(1)).await?;
            let log_id = health(&cluster.master).await?["log_id"].clone();
            let says = [
                "INFO",
                "the copy of the log was cleared",
                "client=127.0.0.1:",
                "entries=30 ",
                log_id.as_str().unwrap_or("?"),
            ];
            wait_one_line(cluster.secondary(1), &says).await?;
            watch.so_far().await?;
            ensure!(watch.storage_of("secondary1").await? != before);
            ensure!(wait_equal(cluster).await?.len() == 30);
            cluster.post("after", 3).await?.expect(200)?;
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn it_is_refused_unless_it_is_allowed() {
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .run(async |cluster| {
            cluster.post("stays", 2).await?.expect(200)?;
            for node in cluster.nodes() {
                let problem = refused(node.http().post("/clear", &json!({})).await?, 403)?;
                let detail = problem["detail"].as_str().unwrap_or_default();
                ensure!(detail.contains("REPLOG_ALLOW_CLEAR=true"), "{problem}");
            }
            ensure!(wait_equal(cluster).await? == ["stays"]);
            Ok(())
        })
        .await;
}
