//! First lab report: what a client waits for, and what it does not wait for.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use replog_tests::harness::Cluster;
use serde_json::json;

use crate::support::{SOON, all_ok, health, shown, wait_equal};

/// Far above what anything else takes, so that the comparisons below hold on a busy machine too.
const DELAY: Duration = Duration::from_secs(2);

#[tokio::test]
async fn one_costs_no_delay_and_all_cost_the_longest_not_the_sum() {
    let builder = Cluster::builder()
        .secondaries(2)
        .listed(true)
        .env("REPLOG_DELAY", "2s");
    builder
        .run(async |cluster| {
            cluster.wait_healthy(2).await?;
            let one = took(cluster.post("one", 1)).await?;
            ensure!(one < DELAY, "w=1 took {one:?}");
            let two = took(cluster.post("two", 2));
            let three = took(cluster.post("three", 3));
            let (two, three) = tokio::try_join!(two, three)?;
            for (w, time) in [(2, two), (3, three)] {
                ensure!(time >= DELAY && time < DELAY * 2, "w={w} took {time:?}");
            }
            let health = health(&cluster.master).await?;
            ensure!(
                health["members"][0]["status"] == "healthy",
                "slow is not dead: {health}"
            );
            ensure!(wait_equal(cluster).await?.len() == 3);
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn a_slow_secondary_costs_two_nodes_nothing_and_shows_fewer_entries_meanwhile() {
    let builder = Cluster::builder().secondaries(2).listed(true);
    builder
        .secondary_args(2, ["--delay", "3s"])
        .run(async |cluster| {
            cluster.wait_healthy(2).await?;
            let began = Instant::now();
            for i in 1..=20 {
                cluster
                    .post(&format!("message {i}"), 2)
                    .await?
                    .expect(200)?;
            }
            let third = cluster.post_pending("the last", 3);
            let time = began.elapsed();
            ensure!(
                time < Duration::from_secs(3),
                "20 appends with w=2 took {time:?}"
            );
            let fast = shown(cluster.secondary(1)).await?;
            let slow = shown(cluster.secondary(2)).await?;
            ensure!(slow.len() < fast.len(), "{} and {}", slow.len(), fast.len());
            ensure!(third.is_pending());
            // Each look meanwhile is a prefix: `shown` fails on a gap.
            while third.is_pending() {
                let slow = shown(cluster.secondary(2)).await?;
                ensure!(slow.len() <= 21 && began.elapsed() < SOON);
            }
            third.answer().await?.expect(200)?;
            ensure!(wait_equal(cluster).await?.len() == 21);
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn without_w_all_must_have_it() {
    let builder = Cluster::builder().secondaries(2).absent(2).listed(true);
    builder
        .run(async |cluster| {
            cluster.wait_healthy(1).await?;
            let http = cluster.master.http();
            let messages = http.post_pending("/messages", &json!({"content": "no w"}));
            cluster
                .wait_messages(cluster.secondary(1), &["no w"])
                .await?;
            let null = http.post_pending("/messages", &json!({"content": "null", "w": null}));
            cluster
                .wait_messages(cluster.secondary(1), &["no w", "null"])
                .await?;
            let append = http.post_pending("/append", &json!({"msg": "lab"}));
            cluster
                .wait_messages(cluster.secondary(1), &["no w", "null", "lab"])
                .await?;
            let majority = cluster
                .post("most", "majority")
                .await?
                .expect(200)?
                .json()?;
            ensure!(majority["w"] == 2, "{majority}");
            ensure!(messages.is_pending() && null.is_pending() && append.is_pending());
            cluster.start_secondary(2).await?;
            for answer in all_ok(vec![messages, null]).await? {
                ensure!(answer["w"] == 3 && answer["acks"] == 3, "{answer}");
            }
            append.answer().await?.expect(200)?;
            ensure!(wait_equal(cluster).await?.len() == 4);
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn the_default_is_a_setting() {
    let builder = Cluster::builder()
        .secondaries(2)
        .absent(1)
        .absent(2)
        .listed(true);
    builder
        .master_arg("--default-w", "1")
        .run(async |cluster| {
            let http = cluster.master.http();
            let answer = http.post("/messages", &json!({"content": "alone"})).await?;
            let answer = answer.expect(200)?.json()?;
            ensure!(answer["w"] == 1 && answer["acks"] == 1, "{answer}");
            Ok(())
        })
        .await;
}

async fn took<T>(what: impl Future<Output = Result<T>>) -> Result<Duration> {
    let began = Instant::now();
    what.await?;
    Ok(began.elapsed())
}
