//! One node over its journal: a driver that carries out what it is handed, and checks that all of it may be done.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;

use replog_protocol::entry::EntryBatch;
use replog_protocol::event::Event;
use replog_protocol::follower::{self, Follower};
use replog_protocol::ids::{Seq, Time};
use replog_protocol::leader::command::Answer;
use replog_protocol::leader::{self, Leader};
use replog_protocol::node::{
    End, Input, LinkState, Node, Outbound, Page, Read, Ready, Snapshot, WriteJob, WriteResult,
};
use replog_protocol::wire::{Ack, FetchResponse, Message, Promise};

use super::journal::Journal;
use super::{Client, MAX_PAYLOAD};

/// What becomes of the writes that a node hands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disk {
    /// They are durable at once.
    Prompt,
    /// They wait until the test ends them, see [`Process::end_write`].
    Slow,
    /// There is no room.
    Full,
}

/// A node, its journal, and what it has said since the test looked.
#[derive(Clone, Debug)]
pub(crate) struct Process<N: Checked> {
    pub(crate) node: N,
    pub(crate) journal: Journal,
    pub(crate) disk: Disk,
    /// When it started: its own clock begins then.
    pub(crate) born: Time,
    due: Option<Time>,
    /// The damaged entries of which the node was told.
    reported: BTreeSet<Seq>,
    /// The write in flight, if the disk is slow.
    pub(crate) writing: Option<WriteJob>,
    /// Reads wait until the test lets them go on, see [`Process::read`].
    pub(crate) reads_wait: bool,
    pub(crate) reads: VecDeque<Read>,
    pub(crate) sent: Vec<Outbound>,
    pub(crate) replies: Vec<N::Reply>,
    pub(crate) events: Vec<Event>,
    pub(crate) snapshot: Option<Snapshot>,
    pub(crate) end: Option<End>,
}

/// A node of which can be told whether what it wants done is allowed by what is durable.
pub(crate) trait Checked: Node<Reply: Clone + fmt::Debug> + Clone + fmt::Debug {
    /// Panics if a message or a reply goes beyond what is in the journal, before what `ready` writes.
    fn check(ready: &Ready<Self::Reply>, journal: &Journal);
}

impl<N: Checked> Process<N> {
    pub(crate) fn new(node: N, journal: Journal) -> Self {
        Self {
            node,
            journal,
            disk: Disk::Prompt,
            born: Time::ZERO,
            due: None,
            reported: BTreeSet::new(),
            writing: None,
            reads_wait: false,
            reads: VecDeque::new(),
            sent: Vec::new(),
            replies: Vec::new(),
            events: Vec::new(),
            snapshot: None,
            end: None,
        }
    }

    pub(crate) fn step(&mut self, input: Input<N::Command>, now: Time) {
        let now = self.local(now);
        self.node.step(input, now);
        self.carry_out(now);
        if self.reported != self.journal.damaged {
            self.reported.clone_from(&self.journal.damaged);
            let damaged = self.reported.iter().copied().collect();
            self.node.step(Input::Damaged(damaged), now);
            self.carry_out(now);
        }
        self.due = self.node.deadline(now);
    }

    /// An entry cannot be read any more, and that is found.
    pub(crate) fn rot(&mut self, seq: u64, now: Time) {
        self.journal.damaged.insert(Seq(seq));
        self.tick(now);
    }

    /// That moment as the clock of the process shows it.
    pub(crate) fn local(&self, now: Time) -> Time {
        Time(now.since(self.born))
    }

    /// When it wants to be called, as it has said after its last call.
    pub(crate) fn deadline(&self) -> Option<Time> {
        Some(self.born + self.due?.0)
    }

    pub(crate) fn tick(&mut self, now: Time) {
        self.step(Input::Tick, now);
    }

    pub(crate) fn message(&mut self, message: Message, now: Time) {
        self.step(Input::Message(message), now);
    }

    pub(crate) fn link_up(&mut self, now: Time) {
        let max_payload = MAX_PAYLOAD;
        self.step(Input::Link(LinkState::Up { max_payload }), now);
    }

    pub(crate) fn link_down(&mut self, now: Time) {
        self.step(Input::Link(LinkState::Down), now);
    }

    /// Ends the write in flight; a write that is done is done in the journal.
    pub(crate) fn end_write(&mut self, result: WriteResult, now: Time) {
        let job = self.writing.take().expect("a write is in flight");
        let result = match result {
            WriteResult::Done { .. } => self.journal.write(job),
            other => other,
        };
        self.step(Input::Written(result), now);
    }

    /// Lets the write in flight succeed.
    pub(crate) fn write_done(&mut self, now: Time) {
        self.end_write(WriteResult::Done { rolled_back: None }, now);
    }

    /// Answers the next read that waits with what the journal holds now.
    pub(crate) fn read(&mut self, now: Time) {
        let read = self.reads.pop_front().expect("a read waits");
        let page = self.page(read);
        self.step(Input::Page(page), now);
    }

    fn page(&self, Read { purpose, query }: Read) -> Page {
        let entries = self.journal.read(&query);
        Page { purpose, entries }
    }

    /// Lets the clock go on from deadline to deadline, with nothing heard, up to `end`.
    pub(crate) fn idle(&mut self, mut now: Time, end: Time) {
        while self.end.is_none()
            && let Some(next) = self.deadline().filter(|next| *next <= end)
        {
            now = next.max(now);
            self.tick(now);
            let is_overdue = self.deadline().is_some_and(|next| next <= now);
            assert!(!is_overdue || self.end.is_some(), "it is never done");
        }
    }

