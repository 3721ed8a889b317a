//! A long log, a secondary that has nothing, and the memory that an entry costs.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use tokio::time::Instant;

use super::load::{self, Until};
use super::systems::replog::Replog;
use super::{Args, FILLERS, cluster, content, disk, list, usage};
use crate::harness::Node;

/// Longer than any catch-up takes, and what a read may wait at most.
const PATIENCE: Duration = Duration::from_secs(300);

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub struct CatchUp {
    /// Entries in the log.
    pub entries: u64,
    /// Appends a second while the log was filled, with `w` = 1 and the secondary away.
    pub filled_per_second: f64,
    /// From the start of the secondary's process to its last entry.
    pub seconds: f64,
    /// The master's part and the secondary's.
    pub nodes: Vec<NodeCost>,
}

/// What the log costs a node.
#[derive(Clone, Debug, Serialize)]
pub struct NodeCost {
    /// `master`, `secondary1`.
    pub node: String,
    /// Processor time of the catch-up for each entry, in microseconds.
    pub cpu_us_per_entry: Option<f64>,
    /// Memory for each entry, in bytes.
    pub bytes_per_entry: Option<f64>,
    /// Memory of the whole process, in bytes.
    pub bytes: Option<u64>,
    /// With `--disk`: from its start after a kill to the last entry, in milliseconds.
    pub reopened_ms: Option<f64>,
}

/// Measures and prints.
///
/// # Errors
/// A process does not start, a request fails, the secondary does not catch up.
pub async fn measure(args: &Args) -> Result<CatchUp> {
    let mut cluster = cluster(args, 1).start().await?;
    cluster.wait_healthy(1).await?;
    let entries = args.entries;
    println!();
    println!(
        "catch-up over {entries} entries of {} bytes",
        args.content_bytes
    );
    let empty = usage::memory_bytes(cluster.master.pid());
    let fresh = usage::memory_bytes(cluster.secondary(1).pid());
    cluster.kill_secondary(1).await?;
    let appends = Replog::new(&cluster, 1, &content(args.content_bytes));
    let connections = load::connect(&appends, FILLERS).await?;
    let filled = load::run::<Replog>(connections, Until::Count(entries)).await?;
    let full = usage::memory_bytes(cluster.master.pid());
    println!(
        "filled over HTTP by {FILLERS} clients in {:.1} s, {:.0} a second",
        filled.elapsed.as_secs_f64(),
        filled.rate()
    );

    usage::forget_peak(cluster.master.pid());
    let master_cpu = usage::cpu(cluster.master.pid());
    let began = Instant::now();
    cluster.start_secondary(1).await?;
    let secondary = cluster.secondary(1);
    holds(secondary, entries).await?;
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "caught up in {seconds:.2} s from the start of its process: {:.0} entries a second",
        entries as f64 / seconds
    );
    let caught_up = usage::memory_bytes(secondary.pid());
    let mut nodes = vec![
        cost(&cluster.master, master_cpu, empty, full, entries),
        cost(secondary, Some(Duration::ZERO), fresh, caught_up, entries),
    ];
    print_peak(&cluster.master);
    usage::forget_peak(cluster.master.pid());
    let began = Instant::now();
    let listed = list::read(cluster.master.addr(), "/messages").await?;
    println!(
        "GET /messages: {} MiB in {:.1} s",
        listed >> 20,
        began.elapsed().as_secs_f64()
    );
    print_peak(&cluster.master);
    if args.disk() {
        nodes[0].reopened_ms = Some(disk::reopen(&mut cluster.master, entries).await?);
        nodes[1].reopened_ms = Some(disk::reopen(cluster.secondary_mut(1), entries).await?);
    }
    Ok(CatchUp {
        entries,
        filled_per_second: filled.rate(),
        seconds,
        nodes,
    })
}

/// Waits until it shows entry `seq`.
async fn holds(secondary: &Node, seq: u64) -> Result<()> {
    let wait = PATIENCE.as_secs();
    let path = format!("/messages?from={seq}&min_seq={seq}&wait={wait}s");
    let http = secondary.http().with_deadline(PATIENCE);
    let answer = http.get(&path).await?.expect(200);
    answer.map(drop).context("the secondary caught up")
}

/// Says what the log cost a node, beside its memory without a log and its processor time before.
fn cost(
    node: &Node,
    cpu_before: Option<Duration>,
    empty: Option<u64>,
    full: Option<u64>,
    entries: u64,
) -> NodeCost {
    let spent = usage::cpu(node.pid()).zip(cpu_before);
    let spent = spent.map(|(after, before)| after.saturating_sub(before).as_secs_f64());
    let memory = full.zip(empty);
    let cost = NodeCost {
        node: node.name().to_owned(),
        cpu_us_per_entry: spent.map(|seconds| seconds * 1e6 / entries as f64),
        bytes_per_entry: memory
            .map(|(full, empty)| full.saturating_sub(empty) as f64 / entries as f64),
        bytes: full,
        reopened_ms: None,
    };
    println!(
        "{:>10}: {:.2} us of processor time an entry, {:.0} bytes of memory an entry ({} MiB)",
        cost.node,
        cost.cpu_us_per_entry.unwrap_or(f64::NAN),
        cost.bytes_per_entry.unwrap_or(f64::NAN),
        cost.bytes.unwrap_or_default() >> 20,
    );
    cost
}

fn print_peak(node: &Node) {
    if let Some(peak) = usage::peak_bytes(node.pid()) {
        let name = node.name();
        println!("{name:>10}: {} MiB of memory at most meanwhile", peak >> 20);
    }
}
