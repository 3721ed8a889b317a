//! What a follower shares with its master: found by lives, and the rest put aside.

use std::ops::RangeInclusive;

use super::Follower;
use crate::entry::Position;
use crate::message::{Fetch, Fetched, Life, cleared};
use crate::types::{Epoch, Seq};

impl Follower {
    /// Two logs of one history that agree on a position agree on everything before it; where they do not, they differ in
    /// everything after it, and in what has a higher epoch before it.
    pub(super) fn verify(&mut self, at: Position) {
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
    pub(super) fn end_at(&mut self, tail: Seq, epoch: Epoch) {
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
    ///
    /// One that holds nothing promises too: the former master could still be the first one that it hears.
    fn promise(&mut self, life: &Life) {
        if self.log_id == Some(life.log_id) {
            if life.epoch > self.epoch {
                self.follow(life);
            }
        } else if self.last().seq == Seq::ZERO && cleared(&self.replaced, life.log_id).is_none() {
            self.adopt(life);
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
}
