//! Consecutive entries in memory, in segments of about a megabyte.

use std::collections::VecDeque;

use replog_protocol::entry::EntryBatch;
use replog_protocol::epochs::LogPosition;
use replog_protocol::ids::Seq;

/// A segment is sealed before it grows beyond so many bytes. A batch that is larger is a segment of its own.
const SEGMENT_BYTES: usize = 1 << 20;

/// So many batches at the end of the open segment are joined into one piece: a log that grows by single entries then has
/// few allocations, and each byte is copied twice before it rests in a sealed segment.
const PIECE_BATCHES: usize = 64;

/// Consecutive entries in memory, the newest at the end.
///
/// Sealed segments are of one epoch each and are handed out as they are, cut but not copied. What is read from the open
/// segment is one copy.
#[derive(Debug, Default)]
pub(crate) struct Segments {
    /// One after the other: the sealed segments, the pieces of the open segment, and batches as they came.
    batches: VecDeque<EntryBatch>,
    /// So many of `batches` are sealed segments.
    sealed: usize,
    /// So many of `batches` are sealed segments or pieces.
    joined: usize,
    /// Bytes of the entries in the open segment.
    open_bytes: usize,
    /// Bytes of all of it.
    bytes: usize,
}

impl Segments {
    /// The last entry that is here.
    pub(crate) fn last(&self) -> Option<LogPosition> {
        self.batches.back().map(EntryBatch::last_position)
    }

    /// How much memory all of them take, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes entries that follow the last one.
    pub(crate) fn push(&mut self, batch: EntryBatch) {
        let is_of_open_epoch = self.last().is_some_and(|l| l.epoch == batch.epoch());
        if !is_of_open_epoch || self.open_bytes + text_bytes(&batch) > SEGMENT_BYTES {
            self.join_from(self.sealed);
            self.sealed = self.batches.len();
            self.open_bytes = 0;
        }
        self.open_bytes += text_bytes(&batch);
        self.bytes += memory_bytes(&batch);
        self.batches.push_back(batch);
        if self.batches.len() - self.joined >= PIECE_BATCHES {
            self.join_from(self.joined);
        }
    }

    /// Makes one batch of those from `at` on.
    fn join_from(&mut self, at: usize) {
        let parts: Vec<EntryBatch> = self.batches.drain(at..).collect();
        self.batches.extend(EntryBatch::concat(&parts));
        self.joined = self.batches.len();
    }

    /// Forgets what lies after `keep`. What remains of a segment goes on sharing its bytes.
    pub(crate) fn truncate_after(&mut self, keep: Seq) {
        while let Some(batch) = self.batches.pop_back() {
            if let Some(kept) = batch.range(batch.first(), keep) {
                self.batches.push_back(kept);
                break;
            }
        }
        self.sealed = self.sealed.min(self.batches.len());
        self.joined = self.joined.min(self.batches.len());
        self.bytes = self.batches.iter().map(memory_bytes).sum();
        let open = self.batches.range(self.sealed..);
        self.open_bytes = open.map(text_bytes).sum();
    }

    /// Forgets the oldest entries, until the rest takes no more than `max_bytes`.
    pub(crate) fn keep_newest(&mut self, max_bytes: usize) {
        while self.bytes > max_bytes
            && let Some(batch) = self.batches.pop_front()
        {
            self.bytes -= memory_bytes(&batch);
            if self.sealed == 0 {
                self.open_bytes -= text_bytes(&batch);
            }
            self.sealed = self.sealed.saturating_sub(1);
            self.joined = self.joined.saturating_sub(1);
        }
    }

    /// The parts, to be joined by [`EntryBatch::concat`], of a page that begins with the entry at `first`: entries of one
    /// epoch up to `last`, for at most `max_bytes`, but one at least. A page ends where a sealed segment does. No parts if
    /// that entry is not here.
    pub(crate) fn page(&self, first: Seq, last: Seq, max_bytes: usize) -> Vec<EntryBatch> {
        let at = self.batches.partition_point(|b| b.last() < first);
        let (mut parts, mut room, mut next) = (Vec::new(), max_bytes, first);
        for batch in self.batches.range(at..) {
            let Some(wanted) = batch.range(next, last).filter(|b| b.first() == next) else {
                break;
            };
            // The comma that joins this part to the one before takes one byte.
            let comma = usize::from(!parts.is_empty());
            let part = wanted.fitting(room.saturating_sub(comma));
            if comma > 0 && part.bytes() + comma > room {
                break;
            }
            room = room.saturating_sub(part.bytes() + comma);
            next = part.last().next();
            let is_cut = part.last() < wanted.last();
            parts.push(part);
            if is_cut || at < self.sealed {
                break;
            }
        }
        parts
    }

