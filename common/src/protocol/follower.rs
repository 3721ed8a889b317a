//! The secondary as a value: deduplicates by position, holds back what came too early, says what it holds.
//!
//! ```text
//!   1 ..... verified ..... last | missing | held back ...
//!           is the master's      ^ last + 1
//!           (acknowledged)
//! ```
//! `verified` trails `last` only after a new master has spoken and before it has shown which entries it shares.

mod matching;
mod shown;

use std::collections::BTreeMap;

use crate::entry::{Entry, Position};
use crate::message::{Append, Life, cleared};
use crate::protocol::epochs::Epochs;
use crate::protocol::reorder::{Offered, Reorder};
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
    /// The end of what stays; the rest of what is stored is to be put aside.
    keep: Option<Seq>,
    master_tail: Tally,
    commit: Tally,
    duplicates: Tally,
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
    /// It replaces the log: forget everything stored, then follow. Its entries are not taken; they come again.
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
            keep: None,
            master_tail: Tally::default(),
            commit: Tally::default(),
            duplicates: Tally::default(),
        }
    }

    /// Takes an append in. What can be stored comes from [`Follower::take_ready`], the answer from [`Follower::ack`].
    pub fn receive(&mut self, append: Append<Vec<Entry>>) -> Received {
        let life = append.life;
        if self.log_id != Some(life.log_id) {
            if let Some(by) = cleared(&self.replaced, life.log_id) {
                if by.covers(life.epoch, Some(life.instance)) {
                    return Received::OtherMaster; // late words of the old history
                }
                // A master has it that could not know that it was cleared away: only `rejoin` helps.
                self.foreign = Some(life.log_id);
                return Received::OtherHistory;
            }
            // A master that was overtaken before it cleared its log cleared another log than this one.
            let by = self.log_id.and_then(|mine| cleared(&append.replaces, mine));
            let is_replaced = by.is_some_and(|by| by.covers(self.epoch, self.instance));
            if self.last().seq > Seq::ZERO && !is_replaced {
                self.foreign = Some(life.log_id);
                return Received::OtherHistory;
            }
            let had_entries = self.last().seq > Seq::ZERO;
            self.adopt(&life);
            if had_entries {
                self.replaced = append.replaces;
                return Received::Cleared;
            }
        }
        let known = (self.epoch, self.instance.unwrap_or(life.instance));
        if (life.epoch, life.instance) != known || self.instance.is_none() {
            if life.epoch < self.epoch || (life.epoch == self.epoch && life.instance != known.1) {
                return Received::OtherMaster;
            }
            self.follow(&life);
        }
        self.foreign = None;
        if !append.replaces.is_empty() {
            self.replaced = append.replaces;
        }
        self.master_tail.set(append.tail.0);
        self.commit.set(append.commit.0);
        self.verify(append.prev);
        self.end_at(append.tail, life.epoch);
        if let (Some(by), Some(first)) = (append.by, append.entries.first()) {
            self.placed_by.insert(first.epoch, by);
        }
        self.take_in(append.entries)
    }

    /// Another history, from its beginning.
    fn adopt(&mut self, life: &Life) {
        self.log_id = Some(life.log_id);
        self.replaced.clear();
        self.epochs = Epochs::default();
        self.epoch = Epoch(0);
        self.follow(life);
    }

    /// Another life of the same history: what this node holds is not yet shown to be the master's.
    fn follow(&mut self, life: &Life) {
        self.epoch = life.epoch;
        self.instance = Some(life.instance);
        self.verified = Seq::ZERO;
        self.master_tail.set(0);
        self.commit.set(0);
        self.placed_by.clear();
        self.reorder.clear();
    }

    fn take_in(&mut self, entries: Vec<Entry>) -> Received {
        let (mut duplicates, mut dropped) = (0, 0);
        for entry in entries {
            self.verify(self.position(&entry));
            if entry.seq <= self.last().seq {
                duplicates += 1;
                continue;
            }
            match self.reorder.offer(entry) {
                Offered::Held => {}
                Offered::Duplicate => duplicates += 1,
                Offered::Dropped => dropped += 1,
            }
        }
        self.duplicates.add(duplicates);
        Received::Followed {
            duplicates,
            dropped,
        }
    }

    /// The entries that can be stored now: they follow what is stored, without a hole. [`Follower::stored`] says that
    /// they are.
    #[must_use]
    pub fn take_ready(&mut self) -> Vec<Entry> {
        let mut ready = Vec::new();
        // Only behind what is shown to be the master's: else its entries would be put on a foreign trunk.
        if self.verified == self.last().seq && self.keep.is_none() {
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
            ..Self::new(self.node.clone(), incarnation)
        };
    }

    /// Forgets everything, and which histories were cleared away: it follows whatever master speaks next (`POST /rejoin`).
    pub fn rejoin(&mut self, incarnation: Incarnation) {
        *self = Self::new(self.node.clone(), incarnation);
    }
}
