//! The store's side of the leader: what is to be written, and what is.

use super::{FULL_PAUSE, Leader};
use crate::entry::{Entry, Position};
use crate::log::Standing;
use crate::protocol::commit::Wait;
use crate::protocol::outcome::{Answer, Outcome, Placement, ReadOnly};
use crate::types::{Seq, Time};

impl<W> Leader<W> {
    /// Where it stands: to be written with the entries, and before anything is said in a new life.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let chosen = self.recovery.as_ref().and_then(|r| r.life());
        Standing {
            log_id: Some(chosen.map_or(self.life.log_id, |life| life.log_id)),
            epoch: self.life.epoch,
            instance: Some(self.life.instance),
            incarnation: None,
            replaced: self.replaced.clone(),
            lives: self.epochs.runs().to_vec(),
            is_partial: self.recovery.as_ref().is_some_and(|r| !r.is_whole()),
        }
    }

    /// What is stored behind this is to be taken out, before anything else is stored: other nodes go on otherwise.
    pub fn take_cut(&mut self) -> Option<Position> {
        let keep = self.cut.take()?;
        self.epochs.at(keep)
    }

    /// What is to be stored next, in one go. [`Leader::stored`] says that it is.
    #[must_use]
    pub fn take_staged(&mut self) -> Vec<Entry> {
        self.staged.hand_out()
    }

    /// Whether there is something to be stored.
    #[must_use]
    pub fn has_staged(&self) -> bool {
        self.staged.has_more()
    }

    /// Whether so much waits to be stored that nothing more is placed, or asked for, until some of it is.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.staged.is_full()
    }

    /// Everything up to `last` is stored: the master holds it, and it may be sent.
    pub fn stored(&mut self, last: Seq) {
        self.staged.stored(last);
        self.full_until = None;
        self.stored = self.stored.max(last);
        self.commit.set_master(self.stored);
        self.answer_met();
        self.answer_undecided();
    }

    /// There was no room for what was staged. It is not in the log, and neither is what was staged since; whoever waits
    /// for it is told, and for a while nobody else is let in.
    pub fn disk_full(&mut self, now: Time) {
        self.full_until = Some(now + FULL_PAUSE);
        self.forget_staged(ReadOnly::DiskFull);
    }

    /// The disk failed: it is not known whether what was staged is in the log. Nothing is taken any more.
    pub fn disk_failed(&mut self) {
        self.failed = true;
        self.forget_staged(ReadOnly::DiskFailed);
    }

    fn forget_staged(&mut self, why: ReadOnly) {
        let last = self.stored;
        self.forget_behind(last);
        self.urgent = self.urgent.min(last);
        self.linger_until = None;
        self.tell_waiting(last, Outcome::NotStored(why));
    }

    /// Whoever waits for an entry behind `last` waits for what will never be.
    pub(super) fn tell_waiting(&mut self, last: Seq, outcome: Outcome) {
        let undecided = std::mem::take(&mut self.undecided).into_iter();
        let waits = self.commit.drain_behind(last).into_iter();
        for wait in waits.chain(undecided.map(|(wait, _)| wait)) {
            self.answer_with(wait, outcome);
        }
    }

    /// Forgets what was placed behind `keep`; whether it is stored is another matter.
    pub(super) fn forget_behind(&mut self, keep: Seq) {
        self.epochs.truncate(keep);
        self.staged.forget_behind(keep);
        self.stored = self.stored.min(keep);
        self.dedup.truncate(keep);
    }

    /// Takes what lies behind `keep` out of the log.
    pub(super) fn cut_behind(&mut self, keep: Seq) {
        if keep < self.staged.last_handed_out().unwrap_or(self.stored) {
            self.cut = Some(self.cut.map_or(keep, |cut| cut.min(keep)));
        }
        self.forget_behind(keep);
        self.commit.set_master(self.stored);
    }

    /// Tells a client, once what it is told is true.
    pub(super) fn answer(&mut self, wait: Wait<(Placement, W)>, outcome: fn(u32) -> Outcome) {
        if wait.seq > self.stored {
            self.undecided.push_back((wait, outcome));
            return;
        }
        let acks = self.commit.acks(wait.seq);
        let is_met = acks >= wait.w;
        let outcome = if is_met {
            |acks| Outcome::Replicated { acks }
        } else {
            outcome
        };
        self.answer_with(wait, outcome(acks));
    }

    pub(super) fn answer_with(&mut self, wait: Wait<(Placement, W)>, outcome: Outcome) {
        let (placement, waiter) = wait.waiter;
        self.answers.push_back(Answer {
            waiter,
            placement,
            outcome,
        });
    }

    fn answer_undecided(&mut self) {
        let undecided = std::mem::take(&mut self.undecided);
        for (wait, outcome) in undecided {
            self.answer(wait, outcome);
        }
    }
}
