//! The running digest of a node's log: known at each of the newest positions and at every [`STRIDE`]-th one, in bounded memory.
//!
//! ```text
//!   1 . . . mark . . . mark . . . mark . . . . . . . end . . . . durable
//!           STRIDE                |<--- newest --->|     being read
//!                  |<-- block -->|
//!                  computed again, because somebody has asked for a position in it
//! ```
//! What is written while it is known is added as it becomes durable. What is not known (the log was there when the node started; or
//! its end was rolled back to before the newest positions) is computed from the entries as they lie in the journal, a page at a
//! time beside everything else, once somebody asks. So after a start the digest says what can be read from the disk and not what
//! was once meant to be there, and opening a log costs nothing more than before; and each entry has been looked at by then, so that
//! one that has rotted is found.

use crate::digest::Digest;
use crate::entry::EntryBatch;
use crate::ids::Seq;
use crate::node::{Query, ReadError};

/// The digest is kept at each multiple of that: 16 bytes for so many entries. Between two of them it is computed again from the
/// entries.
pub const STRIDE: u64 = 4096;
/// Bytes of entries that are read at one time.
const PAGE_BYTES: usize = 256 << 10;

/// The digests of one log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Digests {
    /// That of position `(i + 1) * STRIDE`.
    marks: Vec<Digest>,
    /// That of each position from the last mark but one up to the end, at most; of `2 * STRIDE` positions at most.
    newest: Vec<Digest>,
    /// The last position that is known.
    end: Seq,
    block: Option<Block>,
    /// Somebody wants to know it at the end of the log.
    is_wanted: bool,
    /// Somebody wants to know it there.
    wanted: Option<Seq>,
    reading: Option<Reading>,
    /// The entry that could not be read; [`Seq::ZERO`] for another reason. Nothing is read until somebody asks again.
    stopped_at: Option<Seq>,
    /// Counts up when what is being read will not be of this log any more.
    revision: u64,
}

/// The positions between two marks.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Block {
    /// The mark before them.
    after: Seq,
    /// That of each position, as far as they were read.
    digests: Vec<Digest>,
}

/// What is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// What follows the end.
    End,
    /// The block.
    Block,
}

impl Digests {
    /// The last position of which the digest is known, from the first one on.
    #[must_use]
    pub fn end(&self) -> Seq {
        self.end
    }

    /// The digest of the log up to `seq`; `None` if it is not known without reading.
    #[must_use]
    pub fn at(&self, seq: Seq) -> Option<Digest> {
        if seq > self.end {
            return None;
        }
        if let Some(i) = seq.0.checked_sub(self.newest_after().0 + 1) {
            return self.newest.get(index(i)).copied();
        }
        if seq.0.is_multiple_of(STRIDE) {
            return self.mark(seq.0 / STRIDE);
        }
        let block = self.block.as_ref()?;
        let i = seq.0.checked_sub(block.after.0 + 1)?;
        block.digests.get(index(i)).copied()
    }

    /// The last position up to `seq` at which the digest is known without reading, on every node that knows as much: a multiple of
    /// [`STRIDE`].
    #[must_use]
    pub fn last_mark(&self, seq: Seq) -> Seq {
        let seq = seq.min(self.end);
        Seq(seq.0 - seq.0 % STRIDE)
    }

    /// The digest at the `n`-th multiple of [`STRIDE`].
    fn mark(&self, n: u64) -> Option<Digest> {
        match n.checked_sub(1) {
            None => Some(Digest::EMPTY),
            Some(i) => self.marks.get(index(i)).copied(),
        }
    }

    /// The position before the first one of `newest`.
    fn newest_after(&self) -> Seq {
        Seq(self.end.0 - self.newest.len() as u64)
    }

    /// Entries have become durable, or were read: those that follow the end are added.
    pub fn extend(&mut self, batch: &EntryBatch) {
        let Some(new) = batch.range(self.end.next(), batch.last()) else {
            return;
        };
        if new.first() != self.end.next() {
            return; // what comes before them is read first
        }
        let mut digest = self.at(self.end).unwrap_or_default();
        for entry in new.object_bytes() {
            digest = digest.then(entry);
            self.newest.push(digest);
            self.end = self.end.next();
            if self.end.0.is_multiple_of(STRIDE) {
                self.marks.push(digest);
                let kept = self.newest.len().min(index(STRIDE));
                self.newest.drain(..self.newest.len() - kept);
            }
        }
    }

