//! Where the entries are kept.

pub mod contract;
pub mod disk;
pub mod memory;
mod standing;
pub mod tape;

use std::sync::Arc;

pub use disk::DiskLog;
pub use memory::MemoryLog;
pub use standing::Standing;

use crate::entry::{Chunk, Content, Entry, Position};
use crate::types::{MessageId, Seq};

/// What is written in one go: all of it or nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Batch<'a> {
    /// First everything behind this is forgotten: the position of an entry here, or the beginning.
    pub keep: Option<Position>,
    /// Then these are appended; they follow the last one.
    pub entries: &'a [Entry],
    /// Where the node stands from then on, where that has changed.
    pub standing: Option<&'a Standing>,
}

/// A log that readers may read while its one writer writes. Every implementation passes [`contract`].
pub trait LogStore: Send + Sync + std::fmt::Debug {
    /// Writes all of it or nothing. On return it is as durable as this store makes it.
    ///
    /// # Errors
    /// The entries do not follow, or could not be stored.
    fn write(&self, batch: &Batch<'_>) -> Result<(), StoreError>;

    /// Forgets everything, and hands out the empty log that goes on: who still reads this one finishes with it, or is told
    /// that it is gone.
    ///
    /// # Errors
    /// The store could not be written; nothing is forgotten.
    fn begin_anew(&self, standing: &Standing) -> Result<Arc<dyn LogStore>, StoreError>;

    /// Appends entries that follow the last one, all or none.
    ///
    /// # Errors
    /// As [`LogStore::write`].
    fn append(&self, entries: &[Entry]) -> Result<(), StoreError> {
        self.write(&Batch {
            entries,
            ..Batch::default()
        })
    }

    /// Forgets everything behind `last`, which is the position of an entry here, or the beginning.
    ///
    /// # Errors
    /// As [`LogStore::write`].
    fn truncate(&self, last: Position) -> Result<(), StoreError> {
        self.write(&Batch {
            keep: Some(last),
            ..Batch::default()
        })
    }

    /// Whether writing, and reading before [`LogStore::recent_from`], waits for a disk: not on a thread that serves.
    fn is_on_disk(&self) -> bool {
        false
    }

    /// The first entry that is read from memory; the ids of those before it are found here, of the others not always.
    fn recent_from(&self) -> Seq {
        Seq(1)
    }

    /// Where the same message is, if it is before [`LogStore::recent_from`].
    ///
    /// # Errors
    /// What is there could not be read.
    fn find(&self, _id: MessageId, _content: &Content) -> Result<Option<Seq>, StoreError> {
        Ok(None)
    }

    /// The entries from `from` up to `upto`, as many as fit in `max_bytes` and `max_entries`, but one at least where
    /// there is one. Consecutive; none when `from` lies behind the end, and none behind a damaged one.
    ///
    /// # Errors
    /// The first one could not be read.
    fn read(
        &self,
        from: Seq,
        upto: Seq,
        max_entries: u64,
        max_bytes: usize,
    ) -> Result<Chunk, StoreError>;

    /// The entries that were found damaged when they were read, the first ones of them: until they are mended or taken out.
    fn damaged(&self) -> Vec<Seq> {
        Vec::new()
    }

    /// Why it can be read or written no more, if so: its node has to end.
    fn failure(&self) -> Option<&str> {
        None
    }

    /// Writes a damaged entry again, as another node has it; one that can be read stays as it is.
    ///
    /// # Errors
    /// As [`LogStore::write`].
    fn mend(&self, _entry: &Entry) -> Result<(), StoreError> {
        Ok(())
    }

    /// The end of the log.
    fn last(&self) -> Position;

    /// About how many bytes of memory the log takes.
    fn memory_bytes(&self) -> usize;

    /// One entry, if it is there.
    ///
    /// # Errors
    /// It is there and could not be read.
    fn get(&self, seq: Seq) -> Result<Option<Entry>, StoreError> {
        if seq == Seq::ZERO || seq > self.last().seq {
            return Ok(None);
        }
        let chunk = self.read(seq, seq, 1, usize::MAX)?;
        let text = std::str::from_utf8(&chunk.text).map_err(|_| StoreError::Damaged { seq })?;
        Entry::parse(text)
            .map(Some)
            .map_err(|_| StoreError::Damaged { seq })
    }
}

/// Why a log could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A bug of the caller: a hole, or an entry twice.
    #[error("entry {found} cannot follow entry {last}")]
    Order {
        /// The end of the log.
        last: Seq,
        /// What was to be appended.
        found: Seq,
    },
    /// What is stored is not what was written.
    #[error("the stored entry {seq} is damaged")]
    Damaged {
        /// Where.
        seq: Seq,
    },
    /// There is no room. Nothing was written, and what is there can be read.
    #[error("the disk is full")]
    Full,
    /// The disk refused; what it holds now is not known.
    #[error("the disk failed: {0}")]
    Failed(String),
    /// The log was cleared while it was read.
    #[error("the log was cleared meanwhile")]
    Gone,
}
