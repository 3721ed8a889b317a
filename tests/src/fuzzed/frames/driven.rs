//! One node over a journal in memory: carries out what the node wants done, and lets its checks look at all of it.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use replog_protocol::epochs::EpochTable;
use replog_protocol::hard_state::HardState;
use replog_protocol::ids::{Seq, Time};
use replog_protocol::node::{
    Input, Outbound, Page, Query, ReadError, Restored, WriteJob, WriteResult,
};
use replog_protocol::wire::Message;
use replog_storage::journal::{Begun, Journal};
use replog_storage::memory::MemoryJournal;

use super::checks::{Checked, Checks};

/// A node that wants something done so often in a row is never done.
const MAX_ROUNDS: usize = 1_000;
/// What one input may set off, in messages. More is a storm.
const MAX_MESSAGES: usize = 2_000;
/// So many messages are kept for who wants to have them.
const MAX_KEPT: usize = 100;
/// So many deadlines are met in one stretch of time.
const MAX_DEADLINES: usize = 200;

/// What becomes of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disk {
    /// It is durable at once.
    Prompt,
    /// It waits to be ended.
    Slow,
    /// There is no room.
    Full,
}

/// A node, what is on its disk, and its clock.
pub(super) struct Driven<N: Checked> {
    node: N,
    journal: Box<dyn Journal>,
    hard_state: HardState,
    last: Seq,
    damaged: BTreeSet<Seq>,
    writing: Option<WriteJob>,
    pub(super) disk: Disk,
    pub(super) checks: Checks,
    now: Time,
    has_ended: bool,
    /// What it has said last.
    sent: VecDeque<Outbound>,
}

impl<N: Checked> Driven<N> {
    /// Over an empty journal in memory.
    pub(super) fn new(node: N) -> Self {
        Self::over(node, Box::new(MemoryJournal::new()), Restored::default())
    }

    /// Over a journal in which that was found.
    pub(super) fn over(node: N, journal: Box<dyn Journal>, restored: Restored) -> Self {
        Self {
            node,
            journal,
            hard_state: restored.hard_state,
            last: restored.last.seq,
            damaged: BTreeSet::new(),
            writing: None,
            disk: Disk::Prompt,
            checks: Checks::default(),
            now: Time::ZERO,
            has_ended: false,
            sent: VecDeque::new(),
        }
    }

    /// Where its log on the disk ends.
    pub(super) fn last(&self) -> Seq {
        self.last
    }

    /// What it has said since this was asked before, or the last part of that.
    pub(super) fn take_sent(&mut self) -> VecDeque<Outbound> {
        std::mem::take(&mut self.sent)
    }

    /// Whether the node has come to its end.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// What a process that starts now finds on its disk.
    pub(super) fn restored(&mut self) -> Restored {
        // A write that has not ended may not have been done.
        self.writing = None;
        let text = serde_json::to_vec(&self.hard_state).expect("always JSON");
        let stored: HardState = serde_json::from_slice(&text).expect("what was stored is read");
        assert_eq!(stored, self.hard_state, "what was stored is read as it was");
        let last = EpochTable::new(stored.epochs.clone(), self.last).last();
        assert_eq!(last.seq, self.last, "every entry has its epoch");
        Restored {
            hard_state: stored,
            last,
        }
    }

    /// Another process goes on with the same disk, and finds the broker there.
    pub(super) fn restart(&mut self, node: N) {
        self.node = node;
        self.has_ended = false;
        self.now = Time::ZERO;
        self.checks.restarted();
        let max_payload = super::MAX_PAYLOAD;
        let up = replog_protocol::node::LinkState::Up { max_payload };
        self.step(Input::Link(up));
    }

    pub(super) fn step(&mut self, input: Input<N::Command>) {
        if self.has_ended {
            return;
        }
        self.node.step(input, self.now);
        self.carry_out();
    }

