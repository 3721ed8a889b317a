//! HTTP clients that post the same body again and again, each on a connection that it keeps.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use hdrhistogram::Histogram;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The longest time that is told apart, in microseconds.
const LONGEST_US: u64 = 60_000_000;

/// When clients stop.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After that time.
    Elapsed(Duration),
    /// After so many requests by all of them together.
    Count(u64),
}

/// What the clients saw.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The time of each request, in microseconds.
    pub times: Histogram<u64>,
    /// From the first request to the last answer.
    pub elapsed: Duration,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            times: Histogram::new_with_bounds(1, LONGEST_US, 3).expect("bounds that fit"),
            elapsed: Duration::ZERO,
        }
    }
}

impl Seen {
    /// Requests that were answered in a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.times.len() as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// Adds another turn of the same.
    pub fn add(&mut self, other: &Self) {
        self.times.add(&other.times).expect("the same bounds");
        self.elapsed += other.elapsed;
    }
}

/// Posts `body` to `/messages` from so many connections at the same time; every answer must be 200.
///
/// # Errors
/// A connection breaks, or an answer is another one.
pub async fn post(addr: SocketAddr, body: Bytes, clients: usize, until: Until) -> Result<Seen> {
    let mut connections = Vec::with_capacity(clients);
    for _ in 0..clients {
        connections.push(connect(addr).await?);
    }
    let seen = Arc::new(Mutex::new(Seen::default()));
    let (began, mut tasks) = (Instant::now(), JoinSet::new());
    for (i, mut connection) in connections.into_iter().enumerate() {
        let (body, seen) = (body.clone(), Arc::clone(&seen));
        let mut left = share(until, i as u64, clients as u64);
        tasks.spawn(async move {
            loop {
                let now = Instant::now();
                let goes_on = match until {
                    Until::Elapsed(time) => now - began < time,
                    Until::Count(_) => left > 0,
                };
                if !goes_on {
                    return anyhow::Ok(());
                }
                left = left.saturating_sub(1);
                exchange(&mut connection, addr, body.clone()).await?;
                let took = u64::try_from(now.elapsed().as_micros()).unwrap_or(LONGEST_US);
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.times.saturating_record(took);
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.context("a client's task")??;
    }
    let elapsed = began.elapsed();
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    seen.elapsed = elapsed;
    Ok(seen.clone())
}

fn share(until: Until, client: u64, clients: u64) -> u64 {
    match until {
        Until::Elapsed(_) => 0,
        Until::Count(all) => all / clients + u64::from(client < all % clients),
    }
}

/// Reads `path` to its end and keeps nothing of it; how many bytes it has.
///
/// # Errors
/// The answer is not 200, or breaks off.
pub async fn read(addr: SocketAddr, path: &str) -> Result<u64> {
    let request = Request::get(path).header("host", addr.to_string());
    let mut connection = connect(addr).await?;
    let answer = connection
        .send_request(request.body(Full::default())?)
        .await?;
    ensure!(answer.status() == 200, "{}", answer.status());
    let (mut body, mut bytes) = (answer.into_body(), 0);
    while let Some(frame) = body.frame().await {
        bytes += frame
            .context("it broke off")?
            .data_ref()
            .map_or(0, Bytes::len) as u64;
    }
    Ok(bytes)
}

async fn connect(addr: SocketAddr) -> Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(addr).await.context("connect")?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection); // it ends with its sender
    Ok(sender)
}

async fn exchange(
    connection: &mut SendRequest<Full<Bytes>>,
    addr: SocketAddr,
    body: Bytes,
) -> Result<()> {
    let request = Request::post("/messages")
        .header("host", addr.to_string())
        .header("content-type", "application/json")
        .body(Full::new(body))?;
    connection.ready().await.context("the connection broke")?;
    let answer = connection.send_request(request).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    ensure!(
        status == 200,
        "{status}: {}",
        String::from_utf8_lossy(&body)
    );
    Ok(())
}
