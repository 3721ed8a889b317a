//! What a node says of entries that are damaged on its disk.

use std::time::Duration;

use crate::log::LogStore;
use crate::types::{Seq, Time};

/// Another node is asked for a damaged entry that often.
pub const ASK_PAUSE: Duration = Duration::from_millis(500);

/// Which entries are damaged, as far as that was told, and when to ask for one of them.
#[derive(Debug, Default)]
pub struct Damage {
    known: Vec<Seq>,
    turn: usize,
    ask_at: Option<Time>,
    named: Option<Seq>,
}

/// What has changed since the last look.
#[derive(Debug, Default)]
pub struct Changed {
    /// Found damaged.
    pub found: Vec<Seq>,
    /// Readable again.
    pub mended: Vec<Seq>,
}

impl Damage {
    /// Looks at the log.
    pub fn look(&mut self, log: &dyn LogStore) -> Changed {
        let damaged = log.damaged();
        if damaged == self.known {
            return Changed::default();
        }
        let known = std::mem::replace(&mut self.known, damaged);
        let is_new = |seq: &Seq| known.binary_search(seq).is_err();
        let found = self.known.iter().copied().filter(is_new).collect();
        let is_gone = |seq: &Seq| self.known.binary_search(seq).is_err();
        // What was taken out of the log is not mended.
        let is_mended = |seq: &Seq| is_gone(seq) && *seq <= log.last().seq;
        let mended: Vec<Seq> = known.into_iter().filter(is_mended).collect();
        if !mended.is_empty() {
            self.ask_at = None;
        }
        Changed { found, mended }
    }

    /// Whether that one was found damaged.
    #[must_use]
    pub fn has(&self, seq: Seq) -> bool {
        self.known.binary_search(&seq).is_ok()
    }

    /// The entry to ask for now, if any, each in its turn, and how often each was asked for before.
    pub fn ask(&mut self, now: Time) -> Option<(Seq, usize)> {
        let many = self.known.len();
        if many == 0 || self.ask_at.is_some_and(|at| now < at) {
            return None;
        }
        self.ask_at = Some(now + ASK_PAUSE);
        let turn = self.turn;
        self.turn = turn.wrapping_add(1);
        Some((self.known[turn % many], turn / many))
    }

    /// One of the damaged entries, another one after a while.
    pub fn named(&mut self, now: Time) -> Option<Seq> {
        if let Some((seq, _)) = self.ask(now) {
            self.named = Some(seq);
        }
        self.named.filter(|seq| self.has(*seq))
    }
}
