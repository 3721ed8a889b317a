//! A log for the tests of this module: some batches in memory, and views of them.

use std::sync::Arc;

use replog_protocol::entry::{BatchBuilder, Content, EntryBatch};
use replog_protocol::ids::{Epoch, Leadership, LogId, MasterId, MessageId, Seq};
use replog_protocol::node::{Query, ReadError, Snapshot};
use replog_storage::journal::{LogReader, Rollback, StorageKind};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::access::LogAccess;
use super::waiting_room::WaitingRoom;
use crate::snapshot::View;

/// The history of these tests.
pub(super) const LOG: LogId = LogId(Uuid::from_u128(7));

/// A log in memory; a slow one is read from a thread that may block, as one on a disk is.
#[derive(Debug, Default)]
pub(super) struct TestLog {
    batches: Vec<EntryBatch>,
    is_slow: bool,
    damaged: Option<Seq>,
    rollbacks: Vec<Rollback>,
}

impl TestLog {
    /// One batch per slice, the entries with these contents.
    pub(super) fn of(batches: &[&[&str]]) -> Self {
        let batches: Vec<_> = batches.iter().map(|batch| (3, *batch)).collect();
        Self::of_epochs(&batches)
    }

    /// The same, each batch placed by the epoch with that number.
    pub(super) fn of_epochs(batches: &[(u64, &[&str])]) -> Self {
        let mut log = Self::default();
        let mut next = Seq(1);
        for (n, contents) in batches {
            let mut builder = BatchBuilder::new(next, epoch(*n));
            for content in *contents {
                let id = MessageId(Uuid::from_u128(u128::from(builder.next().0)));
                builder.push(id, &Content::from_text(content));
            }
            next = builder.next();
            log.batches.extend(builder.finish());
        }
        log
    }

    /// The same, read from a thread that may block.
    pub(super) fn slow(self) -> Self {
        let is_slow = true;
        Self { is_slow, ..self }
    }

    /// The same with an entry that cannot be read.
    pub(super) fn damaged(self, seq: u64) -> Self {
        let damaged = Some(Seq(seq));
        Self { damaged, ..self }
    }

    /// The same with entries that were rolled back.
    pub(super) fn rolled_back(self, rollbacks: Vec<Rollback>) -> Self {
        Self { rollbacks, ..self }
    }

    fn find(&self, query: &Query) -> Result<Option<EntryBatch>, ReadError> {
        let Query::Range {
            first,
            last,
            max_bytes,
        } = query
        else {
            return Ok(None);
        };
        if self.damaged == Some(*first) {
            return Err(ReadError::Damaged(*first));
        }
        let damaged = self.damaged.filter(|seq| seq > first);
        let last = damaged.map_or(*last, |seq| (*last).min(seq.prev()));
        let found = self.batches.iter().find_map(|b| b.range(*first, last));
        Ok(found.map(|batch| batch.fitting(*max_bytes)))
    }
}

impl LogReader for TestLog {
    fn read_now(&self, query: &Query) -> Option<Result<Option<EntryBatch>, ReadError>> {
        (!self.is_slow).then(|| self.find(query))
    }

    fn read(&self, query: &Query) -> Result<Option<EntryBatch>, ReadError> {
        self.find(query)
    }

    fn rollbacks(&self) -> Result<Vec<Rollback>, ReadError> {
        Ok(self.rollbacks.clone())
    }

    fn bytes(&self) -> Result<u64, ReadError> {
        Ok(self.batches.iter().map(|b| b.bytes() as u64).sum())
    }

    fn kind(&self) -> StorageKind {
        StorageKind::Memory
    }
}

/// The epoch with that number.
pub(super) fn epoch(n: u64) -> Epoch {
    Epoch {
        n,
        master: MasterId(Uuid::from_u128(n.into())),
    }
}

/// A node's log, and the stop of its program.
pub(super) struct Shown {
    views: watch::Sender<View>,
    /// Notified when a reader wants to see what is committed.
    pub(super) wants_committed: Arc<Notify>,
    /// Cancelled when the program stops.
    pub(super) stop: CancellationToken,
}

impl Shown {
    /// All of that log is shown.
    pub(super) fn new(log: TestLog) -> Self {
        let last = log.batches.last().map_or(Seq::ZERO, EntryBatch::last);
        let snapshot = Snapshot {
            leadership: Some(Leadership {
                log_id: LOG,
                epoch: epoch(3),
            }),
            last,
            is_readable: true,
            ..Snapshot::default()
        };
        let reader = Arc::new(log);
        Self {
            views: watch::Sender::new(View { snapshot, reader }),
            wants_committed: Arc::new(Notify::new()),
            stop: CancellationToken::new(),
        }
    }

    /// Access for one stream at a time, and two requests that wait.
    pub(super) fn access(&self) -> LogAccess {
        let wants_committed = Arc::clone(&self.wants_committed);
        LogAccess::of_views(
            self.views.subscribe(),
            wants_committed,
            self.stop.clone(),
            1,
            WaitingRoom::within(3),
        )
    }

    /// Something else is shown from now on.
    pub(super) fn change(&self, change: impl FnOnce(&mut Snapshot)) {
        self.views.send_modify(|view| change(&mut view.snapshot));
    }

    /// Another log is shown from now on.
    pub(super) fn replace(&self, log: TestLog, change: impl FnOnce(&mut Snapshot)) {
        let other = Self::new(log).views.borrow().clone();
        self.views.send_modify(|view| {
            view.reader = other.reader;
            view.snapshot.last = other.snapshot.last;
            change(&mut view.snapshot);
        });
    }
}
