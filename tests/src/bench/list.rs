//! How fast the master hands out its whole log.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::load::{self, Until};
use super::summary::Spread;
use super::systems::System;
use super::systems::replog::Replog;
use super::usage::Meter;
use super::{Args, FILLERS, cluster, content};

/// It is read at least so often,
const READS: u32 = 10;
/// and for so long: the system counts processor time in steps that are longer than one list may take.
const AT_LEAST: Duration = Duration::from_secs(2);

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub struct List {
    /// Entries in the list.
    pub entries: u64,
    /// What a client receives, with the head.
    pub bytes: u64,
    /// How often it was read.
    pub reads: u32,
    /// Gigabytes a second; the best is the largest.
    pub gb_per_second: Spread,
    /// The master's processor time for one list, in milliseconds.
    pub master_cpu_ms: Option<f64>,
}

/// Measures and prints.
///
/// # Errors
/// A process does not start, a request fails.
pub async fn measure(args: &Args) -> Result<List> {
    let cluster = cluster(args, 2).start().await?;
    cluster.wait_healthy(2).await?;
    let entries = args.list_entries;
    let appends = Replog::new(&cluster, 1, &content(args.content_bytes));
    let connections = load::connect(&appends, FILLERS).await?;
    load::run::<Replog>(connections, Until::Count(entries)).await?;
    appends.settle().await?; // one more entry

    let addr = cluster.master.addr();
    let mut bytes = read(addr, "/messages").await?; // a warm-up
    let master = appends.processes().into_iter().take(1);
    let meter = Meter::start(&master.collect::<Vec<_>>());
    let (all_began, mut reads, mut speeds) = (Instant::now(), 0, Vec::new());
    while reads < READS || all_began.elapsed() < AT_LEAST {
        let began = Instant::now();
        bytes = read(addr, "/messages").await?;
        reads += 1;
        speeds.push(bytes as f64 / 1e9 / began.elapsed().as_secs_f64());
    }
    let spent = meter.processes();
    let cpu = spent.first().and_then(|master| master.cpu_seconds);
    let list = List {
        entries: entries + 1,
        bytes,
        reads,
        gb_per_second: Spread::of(speeds).context("reads")?,
        master_cpu_ms: cpu.map(|seconds| seconds * 1e3 / f64::from(reads)),
    };
    println!();
    print!(
        "GET /messages of {} entries, {:.1} MB, {reads} times: best {:.2} GB/s, median {:.2} GB/s",
        list.entries,
        bytes as f64 / 1e6,
        list.gb_per_second.max,
        list.gb_per_second.median,
    );
    match list.master_cpu_ms {
        Some(ms) => println!("; {ms:.1} ms of the master's processor time each"),
        None => println!(),
    }
    Ok(list)
}

/// Reads the answer to `GET path` to its end and keeps nothing of it; how many bytes it has.
///
/// No HTTP client: one that looks at what it reads would be slower than what it measures.
///
/// # Errors
/// The answer is not 200, or breaks off.
pub async fn read(addr: SocketAddr, path: &str) -> Result<u64> {
    let mut stream = TcpStream::connect(addr).await.context("connect")?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut buffer = vec![0; 1 << 20];
    let (mut bytes, mut head, mut tail) = (0, None, Vec::new());
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            break;
        }
        bytes += count as u64;
        let part = &buffer[..count];
        // The head is in the first packet.
        head.get_or_insert_with(|| String::from_utf8_lossy(&part[..count.min(1024)]).into_owned());
        tail.extend_from_slice(&part[count.saturating_sub(END.len())..]);
        tail.drain(..tail.len().saturating_sub(END.len()));
    }
    let head = head.context("no answer")?;
    let (head, _) = head.split_once("\r\n\r\n").context("no whole head")?;
    let (status, _) = head.split_once("\r\n").context("no headers")?;
    ensure!(status.starts_with("HTTP/1.1 200 "), "{status}");
    let chunked = head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked");
    ensure!(!chunked || tail == END, "the answer broke off");
    Ok(bytes)
}

/// What a chunked answer ends with.
const END: &[u8] = b"0\r\n\r\n";
