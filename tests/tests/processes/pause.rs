//! A master that was stopped itself trusts nothing it knew before.

use std::time::Duration;

use anyhow::{Result, ensure};
use replog_tests::harness::{Cluster, Node, eventually};
use serde_json::json;

use crate::support::{SOON, health, refused, shown, wait_equal, wait_health};

/// Twice the time after which a silent member is unhealthy (a second, in these tests).
const PAUSE: Duration = Duration::from_secs(2);

/// Waits until a secondary has received nothing from the master for that long.
async fn wait_silence(secondary: &Node) -> Result<()> {
    eventually("the master's silence to be long", SOON, async || {
        let health = health(secondary).await?;
        let silence = health["master_last_seen_ms"]
            .as_u64()
            .map(Duration::from_millis);
        ensure!(silence > Some(PAUSE), "{health}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn it_takes_no_appends_before_a_heartbeat_was_answered() {
    let builder = Cluster::builder().secondaries(2).listed(true);
    builder
        .master_args(["--read-only-without-quorum"])
        .run(async |cluster| {
            cluster.wait_healthy(2).await?;
            cluster.post("before", 3).await?.expect(200)?;
            cluster.master.stop().await?;
            // This one lies in its socket when it wakes, and so do signs of life that the secondaries send now.
            let blind = cluster.post_pending("blind", 1);
            for i in [1, 2] {
                wait_silence(cluster.secondary(i)).await?;
                cluster.secondary(i).stop().await?;
            }
            cluster.master.resume()?;
            let reason = refused(blind.answer().await?, 503)?["reason"].clone();
            ensure!(reason == "no_quorum", "{reason}");
            let woken = health(&cluster.master).await?;
            ensure!(
                woken["quorum"]["ok"] == false && woken["status"] == "read_only",
                "{woken}"
            );
            refused(cluster.post("still blind", 1).await?, 503)?;

            cluster.secondary(1).resume()?;
            eventually("appends to be taken", SOON, async || {
                cluster.post("one answered", 2).await?.expect(200)
            })
            .await?;
            cluster.secondary(2).resume()?;
            cluster.wait_healthy(2).await?;
            cluster.post("both answered", 3).await?.expect(200)?;
            ensure!(wait_equal(cluster).await? == ["before", "one answered", "both answered"]);
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn it_blames_nobody_for_its_own_silence() {
    let builder = Cluster::builder().secondaries(2).listed(true);
    builder
        .run(async |cluster| {
            cluster.post("before", 3).await?.expect(200)?;
            cluster.master.stop().await?;
            wait_silence(cluster.secondary(1)).await?;
            cluster.master.resume()?;
            cluster.post("after", 3).await?.expect(200)?;
            cluster.wait_healthy(2).await?;
            let log = cluster.master.log_tail(10_000);
            ensure!(!log.contains("unhealthy"), "{log}");
            Ok(())
        })
        .await;
}

/// There is no member about which it could be wrong: it goes on, with the broker away as well.
#[tokio::test]
async fn without_members_it_goes_on_whether_the_broker_is_there_or_not() {
    Cluster::builder()
        .run(async |cluster| {
            cluster.post("before", 1).await?.expect(200)?;
            cluster.broker.kill().await?;
            wait_health(&cluster.master, "broker", "disconnected").await?;
            let mut expected = vec!["before".to_owned()];
            // A busy machine, and one that was suspended: the time is what is tested.
            for pause in [Duration::from_millis(800), PAUSE + PAUSE / 2] {
                cluster.master.stop().await?;
                tokio::time::sleep(pause).await;
                cluster.master.resume()?;
                let content = format!("after {pause:?}");
                let http = cluster.master.http().with_deadline(Duration::from_secs(4));
                let body = json!({"content": content, "w": 1});
                http.post("/messages", &body).await?.expect(200)?;
                expected.push(content);
            }
            cluster.broker.restart().await?;
            wait_health(&cluster.master, "broker", "connected").await?;
            cluster.post("with it", 1).await?.expect(200)?;
            expected.push("with it".to_owned());
            ensure!(shown(&cluster.master).await? == expected);
            Ok(())
        })
        .await;
}