    /// What follows `keep` is not in the log any more, or is not what it was.
    pub fn truncate_after(&mut self, keep: Seq) {
        self.revision += 1;
        self.reading = None;
        self.stopped_at = None;
        self.wanted = self.wanted.filter(|seq| *seq <= keep);
        let reaches_beyond = |b: &Block| b.after.0 + b.digests.len() as u64 > keep.0;
        if self.block.as_ref().is_some_and(reaches_beyond) {
            self.block = None;
        }
        if keep >= self.end {
            return;
        }
        let after = self.newest_after();
        self.marks.truncate(index(keep.0 / STRIDE));
        match keep.0.checked_sub(after.0) {
            Some(kept) => {
                self.newest.truncate(index(kept));
                self.end = keep;
            }
            None => {
                self.newest.clear();
                self.end = Seq(keep.0 - keep.0 % STRIDE);
            }
        }
    }

    /// Somebody wants to know the digest at `seq`, and at the end of the log: what has to be read for that is. `is_damaged` says
    /// whether an entry is still known not to be readable: then nothing is tried.
    pub fn want(&mut self, seq: Seq, is_damaged: impl Fn(Seq) -> bool) {
        self.is_wanted = true;
        if self.at(seq).is_none() {
            self.wanted = Some(seq);
        }
        self.stopped_at = self.stopped_at.filter(|at| is_damaged(*at));
    }

    /// What is to be read from a journal that has everything up to `durable`, if anything is: an epoch ends at `end_of_epoch`. The
    /// number is to come back with the page.
    pub fn next_read(
        &mut self,
        durable: Seq,
        end_of_epoch: impl Fn(Seq) -> Seq,
    ) -> Option<(u64, Query)> {
        if !self.is_wanted || self.reading.is_some() || self.stopped_at.is_some() {
            return None;
        }
        let (reading, first, last) = match self.next_of_block() {
            Some((first, last)) => (Reading::Block, first, last),
            None if self.end < durable => (Reading::End, self.end.next(), durable),
            None => return None,
        };
        let last = last.min(durable).min(end_of_epoch(first));
        if first > last {
            return None;
        }
        self.reading = Some(reading);
        let query = Query::Range {
            first,
            last,
            max_bytes: PAGE_BYTES,
        };
        Some((self.revision, query))
    }

    /// The entries that are needed for what is wanted, if that lies between two marks.
    fn next_of_block(&mut self) -> Option<(Seq, Seq)> {
        let seq = self.wanted.filter(|seq| *seq <= self.end)?;
        if self.at(seq).is_some() {
            self.wanted = None;
            return None;
        }
        let after = self.last_mark(seq);
        let block = match self.block.take() {
            Some(block) if block.after == after => block,
            _ => Block {
                after,
                digests: Vec::new(),
            },
        };
        let first = Seq(after.0 + block.digests.len() as u64 + 1);
        self.block = Some(block);
        // Up to its end: whoever looks for a difference asks for others in it.
        Some((first, Seq(after.0 + STRIDE).min(self.end)))
    }

    /// What was to be read has come, with the number that was given to it.
    pub fn page(&mut self, revision: u64, entries: Result<Option<EntryBatch>, ReadError>) {
        if revision != self.revision {
            return;
        }
        let reading = self.reading.take();
        match (entries, reading) {
            (Ok(Some(batch)), Some(Reading::End)) => self.extend(&batch),
            (Ok(Some(batch)), Some(Reading::Block)) => self.extend_block(&batch),
            (Ok(Some(_)), None) => {}
            (Err(ReadError::Damaged(seq)), _) => self.stopped_at = Some(seq),
            (Ok(None) | Err(_), _) => self.stopped_at = Some(Seq::ZERO),
        }
    }

    fn extend_block(&mut self, batch: &EntryBatch) {
        let Some(mut block) = self.block.take() else {
            return;
        };
        let next = Seq(block.after.0 + block.digests.len() as u64 + 1);
        let end = Seq(block.after.0 + STRIDE).min(self.end);
        let before = block.digests.last().copied();
        let before = before.or_else(|| self.mark(block.after.0 / STRIDE));
        let new = batch.range(next, end).filter(|new| new.first() == next);
        match (before, new) {
            (Some(mut digest), Some(new)) => {
                for entry in new.object_bytes() {
                    digest = digest.then(entry);
                    block.digests.push(digest);
                }
            }
            _ => self.stopped_at = Some(Seq::ZERO),
        }
        self.block = Some(block);
    }
}

/// A count in memory.
fn index(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
