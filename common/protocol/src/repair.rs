//! Damaged entries: which ones there are, and when another node is asked for one of them. The same on both kinds of node.

use std::time::Duration;

use crate::event::Event;
use crate::ids::{Seq, Time};

/// Another node is asked for a damaged entry that often.
pub const ASK_PAUSE: Duration = Duration::from_millis(500);

/// The entries that cannot be read from a node's own disk (Cassandra, TigerBeetle: repair).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Repair {
    /// Ascending.
    damaged: Vec<Seq>,
    turn: usize,
    ask_at: Option<Time>,
    asked_for: Option<Seq>,
}

/// What has changed since the journal was looked at before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DamageChange {
    /// Found damaged.
    pub found: Vec<Seq>,
    /// Readable again.
    pub repaired: Vec<Seq>,
}

impl DamageChange {
    /// The same as what operators look for.
    pub(crate) fn into_events(self) -> impl Iterator<Item = Event> {
        let found = self.found.into_iter().map(|seq| Event::Damaged { seq });
        let repaired = self.repaired.into_iter();
        found.chain(repaired.map(|seq| Event::Repaired { seq }))
    }
}

impl Repair {
    /// The journal knows of these damaged entries, in a log that ends at `last`.
    pub fn update(&mut self, damaged: Vec<Seq>, last: Seq) -> DamageChange {
        if damaged == self.damaged {
            return DamageChange::default();
        }
        let known = std::mem::replace(&mut self.damaged, damaged);
        let is_new = |seq: &Seq| known.binary_search(seq).is_err();
        let found = self.damaged.iter().copied().filter(is_new).collect();
        // What was taken out of the log is not repaired.
        let is_repaired = |seq: &Seq| !self.has(*seq) && *seq <= last;
        let repaired: Vec<Seq> = known.iter().copied().filter(is_repaired).collect();
        if !repaired.is_empty() {
            self.ask_at = None;
        }
        DamageChange { found, repaired }
    }

    /// Whether that entry is damaged.
    #[must_use]
    pub fn has(&self, seq: Seq) -> bool {
        self.damaged.binary_search(&seq).is_ok()
    }

    /// The damaged entries, ascending.
    #[must_use]
    pub fn damaged(&self) -> &[Seq] {
        &self.damaged
    }

    /// The entry to ask for now, if any, each in its turn, and how often each was asked for before.
    pub fn ask(&mut self, now: Time) -> Option<(Seq, usize)> {
        let many = self.damaged.len();
        if many == 0 || self.ask_at.is_some_and(|at| now < at) {
            return None;
        }
        self.ask_at = Some(now + ASK_PAUSE);
        let turn = self.turn;
        self.turn = turn.wrapping_add(1);
        Some((self.damaged[turn % many], turn / many))
    }

    /// The damaged entry that an ACK names, another one after a while.
    pub fn to_name(&mut self, now: Time) -> Option<Seq> {
        if let Some((seq, _)) = self.ask(now) {
            self.asked_for = Some(seq);
        }
        self.asked_for.filter(|seq| self.has(*seq))
    }

    /// When [`Repair::ask`] has something to say, if it has.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.ask_at.filter(|_| !self.damaged.is_empty())
    }
}
