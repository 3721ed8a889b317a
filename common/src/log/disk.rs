//! The log on a disk: entries, message ids and where the node stands, in one transaction of [redb](https://docs.rs/redb).
//!
//! The newest entries are in memory too; older ones are read from the disk. Every entry and every fact has a checksum of its
//! own, because the database looks at its own ones only when it repairs itself. A torn write at the end is undone by the database; rot
//! before it is told ([`StoreError::Damaged`]), never cut away.

mod aside;
mod damage;
mod database;
mod directory;
mod error;
mod medium;
mod record;
mod tables;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use redb::Database;

pub use aside::put_aside;
pub use directory::{Owner, Role, open_directory};
pub use error::OpenError;
pub use medium::{Fsync, Medium};

use crate::entry::{Chunk, Content, Entry, Position};
use crate::log::{Batch, LogStore, MemoryLog, Standing, StoreError};
use crate::protocol::dedup::DeduplicateBy;
use crate::types::{MessageId, Seq};
use damage::Damage;
use database::OpenDatabase;
use error::unusable;

/// How a log is kept on a disk.
#[derive(Clone, Debug)]
pub struct DiskOptions {
    /// How many bytes of the newest entries stay in memory; about.
    pub cache_bytes: usize,
    /// What makes two appends the same message: found without reading the log.
    pub deduplicate_by: DeduplicateBy,
}

/// A log on a disk. Writing and reading block: not on a thread that serves.
#[derive(Clone, Debug)]
pub struct DiskLog {
    shared: Arc<Shared>,
    /// Raised when the log is cleared: who still reads the former one is told.
    generation: u64,
}

#[derive(Debug)]
struct Shared {
    deduplicate_by: DeduplicateBy,
    database: OpenDatabase,
    recent: MemoryLog,
    damage: Damage,
    generation: AtomicU64,
    /// One writes at a time.
    writing: Mutex<()>,
}

impl DiskLog {
    /// Opens what lies on `medium`, or begins an empty log there; hands out where its node stands.
    ///
    /// # Errors
    /// It is somebody else's, in use, damaged, or the disk refuses.
    pub fn open(
        medium: Box<dyn Medium>,
        owner: &Owner,
        options: &DiskOptions,
    ) -> Result<(Self, Standing), OpenError> {
        let damage = Damage::default();
        let opening = || {
            let database = OpenDatabase::open(medium)?;
            let (last, standing) = database.look(|db| look_over(db, owner, options, &damage))?;
            Ok((database, last, standing))
        };
        // A database that reads what it has not written may panic.
        let opened = catch_unwind(AssertUnwindSafe(opening));
        let (database, last, standing) = opened.unwrap_or_else(|_| Err(OpenError::senseless()))?;
        let shared = Shared {
            deduplicate_by: options.deduplicate_by,
            database,
            recent: MemoryLog::of_the_end(last, options.cache_bytes),
            damage,
            generation: AtomicU64::new(0),
            writing: Mutex::new(()),
        };
        let log = Self {
            shared: Arc::new(shared),
            generation: 0,
        };
        Ok((log, standing))
    }

    /// Where there was no room for it, what was there before is there again.
    fn commit(&self, batch: &Batch<'_>) -> Result<(), StoreError> {
        let Shared {
            database,
            deduplicate_by,
            ..
        } = &*self.shared;
        let done = database.with(|db| tables::write(db, batch, *deduplicate_by));
        if let Err(StoreError::Full) = done {
            database.open_again()?;
        }
        done
    }

    /// From the disk; [`LogStore::read`] looks at what is in memory first.
    fn read_stored(&self, from: Seq, upto: Seq, max_bytes: usize) -> Result<Chunk, StoreError> {
        let range = from..=upto.min(self.last().seq);
        if from == Seq::ZERO || range.is_empty() {
            return Ok(Chunk::default());
        }
        self.shared
            .database
            .with(|db| tables::read(db, range, max_bytes))?
    }

    fn is_current(&self) -> Result<(), StoreError> {
        match self.shared.generation.load(Ordering::SeqCst) == self.generation {
            true => Ok(()),
            false => Err(StoreError::Gone),
        }
    }
}

