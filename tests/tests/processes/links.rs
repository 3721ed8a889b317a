//! A link on the way that takes smaller messages than the broker: a leaf node with a `max_payload` of its own, which says nothing
//! to whoever sends a larger one.

use anyhow::{Result, ensure};
use replog_tests::harness::{BrokerOptions, Cluster, NatsServer, PortLease, eventually};

use crate::support::{SOON, member, wait_equal, wait_same};

const LEAF_BYTES: usize = 64 << 10;

/// A cluster around a broker to which leaf nodes may connect, and such a leaf node. The second secondary is absent, and is to be
/// started behind the leaf node.
async fn start() -> Result<(Cluster, NatsServer)> {
    let port = PortLease::take()?;
    let hub = format!("leafnodes {{ listen: \"{}\" }}", port.addr());
    let hub = BrokerOptions::default().config(&hub);
    let builder = Cluster::builder().secondaries(2).absent(2).listed(true);
    let mut cluster = builder.broker(hub).start().await?;
    let remote = format!(
        "leafnodes {{ remotes: [{{ url: \"nats://{}\" }}], reconnect: \"100ms\" }}",
        port.addr()
    );
    let leaf = BrokerOptions::default().config(&remote);
    let leaf = NatsServer::start(leaf.max_payload(LEAF_BYTES)).await?;
    let env = &mut cluster.secondary_mut(2).spec_mut().env;
    env.push(("NATS_URL".to_owned(), leaf.url()));
    Ok((cluster, leaf))
}

/// CASES 08b.
#[tokio::test]
async fn an_entry_that_is_too_large_for_it_is_named_and_holds_up_nobody_else() -> Result<()> {
    let (mut cluster, _leaf) = start().await?;
    cluster.start_secondary(2).await?;
    cluster.wait_healthy(2).await?;
    cluster.post("small", 3).await?.expect(200)?;
    cluster.post(&"x".repeat(300_000), 2).await?.expect(200)?;
    eventually("the entry to be named", SOON, async || {
        let said = member(&cluster.master, "secondary2").await?;
        let problem = said["problem"].as_str().unwrap_or_default();
        let is_named = problem.contains("entry 2 ") && problem.contains("message of 300");
        ensure!(is_named && problem.contains("max_payload"), "{said}");
        Ok(())
    })
    .await?;
    cluster.post("others go on", 2).await?.expect(200)?;
    wait_same(&cluster.master, cluster.secondary(1)).await?;
    ensure!(member(&cluster.master, "secondary1").await?["problem"].is_null());
    Ok(())
}

#[tokio::test]
async fn many_entries_that_are_small_enough_get_through_it_in_smaller_messages() -> Result<()> {
    let (mut cluster, _leaf) = start().await?;
    let contents: Vec<String> = (0..400)
        .map(|i| format!("{i} {}", "x".repeat(1000)))
        .collect();
    for content in &contents {
        cluster.post(content, 2).await?.expect(200)?;
    }
    cluster.start_secondary(2).await?;
    ensure!(wait_equal(&cluster).await? == contents);
    cluster.post("after", 3).await?.expect(200)?;
    let said = member(&cluster.master, "secondary2").await?;
    ensure!(said["problem"].is_null(), "{said}");
    Ok(())
}
