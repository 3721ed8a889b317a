//! Which life of the master each position of a log belongs to.

use serde::{Deserialize, Serialize};

use crate::entry::Position;
use crate::types::{Epoch, Instance, Seq};

/// Entries that one life of a master has placed, up to the next run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Run {
    /// The first of them.
    pub first: Seq,
    /// The life.
    pub epoch: Epoch,
    /// The start of that master, where it is known.
    pub by: Option<Instance>,
}

/// The lives behind the entries `1..=last`, as runs. One run a life of the master, however long the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Epochs {
    /// Ascending in both position and epoch.
    runs: Vec<Run>,
    last: Seq,
}

impl Epochs {
    /// Of a log that ends at `last`; runs that begin behind it are left out.
    #[must_use]
    pub fn from_runs(mut runs: Vec<Run>, last: Seq) -> Self {
        runs.retain(|r| r.first <= last);
        Self { runs, last }
    }

    /// The lives, in their order.
    #[must_use]
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The end of the log.
    #[must_use]
    pub fn last(&self) -> Position {
        self.in_run(self.runs.len(), self.last)
    }

    /// The position at `seq`, if the log reaches that far. [`Seq::ZERO`] always is there, with epoch 0.
    #[must_use]
    pub fn at(&self, seq: Seq) -> Option<Position> {
        let runs = self.runs.partition_point(|r| r.first <= seq);
        (seq <= self.last).then(|| self.in_run(runs, seq))
    }

    /// The position at `seq` in the last of the first `runs` runs.
    fn in_run(&self, runs: usize, seq: Seq) -> Position {
        match runs.checked_sub(1).map(|i| self.runs[i]) {
            Some(Run { epoch, by, .. }) => Position { seq, epoch, by },
            None => Position::default(),
        }
    }

    /// The last position that is of the same life as `seq`.
    #[must_use]
    pub fn end_of_life(&self, seq: Seq) -> Seq {
        let after = self.runs.partition_point(|r| r.first <= seq);
        self.runs.get(after).map_or(self.last, |r| r.first.prev())
    }

    /// The last position at which a log that ends with `at` can agree with this one: not behind `at`, of no higher epoch,
    /// and of no other life with the same epoch. (The search of Raft's log matching, a whole life a step.)
    #[must_use]
    pub fn at_or_before(&self, at: Position) -> Position {
        let seq = at.seq.min(self.last);
        let mut runs = self
            .runs
            .partition_point(|r| r.first <= seq && r.epoch <= at.epoch);
        let differs =
            |r: &Run| r.epoch == at.epoch && r.by.is_some() && at.by.is_some() && r.by != at.by;
        if runs.checked_sub(1).is_some_and(|i| differs(&self.runs[i])) {
            runs -= 1;
        }
        let end = self.runs.get(runs).map_or(self.last, |r| r.first.prev());
        self.in_run(runs, seq.min(end))
    }

    /// The end of what it can share with another log of the same history that has an entry at `at`: that one, or what comes
    /// before the life it is of.
    #[must_use]
    pub fn shared_with(&self, at: Position) -> Seq {
        if self.at(at.seq).is_some_and(|mine| mine.agrees_with(&at)) {
            return at.seq;
        }
        let seq = at.seq.prev();
        self.at_or_before(Position { seq, ..at }).seq
    }

    /// One more entry.
    ///
    /// # Panics
    /// If it does not follow the last one: the caller has decided that before.
    pub fn push(&mut self, at: Position) {
        assert_eq!(at.seq, self.last.next(), "entries are appended in order");
        if self.runs.last().is_none_or(|r| r.epoch != at.epoch) {
            self.runs.push(Run {
                first: at.seq,
                epoch: at.epoch,
                by: at.by,
            });
        }
        self.last = at.seq;
    }

    /// Forgets everything behind `last`.
    pub fn truncate(&mut self, last: Seq) {
        self.last = self.last.min(last);
        self.runs.retain(|r| r.first <= last);
    }
}
