//! What has a position and is not stored yet.

use crate::entry::Entry;
use crate::types::Seq;

/// While there is that much of it nothing more is placed: a disk that hangs must not fill the memory.
const MAX_BYTES: usize = 64 << 20;

/// Entries that follow one another; the first ones are about to be stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Staged {
    entries: Vec<Entry>,
    handed_out: usize,
    bytes: usize,
}

impl Staged {
    pub(super) fn push(&mut self, entry: Entry) {
        self.bytes += entry.json().len();
        self.entries.push(entry);
    }

    pub(super) fn get(&self, seq: Seq) -> Option<&Entry> {
        let first = self.entries.first()?.seq;
        let at = usize::try_from(seq.0.checked_sub(first.0)?).ok()?;
        self.entries.get(at)
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes >= MAX_BYTES
    }

    /// What was not handed out before.
    pub(super) fn hand_out(&mut self) -> Vec<Entry> {
        let new = self.entries[self.handed_out..].to_vec();
        self.handed_out = self.entries.len();
        new
    }

    pub(super) fn has_more(&self) -> bool {
        self.handed_out < self.entries.len()
    }

    /// The last one that is about to be stored.
    pub(super) fn last_handed_out(&self) -> Option<Seq> {
        self.entries[..self.handed_out].last().map(|e| e.seq)
    }

    /// Everything up to `last` is stored.
    pub(super) fn stored(&mut self, last: Seq) {
        let done = self.entries.partition_point(|e| e.seq <= last);
        self.bytes -= bytes(&self.entries[..done]);
        self.entries.drain(..done);
        self.handed_out = self.handed_out.saturating_sub(done);
    }

    pub(super) fn forget_behind(&mut self, keep: Seq) {
        let kept = self.entries.partition_point(|e| e.seq <= keep);
        self.bytes -= bytes(&self.entries[kept..]);
        self.entries.truncate(kept);
        self.handed_out = self.handed_out.min(kept);
    }
}

fn bytes(entries: &[Entry]) -> usize {
    entries.iter().map(|e| e.json().len()).sum()
}
