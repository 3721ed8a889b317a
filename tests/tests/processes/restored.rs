//! A storage that comes back with less than it has acknowledged: an older copy is put back, or a disk had not written all.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use replog_tests::harness::{Cluster, eventually};
use serde_json::{Value, json};

use crate::disk::pair;
use crate::support::{
    SOON, acks_after, copy_dir, member, refused, wait_equal, wait_same, wait_status,
};
use crate::watch::{Seen, Watch};

const ID: &str = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";

fn data_dir(cluster: &Cluster) -> PathBuf {
    cluster.dir().join("data-secondary1")
}

/// Keeps the directory of the secondary as it is now. The secondary is stopped for that, and started again.
async fn keep_copy(cluster: &mut Cluster) -> Result<()> {
    ensure!(cluster.secondary_mut(1).terminate().await? == 0);
    copy_dir(&data_dir(cluster), &cluster.dir().join("copy"))?;
    cluster.start_secondary(1).await
}

/// Puts what was kept in the place of the directory of the secondary, which does not run.
fn put_back(cluster: &Cluster) -> Result<()> {
    fs::remove_dir_all(data_dir(cluster))?;
    copy_dir(&cluster.dir().join("copy"), &data_dir(cluster))
}

async fn post_many(cluster: &Cluster, contents: std::ops::Range<usize>) -> Result<()> {
    for i in contents {
        cluster.post(&format!("m{i}"), 2).await?.expect(200)?;
    }
    Ok(())
}

/// A POST that names no `w` waits for every member.
async fn post_to_all(cluster: &Cluster, content: &str) -> Result<Value> {
    let http = cluster.master.http().with_deadline(Duration::from_secs(10));
    let answer = http.post("/messages", &json!({"content": content})).await?;
    let answer = answer.expect(200)?.json()?;
    ensure!(answer["acks"] == 2, "{answer}");
    Ok(answer)
}

/// Case 60: with two entries, by a graceful stop.
#[tokio::test]
async fn an_older_copy_that_is_put_back_is_filled_again() {
    pair()
        .run(async |cluster| {
            post_many(cluster, 0..1).await?;
            keep_copy(cluster).await?;
            post_many(cluster, 1..2).await?;
            ensure!(cluster.secondary_mut(1).terminate().await? == 0);
            put_back(cluster)?;
            cluster.start_secondary(1).await?;
            post_to_all(cluster, "m2").await?;
            wait_same(&cluster.master, cluster.secondary(1)).await?;
            let member = member(&cluster.master, "secondary1").await?;
            ensure!(member["lag"] == 0 && member["acked_seq"] == 3, "{member}");
            ensure!(wait_equal(cluster).await? == ["m0", "m1", "m2"]);
            Ok(())
        })
        .await;
}

/// Case 60 again: before the secondary is filled, nobody is answered as if it held what it has lost.
#[tokio::test]
async fn an_older_copy_counts_only_for_what_it_holds() {
    pair()
        .run(async |cluster| {
            post_many(cluster, 0..5).await?;
            keep_copy(cluster).await?;
            let keyed = json!({"content": "keyed", "w": 2, "message_id": ID});
            let http = cluster.master.http();
            let keyed = http.post("/messages", &keyed).await?.expect(200)?.json()?;
            ensure!(keyed["seq"] == 6, "{keyed}");
            cluster.kill_secondary(1).await?;
            // Only then is `healthy` said of what comes back.
            wait_status(&cluster.master, "secondary1", "unhealthy").await?;
            put_back(cluster)?;
            // Every entry is lost on its way in: the secondary lives, follows, and stays as it is.
            let forgetful = ["--drop-rate", "1"].map(String::from);
            cluster.secondary_mut(1).spec_mut().args = forgetful.into();
            cluster.start_secondary(1).await?;
            wait_status(&cluster.master, "secondary1", "healthy").await?;
            ensure!(
                acks_after(cluster, "not there", 2, 700).await? == 1,
                "a false w"
            );
            let again = json!({"content": "keyed", "w": 2, "message_id": ID, "timeout_ms": 0});
            let again = refused(http.post("/messages", &again).await?, 504)?;
            ensure!(again["acks"] == 1, "{again}");
            let lost = cluster.secondary(1).http().get("/messages/6").await?;
            refused(lost, 404)?;
            let one = http.get("/messages/6").await?.expect(200)?.json()?;
            ensure!(one["acked_by"] == json!(["master"]), "{one}");
            // What was put back counts, as far as it goes.
            eventually("the five entries of the copy to count", SOON, async || {
                let member = member(&cluster.master, "secondary1").await?;
                ensure!(member["acked_seq"] == 5 && member["lag"] == 2, "{member}");
                let one = http.get("/messages/5").await?.expect(200)?.json()?;
                ensure!(one["acks"] == 2, "{one}");
                Ok(())
            })
            .await?;
            Ok(())
        })
        .await;
}

