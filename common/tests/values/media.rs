//! Disks for tests: one that remembers every step, so that it can be cut at any of them, and that fails where it is told to.

use std::io;
use std::sync::{Arc, Mutex};

use redb::StorageBackend;
use replog_common::log::disk::{DiskLog, DiskOptions, Medium, OpenError, Owner, Role};
use replog_common::log::{LogStore, Standing};
use replog_common::protocol::dedup::DeduplicateBy;
use replog_common::protocol::epochs::Run;
use replog_common::types::{Epoch, Seq};

use crate::made::{instance, log};

/// One step of what was done to a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Did {
    Write(u64, Vec<u8>),
    SetLen(u64),
    Sync,
}

/// What a disk refuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Refuses {
    #[default]
    Nothing,
    /// It grows no more.
    ToGrow,
    ToWrite,
    ToSync,
}

#[derive(Debug, Default)]
struct Inner {
    bytes: Vec<u8>,
    did: Vec<Did>,
    refuses: Refuses,
}

/// A disk in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tape(Arc<Mutex<Inner>>);

impl Tape {
    /// With that on it.
    pub(crate) fn of(bytes: Vec<u8>) -> Self {
        let inner = Inner {
            bytes,
            ..Inner::default()
        };
        Self(Arc::new(Mutex::new(inner)))
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().expect("no test panics in here")
    }

    pub(crate) fn refuse(&self, what: Refuses) {
        self.inner().refuses = what;
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.inner().bytes.clone()
    }

    /// Frees its memory.
    pub(crate) fn wipe(&self) {
        *self.inner() = Inner::default();
    }

    /// What was done so far; forgotten here.
    pub(crate) fn take_did(&self) -> Vec<Did> {
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
        if inner.refuses == Refuses::ToGrow && len > inner.bytes.len() as u64 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        inner.did.push(Did::SetLen(len));
        inner.bytes.resize(usize::try_from(len).expect("small"), 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut inner = self.inner();
        if inner.refuses == Refuses::ToSync {
            return Err(io::Error::other("the platter is scratched"));
        }
        inner.did.push(Did::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut inner = self.inner();
        if inner.refuses == Refuses::ToWrite {
            return Err(io::Error::other("the head is stuck"));
        }
        inner.did.push(Did::Write(offset, data.to_vec()));
        let range = range(&inner.bytes, offset, data.len())?;
        inner.bytes[range].copy_from_slice(data);
        Ok(())
    }
}

/// The first steps of `did`, and `extra` bytes of the next write, done to `bytes`.
pub(crate) fn replayed(mut bytes: Vec<u8>, did: &[Did], extra: usize) -> Vec<u8> {
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

pub(crate) fn owner() -> Owner {
    Owner {
        role: Role::Master,
        node: None,
        cluster: "default".to_owned(),
    }
}

pub(crate) fn options(cache_bytes: usize) -> DiskOptions {
    DiskOptions {
        cache_bytes,
        deduplicate_by: DeduplicateBy::MessageId,
    }
}

pub(crate) fn open(tape: &Tape, cache_bytes: usize) -> Result<(DiskLog, Standing), OpenError> {
    DiskLog::open(Box::new(tape.clone()), &owner(), &options(cache_bytes))
}

/// Where a node stands whose entries are those of `replog_common::log::contract::entry`: a life for each hundred of them.
pub(crate) fn standing() -> Standing {
    let run = |n: u64| Run {
        first: Seq((100 * n).max(1)),
        epoch: Epoch(1 + n),
        by: Some(instance(1)),
    };
    Standing {
        log_id: Some(log(1)),
        epoch: Epoch(11),
        instance: Some(instance(1)),
        lives: (0..10).map(run).collect(),
        ..Standing::default()
    }
}

/// Everything a log shows, read in small pieces.
pub(crate) fn everything(
    log: &dyn LogStore,
) -> Result<Vec<replog_common::entry::Entry>, replog_common::log::StoreError> {
    let mut all = Vec::new();
    while let from = Seq(all.len() as u64 + 1)
        && from <= log.last().seq
    {
        let chunk = log.read(from, Seq(u64::MAX), u64::MAX, 4096)?;
        all.extend(chunk.entries().expect("what is read is whole"));
    }
    Ok(all)
}