/// Where a log ends and its node stands, if it is that owner's and whole as far as can be seen at once.
fn look_over(
    db: &Database,
    owner: &Owner,
    options: &DiskOptions,
    damage: &Damage,
) -> Result<(Position, Standing), OpenError> {
    directory::check_owner(db, owner)?;
    let standing = tables::standing(db).map_err(unusable)?;
    let last = match tables::last(db).map_err(unusable)? {
        Ok(entry) => entry.map_or(Position::default(), |entry| entry.position()),
        // Not a torn write, which the database would have undone: it is as any other that cannot be read.
        Err(seq) => {
            damage.found(seq);
            Position {
                seq,
                epoch: standing.epoch_at(seq).unwrap_or_default(),
                by: None,
            }
        }
    };
    if options.deduplicate_by == DeduplicateBy::Content {
        tables::index_contents(db, last.seq).map_err(unusable)?;
    }
    if last.seq > Seq::ZERO && standing.epoch_at(last.seq) != Some(last.epoch) {
        let why = "its last entry is of a life of which it knows nothing".to_owned();
        return Err(OpenError::Damaged(why));
    }
    Ok((last, standing))
}

impl LogStore for DiskLog {
    fn write(&self, batch: &Batch<'_>) -> Result<(), StoreError> {
        let _one = self.shared.writing.lock();
        self.is_current()?;
        self.shared.recent.check(batch)?;
        self.commit(batch)?;
        if let Some(keep) = batch.keep {
            self.shared.damage.forget_behind(keep.seq);
        }
        self.shared.recent.write(batch)
    }

    fn begin_anew(&self, standing: &Standing) -> Result<Arc<dyn LogStore>, StoreError> {
        let _one = self.shared.writing.lock();
        self.is_current()?;
        let batch = Batch {
            keep: Some(Position::default()),
            entries: &[],
            standing: Some(standing),
        };
        self.commit(&batch)?;
        // Who has read something else than damage until here has read the former log; who has found none looks again.
        let generation = self.generation + 1;
        self.shared.generation.store(generation, Ordering::SeqCst);
        self.shared.damage.forget_behind(Seq::ZERO);
        self.shared.recent.write(&batch)?;
        Ok(Arc::new(Self {
            shared: Arc::clone(&self.shared),
            generation,
        }))
    }

    fn is_on_disk(&self) -> bool {
        true
    }

    fn recent_from(&self) -> Seq {
        self.shared.recent.recent_from()
    }

    fn find(&self, id: MessageId, content: &Content) -> Result<Option<Seq>, StoreError> {
        let by_content = self.shared.deduplicate_by == DeduplicateBy::Content;
        let found = self
            .shared
            .database
            .with(|db| tables::find(db, id, by_content.then_some(content)))?;
        self.is_current()?;
        Ok(found.filter(|seq| *seq <= self.last().seq))
    }

    fn read(
        &self,
        from: Seq,
        upto: Seq,
        max_entries: u64,
        max_bytes: usize,
    ) -> Result<Chunk, StoreError> {
        self.is_current()?;
        let recent = self
            .shared
            .recent
            .read(from, upto, max_entries, max_bytes)?;
        if recent.count > 0 {
            self.is_current()?; // it may be of the log that follows
            return Ok(recent);
        }
        let upto = upto.min(Seq(from.0.saturating_add(max_entries).saturating_sub(1)));
        let chunk = match self.read_stored(from, upto, max_bytes) {
            // It may just have been put aside.
            Err(StoreError::Damaged { .. }) => {
                let _nobody_writes = self.shared.writing.lock();
                self.is_current()?;
                let again = self.read_stored(from, upto, max_bytes);
                if let Err(StoreError::Damaged { seq }) = again {
                    self.shared.damage.found(seq);
                }
                again
            }
            done => done,
        };
        self.is_current()?;
        chunk
    }

    fn damaged(&self) -> Vec<Seq> {
        self.shared.damage.all()
    }

    fn failure(&self) -> Option<&str> {
        self.shared.database.failure()
    }

    fn mend(&self, entry: &Entry) -> Result<(), StoreError> {
        let _one = self.shared.writing.lock();
        self.is_current()?;
        if entry.seq <= self.last().seq {
            match self.read_stored(entry.seq, entry.seq, usize::MAX) {
                Err(StoreError::Damaged { .. }) => self.commit(&Batch {
                    entries: std::slice::from_ref(entry),
                    ..Batch::default()
                })?,
                read => drop(read?),
            }
        }
        self.shared.damage.mended(entry.seq);
        Ok(())
    }

    fn last(&self) -> Position {
        self.shared.recent.last()
    }

    fn memory_bytes(&self) -> usize {
        self.shared.recent.memory_bytes()
    }
}
