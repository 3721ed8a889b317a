//! Clusters that are larger than one machine: the real master and the real secondaries in virtual time, on processors, brokers
//! and lines that have a queue and a price.
//!
//! ```text
//!   clients ─▶ master ─▶ broker ─┬─ line ─▶ leaf ─▶ 1/3 of the secondaries     region 1, the master's
//!                                ├─ line ─▶ leaf ─▶ 1/3                        region 2
//!                                └─ line ─▶ leaf ─▶ 1/3                        region 3
//! ```
//! What a message or an append costs was measured with real processes and a real broker on one machine ([`Constants`]); how many
//! there are, how large, and when, is what `Leader` and `Follower` do. Nothing here decides anything of the protocol, everything
//! follows from the seed. Left out: what clients and HTTP connections cost elsewhere, disks (logs are in memory), lost packets.

mod constants;
mod host;
mod server;
mod world;

use std::time::Duration;

use replog_protocol::leader::settings::Replication;
use replog_protocol::node::{Input, Node as _};
use replog_protocol::wire::Message;
use replog_protocol::write_concern::WriteConcern;

pub use constants::{BrokerCosts, Constants, MasterCosts, Sample, SecondaryCosts};

use world::World;

/// A cluster.
#[derive(Clone, Debug)]
pub struct Setup {
    /// How many secondaries, in turn one in each region.
    pub secondaries: usize,
    /// From the broker in the middle to that of each region, one way; the first one is the master's.
    pub one_way: Vec<Duration>,
    /// The bandwidth of each region's line in each direction, in megabits a second.
    pub megabits: Vec<f64>,
    /// The cores of each broker: it shares its connections out among them, so what a message costs it takes that much less time.
    pub broker_cores: u32,
    /// Bytes of a message's content.
    pub content_bytes: usize,
    /// The master's settings.
    pub replication: Replication,
    /// With the costs of a master that looks at each secondary for each message.
    pub looks_at_all: bool,
    /// Chooses what is left to chance: who is asked when.
    pub seed: u64,
}

impl Setup {
    /// So many secondaries in three regions, 1, 40 and 80 ms away and back, with lines of 1 Gbit/s; that of the master's own region
    /// has 10.
    #[must_use]
    pub fn three_regions(secondaries: usize) -> Self {
        let one_way = [500, 20_000, 40_000].map(Duration::from_micros);
        Self {
            secondaries,
            one_way: one_way.to_vec(),
            megabits: vec![10_000.0, 1000.0, 1000.0],
            broker_cores: 4,
            content_bytes: 100,
            replication: Replication {
                // Digests are compared now and then; that is not what is looked at here.
                compares_digests: false,
                ..Replication::default()
            },
            looks_at_all: false,
            seed: 1,
        }
    }

    /// The same with a master as it was before it minded how many secondaries there are.
    #[must_use]
    pub fn before(mut self) -> Self {
        self.looks_at_all = true;
        self.replication = Replication {
            heartbeats_per_second: u32::MAX,
            catching_up: usize::MAX,
            prompt: usize::MAX,
            ..self.replication
        };
        self
    }

    fn peer_us(&self, costs: &Constants) -> f64 {
        match self.looks_at_all {
            true => costs.master.peer_us_before,
            false => costs.master.peer_us,
        }
    }
}

/// Clients that append one message after the other.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// How many.
    pub clients: usize,
    /// How many nodes each waits for.
    pub w: WriteConcern,
    /// How long each waits on average between an answer and its next message.
    pub think: Duration,
}

/// What a cluster did while it was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Appends that were answered, a second.
    pub appends_per_second: f64,
    /// Half of them were answered within that.
    pub p50: Duration,
    /// 99 of 100 were.
    pub p99: Duration,
    /// How much of a processor the master took, from 0 to 1.
    pub master: f64,
    /// How much of its cores the broker in the middle took.
    pub hub: f64,
    /// Messages that the broker in the middle handed on, a second.
    pub messages_per_second: f64,
    /// Entries that half of the secondaries did not have in the end, or more.
    pub behind: u64,
    /// Processor time for an append: the master's, in microseconds.
    pub master_us: f64,
    /// The broker's.
    pub broker_us: f64,
    /// All secondaries'.
    pub secondaries_us: f64,
}

/// What happened after a region was there again.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Storm {
    /// From there until every secondary had what the log had then; `None` where that took too long.
    pub caught_up: Option<Duration>,
    /// The longest time that something waited for the master's processor meanwhile.
    pub master_wait: Duration,
    /// For the broker in the middle.
    pub hub_wait: Duration,
    /// For the region's line.
    pub line_wait: Duration,
    /// Bytes of entries that the master sent meanwhile, in MiB.
    pub sent_mib: f64,
    /// How often it sent entries again.
    pub retries: u64,
    /// What the clients saw before the region was cut off.
    pub before: Outcome,
    /// What they saw while it caught up.
    pub meanwhile: Outcome,
}

/// How long a cluster may take to become well at its start.
const PATIENCE: Duration = Duration::from_secs(120);

