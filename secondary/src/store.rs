//! The log of a secondary, in memory or on a disk; writing waits for the disk, but not on the thread that serves.

use std::path::PathBuf;
use std::sync::Arc;

use replog_common::entry::{Chunk, Entry, Position};
use replog_common::log::disk::put_aside;
use replog_common::log::{Batch, LogStore, MemoryLog, Standing, StoreError};
use replog_common::message::Ack;
use replog_common::service::clock::wall_ms;
use replog_common::service::reading::{self, off_thread};
use replog_common::service::storage::{ShownStorage, Storage};
use replog_common::types::{LogId, Seq};

use crate::aside::Tail;

/// The log and what was written with it.
#[derive(Debug)]
pub(crate) struct Store {
    log: Arc<dyn LogStore>,
    dir: Option<PathBuf>,
    written: Option<Standing>,
    shown: ShownStorage,
}

impl Store {
    pub(crate) fn new(storage: Storage) -> Self {
        Self {
            log: storage.log,
            dir: storage.dir,
            written: storage.standing,
            shown: storage.shown,
        }
    }

    pub(crate) fn log(&self) -> Arc<dyn LogStore> {
        Arc::clone(&self.log)
    }

    pub(crate) fn shown(&self) -> ShownStorage {
        ShownStorage {
            damaged: self.log.damaged(),
            ..self.shown.clone()
        }
    }

    /// Writes a damaged entry again.
    pub(crate) async fn mend(&mut self, entry: Entry) -> Result<(), StoreError> {
        let log = self.log();
        let mended = off_thread(move || log.mend(&entry)).await;
        self.shown.note(&mended);
        mended
    }

    /// Appends, and writes where the node stands if that has changed.
    pub(crate) async fn write(
        &mut self,
        entries: &[Entry],
        standing: impl FnOnce() -> Standing,
    ) -> Result<(), StoreError> {
        self.write_after(None, entries, standing).await
    }

    async fn write_after(
        &mut self,
        keep: Option<Position>,
        entries: &[Entry],
        standing: impl FnOnce() -> Standing,
    ) -> Result<(), StoreError> {
        if self.dir.is_none() {
            return self.log.write(&Batch {
                keep,
                entries,
                standing: None,
            });
        }
        let standing = standing();
        if keep.is_none() && entries.is_empty() && self.written.as_ref() == Some(&standing) {
            return Ok(());
        }
        let (log, entries) = (self.log(), entries.to_vec());
        let stands_anew = self.written.as_ref() != Some(&standing);
        let written = off_thread(move || {
            log.write(&Batch {
                keep,
                entries: &entries,
                standing: stands_anew.then_some(&standing),
            })?;
            Ok(standing)
        });
        let written = written.await;
        self.shown.note(&written);
        self.written = Some(written?);
        Ok(())
    }

    /// Forgets every entry.
    pub(crate) async fn begin_anew(&mut self, standing: Standing) -> Result<(), StoreError> {
        if self.dir.is_none() {
            self.log = Arc::new(MemoryLog::new());
            return Ok(());
        }
        let log = self.log();
        let begun = off_thread(move || Ok((log.begin_anew(&standing)?, standing)));
        let begun = begun.await;
        self.shown.note(&begun);
        let (log, standing) = begun?;
        (self.log, self.written) = (log, Some(standing));
        Ok(())
    }

    /// Keeps what lies behind `keep`, if anything, in memory or in a file beside the log: it may be taken out then.
    pub(crate) async fn keep_aside(
        &mut self,
        log_id: LogId,
        keep: Position,
    ) -> Result<Option<Tail>, StoreError> {
        let (first, last, at_ms) = (keep.seq.next(), self.log.last().seq, wall_ms());
        if first > last {
            return Ok(None);
        }
        let (entries, file) = match self.dir.clone() {
            None => (self.log.read(first, last, u64::MAX, usize::MAX)?, None),
            Some(dir) => {
                let log = self.log();
                let file = off_thread(move || put_aside(&dir, &*log, log_id, keep, at_ms)).await;
                if file.is_err() {
                    self.shown.note(&file);
                }
                (Chunk::default(), file?)
            }
        };
        Ok(Some(Tail {
            log_id,
            first,
            last,
            entries,
            file,
            at_ms,
        }))
    }

    /// Takes out what lies behind `keep`.
    pub(crate) async fn cut(
        &mut self,
        keep: Position,
        standing: Standing,
    ) -> Result<(), StoreError> {
        self.write_after(Some(keep), &[], || standing).await
    }

    /// Whether a node that ended now would know this much of itself again.
    pub(crate) fn remembers(&self, ack: &Ack) -> bool {
        let said = (ack.log_id, ack.epoch, ack.instance, Some(ack.incarnation));
        let is_said = |w: &Standing| (w.log_id, w.epoch, w.instance, w.incarnation) == said;
        self.written.as_ref().is_none_or(is_said)
    }

    /// The same as far as it would be known again; of the entries, none.
    pub(crate) fn as_remembered(&self, ack: Ack) -> Ack {
        match &self.written {
            Some(written) if !self.remembers(&ack) => Ack {
                incarnation: written.incarnation.unwrap_or(ack.incarnation),
                log_id: written.log_id,
                epoch: written.epoch,
                instance: written.instance,
                upto: Seq::ZERO,
                last: self.log.last(),
                held_from: None,
                replaced: written.replaced.clone(),
                ..ack
            },
            _ => ack,
        }
    }

    /// Entries for a master that asks.
    pub(crate) async fn read(
        &self,
        first: Seq,
        last: Seq,
        bytes: usize,
    ) -> Result<Chunk, StoreError> {
        reading::read(&self.log, first, last, u64::MAX, bytes).await
    }
}
