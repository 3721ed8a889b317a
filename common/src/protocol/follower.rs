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
use crate::log::Standing;
use crate::message::{Append, Life, MAX_REPLACED, cleared};
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

    /// Takes an append in. First [`Follower::take_change`] says what it does to the store; then what can be stored comes from
    /// [`Follower::take_ready`], and the answer from [`Follower::ack`].
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
            if self.was_overtaken(&life) {
                return Received::OtherMaster;
            }
            if !self.gives_way(&life, &append.replaces) {
                self.foreign = Some(life.log_id);
                return Received::OtherHistory;
            }
            self.adopt(&life, &append.replaces);
            if self.change.is_some() {
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
        self.take_in(append.entries, append.by)
    }

    /// Whether another history may be followed, which says that it `replaces` those: nothing is here, or only what it has
    /// cleared away. (A master that was overtaken before it cleared its log cleared another log than this one.)
    fn gives_way(&self, life: &Life, replaces: &[Life]) -> bool {
        let by = self.log_id.and_then(|mine| cleared(replaces, mine));
        let is_replaced = by.is_some_and(|by| by.covers(self.epoch, self.instance));
        // One that was cleared so long ago that it is not remembered is no new one.
        let oldest = self.replaced.first();
        let is_full = self.replaced.len() >= MAX_REPLACED;
        let is_old = is_full && oldest.is_some_and(|by| life.epoch < by.epoch);
        self.last().seq == Seq::ZERO && !is_old || is_replaced
    }

    /// Whether a later life of the history that was followed before this one is known.
    fn was_overtaken(&self, life: &Life) -> bool {
        let former = self.former.filter(|f| f.log_id == life.log_id);
        former.is_some_and(|f| life.epoch < f.epoch || life.epoch == f.epoch && *life != f)
    }

    /// Another history, from its beginning.
    fn adopt(&mut self, life: &Life, replaces: &[Life]) {
        if self.last().seq > Seq::ZERO || self.change.is_some() {
            let by = self.log_id.and_then(|mine| cleared(replaces, mine));
            // What is not shown to be of the log that was cleared is nobody's to delete.
            let is_all = self.verified == self.last().seq;
            let is_its = by.is_some_and(|by| {
                (by.epoch, Some(by.instance)) == (self.epoch, self.instance) && is_all
            });
            self.change = Some(match is_its {
                true => Change::Cleared,
                false => Change::PutAside(self.log_id, Position::default()),
            });
        }
        if let (Some(log_id), Some(instance)) = (self.log_id, self.instance) {
            let epoch = self.epoch;
            self.former = Some(Life {
                log_id,
                epoch,
                instance,
            });
        }
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

    /// Entries that were placed by that start of a master.
    fn take_in(&mut self, entries: Vec<Entry>, by: Option<Instance>) -> Received {
        let (mut duplicates, mut dropped) = (0, 0);
        for entry in entries {
            let at = entry.position();
            self.verify(Position { by, ..at });
            if entry.seq <= self.last().seq {
                duplicates += 1;
                continue;
            }
            match self.reorder.offer(entry) {
                Offered::Held => drop(by.map(|by| self.placed_by.insert(at.epoch, by))),
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
