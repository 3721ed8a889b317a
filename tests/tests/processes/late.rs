//! A secondary that joins a long log.

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use replog_tests::harness::{Cluster, ClusterBuilder, Session};
use serde_json::json;

use crate::support::{member, wait_same, wait_status};

const ENTRIES: usize = 10_000;
const CLIENTS: usize = 10;

#[tokio::test]
async fn a_listed_one_gets_ten_thousand_entries() {
    late(Cluster::builder().listed(true)).await;
}

#[tokio::test]
async fn an_unknown_one_does_too_and_is_a_member_from_then_on() {
    late(Cluster::builder()).await;
}

async fn late(builder: ClusterBuilder) {
    let builder = builder.secondaries(2).absent(2);
    builder
        .run(async |cluster| {
            wait_status(&cluster.master, "secondary1", "healthy").await?;
            fill(cluster).await?;
            let waits = cluster.post_pending("for all three", 3);
            wait_same(&cluster.master, cluster.secondary(1)).await?;
            ensure!(waits.is_pending());
            cluster.start_secondary(2).await?;
            let last = waits.answer().await?.expect(200)?.json()?;
            ensure!(last["seq"] == ENTRIES + 1, "{last}");
            wait_same(&cluster.master, cluster.secondary(2)).await?;
            let late = member(&cluster.master, "secondary2").await?;
            ensure!(
                late["acked_seq"] == ENTRIES + 1 && late["lag"] == 0,
                "{late}"
            );
            let all = cluster
                .post("for all there are", "all")
                .await?
                .expect(200)?
                .json()?;
            ensure!(all["w"] == 3, "{all}");
            Ok(())
        })
        .await;
}

async fn fill(cluster: &Cluster) -> Result<()> {
    let clients = (0..CLIENTS).map(async |client| {
        let mut session = Session::open(cluster.master.addr()).await?;
        for i in 0..ENTRIES / CLIENTS {
            let body = json!({"content": format!("{client} {i}"), "w": 1});
            session.post("/messages", &body).await?.expect(200)?;
        }
        anyhow::Ok(())
    });
    try_join_all(clients).await.map(drop)
}
