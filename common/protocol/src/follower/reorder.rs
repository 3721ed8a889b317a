//! Entries that came before the ones they follow.

use std::collections::BTreeMap;

use crate::entry::EntryBatch;
use crate::ids::Seq;

/// Bytes that are held back at most. Never smaller than a master's window (`--window-bytes` is bounded by it), so that what
/// a master may have in flight fits.
pub const HOLD_BACK_BYTES: usize = 64 << 20;

/// Holds batches back until the entries before them are there. Bounded in bytes: what does not fit is dropped without an
/// ACK, and so is sent again. Entries in order never come here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reorder {
    /// By first position; no two overlap.
    held: BTreeMap<Seq, EntryBatch>,
    bytes: usize,
}

/// What became of a batch that was offered, in entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offered {
    /// Were held already.
    pub duplicates: u64,
    /// Found no room; they will be sent again.
    pub dropped: u64,
}

impl Reorder {
    /// Keeps what is new of a batch. When there is no room, later entries make way for earlier ones: the earliest can be
    /// stored first.
    pub fn offer(&mut self, batch: EntryBatch) -> Offered {
        let mut offered = Offered::default();
        let mut from = batch.first();
        while from <= batch.last() {
            // What is held already around `from`.
            let around = self.held.range(..=from).next_back().map(|(_, held)| held);
            if let Some(held) = around.filter(|held| held.last() >= from) {
                let end = held.last().min(batch.last());
                offered.duplicates += end.after(from) + 1;
                from = end.next();
                continue;
            }
            let next = self.held.range(from..).next().map(|(first, _)| *first);
            let upto = next.map_or(batch.last(), |next| next.prev().min(batch.last()));
            if let Some(piece) = batch.range(from, upto) {
                let count = piece.count();
                if !self.keep(piece) {
                    offered.dropped += count;
                }
            }
            from = upto.next();
        }
        offered
    }

    fn keep(&mut self, piece: EntryBatch) -> bool {
        let first = piece.first();
        while self.bytes + piece.bytes() > HOLD_BACK_BYTES {
            let last = self.held.last_key_value().map(|(last, _)| *last);
            match last.filter(|last| *last > first) {
                Some(last) => drop(self.remove(last)),
                // Before all others a batch is taken however large it is, or it would block for ever.
                None if self.held.is_empty() => break,
                None => return false,
            }
        }
        self.bytes += piece.bytes();
        self.held.insert(first, piece);
        true
    }

    fn remove(&mut self, first: Seq) -> Option<EntryBatch> {
        let batch = self.held.remove(&first)?;
        self.bytes -= batch.bytes();
        Some(batch)
    }

    /// Takes out the entries from `next` on, if they are held; what is held before `next` is there already, and forgotten.
    pub fn take(&mut self, next: Seq) -> Option<EntryBatch> {
        loop {
            let (first, last) = self.held.first_key_value().map(|(f, b)| (*f, b.last()))?;
            if first > next {
                return None;
            }
            let batch = self.remove(first)?;
            if last >= next {
                return batch.range(next, last);
            }
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The first entry held back.
    #[must_use]
    pub fn first(&self) -> Option<Seq> {
        self.held.first_key_value().map(|(seq, _)| *seq)
    }

    /// How many entries are held back.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.held.values().map(EntryBatch::count).sum()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}
