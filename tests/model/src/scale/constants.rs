//! What things cost, in processor time, as it was measured on one machine.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The constants that the simulation takes where it is told no others: measured by `demo scale --constants`, which writes the
/// file again.
const MEASURED: &str = include_str!("constants.json");

/// What things cost. Only the ratios mean something on another machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Constants {
    /// Where they were measured, for people.
    pub machine: String,
    /// What a master pays.
    pub master: MasterCosts,
    /// What a broker pays, the one of a region as the one in the middle.
    pub broker: BrokerCosts,
    /// What a secondary pays.
    pub secondary: SecondaryCosts,
    /// What the constants were taken from.
    pub samples: Vec<Sample>,
}

/// What a master pays, in microseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct MasterCosts {
    /// For an append: HTTP, its place, its answer.
    pub append_us: f64,
    /// For a message that it sends and the ACK of it. Each is taken for half of that: they were not told apart.
    pub exchange_us: f64,
    /// For each KiB of entries that it sends to one secondary.
    pub kib_us: f64,
    /// For each secondary that it knows, with each message that it receives. Measured on the `Leader` alone, with 1,000 of them:
    /// what grows with the number cannot be seen with eight.
    pub peer_us: f64,
    /// The same before the leader looked only at those to whom something has happened.
    pub peer_us_before: f64,
}

/// What a broker pays, in microseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct BrokerCosts {
    /// For a message that comes and goes.
    pub message_us: f64,
    /// For each KiB of it.
    pub kib_us: f64,
}

/// What a secondary pays, in microseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct SecondaryCosts {
    /// For a message that it takes and answers.
    pub exchange_us: f64,
    /// For each KiB of entries in it.
    pub kib_us: f64,
}

/// A small cluster that was measured: each number is for one append.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Sample {
    /// How many secondaries.
    pub secondaries: usize,
    /// Clients that appended at the same time, with `w` = all.
    pub clients: usize,
    /// Bytes of a message's content.
    pub content_bytes: usize,
    /// Messages from the master to secondaries.
    pub exchanges: f64,
    /// KiB of entries in all of these together.
    pub kib: f64,
    /// Processor time of the master, in microseconds.
    pub master_us: f64,
    /// Of the broker.
    pub broker_us: f64,
    /// Of all secondaries together.
    pub secondaries_us: f64,
}

impl Constants {
    /// Those that were measured last.
    ///
    /// # Panics
    /// When the file is none of them: a test reads it.
    #[must_use]
    pub fn measured() -> Self {
        serde_json::from_str(MEASURED).expect("constants.json has the constants")
    }
}

/// So many microseconds.
#[must_use]
pub(super) fn micros(us: f64) -> Duration {
    Duration::from_nanos((us.max(0.0) * 1e3).round() as u64)
}

/// So many bytes in KiB.
#[must_use]
pub(super) fn kib(bytes: usize) -> f64 {
    bytes as f64 / 1024.0
}
