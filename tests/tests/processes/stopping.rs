//! SIGTERM: everybody who waits is told where the message is, and the programs end well and soon.

use std::time::Duration;

use anyhow::{Result, ensure};
use replog_tests::harness::{Cluster, Node, RawConnection, Session};
use rustix::process::Signal;
use serde_json::json;

use crate::support::{
    AT_ONCE, ends_within, refused, wait_equal, wait_health, wait_read, wait_status,
};
use crate::watch::Watch;

/// What the interface promises.
const WITHIN: Duration = Duration::from_secs(6);

async fn terminates(node: &mut Node) -> Result<()> {
    ends_within(node, Signal::TERM, WITHIN).await
}

#[tokio::test]
async fn blocked_clients_are_told_that_the_entry_is_in_the_log() {
    let builder = Cluster::builder().secondaries(2).absent(2).listed(true);
    builder
        .run(async |cluster| {
            wait_status(&cluster.master, "secondary1", "healthy").await?;
            let blocked: Vec<_> = (0..50)
                .map(|i| cluster.post_pending(&format!("blocked {i}"), 3))
                .collect();
            let lab = cluster
                .master
                .http()
                .post_pending("/append", &json!({"msg": "x", "w": 3}));
            wait_health(&cluster.master, "waiting", 51).await?;
            // A connection that is kept open and says nothing must not hold it up.
            let mut idle = Session::open(cluster.master.addr()).await?;
            idle.post("/messages", &json!({"content": "both", "w": 2}))
                .await?
                .expect(200)?;
            terminates(&mut cluster.master).await?;
            for one in blocked.into_iter().chain([lab]) {
                let problem = refused(one.answer().await?, 504)?;
                ensure!(
                    problem["reason"] == "stopping" && problem["in_log"] == true,
                    "{problem}"
                );
                ensure!(
                    problem["acks"] == 2 && problem["w"] == 3 && problem["seq"].is_u64(),
                    "{problem}"
                );
            }
            ensure!(crate::support::shown(cluster.secondary(1)).await?.len() == 52);
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn a_secondary_ends_too_and_comes_back() {
    let builder = Cluster::builder().secondaries(2).listed(true);
    builder
        .run(async |cluster| {
            cluster.post("before", 3).await?.expect(200)?;
            terminates(cluster.secondary_mut(1)).await?;
            let waits = cluster.post_pending("meanwhile", 3);
            cluster.start_secondary(1).await?;
            waits.answer().await?.expect(200)?;
            terminates(cluster.secondary_mut(2)).await
        })
        .await;
}

#[tokio::test]
async fn without_a_broker_that_answers_they_end_all_the_same() {
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .run(async |cluster| {
            cluster.post("before", 2).await?.expect(200)?;
            cluster.broker.stop().await?;
            let waits = cluster.post_pending("waits", 2);
            wait_health(&cluster.master, "waiting", 1).await?;
            terminates(&mut cluster.master).await?;
            ensure!(refused(waits.answer().await?, 504)?["reason"] == "stopping");
            terminates(cluster.secondary_mut(1)).await
        })
        .await;
}

/// Case A1. The client waits until the master has recovered, which it cannot: there is no broker.
#[tokio::test]
async fn who_waits_for_a_recovery_is_told_at_once() {
    let builder = Cluster::builder().secondaries(1).absent(1).listed(true);
    builder
        .run(async |cluster| {
            cluster.broker.kill().await?;
            cluster.master.restart().await?;
            wait_health(&cluster.master, "status", "recovering").await?;
            let http = cluster.master.http();
            let waits = [
                cluster.post_pending("waits", 1),
                http.post_pending("/append", &json!({"msg": "waits", "w": 1})),
            ];
            wait_read(&cluster.master).await?;
            ends_within(&mut cluster.master, Signal::TERM, AT_ONCE).await?;
            for one in waits {
                let problem = refused(one.answer().await?, 503)?;
                ensure!(problem["reason"] == "stopping", "{problem}");
            }
            Ok(())
        })
        .await;
}

/// Case A2. What nobody has any more is not waited for, and streams end as streams do: no client takes it for a failure.
#[tokio::test]
async fn long_polls_are_answered_and_streams_end() {
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .run(async |cluster| {
            cluster.post("one", 2).await?.expect(200)?;
            for node in [1, 0] {
                let addr = match node {
                    0 => cluster.master.addr(),
                    _ => cluster.secondary(1).addr(),
                };
                let mut poll = RawConnection::open(addr).await?;
                poll.get("/messages?from=9&wait=30s").await?;
                let mut stream = RawConnection::open(addr).await?;
                stream.get("/messages/stream?from=1").await?;
                stream.read_until("\"content\":\"one\"").await?;
                let node = match node {
                    0 => &mut cluster.master,
                    _ => cluster.secondary_mut(1),
                };
                wait_read(node).await?;
                ends_within(node, Signal::TERM, AT_ONCE).await?;
                let answer = poll.read_to_end().await?;
                ensure!(
                    answer.starts_with("HTTP/1.1 200") && answer.contains("\"messages\":[]"),
                    "{answer}"
                );
                let rest = stream.read_to_end().await?;
                ensure!(rest.ends_with("0\r\n\r\n"), "cut: {rest:?}");
            }
            Ok(())
        })
        .await;
}

/// Case 41: what a closed terminal sends.
#[tokio::test]
async fn a_hang_up_ends_them_as_well() {
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .run(async |cluster| {
            cluster.post("before", 2).await?.expect(200)?;
            ends_within(cluster.secondary_mut(1), Signal::HUP, AT_ONCE).await?;
            let blocked = cluster.post_pending("blocked", 2);
            wait_health(&cluster.master, "waiting", 1).await?;
            ends_within(&mut cluster.master, Signal::HUP, AT_ONCE).await?;
            let problem = refused(blocked.answer().await?, 504)?;
            ensure!(
                problem["reason"] == "stopping" && problem["in_log"] == true,
                "{problem}"
            );
            Ok(())
        })
        .await;
}

/// By its silence alone it would be unhealthy after two minutes.
#[tokio::test]
async fn a_secondary_that_stops_says_goodbye_and_stays_a_member() {
    let builder = Cluster::builder().secondaries(2);
    builder
        .env("REPLOG_SUSPECT_AFTER", "60s")
        .env("REPLOG_UNHEALTHY_AFTER", "120s")
        .run(async |cluster| {
            cluster.wait_healthy(2).await?;
            cluster.post("before", "all").await?.expect(200)?;
            let mut watch = Watch::of(&cluster.broker).await?;
            terminates(cluster.secondary_mut(1)).await?;
            wait_status(&cluster.master, "secondary1", "unhealthy").await?;
            let seen = watch.so_far().await?;
            let last = seen.iter().rfind(|s| s.is("ack", "secondary1"));
            ensure!(
                last.is_some_and(|s| s.about == "ack.secondary1.goodbye"),
                "its last message is {last:?}"
            );
            let event = "event.master.unhealthy";
            let event = seen.iter().find(|s| s.about == event);
            ensure!(
                event.is_some_and(|s| s.json["node"] == "secondary1"),
                "{event:?}"
            );
            wait_status(&cluster.master, "secondary2", "healthy").await?;
            let waits = cluster.post_pending("for all", "all");
            cluster.post("for two", 2).await?.expect(200)?;
            ensure!(waits.is_pending(), "a member that is away is waited for");
            cluster.start_secondary(1).await?;
            let answer = waits.answer().await?.expect(200)?.json()?;
            ensure!(answer["w"] == 3 && answer["acks"] == 3, "{answer}");
            ensure!(wait_equal(cluster).await?.len() == 3);
            Ok(())
        })
        .await;
}
