//! A broker that dies, stands still or is not there: entries are taken and nothing is lost, twice or out of order.

use std::cell::Cell;

use anyhow::{Context, Result, ensure};
use futures_util::StreamExt;
use replog_tests::harness::ports::PortLease;
use replog_tests::harness::{BrokerOptions, Cluster, NatsServer, Node, Pending, eventually};
use serde_json::json;
use tokio::time::timeout;

use crate::support::{AT_ONCE, SOON, all_ok, health, wait_equal, wait_health};

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

/// The nodes are told all three, and each is connected to any of them: so each of them has its turn.
#[tokio::test]
async fn each_of_three_in_a_cluster_is_killed_while_clients_post() -> Result<()> {
    let mut brokers = clustered(3).await?;
    let urls: Vec<String> = brokers.iter().map(NatsServer::url).collect();
    let builder = Cluster::builder().secondaries(2).listed(true);
    let builder = builder.env("NATS_URL", &urls.join(","));
    builder
        .run(async |cluster| {
            Box::pin(while_posting(cluster, async |_, master| {
                for i in 0..brokers.len() {
                    brokers[i].kill().await?;
                    goes_on(master).await?;
                    brokers[i].restart().await?;
                    let next = (i + 1) % brokers.len();
                    wait_joined(&brokers[i], &brokers[next]).await?;
                }
                Ok(())
            }))
            .await
        })
        .await;
    Ok(())
}

/// Brokers with a route from each to each.
async fn clustered(count: usize) -> Result<Vec<NatsServer>> {
    let leases: Vec<PortLease> = (0..count)
        .map(|_| PortLease::take())
        .collect::<Result<_>>()?;
    let routes: Vec<String> = leases
        .iter()
        .map(|lease| format!("\"nats://{}\"", lease.addr()))
        .collect();
    let mut brokers: Vec<NatsServer> = Vec::with_capacity(count);
    for lease in &leases {
        let cluster = format!(
            "cluster {{ name: test, listen: \"{}\", no_advertise: true, routes: [{}] }}",
            lease.addr(),
            routes.join(", ")
        );
        brokers.push(NatsServer::start(BrokerOptions::default().config(&cluster)).await?);
    }
    for pair in brokers.windows(2) {
        wait_joined(&pair[0], &pair[1]).await?;
    }
    Ok(brokers)
}

/// Waits until what is published at one broker reaches those who listen at the other one.
async fn wait_joined(one: &NatsServer, other: &NatsServer) -> Result<()> {
    let (sender, receiver) = tokio::try_join!(
        async_nats::connect(one.url()),
        async_nats::connect(other.url())
    )?;
    let mut inbox = receiver.subscribe("harness.route").await?;
    receiver.flush().await?;
    eventually("the route between two brokers", SOON, async || {
        sender.publish("harness.route", "hello".into()).await?;
        let message = timeout(AT_ONCE / 10, inbox.next()).await?;
        message.context("the subscription ended").map(drop)
    })
    .await
}

/// Waits until every secondary has acknowledged what was appended from now on.
async fn goes_on(master: &Node) -> Result<()> {
    let from = health(master).await?["last_seq"]
        .as_u64()
        .context("last_seq")?;
    eventually("all nodes to go on", SOON, async || {
        let health = health(master).await?;
        let members = health["members"].as_array().context("members")?;
        let is_beyond = |seq: &serde_json::Value| seq.as_u64().is_some_and(|seq| seq > from);
        ensure!(
            members.len() == 2 && members.iter().all(|member| is_beyond(&member["acked_seq"])),
            "{health}"
        );
        Ok(())
    })
    .await
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
