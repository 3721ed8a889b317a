//! A journal that is a list: too simple to be wrong, and strict about what it is handed.

use std::collections::BTreeSet;

use replog_protocol::entry::EntryBatch;
use replog_protocol::epochs::{EpochTable, LogPosition};
use replog_protocol::hard_state::HardState;
use replog_protocol::ids::{Epoch, LogId, Seq};
use replog_protocol::node::{
    Query, ReadError, Restored, RolledBack, Truncate, WriteJob, WriteResult,
};

/// What is on the disk of one node. A clone of it is a copy of the directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Journal {
    /// One batch for each entry.
    pub(crate) entries: Vec<EntryBatch>,
    pub(crate) hard_state: HardState,
    /// The entries that were rolled back and are kept.
    pub(crate) rollbacks: Vec<(LogId, Vec<EntryBatch>)>,
    /// Entries that cannot be read any more.
    pub(crate) damaged: BTreeSet<Seq>,
}

impl Journal {
    /// A log of that history, with so many entries of each of those epochs, the last of which was promised.
    pub(crate) fn of(log_id: LogId, runs: &[(u64, Epoch)]) -> Self {
        let (mut journal, mut table) = (Self::default(), EpochTable::default());
        for (count, epoch) in runs {
            let from = journal.last().0 + 1;
            for seq in from..from + count {
                let id = u128::from(epoch.n) * 1_000 + u128::from(seq);
                journal.entries.push(super::entry(seq, *epoch, id));
                table.append(*epoch, Seq(seq));
            }
        }
        journal.hard_state = HardState {
            log_id: Some(log_id),
            epoch: runs.last().map_or(Epoch::ZERO, |(_, epoch)| *epoch),
            epochs: table.starts().to_vec(),
            ..HardState::default()
        };
        journal
    }

    pub(crate) fn last(&self) -> Seq {
        Seq(self.entries.len() as u64)
    }

    pub(crate) fn position(&self, seq: Seq) -> Option<LogPosition> {
        match seq.0.checked_sub(1) {
            None => Some(LogPosition::default()),
            Some(i) => Some(self.entries.get(index(i))?.last_position()),
        }
    }

    /// What a node finds here when it starts.
    pub(crate) fn restored(&self) -> Restored {
        let last = self.position(self.last()).expect("an entry of the log");
        let table = EpochTable::new(self.hard_state.epochs.clone(), last.seq);
        assert_eq!(table.last(), last, "the table of epochs is of this log");
        Restored {
            hard_state: self.hard_state.clone(),
            last,
        }
    }

    /// Carries out a write.
    pub(crate) fn write(&mut self, job: WriteJob) -> WriteResult {
        let mut rolled_back = None;
        if let Some(Truncate { after, rollback_of }) = job.truncate {
            assert!(after <= self.last(), "{after} is an entry of the log");
            let out = self.entries.split_off(index(after.0));
            self.damaged.retain(|seq| *seq <= after);
            if let (Some(log_id), Some(first)) = (rollback_of, out.first()) {
                rolled_back = Some(RolledBack {
                    log_id,
                    first: first.first(),
                    last: out.last().expect("the same").last(),
                });
                self.rollbacks.push((log_id, out));
            }
        }
        for batch in job.entries {
            assert_eq!(batch.first(), self.last().next(), "entries follow the end");
            self.entries.extend(single(&batch));
        }
        if let Some(hard_state) = job.hard_state {
            self.hard_state = hard_state;
        }
        for batch in job.repairs {
            for one in single(&batch) {
                let seq = one.first();
                if self.damaged.remove(&seq) {
                    self.entries[index(seq.0 - 1)] = one;
                }
            }
        }
        WriteResult::Done { rolled_back }
    }

    pub(crate) fn read(&self, query: &Query) -> Result<Option<EntryBatch>, ReadError> {
        match query {
            Query::Range {
                first,
                last,
                max_bytes,
            } => {
                let Some(head) = self.get(*first) else {
                    return Ok(None);
                };
                if self.damaged.contains(first) {
                    return Err(ReadError::Damaged(*first));
                }
                let follow = (first.0..=last.0.min(self.last().0)).filter_map(|s| self.get(Seq(s)));
                let good = follow.take_while(|e| {
                    e.epoch() == head.epoch() && !self.damaged.contains(&e.first())
                });
                let run: Vec<EntryBatch> = good.cloned().collect();
                Ok(EntryBatch::concat(&run).map(|batch| batch.fitting(*max_bytes)))
            }
            Query::Find {
                message_id,
                content,
            } => {
                for e in &self.entries {
                    let entry = e.get(e.first()).expect("one entry");
                    let same_content = content.as_ref().is_some_and(|c| entry.says(c));
                    if entry.message_id == *message_id || same_content {
                        return match self.damaged.contains(&e.first()) {
                            true => Err(ReadError::Damaged(e.first())),
                            false => Ok(Some(e.clone())),
                        };
                    }
                }
                Ok(None)
            }
        }
    }

    fn get(&self, seq: Seq) -> Option<&EntryBatch> {
        self.entries.get(index(seq.0.checked_sub(1)?))
    }

    /// Whether the journal holds those very entries.
    pub(crate) fn holds(&self, batch: &EntryBatch) -> bool {
        single(batch).iter().all(|e| self.get(e.first()) == Some(e))
    }

    /// The contents of the entries, which are numbers in most tests.
    pub(crate) fn texts(&self) -> Vec<String> {
        let text = |e: &EntryBatch| e.get(e.first()).expect("one entry").text().into_owned();
        self.entries.iter().map(text).collect()
    }

    /// How many rolled-back entries are kept.
    pub(crate) fn rolled_back(&self) -> usize {
        self.rollbacks
            .iter()
            .map(|(_, entries)| entries.len())
            .sum()
    }
}

/// Each entry of a batch as a batch of its own, with bytes of its own: two that say the same are equal.
pub(crate) fn single(batch: &EntryBatch) -> Vec<EntryBatch> {
    let one = |seq: u64| {
        let entry = batch.get(Seq(seq)).expect("an entry of the batch");
        let text = bytes::Bytes::copy_from_slice(entry.json.as_bytes());
        EntryBatch::parse(text, batch.epoch()).expect("an entry")
    };
    (batch.first().0..=batch.last().0).map(one).collect()
}

pub(crate) fn index(n: u64) -> usize {
    usize::try_from(n).expect("few")
}
