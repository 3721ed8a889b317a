//! The journal in memory: gone when the process ends.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use replog_protocol::entry::{Content, EntryBatch};
use replog_protocol::ids::{MessageId, Seq};
use replog_protocol::node::{Query, ReadError, RolledBack, Truncate, WriteJob, WriteResult};

use crate::journal::{Begun, Journal, LogReader, Rollback, StorageKind, check_order};
use crate::rollbacks::KeptRollbacks;
use crate::segments::Segments;

/// A journal in memory. Every write has ended when [`Journal::write`] returns.
///
/// The hard state is not kept, as nobody reads it again; nothing is ever damaged, so repairs change nothing. Rolled-back
/// entries are kept, at most 1,000 rollbacks with 64 MiB of entries together (or only one that is larger); see
/// [`LogReader::dropped_rollback_entries`].
#[derive(Debug, Default)]
pub struct MemoryJournal {
    log: Arc<MemoryLog>,
}

/// One log. A journal that is cleared goes on with another one, so that who still reads this one finishes with it.
#[derive(Debug, Default)]
struct MemoryLog {
    segments: RwLock<Segments>,
    rollbacks: Arc<KeptRollbacks>,
}

impl MemoryJournal {
    /// An empty journal.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn carry_out(&mut self, job: WriteJob) -> Result<Option<RolledBack>, String> {
        let last = self.log.last();
        check_order(&job, last)?;
        if let Some(Truncate { after, rollback_of }) = job.truncate
            && (after, rollback_of) == (Seq::ZERO, None)
        {
            self.log = Arc::new(MemoryLog {
                segments: RwLock::default(),
                rollbacks: Arc::clone(&self.log.rollbacks),
            });
        }
        let mut segments = self.log.segments_mut();
        let mut rolled_back = None;
        if let Some(Truncate { after, rollback_of }) = job.truncate.filter(|t| t.after < last) {
            if let Some(log_id) = rollback_of {
                let what = RolledBack {
                    log_id,
                    first: after.next(),
                    last,
                };
                let texts: Vec<Bytes> = segments.after(after).map(|b| b.text().clone()).collect();
                self.log.rollbacks.push(what, texts.join(&b","[..]).into());
                rolled_back = Some(what);
            }
            segments.truncate_after(after);
        }
        job.entries.into_iter().for_each(|b| segments.push(b));
        Ok(rolled_back)
    }
}

impl Journal for MemoryJournal {
    fn write(&mut self, job: WriteJob) -> Begun {
        Begun::Done(match self.carry_out(job) {
            Ok(rolled_back) => WriteResult::Done { rolled_back },
            Err(why) => WriteResult::Failed(why),
        })
    }

    fn reader(&self) -> Arc<dyn LogReader> {
        Arc::clone(&self.log) as Arc<dyn LogReader>
    }
}

impl MemoryLog {
    fn segments(&self) -> RwLockReadGuard<'_, Segments> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn segments_mut(&self) -> RwLockWriteGuard<'_, Segments> {
        self.segments
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn last(&self) -> Seq {
        self.segments().last().map_or(Seq::ZERO, |l| l.seq)
    }

    fn page(&self, first: Seq, last: Seq, max_bytes: usize) -> Option<EntryBatch> {
        // The parts are joined when the lock is free again.
        let parts = self.segments().page(first, last, max_bytes);
        EntryBatch::concat(&parts)
    }

    /// Looks at every entry: a leader has an index of its own and never asks for this.
    fn find(&self, message_id: MessageId, content: Option<&Content>) -> Option<EntryBatch> {
        let batches: Vec<EntryBatch> = self.segments().iter().cloned().collect();
        let same_content = content.and_then(|content| {
            let mut entries = batches.iter().flat_map(EntryBatch::iter);
            entries.find(|e| e.says(content))
        });
        let found = same_content.or_else(|| {
            let mut entries = batches.iter().flat_map(EntryBatch::iter);
            entries.find(|e| e.message_id == message_id)
        })?;
        batches.iter().find_map(|b| b.range(found.seq, found.seq))
    }
}

impl LogReader for MemoryLog {
    fn read_now(&self, query: &Query) -> Option<Result<Option<EntryBatch>, ReadError>> {
        match query {
            Query::Range {
                first,
                last,
                max_bytes,
            } => Some(Ok(self.page(*first, *last, *max_bytes))),
            Query::Find { .. } => None,
        }
    }

    fn read(&self, query: &Query) -> Result<Option<EntryBatch>, ReadError> {
        Ok(match query {
            Query::Range {
                first,
                last,
                max_bytes,
            } => self.page(*first, *last, *max_bytes),
            Query::Find {
                message_id,
                content,
            } => self.find(*message_id, content.as_ref()),
        })
    }

    fn rollbacks(&self) -> Result<Vec<Rollback>, ReadError> {
        Ok(self.rollbacks.list())
    }

    fn dropped_rollback_entries(&self) -> u64 {
        self.rollbacks.dropped_entries()
    }

    fn bytes(&self) -> Result<u64, ReadError> {
        Ok(u64::try_from(self.segments().bytes()).unwrap_or(u64::MAX))
    }

    fn kind(&self) -> StorageKind {
        StorageKind::Memory
    }
}