    /// What was sent since the last call.
    pub(crate) fn take_sent(&mut self) -> Vec<Outbound> {
        std::mem::take(&mut self.sent)
    }

    fn carry_out(&mut self, now: Time) {
        for _ in 0..1000 {
            let ready = self.node.ready(now);
            if ready.is_empty() {
                return;
            }
            let is_end = ready.end.is_some();
            N::check(&ready, &self.journal);
            self.sent.extend(ready.messages);
            self.replies.extend(ready.replies);
            self.events.extend(ready.events);
            self.snapshot = ready.snapshot.or(self.snapshot.take());
            self.end = self.end.take().or(ready.end);
            if let Some(job) = ready.write {
                assert_eq!(self.writing, None, "at most one write is in flight");
                let result = match self.disk {
                    Disk::Prompt => Some(self.journal.write(job)),
                    Disk::Full => Some(WriteResult::DiskFull),
                    Disk::Slow => {
                        self.writing = Some(job);
                        None
                    }
                };
                if let Some(result) = result {
                    self.node.step(Input::Written(result), now);
                }
            }
            if is_end {
                return; // nothing follows
            }
            for read in ready.reads {
                match self.reads_wait {
                    true => self.reads.push_back(read),
                    false => {
                        let page = self.page(read);
                        self.node.step(Input::Page(page), now);
                    }
                }
            }
        }
        panic!("it always wants something done");
    }
}

impl Checked for Follower<Client> {
    fn check(ready: &Ready<follower::Reply<Client>>, journal: &Journal) {
        for Outbound { message, .. } in &ready.messages {
            match message {
                Message::Ack(ack) | Message::Promise(Promise { position: ack }) => {
                    check_ack(ack, journal);
                }
                Message::FetchResponse(FetchResponse {
                    position,
                    prev,
                    entries,
                }) => {
                    check_ack(position, journal);
                    assert_eq!(journal.position(prev.seq), Some(*prev));
                    assert!(entries.iter().all(|batch| journal.holds(batch)));
                }
                Message::Claim(_) => {}
                other => panic!("a secondary does not say this: {other:?}"),
            }
        }
        check_snapshot(ready.snapshot.clone(), journal);
    }
}

/// Whoever ended now would come back with all that the ACK says.
fn check_ack(ack: &Ack, journal: &Journal) {
    let stored = &journal.hard_state;
    assert_eq!((ack.log_id, ack.epoch), (stored.log_id, stored.epoch));
    assert_eq!(journal.position(ack.last.seq), Some(ack.last));
    assert!(ack.upto <= ack.last.seq, "{ack:?}");
}

impl Checked for Leader<Client> {
    fn check(ready: &Ready<leader::command::Reply<Client>>, journal: &Journal) {
        let stored = &journal.hard_state;
        for Outbound { message, .. } in &ready.messages {
            match message {
                Message::Append(append) => {
                    let leader = append.leader;
                    assert_eq!(
                        (Some(leader.log_id), leader.epoch),
                        (stored.log_id, stored.epoch),
                        "nobody follows an epoch that is not durable"
                    );
                    // Entries may leave while they are written; what is said of the log may not.
                    if append.prev.seq <= journal.last() {
                        assert_eq!(journal.position(append.prev.seq), Some(append.prev));
                    }
                    assert!(append.tail <= journal.last().max(append.last()));
                    assert_eq!(append.committed, append.committed.up_to(journal.last()));
                    let is_so = |b: &EntryBatch| journal.holds(b) || b.first() > journal.last();
                    assert!(append.entries.iter().all(is_so));
                }
                Message::Announcement(announcement) if announcement.is_serving() => {
                    assert_eq!(Some(announcement.leader.log_id), stored.log_id);
                    assert_eq!(announcement.leader.epoch, stored.epoch);
                }
                Message::Announcement(_) | Message::Prepare(_) | Message::Fetch(_) => {}
                other => panic!("a master does not say this: {other:?}"),
            }
        }
        for reply in &ready.replies {
            match &reply.answer {
                Answer::Replicated { appended, acks } => {
                    assert!(*acks >= appended.w);
                    assert_eq!(stored.log_id, Some(appended.log_id));
                    assert!(
                        appended.last <= journal.last(),
                        "it is on the master's disk"
                    );
                }
                Answer::NotReplicated { appended, acks, .. } => {
                    assert!(*acks < appended.w);
                    assert_eq!(stored.log_id, Some(appended.log_id));
                    assert!(appended.last <= journal.last(), "it is in the log");
                }
                Answer::Cleared(leader) => {
                    assert_eq!(stored.log_id, Some(leader.log_id));
                    assert_eq!(stored.epoch, leader.epoch);
                }
                Answer::ClearedMeanwhile(appended) => {
                    assert_ne!(stored.log_id, Some(appended.log_id));
                }
                Answer::NotKnown { .. }
                | Answer::Refused(_)
                | Answer::Removed { .. }
                | Answer::Verified(_)
                | Answer::NotRemoved(_) => {}
            }
        }
        check_snapshot(ready.snapshot.clone(), journal);
    }
}

fn check_snapshot(snapshot: Option<Snapshot>, journal: &Journal) {
    let last = snapshot.map_or(journal.last(), |s| s.last);
    assert!(last <= journal.last(), "what is shown is durable");
}
