//! Clients that make the same request again and again, each on a connection that it keeps.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::systems::System;

/// The longest time that is told apart, in microseconds.
const LONGEST_US: u64 = 60_000_000;
/// An answer that takes longer does not come.
const PATIENCE: Duration = Duration::from_secs(60);

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
}

/// Connects so many clients.
///
/// # Errors
/// One is not let in.
pub async fn connect<S: System + ?Sized>(system: &S, clients: usize) -> Result<Vec<S::Connection>> {
    let mut connections = Vec::with_capacity(clients);
    for _ in 0..clients {
        connections.push(system.connect().await?);
    }
    Ok(connections)
}

/// Requests from all these connections at the same time.
///
/// # Errors
/// A connection breaks, or an answer is no success, or does not come.
pub async fn run<S: System>(connections: Vec<S::Connection>, until: Until) -> Result<Seen> {
    let clients = connections.len() as u64;
    let seen = Arc::new(Mutex::new(Seen::default()));
    let (began, mut tasks) = (Instant::now(), JoinSet::new());
    for (i, mut connection) in (0..).zip(connections) {
        let seen = Arc::clone(&seen);
        let mut left = share(until, i, clients);
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
                S::request(&mut connection).await?;
                let took = u64::try_from(now.elapsed().as_micros()).unwrap_or(LONGEST_US);
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.times.saturating_record(took);
            }
        });
    }
    let ends = async {
        while let Some(ended) = tasks.join_next().await {
            ended.context("a client's task")??;
        }
        anyhow::Ok(())
    };
    // One timer for all: one for each request would cost the clients time.
    match until {
        Until::Elapsed(time) => timeout(time + PATIENCE, ends)
            .await
            .context("an answer does not come")??,
        Until::Count(_) => ends.await?,
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