/// A cluster in which everybody is there.
fn started(setup: &Setup, costs: &Constants) -> World {
    let mut world = World::new(setup.clone(), costs.clone());
    world.run_until(PATIENCE, |w| w.all_hold(replog_protocol::ids::Seq::ZERO));
    assert!(world.all_healthy(), "a cluster without faults becomes well");
    world
}

fn look(world: &mut World, time: Duration) -> Outcome {
    world.forget();
    let end = world.now + time;
    world.run_until(end, |_| false);
    outcome(world, time)
}

fn outcome(world: &World, time: Duration) -> Outcome {
    let seconds = time.as_secs_f64().max(1e-9);
    let mut took: Vec<Duration> = world.answered.iter().map(|(_, took)| *took).collect();
    took.sort_unstable();
    let at = |share: f64| {
        let i = (took.len() as f64 * share) as usize;
        took.get(i.min(took.len().saturating_sub(1))).copied()
    };
    let each = |busy: Duration| busy.as_secs_f64() * 1e6 / took.len().max(1) as f64;
    let cores = f64::from(world.broker_cores());
    let leaves = world.regions.iter().map(|r| r.leaf.busy);
    Outcome {
        appends_per_second: took.len() as f64 / seconds,
        p50: at(0.5).unwrap_or_default(),
        p99: at(0.99).unwrap_or_default(),
        master: world.master.cpu.busy.as_secs_f64() / seconds,
        hub: world.hub.busy.as_secs_f64() / seconds,
        messages_per_second: world.hub.served as f64 / seconds,
        behind: world.behind(),
        master_us: each(world.master.cpu.busy),
        broker_us: each(world.hub.busy + leaves.sum::<Duration>()) * cores,
        secondaries_us: each(world.secondaries.iter().map(|s| s.cpu.busy).sum()),
    }
}

/// What a cluster does under that load, once it has run for a while, for so long.
#[must_use]
pub fn loaded(setup: &Setup, costs: &Constants, load: Load, time: Duration) -> Outcome {
    let mut world = started(setup, costs);
    world.begin(Some(load));
    let warm = world.now + time / 4;
    world.run_until(warm, |_| false);
    look(&mut world, time)
}

/// What a cluster does when nobody appends, for so long.
#[must_use]
pub fn idle(setup: &Setup, costs: &Constants, time: Duration) -> Outcome {
    let mut world = started(setup, costs);
    // What was due at its start is over.
    let warm = world.now + Duration::from_secs(30);
    world.run_until(warm, |_| false);
    look(&mut world, time)
}

/// What happens when the last region is cut off for so long under that load, and is there again. It is given up after `patience`.
#[must_use]
pub fn storm(
    setup: &Setup,
    costs: &Constants,
    load: Load,
    away: Duration,
    patience: Duration,
) -> Storm {
    let mut world = started(setup, costs);
    world.begin(Some(load));
    let warm = world.now + Duration::from_secs(1);
    world.run_until(warm, |_| false);
    let before = look(&mut world, Duration::from_secs(2));
    let last = world.regions.len() - 1;
    world.cut(last, true);
    let back = world.now + away;
    world.run_until(back, |_| false);
    world.cut(last, false);
    world.forget();
    let (tail, retries) = (world.tail(), world.retries());
    world.run_until(back + patience, |w| w.all_hold(tail));
    let caught_up = world.all_hold(tail).then(|| world.now - back);
    Storm {
        caught_up,
        master_wait: world.master.cpu.longest_wait,
        hub_wait: world.hub.longest_wait,
        line_wait: world.regions[last].down.sender.longest_wait,
        sent_mib: world.master_kib / 1024.0,
        retries: world.retries() - retries,
        before,
        meanwhile: outcome(&world, world.now - back),
    }
}

/// How long the master's `Leader` alone takes for an ACK that says something new, on this machine, on average over so many entries
/// that each secondary acknowledges: a wall clock, so another number each time.
#[must_use]
pub fn time_of_ack(setup: &Setup, costs: &Constants, entries: u32) -> Duration {
    /// So many are taken at one time.
    const TAKEN: usize = 16;
    let mut world = started(setup, costs);
    let now = replog_protocol::ids::Time(world.now);
    let held = world.secondaries.iter().map(|s| s.node.position());
    let mut acks: Vec<_> = held.collect();
    let mut spent = Duration::ZERO;
    for _ in 0..entries {
        world.append_one();
        let last = world.master.node.log().last();
        for ack in &mut acks {
            (ack.upto, ack.last) = (last.seq, last);
        }
        let leader = &mut world.master.node;
        let began = std::time::Instant::now();
        for (n, ack) in acks.iter().enumerate() {
            leader.step(Input::Message(Message::Ack(ack.clone())), now);
            if n % TAKEN == 0 {
                drop(leader.ready(now));
                leader.deadline(now);
            }
        }
        spent += began.elapsed();
    }
    spent / (entries * acks.len() as u32).max(1)
}
