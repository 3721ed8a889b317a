//! The journal on a disk: segments of our own, as Kafka, BookKeeper and etcd have them.
//!
//! ```text
//!   log/0000000001.segment  0000000002.segment  0000000003.segment   spare.new
//!       full, sealed        full, sealed        the active one       the next one, zeros
//!       0000000001.index    0000000002.index    (in memory)
//!                           0000000002.repairs
//!
//!   WriteJob ──▶ one frame: what goes out, entries, hard state ──▶ one write, one sync ──▶ the active segment
//! ```
//! | file | is |
//! |---|---|
//! | segment (`segment`, `frame`) | a header, then a frame for each write. A truncation is a frame too, so nothing is ever written over, and what was taken out cannot come back. The first frame says where the log stood: so only the last segment is read when a log is opened (`opening`, `scan`), and of the older ones the header and the last entry |
//! | index (`index`, `lookup`) | where the entries of a sealed segment are, and its messages; made anew from the segment where it is missing or wrong |
//! | repairs (`repairs`) | entries of a segment that had rotted, written again |
//!
//! A segment that has no entry of the log any more is removed. The newest entries are in memory too (`cached`); older ones are
//! read from their frames (`pages`). A torn write at the end is undone; what has rotted before it is reported
//! ([`ReadError::Damaged`](replog_protocol::node::ReadError::Damaged)), never cut away.

mod cached;
mod damage;
mod error;
mod files;
mod frame;
mod index;
mod layout;
mod lookup;
mod medium;
mod opening;
mod options;
mod pages;
mod placing;
mod reader;
mod repairs;
mod rollback_files;
mod scan;
mod segment;
mod spares;
mod store;
mod tables;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::{self, JoinHandle};

use replog_protocol::entry::EntryBatch;
use replog_protocol::hard_state::HardState;
use replog_protocol::ids::{Epoch, Seq};
use replog_protocol::node::{Restored, RolledBack, WriteJob, WriteResult};

pub use error::OpenError;
#[cfg(any(test, feature = "testing"))]
pub(crate) use medium::MediumFile;
pub(crate) use medium::{Directory, Medium, sync_dir};
pub use options::{DiskOptions, Fsync, SegmentOptions};

use crate::journal::{Begun, Journal, LogReader, check_order};
use crate::rollbacks::KeptRollbacks;
use cached::{Cached, Lookup};
use damage::Damage;
use error::Refused;
use opening::Opened;
use pages::Wanted;
use placing::{check_epochs, is_placed_by_its_epoch, new_hard_state};
use reader::DiskReader;
use rollback_files::RollbackFile;
use store::{Change, Store};

/// What is read at one time of entries that are rolled back.
const ROLLBACK_PAGE_BYTES: usize = 1 << 20;

/// A journal on a disk. Each write is one frame, to be written on a thread that may block.
#[derive(Debug)]
pub struct DiskJournal {
    shared: Arc<Shared>,
    flaws: Vec<String>,
}

/// What the journal and its readers share.
#[derive(Debug)]
struct Shared {
    store: Arc<Store>,
    cached: RwLock<Cached>,
    damage: Damage,
    rollbacks: Rollbacks,
    /// The hard state as it was stored last. Who holds it is the one who writes.
    writer: Mutex<HardState>,
    /// Sees to what can be done beside the writes.
    chores: Mutex<Option<JoinHandle<()>>>,
}

/// Where rolled-back entries are kept.
#[derive(Debug)]
enum Rollbacks {
    /// In files of that directory.
    Files(PathBuf),
    /// Where there is no directory.
    InMemory(KeptRollbacks),
}

/// Rolled-back entries that are kept already, while they are still in the log.
enum Pending {
    File(PathBuf),
    Text(Vec<u8>),
}

impl DiskJournal {
    /// Opens the log that lies on `medium`, or begins an empty one there.
    pub(crate) fn open(
        medium: Box<dyn Medium>,
        options: &DiskOptions,
    ) -> Result<(Self, Restored), OpenError> {
        let rollbacks = match medium.rollbacks() {
            Some(dir) => {
                rollback_files::remove_unfinished(dir)?;
                Rollbacks::Files(dir.to_owned())
            }
            None => Rollbacks::InMemory(KeptRollbacks::default()),
        };
        let damage = Damage::default();
        let opened = opening::open(medium, options, &damage)?;
        let Opened {
            store,
            hard_state,
            epochs,
            flaws,
        } = opened;
        let restored = Restored {
            hard_state: hard_state.clone(),
            last: epochs.last(),
        };
        let shared = Shared {
            store: Arc::new(store),
            cached: RwLock::new(Cached::new(epochs, options.cache_bytes)),
            damage,
            rollbacks,
            writer: Mutex::new(hard_state),
            chores: Mutex::default(),
        };
        let shared = Arc::new(shared);
        Ok((Self { shared, flaws }, restored))
    }

