//! A disk for tests: it remembers every step, so that it can be cut at any of them, and fails where it is told to.

use std::io;
use std::sync::{Arc, Condvar, Mutex};

use redb::StorageBackend;

use super::disk::Medium;

/// One step of what was done to a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Did {
    /// Those bytes were written at that offset.
    Write(u64, Vec<u8>),
    /// It was made so long.
    SetLen(u64),
    /// It was synced.
    Sync,
}

/// What a disk refuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Refuses {
    /// All is well.
    #[default]
    Nothing,
    /// There is no room for a longer file.
    ToGrow,
    /// A write fails.
    ToWrite,
    /// A sync fails.
    ToSync,
    /// There is no room for a page; the first one is there already.
    RoomToWrite,
    /// There turns out to have been no room when it is synced.
    RoomToSync,
    /// There is no room for anything.
    AnyRoom,
}

/// What is about to be done.
#[derive(Clone, Copy)]
enum Step {
    Grow,
    Write(u64),
    Sync,
}

#[derive(Debug, Default)]
struct Inner {
    bytes: Vec<u8>,
    did: Vec<Did>,
    refuses: Refuses,
    hangs: bool,
    /// Only once, after so many more of what it refuses.
    once_after: Option<u64>,
}

impl Inner {
    fn may(&mut self, step: Step) -> io::Result<()> {
        let error = match (self.refuses, step) {
            (Refuses::ToGrow, Step::Grow)
            | (Refuses::RoomToWrite, Step::Write(1..))
            | (Refuses::RoomToSync, Step::Sync)
            | (Refuses::AnyRoom, _) => io::ErrorKind::StorageFull.into(),
            (Refuses::ToWrite, Step::Write(_)) => io::Error::other("the head is stuck"),
            (Refuses::ToSync, Step::Sync) => io::Error::other("the platter is scratched"),
            _ => return Ok(()),
        };
        match self.once_after {
            Some(0) => (self.refuses, self.once_after) = (Refuses::Nothing, None),
            Some(more) => {
                self.once_after = Some(more - 1);
                return Ok(());
            }
            None => {}
        }
        Err(error)
    }
}

/// A disk in memory.
#[derive(Clone, Debug, Default)]
pub struct Tape(Arc<(Mutex<Inner>, Condvar)>);

impl Tape {
    /// With that on it.
    #[must_use]
    pub fn of(bytes: Vec<u8>) -> Self {
        let inner = Inner {
            bytes,
            ..Inner::default()
        };
        Self(Arc::new((Mutex::new(inner), Condvar::new())))
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.0.lock().expect("no test panics in here")
    }

    /// From now on every sync hangs, until it is let go on.
    ///
    /// # Panics
    /// If somebody has panicked with it.
    pub fn hang(&self, hangs: bool) {
        self.inner().hangs = hangs;
        self.0.1.notify_all();
    }

    /// From now on.
    ///
    /// # Panics
    /// If somebody has panicked with it.
    pub fn refuse(&self, what: Refuses) {
        let mut inner = self.inner();
        (inner.refuses, inner.once_after) = (what, None);
    }

    /// Once, after `so_many` of the same have passed; whether it came to that, see [`Tape::has_refused`].
    ///
    /// # Panics
    /// If somebody has panicked with it.
    pub fn refuse_once(&self, what: Refuses, so_many: u64) {
        let mut inner = self.inner();
        (inner.refuses, inner.once_after) = (what, Some(so_many));
    }

    /// Whether what was to be refused once was.
    ///
    /// # Panics
    /// If somebody has panicked with it.
    #[must_use]
    pub fn has_refused(&self) -> bool {
        self.inner().refuses == Refuses::Nothing
    }

    /// What is on it.
    ///
    /// # Panics
    /// If somebody has panicked with it.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.inner().bytes.clone()
    }

    /// Frees its memory.
    ///
    /// # Panics
    /// If somebody has panicked with it.
    pub fn wipe(&self) {
        *self.inner() = Inner::default();
    }

    /// What was done so far; forgotten here.
    ///
    /// # Panics
    /// If somebody has panicked with it.
    #[must_use]
    pub fn take_did(&self) -> Vec<Did> {
        std::mem::take(&mut self.inner().did)
    }
}

impl Medium for Tape {
    fn open(&self) -> io::Result<Box<dyn StorageBackend>> {
        Ok(Box::new(self.clone()))
    }
}

fn range(bytes: &[u8], offset: u64, len: usize) -> io::Result<std::ops::Range<usize>> {
    let from = usize::try_from(offset).expect("a small disk");
    let range = from..from.saturating_add(len);
    match range.end <= bytes.len() {
        true => Ok(range),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

impl StorageBackend for Tape {
    fn len(&self) -> io::Result<u64> {
        Ok(self.inner().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let inner = self.inner();
        out.copy_from_slice(&inner.bytes[range(&inner.bytes, offset, out.len())?]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut inner = self.inner();
        if len > inner.bytes.len() as u64 {
            inner.may(Step::Grow)?;
        }
        inner.did.push(Did::SetLen(len));
        inner.bytes.resize(usize::try_from(len).expect("small"), 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let goes_on = self.0.1.wait_while(self.inner(), |inner| inner.hangs);
        let mut inner = goes_on.expect("no test panics in here");
        inner.may(Step::Sync)?;
        inner.did.push(Did::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut inner = self.inner();
        inner.may(Step::Write(offset))?;
        inner.did.push(Did::Write(offset, data.to_vec()));
        let range = range(&inner.bytes, offset, data.len())?;
        inner.bytes[range].copy_from_slice(data);
        Ok(())
    }
}

/// The steps of `did`, but only `extra` bytes of the last one where that is not 0, done to `bytes`.
///
/// # Panics
/// If it could not have been done.
#[must_use]
pub fn replayed(mut bytes: Vec<u8>, did: &[Did], extra: usize) -> Vec<u8> {
    let whole = did.len() - usize::from(extra > 0);
    for (i, step) in did.iter().enumerate() {
        match step {
            Did::Sync => {}
            Did::SetLen(len) => bytes.resize(usize::try_from(*len).expect("small"), 0),
            Did::Write(offset, data) => {
                let data = if i < whole { &data[..] } else { &data[..extra] };
                let range = range(&bytes, *offset, data.len()).expect("it was written");
                bytes[range].copy_from_slice(data);
            }
        }
    }
    bytes
}
