//! Nodes of another version of the protocol: never acted on, never passed over.

use anyhow::ensure;
use replog_tests::harness::{Cluster, eventually};
use serde_json::{Value, json};
use tokio::time::timeout;
use uuid::Uuid;

use crate::support::{SOON, health, refused, wait_equal, wait_health, wait_one_line};
use crate::watch::Watch;

/// The first edition spoke version 1.
const OTHERS: [u64; 2] = [1, 3];

/// What a secondary says of itself: that it holds nothing. With the fields of both editions.
fn ack(version: u64) -> String {
    let id = Uuid::from_u128(8);
    json!({
        "kind": "ack", "seq": 0, "node": "secondary1", "last": {"seq": 0, "epoch": 0}, "epoch": 0,
        "storage": id, "incarnation": id, "v": version, "at_ms": 0,
    })
    .to_string()
}

#[tokio::test]
async fn a_master_that_hears_such_a_secondary_does_not_serve_and_says_why() {
    let builder = Cluster::builder().secondaries(1).absent(0).absent(1);
    builder
        .listed(true)
        .run(async |cluster| {
            let watch = Watch::of(&cluster.broker).await?;
            for version in OTHERS {
                let shown = async {
                    cluster.master.restart().await?;
                    let parts = [format!("version {version}"), "secondary1".to_owned()];
                    eventually("the other version to be shown", SOON, async || {
                        let health = health(&cluster.master).await?;
                        let text = health.to_string();
                        ensure!(parts.iter().all(|part| text.contains(part)), "{health}");
                        Ok(())
                    })
                    .await?;
                    let problem = refused(cluster.post("to whom?", 1).await?, 503)?;
                    ensure!(problem["reason"] == "recovering", "{problem}");
                    wait_health(&cluster.master, "status", "recovering").await
                };
                let subject = "replog.default.ack.secondary1.hello";
                watch.repeating(subject, &ack(version), shown).await?;
            }
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn a_master_that_hears_such_a_master_ends() {
    let builder = Cluster::builder().absent(0);
    builder
        .run(async |cluster| {
            let watch = Watch::of(&cluster.broker).await?;
            for version in OTHERS {
                let serving: Value = json!({
                    "kind": "serving", "log_id": Uuid::from_u128(1), "epoch": 7,
                    "instance": Uuid::from_u128(2), "v": version, "at_ms": 0,
                });
                let ended = async {
                    cluster.master.spawn()?;
                    let code = timeout(SOON, cluster.master.exited()).await??;
                    let said = cluster.master.log_tail(1);
                    ensure!(
                        code == 3 && said.contains(&format!("version {version}")),
                        "{code}: {said}"
                    );
                    Ok(())
                };
                let subject = "replog.default.announce";
                watch
                    .repeating(subject, &serving.to_string(), ended)
                    .await?;
            }
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn a_secondary_that_hears_one_of_its_name_ends() {
    let builder = Cluster::builder().secondaries(1).absent(1).listed(true);
    builder
        .run(async |cluster| {
            let watch = Watch::of(&cluster.broker).await?;
            for version in OTHERS {
                let ended = async {
                    let node = cluster.secondary_mut(1);
                    node.spawn()?;
                    let code = timeout(SOON, node.exited()).await??;
                    let said = node.log_tail(1);
                    ensure!(
                        code == 3 && said.contains(&format!("version {version}")),
                        "{code}: {said}"
                    );
                    Ok(())
                };
                let subject = "replog.default.ack.secondary1.hello";
                watch.repeating(subject, &ack(version), ended).await?;
            }
            Ok(())
        })
        .await;
}

/// Nobody acts on it, and whoever runs goes on; who looks at the log is told, once for each sender.
#[tokio::test]
async fn nodes_that_run_go_on_and_say_that_they_hear_one() {
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .run(async |cluster| {
            cluster.post("before", 2).await?.expect(200)?;
            let watch = Watch::of(&cluster.broker).await?;
            for _ in 0..20 {
                watch
                    .say("replog.default.ack.secondary1.hello", ack(3))
                    .await?;
                watch
                    .say("replog.default.heartbeat.secondary1", ack(3))
                    .await?;
            }
            let said = |address: &str| {
                format!("address={address} error=protocol version 3, this program speaks 2")
            };
            wait_one_line(&cluster.master, &["WARN", &said("ack.secondary1.hello")]).await?;
            let heartbeat = said("heartbeat.secondary1");
            wait_one_line(cluster.secondary(1), &["WARN", &heartbeat]).await?;
            cluster.post("after", 2).await?.expect(200)?;
            ensure!(wait_equal(cluster).await? == ["before", "after"]);
            Ok(())
        })
        .await;
}
