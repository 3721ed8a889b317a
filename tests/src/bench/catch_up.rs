//! A long log, a secondary that has nothing, and the memory that an entry costs.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use tokio::time::Instant;

use super::load::{self, Until};
use super::{Args, cluster, content, disk, usage};
use crate::harness::Node;

/// Clients that fill the log.
const FILLERS: usize = 256;
/// Longer than any catch-up takes, and what a read may wait at most.
const PATIENCE: Duration = Duration::from_secs(300);

/// Measures and prints.
///
/// # Errors
/// A process does not start, a request fails, the secondary does not catch up.
pub async fn measure(args: &Args) -> Result<()> {
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
    let body = json!({"content": content(args.content_bytes), "w": 1});
    let (addr, body) = (cluster.master.addr(), body.to_string().into());
    let filled = load::post(addr, body, FILLERS, Until::Count(entries)).await?;
    let full = usage::memory_bytes(cluster.master.pid());
    println!(
        "filled over HTTP by {FILLERS} clients in {:.1} s, {:.0} a second",
        filled.elapsed.as_secs_f64(),
        filled.rate()
    );

    usage::forget_peak(cluster.master.pid());
    let cpu = usage::cpu(cluster.master.pid());
    let began = Instant::now();
    cluster.start_secondary(1).await?;
    let secondary = cluster.secondary(1);
    holds(secondary, entries).await?;
    let took = began.elapsed().as_secs_f64();
    println!(
        "caught up in {took:.2} s from the start of its process: {:.0} entries a second",
        entries as f64 / took
    );
    for (name, pid, before) in [
        ("master", cluster.master.pid(), cpu),
        ("secondary", secondary.pid(), Some(Duration::ZERO)),
    ] {
        let spent = usage::cpu(pid).zip(before).map(|(a, b)| a - b);
        let each = spent.map_or(f64::NAN, |s| s.as_secs_f64() * 1e6) / entries as f64;
        println!("{name:>9}: {each:.2} us of processor time an entry");
    }
    let caught_up = usage::memory_bytes(secondary.pid());
    print_memory("master", empty, full, entries);
    print_memory("secondary", fresh, caught_up, entries);
    print_peak(&cluster.master);
    usage::forget_peak(cluster.master.pid());
    let began = Instant::now();
    let listed = load::read(addr, "/messages").await?;
    println!(
        "GET /messages: {} MiB in {:.1} s",
        listed >> 20,
        began.elapsed().as_secs_f64()
    );
    print_peak(&cluster.master);
    if args.disk {
        disk::reopen(&mut cluster.master, entries).await?;
        disk::reopen(cluster.secondary_mut(1), entries).await?;
    }
    Ok(())
}

/// Waits until it shows entry `seq`.
async fn holds(secondary: &Node, seq: u64) -> Result<()> {
    let wait = PATIENCE.as_secs();
    let path = format!("/messages?from={seq}&min_seq={seq}&wait={wait}s");
    let http = secondary.http().with_deadline(PATIENCE);
    let answer = http.get(&path).await?.expect(200);
    answer.map(drop).context("the secondary caught up")
}

fn print_peak(node: &Node) {
    if let Some(peak) = usage::peak_bytes(node.pid()) {
        let name = node.name();
        println!("{name:>9}: {} MiB of memory at most meanwhile", peak >> 20);
    }
}

fn print_memory(name: &str, before: Option<u64>, after: Option<u64>, entries: u64) {
    let Some((before, after)) = before.zip(after) else {
        return println!("{name:>9}: memory unknown");
    };
    let each = after.saturating_sub(before) as f64 / entries as f64;
    println!(
        "{name:>9}: {each:.0} bytes of memory an entry ({} MiB)",
        after >> 20
    );
}
