//! The secondary as a value: deduplicates by position, holds back what came too early, says what it holds.
//!
//! ```text
//!   1 ..... verified ..... last | missing | held back ...
//!           is the master's      ^ last + 1
//!           (acknowledged)
//! ```
//! `verified` trails `last` only after a new master has spoken and before it has shown which entries it shares.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use crate::entry::{Entry, Position};
use crate::message::{Ack, Append, Fetch, Fetched, Life};
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
    /// Histories that were cleared away: what is late of them is not taken for new.
    replaced: Vec<LogId>,
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
            if self.replaced.contains(&life.log_id) {
                // Late words of the old history; or a master took it back that could not know: only `rejoin` helps.
                if life.epoch > self.epoch {
                    self.foreign = Some(life.log_id);
                    return Received::OtherHistory;
                }
                return Received::OtherMaster;
            }
            // A master that was overtaken may clear its log all the same: the new history begins above the old one.
            let replaced = life.epoch > self.epoch
                && self
                    .log_id
                    .is_some_and(|mine| append.replaces.contains(&mine));
            if self.last().seq > Seq::ZERO && !replaced {
                self.foreign = Some(life.log_id);
                return Received::OtherHistory;
            }
            let had_entries = self.last().seq > Seq::ZERO;
            self.adopt(&life);
            self.replaced = append.replaces;
            if had_entries {
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

    /// Two logs of one history that agree on a position agree on everything before it; where they do not, they differ in
    /// everything after it, and in what has a higher epoch before it.
    fn verify(&mut self, at: Position) {
        match self.epochs.at(at.seq) {
            Some(mine) if mine.agrees_with(&at) => self.verified = self.verified.max(at.seq),
            Some(_) => {
                let before = Position {
                    seq: at.seq.prev(),
                    ..at
                };
                self.put_aside_after(self.epochs.at_or_before(before).seq);
            }
            None => {}
        }
    }

    /// What the master placed before this life of it lies within its `tail`: more of that is not the master's.
    fn end_at(&mut self, tail: Seq, epoch: Epoch) {
        if self.epochs.at(tail.next()).is_some_and(|p| p.epoch < epoch) {
            self.put_aside_after(tail);
        }
    }

    /// Never what this life of the master has shown to be its own: that was acknowledged.
    fn put_aside_after(&mut self, keep: Seq) {
        if keep >= self.verified && keep < self.last().seq {
            self.epochs.truncate(keep);
            self.keep = Some(keep);
        }
    }

    /// The end of what stays, if something behind it is to be taken out of the log and put aside: before anything else is
    /// stored.
    pub fn take_aside(&mut self) -> Option<Position> {
        self.keep.take().and_then(|keep| self.epochs.at(keep))
    }

    /// A master that recovers asks what is here, and will go on in that life: no lower epoch is followed from now on, or an
    /// entry that is acknowledged to the former master now could be missing from what the new one was told.
    fn promise(&mut self, life: &Life) {
        if self.log_id == Some(life.log_id) && life.epoch > self.epoch {
            self.follow(life);
        }
    }

    /// The answer to such a question, with the positions of the entries to read and send; an empty range if none were asked
    /// for, or there are none.
    pub fn answer(&mut self, fetch: &Fetch) -> Fetched<RangeInclusive<Seq>> {
        self.promise(&fetch.life);
        let prev = self.at(fetch.from.prev()).unwrap_or(self.last());
        let first = prev.seq.next();
        let end = match fetch.max_bytes {
            0 => prev.seq,
            _ => self.epochs.end_of_life(first),
        };
        Fetched {
            position: self.ack(),
            prev,
            by: self.at(first).and_then(|at| at.by),
            entries: first..=end,
        }
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

    /// "I hold everything up to ...", as it is now.
    #[must_use]
    pub fn ack(&self) -> Ack {
        Ack {
            node: self.node.clone(),
            incarnation: self.incarnation,
            log_id: self.log_id,
            epoch: self.epoch,
            instance: self.instance,
            upto: self.verified,
            last: self.last(),
            held_from: self.reorder.first(),
            replaced: self.replaced.clone(),
            error: None,
        }
    }

    /// Forgets everything (`POST /clear`): a new life of the storage, filled again by the master.
    pub fn clear(&mut self, incarnation: Incarnation) {
        let replaced = std::mem::take(&mut self.replaced);
        let epoch = self.epoch;
        *self = Self::new(self.node.clone(), incarnation);
        // Late words of what was cleared away are known by both.
        (self.replaced, self.epoch) = (replaced, epoch);
    }

    /// Forgets everything, and which histories were cleared away: it follows whatever master speaks next (`POST /rejoin`).
    pub fn rejoin(&mut self, incarnation: Incarnation) {
        *self = Self::new(self.node.clone(), incarnation);
    }

    /// The end of what it holds.
    #[must_use]
    pub fn last(&self) -> Position {
        self.epochs.last()
    }

    /// The position at `seq`, if it holds that much.
    #[must_use]
    pub fn at(&self, seq: Seq) -> Option<Position> {
        self.epochs.at(seq)
    }

    /// Up to here it holds what its master has.
    #[must_use]
    pub fn verified(&self) -> Seq {
        self.verified
    }

    /// Its name.
    #[must_use]
    pub fn node(&self) -> &NodeId {
        &self.node
    }

    /// The life of its storage.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// The history it holds.
    #[must_use]
    pub fn log_id(&self) -> Option<LogId> {
        self.log_id
    }

    /// The highest epoch it has seen.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The master it follows.
    #[must_use]
    pub fn instance(&self) -> Option<Instance> {
        self.instance
    }

    /// How many entries it holds back.
    #[must_use]
    pub fn held_back(&self) -> usize {
        self.reorder.len()
    }

    /// How many entries came more than once.
    #[must_use]
    pub fn duplicates(&self) -> u64 {
        self.duplicates.get()
    }

    /// The end of the master's log, as far as it has said.
    #[must_use]
    pub fn master_tail(&self) -> Seq {
        Seq(self.master_tail.get())
    }

    /// What a majority of the nodes holds, as far as the master has said.
    #[must_use]
    pub fn commit(&self) -> Seq {
        Seq(self.commit.get())
    }

    /// The history of a master that it does not follow because it holds another one.
    #[must_use]
    pub fn foreign(&self) -> Option<LogId> {
        self.foreign
    }
}
