//! The log in memory: entries side by side in large pieces of text, so that a batch or a list is one copy.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::entry::{Chunk, Entry, Position};
use crate::log::{Batch, LogStore, Standing, StoreError};
use crate::types::Seq;

/// A piece is closed at that size; the one a larger entry goes to is as large as needed.
const SEGMENT_BYTES: usize = 1 << 20;

/// Consecutive entries as comma-separated JSON objects.
#[derive(Debug)]
struct Segment {
    first: Seq,
    text: Vec<u8>,
    /// Where each entry's text ends.
    ends: Vec<u32>,
}

impl Segment {
    fn new(first: Seq) -> Self {
        Self {
            first,
            text: Vec::new(),
            ends: Vec::new(),
        }
    }

    fn push(&mut self, json: &[u8]) {
        if !self.ends.is_empty() {
            self.text.push(b',');
        }
        self.text.extend_from_slice(json);
        self.ends
            .push(u32::try_from(self.text.len()).expect("a segment is far smaller than 4 GiB"));
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.ends.is_empty() || self.text.len() + bytes < SEGMENT_BYTES
    }

    /// Text of the entries `start..end`, counted from the first one here.
    fn slice(&self, start: usize, end: usize) -> &[u8] {
        let from = start
            .checked_sub(1)
            .map_or(0, |i| self.ends[i] as usize + 1);
        &self.text[from..self.ends[end - 1] as usize]
    }

    /// How many entries from `start` (up to `end`) fit in `bytes`; one at least.
    fn fitting(&self, start: usize, end: usize, bytes: usize) -> usize {
        let from = start
            .checked_sub(1)
            .map_or(0, |i| self.ends[i] as usize + 1);
        let limit = from.saturating_add(bytes);
        let fit = self.ends[start..end].partition_point(|e| *e as usize <= limit);
        start + fit.max(1)
    }
}

/// Entries in memory. Readers copy what they read and hold the lock for one piece at most.
#[derive(Debug, Default)]
pub struct MemoryLog {
    inner: RwLock<Inner>,
    /// The oldest entries are dropped when there is more than that.
    keep_bytes: Option<usize>,
}

#[derive(Debug, Default)]
struct Inner {
    segments: VecDeque<Segment>,
    last: Position,
}

impl Inner {
    fn bytes(&self) -> usize {
        let of = |s: &Segment| s.text.capacity() + s.ends.capacity() * size_of::<u32>();
        self.segments.iter().map(of).sum()
    }

    fn first(&self) -> Seq {
        self.segments
            .front()
            .map_or(self.last.seq.next(), |s| s.first)
    }

    fn truncate(&mut self, last: Position) {
        if last.seq >= self.last.seq {
            return;
        }
        self.segments.retain(|s| s.first <= last.seq);
        if let Some(segment) = self.segments.back_mut() {
            let kept =
                usize::try_from(last.seq.0 + 1 - segment.first.0).expect("positions in memory");
            segment.ends.truncate(kept);
            segment.text.truncate(segment.ends[kept - 1] as usize);
        }
        self.last = last;
    }

    fn push(&mut self, entry: &Entry) {
        let json = entry.json();
        if !self.segments.back().is_some_and(|s| s.has_room(json.len())) {
            if let Some(full) = self.segments.back_mut() {
                full.text.shrink_to_fit();
                full.ends.shrink_to_fit();
            }
            self.segments.push_back(Segment::new(entry.seq));
        }
        if let Some(segment) = self.segments.back_mut() {
            segment.push(json);
        }
        self.last = entry.position();
    }
}

impl MemoryLog {
    /// An empty log.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The end of a log: what comes after `last`, and the newest of it when that is more than `keep_bytes`.
    #[must_use]
    pub fn of_the_end(last: Position, keep_bytes: usize) -> Self {
        Self {
            inner: RwLock::new(Inner {
                segments: VecDeque::new(),
                last,
            }),
            keep_bytes: Some(keep_bytes),
        }
    }

    fn inner(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn inner_mut(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether entries follow `keep`, or the end.
    ///
    /// # Errors
    /// They do not.
    pub(super) fn check(&self, batch: &Batch<'_>) -> Result<(), StoreError> {
        let end = self.inner().last.seq;
        let mut last = batch.keep.map_or(end, |keep| keep.seq.min(end));
        for entry in batch.entries {
            if entry.seq != last.next() {
                return Err(StoreError::Order {
                    last,
                    found: entry.seq,
                });
            }
            last = entry.seq;
        }
        Ok(())
    }
}

impl LogStore for MemoryLog {
    fn write(&self, batch: &Batch<'_>) -> Result<(), StoreError> {
        self.check(batch)?;
        let mut inner = self.inner_mut();
        if let Some(keep) = batch.keep {
            inner.truncate(keep);
        }
        for entry in batch.entries {
            inner.push(entry);
        }
        // The last piece stays, however large it is.
        while self.keep_bytes.is_some_and(|most| inner.bytes() > most) && inner.segments.len() > 1 {
            inner.segments.pop_front();
        }
        Ok(())
    }

    fn begin_anew(&self, _standing: &Standing) -> Result<Arc<dyn LogStore>, StoreError> {
        Ok(Arc::new(Self::new()))
    }

    fn recent_from(&self) -> Seq {
        self.inner().first()
    }

    fn read(
        &self,
        from: Seq,
        upto: Seq,
        max_entries: u64,
        max_bytes: usize,
    ) -> Result<Chunk, StoreError> {
        let inner = self.inner();
        let upto = upto
            .min(inner.last.seq)
            .min(Seq(from.0.saturating_add(max_entries).saturating_sub(1)));
        if from < inner.first() || from > upto {
            return Ok(Chunk::default());
        }
        let mut text = Vec::new();
        let mut count = 0;
        let mut at = inner.segments.partition_point(|s| s.first <= from) - 1;
        while let Some(segment) = inner.segments.get(at) {
            let next = Seq(from.0 + count);
            let start = usize::try_from(next.0 - segment.first.0).expect("positions in memory");
            let end = usize::try_from(upto.0 + 1 - segment.first.0).expect("positions in memory");
            let end = end.min(segment.ends.len());
            let room = max_bytes.saturating_sub(text.len() + usize::from(count > 0));
            let fit = segment.fitting(start, end, room);
            let piece = segment.slice(start, fit);
            if count > 0 {
                if piece.len() > room {
                    break;
                }
                text.push(b',');
            }
            text.extend_from_slice(piece);
            count += (fit - start) as u64;
            if fit < end || from.0 + count > upto.0 {
                break;
            }
            at += 1;
        }
        Ok(Chunk {
            first: from,
            count,
            text: text.into(),
        })
    }

    fn last(&self) -> Position {
        self.inner().last
    }

    fn memory_bytes(&self) -> usize {
        self.inner().bytes()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn keeps_the_contract() {
        crate::log::contract::check(super::MemoryLog::new);
    }
}
