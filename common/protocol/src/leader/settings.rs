//! What the protocol can be told to do otherwise, each with its trade-off.

use std::time::Duration;

/// The master's settings of replication.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Replication {
    /// A sign of life at least that often. Shorter finds a dead node sooner and costs messages.
    pub heartbeat_interval: Duration,
    /// Silence after which a secondary is suspected; above the heartbeat interval.
    pub suspect_after: Duration,
    /// Silence after which it is unhealthy and no longer counts for the quorum; above `suspect_after`.
    pub unhealthy_after: Duration,
    /// The first wait for an ACK.
    pub retry_min: Duration,
    /// The longest wait: how late a secondary that says nothing at its start may be found.
    pub retry_max: Duration,
    /// The same entry is sent for so long, to a secondary that answers, before smaller messages are tried.
    pub shrink_after: Duration,
    /// Bytes of entries in one append, at most (an entry that alone is larger goes alone).
    pub batch_bytes: usize,
    /// Bytes of entries in flight to one secondary. More fills a longer line and costs memory on both sides.
    pub window_bytes: usize,
    /// How long an entry that nobody waits for may wait for company before it is sent.
    pub linger: Duration,
    /// Clients that wait at one time, at most.
    pub max_waiting: usize,
    /// Heartbeats to all secondaries together, a second: with so many of them that each can no longer have one in every
    /// `heartbeat_interval`, the interval grows, and `suspect_after` and `unhealthy_after` with it. More finds a dead one of many
    /// sooner and costs messages; [`u32::MAX`] sets no limit.
    pub heartbeats_per_second: u32,
    /// With more secondaries than `prompt`: so many that are far behind are sent what they have missed at the same time, at most;
    /// the others wait for their turn. More uses a fast line better and fills a slow one with what is sent again; [`usize::MAX`] sets no limit.
    pub catching_up: usize,
    /// That many entries are far behind, where secondaries catch up in turns.
    pub far_behind: u64,
    /// Secondaries that are sent new entries at once, even if nobody waits for so many; with more secondaries the slower ones
    /// have turns. More keeps more of them up to date at every moment, and costs a message and an ACK for each batch;
    /// [`usize::MAX`] sets no limit.
    pub prompt: usize,
    /// Turns of the others, a second, all together: each is sent what has come since its last one.
    pub turns_per_second: u32,
    /// Whether heartbeats compare the digests of the logs. Without it no log is ever read for that.
    pub compares_digests: bool,
    /// Chooses the jitter.
    pub seed: u64,
}

/// The most nodes a master keeps in mind, listed or not. Beyond it new names are ignored, with one warning. Each heartbeat says
/// what each number of nodes holds: 17 KiB with so many.
pub const MAX_NODES: usize = 1024;

impl Default for Replication {
    fn default() -> Self {
        Self {
            heartbeat_interval: Duration::from_millis(500),
            suspect_after: Duration::from_millis(1500),
            unhealthy_after: Duration::from_secs(5),
            retry_min: Duration::from_millis(50),
            retry_max: Duration::from_secs(5),
            shrink_after: Duration::from_secs(5),
            batch_bytes: 256 << 10,
            window_bytes: 1 << 20,
            linger: Duration::from_millis(1),
            max_waiting: 10_000,
            heartbeats_per_second: 200,
            catching_up: 8,
            far_behind: 1024,
            prompt: 32,
            turns_per_second: 2000,
            compares_digests: true,
            seed: 1,
        }
    }
}
