//! What a follower says of itself.

use super::Follower;
use crate::entry::{Entry, Position};
use crate::log::Standing;
use crate::message::Ack;
use crate::types::{Epoch, Incarnation, Instance, LogId, NodeId, Seq};

impl Follower {
    /// Where it stands once those entries, which [`Follower::take_ready`] handed out, are stored: to be written with them,
    /// and before anything is answered.
    #[must_use]
    pub fn standing(&self, ready: &[Entry]) -> Standing {
        let mut epochs = self.epochs.clone();
        for entry in ready {
            epochs.push(self.position(entry));
        }
        Standing {
            log_id: self.log_id,
            epoch: self.epoch,
            instance: self.instance,
            incarnation: Some(self.incarnation),
            replaced: self.replaced.clone(),
            lives: epochs.runs().to_vec(),
            is_partial: false,
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
            damaged: None,
            error: None,
        }
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
