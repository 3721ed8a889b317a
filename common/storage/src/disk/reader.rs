//! Who reads a log on a disk while its one writer writes.

use std::sync::Arc;

use replog_protocol::entry::{Content, EntryBatch};
use replog_protocol::ids::{MessageId, Seq};
use replog_protocol::node::{Query, ReadError};

use super::cached::{Lookup, Revision};
use super::error::Refused;
use super::{Fsync, Rollbacks, Shared, rollback_files, tables};
use crate::journal::{LogReader, Rollback, StorageKind};

/// Reads one log: when that was cleared, it is gone.
#[derive(Debug)]
pub(super) struct DiskReader {
    shared: Arc<Shared>,
    generation: u64,
}

/// Why an attempt to read has failed.
enum Trouble {
    /// What is stored there is not what was written; or it was just taken out of the log.
    Damaged(Seq),
    /// The index has that entry for a message which it is not; or it was just taken out of the log.
    Misindexed(Seq),
    /// A write has interfered.
    Changed,
    /// That is the answer.
    Final(ReadError),
}

impl DiskReader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let generation = shared.cached().generation;
        Self { shared, generation }
    }

    fn lookup(&self, first: Seq, last: Seq, max_bytes: usize) -> Result<Lookup, ReadError> {
        let cached = self.shared.cached();
        match cached.generation == self.generation {
            true => Ok(cached.lookup(first, last, max_bytes)),
            false => Err(ReadError::Gone),
        }
    }

    /// Whether nothing was taken out of the log since `revision`.
    fn check_revision(&self, revision: Revision) -> Result<(), Trouble> {
        let cached = self.shared.cached();
        if cached.generation != self.generation {
            return Err(Trouble::Final(ReadError::Gone));
        }
        match cached.revision() == Some(revision) {
            true => Ok(()),
            false => Err(Trouble::Changed),
        }
    }

    fn try_range(
        &self,
        first: Seq,
        last: Seq,
        max_bytes: usize,
    ) -> Result<Option<EntryBatch>, Trouble> {
        match self.lookup(first, last, max_bytes)? {
            Lookup::None => Ok(None),
            Lookup::InMemory(parts) => Ok(EntryBatch::concat(&parts)),
            Lookup::Truncating => Err(Trouble::Changed),
            Lookup::OnDisk(last, epoch, revision) => {
                let database = &self.shared.database;
                let read = database.read(|db| tables::read(db, (first, last), max_bytes, epoch));
                self.check_revision(revision)?;
                read?.map(Some).map_err(Trouble::Damaged)
            }
        }
    }

    fn try_find(
        &self,
        message_id: MessageId,
        content: Option<&Content>,
    ) -> Result<Option<EntryBatch>, Trouble> {
        let Some(revision) = self.shared.cached().revision() else {
            return Err(Trouble::Changed);
        };
        let content = content.filter(|_| self.shared.options.deduplicate_contents);
        let database = &self.shared.database;
        let found = database.read(|db| tables::find(db, message_id, content));
        self.check_revision(revision)?;
        let Some(seq) = found? else {
            return Ok(None);
        };
        // An entry that is on the disk already, but whose write has not ended, is not in the log yet.
        let Some(batch) = self.try_range(seq, seq, usize::MAX)? else {
            return Ok(None);
        };
        let is_asked_for = batch.get(seq).is_some_and(|entry| {
            entry.message_id == message_id || content.is_some_and(|c| entry.says(c))
        });
        match is_asked_for {
            true => Ok(Some(batch)),
            false => Err(Trouble::Misindexed(seq)),
        }
    }

    /// Tries once; and, where a write may have interfered, once more while nobody writes.
    fn settled<T>(&self, attempt: impl Fn() -> Result<T, Trouble>) -> Result<T, ReadError> {
        match attempt() {
            Ok(read) => return Ok(read),
            Err(Trouble::Final(error)) => return Err(error),
            Err(Trouble::Damaged(_) | Trouble::Misindexed(_) | Trouble::Changed) => {}
        }
        let _nobody_writes = self.shared.writer();
        attempt().map_err(|trouble| match trouble {
            Trouble::Damaged(seq) => {
                self.shared.damage.found(seq);
                ReadError::Damaged(seq)
            }
            Trouble::Misindexed(seq) => {
                let why = format!("the index of messages is damaged: it names entry {seq} wrongly");
                ReadError::Failed(self.shared.database.fail(&why))
            }
            Trouble::Changed => {
                let why = "the database is broken since another read";
                ReadError::Failed(self.shared.database.fail(why))
            }
            Trouble::Final(error) => error,
        })
    }
}

