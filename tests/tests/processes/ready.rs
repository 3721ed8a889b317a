//! Whether a node is ready, and how far it is behind: claims about now, which need a word of now.

use anyhow::{Result, ensure};
use replog_tests::harness::{Cluster, Node, eventually};
use serde_json::json;

use crate::support::{SOON, health, member, refused, wait_health, wait_same};

/// Waits until a node is not ready for that reason.
async fn wait_not_ready(node: &Node, reasons: &[&str]) -> Result<()> {
    let what = format!("{} not to be ready: {reasons:?}", node.name());
    eventually(&what, SOON, async || {
        let problem = refused(node.http().get("/readyz").await?, 503)?;
        let reason = problem["reason"].as_str().unwrap_or_default();
        ensure!(reasons.contains(&reason), "{problem}");
        Ok(())
    })
    .await
}

async fn wait_ready(node: &Node) -> Result<()> {
    let what = format!("{} to be ready", node.name());
    eventually(&what, SOON, async || {
        node.http().get("/readyz").await?.expect(200)
    })
    .await?;
    Ok(())
}

async fn lines(node: &Node, status: u16) -> Result<String> {
    let answer = node.http().get("/readyz?verbose").await?;
    Ok(answer.expect(status)?.text())
}

/// CASES A8.
#[tokio::test]
async fn nobody_is_ready_while_the_broker_hangs() {
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .run(async |cluster| {
            cluster.post("one", 2).await?.expect(200)?;
            let secondary = cluster.secondary(1);
            wait_ready(secondary).await?;
            let expected = "[+] recovered: 1 entries\n[+] storage: memory\n[+] appends: taken\n[+] broker: connected\nready\n";
            let said = lines(&cluster.master, 200).await?;
            ensure!(said == expected, "{said}");
            let said = lines(secondary, 200).await?;
            ensure!(said.contains("[+] caught up: 0 entries behind\nready\n"), "{said}");

            cluster.broker.stop().await?;
            let secondary = cluster.secondary(1);
            wait_not_ready(secondary, &["master_silent", "disconnected"]).await?;
            let said = lines(secondary, 503).await?;
            ensure!(said.contains("[-] master: the master has not been heard for"), "{said}");
            let now = health(secondary).await?;
            ensure!(now["lag"].is_null() && now["status"] == "catching_up", "{now}");
            // The library notices a dead peer when its pings are not answered.
            wait_not_ready(&cluster.master, &["disconnected"]).await?;
            for node in cluster.nodes() {
                node.http().get("/livez").await?.expect(200)?;
            }

            cluster.broker.resume()?;
            for node in cluster.nodes() {
                wait_ready(node).await?;
            }
            wait_health(cluster.secondary(1), "lag", 0).await
        })
        .await;
}

/// One that is cut off does not know what it lacks; how much it lacks counts from when it hears of it.
#[tokio::test]
async fn a_secondary_that_is_behind_is_ready_within_what_it_is_forgiven() {
    let builder = Cluster::builder().secondaries(2).listed(true);
    builder
        .secondary_args(1, ["--ready-lag", "5", "--delay", "60s"])
        .secondary_args(2, ["--delay", "60s"])
        .run(async |cluster| {
            cluster.wait_healthy(2).await?;
            let (forgiving, strict) = (cluster.secondary(1), cluster.secondary(2));
            wait_ready(strict).await?;
            for i in 0..5 {
                cluster.post(&format!("{i}"), 1).await?.expect(200)?;
            }
            wait_health(forgiving, "lag", 5).await?;
            wait_not_ready(strict, &["catching_up"]).await?;
            let said = lines(forgiving, 200).await?;
            ensure!(said.contains("[+] caught up: 5 entries behind"), "{said}");
            cluster.post("one more", 1).await?.expect(200)?;
            wait_not_ready(forgiving, &["catching_up"]).await
        })
        .await;
}

#[tokio::test]
async fn everybody_knows_where_clients_reach_the_others() {
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .secondary_args(1, ["--advertise-url", "https://s1.example.com:8443/"])
        .run(async |cluster| {
            cluster.post("one", 2).await?.expect(200)?;
            let secondary = cluster.secondary(1);
            wait_same(&cluster.master, secondary).await?;
            let url = "https://s1.example.com:8443";
            let said = member(&cluster.master, "secondary1").await?;
            ensure!(said["url"] == url, "{said}");
            let said = health(secondary).await?;
            ensure!(said["url"] == url, "{said}");
            let master_url = format!("http://{}", cluster.master.addr());
            ensure!(said["master_url"] == master_url, "{said}");
            ensure!(health(&cluster.master).await?["url"] == master_url);
            let http = secondary.http();
            let problem = refused(http.post("/messages", &json!({})).await?, 405)?;
            ensure!(problem["master"] == master_url, "{problem}");
            Ok(())
        })
        .await;
}
