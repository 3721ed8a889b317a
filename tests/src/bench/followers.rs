//! Clients that follow the log as server-sent events while others append.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use replog_service::descriptors;
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::load::{self, Until};
use super::summary::Sample;
use super::systems::replog::Replog;
use super::systems::{AnySystem as _, System as _};
use super::usage::Meter;
use super::{Args, cluster, content};
use crate::harness::Node;

/// Clients that append meanwhile. Each entry goes to every follower, so a few are enough.
const WRITERS: usize = 4;
/// What takes longer does not come.
const PATIENCE: Duration = Duration::from_secs(60);

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub struct Followers {
    /// Open streams.
    pub followers: usize,
    /// Clients that append, with `w` = 3.
    pub writers: usize,
    /// What they saw without a follower.
    pub alone: Sample,
    /// What they saw with all of them.
    pub followed: Sample,
    /// Bytes that all followers together received in a second, in megabytes.
    pub mb_per_second: f64,
    /// From the last answer to a writer until every follower has the last entry, in milliseconds.
    pub last_event_ms: f64,
}

impl Followers {
    /// Events that all followers together received in a second.
    #[must_use]
    pub fn events_per_second(&self) -> f64 {
        self.followed.rate() * self.followers as f64
    }
}

/// Measures and prints.
///
/// # Errors
/// A process does not start, a request fails, a stream ends or misses the last entry.
pub async fn measure(args: &Args) -> Result<Followers> {
    // Every follower is two descriptors of this process's children, and one of its own.
    let limit = descriptors::raise_limit();
    let followers = descriptors::connections_within(args.followers, limit);
    ensure!(
        followers == args.followers,
        "{} followers need more open files than the {limit:?} that this process may have",
        args.followers
    );
    let cluster = cluster(args, 2)
        .env("REPLOG_MAX_STREAMS", &followers.to_string())
        .start()
        .await?;
    cluster.wait_healthy(2).await?;
    let appends = Replog::new(&cluster, 3, &content(args.content_bytes));
    let turn = Until::Elapsed(Duration::from_secs_f64(args.seconds));
    let alone = appends.turn(WRITERS, turn).await?;

    let streams = Streams::open(&cluster.master, followers).await?;
    let connections = load::connect(&appends, WRITERS).await?;
    let meter = Meter::start(&appends.processes());
    let seen = load::run::<Replog>(connections, turn).await?;
    let bytes = streams.bytes();
    let load_cpu = meter.load();
    let servers = meter.processes();
    let began = Instant::now();
    streams.have(last_entry(&cluster.master).await?).await?;
    let measured = Followers {
        followers,
        writers: WRITERS,
        alone,
        mb_per_second: bytes as f64 / 1e6 / seen.elapsed.as_secs_f64(),
        followed: Sample::new(&seen, servers, load_cpu),
        last_event_ms: began.elapsed().as_secs_f64() * 1e3,
    };
    println!();
    println!(
        "{followers} followers (server-sent events) of {WRITERS} clients that append with w = 3: \
         {:.0} appends a second (p99 {} us), without followers {:.0} (p99 {} us); \
         {:.0} events a second, {:.0} MB a second; the last event came {:.0} ms after the last answer",
        measured.followed.rate(),
        measured.followed.p99_us,
        measured.alone.rate(),
        measured.alone.p99_us,
        measured.events_per_second(),
        measured.mb_per_second,
        measured.last_event_ms,
    );
    Ok(measured)
}

/// Open streams, each read by a task that keeps only the end.
struct Streams {
    bytes: Arc<AtomicU64>,
    /// The entry that every follower is to have.
    wanted: watch::Sender<Option<u64>>,
    tasks: JoinSet<Result<()>>,
}

