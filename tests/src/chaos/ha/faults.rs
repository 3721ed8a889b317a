//! What is done to masters, and, beside that, to brokers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use replog_model::rng::SeededRng;

use super::writers::Writers;
use crate::harness::ha_cluster::{Network, STREAM, active_of};
use crate::harness::{NatsCluster, Node};

/// What both kinds of faults share.
pub(super) struct Faults {
    pub(super) writers: Arc<Writers>,
    pub(super) begun: Instant,
    pub(super) length: Duration,
    /// Counts up when the stream loses its leader, and when it has one again: odd in between.
    pub(super) elections: AtomicU64,
}

/// What was done to masters.
#[derive(Debug, Default)]
pub(super) struct OfMasters {
    pub(super) takeovers: Vec<(String, Duration)>,
    pub(super) in_elections: usize,
}

/// What was done to brokers.
#[derive(Debug, Default)]
pub(super) struct OfBrokers {
    pub(super) elections: Vec<Duration>,
    pub(super) followers_killed: usize,
}

/// One disturbance of the master that leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// SIGKILL, and it starts again.
    Kill,
    /// SIGSTOP for a while.
    Pause,
    /// It and the brokers do not hear each other for a while.
    Cut,
}

const FAULTS: [Fault; 3] = [Fault::Kill, Fault::Pause, Fault::Cut];

impl Faults {
    fn is_over(&self) -> bool {
        self.begun.elapsed() >= self.length
    }

    fn say(&self, what: &str) {
        println!("{:6.1} s  {what}", self.begun.elapsed().as_secs_f64());
    }
}

/// The master that leads is killed, paused or cut off every few seconds, until the run is over; all are well then. Each fault
/// happens once at least.
pub(super) async fn of_masters(
    faults: &Faults,
    masters: &mut [Node],
    networks: &[Network],
    seed: u64,
) -> Result<OfMasters> {
    let mut random = SeededRng::new(seed.wrapping_mul(2));
    let (mut done, mut deck) = (OfMasters::default(), Vec::new());
    let mut count = 0;
    while !faults.is_over() || count < FAULTS.len() {
        if deck.is_empty() {
            deck = FAULTS.to_vec();
        }
        let fault = deck.swap_remove(random.below(deck.len() as u64) as usize);
        let active = active_of(masters).await?;
        faults.say(&format!("{fault:?} {}", masters[active].name()));
        count += 1;
        let (elections, from) = (faults.elections.load(Ordering::SeqCst), Instant::now());
        match fault {
            Fault::Kill => masters[active].kill().await?,
            Fault::Pause => masters[active].stop().await?,
            Fault::Cut => networks[active].cut(),
        }
        let name = format!("after {fault:?} {count}");
        let next = faults.writers.probe(&name, Some(active)).await?;
        let took = from.elapsed();
        let is_calm = elections % 2 == 0 && elections == faults.elections.load(Ordering::SeqCst);
        if is_calm {
            done.takeovers.push((format!("{fault:?}"), took));
        } else {
            done.in_elections += 1;
        }
        let text = format!(
            "{} serves after {:.2} s",
            masters[next].name(),
            took.as_secs_f64()
        );
        faults.say(&text);
        let rest = random.between(Duration::from_millis(0), Duration::from_millis(2000));
        tokio::time::sleep(rest).await;
        match fault {
            Fault::Kill => masters[active].restart().await?,
            Fault::Pause => masters[active].resume()?,
            Fault::Cut => networks[active].heal(),
        }
        let calm = random.between(Duration::from_millis(1000), Duration::from_millis(2500));
        tokio::time::sleep(calm).await;
    }
    Ok(done)
}

/// nats-servers are killed and started again, the one that leads the stream every second time, until the run is over; all are
/// well then.
pub(super) async fn of_brokers(
    faults: &Faults,
    brokers: &mut NatsCluster,
    seed: u64,
) -> Result<OfBrokers> {
    let mut random = SeededRng::new(seed.wrapping_mul(2) + 1);
    let (mut done, mut count) = (OfBrokers::default(), 0);
    while !faults.is_over() || count < 2 {
        let calm = random.between(Duration::from_millis(3000), Duration::from_millis(6000));
        tokio::time::sleep(calm).await;
        let leader = brokers.leader_of(STREAM).await?;
        count += 1;
        let leads = count % 2 == 0;
        let servers = brokers.servers().len();
        let victim = match leads {
            true => leader,
            false => (leader + 1 + random.below(servers as u64 - 1) as usize) % servers,
        };
        let what = if leads {
            "which leads the stream"
        } else {
            "which follows"
        };
        faults.say(&format!("kill nats-server n{}, {what}", victim + 1));
        let from = Instant::now();
        faults
            .elections
            .fetch_add(u64::from(leads), Ordering::SeqCst);
        let server = brokers.servers_mut().get_mut(victim).context("a server")?;
        server.kill().await?;
        if leads {
            faults
                .writers
                .probe(&format!("broker {count}"), None)
                .await?;
            faults.elections.fetch_add(1, Ordering::SeqCst);
            done.elections.push(from.elapsed());
            let took = from.elapsed().as_secs_f64();
            faults.say(&format!("appends go on after {took:.2} s"));
        } else {
            done.followers_killed += 1;
        }
        let rest = random.between(Duration::from_millis(0), Duration::from_millis(2000));
        tokio::time::sleep(rest).await;
        brokers.servers_mut()[victim].restart().await?;
        // A second one that dies before this one has caught up would stop everything, as it should; that is another test.
        brokers.wait_current(STREAM).await?;
    }
    Ok(done)
}
