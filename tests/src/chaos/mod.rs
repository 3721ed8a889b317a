//! Real processes with logs on disks, writers, and faults that follow from a seed: `demo chaos`.
//!
//! Faults one after the other while clients append; then everything is healed, must come together, and is checked against
//! what the clients were told. A run in which one of the faults did not happen is no good run.

mod check;
mod faults;
pub mod ha;
mod ledger;
mod writers;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::harness::{Cluster, eventually};
use replog_model::rng::SeededRng;

pub use faults::Fault;
use ledger::Ledger;

/// Clients that append at one time.
const WRITERS: usize = 6;
/// How long the cluster may take to come together once nothing disturbs it.
const HEALED_WITHIN: Duration = Duration::from_secs(60);

/// What a run is to be like.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Args {
    /// Which faults, and in which order.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How long at least; each fault happens once at least.
    #[arg(long, default_value_t = 60)]
    pub seconds: u64,
}

/// What a run was like.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Faults, in their order.
    pub faults: Vec<Fault>,
    /// Messages that a client was told to be replicated.
    pub acknowledged: usize,
    /// Messages that were refused, and never anything else.
    pub refused: usize,
    /// Messages of which the client does not know.
    pub unknown: usize,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} faults; {} messages acknowledged, {} refused, {} unknown",
            self.faults.len(),
            self.acknowledged,
            self.refused,
            self.unknown
        )
    }
}

/// One run. A failing one leaves the nodes' directories and logs behind, and says where.
///
/// # Errors
/// What is not as it must be.
pub async fn run(Args { seed, seconds }: Args) -> Result<Report> {
    let mut cluster = Cluster::builder()
        .secondaries(2)
        .listed(true)
        .durable(true)
        .start()
        .await?;
    let played = play(&mut cluster, seed, Duration::from_secs(seconds)).await;
    if let Err(error) = played {
        let kept = keep(cluster.dir(), seed)?;
        bail!(
            "seed {seed}: {error:#}\nthe nodes' directories and logs are in {}",
            kept.display()
        );
    }
    played
}

async fn play(cluster: &mut Cluster, seed: u64, length: Duration) -> Result<Report> {
    let mut random = SeededRng::new(seed);
    let ledger = Arc::new(Ledger::default());
    cluster.wait_healthy(2).await?;
    let writers: Vec<_> = (0..WRITERS)
        .map(|n| {
            let http = cluster.master.http();
            tokio::spawn(writers::write(http, Arc::clone(&ledger), seed, n))
        })
        .collect();
    let (begun, mut faults) = (Instant::now(), Vec::new());
    // All of them in some order, then all of them in another.
    while begun.elapsed() < length || faults.len() < Fault::ALL.len() {
        let mut deck = Fault::ALL.to_vec();
        while !deck.is_empty() && (begun.elapsed() < length || faults.len() < Fault::ALL.len()) {
            let fault = deck.swap_remove(random.below(deck.len() as u64) as usize);
            println!("{:6.1} s  {fault:?}", begun.elapsed().as_secs_f64());
            let happened = faults::play(cluster, &ledger, &mut random, fault).await;
            happened.with_context(|| format!("while playing {fault:?}"))?;
            faults.push(fault);
        }
    }
    ledger.end();
    for writer in writers {
        writer.await??;
    }
    converged(cluster).await?;
    check::the_end(cluster, &ledger).await?;
    let report = ledger.report(faults);
    ensure!(
        report.acknowledged > 0,
        "no message was acknowledged at all"
    );
    Ok(report)
}

/// Waits until every node shows the same, and the master takes appends.
async fn converged(cluster: &Cluster) -> Result<()> {
    eventually("the cluster to come together", HEALED_WITHIN, async || {
        let health = cluster.master.http().get("/health").await?.expect(200)?;
        let health = health.json()?;
        ensure!(health["status"] == "ok", "{health}");
        let members = health["members"].as_array().context("members")?;
        let is_well = |m: &serde_json::Value| m["status"] == "healthy" && m["lag"] == 0;
        ensure!(members.iter().all(is_well), "{health}");
        let ours = cluster.master.http().get("/messages").await?.expect(200)?;
        for node in cluster.nodes().skip(1) {
            let theirs = node.http().get("/messages").await?.expect(200)?;
            ensure!(
                ours.body == theirs.body,
                "{} shows something else",
                node.name()
            );
        }
        Ok(())
    })
    .await
}

/// Copies what the nodes wrote to where it stays.
fn keep(dir: &Path, seed: u64) -> Result<PathBuf> {
    let kept = std::env::temp_dir().join(format!("replog-chaos-{seed}-{}", std::process::id()));
    std::fs::create_dir_all(&kept)?;
    let copied = std::process::Command::new("cp")
        .arg("-r")
        .arg(dir)
        .arg(&kept)
        .status()?;
    ensure!(copied.success(), "the directories could not be kept");
    Ok(kept)
}
