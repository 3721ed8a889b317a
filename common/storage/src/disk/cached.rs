//! What is in memory of a log on a disk: where it ends, who placed its entries, and the newest of them.

use replog_protocol::entry::EntryBatch;
use replog_protocol::epochs::EpochTable;
use replog_protocol::ids::{Epoch, Seq};

use crate::segments::Segments;

/// What readers go by. Changed when a write is durable.
#[derive(Debug)]
pub(super) struct Cached {
    /// Counts up when the log is cleared.
    pub(super) generation: u64,
    /// Which epoch placed which of the stored entries.
    pub(super) epochs: EpochTable,
    newest: Segments,
    max_bytes: usize,
    truncation: Truncation,
}

/// Whether what is read from the disk is of the log that is described here: a truncation is on the disk before it is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Truncation {
    /// None is under way; so many have been.
    Done(u64),
    /// One is under way, after so many others.
    UnderWay(u64),
}

/// Where a page is read.
#[derive(Debug)]
pub(super) enum Lookup {
    /// There is no such entry.
    None,
    /// In memory: the parts of the page.
    InMemory(Vec<EntryBatch>),
    /// On the disk: up to that entry, all of one epoch.
    OnDisk(Seq, Epoch, Revision),
    /// Nobody knows before the truncation that is under way has ended.
    Truncating,
}

/// A state of the log in which entries are appended and nothing else: what is read in one is right if it is the same afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Revision(u64);

impl Cached {
    pub(super) fn new(epochs: EpochTable, max_bytes: usize) -> Self {
        Self {
            generation: 0,
            epochs,
            newest: Segments::default(),
            max_bytes,
            truncation: Truncation::Done(0),
        }
    }

    /// Where the page is that begins with the entry at `first` and goes up to `last`.
    pub(super) fn lookup(&self, first: Seq, last: Seq, max_bytes: usize) -> Lookup {
        let last = last.min(self.epochs.end_of_epoch(first));
        let Some(position) = self.epochs.at(first).filter(|p| p.seq > Seq::ZERO) else {
            return Lookup::None;
        };
        if first > last {
            return Lookup::None;
        }
        let parts = self.newest.page(first, last, max_bytes);
        if !parts.is_empty() {
            return Lookup::InMemory(parts);
        }
        match self.revision() {
            Some(revision) => Lookup::OnDisk(last, position.epoch, revision),
            None => Lookup::Truncating,
        }
    }

    /// The state of the log; `None` while a truncation is under way.
    pub(super) fn revision(&self) -> Option<Revision> {
        match self.truncation {
            Truncation::Done(count) => Some(Revision(count)),
            Truncation::UnderWay(_) => None,
        }
    }

    /// Entries are about to be taken out on the disk.
    pub(super) fn begin_truncation(&mut self) {
        let (Truncation::Done(count) | Truncation::UnderWay(count)) = self.truncation;
        self.truncation = Truncation::UnderWay(count);
    }

    /// The truncation that was under way, if one was, has ended one way or the other.
    pub(super) fn end_truncation(&mut self) {
        if let Truncation::UnderWay(count) = self.truncation {
            self.truncation = Truncation::Done(count + 1);
        }
    }

    /// A write is durable: what is after `truncate_after` is out, `entries` follow.
    pub(super) fn written(&mut self, truncate_after: Option<Seq>, entries: Vec<EntryBatch>) {
        if let Some(after) = truncate_after {
            self.epochs.truncate_after(after);
            self.newest.truncate_after(after);
        }
        for batch in entries {
            self.epochs.append(batch.epoch(), batch.last());
            self.newest.push(batch);
        }
        self.newest.keep_newest(self.max_bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{entries, hard_state};

    fn cached() -> Cached {
        Cached::new(EpochTable::new(hard_state().epochs, Seq(250)), 1 << 20)
    }

    fn revision_of(lookup: &Lookup) -> Option<Revision> {
        match lookup {
            Lookup::OnDisk(_, _, revision) => Some(*revision),
            _ => None,
        }
    }

    /// Who has looked before a truncation and reads the disk after it, and who looks in between, is not misled.
    #[test]
    fn what_is_read_across_a_truncation_is_not_taken_for_what_was_there() {
        let mut cached = cached();
        let before = revision_of(&cached.lookup(Seq(5), Seq(9), 0));
        assert!(before.is_some() && cached.revision() == before);
        cached.begin_truncation();
        assert_eq!(cached.revision(), None);
        assert!(matches!(
            cached.lookup(Seq(5), Seq(9), 0),
            Lookup::Truncating
        ));
        cached.written(Some(Seq(7)), entries(8..=9, 10));
        cached.end_truncation();
        assert!(cached.revision().is_some() && cached.revision() != before);
        let now = revision_of(&cached.lookup(Seq(5), Seq(9), 0));
        assert_eq!(now, cached.revision());
        // One that has changed nothing at last may have been on the disk all the same.
        cached.begin_truncation();
        cached.end_truncation();
        assert_ne!(cached.revision(), now);
        // An append changes nothing of what is there.
        let before = cached.revision();
        cached.written(None, entries(10..=12, 10));
        cached.end_truncation();
        assert_eq!(cached.revision(), before);
    }

    #[test]
    fn a_page_on_the_disk_ends_with_its_epoch() {
        let cached = cached();
        for (first, last, end) in [
            (1, 999, 99),
            (99, 999, 99),
            (100, 150, 150),
            (200, 999, 250),
        ] {
            match cached.lookup(Seq(first), Seq(last), 0) {
                Lookup::OnDisk(found, ..) => assert_eq!(found, Seq(end)),
                other => panic!("{other:?}"),
            }
        }
    }
}
