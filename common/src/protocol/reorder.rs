//! Entries that came before the ones they follow.

use std::collections::BTreeMap;

use crate::entry::Entry;
use crate::types::Seq;

/// Holds entries back until the ones before them are there. Bounded in entries and bytes: what does not fit is dropped
/// without an ACK, and so is sent again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reorder {
    held: BTreeMap<Seq, Entry>,
    bytes: usize,
    max_entries: usize,
    max_bytes: usize,
}

/// What became of an entry that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offered {
    /// Kept.
    Held,
    /// It was there already.
    Duplicate,
    /// No room; it will be sent again.
    Dropped,
}

impl Reorder {
    /// An empty buffer with those bounds.
    #[must_use]
    pub fn new(max_entries: usize, max_bytes: usize) -> Self {
        Self {
            held: BTreeMap::new(),
            bytes: 0,
            max_entries,
            max_bytes,
        }
    }

    /// Keeps an entry. When there is no room, later ones make way for an earlier one: the earliest can be stored first. An
    /// entry larger than the whole buffer must not block for ever: before all others, it is taken alone.
    pub fn offer(&mut self, entry: Entry) -> Offered {
        if self.held.contains_key(&entry.seq) {
            return Offered::Duplicate;
        }
        let size = entry.json().len();
        let is_full = |entries: usize, bytes: usize| {
            entries >= self.max_entries || bytes.saturating_add(size) > self.max_bytes
        };
        if is_full(self.held.len(), self.bytes) {
            let (mut keep, mut bytes) = (0, 0);
            for (_, earlier) in self.held.range(..entry.seq) {
                keep += 1;
                bytes += earlier.json().len();
            }
            if keep > 0 && is_full(keep, bytes) {
                return Offered::Dropped; // it would not fit even if all later ones made way
            }
            while is_full(self.held.len(), self.bytes) {
                let Some((_, out)) = self.held.pop_last() else {
                    break;
                };
                self.bytes -= out.json().len();
            }
        }
        self.bytes += size;
        self.held.insert(entry.seq, entry);
        Offered::Held
    }

    /// Takes out the entry at `seq`.
    pub fn take(&mut self, seq: Seq) -> Option<Entry> {
        let entry = self.held.remove(&seq)?;
        self.bytes -= entry.json().len();
        Some(entry)
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.held.clear();
        self.bytes = 0;
    }

    /// The first entry held back.
    #[must_use]
    pub fn first(&self) -> Option<Seq> {
        self.held.first_key_value().map(|(seq, _)| *seq)
    }

    /// How many are held back.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}
