//! Two histories in one cluster: neither mixes with the other nor counts for it, until an operator decides.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use replog_tests::harness::{Cluster, Node};
use serde_json::json;

use crate::support::{
    ALLOW_FAULTS, acks_after, health, member, refused, wait_health, wait_one_line, wait_same,
    wait_status,
};
use crate::watch::Watch;

const OLD: [&str; 3] = ["old 1", "old 2", "old 3"];

async fn list(node: &Node) -> Result<Bytes> {
    Ok(node.http().get("/messages").await?.expect(200)?.body)
}

/// The only holder of the old history sleeps while the master, back without its log, begins a new one.
async fn two_histories(cluster: &mut Cluster) -> Result<()> {
    for content in OLD {
        cluster.post(content, 2).await?.expect(200)?;
    }
    cluster.secondary(1).stop().await?;
    cluster.master.restart().await?;
    // As many entries as the old history has: a position alone must not be mistaken for the entry.
    for content in ["new 1", "new 2", "new 3"] {
        cluster.post(content, 1).await?.expect(200)?;
    }
    cluster.secondary(1).resume()?;
    Ok(())
}

#[tokio::test]
async fn a_secondary_of_another_history_keeps_it_and_counts_for_nothing() {
    let builder = Cluster::builder().secondaries(2).absent(2).listed(true);
    builder
        .run(async |cluster| {
            two_histories(cluster).await?;
            let before = list(cluster.secondary(1)).await?;
            let diverged = wait_status(&cluster.master, "secondary1", "diverged").await?;
            ensure!(diverged["acked_seq"] == 0, "{diverged}");
            ensure!(diverged["differs_from"] == 1, "{diverged}");
            let problem = diverged["problem"].as_str().context("a problem")?;
            ensure!(
                problem.contains("another history") && problem.contains("POST /rejoin"),
                "{problem}"
            );
            let waits = cluster.post_pending("for two", 2);
            ensure!(acks_after(cluster, "late", 2, 600).await? == 1, "a false w");
            ensure!(waits.is_pending());
            let one = cluster
                .master
                .http()
                .get("/messages/1")
                .await?
                .expect(200)?
                .json()?;
            ensure!(one["acked_by"] == json!(["master"]), "{one}");
            let secondary = cluster.secondary(1);
            wait_health(secondary, "status", "diverged").await?;
            // It goes on serving what it has, and says what that is.
            let shown = secondary.http().get("/messages").await?.expect(200)?;
            let ours = health(&cluster.master).await?["log_id"].clone();
            ensure!(shown.json()?["diverged_from"] == ours, "{}", shown.text());
            for path in ["/messages", "/messages/1", "/list"] {
                let answer = secondary.http().get(path).await?.expect(200)?;
                ensure!(
                    answer.header("replog-diverged-from") == ours.as_str(),
                    "{path}"
                );
            }
            ensure!(shown.json()?["messages"].as_array().map(Vec::len) == Some(3));
            ensure!(String::from_utf8_lossy(&before).contains("old 3"));
            secondary.http().get("/readyz").await?.expect(503)?;
            let quorum = health(&cluster.master).await?["quorum"].clone();
            ensure!(
                quorum == json!({"needed": 2, "alive": 1, "ok": false}),
                "{quorum}"
            );

            // One that is empty follows.
            cluster.start_secondary(2).await?;
            let two = waits.answer().await?.expect(200)?.json()?;
            ensure!(two["acks"] == 2 && two["log_id"] == ours, "{two}");
            wait_same(&cluster.master, cluster.secondary(2)).await?;
            ensure!(member(&cluster.master, "secondary1").await?["status"] == "diverged");
            ensure!(acks_after(cluster, "for all", 3, 300).await? == 2);
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn a_diverged_one_that_rejoins_follows_and_keeps_what_it_had() {
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .run(async |cluster| {
            cluster.wait_healthy(1).await?;
            refused(
                cluster
                    .secondary(1)
                    .http()
                    .post("/rejoin", &json!({}))
                    .await?,
                409,
            )?;
            two_histories(cluster).await?;
            let waits = cluster.post_pending("for two", 2);
            wait_health(cluster.secondary(1), "status", "diverged").await?;
            ensure!(waits.is_pending());
            let http = cluster.secondary(1).http();
            let rejoined = http
                .post("/rejoin", &json!({}))
                .await?
                .expect(200)?
                .json()?;
            ensure!(rejoined["put_aside"] == 3, "{rejoined}");
            let log_id = health(&cluster.master).await?["log_id"].clone();
            let says = [
                "INFO",
                "POST /rejoin",
                "client=127.0.0.1:",
                "entries=3 ",
                &format!("new_log_id={}", log_id.as_str().unwrap_or("?")),
            ];
            wait_one_line(cluster.secondary(1), &says).await?;
            waits.answer().await?.expect(200)?;
            wait_same(&cluster.master, cluster.secondary(1)).await?;
            let kept = http.get("/diverged").await?.expect(200)?.json()?;
            let tail = &kept["tails"][0];
            ensure!(tail["first_seq"] == 1 && tail["last_seq"] == 3, "{kept}");
            for (i, content) in OLD.iter().enumerate() {
                ensure!(tail["entries"][i]["content"] == *content, "{kept}");
            }
            ensure!(health(cluster.secondary(1)).await?["put_aside"] == 3);
            cluster.wait_healthy(1).await
        })
        .await;
}

#[tokio::test]
async fn a_diverged_one_that_is_cleared_follows_again() {
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .env("REPLOG_ALLOW_CLEAR", "true")
        .run(async |cluster| {
            two_histories(cluster).await?;
            wait_status(&cluster.master, "secondary1", "diverged").await?;
            let http = cluster.secondary(1).http();
            http.post("/clear", &json!({})).await?.expect(200)?;
            cluster.wait_healthy(1).await?;
            wait_same(&cluster.master, cluster.secondary(1)).await
        })
        .await;
}

/// Within one history: what only one secondary and the dead master had is rolled back when the cluster went on without it.
#[tokio::test]
async fn a_tail_that_the_cluster_went_on_without_is_rolled_back() {
    let builder = Cluster::builder().secondaries(2).listed(true);
    let (name, value) = ALLOW_FAULTS;
    builder
        .env(name, value)
        .run(async |cluster| {
            cluster.post("common", 3).await?.expect(200)?;
            let faults = cluster.secondary(2).http();
            let drop = async |rate: f64| faults.put("/faults", &json!({"drop_rate": rate})).await;
            drop(1.0).await?.expect(200)?;
            for content in ["lost 1", "lost 2", "lost 3"] {
                cluster.post(content, 2).await?.expect(200)?;
            }
            cluster.secondary(1).stop().await?;
            cluster.master.kill().await?;
            drop(0.0).await?.expect(200)?;
            cluster.master.restart().await?;
            cluster.post("instead", 2).await?.expect(200)?;
            let mut watch = Watch::of(&cluster.broker).await?;
            cluster.secondary(1).resume()?;
            cluster.post("after", 3).await?.expect(200)?;
            for i in [1, 2] {
                wait_same(&cluster.master, cluster.secondary(i)).await?;
            }
            ensure!(
                crate::support::shown(&cluster.master).await? == ["common", "instead", "after"]
            );
            let kept = cluster
                .secondary(1)
                .http()
                .get("/diverged")
                .await?
                .expect(200)?
                .json()?;
            let tails = kept["tails"].as_array().context("tails")?;
            let mut entries: Vec<_> = tails
                .iter()
                .flat_map(|tail| tail["entries"].as_array().into_iter().flatten())
                .map(|entry| entry["content"].as_str().unwrap_or_default())
                .collect();
            entries.sort_unstable();
            ensure!(entries == ["lost 1", "lost 2", "lost 3"], "{kept}");
            let event = "event.secondary1.rolled_back";
            let seen = watch.until(event, |seen| seen.about == event).await?;
            let event = seen.last().context("an event")?;
            ensure!(
                event.text.starts_with(r#"{"kind":"rolled_back","#),
                "{event:?}"
            );
            ensure!(health(cluster.secondary(1)).await?["status"] == "ok");
            Ok(())
        })
        .await;
}
