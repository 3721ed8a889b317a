//! What a follower shares with its master: found by lives, and the rest put aside.

use std::ops::RangeInclusive;

use super::{Change, Follower};
use crate::entry::{Entry, Position};
use crate::message::{Fetch, Fetched, Life, cleared};
use crate::types::{Epoch, Instance, Seq};

impl Follower {
    /// Two logs of one history that agree on a position agree on everything before it; where they do not, they differ in
    /// everything after it, and in what has a higher epoch before it.
    pub(super) fn verify(&mut self, at: Position) {
        match self.epochs.at(at.seq) {
            Some(mine) if mine.agrees_with(&at) => self.verified = self.verified.max(at.seq),
            Some(_) => self.put_aside_after(self.epochs.shared_with(at)),
            None => {}
        }
    }

    /// What the master placed before this life of it lies within its `tail`: more of that is not the master's.
    pub(super) fn end_at(&mut self, tail: Seq, epoch: Epoch) {
        if self.epochs.at(tail.next()).is_some_and(|p| p.epoch < epoch) {
            self.put_aside_after(tail);
        }
    }

    /// Never what this life of the master has shown to be its own: that was acknowledged.
    fn put_aside_after(&mut self, keep: Seq) {
        if keep >= self.verified && keep < self.last().seq {
            self.epochs.truncate(keep);
            self.change = Some(Change::PutAside(self.log_id, self.last()));
        }
    }

    /// Whether this is the very entry that is here, as the master has it too: what is damaged of it may be written again.
    #[must_use]
    pub fn holds(&self, entry: &Entry, by: Option<Instance>) -> bool {
        let theirs = Position {
            by,
            ..entry.position()
        };
        let mine = self.epochs.at(entry.seq);
        entry.seq <= self.verified && mine.is_some_and(|mine| mine.agrees_with(&theirs))
    }

    /// What is to be done to the store, if anything: after each message, before anything else.
    pub fn take_change(&mut self) -> Option<Change> {
        self.change.take()
    }

    /// A master that recovers asks what is here, and will go on in that life: no lower epoch is followed from now on, or an
    /// entry that is acknowledged to the former master now could be missing from what the new one was told.
    ///
    /// One that holds nothing, or what was cleared away, promises too: the former master could still be the first one that it
    /// hears.
    fn promise(&mut self, life: &Life, replaces: &[Life]) {
        if self.log_id == Some(life.log_id) {
            if life.epoch > self.epoch {
                self.follow(life);
            }
        } else if self.gives_way(life, replaces)
            && !self.was_overtaken(life)
            && cleared(&self.replaced, life.log_id).is_none()
        {
            self.adopt(life, replaces);
            self.replaced = replaces.to_vec();
        }
    }

    /// The answer to such a question (after [`Follower::take_change`]), with the positions of the entries to read and send; an empty range if none were asked
    /// for, or there are none.
    pub fn answer(&mut self, fetch: &Fetch) -> Fetched<RangeInclusive<Seq>> {
        self.promise(&fetch.life, &fetch.replaces);
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
}
