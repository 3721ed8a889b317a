//! How far one secondary is, and what may be sent to it next. Raft's words, after etcd's `tracker/progress.go`:
//!
//! ```text
//!   Probe ──── its answer says where it stands ───▶ Replicate
//!     ◀──── no answer in time, an error, a link that broke ────
//!
//!   1 ..... matched | in flight ... | next ..... tail
//!           held     sent, unanswered  to be sent
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use crate::ids::{Seq, Time};

/// The most appends that are in flight to one secondary. Four keep it busy while it stores; more gain nothing.
pub const MAX_IN_FLIGHT: usize = 4;

/// Whether it is known where the secondary stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Not known: heartbeats ask, no entry is sent.
    Probe,
    /// Batches follow one another within the window.
    Replicate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct InFlight {
    last: Seq,
    bytes: usize,
    sent_at: Time,
}

/// What an ACK has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acked {
    /// It holds more than was known.
    pub is_news: bool,
    /// How long the newest append that it answers was in flight, counted from its last transmission.
    pub took: Option<Duration>,
}

/// The positions of one secondary.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Progress {
    mode: Mode,
    matched: Seq,
    next: Seq,
    /// Set while only a gap before held-back entries is to be sent: its last position.
    gap_end: Option<Seq>,
    in_flight: VecDeque<InFlight>,
}

impl Progress {
    /// Nothing is known of it.
    #[must_use]
    pub fn new() -> Self {
        Self {
            mode: Mode::Probe,
            matched: Seq::ZERO,
            next: Seq(1),
            gap_end: None,
            in_flight: VecDeque::new(),
        }
    }

    /// Whether its position is known.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// It holds everything up to here, by its own word in this life of the master and of its storage.
    #[must_use]
    pub fn matched(&self) -> Seq {
        self.matched
    }

    /// The first entry that was not sent yet.
    #[must_use]
    pub fn next(&self) -> Seq {
        self.next
    }

    /// Whether something was sent and not answered.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// When the first append was sent that is not answered, if one is.
    #[must_use]
    pub fn waits_since(&self) -> Option<Time> {
        self.in_flight.front().map(|first| first.sent_at)
    }

    /// How many appends were sent and not answered; at most [`MAX_IN_FLIGHT`].
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// The entries that may be sent now: the first, the last at most, and for how many bytes there is room.
    #[must_use]
    pub fn sendable(&self, tail: Seq, window_bytes: usize) -> Option<(Seq, Seq, usize)> {
        let last = self.gap_end.map_or(tail, |end| end.min(tail));
        let used: usize = self.in_flight.iter().map(|f| f.bytes).sum();
        let free = window_bytes.saturating_sub(used);
        let open = self.mode == Mode::Replicate && self.in_flight.len() < MAX_IN_FLIGHT && free > 0;
        (open && self.next <= last).then_some((self.next, last, free))
    }

    /// The entries up to `last` have left.
    pub fn sent(&mut self, last: Seq, bytes: usize, now: Time) {
        self.in_flight.push_back(InFlight {
            last,
            bytes,
            sent_at: now,
        });
        self.next = last.next();
    }

    /// It holds everything up to `upto`.
    pub fn acked(&mut self, upto: Seq, now: Time) -> Acked {
        if upto <= self.matched {
            return Acked {
                is_news: false,
                took: None,
            };
        }
        self.matched = upto;
        self.next = self.next.max(upto.next());
        if self.gap_end.is_some_and(|end| end <= upto) {
            self.gap_end = None;
        }
        let mut took = None;
        while self.in_flight.front().is_some_and(|f| f.last <= upto) {
            took = self.in_flight.pop_front().map(|f| now.since(f.sent_at));
        }
        Acked {
            is_news: true,
            took,
        }
    }

    /// Its answer says where it stands: go on from there, first with what lies before the entries it holds back.
    pub fn resume(&mut self, held_from: Option<Seq>) {
        self.in_flight.clear();
        self.mode = Mode::Replicate;
        self.next = self.matched.next();
        self.gap_end = held_from.map(Seq::prev).filter(|end| *end >= self.next);
    }

    /// What is in flight counts as lost.
    pub fn probe(&mut self) {
        self.in_flight.clear();
        self.mode = Mode::Probe;
        self.next = self.matched.next();
        self.gap_end = None;
    }

    /// Begin at `next`, where a secondary says it stands, although that is not yet shown to be ours.
    pub fn probe_at(&mut self, next: Seq) {
        self.probe();
        self.next = next.max(self.next);
    }

    /// Its storage began a new life, or it is not known to follow: nothing it held counts any more.
    pub fn reset(&mut self) {
        *self = Self::new();
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}
