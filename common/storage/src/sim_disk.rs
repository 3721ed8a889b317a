//! A disk for tests: it remembers every step, so that it can be cut at any of them, and fails where a test wants it to.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use redb::StorageBackend;
use replog_protocol::node::Restored;

use crate::disk::{DiskJournal, DiskOptions, Medium, OpenError};

/// One step of what was done to a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskOp {
    /// Those bytes were written at that offset.
    Write(u64, Vec<u8>),
    /// The file was made so long.
    SetLen(u64),
    /// What was written before was synced.
    Sync,
}

/// What a disk refuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DiskFault {
    /// Nothing: all is well.
    #[default]
    None,
    /// There is no room for a longer file.
    NoRoomToGrow,
    /// There is no room for a page; the first one is there already.
    NoRoomToWrite,
    /// There turns out to have been no room when it is synced.
    NoRoomToSync,
    /// There is no room for anything.
    NoRoom,
    /// A write fails.
    WriteFails,
    /// A sync fails.
    SyncFails,
    /// A read fails.
    ReadFails,
}

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct SimDisk(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    inner: Mutex<Inner>,
    hang_changed: Condvar,
    dir: OnceLock<PathBuf>,
}

#[derive(Debug, Default)]
struct Inner {
    bytes: Vec<u8>,
    ops: Vec<DiskOp>,
    fault: DiskFault,
    /// The fault happens only once, after so many more of the steps that it concerns.
    once_after: Option<u64>,
    hang: Hang,
    opened: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Hang {
    /// Syncs go through.
    #[default]
    No,
    /// The next sync will hang.
    Armed,
    /// A sync hangs.
    Hanging,
}

/// What is about to be done.
#[derive(Clone, Copy)]
enum Step {
    Grow,
    Write(u64),
    Sync,
    Read,
}

impl SimDisk {
    /// A disk with that on it.
    #[must_use]
    pub fn with_bytes(bytes: Vec<u8>) -> Self {
        let disk = Self::default();
        disk.inner().bytes = bytes;
        disk
    }

    /// Rollbacks are kept in files of that directory from the next opening on; else they are kept in memory.
    ///
    /// # Panics
    /// If it is another one than before.
    pub fn keep_rollbacks_in(&self, dir: &Path) {
        assert_eq!(self.0.dir.get_or_init(|| dir.to_owned()), dir);
    }

    /// Opens the journal that is on it, or begins an empty one.
    ///
    /// # Errors
    /// What is on it is another node's, or damaged, or the disk refuses.
    pub fn open(&self, options: &DiskOptions) -> Result<(DiskJournal, Restored), OpenError> {
        DiskJournal::open(Box::new(self.clone()), options)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on every sync hangs, until [`SimDisk::go_on`].
    pub fn hang(&self) {
        self.inner().hang = Hang::Armed;
    }

    /// Waits until a sync hangs.
    pub fn wait_until_it_hangs(&self) {
        let waiting = |inner: &mut Inner| inner.hang != Hang::Hanging;
        let waited = self.0.hang_changed.wait_while(self.inner(), waiting);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// Syncs go through again, those that hang too.
    pub fn go_on(&self) {
        self.inner().hang = Hang::No;
        self.0.hang_changed.notify_all();
    }

    /// From now on it has that fault.
    pub fn fail(&self, fault: DiskFault) {
        let mut inner = self.inner();
        (inner.fault, inner.once_after) = (fault, None);
    }

    /// It has that fault once, after `passing` of the steps that it concerns have passed. Whether it came to that, see
    /// [`SimDisk::is_well`].
    pub fn fail_once(&self, fault: DiskFault, passing: u64) {
        let mut inner = self.inner();
        (inner.fault, inner.once_after) = (fault, Some(passing));
    }

    /// Whether it has no fault, or no more.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.inner().fault == DiskFault::None
    }

    /// How often it was opened.
    #[must_use]
    pub fn times_opened(&self) -> u64 {
        self.inner().opened
    }

    /// What is on it.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.inner().bytes.clone()
    }

