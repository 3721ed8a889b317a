//! Where the entries are kept.

pub mod contract;
pub mod memory;

pub use memory::MemoryLog;

use crate::entry::{Chunk, Entry, Position};
use crate::types::Seq;

/// A log that readers may read while its one writer appends. Every implementation passes [`contract`].
pub trait LogStore: Send + Sync + std::fmt::Debug {
    /// Appends entries that follow the last one, all or none. On return they are as durable as this store makes them.
    ///
    /// # Errors
    /// The entries do not follow, or could not be stored.
    fn append(&self, entries: &[Entry]) -> Result<(), StoreError>;

    /// Forgets everything behind `last`, which is the position of an entry here, or the beginning.
    ///
    /// # Errors
    /// The store could not be written.
    fn truncate(&self, last: Position) -> Result<(), StoreError>;

    /// The entries from `from` up to `upto`, as many as fit in `max_bytes` and `max_entries`, but one at least where
    /// there is one. Consecutive; none when `from` lies behind the end.
    ///
    /// # Errors
    /// What is there could not be read.
    fn read(
        &self,
        from: Seq,
        upto: Seq,
        max_entries: u64,
        max_bytes: usize,
    ) -> Result<Chunk, StoreError>;

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
}
