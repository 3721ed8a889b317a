//! One secondary a name.

use anyhow::{Result, ensure};
use replog_tests::harness::{Cluster, Node, NodeSpec, eventually};
use serde_json::json;
use tokio::time::timeout;
use uuid::Uuid;

use crate::support::{SOON, acks_after, health, member, wait_equal, wait_one_line};
use crate::watch::Watch;

/// Another process under the name of secondary 1.
pub(crate) fn namesake(cluster: &Cluster) -> Result<Node> {
    let dir = cluster.dir().join("namesake");
    std::fs::create_dir(&dir)?;
    let spec = cluster.secondary(1).spec().clone();
    Node::reserve(NodeSpec {
        dir,
        port: None,
        ..spec
    })
}

pub(crate) async fn wait_clash(cluster: &Cluster) -> Result<()> {
    eventually("the clash in /health", SOON, async || {
        let member = member(&cluster.master, "secondary1").await?;
        let problem = member["problem"].as_str().unwrap_or_default();
        ensure!(
            problem.contains("two secondaries") && problem.contains("secondary1"),
            "{member}"
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_one_that_comes_later_ends_and_the_first_is_undisturbed() {
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .run(async |cluster| {
            cluster.post("before", 2).await?.expect(200)?;
            let mut watch = Watch::of(&cluster.broker).await?;
            let before = watch.storage_of("secondary1").await?;
            let mut second = namesake(cluster)?;
            for _ in 0..2 {
                second.spawn()?;
                ensure!(timeout(SOON, second.exited()).await?? == 3);
                let said = second.log_tail(1);
                for parts in ["another secondary named secondary1", "--node-id"] {
                    ensure!(said.contains(parts), "{said}");
                }
            }
            // Who has not won the name says no goodbye in it.
            let seen = watch.so_far().await?;
            let goodbye = seen.iter().find(|s| s.about == "ack.secondary1.goodbye");
            ensure!(goodbye.is_none(), "{goodbye:?}");
            ensure!(watch.storage_of("secondary1").await? == before);
            let after = health(cluster.secondary(1)).await?;
            ensure!(after["status"] == "ok", "{after}");
            let member = member(&cluster.master, "secondary1").await?;
            ensure!(
                member["status"] == "healthy" && member["problem"].is_null(),
                "{member}"
            );
            cluster.post("after", 2).await?.expect(200)?;
            ensure!(wait_equal(cluster).await?.len() == 2);
            Ok(())
        })
        .await;
}

/// Two that start at once: one of them stays.
#[tokio::test]
async fn of_two_that_start_together_one_stays() {
    let builder = Cluster::builder().secondaries(1).absent(1).listed(true);
    builder
        .run(async |cluster| {
            let mut second = namesake(cluster)?;
            second.spawn()?;
            let first = cluster.secondary_mut(1);
            first.spawn()?;
            let ended = timeout(SOON, async {
                tokio::select! {
                    code = first.exited() => code,
                    code = second.exited() => code,
                }
            });
            ensure!(ended.await?? == 3);
            cluster.wait_healthy(1).await?;
            cluster.post("counts", 2).await?.expect(200)?;
            ensure!(cluster.secondary_mut(1).is_running() != second.is_running());
            Ok(())
        })
        .await;
}

/// A partition in small: the first cannot answer while the second asks for the name.
#[tokio::test]
async fn if_both_run_on_the_newer_counts_and_health_shows_it() {
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .run(async |cluster| {
            cluster.post("before", 2).await?.expect(200)?;
            cluster.secondary(1).stop().await?;
            let waits = cluster.post_pending("meanwhile", 2);
            let mut second = namesake(cluster)?;
            second.restart().await?;
            waits.answer().await?.expect(200)?;
            crate::support::wait_same(&cluster.master, &second).await?;
            cluster.secondary(1).resume()?;
            wait_clash(cluster).await?;
            let says = ["WARN", "does not count any more", "start this one again"];
            wait_one_line(cluster.secondary(1), &says).await?;
            cluster.post("after", 2).await?.expect(200)?;
            crate::support::wait_same(&cluster.master, &second).await?;
            wait_one_line(cluster.secondary(1), &says).await?;
            let log = second.log_tail(10_000);
            ensure!(!log.contains("does not count any more"), "{log}");
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn a_stranger_under_its_name_is_shown_and_counts_for_nothing() {
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .run(async |cluster| {
            cluster.post("before", 2).await?.expect(200)?;
            let mut watch = Watch::of(&cluster.broker).await?;
            let real = watch.ack_of("secondary1").await?;
            let mut last = real.json["last"].clone();
            let mut forge = |upto: u64| {
                last["seq"] = json!(upto);
                let storage = ("storage", json!(Uuid::from_u128(7)));
                real.with(&[storage, ("seq", json!(upto)), ("last", last.clone())])
            };
            let subject = "replog.default.ack.secondary1.hello";
            watch.say(subject, forge(1)).await?;
            wait_clash(cluster).await?;
            cluster.post("the real one goes on", 2).await?.expect(200)?;

            // Alone, the stranger says that it holds what comes.
            cluster.secondary(1).stop().await?;
            let waits = cluster.post_pending("only here", 2);
            cluster
                .wait_messages(
                    &cluster.master,
                    &["before", "the real one goes on", "only here"],
                )
                .await?;
            for _ in 0..20 {
                watch.say(subject, forge(3)).await?;
            }
            ensure!(
                acks_after(cluster, "late", 2, 500).await? == 1,
                "the stranger counted"
            );
            ensure!(waits.is_pending());
            cluster.secondary(1).resume()?;
            waits.answer().await?.expect(200)?;
            ensure!(wait_equal(cluster).await?.len() == 4);
            Ok(())
        })
        .await;
}
