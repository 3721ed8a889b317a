//! The self-check of the task, over HTTP alone, for listed and for open membership.

use anyhow::{Result, ensure};
use replog_tests::harness::{Cluster, ClusterBuilder};

use crate::support::{wait_equal, wait_status};

const ALL: [&str; 4] = ["Msg1", "Msg2", "Msg3", "Msg4"];

#[tokio::test]
async fn the_steps_with_listed_members() {
    let builder = Cluster::builder().listed(true);
    play(builder).await;
}

#[tokio::test]
async fn the_steps_with_whoever_joins() {
    play(Cluster::builder()).await;
}

async fn play(builder: ClusterBuilder) {
    builder
        .secondaries(2)
        .absent(2)
        .run(async |cluster| steps(cluster).await)
        .await;
}

async fn steps(cluster: &mut Cluster) -> Result<()> {
    wait_status(&cluster.master, "secondary1", "healthy").await?;
    let first = cluster.post("Msg1", 1).await?.expect(200)?.json()?;
    ensure!(
        first["seq"] == 1 && first["status"] == "replicated",
        "{first}"
    );
    let second = cluster.post("Msg2", 2).await?.expect(200)?.json()?;
    ensure!(second["acks"] == 2 && second["w"] == 2, "{second}");

    let third = cluster.post_pending("Msg3", 3);
    cluster.wait_messages(&cluster.master, &ALL[..3]).await?;
    cluster.post("Msg4", 1).await?.expect(200)?;
    cluster.wait_messages(&cluster.master, &ALL).await?;
    cluster.wait_messages(cluster.secondary(1), &ALL).await?;
    ensure!(third.is_pending(), "w=3 was answered by two nodes");

    cluster.start_secondary(2).await?;
    let third = third.answer().await?.expect(200)?.json()?;
    ensure!(third["acks"] == 3 && third["seq"] == 3, "{third}");
    ensure!(wait_equal(cluster).await? == ALL);
    Ok(())
}
