//! Logs on disks: what is there again after nodes were killed.

use anyhow::{Result, ensure};
use replog_tests::harness::{Cluster, ClusterBuilder};
use serde_json::json;

use crate::support::{ALLOW_CLEAR, health, shown, wait_equal, wait_health, wait_same};
use crate::watch::Watch;

const ID: &str = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";

/// A cluster with its logs on disks.
pub(crate) fn durable() -> ClusterBuilder {
    Cluster::builder().secondaries(2).listed(true).durable(true)
}

/// The same with one secondary.
pub(crate) fn pair() -> ClusterBuilder {
    Cluster::builder().secondaries(1).listed(true).durable(true)
}

/// Kills every node at once, and starts them all again.
async fn restart_all(cluster: &mut Cluster) -> Result<()> {
    cluster.kill_nodes().await?;
    cluster.start_nodes().await
}

#[tokio::test]
async fn every_node_killed_at_once_and_nothing_is_lost_whatever_w_was() {
    durable()
        .run(async |cluster| {
            let keyed = json!({"content": "keyed", "w": 1, "message_id": ID});
            let http = cluster.master.http();
            http.post("/messages", &keyed).await?.expect(200)?;
            for i in 0..50 {
                cluster
                    .post(&format!("m{i}"), 1 + i % 3)
                    .await?
                    .expect(200)?;
            }
            let before = shown(&cluster.master).await?;
            let mut watch = Watch::of(&cluster.broker).await?;
            let mut storages = vec![watch.storage_of("secondary1").await?];
            for epoch in 2..=4 {
                restart_all(cluster).await?;
                // What is on the master's disk is shown at once.
                ensure!(shown(&cluster.master).await? == before, "another log");
                let again = http.post("/messages", &keyed).await?.expect(200)?.json()?;
                ensure!(again["duplicate"] == true && again["epoch"] == 1, "{again}");
                cluster.wait_healthy(2).await?;
                ensure!(wait_equal(cluster).await? == before, "another log");
                ensure!(health(&cluster.master).await?["epoch"] == epoch);
                // A directory that was put back or copied must not pass for the storage that the master knew.
                watch.so_far().await?;
                let storage = watch.storage_of("secondary1").await?;
                ensure!(
                    !storages.contains(&storage),
                    "{storage} for the second time"
                );
                storages.push(storage);
            }
            let next = cluster.post("next", 3).await?.expect(200)?.json()?;
            ensure!(next["seq"] == 52 && next["epoch"] == 4, "{next}");
            ensure!(health(&cluster.master).await?["storage"]["fsync"] == "always");
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn a_secondary_goes_on_from_where_it_was() {
    durable()
        .run(async |cluster| {
            for i in 0..100 {
                cluster.post(&format!("m{i}"), 3).await?.expect(200)?;
            }
            cluster.kill_secondary(1).await?;
            for i in 100..105 {
                cluster.post(&format!("m{i}"), 2).await?.expect(200)?;
            }
            cluster.start_secondary(1).await?;
            wait_same(&cluster.master, cluster.secondary(1)).await?;
            let health = health(cluster.secondary(1)).await?;
            ensure!(
                // What a slow disk keeps waiting may be sent again; what was there before never is.
                health["duplicates"].as_u64() < Some(100),
                "it was sent what it had: {health}"
            );
            Ok(())
        })
        .await;
}

/// A secondary knows more than its master: the master's disk was changed for an older one.
#[tokio::test]
async fn a_master_whose_disk_is_empty_gets_everything_from_the_others() {
    durable()
        .run(async |cluster| {
            for i in 0..30 {
                cluster.post(&format!("m{i}"), 3).await?.expect(200)?;
            }
            let before = shown(&cluster.master).await?;
            cluster.master.kill().await?;
            let dir = cluster.dir().join("data-master");
            std::fs::rename(&dir, cluster.dir().join("lost"))?;
            cluster.master.restart().await?;
            cluster.wait_healthy(2).await?;
            ensure!(wait_equal(cluster).await? == before, "another log");
            // And what it has fetched is on its disk again.
            restart_all(cluster).await?;
            ensure!(shown(&cluster.master).await? == before, "another log");
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn a_cleared_log_stays_cleared() {
    durable()
        .env(ALLOW_CLEAR.0, ALLOW_CLEAR.1)
        .run(async |cluster| {
            for i in 0..10 {
                cluster.post(&format!("m{i}"), 3).await?.expect(200)?;
            }
            cluster.kill_secondary(2).await?;
            let http = cluster.master.http();
            let cleared = http.post("/clear", &json!({})).await?.expect(200)?.json()?;
            cluster.post("new", 2).await?.expect(200)?;
            cluster.start_secondary(2).await?;
            ensure!(wait_equal(cluster).await? == ["new"]);
            restart_all(cluster).await?;
            cluster.wait_healthy(2).await?;
            ensure!(wait_equal(cluster).await? == ["new"]);
            let health = health(&cluster.master).await?;
            ensure!(health["log_id"] == cleared["log_id"], "{health}");
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn only_the_cache_is_in_memory_and_a_newcomer_gets_all() {
    durable()
        .env("REPLOG_CACHE_BYTES", "1MiB")
        .env("REPLOG_FSYNC", "never")
        .run(async |cluster| {
            cluster.kill_secondary(2).await?;
            let content = "x".repeat(20_000);
            for i in 0..200 {
                cluster
                    .post(&format!("{i} {content}"), 2)
                    .await?
                    .expect(200)?;
            }
            cluster.start_secondary(2).await?;
            ensure!(wait_equal(cluster).await?.len() == 200);
            let one = cluster
                .master
                .http()
                .get("/messages/1")
                .await?
                .expect(200)?;
            ensure!(one.json()?["acks"] == 3, "{}", one.text());
            Ok(())
        })
        .await;
}

/// What is the same message is known of every message, however old, also by those that are not in memory any more.
#[tokio::test]
async fn an_old_message_is_found_by_its_content_whatever_was_set_before() {
    durable()
        .env("REPLOG_CACHE_BYTES", "1KiB")
        .run(async |cluster| {
            for i in 0..40 {
                cluster.post(&format!("m{i}"), 3).await?.expect(200)?;
            }
            let by_content = ("REPLOG_DEDUPLICATE_BY".to_owned(), "content".to_owned());
            cluster.master.spec_mut().env.push(by_content);
            restart_all(cluster).await?;
            cluster.wait_healthy(2).await?;
            for i in [0, 17, 39] {
                let again = cluster
                    .post(&format!("m{i}"), 3)
                    .await?
                    .expect(200)?
                    .json()?;
                ensure!(
                    again["duplicate"] == true && again["seq"] == i + 1,
                    "{again}"
                );
            }
            let new = cluster.post("m40", 3).await?.expect(200)?.json()?;
            ensure!(new["duplicate"] == false && new["seq"] == 41, "{new}");
            ensure!(wait_equal(cluster).await?.len() == 41);
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn it_serves_reads_before_the_broker_is_there() {
    durable()
        .run(async |cluster| {
            cluster.post("one", 3).await?.expect(200)?;
            cluster.master.kill().await?;
            cluster.broker.kill().await?;
            cluster.master.restart().await?;
            ensure!(shown(&cluster.master).await? == ["one"]);
            let waits = cluster.post_pending("two", 1);
            cluster.broker.restart().await?;
            waits.answer().await?.expect(200)?;
            wait_health(&cluster.master, "status", "ok").await?;
            Ok(())
        })
        .await;
}
