//! A master that comes back without its log takes over what the secondaries hold.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use replog_tests::harness::{Cluster, Node, Pending};
use serde_json::{Value, json};

use crate::support::{ALLOW_CLEAR, health, refused, shown, wait_equal, wait_health, wait_same};

const ID: &str = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";

async fn list(node: &Node) -> Result<Value> {
    node.http().get("/messages").await?.expect(200)?.json()
}

#[tokio::test]
async fn it_goes_on_where_it_was_and_knows_every_retry() {
    let builder = Cluster::builder().secondaries(2).listed(true);
    builder
        .run(async |cluster| {
            let keyed = json!({"content": "keyed", "w": 2, "message_id": ID});
            let http = cluster.master.http();
            let first = http.post("/messages", &keyed).await?.expect(200)?.json()?;
            for i in 0..300 {
                cluster.post(&format!("m{i}"), 2).await?.expect(200)?;
            }
            let pids: Vec<_> = cluster.nodes().skip(1).map(|node| node.pid()).collect();
            let before = list(&cluster.master).await?;
            cluster.master.restart().await?;
            let again = http.post("/messages", &keyed).await?.expect(200)?.json()?;
            ensure!(again["duplicate"] == true, "{again}");
            for field in ["seq", "log_id", "epoch", "message_id"] {
                ensure!(again[field] == first[field], "{field} of {again}");
            }
            let after = list(&cluster.master).await?;
            ensure!(after["messages"] == before["messages"], "another log");
            ensure!(after["log_id"] == before["log_id"] && after["epoch"] == 2);
            let next = cluster.post("next", 3).await?.expect(200)?.json()?;
            ensure!(next["seq"] == 302 && next["epoch"] == 2, "{next}");
            ensure!(wait_equal(cluster).await?.len() == 302);
            ensure!(health(&cluster.master).await?.get("not_heard").is_none());
            let still = cluster.nodes().skip(1).map(|node| node.pid());
            ensure!(pids == still.collect::<Vec<_>>(), "no secondary restarts");
            for node in cluster.nodes().skip(1) {
                ensure!(health(node).await?["put_aside"] == 0);
            }
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn with_open_membership_it_takes_whoever_answers() {
    let builder = Cluster::builder().secondaries(2);
    builder
        .run(async |cluster| {
            cluster.wait_healthy(2).await?;
            cluster.post("one", "all").await?.expect(200)?;
            cluster.post("two", "all").await?.expect(200)?;
            cluster.master.restart().await?;
            let three = cluster.post("three", "all").await?.expect(200)?.json()?;
            ensure!(three["w"] == 3 && three["seq"] == 3, "{three}");
            ensure!(wait_equal(cluster).await? == ["one", "two", "three"]);
            Ok(())
        })
        .await;
}

/// The best one is not the first that answers, and it is asked although the others have answered.
#[tokio::test]
async fn the_longest_holder_is_taken_and_whoever_is_missing_is_named() {
    let builder = Cluster::builder().secondaries(3).listed(true);
    builder
        .run(async |cluster| {
            cluster.post("for all", 4).await?.expect(200)?;
            cluster.secondary(1).stop().await?;
            cluster.secondary(3).stop().await?;
            for i in 0..20 {
                cluster
                    .post(&format!("for two {i}"), 2)
                    .await?
                    .expect(200)?;
            }
            cluster.master.kill().await?;
            cluster.secondary(1).resume()?;
            cluster.master.restart().await?;
            ensure!(shown(&cluster.master).await?.len() == 21);
            let health = health(&cluster.master).await?;
            ensure!(health["not_heard"] == json!(["secondary3"]), "{health}");
            cluster.secondary(3).resume()?;
            cluster.post("after", 4).await?.expect(200)?;
            ensure!(wait_equal(cluster).await?.len() == 22);
            let health = self::health(&cluster.master).await?;
            ensure!(health.get("not_heard").is_none(), "{health}");
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn while_it_recovers_requests_wait_and_then_it_says_so() {
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .run(async |cluster| {
            cluster.post("held", 2).await?.expect(200)?;
            cluster.broker.stop().await?;
            cluster.master.restart().await?;
            let http = cluster.master.http();
            http.get("/livez").await?.expect(200)?;
            ensure!(refused(http.get("/readyz").await?, 503)?["reason"] == "recovering");
            ensure!(health(&cluster.master).await?["status"] == "recovering");
            let waits: Vec<Pending> = ["too late", "retried"]
                .iter()
                .map(|content| cluster.post_pending(content, 1))
                .collect();
            // Bad ones are refused at once; those that are good wait, and none is appended before it is clear to what.
            refused(cluster.post("bad", 9).await?, 400)?;
            for path in ["/messages", "/list", "/messages/1"] {
                let answer = http.get(path).await?;
                let problem = refused(answer, 503).context(path)?;
                ensure!(problem["reason"] == "recovering", "{problem}");
            }
            for wait in waits {
                let answer = wait.answer().await?;
                ensure!(answer.header("retry-after").is_some());
                ensure!(refused(answer, 503)?["reason"] == "recovering");
            }
            let waits = cluster.post_pending("in time", 2);
            cluster.broker.resume()?;
            let seq = waits.answer().await?.expect(200)?.json()?["seq"].clone();
            ensure!(seq == 2, "{seq}");
            http.get("/readyz").await?.expect(200)?;
            ensure!(shown(&cluster.master).await? == ["held", "in time"]);
            Ok(())
        })
        .await;
}

/// Nobody has a history: a new one begins, and one that comes later with an old one is still in time.
#[tokio::test]
async fn a_master_without_entries_adopts_the_history_of_a_latecomer() {
    let builder = Cluster::builder().secondaries(2).listed(true);
    builder
        .run(async |cluster| {
            cluster.post("kept", 3).await?.expect(200)?;
            cluster.secondary(1).stop().await?;
            cluster.kill_secondary(2).await?;
            cluster.master.restart().await?;
            wait_health(&cluster.master, "status", "ok").await?;
            ensure!(shown(&cluster.master).await?.is_empty());
            cluster.start_secondary(2).await?;
            cluster.secondary(1).resume()?;
            cluster.wait_healthy(2).await?;
            cluster.post("next", 3).await?.expect(200)?;
            ensure!(wait_equal(cluster).await? == ["kept", "next"]);
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn a_cleared_history_is_not_taken_back() {
    let builder = Cluster::builder().secondaries(2).listed(true);
    let (name, value) = ALLOW_CLEAR;
    builder
        .env(name, value)
        .run(async |cluster| {
            for i in 0..10 {
                cluster.post(&format!("old {i}"), 3).await?.expect(200)?;
            }
            cluster.secondary(2).stop().await?;
            let http = cluster.master.http();
            let cleared = http.post("/clear", &json!({})).await?.expect(200)?.json()?;
            // Nothing of the new history was ever appended; one that slept through its beginning has all of the old.
            let same = async |node: &Node| -> Result<bool> {
                Ok(list(node).await?["log_id"] == cleared["log_id"])
            };
            wait_same(&cluster.master, cluster.secondary(1)).await?;
            ensure!(same(cluster.secondary(1)).await?);
            cluster.master.kill().await?;
            cluster.secondary(2).resume()?;
            cluster.master.restart().await?;
            cluster.post("new", 3).await?.expect(200)?;
            ensure!(same(&cluster.master).await?, "another history");
            ensure!(wait_equal(cluster).await? == ["new"]);
            Ok(())
        })
        .await;
}

/// Twenty rounds under load. Whatever was answered with two nodes is there, once, at the place that was answered.
#[tokio::test]
async fn killed_at_any_moment_it_loses_nothing_that_was_acknowledged() {
    let builder = Cluster::builder().secondaries(2).listed(true);
    builder
        .env("RUST_LOG", "warn")
        .run(async |cluster| {
            let mut seed = 1_u64;
            let mut answered: Vec<(u64, String)> = Vec::new();
            for round in 0..20 {
                let posts: Vec<_> = (0..8)
                    .map(|client| {
                        tokio::spawn(post_until_it_dies(cluster.master.http(), round, client))
                    })
                    .collect();
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                // The moment is what is random here, and time is what it is made of.
                tokio::time::sleep(Duration::from_millis(20 + (seed >> 33) % 200)).await;
                cluster.master.kill().await?;
                for post in posts {
                    answered.extend(post.await?);
                }
                cluster.master.restart().await?;
                let log = shown(&cluster.master).await?;
                for (seq, content) in &answered {
                    let there = log.get(usize::try_from(*seq)? - 1);
                    ensure!(there == Some(content), "{seq} is {there:?}, not {content}");
                }
                let mut once = log.clone();
                once.sort_unstable();
                once.dedup();
                ensure!(once.len() == log.len(), "something twice");
            }
            ensure!(answered.len() > 200, "hardly any load: {}", answered.len());
            cluster.post("the end", 3).await?.expect(200)?;
            ensure!(wait_equal(cluster).await?.len() > answered.len());
            Ok(())
        })
        .await;
}

/// Appends one message after another until nobody answers; what was answered, with its place.
async fn post_until_it_dies(
    http: replog_tests::harness::HttpClient,
    round: usize,
    client: usize,
) -> Vec<(u64, String)> {
    let mut answered = Vec::new();
    for i in 0.. {
        let content = format!("{round}/{client}/{i}");
        let Ok(answer) = http
            .post("/messages", &json!({"content": content, "w": 2}))
            .await
        else {
            break;
        };
        let Some(seq) = answer.json().ok().and_then(|a| a["seq"].as_u64()) else {
            break;
        };
        if answer.status != 200 {
            break;
        }
        answered.push((seq, content));
    }
    answered
}

#[tokio::test]
async fn a_master_that_has_to_hear_all_waits_for_who_is_away() {
    let builder = Cluster::builder().secondaries(2).listed(true);
    builder
        .master_arg("--recovery-requires", "all")
        .run(async |cluster| {
            cluster.post("one", 3).await?.expect(200)?;
            cluster.secondary(2).stop().await?;
            cluster.post("two", 2).await?.expect(200)?;
            cluster.master.restart().await?;
            wait_health(&cluster.master, "not_heard", json!(["secondary2"])).await?;
            let refusal = cluster.post("refused", 1).await?;
            ensure!(refused(refusal, 503)?["reason"] == "recovering");
            wait_health(&cluster.master, "status", "recovering").await?;
            cluster.secondary(2).resume()?;
            wait_health(&cluster.master, "status", "ok").await?;
            ensure!(wait_equal(cluster).await?.len() == 2);
            Ok(())
        })
        .await;
}
