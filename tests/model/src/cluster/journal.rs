//! A journal as a plain value: what it holds, what of that is synced, what is being written, and an older copy of it all.

use std::collections::BTreeSet;
use std::sync::Arc;

use replog_protocol::entry::EntryBatch;
use replog_protocol::epochs::LogPosition;
use replog_protocol::hard_state::HardState;
use replog_protocol::ids::{LogId, MessageId, Seq};
use replog_protocol::node::{Query, ReadError, Restored, RolledBack, WriteJob, WriteResult};

/// One entry of a stored log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StoredEntry {
    /// The entry, in a batch of its own.
    pub batch: EntryBatch,
    /// Its id.
    pub id: MessageId,
}

impl StoredEntry {
    /// Where it stands.
    #[must_use]
    pub fn position(&self) -> LogPosition {
        self.batch.last_position()
    }
}

/// What a storage holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stored {
    /// As it was written last.
    pub hard_state: HardState,
    /// The log from its first entry on.
    pub entries: Vec<StoredEntry>,
}

impl Stored {
    /// The end of the log.
    #[must_use]
    pub fn last(&self) -> LogPosition {
        self.entries
            .last()
            .map_or_else(LogPosition::default, StoredEntry::position)
    }

    /// The entry at `seq`.
    #[must_use]
    pub fn get(&self, seq: Seq) -> Option<&StoredEntry> {
        self.entries
            .get(usize::try_from(seq.0.checked_sub(1)?).ok()?)
    }

    /// Whether the log is of that history and has that very entry.
    #[must_use]
    pub fn has(&self, log_id: LogId, position: LogPosition) -> bool {
        let is_there = self
            .get(position.seq)
            .is_some_and(|e| e.position() == position);
        self.hard_state.log_id == Some(log_id) && is_there
    }
}

/// How a storage comes back after its process has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Loss {
    /// With everything: only the process has ended.
    Nothing,
    /// With what was synced: the power was cut.
    Unsynced,
    /// As it was when it was backed up: an older copy was put back.
    SinceBackup,
    /// With nothing: it was in memory, or a new disk.
    Everything,
}

/// How a write ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WriteEnd {
    /// It is durable.
    Done,
    /// There is no room.
    DiskFull,
    /// The disk fails; whether the write is on it is not known to the node.
    Failed {
        /// It is.
        is_written: bool,
    },
}

/// What a write has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The hard state before the write.
    pub former: HardState,
    /// The history after the write.
    pub log_id: Option<LogId>,
    /// Entries that went out of the log.
    pub removed: Vec<StoredEntry>,
    /// Those that went out are kept.
    pub is_rollback: bool,
    /// Entries that were appended, each with what stood before it.
    pub appended: Vec<(LogPosition, StoredEntry)>,
}

/// A journal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SimJournal {
    /// What readers read, and what a process finds that is started again.
    current: Arc<Stored>,
    /// What a power cut leaves; trails `current` only where writes are not synced.
    synced: Arc<Stored>,
    /// A copy from before, and the numbers of starts until then.
    backup: Option<Arc<Stored>>,
    in_flight: Option<Arc<WriteJob>>,
    /// Entries that cannot be read.
    damaged: BTreeSet<Seq>,
    /// Writes are durable before they are synced (`--fsync never`).
    is_lazy: bool,
}

impl SimJournal {
    /// An empty one. A lazy one acknowledges writes that a power cut undoes.
    #[must_use]
    pub fn new(is_lazy: bool) -> Self {
        Self {
            is_lazy,
            ..Self::default()
        }
    }

    /// What it holds, the write in flight not among it.
    #[must_use]
    pub fn stored(&self) -> &Stored {
        &self.current
    }

    /// What a node is started with.
    #[must_use]
    pub fn restored(&self) -> Restored {
        Restored {
            hard_state: self.current.hard_state.clone(),
            last: self.current.last(),
        }
    }