impl Streams {
    /// Opens so many from the next entry on, and waits until each has its head.
    async fn open(master: &Node, count: usize) -> Result<Self> {
        let (addr, next) = (master.addr(), last_entry(master).await? + 1);
        let bytes = Arc::new(AtomicU64::new(0));
        let (wanted, is_wanted) = watch::channel(None);
        let mut tasks = JoinSet::new();
        for _ in 0..count {
            let stream = follow(addr, next).await?;
            let (bytes, is_wanted) = (Arc::clone(&bytes), is_wanted.clone());
            tasks.spawn(read(stream, bytes, is_wanted));
        }
        Ok(Self {
            bytes,
            wanted,
            tasks,
        })
    }

    /// What all of them have received.
    fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Waits until every follower has that entry.
    async fn have(mut self, seq: u64) -> Result<()> {
        self.wanted.send_replace(Some(seq));
        let all = async {
            while let Some(ended) = self.tasks.join_next().await {
                ended.context("a follower's task")??;
            }
            anyhow::Ok(())
        };
        let ended = timeout(PATIENCE, all).await;
        ended.with_context(|| format!("a follower has no entry {seq}"))?
    }
}

/// The last entry that the master has.
async fn last_entry(master: &Node) -> Result<u64> {
    let health = master.http().get("/health").await?.expect(200)?.json()?;
    health["last_seq"].as_u64().context("last_seq")
}

/// Asks for the log's entries from that one on.
async fn follow(addr: SocketAddr, from: u64) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(addr).await.context("connect")?;
    let request = format!(
        "GET /messages/stream?from={from} HTTP/1.1\r\nhost: {addr}\r\naccept: text/event-stream\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let count = stream.read_buf(&mut head).await?;
        ensure!(count > 0, "a stream ends in its head");
    }
    ensure!(
        head.starts_with(b"HTTP/1.1 200 "),
        "{}",
        String::from_utf8_lossy(&head)
    );
    Ok(stream)
}

/// Reads until the entry that is wanted has come.
async fn read(
    mut stream: TcpStream,
    bytes: Arc<AtomicU64>,
    mut wanted: watch::Receiver<Option<u64>>,
) -> Result<()> {
    let mut buffer = vec![0; 16 << 10];
    // An event may come in two parts: the end of what was read is looked at once more.
    let (mut kept, mut newest) = (0, 0);
    loop {
        if wanted.borrow_and_update().is_some_and(|seq| newest >= seq) {
            return Ok(());
        }
        tokio::select! {
            changed = wanted.changed() => changed.context("the measuring has ended")?,
            count = stream.read(&mut buffer[kept..]) => {
                let count = count?;
                ensure!(count > 0, "a stream ends");
                bytes.fetch_add(count as u64, Ordering::Relaxed);
                let end = kept + count;
                newest = last_seq(&buffer[..end]).unwrap_or(newest);
                kept = end.min(EVENT_HEAD);
                buffer.copy_within(end - kept..end, 0);
            }
        }
    }
}

/// An entry's position stands within so many bytes from the begin of its object.
const EVENT_HEAD: usize = 32;

/// The position of the last entry that begins in `text`, where all of its digits are there.
fn last_seq(text: &[u8]) -> Option<u64> {
    let mut upto = text.len();
    while let Some(at) = memchr::memmem::rfind(&text[..upto], SEQ) {
        let digits = &text[at + SEQ.len()..];
        let end = memchr::memchr(b',', digits).filter(|end| *end < EVENT_HEAD);
        let digits = end.and_then(|end| std::str::from_utf8(&digits[..end]).ok());
        if let Some(Ok(seq)) = digits.map(str::parse) {
            return Some(seq);
        }
        upto = at;
    }
    None
}

/// What an entry begins with.
const SEQ: &[u8] = br#"{"seq":"#;

#[cfg(test)]
mod tests {
    use super::last_seq;

    #[test]
    fn the_last_whole_position_is_found() {
        let text = br#"data: {"seq":41,"epoch":1}  data: {"seq":42,"epoch":1}  data: {"seq":4"#;
        assert_eq!(last_seq(text), Some(42));
        assert_eq!(last_seq(&text[..30]), Some(41));
        assert_eq!(last_seq(b"id: 7@x.1"), None);
    }
}