    /// Frees its memory: a database that was not closed keeps a clone.
    pub fn wipe(&self) {
        *self.inner() = Inner::default();
    }

    /// What was done to it since this was asked before.
    #[must_use]
    pub fn take_ops(&self) -> Vec<DiskOp> {
        std::mem::take(&mut self.inner().ops)
    }
}

impl Inner {
    fn attempt(&mut self, step: Step) -> io::Result<()> {
        let error = match (self.fault, step) {
            (DiskFault::NoRoomToGrow, Step::Grow)
            | (DiskFault::NoRoomToWrite, Step::Write(1..))
            | (DiskFault::NoRoomToSync, Step::Sync)
            | (DiskFault::NoRoom, Step::Grow | Step::Write(_) | Step::Sync) => {
                io::ErrorKind::StorageFull.into()
            }
            (DiskFault::WriteFails, Step::Write(_)) => io::Error::other("the head is stuck"),
            (DiskFault::SyncFails, Step::Sync) => io::Error::other("the platter is scratched"),
            (DiskFault::ReadFails, Step::Read) => io::Error::other("the sector is unreadable"),
            _ => return Ok(()),
        };
        match self.once_after {
            Some(0) => (self.fault, self.once_after) = (DiskFault::None, None),
            Some(more) => {
                self.once_after = Some(more - 1);
                return Ok(());
            }
            None => {}
        }
        Err(error)
    }
}

impl Medium for SimDisk {
    fn open(&self) -> io::Result<Box<dyn StorageBackend>> {
        self.inner().opened += 1;
        Ok(Box::new(self.clone()))
    }

    fn dir(&self) -> Option<&Path> {
        self.0.dir.get().map(PathBuf::as_path)
    }
}

impl StorageBackend for SimDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.inner().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut inner = self.inner();
        inner.attempt(Step::Read)?;
        out.copy_from_slice(&inner.bytes[range(&inner.bytes, offset, out.len())?]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut inner = self.inner();
        if len > inner.bytes.len() as u64 {
            inner.attempt(Step::Grow)?;
        }
        inner.ops.push(DiskOp::SetLen(len));
        inner.bytes.resize(position(len), 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut inner = self.inner();
        if inner.hang == Hang::Armed {
            inner.hang = Hang::Hanging;
            self.0.hang_changed.notify_all();
        }
        let hanging = |inner: &mut Inner| inner.hang != Hang::No;
        let went_on = self.0.hang_changed.wait_while(inner, hanging);
        let mut inner = went_on.unwrap_or_else(PoisonError::into_inner);
        inner.attempt(Step::Sync)?;
        inner.ops.push(DiskOp::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut inner = self.inner();
        inner.attempt(Step::Write(offset))?;
        inner.ops.push(DiskOp::Write(offset, data.to_vec()));
        let range = range(&inner.bytes, offset, data.len())?;
        inner.bytes[range].copy_from_slice(data);
        Ok(())
    }
}

/// The disk that had `bytes` on it after the steps of `ops`, but only `extra` bytes of the last one where that is not 0.
///
/// # Panics
/// If that could not have been done.
#[must_use]
pub fn replayed(mut bytes: Vec<u8>, ops: &[DiskOp], extra: usize) -> Vec<u8> {
    let whole = ops.len() - usize::from(extra > 0);
    for (i, op) in ops.iter().enumerate() {
        match op {
            DiskOp::Sync => {}
            DiskOp::SetLen(len) => bytes.resize(position(*len), 0),
            DiskOp::Write(offset, data) => {
                let data = if i < whole { &data[..] } else { &data[..extra] };
                let range = range(&bytes, *offset, data.len()).expect("it was written");
                bytes[range].copy_from_slice(data);
            }
        }
    }
    bytes
}

fn position(offset: u64) -> usize {
    usize::try_from(offset).expect("a small disk")
}

fn range(bytes: &[u8], offset: u64, len: usize) -> io::Result<Range<usize>> {
    let from = position(offset);
    let range = from..from.saturating_add(len);
    match range.end <= bytes.len() {
        true => Ok(range),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