    /// Lets time pass, from deadline to deadline.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..MAX_DEADLINES {
            let next = self.node.deadline(self.now).filter(|next| *next <= end);
            let Some(next) = next.filter(|_| !self.has_ended) else {
                break;
            };
            self.now = next.max(self.now);
            self.step(Input::Tick);
            let next = self.node.deadline(self.now);
            let is_overdue = next.is_some_and(|next| next <= self.now);
            assert!(!is_overdue || self.has_ended, "it is never done");
        }
        // Where deadlines are many, the rest is a pause of the node's own.
        self.now = end.max(self.now);
        self.step(Input::Tick);
    }

    /// An entry cannot be read any more, and that was found.
    pub(super) fn rot(&mut self, seq: Seq) {
        if Seq::ZERO < seq && seq <= self.last {
            self.damaged.insert(seq);
            let all = self.damaged.iter().copied().collect();
            self.step(Input::Damaged(all));
        }
    }

    /// Ends the write in flight, if there is one.
    pub(super) fn end_write(&mut self) {
        if let Some(job) = self.writing.take() {
            let result = self.write(job);
            self.step(Input::Written(result));
        }
    }

    fn write(&mut self, job: WriteJob) -> WriteResult {
        if self.disk == Disk::Full {
            return WriteResult::DiskFull;
        }
        let (truncate, hard_state) = (job.truncate, job.hard_state.clone());
        let last = job.entries.last().map(|batch| batch.last());
        for seq in job.repairs.iter().map(|batch| batch.first()) {
            self.damaged.remove(&seq);
        }
        let result = match self.journal.write(job) {
            Begun::Done(result) => result,
            Begun::Blocking(run) => run(),
        };
        assert!(matches!(result, WriteResult::Done { .. }), "{result:?}");
        if let Some(truncate) = truncate {
            self.last = self.last.min(truncate.after);
            self.damaged.retain(|seq| *seq <= truncate.after);
        }
        self.last = last.unwrap_or(self.last);
        self.hard_state = hard_state.unwrap_or_else(|| self.hard_state.clone());
        result
    }

    fn read(&self, query: &Query) -> Result<Option<replog_protocol::entry::EntryBatch>, ReadError> {
        if let Query::Range { first, .. } = query
            && self.damaged.contains(first)
        {
            return Err(ReadError::Damaged(*first));
        }
        let page = self.journal.reader().read(query)?;
        // A page ends before what is damaged.
        Ok(page.and_then(|page| {
            let damaged = self.damaged.range(page.first()..).next();
            let last = damaged.map_or(page.last(), |seq| seq.prev().min(page.last()));
            page.range(page.first(), last)
        }))
    }

    fn carry_out(&mut self) {
        let mut messages = 0;
        for _ in 0..MAX_ROUNDS {
            let ready = self.node.ready(self.now);
            if ready.is_empty() {
                self.node.look();
                return;
            }
            messages += ready.messages.len();
            assert!(messages <= MAX_MESSAGES, "a storm of messages");
            let reader = self.journal.reader();
            self.checks
                .may_be_said(&ready.messages, self.last, &*reader);
            for out in &ready.messages {
                let line = out.message.encode(7);
                let read = Message::decode(&out.to, &line);
                // Not compared as values: a field that goes only with another one may be there alone.
                assert_eq!(read.expect("others can read it").encode(7), line);
                self.sent.push_back(out.clone());
                if self.sent.len() > MAX_KEPT {
                    self.sent.pop_front();
                }
            }
            self.has_ended |= ready.end.is_some();
            let mut inputs = Vec::new();
            if let Some(job) = ready.write {
                assert_eq!(self.writing, None, "at most one write is in flight");
                match self.disk {
                    Disk::Slow => self.writing = Some(job),
                    Disk::Prompt | Disk::Full => inputs.push(Input::Written(self.write(job))),
                }
            }
            self.checks
                .replies(N::replicated(&ready.replies), self.last);
            for read in ready.reads {
                let entries = self.read(&read.query);
                let purpose = read.purpose;
                inputs.push(Input::Page(Page { purpose, entries }));
            }
            if self.has_ended {
                return; // nothing follows
            }
            for input in inputs {
                self.node.step(input, self.now);
            }
        }
        panic!("it always wants something done");
    }
}
