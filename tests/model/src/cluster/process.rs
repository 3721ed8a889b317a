//! One running node: the real one, with its journal and its clock, driven as the program drives it.

use std::time::Duration;

use replog_protocol::event::Event;
use replog_protocol::ids::{Seq, Time};
use replog_protocol::node::{
    End, Input, LinkState, Node, Outbound, Page, Read, Ready, Snapshot, WriteResult,
};

use crate::cluster::journal::{Applied, SimJournal, WriteEnd};
use crate::cluster::moments::MARK;

/// So many times a node may have something more to do after one input; beyond it there is no end to it.
const MAX_TURNS: usize = 1_000;

/// What a journal does at once; the rest ends when somebody says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Writes.
    pub writes: bool,
    /// Reads.
    pub reads: bool,
}

/// A node that runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Process<N> {
    /// The node.
    pub node: N,
    /// What its clock shows.
    pub now: Time,
    /// Its link to the broker is there.
    pub is_linked: bool,
    /// What was to be read and is not yet.
    pub reads: Vec<Read>,
    /// The damaged entries that the node was told of.
    damage: Vec<Seq>,
}

/// What a node has done.
#[derive(Debug)]
pub struct Done<R> {
    /// What left.
    pub messages: Vec<Outbound>,
    /// What clients were told.
    pub replies: Vec<R>,
    /// What operators were told.
    pub events: Vec<Event>,
    /// What readers see from now on.
    pub snapshot: Option<Snapshot>,
    /// What was written.
    pub applied: Vec<Applied>,
    /// The node has come to its end.
    pub end: Option<End>,
    /// It did what no node may do.
    pub bug: Option<String>,
}

impl<R> Default for Done<R> {
    fn default() -> Self {
        Self {
            messages: Vec::new(),
            replies: Vec::new(),
            events: Vec::new(),
            snapshot: None,
            applied: Vec::new(),
            end: None,
            bug: None,
        }
    }
}

impl<N: Node> Process<N> {
    /// A node that has just started.
    #[must_use]
    pub fn new(node: N) -> Self {
        Self {
            node,
            now: Time(MARK),
            is_linked: false,
            reads: Vec::new(),
            damage: Vec::new(),
        }
    }

    /// Time passes.
    pub fn let_pass(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    /// Something happens; then the node does all that is to be done.
    pub fn step(
        &mut self,
        journal: &mut SimJournal,
        pace: Pace,
        input: Input<N::Command>,
    ) -> Done<N::Reply> {
        let mut done = Done::default();
        if let Input::Link(state) = &input {
            self.is_linked = matches!(state, LinkState::Up { .. });
        }
        self.node.step(input, self.now);
        self.go_on(journal, pace, &mut done);
        done
    }

    /// The write in flight ends.
    pub fn finish_write(
        &mut self,
        journal: &mut SimJournal,
        pace: Pace,
        end: WriteEnd,
    ) -> Done<N::Reply> {
        let mut done = Done::default();
        self.end_write(journal, end, &mut done);
        self.go_on(journal, pace, &mut done);
        done
    }

    /// The chunk in flight was refused: another master's is in its place.
    pub fn refuse_chunk(&mut self, journal: &mut SimJournal, pace: Pace) -> Done<N::Reply> {
        journal.drop_write();
        self.step(journal, pace, Input::Written(WriteResult::Conflict))
    }

    /// The `i`-th read ends.
    pub fn finish_read(
        &mut self,
        journal: &mut SimJournal,
        pace: Pace,
        i: usize,
    ) -> Done<N::Reply> {
        let mut done = Done::default();
        let read = self.reads.remove(i);
        self.read(journal, read);
        self.go_on(journal, pace, &mut done);
        done
    }

    /// The journal is asked which entries are damaged.
    pub fn look_for_damage(&mut self, journal: &SimJournal) {
        let damaged: Vec<Seq> = journal.damaged().iter().copied().collect();
        if damaged != self.damage {
            self.damage.clone_from(&damaged);
            self.node.step(Input::Damaged(damaged), self.now);
        }
    }

    fn go_on(&mut self, journal: &mut SimJournal, pace: Pace, done: &mut Done<N::Reply>) {
        let mut last = String::new();
        for turn in 0..MAX_TURNS {
            if done.bug.is_some() || done.end.is_some() {
                return;
            }
            if self
                .node
                .deadline(self.now)
                .is_some_and(|at| at <= self.now)
            {
                self.node.step(Input::Tick, self.now);
            }
            let ready = self.node.ready(self.now);
            if ready.is_empty() {
                if self
                    .node
                    .deadline(self.now)
                    .is_some_and(|at| at <= self.now)
                {
                    done.bug = Some("it wants to be woken at once, for ever".to_owned());
                }
                return;
            }
            if turn + 1 == MAX_TURNS {
                last = format!(
                    "{:?} {:?} {:?} {:?}",
                    ready.write, ready.reads, ready.messages, ready.snapshot
                );
            }
            self.carry_out(journal, pace, ready, done);
        }
        done.bug = Some(format!("there is always something more to do: {last}"));
    }

    /// In the order of the fields.
    fn carry_out(
        &mut self,
        journal: &mut SimJournal,
        pace: Pace,
        ready: Ready<N::Reply>,
        done: &mut Done<N::Reply>,
    ) {
        if let Some(job) = ready.write {
            // What others write as well has no fate before it has reached them.
            let is_chunk = job.chunk.is_some();
            match journal.begin(job) {
                Ok(()) if pace.writes && !is_chunk => self.end_write(journal, WriteEnd::Done, done),
                Ok(()) => {}
                Err(bug) => done.bug = Some(bug),
            }
        }
        for read in ready.reads {
            match pace.reads {
                true => self.read(journal, read),
                false => self.reads.push(read),
            }
        }
        if !ready.messages.is_empty() && !self.is_linked {
            done.bug = Some(format!("sends without a link: {:?}", ready.messages));
        }
        done.messages.extend(ready.messages);
        done.replies.extend(ready.replies);
        done.snapshot = ready.snapshot.or(done.snapshot.take());
        done.events.extend(ready.events);
        done.end = ready.end;
    }

    fn end_write(&mut self, journal: &mut SimJournal, end: WriteEnd, done: &mut Done<N::Reply>) {
        match journal.finish(end) {
            Ok((result, applied)) => {
                done.applied.push(applied);
                self.node.step(Input::Written(result), self.now);
            }
            Err(bug) => done.bug = Some(bug),
        }
    }

    fn read(&mut self, journal: &SimJournal, read: Read) {
        let page = Page {
            entries: journal.read(&read.query),
            purpose: read.purpose,
        };
        self.node.step(Input::Page(page), self.now);
        self.look_for_damage(journal);
    }
}