impl LogReader for DiskReader {
    fn read_now(&self, query: &Query) -> Option<Result<Option<EntryBatch>, ReadError>> {
        let Query::Range {
            first,
            last,
            max_bytes,
        } = query
        else {
            return None;
        };
        match self.lookup(*first, *last, *max_bytes) {
            Ok(Lookup::None) => Some(Ok(None)),
            Ok(Lookup::InMemory(parts)) => Some(Ok(EntryBatch::concat(&parts))),
            Ok(Lookup::OnDisk(..) | Lookup::Truncating) => None,
            Err(gone) => Some(Err(gone)),
        }
    }

    fn read(&self, query: &Query) -> Result<Option<EntryBatch>, ReadError> {
        self.settled(|| match query {
            Query::Range {
                first,
                last,
                max_bytes,
            } => self.try_range(*first, *last, *max_bytes),
            Query::Find {
                message_id,
                content,
            } => self.try_find(*message_id, content.as_ref()),
        })
    }

    fn damaged(&self) -> Vec<Seq> {
        self.shared.damage.all()
    }

    fn rollbacks(&self) -> Result<Vec<Rollback>, ReadError> {
        match &self.shared.rollbacks {
            Rollbacks::InMemory(kept) => Ok(kept.list()),
            Rollbacks::Files(dir) => {
                rollback_files::list(dir).map_err(|error| ReadError::Failed(error.to_string()))
            }
        }
    }

    fn dropped_rollback_entries(&self) -> u64 {
        match &self.shared.rollbacks {
            Rollbacks::InMemory(kept) => kept.dropped_entries(),
            Rollbacks::Files(_) => 0,
        }
    }

    fn check(&self) -> Result<(), String> {
        match self.shared.database.failure() {
            Some(why) => Err(why.to_owned()),
            None => self.shared.database.medium().check(),
        }
    }

    fn kind(&self) -> StorageKind {
        StorageKind::Disk {
            synced: self.shared.options.fsync == Fsync::Always,
        }
    }
}

impl From<ReadError> for Trouble {
    fn from(error: ReadError) -> Self {
        Self::Final(error)
    }
}

impl From<Refused> for Trouble {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Interrupted => Self::Changed,
            Refused::Full => {
                let why = "the disk is full: the log can be opened again when there is room";
                Self::Final(ReadError::Failed(why.to_owned()))
            }
            Refused::Failed(why) => Self::Final(ReadError::Failed(why)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::disk_options;
    use crate::sim_disk::SimDisk;
    use std::cell::Cell;

    #[test]
    fn what_a_write_may_have_disturbed_is_tried_once_more_while_nobody_writes() {
        let (journal, _) = SimDisk::default().open(&disk_options(0)).unwrap();
        let reader = DiskReader::new(Arc::clone(&journal.shared));
        let nobody_writes = || reader.shared.writer.try_lock().is_err();
        for trouble in [
            || Trouble::Changed,
            || Trouble::Damaged(Seq(3)),
            || Trouble::Misindexed(Seq(3)),
        ] {
            let attempts = Cell::new(0);
            let settled = reader.settled(|| {
                attempts.set(attempts.get() + 1);
                match nobody_writes() {
                    true => Ok(attempts.get()),
                    false => Err(trouble()),
                }
            });
            assert_eq!(settled, Ok(2));
        }
        assert_eq!(reader.damaged(), []);
        assert_eq!(reader.check(), Ok(()));
        let gone = reader.settled(|| match nobody_writes() {
            true => Ok(()),
            false => Err(Trouble::Final(ReadError::Gone)),
        });
        assert_eq!(gone, Err(ReadError::Gone), "at once");
        let damaged = reader.settled(|| Err::<(), _>(Trouble::Damaged(Seq(3))));
        assert_eq!(damaged, Err(ReadError::Damaged(Seq(3))));
        assert_eq!(reader.damaged(), [Seq(3)]);
    }
}
