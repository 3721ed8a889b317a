//! Who a node is at the broker, while that changes.

use std::fs;

use anyhow::{Result, ensure};
use nkeys::KeyPair;
use replog_tests::harness::{BrokerOptions, Cluster, eventually};
use tempfile::TempDir;

use crate::support::{SOON, wait_equal, wait_health};

/// A broker that knows one user, by a key.
fn knows(user: &KeyPair) -> BrokerOptions {
    let user = format!("{{nkey: {}}}", user.public_key());
    BrokerOptions::default().users(&user)
}

/// CASES 14: a user of yesterday, whose file was renewed in time, is let in again.
#[tokio::test]
async fn a_credentials_file_is_read_again_at_each_connect() -> Result<()> {
    let dir = TempDir::new()?;
    let file = dir.path().join("user.nk");
    let (old, new) = (KeyPair::new_user(), KeyPair::new_user());
    fs::write(&file, old.seed()?)?;
    let builder = Cluster::builder().secondaries(1).listed(true);
    let path = file.display().to_string();
    let builder = builder.broker(knows(&old)).env("NATS_NKEY", &path);
    builder
        .run(async |cluster| {
            cluster.post("as the old one", 2).await?.expect(200)?;
            // The broker cuts whom it does not know any more.
            cluster.broker.reload(&knows(&new))?;
            wait_health(&cluster.master, "broker", "denied").await?;
            fs::write(&file, new.seed()?)?;
            eventually("the new one to be let in", SOON, async || {
                cluster.post("as the new one", 1).await?.expect(200)?;
                wait_health(&cluster.master, "broker", "connected").await
            })
            .await?;
            cluster.wait_healthy(1).await?;
            ensure!(cluster.post("together", 2).await?.status == 200);
            wait_equal(cluster).await.map(drop)
        })
        .await;
    Ok(())
}
