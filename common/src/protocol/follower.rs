//! The secondary as a value: deduplicates by position, holds back what came too early, says what it holds.
//!
//! ```text
//!   1 ..... verified ..... last | missing | held back ...
//!           is the master's      ^ last + 1
//!           (acknowledged)
//! ```
//! `verified` trails `last` only after a new master has spoken and before it has shown which entries it shares.

mod matching;
mod receiving;
mod shown;

use std::collections::BTreeMap;

use crate::entry::{Entry, Position};
use crate::log::Standing;
use crate::message::Life;
use crate::protocol::epochs::Epochs;
use crate::protocol::reorder::Reorder;
use crate::protocol::tally::Tally;
use crate::types::{Epoch, Incarnation, Instance, LogId, NodeId, Seq};

/// Bounds of the hold-back buffer: several windows, as the master has them by default. What goes beyond is sent again.
const HELD_ENTRIES: usize = 65_536;
const HELD_BYTES: usize = 4 << 20;

/// A secondary.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Follower {
    node: NodeId,
    incarnation: Incarnation,
    log_id: Option<LogId>,
    /// Histories that were cleared away, and by which life: what is late of them is not taken for new.
    replaced: Vec<Life>,
    epoch: Epoch,
    instance: Option<Instance>,
    epochs: Epochs,
    verified: Seq,
    /// Which start of a master placed the entries of an epoch, as far as the present master has said.
    placed_by: BTreeMap<Epoch, Instance>,
    reorder: Reorder,
    /// The history of a master that was refused because this node holds another one.
    foreign: Option<LogId>,
    /// What is to be done to the store.
    change: Option<Change>,
    /// The last life of the history before this one: whoever it has overtaken is not followed for the first word of another.
    former: Option<Life>,
    master_tail: Tally,
    commit: Tally,
    duplicates: Tally,
}

/// What is to be done to the store before anything else: the log is not a longer one of the same any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// The history was cleared away: everything is forgotten.
    Cleared,
    /// What is stored of that history behind this, which is the position of an entry here, or the beginning, is not what
    /// the master has, or had: that is put aside.
    PutAside(Option<LogId>, Position),
}

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// It belongs to the log this node follows.
    Followed {
        /// Entries that were there already.
        duplicates: u64,
        /// Entries dropped because the hold-back buffer is full.
        dropped: u64,
    },
    /// It replaces the log, which is to be forgotten (see [`Follower::take_change`]).
    Cleared,
    /// Of another history than this node holds.
    OtherHistory,
    /// Of a master that has been overtaken, or of a second one in its epoch.
    OtherMaster,
}

impl Follower {
    /// A secondary that holds nothing.
    #[must_use]
    pub fn new(node: NodeId, incarnation: Incarnation) -> Self {
        Self {
            node,
            incarnation,
            log_id: None,
            replaced: Vec::new(),
            epoch: Epoch(0),
            instance: None,
            epochs: Epochs::default(),
            verified: Seq::ZERO,
            placed_by: BTreeMap::new(),
            reorder: Reorder::new(HELD_ENTRIES, HELD_BYTES),
            foreign: None,
            change: None,
            former: None,
            master_tail: Tally::default(),
            commit: Tally::default(),
            duplicates: Tally::default(),
        }
    }

    /// A secondary whose log is on a disk, and ends with `last`. Whose entries they are has to be shown again.
    #[must_use]
    pub fn on_disk(node: NodeId, incarnation: Incarnation, standing: Standing, last: Seq) -> Self {
        Self {
            incarnation: standing.incarnation.unwrap_or(incarnation),
            log_id: standing.log_id,
            replaced: standing.replaced,
            epoch: standing.epoch,
            instance: standing.instance,
            epochs: Epochs::from_runs(standing.lives, last),
            ..Self::new(node, incarnation)
        }
    }

    /// The entries that can be stored now: they follow what is stored, without a hole. [`Follower::stored`] says that
    /// they are.
    #[must_use]
    pub fn take_ready(&mut self) -> Vec<Entry> {
        let mut ready = Vec::new();
        // Only behind what is shown to be the master's: else its entries would be put on a foreign trunk.
        if self.verified == self.last().seq && self.change.is_none() {
            let mut next = self.verified.next();
            while let Some(entry) = self.reorder.take(next) {
                ready.push(entry);
                next = next.next();
            }
        }
        ready
    }

    /// The entries of [`Follower::take_ready`] are stored: this node holds them.
    pub fn stored(&mut self, entries: &[Entry]) {
        for entry in entries {
            self.epochs.push(self.position(entry));
            // Not the end of the log as such: with nothing to store, what is there is no more verified than before.
            self.verified = entry.seq;
        }
    }

    fn position(&self, entry: &Entry) -> Position {
        Position {
            by: self.placed_by.get(&entry.epoch).copied(),
            ..entry.position()
        }
    }

    /// Forgets every entry (`POST /clear`): a new life of the storage, filled again by the master. Whom it follows, and what
    /// was cleared away, it still knows: late words of others are none of its master's.
    pub fn clear(&mut self, incarnation: Incarnation) {
        *self = Self {
            log_id: self.log_id,
            epoch: self.epoch,
            instance: self.instance,
            replaced: std::mem::take(&mut self.replaced),
            former: self.former,
            ..Self::new(self.node.clone(), incarnation)
        };
    }

    /// Forgets everything, and which histories were cleared away: it follows whatever master speaks next (`POST /rejoin`).
    pub fn rejoin(&mut self, incarnation: Incarnation) {
        *self = Self::new(self.node.clone(), incarnation);
    }
}
