//! Clients that wait hold up nobody, and there are never too many of them.

use anyhow::{Context, ensure};
use replog_tests::harness::{Cluster, Pending, eventually};
use serde_json::json;

use crate::support::{SOON, all_ok, refused, wait_equal, wait_health, wait_status};

const BLOCKED: usize = 500;

#[tokio::test]
async fn five_hundred_wait_while_others_are_served() {
    let builder = Cluster::builder().secondaries(2).absent(2).listed(true);
    builder
        .run(async |cluster| {
            wait_status(&cluster.master, "secondary1", "healthy").await?;
            let blocked: Vec<_> = (0..BLOCKED)
                .map(|i| cluster.post_pending(&format!("blocked {i}"), 3))
                .collect();
            wait_health(&cluster.master, "waiting", BLOCKED).await?;
            for i in 0..25 {
                cluster.post(&format!("alone {i}"), 1).await?.expect(200)?;
                cluster.post(&format!("both {i}"), 2).await?.expect(200)?;
            }
            ensure!(blocked.iter().all(Pending::is_pending));
            cluster.start_secondary(2).await?;
            let mut seqs: Vec<_> = all_ok(blocked)
                .await?
                .iter()
                .map(|a| a["seq"].as_u64())
                .collect();
            seqs.sort_unstable();
            seqs.dedup();
            ensure!(seqs.len() == BLOCKED, "{} different answers", seqs.len());
            ensure!(wait_equal(cluster).await?.len() == BLOCKED + 50);
            wait_health(&cluster.master, "waiting", 0).await
        })
        .await;
}

#[tokio::test]
async fn a_full_waiting_room_refuses_and_a_client_that_leaves_makes_room() {
    let builder = Cluster::builder().secondaries(1).absent(1).listed(true);
    builder
        .master_arg("--max-waiting", "3")
        .run(async |cluster| {
            wait_health(&cluster.master, "status", "ok").await?;
            let mut waiting: Vec<_> = (0..3)
                .map(|i| cluster.post_pending(&format!("waits {i}"), 2))
                .collect();
            wait_health(&cluster.master, "waiting", 3).await?;
            let full = cluster.post("no room", 2).await?;
            ensure!(
                full.header("retry-after")
                    .is_some_and(|s| s.parse::<u32>().is_ok())
            );
            ensure!(refused(full, 503)?["reason"] == "too_many_waiting");
            // Whoever does not wait needs no place.
            cluster.post("alone", 1).await?.expect(200)?;

            waiting.pop().context("the last")?.hang_up().await;
            eventually("the place of the one that left", SOON, async || {
                let body = json!({"content": "asks for a place", "w": 2, "timeout_ms": 0});
                cluster
                    .master
                    .http()
                    .post("/messages", &body)
                    .await?
                    .expect(504)
            })
            .await?;
            waiting.push(cluster.post_pending("takes the place", 2));
            eventually("the sixth entry", SOON, async || {
                cluster.master.http().get("/messages/6").await?.expect(200)
            })
            .await?;
            refused(cluster.post("no room again", 2).await?, 503)?;
            cluster.start_secondary(1).await?;
            all_ok(waiting).await?;
            cluster.post("room", 2).await?.expect(200)?;
            let all = wait_equal(cluster).await?;
            ensure!(
                all.len() == 7 && !all.iter().any(|one| one.starts_with("no room")),
                "{all:?}"
            );
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn a_secondary_that_stands_still_costs_two_nodes_nothing() {
    let builder = Cluster::builder().secondaries(2).listed(true);
    builder
        .run(async |cluster| {
            cluster.post("before", 3).await?.expect(200)?;
            cluster.secondary(2).stop().await?;
            let large = "x".repeat(100_000);
            let waits = cluster.post_pending("for all", 3);
            // More than a whole window: what is kept for the one must not stop the other.
            for _ in 0..30 {
                cluster.post(&large, 2).await?.expect(200)?;
            }
            ensure!(waits.is_pending());
            cluster.secondary(2).resume()?;
            waits.answer().await?.expect(200)?;
            ensure!(wait_equal(cluster).await?.len() == 32);
            Ok(())
        })
        .await;
}

/// After a 504 a client can go on waiting, on terms of its own.
#[tokio::test]
async fn an_entry_can_be_waited_for_after_its_post_was_answered() {
    let builder = Cluster::builder().secondaries(2).absent(2).listed(true);
    builder
        .run(async |cluster| {
            wait_status(&cluster.master, "secondary1", "healthy").await?;
            cluster.post("a", 2).await?.expect(200)?;
            let http = cluster.master.http();
            let held = http.get("/messages/1?w=2").await?.expect(200)?.json()?;
            ensure!(held["acks"] == 2, "{held}");
            let late = refused(http.get("/messages/1?w=3&wait=50ms").await?, 504)?;
            ensure!(late["reason"] == "timeout" && late["acks"] == 2, "{late}");
            ensure!(late["in_log"] == true && late["seq"] == 1, "{late}");
            let now = refused(http.get("/messages/1?w=all").await?, 504)?;
            ensure!(now["acks"] == 2 && now["w"] == 3, "{now}");
            for (path, status, named) in [
                ("/messages/1?w=4", 400, "from 1 to 3"),
                ("/messages/1?w=0", 400, "w"),
                ("/messages/1?wait=1s", 400, "wait needs w"),
                ("/messages/1?w=3&wait=1", 400, "wait is not a duration"),
                ("/messages/2?w=3&wait=1s", 404, "no entry"),
            ] {
                let problem = refused(http.get(path).await?, status)?;
                let detail = problem["detail"].as_str().unwrap_or_default();
                ensure!(detail.contains(named), "{path}: {problem}");
            }
            let other = cluster.secondary(1).http().get("/messages/1?w=2").await?;
            refused(other, 400)?;

            let waits = tokio::spawn(async move {
                let answer = http.get("/messages/1?w=3&wait=60s").await?;
                anyhow::Ok(answer.expect(200)?.json()?)
            });
            wait_health(&cluster.master, "waiting", 1).await?;
            cluster.start_secondary(2).await?;
            let held = waits.await??;
            ensure!(held["acks"] == 3 && held["content"] == "a", "{held}");
            Ok(())
        })
        .await;
}
