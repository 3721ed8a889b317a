//! Who reads a log on a disk while its one writer writes.

use std::io;
use std::sync::Arc;

use replog_protocol::entry::{Content, EntryBatch};
use replog_protocol::ids::{MessageId, Seq};
use replog_protocol::node::{Query, ReadError};

use super::cached::{Lookup, Revision};
use super::lookup::Sought;
use super::pages::Wanted;
use super::tables::{content_key, id_key};
use super::{Fsync, Rollbacks, Shared, rollback_files};
use crate::journal::{LogReader, Rollback, StorageKind};

/// The numbers of "too many open files", of all and of this process, on every Unix.
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;

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
    /// The disk refuses.
    Io(io::Error),
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
                let wanted = Wanted {
                    first,
                    last,
                    max_bytes,
                    epoch,
                };
                let epochs = || self.shared.cached().epochs.clone();
                let read = self.shared.store.read(wanted, &epochs);
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
        let store = &self.shared.store;
        let content = content.filter(|_| store.options.deduplicate_contents);
        let sought = Sought {
            id: id_key(message_id),
            content: content.map(content_key),
        };
        let epochs = || self.shared.cached().epochs.clone();
        let found = store.find(sought, &epochs);
        self.check_revision(revision)?;
        let Some(seq) = found? else {
            return Ok(None);
        };
        // An entry that is on the disk already, but whose write has not ended, is not in the log yet.
        let Some(batch) = self.try_range(seq, seq, 0)? else {
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
            // What was taken out of the log may be gone meanwhile.
            Err(Trouble::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
            Err(Trouble::Io(error)) => return Err(self.failed(&error)),
        }
        let _nobody_writes = self.shared.writer();
        attempt().map_err(|trouble| match trouble {
            Trouble::Damaged(seq) => {
                self.note_damage_around(seq);
                ReadError::Damaged(seq)
            }
            Trouble::Misindexed(seq) => {
                let why = format!("the index of messages is damaged: it names entry {seq} wrongly");
                ReadError::Failed(self.shared.store.fail(&why))
            }
            Trouble::Changed => ReadError::Failed("it was changed while nobody wrote".to_owned()),
            Trouble::Io(error) => self.failed(&error),
            Trouble::Final(error) => error,
        })
    }

    /// What is damaged beside an entry that was found so is noted at the same time: all of it can be asked for at once.
    fn note_damage_around(&self, seq: Seq) {
        let epochs = self.shared.cached().epochs.clone();
        let around = self.shared.store.damaged_around(seq, &epochs);
        // Whoever reads what cannot be read now hears why.
        for damaged in around.unwrap_or_else(|_| vec![seq]) {
            self.shared.damage.found(damaged);
        }
    }

    /// The disk has refused to read: it is used no more. That too many files are open says nothing of the disk.
    fn failed(&self, error: &io::Error) -> ReadError {
        match error.raw_os_error() {
            Some(ENFILE | EMFILE) => ReadError::Failed(error.to_string()),
            _ => ReadError::Failed(self.shared.store.fail(&error.to_string())),
        }
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

    fn bytes(&self) -> Result<u64, ReadError> {
        let bytes = self.shared.store.files.medium().bytes();
        bytes.map_err(|error| ReadError::Failed(error.to_string()))
    }

    fn check(&self) -> Result<(), String> {
        match self.shared.store.failure() {
            Some(why) => Err(why.to_owned()),
            None => self.shared.store.check(),
        }
    }

    fn kind(&self) -> StorageKind {
        StorageKind::Disk {
            synced: self.shared.store.options.fsync == Fsync::Always,
        }
    }
}

impl From<ReadError> for Trouble {
    fn from(error: ReadError) -> Self {
        Self::Final(error)
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
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