/// Case 66: the system had not written what was acknowledged when the power went.
#[tokio::test]
async fn a_disk_that_was_not_synced_is_filled_again() {
    pair()
        .env("REPLOG_FSYNC", "never")
        .run(async |cluster| {
            post_many(cluster, 0..20).await?;
            keep_copy(cluster).await?;
            post_many(cluster, 20..50).await?;
            cluster.kill_secondary(1).await?;
            put_back(cluster)?;
            cluster.start_secondary(1).await?;
            post_to_all(cluster, "m50").await?;
            ensure!(wait_equal(cluster).await?.len() == 51);
            Ok(())
        })
        .await;
}

/// The same while the master is away too: it comes back from its disk, and the secondary with less than it once had.
#[tokio::test]
async fn a_master_that_comes_back_fills_an_older_copy() {
    pair()
        .run(async |cluster| {
            post_many(cluster, 0..5).await?;
            keep_copy(cluster).await?;
            post_many(cluster, 5..10).await?;
            cluster.kill_nodes().await?;
            put_back(cluster)?;
            cluster.start_nodes().await?;
            post_to_all(cluster, "m10").await?;
            ensure!(wait_equal(cluster).await?.len() == 11);
            Ok(())
        })
        .await;
}

/// Two nodes that have nothing to do say nothing but heartbeats and their ACKs, whatever one of them had to send before.
#[tokio::test]
async fn afterwards_an_idle_cluster_is_silent() {
    const HEARTBEATS: usize = 30;
    /// The heartbeat interval of these tests is 100 ms.
    const INTERVAL: Duration = Duration::from_millis(100);
    pair()
        .run(async |cluster| {
            post_many(cluster, 0..50).await?;
            keep_copy(cluster).await?;
            post_many(cluster, 50..100).await?;
            ensure!(cluster.secondary_mut(1).terminate().await? == 0);
            put_back(cluster)?;
            cluster.start_secondary(1).await?;
            wait_status(&cluster.master, "secondary1", "healthy").await?;
            let filled = eventually("it to be filled", SOON / 6, async || {
                let last = cluster.secondary(1).http().get("/messages/100").await?;
                last.expect(200)
            });
            let filled = filled.await;

            let mut watch = Watch::of(&cluster.broker).await?;
            let began = Instant::now();
            let mut heartbeats = 0;
            let seen = watch.until("thirty heartbeats", |seen| {
                heartbeats += usize::from(seen.is("heartbeat", "secondary1"));
                heartbeats == HEARTBEATS
            });
            let seen: Vec<Seen> = seen.await?;
            let took = began.elapsed();
            ensure!(
                took > INTERVAL * HEARTBEATS as u32 / 2,
                "{} messages in {took:?}",
                seen.len()
            );
            let other = seen
                .iter()
                .find(|s| !s.is("heartbeat", "secondary1") && !s.is("ack", "secondary1"));
            ensure!(other.is_none(), "neither heartbeat nor ACK: {other:?}");
            let acks = seen.len() - HEARTBEATS;
            ensure!(
                acks <= HEARTBEATS + 1,
                "{acks} ACKs of {HEARTBEATS} heartbeats"
            );
            filled.context("it was never filled")?;
            ensure!(wait_equal(cluster).await?.len() == 100);
            Ok(())
        })
        .await;
}
