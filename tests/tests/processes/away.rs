//! A secondary that was away (killed, stopped, empty, late) gets all it missed, and nobody is told that it had it.

use anyhow::ensure;
use replog_tests::harness::Cluster;
use serde_json::json;

use crate::support::{acks_after, wait_equal, wait_same, wait_status};

#[tokio::test]
async fn killed_it_gets_everything_again() {
    let builder = Cluster::builder().secondaries(2).listed(true);
    builder
        .run(async |cluster| {
            cluster.post("before", 3).await?.expect(200)?;
            cluster.kill_secondary(2).await?;
            for i in 0..20 {
                cluster
                    .post(&format!("while away {i}"), 2)
                    .await?
                    .expect(200)?;
            }
            cluster.start_secondary(2).await?;
            ensure!(wait_equal(cluster).await?.len() == 21);
            cluster.post("after", 3).await?.expect(200)?;
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn stopped_it_goes_on_where_it_was() {
    let builder = Cluster::builder().secondaries(2).listed(true);
    builder
        .run(async |cluster| {
            cluster.post("before", 3).await?.expect(200)?;
            cluster.secondary(2).stop().await?;
            wait_status(&cluster.master, "secondary2", "unhealthy").await?;
            for i in 0..20 {
                cluster
                    .post(&format!("while stopped {i}"), 2)
                    .await?
                    .expect(200)?;
            }
            let waits = cluster.post_pending("for all", 3);
            wait_same(&cluster.master, cluster.secondary(1)).await?;
            ensure!(waits.is_pending());
            cluster.secondary(2).resume()?;
            waits.answer().await?.expect(200)?;
            ensure!(wait_equal(cluster).await?.len() == 22);
            wait_status(&cluster.master, "secondary2", "healthy").await?;
            Ok(())
        })
        .await;
}

/// Its memory is gone, and what it once acknowledged must not count for it.
#[tokio::test]
async fn restarted_empty_while_all_are_waited_for_it_is_refilled() {
    let builder = Cluster::builder().secondaries(2).listed(true);
    builder
        .run(async |cluster| {
            for i in 0..50 {
                cluster.post(&format!("old {i}"), 3).await?.expect(200)?;
            }
            cluster.secondary(1).stop().await?;
            let waits = cluster.post_pending("for all", 3);
            wait_same(&cluster.master, cluster.secondary(2)).await?;
            // It has acknowledged the entry and loses it; the other one has never had it.
            cluster.secondary_mut(2).kill().await?;
            cluster.secondary(1).resume()?;
            wait_same(&cluster.master, cluster.secondary(1)).await?;
            cluster.start_secondary(2).await?;
            let answer = waits.answer().await?.expect(200)?.json()?;
            ensure!(answer["seq"] == 51 && answer["acks"] == 3, "{answer}");
            ensure!(wait_equal(cluster).await?.len() == 51);
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn an_emptied_one_counts_only_for_what_it_holds_again() {
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .run(async |cluster| {
            for i in 0..10 {
                cluster.post(&format!("old {i}"), 2).await?.expect(200)?;
            }
            cluster.kill_secondary(1).await?;
            // Only then is `healthy` said of the one that comes.
            wait_status(&cluster.master, "secondary1", "unhealthy").await?;
            let forgetful = ["--drop-rate", "1"].map(String::from);
            cluster.secondary_mut(1).spec_mut().args = forgetful.into();
            cluster.start_secondary(1).await?;
            cluster.wait_healthy(1).await?;
            // It lives, follows, and holds nothing: every entry is lost on its way in.
            let acks = acks_after(cluster, "not there", 2, 700).await?;
            ensure!(acks == 1, "{acks} nodes");
            let one = cluster
                .master
                .http()
                .get("/messages/1")
                .await?
                .expect(200)?
                .json()?;
            ensure!(one["acked_by"] == json!(["master"]), "{one}");
            Ok(())
        })
        .await;
}
