//! Masters that share a journal in a JetStream stream of three servers: `demo chaos-ha`.
//!
//! Two things go wrong side by side, each by its own chance: the master that leads is killed, paused or cut off every few
//! seconds; and nats-servers are killed, the stream's leader every second time. Clients append wherever they are sent, readers
//! look at every node all the time. Then everything is healed, must come together, and is checked against what the clients were
//! told and what the readers saw.

mod check;
mod faults;
mod readers;
mod timings;
mod writers;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::{Args, keep};
use crate::harness::HaCluster;
use faults::Faults;
use readers::Seen;
use timings::Timings;
use writers::Writers;

/// Clients that append at one time.
const WRITERS: usize = 6;
/// How long the cluster may take to come together once nothing disturbs it.
const HEALED_WITHIN: Duration = Duration::from_secs(60);

/// What a run was like.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Messages that a client was told to be replicated.
    pub acknowledged: usize,
    /// Messages that were refused, and never anything else.
    pub refused: usize,
    /// Messages of which the client knows no more than that they are in the log, or may be.
    pub unknown: usize,
    /// Refusals by their reason.
    pub reasons: BTreeMap<String, u64>,
    /// From the end of a master that led to the next 200 of another one, while the stream had a leader.
    pub takeovers: Vec<(String, Duration)>,
    /// The same, while nats-servers chose one.
    pub takeovers_in_elections: usize,
    /// From the end of the nats-server that led the stream to the next 200.
    pub elections: Vec<Duration>,
    /// nats-servers that were killed and did not lead the stream.
    pub followers_killed: usize,
    /// The longest times between two 200s.
    pub gaps: Vec<Duration>,
    /// Entries that the readers have seen and compared.
    pub seen: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = |times: &[Duration]| {
            let times = times.iter().map(|t| format!("{:.2}", t.as_secs_f64()));
            times.collect::<Vec<_>>().join(" ")
        };
        let reasons = self.reasons.iter().map(|(r, n)| format!("{n} {r}"));
        writeln!(
            f,
            "{} messages acknowledged, {} refused, {} unknown; refusals: {}",
            self.acknowledged,
            self.refused,
            self.unknown,
            reasons.collect::<Vec<_>>().join(", ")
        )?;
        let mut kinds: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
        for (kind, took) in &self.takeovers {
            kinds.entry(kind).or_default().push(*took);
        }
        for (kind, took) in kinds {
            writeln!(f, "takeovers after {kind}, s: {}", secs(&took))?;
        }
        writeln!(
            f,
            "takeovers while nats-servers chose a leader: {}",
            self.takeovers_in_elections
        )?;
        writeln!(
            f,
            "elections of nats-servers, s: {}; others of them killed: {}",
            secs(&self.elections),
            self.followers_killed
        )?;
        write!(
            f,
            "longest times without a 200, s: {}; {} entries compared by readers",
            secs(&self.gaps),
            self.seen
        )
    }
}

/// One run. A failing one leaves the nodes' logs behind, and says where.
///
/// # Errors
/// What is not as it must be.
pub async fn run(Args { seed, seconds }: Args) -> Result<Report> {
    let mut cluster = HaCluster::builder()
        .brokers(3)
        .masters(3)
        .secondaries(2)
        .cuttable()
        .start()
        .await?;
    let played = Box::pin(play(&mut cluster, seed, Duration::from_secs(seconds))).await;
    if let Err(error) = played {
        let kept = keep(cluster.dir(), seed)?;
        bail!(
            "seed {seed}: {error:#}\nthe nodes' logs are in {}",
            kept.display()
        );
    }
    played
}

async fn play(cluster: &mut HaCluster, seed: u64, length: Duration) -> Result<Report> {
    cluster.post("the first", 3).await?.expect(200)?;
    let timings = Arc::new(Timings::start());
    let writers = Arc::new(Writers::new(&cluster.masters, Arc::clone(&timings)));
    let seen = Arc::new(Mutex::new(Seen::default()));
    let writing: Vec<_> = (0..WRITERS)
        .map(|n| tokio::spawn(writers::write(Arc::clone(&writers), seed, n)))
        .collect();
    let nodes: Vec<_> = cluster.nodes().map(readers::Observed::of).collect();
    let reading: Vec<_> = nodes
        .into_iter()
        .map(|node| tokio::spawn(readers::read(node, Arc::clone(&seen), Arc::clone(&writers))))
        .collect();
    let faults = Faults {
        writers: Arc::clone(&writers),
        begun: Instant::now(),
        length,
        elections: AtomicU64::new(0),
    };
    let (masters, networks) = (&mut cluster.masters, &cluster.networks);
    let (of_masters, of_brokers) = tokio::try_join!(
        faults::of_masters(&faults, masters, networks, seed),
        faults::of_brokers(&faults, &mut cluster.brokers, seed)
    )?;
    writers.ledger.end();
    for task in writing.into_iter().chain(reading) {
        task.await??;
    }
    let list = cluster.wait_settled(HEALED_WITHIN).await?;
    check::the_end(cluster, &list, &writers.ledger, &seen).await?;
    let mut report = writers.report();
    report.takeovers = of_masters.takeovers;
    report.takeovers_in_elections = of_masters.in_elections;
    report.elections = of_brokers.elections;
    report.followers_killed = of_brokers.followers_killed;
    report.gaps = timings.longest();
    report.seen = seen.lock().expect("nobody panics with it").compared();
    check::something_happened(&report)?;
    ensure!(
        report.acknowledged > 0,
        "no message was acknowledged at all"
    );
    Ok(report)
}
