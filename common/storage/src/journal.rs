//! The seam between a node and the place where it keeps its log.

use std::fmt;
use std::sync::Arc;

use replog_protocol::entry::EntryBatch;
use replog_protocol::ids::{LogId, Seq};
use replog_protocol::node::{Query, ReadError, WriteJob, WriteResult};

/// Where a node keeps its log and hard state (BookKeeper: journal). It has one writer, the node; any number of readers read
/// through [`LogReader`] meanwhile. Every implementation passes the contract suite of this crate.
pub trait Journal: fmt::Debug + Send + 'static {
    /// Takes one write, all of it or nothing. The next one is handed over only after this one has ended.
    fn write(&mut self, job: WriteJob) -> Begun;

    /// Reads what is durable. After a write has ended, ask again: a log that was cleared goes on with another reader, and who
    /// still reads the former one finishes with it or is told [`ReadError::Gone`].
    fn reader(&self) -> Arc<dyn LogReader>;
}

/// A write that was taken.
pub enum Begun {
    /// It has ended already.
    Done(WriteResult),
    /// It waits for a disk: to be run on a thread that may block.
    Blocking(Box<dyn FnOnce() -> WriteResult + Send>),
}

impl fmt::Debug for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(result) => f.debug_tuple("Done").field(result).finish(),
            Self::Blocking(_) => f.write_str("Blocking(..)"),
        }
    }
}

/// A log that is read while its one writer writes.
pub trait LogReader: fmt::Debug + Send + Sync {
    /// Reads what is asked for, if that waits for nothing; `None` when only [`LogReader::read`] can tell.
    fn read_now(&self, query: &Query) -> Option<Result<Option<EntryBatch>, ReadError>>;

    /// Reads what is asked for; may wait for a disk, so not on a thread that serves. `Ok(None)` for entries after the end.
    /// A range ends with its epoch, and may end earlier, where it suits the journal, but has one entry at least.
    ///
    /// # Errors
    /// The first entry that was asked for could not be read.
    fn read(&self, query: &Query) -> Result<Option<EntryBatch>, ReadError>;

    /// The entries that were found damaged when they were read, until they are repaired or taken out; not more than a bounded
    /// number at one time.
    fn damaged(&self) -> Vec<Seq> {
        Vec::new()
    }

    /// What was rolled back and is kept, the oldest first; may wait for a disk.
    ///
    /// # Errors
    /// The disk refused.
    fn rollbacks(&self) -> Result<Vec<Rollback>, ReadError>;

    /// How many rolled-back entries could not be kept, because there were too many; always 0 where they are kept in files.
    fn dropped_rollback_entries(&self) -> u64 {
        0
    }

    /// How many bytes the log takes: in memory, or as the files that lie on a disk, with the room that is reserved in them. May
    /// wait for a disk.
    ///
    /// # Errors
    /// The disk refused.
    fn bytes(&self) -> Result<u64, ReadError>;

    /// Whether the journal still lies where it was opened; may wait for a disk. Asked now and then, because a directory that
    /// was removed would otherwise be written to without an error.
    ///
    /// # Errors
    /// What is wrong, in one line.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// Where the log is kept, for people.
    fn kind(&self) -> StorageKind;
}

/// Where a log is kept, for people: decides nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageKind {
    /// In memory.
    Memory,
    /// On a disk, synced before it counts or when the system likes.
    Disk {
        /// Whether every write is synced before it counts.
        synced: bool,
    },
}

/// Entries that went out of the log, because the master or the other nodes have others there, and are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollback {
    /// The history that they were the end of.
    pub log_id: LogId,
    /// The first of them.
    pub first: Seq,
    /// The last of them.
    pub last: Seq,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The file that holds them, if they are not in memory.
    pub file: Option<std::path::PathBuf>,
    /// The entries: JSON objects, comma separated; empty where there is a file.
    pub entries: bytes::Bytes,
}

/// Whether the entries of a write follow the end of the log, which is `last`, or what the write leaves of the log.
///
/// # Errors
/// The entries do not follow: which one came, and after which one. That is a bug of the node; nothing may be written.
pub(crate) fn check_order(job: &WriteJob, last: Seq) -> Result<(), String> {
    let mut end = job.truncate.map_or(last, |t| t.after.min(last));
    for batch in &job.entries {
        if batch.first() != end.next() {
            return Err(format!("entry {} cannot follow entry {end}", batch.first()));
        }
        end = batch.last();
    }
    Ok(())
}
