//! What becomes of an append.

use super::{Change, Follower, Received};
use crate::entry::{Entry, Position};
use crate::message::{Append, Life, MAX_REPLACED, cleared};
use crate::protocol::epochs::Epochs;
use crate::protocol::reorder::Offered;
use crate::types::{Epoch, Instance, Seq};

impl Follower {
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
    pub(super) fn gives_way(&self, life: &Life, replaces: &[Life]) -> bool {
        let by = self.log_id.and_then(|mine| cleared(replaces, mine));
        let is_replaced = by.is_some_and(|by| by.covers(self.epoch, self.instance));
        // One that was cleared so long ago that it is not remembered is no new one.
        let oldest = self.replaced.first();
        let is_full = self.replaced.len() >= MAX_REPLACED;
        let is_old = is_full && oldest.is_some_and(|by| life.epoch < by.epoch);
        self.last().seq == Seq::ZERO && !is_old || is_replaced
    }

    /// Whether a later life of the history that was followed before this one is known.
    pub(super) fn was_overtaken(&self, life: &Life) -> bool {
        let former = self.former.filter(|f| f.log_id == life.log_id);
        former.is_some_and(|f| life.epoch < f.epoch || life.epoch == f.epoch && *life != f)
    }

    /// Another history, from its beginning.
    pub(super) fn adopt(&mut self, life: &Life, replaces: &[Life]) {
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
    pub(super) fn follow(&mut self, life: &Life) {
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
}
