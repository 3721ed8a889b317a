//! SIGTERM: everybody who waits is told where the message is, and the programs end well and soon.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use replog_tests::harness::{Cluster, Node, Session};
use serde_json::json;
use tokio::time::timeout;

use crate::support::{SOON, refused, wait_health, wait_status};

/// What the interface promises.
const WITHIN: Duration = Duration::from_secs(6);

async fn terminates(node: &mut Node) -> Result<()> {
    let began = Instant::now();
    let code = timeout(SOON, node.terminate()).await??;
    ensure!(code == 0, "exit code {code}");
    ensure!(began.elapsed() < WITHIN, "{:?}", began.elapsed());
    Ok(())
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
                let told = refused(one.answer().await?, 504)?;
                ensure!(
                    told["reason"] == "stopping" && told["in_log"] == true,
                    "{told}"
                );
                ensure!(
                    told["acks"] == 2 && told["w"] == 3 && told["seq"].is_u64(),
                    "{told}"
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