    /// What was found wrong with older segments when the log was opened, one line each: it is read as far as it can be, and
    /// what is damaged can be written again.
    #[must_use]
    pub fn flaws(&self) -> &[String] {
        &self.flaws
    }
}

impl Drop for DiskJournal {
    fn drop(&mut self) {
        // Whoever opens the directory next has it alone.
        if let Some(chores) = self.shared.chores().take() {
            chores.join().ok();
        }
    }
}

impl Journal for DiskJournal {
    fn write(&mut self, job: WriteJob) -> Begun {
        let shared = Arc::clone(&self.shared);
        Begun::Blocking(Box::new(move || shared.carry_out(job)))
    }

    fn reader(&self) -> Arc<dyn LogReader> {
        Arc::new(DiskReader::new(Arc::clone(&self.shared)))
    }
}

impl Shared {
    fn cached(&self) -> RwLockReadGuard<'_, Cached> {
        self.cached.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn cached_mut(&self) -> RwLockWriteGuard<'_, Cached> {
        self.cached.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever has it writes; nobody else does meanwhile.
    fn writer(&self) -> MutexGuard<'_, HardState> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn carry_out(&self, job: WriteJob) -> WriteResult {
        let mut stored = self.writer();
        let done = self.write(job, &mut stored);
        self.cached_mut().end_truncation();
        if done.is_ok() && self.store.has_chores() {
            self.see_to_chores();
        }
        match done {
            Ok(rolled_back) => WriteResult::Done { rolled_back },
            Err(Refused::Full) => WriteResult::DiskFull,
            Err(Refused::Failed(why)) => WriteResult::Failed(why),
        }
    }

    /// Sees to what can be done beside the writes, unless somebody does already.
    fn see_to_chores(&self) {
        let store = Arc::clone(&self.store);
        let see_to_them = move || {
            if let Err(Refused::Failed(why)) = store.see_to_chores() {
                store.fail(&why);
            }
        };
        let mut chores = self.chores();
        match chores.as_ref() {
            _ if !self.store.options.segments.in_background => see_to_them(),
            Some(thread) if !thread.is_finished() => {}
            _ => {
                let named = thread::Builder::new().name("segments".to_owned());
                // Without a thread the next write tries again.
                *chores = named.spawn(see_to_them).ok();
            }
        }
    }

    fn chores(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.chores.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, job: WriteJob, stored: &mut HardState) -> Result<Option<RolledBack>, Refused> {
        if let Some(why) = self.store.failure() {
            return Err(Refused::Failed(why.to_owned()));
        }
        if job.is_empty() {
            return Ok(None);
        }
        let epochs = self.cached().epochs.clone();
        let last = epochs.last().seq;
        check_order(&job, last).map_err(Refused::Failed)?;
        let is_clear = job
            .truncate
            .is_some_and(|t| t.after == Seq::ZERO && t.rollback_of.is_none());
        let truncate_after = job.truncate.map(|t| t.after).filter(|s| *s < last);
        let hard_state = new_hard_state(job.hard_state, stored, truncate_after);
        let starts = &hard_state.as_ref().unwrap_or(stored).epochs;
        let kept = truncate_after.unwrap_or(last);
        check_epochs(starts, &epochs, kept, &job.entries).map_err(Refused::Failed)?;
        let placed: Vec<EntryBatch> = (job.repairs.iter())
            .filter_map(|batch| batch.range(batch.first(), kept))
            .filter(|batch| is_placed_by_its_epoch(starts, batch))
            .collect();
        let repairs = self.damaged_ones(&placed)?;

        let rollback = match (truncate_after, job.truncate.and_then(|t| t.rollback_of)) {
            (Some(after), Some(log_id)) => {
                let what = RolledBack {
                    log_id,
                    first: after.next(),
                    last,
                };
                Some((what, self.keep_a_copy(what)?))
            }
            _ => None,
        };
        let change = Change {
            truncate_after,
            entries: &job.entries,
            hard_state: hard_state.as_ref(),
            repairs: &repairs,
        };
        if truncate_after.is_some() {
            self.cached_mut().begin_truncation();
        }
        if let Err(refused) = self.store.write(&change, stored) {
            // After any other failure the frame may be on the disk all the same: then the file has the only copy.
            if let (Refused::Full, Some((_, Pending::File(file)))) = (&refused, &rollback) {
                std::fs::remove_file(file).ok();
            }
            return Err(refused);
        }
        // What went into a file that was deleted meanwhile is not durable.
        let checked = self.store.check();
        checked.map_err(|why| Refused::Failed(self.store.fail(&why)))?;

        if let Some(hard_state) = hard_state {
            *stored = hard_state;
        }
        if let Some(after) = truncate_after {
            self.damage.forget_after(after);
        }
        for seq in placed.iter().flat_map(|b| b.first().0..=b.last().0) {
            self.damage.repaired(Seq(seq));
        }
        let mut cached = self.cached_mut();
        cached.generation += u64::from(is_clear);
        cached.written(truncate_after, job.entries);
        drop(cached);
        Ok(rollback.map(|(what, pending)| {
            if let (Rollbacks::InMemory(kept), Pending::Text(text)) = (&self.rollbacks, pending) {
                kept.push(what, text.into());
            }
            what
        }))
    }

    /// Those of the entries that cannot be read.
    fn damaged_ones(&self, entries: &[EntryBatch]) -> Result<Vec<EntryBatch>, Refused> {
        let mut damaged = Vec::new();
        for batch in entries {
            for seq in (batch.first().0..=batch.last().0).map(Seq) {
                let read = self.read_page((seq, seq), 0, batch.epoch());
                if read
                    .map_err(|why| Refused::Failed(self.store.fail(&why)))?
                    .is_err()
                {
                    damaged.extend(batch.range(seq, seq));
                }
            }
        }
        Ok(damaged)
    }

    /// Entries from the disk, up to the first damaged one; `Err` with the first one if that is damaged.
    fn read_page(
        &self,
        (first, last): (Seq, Seq),
        max_bytes: usize,
        epoch: Epoch,
    ) -> Result<Result<EntryBatch, Seq>, String> {
        let wanted = Wanted {
            first,
            last,
            max_bytes,
            epoch,
        };
        let epochs = || self.cached().epochs.clone();
        let read = self.store.read(wanted, &epochs);
        read.map_err(|error| error.to_string())
    }

    /// Keeps a copy of entries that are about to go out of the log. What is damaged is written down as that.
    fn keep_a_copy(&self, what: RolledBack) -> Result<Pending, Refused> {
        let kept = match &self.rollbacks {
            Rollbacks::InMemory(_) => {
                let mut text = Vec::new();
                let copied = self.each_line(what, |line| {
                    if !text.is_empty() {
                        text.push(b',');
                    }
                    text.extend_from_slice(line);
                    Ok(())
                });
                copied.map(|()| Pending::Text(text))
            }
            Rollbacks::Files(dir) => {
                let mut file = RollbackFile::create(dir, what.log_id)?;
                let copied = self.each_line(what, |line| file.write_line(line));
                let finished = copied.and_then(|()| file.finish());
                if finished.is_err() {
                    file.discard();
                }
                finished.map(Pending::File)
            }
        };
        kept.map_err(|refused| match refused {
            Refused::Failed(why) => Refused::Failed(self.store.fail(&why)),
            refused => refused,
        })
    }

    fn each_line(
        &self,
        what: RolledBack,
        mut write: impl FnMut(&[u8]) -> Result<(), Refused>,
    ) -> Result<(), Refused> {
        let mut next = what.first;
        while next <= what.last {
            let page = self.cached().lookup(next, what.last, ROLLBACK_PAGE_BYTES);
            let page = match page {
                Lookup::InMemory(parts) => EntryBatch::concat(&parts),
                Lookup::OnDisk(last, epoch, _) => {
                    let read = self.read_page((next, last), ROLLBACK_PAGE_BYTES, epoch);
                    read.map_err(Refused::Failed)?.ok()
                }
                Lookup::None | Lookup::Truncating => None,
            };
            match page {
                Some(page) => {
                    page.iter().try_for_each(|e| write(e.json.as_bytes()))?;
                    next = page.last().next();
                }
                None => {
                    write(format!(r#"{{"seq":{next},"damaged":true}}"#).as_bytes())?;
                    next = next.next();
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{append, disk_options, entries};
    use crate::sim_disk::SimDisk;
    use replog_protocol::ids::MessageId;
    use replog_protocol::node::{Query, ReadError};

    /// An answer that is not of the message that was asked for would be a false "already there".
    #[test]
    fn an_index_that_names_a_wrong_entry_is_a_failure() {
        let disk = SimDisk::default();
        let (mut journal, _) = disk.open(&disk_options(0)).unwrap();
        append(&mut journal, entries(1..=5, 10));
        let message_id = MessageId(uuid::Uuid::from_u128(77));
        let misindex = |layout: &mut layout::Layout| {
            let ids = &mut layout.active.tables.ids;
            ids.insert(tables::id_key(message_id), Seq(3));
        };
        misindex(&mut journal.shared.store.layout_mut());
        let reader = journal.reader();
        let found = reader.read(&Query::Find {
            message_id,
            content: None,
        });
        assert!(matches!(found, Err(ReadError::Failed(_))), "{found:?}");
        assert!(reader.check().is_err(), "the program is to end");
    }
}
