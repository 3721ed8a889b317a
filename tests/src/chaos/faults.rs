//! What is done to the cluster.

use std::time::Duration;

use anyhow::Result;

use super::ledger::Ledger;
use super::{check, converged};
use crate::harness::{Cluster, Node};
use replog_model::rng::SeededRng;

/// One disturbance, from its beginning to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The master is killed, and starts again.
    KillMaster,
    /// A secondary is.
    KillSecondary,
    /// The master is stopped for a while (SIGSTOP).
    StopMaster,
    /// A secondary is.
    StopSecondary,
    /// The broker is killed, and starts again.
    KillBroker,
    /// The broker is stopped for a while.
    StopBroker,
    /// A secondary starts again without its directory.
    ForgetSecondary,
    /// The master does; everybody else holds everything then.
    ForgetMaster,
    /// Everything is killed at once; what each disk holds is looked at before they hear of each other.
    KillAll,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 9] = [
        Self::KillMaster,
        Self::KillSecondary,
        Self::StopMaster,
        Self::StopSecondary,
        Self::KillBroker,
        Self::StopBroker,
        Self::ForgetSecondary,
        Self::ForgetMaster,
        Self::KillAll,
    ];
}

/// Plays one, and gives the cluster a while.
pub(super) async fn play(
    cluster: &mut Cluster,
    ledger: &Ledger,
    random: &mut SeededRng,
    fault: Fault,
) -> Result<()> {
    let secondary = 1 + random.below(2) as usize;
    let long = random.between(Duration::from_millis(100), Duration::from_millis(4000));
    match fault {
        Fault::KillMaster => kill(&mut cluster.master, long).await?,
        Fault::KillSecondary => kill(cluster.secondary_mut(secondary), long).await?,
        Fault::StopMaster => stop(&cluster.master, long).await?,
        Fault::StopSecondary => stop(cluster.secondary(secondary), long).await?,
        Fault::KillBroker => {
            cluster.broker.kill().await?;
            tokio::time::sleep(long).await;
            cluster.broker.restart().await?;
        }
        Fault::StopBroker => {
            cluster.broker.stop().await?;
            tokio::time::sleep(long).await;
            cluster.broker.resume()?;
        }
        Fault::ForgetSecondary => {
            ledger.grow_old();
            let dir = cluster.dir().join(format!("data-secondary{secondary}"));
            let node = cluster.secondary_mut(secondary);
            node.kill().await?;
            std::fs::remove_dir_all(dir)?;
            node.restart().await?;
        }
        Fault::ForgetMaster => {
            let pause = ledger.pause().await;
            converged(cluster).await?;
            ledger.grow_young();
            cluster.master.kill().await?;
            std::fs::remove_dir_all(cluster.dir().join("data-master"))?;
            cluster.master.restart().await?;
            drop(pause);
        }
        Fault::KillAll => kill_all(cluster, ledger).await?,
    }
    tokio::time::sleep(random.between(Duration::from_millis(200), Duration::from_millis(2500)))
        .await;
    Ok(())
}

async fn kill(node: &mut Node, long: Duration) -> Result<()> {
    node.kill().await?;
    tokio::time::sleep(long).await;
    node.restart().await
}

async fn stop(node: &Node, long: Duration) -> Result<()> {
    node.stop().await?;
    tokio::time::sleep(long).await;
    node.resume()
}

async fn kill_all(cluster: &mut Cluster, ledger: &Ledger) -> Result<()> {
    let told = ledger.messages().clone();
    cluster.broker.kill().await?;
    cluster.kill_nodes().await?;
    cluster.start_nodes().await?;
    check::what_the_disks_hold(cluster, &told).await?;
    cluster.broker.restart().await
}