    /// Whether a write is in flight.
    #[must_use]
    pub fn is_writing(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Whether a power cut would take something away.
    #[must_use]
    pub fn is_unsynced(&self) -> bool {
        self.current != self.synced
    }

    /// Whether there is an older copy that differs from what is here.
    #[must_use]
    pub fn has_older_copy(&self) -> bool {
        self.backup.as_ref().is_some_and(|b| *b != self.current)
    }

    /// The entries that cannot be read.
    #[must_use]
    pub fn damaged(&self) -> &BTreeSet<Seq> {
        &self.damaged
    }

    /// Takes a write.
    ///
    /// # Errors
    /// One is in flight already: a bug of the node.
    pub fn begin(&mut self, job: WriteJob) -> Result<(), String> {
        match self.in_flight.replace(Arc::new(job)) {
            None => Ok(()),
            Some(first) => Err(format!("a second write while {first:?} is in flight")),
        }
    }

    /// The chunk of a shared stream that is in flight, if one is.
    #[must_use]
    pub fn chunk(&self) -> Option<&Arc<WriteJob>> {
        self.in_flight.as_ref().filter(|job| job.chunk.is_some())
    }

    /// The write in flight was not carried out, and never will be.
    pub fn drop_write(&mut self) {
        self.in_flight = None;
    }

    /// The write in flight ends: what the node is told, and what has changed.
    ///
    /// # Errors
    /// The write is none that a journal could carry out: a bug of the node.
    pub fn finish(&mut self, end: WriteEnd) -> Result<(WriteResult, Applied), String> {
        let Some(job) = self.in_flight.take() else {
            return Err("no write is in flight".to_owned());
        };
        match end {
            WriteEnd::Done => {
                let (rolled_back, applied) = self.apply(&job)?;
                Ok((WriteResult::Done { rolled_back }, applied))
            }
            WriteEnd::DiskFull => Ok((WriteResult::DiskFull, Applied::default())),
            WriteEnd::Failed { is_written } => {
                let applied = match is_written {
                    true => self.apply(&job)?.1,
                    false => Applied::default(),
                };
                Ok((WriteResult::Failed("an error".to_owned()), applied))
            }
        }
    }

    fn apply(&mut self, job: &WriteJob) -> Result<(Option<RolledBack>, Applied), String> {
        let stored = Arc::make_mut(&mut self.current);
        let mut applied = Applied {
            former: stored.hard_state.clone(),
            ..Applied::default()
        };
        let mut rolled_back = None;
        if let Some(truncate) = job.truncate {
            let last = stored.last().seq;
            let keep = usize::try_from(truncate.after.0).unwrap_or(usize::MAX);
            applied.removed = stored.entries.split_off(keep.min(stored.entries.len()));
            applied.is_rollback = truncate.rollback_of.is_some();
            self.damaged.retain(|seq| *seq <= truncate.after);
            let log_id = truncate.rollback_of.filter(|_| !applied.removed.is_empty());
            rolled_back = log_id.map(|log_id| RolledBack {
                log_id,
                first: truncate.after.next(),
                last,
            });
        }
        for batch in &job.entries {
            if batch.first() != stored.last().seq.next() {
                let (first, last) = (batch.first(), stored.last().seq);
                return Err(format!("entry {first} cannot follow entry {last}"));
            }
            for entry in batch.iter() {
                let alone = batch.range(entry.seq, entry.seq);
                let entry = StoredEntry {
                    batch: alone.ok_or("an entry that is in no batch")?,
                    id: entry.message_id,
                };
                applied.appended.push((stored.last(), entry.clone()));
                stored.entries.push(entry);
            }
        }
        if let Some(hard_state) = &job.hard_state {
            stored.hard_state = hard_state.clone();
        }
        applied.log_id = stored.hard_state.log_id;
        for batch in &job.repairs {
            for seq in batch.first().0..=batch.last().0 {
                let seq = Seq(seq);
                let known = stored.get(seq).map(|e| &e.batch);
                if known != batch.range(seq, seq).as_ref() {
                    return Err(format!("entry {seq} is repaired with another one"));
                }
                self.damaged.remove(&seq);
            }
        }
        if !self.is_lazy {
            self.synced = Arc::clone(&self.current);
        }
        Ok((rolled_back, applied))
    }

    /// Everything is synced.
    pub fn sync(&mut self) {
        self.synced = Arc::clone(&self.current);
    }

    /// A copy is made of what it holds now.
    pub fn back_up(&mut self) {
        self.backup = Some(Arc::clone(&self.current));
    }

    /// A journal with a copy of what it holds now; or of the older copy, if there is one and that is wanted.
    #[must_use]
    pub fn copied(&self, older: bool) -> Self {
        let backup = self.backup.as_ref().filter(|_| older);
        let stored = backup.unwrap_or(&self.current);
        Self {
            current: Arc::clone(stored),
            synced: Arc::clone(stored),
            is_lazy: self.is_lazy,
            ..Self::default()
        }
    }

    /// The process has ended; what the storage comes back with. The write in flight is lost, or was written just before.
    ///
    /// # Errors
    /// As [`SimJournal::finish`].
    pub fn crash(&mut self, loss: Loss, is_written: bool) -> Result<Applied, String> {
        let job = self.in_flight.take();
        let applied = match job.filter(|_| is_written) {
            Some(job) => self.apply(&job)?.1,
            None => Applied::default(),
        };
        self.current = match loss {
            Loss::Nothing => return Ok(applied),
            Loss::Unsynced => Arc::clone(&self.synced),
            Loss::SinceBackup => self.backup.clone().unwrap_or_default(),
            Loss::Everything => Arc::default(),
        };
        self.synced = Arc::clone(&self.current);
        self.damaged.clear();
        Ok(applied)
    }

    /// An entry cannot be read any more.
    pub fn rot(&mut self, seq: Seq) {
        if self.current.get(seq).is_some() {
            self.damaged.insert(seq);
        }
    }

    /// Reads what is asked for.
    ///
    /// # Errors
    /// The first entry that was asked for is damaged.
    pub fn read(&self, query: &Query) -> Result<Option<EntryBatch>, ReadError> {
        match query {
            Query::Range {
                first,
                last,
                max_bytes,
            } => self.range(*first, *last, *max_bytes),
            Query::Find {
                message_id,
                content,
            } => {
                let says = |e: &&StoredEntry| {
                    let entry = e.batch.get(e.batch.first());
                    content
                        .as_ref()
                        .is_some_and(|c| entry.is_some_and(|e| e.says(c)))
                };
                let all = &self.current.entries;
                let same = all.iter().find(says);
                let found = same.or_else(|| all.iter().find(|e| e.id == *message_id));
                self.readable(found)
            }
        }
    }

    fn readable(&self, entry: Option<&StoredEntry>) -> Result<Option<EntryBatch>, ReadError> {
        match entry.map(|e| e.batch.first()) {
            Some(seq) if self.damaged.contains(&seq) => Err(ReadError::Damaged(seq)),
            _ => Ok(entry.map(|e| e.batch.clone())),
        }
    }

    fn range(
        &self,
        first: Seq,
        last: Seq,
        max_bytes: usize,
    ) -> Result<Option<EntryBatch>, ReadError> {
        let Some(head) = self.readable(self.current.get(first).filter(|_| first <= last))? else {
            return Ok(None);
        };
        let (epoch, mut bytes, mut parts) = (head.epoch(), head.bytes(), vec![head]);
        let mut next = first.next();
        while next <= last
            && let Ok(Some(entry)) = self.readable(self.current.get(next))
            && entry.epoch() == epoch
            && bytes + entry.bytes() < max_bytes
        {
            bytes += entry.bytes() + 1;
            parts.push(entry);
            next = next.next();
        }
        Ok(EntryBatch::concat(&parts))
    }
}
