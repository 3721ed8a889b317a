//! A node with the processor that it runs on and a journal in memory.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use replog_protocol::entry::EntryBatch;
use replog_protocol::ids::{Seq, Time};
use replog_protocol::node::{
    End, Input, Node, Outbound, Page, Purpose, Query, ReadError, WriteJob, WriteResult,
};

use super::server::Server;

/// Messages that are taken at one time, at most: as the programs do it.
const MAX_TAKEN: usize = 1024;
/// Pages that are kept, because others ask for the same: several hundred secondaries that were cut off at one moment.
const MAX_PAGES: usize = 64;

/// A journal in memory: each write is done at once.
#[derive(Debug, Default)]
pub(super) struct Journal {
    /// The batches as they were written; empty where nothing is ever read.
    batches: Vec<EntryBatch>,
    /// Whether anything is read: a secondary's entries are only counted.
    is_read: bool,
    pages: HashMap<(Seq, Seq, usize), EntryBatch>,
}

impl Journal {
    fn write(&mut self, job: WriteJob) {
        if let Some(cut) = job.truncate {
            assert_eq!(cut.after, Seq::ZERO, "only what is cleared is cut off here");
            self.batches.clear();
        }
        if self.is_read {
            self.batches.extend(job.entries);
        }
    }

    fn read(&mut self, query: &Query) -> Result<Option<EntryBatch>, ReadError> {
        let Query::Range {
            first,
            last,
            max_bytes,
        } = *query
        else {
            return Ok(None);
        };
        let key = (first, last, max_bytes);
        if let Some(page) = self.pages.get(&key) {
            return Ok(Some(page.clone()));
        }
        let (mut parts, mut bytes) = (Vec::new(), 0);
        let begin = self.batches.partition_point(|batch| batch.last() < first);
        for batch in &self.batches[begin..] {
            let Some(wanted) = batch.range(first.max(batch.first()), last) else {
                break;
            };
            let part = wanted.fitting(max_bytes.saturating_sub(bytes));
            let is_cut = part.last() < wanted.last();
            if !parts.is_empty() && bytes + part.bytes() >= max_bytes {
                break;
            }
            bytes += part.bytes() + 1;
            parts.push(part);
            if is_cut {
                break;
            }
        }
        let page = EntryBatch::concat(&parts);
        if let Some(page) = &page {
            if self.pages.len() >= MAX_PAGES {
                self.pages.clear();
            }
            self.pages.insert(key, page.clone());
        }
        Ok(page)
    }
}

/// A node that runs.
#[derive(Debug)]
pub(super) struct Host<N: Node> {
    /// The node.
    pub(super) node: N,
    /// Its processor.
    pub(super) cpu: Server,
    /// When its next turn is planned.
    pub(super) turn_at: Option<Duration>,
    journal: Journal,
    inbox: VecDeque<(Duration, Input<N::Command>)>,
}

/// What a turn has brought about: each with the time of the processor, from the beginning of the turn, after which it leaves.
#[derive(Debug)]
pub(super) struct Turn<R> {
    /// Messages.
    pub(super) messages: Vec<(Duration, Outbound)>,
    /// Answers of clients.
    pub(super) replies: Vec<(Duration, R)>,
}

impl<N: Node> Host<N> {
    /// A node whose journal is read, or is not.
    pub(super) fn new(node: N, is_read: bool) -> Self {
        Self {
            node,
            cpu: Server::default(),
            turn_at: None,
            journal: Journal {
                is_read,
                ..Journal::default()
            },
            inbox: VecDeque::new(),
        }
    }

    /// Something has come: when the node can look at it.
    pub(super) fn receive(&mut self, now: Duration, input: Input<N::Command>) -> Duration {
        self.inbox.push_back((now, input));
        now.max(self.cpu.free_at)
    }

    /// Takes what has come and does all that is to be done; `takes` says what that costs.
    pub(super) fn turn(
        &mut self,
        now: Duration,
        takes_in: impl Fn(&Input<N::Command>) -> Duration,
        takes_out: impl Fn(&Outbound) -> Duration,
    ) -> Turn<N::Reply> {
        let at = Time(now);
        let mut spent = Duration::ZERO;
        let count = self.inbox.len().min(MAX_TAKEN);
        for (came, input) in self.inbox.drain(..count) {
            self.cpu.longest_wait = self.cpu.longest_wait.max(now - came);
            spent += takes_in(&input);
            self.node.step(input, at);
        }
        if self.node.deadline(at).is_some_and(|due| due <= at) {
            self.node.step(Input::Tick, at);
        }
        let mut turn = Turn {
            messages: Vec::new(),
            replies: Vec::new(),
        };
        loop {
            let ready = self.node.ready(at);
            if ready.is_empty() {
                break;
            }
            if let Some(job) = ready.write {
                self.journal.write(job);
                let done = WriteResult::Done { rolled_back: None };
                self.node.step(Input::Written(done), at);
            }
            for read in ready.reads {
                if matches!(read.purpose, Purpose::Replicate(..)) {
                    let entries = self.journal.read(&read.query);
                    let purpose = read.purpose;
                    self.node.step(Input::Page(Page { purpose, entries }), at);
                }
            }
            for message in ready.messages {
                spent += takes_out(&message);
                turn.messages.push((spent, message));
            }
            turn.replies
                .extend(ready.replies.into_iter().map(|reply| (spent, reply)));
            assert!(
                matches!(ready.end, None | Some(End::Stopped)),
                "a node has come to its end: {:?}",
                ready.end
            );
        }
        let longest_wait = self.cpu.longest_wait;
        self.cpu.serve(now, spent);
        self.cpu.longest_wait = longest_wait;
        turn
    }

    /// When it has something to do next.
    pub(super) fn next_turn(&self, now: Duration) -> Option<Duration> {
        match self.inbox.is_empty() {
            false => Some(self.cpu.free_at),
            true => self
                .node
                .deadline(Time(now))
                .map(|due| due.0.max(self.cpu.free_at)),
        }
    }
}
