//! An entry that is damaged on a disk: a secondary gets it from the master once more, the master from a secondary.

use super::Leader;
use crate::entry::{Entry, Position};
use crate::message::{Ack, Fetch, Fetched};
use crate::types::{NodeId, Seq, Time};

impl<W> Leader<W> {
    /// The entry that the secondary asks for because its own is damaged, if it is the master's too.
    #[must_use]
    pub fn asked_for(&self, ack: &Ack) -> Option<Seq> {
        let is_shared = |seq: &Seq| Seq::ZERO < *seq && *seq <= ack.upto.min(self.stored);
        ack.damaged
            .filter(is_shared)
            .filter(|_| self.is_followed_by(ack))
    }

    /// Whom to ask for an entry of which the master knows that it is damaged: one of those who hold it, another one each
    /// `turn`.
    #[must_use]
    pub fn ask_for(&self, damaged: Seq, turn: usize, now: Time) -> Option<(NodeId, Fetch)> {
        if !self.may_send() || self.link_down_since.is_some() || damaged > self.stored {
            return None;
        }
        let holders: Vec<&NodeId> = (self.members.iter())
            .filter(|(_, r)| r.matched() >= damaged && r.status(now).is_alive())
            .map(|(node, _)| node)
            .collect();
        let node = holders.get(turn.checked_rem(holders.len())?)?;
        let fetch = Fetch {
            life: self.life,
            replaces: self.replaced.clone(),
            from: damaged,
            max_bytes: 1, // one entry, however long
        };
        Some(((*node).clone(), fetch))
    }

    /// The entry of such an answer, if it is the very one that was placed there.
    #[must_use]
    pub fn own<'f>(&self, fetched: &'f Fetched<Vec<Entry>>) -> Option<&'f Entry> {
        let entry = fetched.entries.first()?;
        let theirs = Position {
            by: fetched.by,
            ..entry.position()
        };
        let mine = self.epochs.at(entry.seq)?;
        let is_mine = mine.agrees_with(&theirs) && entry.seq <= fetched.position.upto;
        (is_mine && self.may_send() && self.is_followed_by(&fetched.position)).then_some(entry)
    }

    /// While it recovers: who has spoken, and cannot read an entry of its log, and which.
    pub fn cannot_read(&self) -> impl Iterator<Item = (NodeId, Seq)> {
        self.recovery.iter().flat_map(|r| r.cannot_read())
    }

    fn is_followed_by(&self, ack: &Ack) -> bool {
        let life = &self.life;
        let theirs = (ack.log_id, ack.epoch, ack.instance);
        theirs == (Some(life.log_id), life.epoch, Some(life.instance))
    }
}
