//! The master's side of one secondary: its progress, one deadline, its link and its health.
//!
//! Retrying never ends and never bursts: silence costs one message a backoff, the first sign of life resumes at once.

mod heard;
mod waiting;

pub use heard::Me;

use std::time::Duration;

use crate::protocol::backoff::Backoff;
use crate::protocol::health::{Health, Status};
use crate::protocol::progress::{Mode, Progress};
use crate::protocol::settings::Replication;
use crate::protocol::tally::Tally;
use crate::types::{Incarnation, LogId, NodeId, Seq, Time};

/// What is to be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transmit {
    /// No entries: a sign of life, and a question where the secondary stands. Its `prev` is the entry at `prev`.
    Heartbeat {
        /// The last entry it is believed to hold.
        prev: Seq,
    },
    /// The entries from `first`, up to `last` at most, for `bytes` at most (but at least one entry).
    Entries {
        /// The first of them.
        first: Seq,
        /// The last one that may be sent.
        last: Seq,
        /// How many bytes of entries.
        bytes: usize,
    },
}

/// What an ACK has told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Its position may count (see [`Replicator::matched`]).
    Position,
    /// A sign of life, nothing more: an old one, an error, of a life that has ended.
    Nothing,
    /// It follows a master of this history with a higher epoch, or another one of this epoch: we are overtaken.
    Overtaken,
}

/// One secondary, as the master sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Replicator {
    progress: Progress,
    health: Health,
    backoff: Backoff,
    /// Smoothed time from append to ACK.
    round_trip: Duration,
    heartbeat_interval: Duration,
    window_bytes: usize,
    batch_bytes: usize,
    /// Since when there is no link; nothing is sent, and silence is not held against the secondary.
    link_down_since: Option<Time>,
    heartbeat_due: bool,
    heartbeat_at: Time,
    /// When what is in flight counts as lost.
    retry_at: Option<Time>,
    /// The life of its storage, and when that was first heard.
    incarnation: Option<(Incarnation, Time)>,
    /// Its positions count only from then on.
    counts_from: Option<Time>,
    other_history: Option<LogId>,
    /// When a second, older storage last answered under this name.
    clash_at: Option<Time>,
    held_from: Option<Seq>,
    /// What is to be sent next is being read.
    is_reading: bool,
    retries: Tally,
}

impl Replicator {
    /// A secondary of which nothing is known.
    #[must_use]
    pub fn new(node: &NodeId, settings: &Replication, link_up: bool) -> Self {
        let seed = node.as_str().bytes().fold(settings.seed, |h, b| {
            (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)
        });
        Self {
            progress: Progress::new(),
            health: Health::new(settings.suspect_after, settings.unhealthy_after),
            backoff: Backoff::new(settings.retry_min, settings.retry_max, seed),
            round_trip: Duration::ZERO,
            heartbeat_interval: settings.heartbeat_interval,
            window_bytes: settings.window_bytes,
            batch_bytes: settings.batch_bytes,
            link_down_since: (!link_up).then_some(Time::ZERO),
            heartbeat_due: link_up,
            heartbeat_at: Time::ZERO,
            retry_at: None,
            incarnation: None,
            counts_from: None,
            other_history: None,
            clash_at: None,
            held_from: None,
            is_reading: false,
            retries: Tally::default(),
        }
    }

    /// What is to be sent now, if anything. Whoever sends it says so with [`Replicator::sent`].
    #[must_use]
    pub fn poll_transmit(&self, tail: Seq) -> Option<Transmit> {
        if self.link_down_since.is_some() {
            return None;
        }
        if self.heartbeat_due {
            return Some(Transmit::Heartbeat {
                prev: self.progress.next().prev(),
            });
        }
        if self.is_reading {
            return None;
        }
        let (first, last, free) = self.progress.sendable(tail, self.window_bytes)?;
        Some(Transmit::Entries {
            first,
            last,
            bytes: free.min(self.batch_bytes),
        })
    }

    /// The entries that it asks for are being read, and it asks for no others meanwhile; or they are read.
    pub fn reading(&mut self, is_reading: bool) {
        self.is_reading = is_reading;
    }

    /// What [`Replicator::poll_transmit`] asked for has left: a heartbeat (`None`), or entries up to `last` of so many
    /// bytes.
    pub fn sent(&mut self, entries: Option<(Seq, usize)>, now: Time) {
        if let Some((last, bytes)) = entries {
            self.progress.sent(last, bytes, now);
            if self.retry_at.is_none() {
                self.retry_at = Some(now + self.backoff.next_wait());
            }
            return;
        }
        self.heartbeat_due = false;
        self.health.asked(now);
        let wait = match self.progress.mode() {
            Mode::Replicate => self.heartbeat_interval,
            // A dead node costs one small message a backoff; a diverged one lives and is asked like the others.
            Mode::Probe if self.other_history.is_some() => {
                self.heartbeat_interval.max(self.backoff.next_wait())
            }
            Mode::Probe => self.backoff.next_wait(),
        };
        self.heartbeat_at = now + wait;
    }

    fn forget_flight(&mut self) {
        self.progress.probe();
        self.retry_at = None;
    }

    fn forget_position(&mut self) {
        self.progress.reset();
        self.retry_at = None;
    }

    /// It holds everything up to here, shown in this life of the master and of its storage.
    #[must_use]
    pub fn matched(&self) -> Seq {
        self.progress.matched()
    }

    /// Its status for health and quorum.
    #[must_use]
    pub fn status(&self, now: Time) -> Status {
        if self.other_history.is_some() {
            Status::Diverged
        } else {
            self.health
                .status(self.link_down_since.map_or(now, |since| since.min(now)))
        }
    }

    /// Its signs of life.
    #[must_use]
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// The other history it holds, if it does.
    #[must_use]
    pub fn other_history(&self) -> Option<LogId> {
        self.other_history
    }

    /// The first entry it holds back.
    #[must_use]
    pub fn held_from(&self) -> Option<Seq> {
        self.held_from
    }

    /// How often entries were sent again.
    #[must_use]
    pub fn retries(&self) -> u64 {
        self.retries.get()
    }

    /// Whether a second storage answers under this name.
    #[must_use]
    pub fn has_clash(&self, now: Time) -> bool {
        self.clash_at
            .is_some_and(|t| now.since(t) < self.health.unhealthy_after())
    }
}
