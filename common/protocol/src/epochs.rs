//! Which epoch placed each position of a log, and what two logs of one history share.

use serde::{Deserialize, Serialize};

use crate::ids::{Epoch, Seq};

/// Where an entry stands: its position and the epoch that placed it there. Two logs of one history that agree on a position
/// agree on everything before it (Raft: log matching property, prevLogIndex and prevLogTerm).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(from = "FlatPosition", into = "FlatPosition")]
pub struct LogPosition {
    /// The position.
    pub seq: Seq,
    /// The epoch of the entry there; [`Epoch::ZERO`] at [`Seq::ZERO`].
    pub epoch: Epoch,
}

impl LogPosition {
    /// Whether a log that ends at `self` is better than one that ends at `other`: of a higher epoch, or longer within it
    /// (Raft: the up-to-date check of elections).
    #[must_use]
    pub fn is_ahead_of(&self, other: &LogPosition) -> bool {
        (self.epoch, self.seq) > (other.epoch, other.seq)
    }
}

/// The JSON of a position: flat, the epoch without its instance where there is none.
#[derive(Serialize, Deserialize)]
struct FlatPosition {
    seq: Seq,
    #[serde(flatten)]
    epoch: Epoch,
}

impl From<FlatPosition> for LogPosition {
    fn from(FlatPosition { seq, epoch }: FlatPosition) -> Self {
        Self { seq, epoch }
    }
}

impl From<LogPosition> for FlatPosition {
    fn from(LogPosition { seq, epoch }: LogPosition) -> Self {
        Self { seq, epoch }
    }
}

/// Where the entries of one epoch begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EpochStart {
    /// The first entry that the epoch placed.
    pub first: Seq,
    /// The epoch.
    #[serde(flatten)]
    pub epoch: Epoch,
}

/// The epochs of the entries `1..=last` (Kafka: leader epoch cache). One row per leadership, however long the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct EpochTable {
    /// Ascending in both position and epoch.
    starts: Vec<EpochStart>,
    last: Seq,
}

impl EpochTable {
    /// The table of a log that ends at `last`; rows that begin after `last` are left out.
    #[must_use]
    pub fn new(mut starts: Vec<EpochStart>, last: Seq) -> Self {
        starts.retain(|s| s.first <= last);
        Self { starts, last }
    }

    /// The rows, in their order.
    #[must_use]
    pub fn starts(&self) -> &[EpochStart] {
        &self.starts
    }

    /// The end of the log.
    #[must_use]
    pub fn last(&self) -> LogPosition {
        self.in_row(self.starts.len(), self.last)
    }

    /// The position at `seq`, if the log reaches that far. [`Seq::ZERO`] is in every log, with [`Epoch::ZERO`].
    #[must_use]
    pub fn at(&self, seq: Seq) -> Option<LogPosition> {
        let rows = self.starts.partition_point(|s| s.first <= seq);
        (seq <= self.last).then(|| self.in_row(rows, seq))
    }

    /// The position at `seq` in the last of the first `rows` rows.
    fn in_row(&self, rows: usize, seq: Seq) -> LogPosition {
        match rows.checked_sub(1).map(|i| self.starts[i]) {
            Some(EpochStart { epoch, .. }) => LogPosition { seq, epoch },
            None => LogPosition::default(),
        }
    }

    /// Whether this log has that very entry.
    #[must_use]
    pub fn matches(&self, position: LogPosition) -> bool {
        self.at(position.seq) == Some(position)
    }

    /// The last position that is of the same epoch as `seq`.
    #[must_use]
    pub fn end_of_epoch(&self, seq: Seq) -> Seq {
        let next = self.starts.partition_point(|s| s.first <= seq);
        self.starts.get(next).map_or(self.last, |s| s.first.prev())
    }

    /// The last position at which a log that ends at `other` can agree with this one: not after `other`, and of no higher
    /// epoch. Where both logs have that position, they agree up to it. (Raft's search for the point of agreement, a whole
    /// epoch per step.)
    #[must_use]
    pub fn last_common(&self, other: LogPosition) -> LogPosition {
        let seq = other.seq.min(self.last);
        let rows = self
            .starts
            .partition_point(|s| s.first <= seq && s.epoch <= other.epoch);
        let end = self.starts.get(rows).map_or(self.last, |s| s.first.prev());
        self.in_row(rows, seq.min(end))
    }

    /// The end of what this log can share with a log of the same history that has the entry `other`: that entry, or what
    /// comes before the epoch that placed another one here.
    #[must_use]
    pub fn shared_with(&self, other: LogPosition) -> Seq {
        if self.matches(other) {
            return other.seq;
        }
        let before = LogPosition {
            seq: other.seq.prev(),
            ..other
        };
        self.last_common(before).seq
    }

    /// The entries up to and including `last` were placed by `epoch`, after what was there.
    ///
    /// # Panics
    /// If `last` is not after the end of the log: the caller has decided that before.
    pub fn append(&mut self, epoch: Epoch, last: Seq) {
        assert!(last > self.last, "entries are appended in order");
        if self.starts.last().is_none_or(|s| s.epoch != epoch) {
            self.starts.push(EpochStart {
                first: self.last.next(),
                epoch,
            });
        }
        self.last = last;
    }

    /// Forgets everything after `keep`.
    pub fn truncate_after(&mut self, keep: Seq) {
        self.last = self.last.min(keep);
        self.starts.retain(|s| s.first <= keep);
    }
}
