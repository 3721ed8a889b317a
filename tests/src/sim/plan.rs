//! What a seed stands for: the size of the cluster, its settings, and how bad its luck is.

use std::time::Duration;

use replog_common::protocol::settings::Replication;

use crate::sim::random::Random;

/// One run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Secondaries.
    pub nodes: usize,
    /// They are listed; else whoever joins is a member.
    pub listed: bool,
    /// Appends are refused while fewer than a majority lives.
    pub needs_quorum: bool,
    /// The master's settings.
    pub replication: Replication,
    /// How long there are faults.
    pub trouble: Duration,
    /// The time between two clients, on average.
    pub ask_every: Duration,
    /// The time between two big faults (a crash, a partition, a pause), on average.
    pub fault_every: Duration,
    /// Messages lost, in a thousand.
    pub loss: u64,
    /// Messages that come twice.
    pub twice: u64,
    /// Messages that are late, up to seconds, so that others overtake them.
    pub late: u64,
    /// Entries that a secondary loses before it stores them.
    pub drops: u64,
    /// ACKs that are errors and tell less than is held.
    pub errors: u64,
    /// Storing takes time at the master.
    pub slow_store: bool,
    /// The log may be cleared, and the master may come back without it.
    pub histories: bool,
    /// A master may be overtaken while it lives.
    pub takeovers: bool,
    /// A master asks the secondaries what they hold, for so long, before it serves.
    pub recovery: Option<Duration>,
}

impl Plan {
    /// In seeds from here on, masters come back often, and ask the secondaries what they hold. In those below, a master that
    /// comes back begins a new history: so the seeds that have shown a bug stay what they were.
    pub const RECOVERING_FROM: u64 = 10_000;

    /// In seeds from here on, they are overtaken, too.
    pub const OVERTAKING_FROM: u64 = 20_000;

    /// The plan that a seed's luck makes.
    pub fn of(seed: u64, random: &mut Random) -> Self {
        let recovers = seed >= Self::RECOVERING_FROM;
        let mut some = |often: u64, low: u64, high: u64| {
            if random.happens(often) {
                random.between(low, high)
            } else {
                0
            }
        };
        let (loss, twice, late) = (some(700, 1, 300), some(600, 1, 300), some(600, 1, 200));
        let (drops, errors) = (some(300, 1, 400), some(300, 1, 400));
        let heartbeat = random.millis(50, 1000);
        let retry_min = random.millis(5, 100);
        Self {
            nodes: random.index(4) + 1,
            listed: random.happens(700),
            needs_quorum: random.happens(150),
            replication: Replication {
                heartbeat_interval: heartbeat,
                suspect_after: heartbeat * 3,
                unhealthy_after: heartbeat * 10,
                retry_min,
                retry_max: retry_min * u32::try_from(random.between(1, 50)).unwrap_or(1),
                batch_bytes: usize::try_from(random.between(1, 4000)).unwrap_or(1),
                window_bytes: usize::try_from(random.between(1, 16_000)).unwrap_or(1),
                linger: random.micros(0, 3000),
                max_waiting: random.index(200) + 5,
                seed: random.number(),
            },
            trouble: random.millis(1_000, 20_000),
            ask_every: random.millis(5, 400),
            fault_every: random.millis(100, 4_000),
            loss,
            twice,
            late,
            drops,
            errors,
            slow_store: random.happens(400),
            histories: random.happens(if recovers { 900 } else { 300 }),
            takeovers: seed >= Self::OVERTAKING_FROM,
            recovery: recovers.then(|| random.millis(100, 4_000)),
        }
    }

    /// How long after the last fault everything must be well again: what lies ahead at most is a probe that was put off
    /// for the longest wait, or a heartbeat; then the gap is filled.
    #[must_use]
    pub fn patience(&self) -> Duration {
        let r = &self.replication;
        let recovery = self.recovery.unwrap_or_default() * 2;
        r.retry_max * 2 + r.heartbeat_interval * 3 + Duration::from_secs(3) + recovery
    }
}
