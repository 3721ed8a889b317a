//! A NATS client that says anything anywhere: nothing crashes, nothing false is counted, the log stays as it is.

use anyhow::{Context, ensure};
use replog_tests::harness::{Cluster, ClusterBuilder, eventually};
use serde_json::json;
use uuid::Uuid;

use crate::lies::{FORGED, false_acks, foreign_appends, payloads};
use crate::support::{SOON, acks_after, health, member, wait_same};
use crate::watch::Watch;

/// Where nodes listen, and where they do not.
const SUBJECTS: [&str; 19] = [
    "replog.default.append.secondary1",
    "replog.default.heartbeat.secondary1",
    "replog.default.ack.secondary1.1",
    "replog.default.ack.secondary1.hello",
    "replog.default.ack.secondary1.18446744073709551616",
    "replog.default.ack.secondary1.-1",
    "replog.default.ack.secondary2.1",
    "replog.default.ack.nobody.hello",
    "replog.default.ack.no$body.1",
    "replog.default.prepare.secondary1",
    "replog.default.promise.secondary1",
    "replog.default.fetch.secondary1",
    "replog.default.fetched.secondary1",
    "replog.default.claim.secondary1",
    "replog.default.announce",
    "replog.default.event.master.fenced",
    "replog.default.ack",
    "replog.other.append.secondary1",
    "replog.other.ack.secondary1.1",
];

#[tokio::test]
async fn garbage_and_lies_change_nothing() {
    let builder = Cluster::builder().secondaries(2).absent(2).listed(true);
    quiet(builder)
        .run(async |cluster| {
            let mut watch = Watch::of(&cluster.broker).await?;
            cluster.post("one", 2).await?.expect(200)?;
            cluster.post("two", 2).await?.expect(200)?;
            let waits = cluster.post_pending("three", 3);
            cluster
                .wait_messages(cluster.secondary(1), &["one", "two", "three"])
                .await?;
            let before = cluster
                .master
                .http()
                .get("/messages")
                .await?
                .expect(200)?
                .body;
            let pids: Vec<_> = cluster.nodes().map(|node| node.pid()).collect();

            let seen = watch.until("heartbeat after the appends", |seen| {
                seen.is("heartbeat", "secondary1") && seen.json["prev"]["seq"] == 3
            });
            let mut seen = seen.await?;
            seen.extend(
                watch
                    .until("ACK of it", |seen| seen.is("ack", "secondary1"))
                    .await?,
            );
            let last = |kind: &str| {
                seen.iter()
                    .rfind(|s| s.is(kind, "secondary1"))
                    .context("one of each")
            };
            let (append, heartbeat, ack) = (last("append")?, last("heartbeat")?, last("ack")?);
            for payload in payloads(append, heartbeat, ack) {
                for subject in SUBJECTS {
                    watch.say(subject, payload.clone()).await?;
                }
            }
            for append in foreign_appends(append) {
                watch.say(SUBJECTS[0], append.clone()).await?;
                watch.say(SUBJECTS[1], append.clone()).await?;
            }
            for false_ack in false_acks(ack) {
                for node in ["secondary1", "secondary2", "nobody"] {
                    let subject = format!("replog.default.ack.{node}.100");
                    watch.say(&subject, false_ack.clone()).await?;
                }
            }
            // What would count from secondary2 itself: a node speaks in its own name only, which is what a broker's
            // permissions on subjects rely on.
            let usurped = ack.with(&[
                ("node", json!("secondary2")),
                ("storage", json!(Uuid::from_u128(5))),
            ]);
            for node in ["secondary1", "nobody"] {
                let subject = format!("replog.default.ack.{node}.3");
                watch.say(&subject, usurped.clone()).await?;
            }
            watch.so_far().await?;

            let after = cluster
                .master
                .http()
                .get("/messages")
                .await?
                .expect(200)?
                .body;
            ensure!(before == after, "the log changed");
            let known = health(&cluster.master).await?;
            ensure!(known["status"] == "ok" && known["last_seq"] == 3, "{known}");
            ensure!(waits.is_pending(), "w=3 was met by a lie");
            ensure!(acks_after(cluster, "four", 3, 500).await? == 2, "a false w");
            cluster.post("five", 2).await?.expect(200)?;
            let one = cluster
                .master
                .http()
                .get("/messages/1")
                .await?
                .expect(200)?
                .json()?;
            ensure!(one["acked_by"] == json!(["master", "secondary1"]), "{one}");
            wait_same(&cluster.master, cluster.secondary(1)).await?;
            ensure!(health(cluster.secondary(1)).await?["status"] == "ok");
            ensure!(member(&cluster.master, "secondary2").await?["acked_seq"] == 0);
            ensure!(pids == cluster.nodes().map(|node| node.pid()).collect::<Vec<_>>());

            // And the real one is welcome, whatever was said in its name.
            cluster.start_secondary(2).await?;
            waits.answer().await?.expect(200)?;
            wait_same(&cluster.master, cluster.secondary(2)).await
        })
        .await;
}

/// One forged number must not use up all epochs that follow: who names it is not believed, and shown.
#[tokio::test]
async fn an_epoch_that_no_honest_master_can_have_is_dropped_and_shown() {
    let builder = Cluster::builder().secondaries(1).listed(true);
    quiet(builder)
        .run(async |cluster| {
            cluster.post("before", 2).await?.expect(200)?;
            let before = health(&cluster.master).await?;
            let mut watch = Watch::of(&cluster.broker).await?;
            let ack = watch.ack_of("secondary1").await?;
            let mut seen = watch
                .until("heartbeat", |seen| seen.is("heartbeat", "secondary1"))
                .await?;
            let heartbeat = seen.pop().context("a heartbeat")?;
            let forged = [
                (
                    "epoch",
                    json!(before["epoch"].as_u64().context("epoch")? + FORGED),
                ),
                ("instance", json!(Uuid::from_u128(6))),
            ];
            let to_secondary = "replog.default.heartbeat.secondary1";
            watch.say(to_secondary, heartbeat.with(&forged)).await?;
            let announcement = json!({
                "kind": "serving", "log_id": before["log_id"], "epoch": forged[0].1,
                "instance": forged[1].1, "overtakes": before["instance"], "v": 2,
            });
            let to_all = "replog.default.announce";
            watch.say(to_all, announcement.to_string()).await?;
            let to_master = "replog.default.ack.secondary1.hello";
            let shown = eventually("the forged epoch to be shown", SOON, async || {
                let member = member(&cluster.master, "secondary1").await?;
                let problem = member["problem"].as_str().unwrap_or_default();
                ensure!(problem.contains("epoch"), "{member}");
                Ok(())
            });
            watch
                .repeating(to_master, &ack.with(&forged), shown)
                .await?;
            cluster.post("after", 2).await?.expect(200)?;
            let after = health(&cluster.master).await?;
            ensure!(
                after["status"] == "ok" && after["epoch"] == before["epoch"],
                "{after}"
            );
            wait_same(&cluster.master, cluster.secondary(1)).await
        })
        .await;
}

/// A thousand warnings would be printed with a failing test.
fn quiet(builder: ClusterBuilder) -> ClusterBuilder {
    builder.env("RUST_LOG", "error")
}
