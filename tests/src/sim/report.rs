//! What a run is remembered by.

use std::time::Duration;

/// What a run has seen: that the faults did happen, and that it got somewhere.
#[derive(Clone, Copy, Debug, Default)]
pub struct Report {
    /// Messages sent.
    pub messages: u64,
    /// Messages with entries.
    pub appends: u64,
    /// Clients that were told "replicated".
    pub replicated: u64,
    /// Clients whose time was up.
    pub timed_out: u64,
    /// Big faults.
    pub faults: u64,
    /// Lives of storages that ended.
    pub crashes: u64,
    /// Entries in the master's log at the end.
    pub entries: u64,
    /// Secondaries that ended with another history.
    pub diverged: u64,
    /// Masters that took over what secondaries held.
    pub recovered: u64,
    /// Masters that were overtaken.
    pub takeovers: u64,
    /// Clients that one of those still told "replicated".
    pub elder_told: u64,
    /// From the last fault until everything was well.
    pub healed_after: Duration,
}