    /// Everything after `keep`.
    pub(crate) fn after(&self, keep: Seq) -> impl Iterator<Item = EntryBatch> {
        let range = move |b: &EntryBatch| b.range(keep.next(), b.last());
        self.batches.iter().filter_map(range)
    }

    /// Every batch, the oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &EntryBatch> {
        self.batches.iter()
    }
}

/// The text of a batch, and the comma after it: joined batches have as many bytes as before.
fn text_bytes(batch: &EntryBatch) -> usize {
    batch.bytes() + 1
}

/// What a batch takes in memory: its text, and four bytes for the end of each entry.
fn memory_bytes(batch: &EntryBatch) -> usize {
    let ends = usize::try_from(batch.count()).unwrap_or(usize::MAX);
    text_bytes(batch).saturating_add(ends.saturating_mul(4))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{entries, epoch_of};

    fn grown_by(seqs: std::ops::RangeInclusive<u64>, size: usize) -> Segments {
        let mut segments = Segments::default();
        for seq in seqs {
            entries(seq..=seq, size)
                .into_iter()
                .for_each(|b| segments.push(b));
        }
        segments
    }

    #[test]
    fn single_entries_are_joined_into_segments_of_one_epoch_each() {
        let segments = grown_by(1..=50_000, 100);
        let sealed: Vec<_> = segments.batches.range(..segments.sealed).collect();
        assert_eq!(sealed.len(), 50_000 / 100, "a hundred entries per epoch");
        assert!(sealed.iter().all(|b| b.last() < epoch_end(b)));
        let segments = grown_by(101..=199, 30_000);
        assert_eq!(segments.sealed, 2, "about 34 entries each");
        assert!(segments.batches.len() <= 2 + PIECE_BATCHES);
        assert!(segments.batches.iter().all(|b| b.bytes() <= SEGMENT_BYTES));
    }

    fn epoch_end(batch: &EntryBatch) -> Seq {
        let same = |seq: &u64| epoch_of(*seq) == batch.epoch();
        Seq((batch.first().0..).find(|seq| !same(seq)).unwrap())
    }

    #[test]
    fn a_sealed_segment_is_handed_out_without_a_copy() {
        let segments = grown_by(101..=199, 30_000);
        let page = segments.page(Seq(103), Seq(110), usize::MAX);
        assert_eq!(page.len(), 1);
        let whole = segments.batches[0].text().as_ptr_range();
        assert!(whole.contains(&page[0].text().as_ptr()));
    }

    #[test]
    fn the_bytes_are_counted_whatever_happens() {
        let mut segments = grown_by(1..=5_000, 100);
        for seq in 5_001..=5_500 {
            entries(seq..=seq, 20_000)
                .into_iter()
                .for_each(|b| segments.push(b));
        }
        let counted = |s: &Segments| {
            let all: usize = s.batches.iter().map(memory_bytes).sum();
            let open: usize = s.batches.range(s.sealed..).map(text_bytes).sum();
            (all, open)
        };
        for (keep, from) in [
            (5_480, 5_481),
            (5_450, 5_451),
            (4_990, 4_991),
            (4_977, 4_978),
        ] {
            segments.truncate_after(Seq(keep));
            assert_eq!((segments.bytes, segments.open_bytes), counted(&segments));
            entries(from..=from, 20_000)
                .into_iter()
                .for_each(|b| segments.push(b));
            assert_eq!(segments.last().unwrap().seq, Seq(from));
        }
        for most in [600_000, 100_000, 30_000, 3_000, 0] {
            segments.keep_newest(most);
            assert!(segments.bytes <= most);
            assert_eq!((segments.bytes, segments.open_bytes), counted(&segments));
        }
        assert!(segments.batches.is_empty());
    }
}
