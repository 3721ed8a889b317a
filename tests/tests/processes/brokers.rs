//! A broker that dies, stands still or is not there: entries are taken and nothing is lost, twice or out of order.

use std::cell::Cell;

use anyhow::{Result, ensure};
use replog_tests::harness::{Cluster, NatsServer, Node, Pending};
use serde_json::json;

use crate::support::{all_ok, health, wait_equal, wait_health};

#[tokio::test]
async fn killed_and_restarted_while_clients_post() {
    let builder = Cluster::builder().secondaries(2).listed(true);
    builder
        .run(async |cluster| {
            while_posting(cluster, async |broker, master| {
                for _ in 0..2 {
                    broker.kill().await?;
                    wait_health(master, "broker", "disconnected").await?;
                    broker.restart().await?;
                    wait_health(master, "broker", "connected").await?;
                }
                Ok(())
            })
            .await
        })
        .await;
}

/// Long enough for everybody to give the connection up.
#[tokio::test]
async fn stopped_and_continued_while_clients_post() {
    let builder = Cluster::builder().secondaries(2).listed(true);
    builder
        .run(async |cluster| {
            while_posting(cluster, async |broker, master| {
                broker.stop().await?;
                wait_health(master, "broker", "disconnected").await?;
                broker.resume()?;
                wait_health(master, "broker", "connected").await
            })
            .await
        })
        .await;
}

/// Runs `disturb` while one client appends one message after the other, then looks for each of them on every node.
async fn while_posting(
    cluster: &mut Cluster,
    disturb: impl AsyncFnOnce(&mut NatsServer, &Node) -> Result<()>,
) -> Result<()> {
    cluster.wait_healthy(2).await?;
    cluster.post("before", 3).await?.expect(200)?;
    let is_over = Cell::new(false);
    let mut waiting: Vec<Pending> = Vec::new();
    let mut posted = 1;
    let Cluster { master, broker, .. } = &mut *cluster;
    let master = &*master;
    let posts = async {
        while !is_over.get() {
            let body = |w: u32| json!({"content": format!("w={w} {posted}"), "w": w});
            if posted % 10 == 0 {
                waiting.push(master.http().post_pending("/messages", &body(3)));
            } else {
                master
                    .http()
                    .post("/messages", &body(1))
                    .await?
                    .expect(200)?;
            }
            posted += 1;
        }
        Ok(())
    };
    let disturbance = async {
        let result = disturb(broker, master).await;
        is_over.set(true);
        result
    };
    tokio::try_join!(posts, disturbance)?;
    let waited = waiting.len();
    all_ok(waiting).await?;
    cluster.post("after", 3).await?.expect(200)?;

    let all = wait_equal(cluster).await?;
    ensure!(
        all.len() == posted + 1,
        "{} entries of {}",
        all.len(),
        posted + 1
    );
    let alone = (1..posted)
        .filter(|i| i % 10 != 0)
        .map(|i| format!("w=1 {i}"));
    let found = all.iter().filter(|content| content.starts_with("w=1"));
    ensure!(
        found.eq(alone.collect::<Vec<_>>().iter()),
        "another order: {all:?}"
    );
    ensure!(waited > 0 && all.iter().filter(|one| one.starts_with("w=3")).count() == waited);
    cluster.wait_healthy(2).await
}

#[tokio::test]
async fn gone_before_any_secondary_came_the_master_serves_alone_until_it_is_back() {
    let builder = Cluster::builder()
        .secondaries(2)
        .absent(1)
        .absent(2)
        .listed(true);
    builder
        .run(async |cluster| {
            wait_health(&cluster.master, "status", "ok").await?;
            cluster.broker.kill().await?;
            wait_health(&cluster.master, "broker", "disconnected").await?;
            cluster.start_secondary(1).await?;
            cluster.start_secondary(2).await?;
            let first = cluster.post("alone", 1).await?.expect(200)?.json()?;
            ensure!(first["acks"] == 1, "{first}");
            let waits = vec![
                cluster.post_pending("two", 2),
                cluster.post_pending("three", 3),
            ];
            wait_health(&cluster.master, "waiting", 2).await?;
            for node in cluster.nodes() {
                let health = health(node).await?;
                ensure!(health["broker"] == "disconnected", "{health}");
                node.http().get("/livez").await?.expect(200)?;
            }
            cluster
                .secondary(1)
                .http()
                .get("/readyz")
                .await?
                .expect(503)?;
            cluster.post("alone again", 1).await?.expect(200)?;
            ensure!(waits.iter().all(Pending::is_pending));
            cluster.broker.restart().await?;
            all_ok(waits).await?;
            cluster.wait_healthy(2).await?;
            ensure!(wait_equal(cluster).await?.len() == 4);
            Ok(())
        })
        .await;
}

/// The outage is the broker's: the secondaries are not blamed for it.
#[tokio::test]
async fn a_short_outage_marks_nobody() {
    let builder = Cluster::builder().secondaries(2).listed(true);
    builder
        .run(async |cluster| {
            cluster.post("before", 3).await?.expect(200)?;
            cluster.broker.kill().await?;
            wait_health(&cluster.master, "broker", "disconnected").await?;
            let waits = cluster.post_pending("meanwhile", 3);
            cluster
                .wait_messages(&cluster.master, &["before", "meanwhile"])
                .await?;
            cluster.broker.restart().await?;
            waits.answer().await?.expect(200)?;
            cluster.wait_healthy(2).await?;
            let log = cluster.master.log_tail(10_000);
            let blames = log.lines().filter(|line| line.contains("unhealthy"));
            ensure!(blames.count() == 0, "{log}");
            Ok(())
        })
        .await;
}
