//! The one task that owns the log: it waits, the [`Leader`] decides.
//!
//! Woken by a command, a message, the link or a deadline, it takes everything else that is there as well, stores what
//! was placed in one go, sends what the leader says, and answers whoever can be answered.

mod asked;
mod hearing;
mod mending;
mod on_disk;
mod parked;
mod reading;
mod sending;
mod storing;
mod telling;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use futures_util::FutureExt;
use replog_common::log::{LogStore, StoreError};
use replog_common::message::Life;
use replog_common::protocol::leader::Leader;
use replog_common::protocol::outcome::{Answer, ReadOnly, Refusal};
use replog_common::service::clock::Clock;
use replog_common::service::program::Failure;
use replog_common::service::storage::{ShownStorage, Storage};
use replog_common::service::view::View;
use replog_common::types::WriteConcern;
use replog_nats::{Link, LinkEvent};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::command::{AppendCommand, Query, Waiter};

use mending::Mending;
use on_disk::{Done, OnDisk};
use parked::Parked;
use reading::Piece;

/// Commands and messages taken at one time, at most: a batch, and nobody else waits long.
const MAX_TAKEN: usize = 1024;

/// The owner of the log.
#[derive(Debug)]
pub struct Sequencer<L> {
    leader: Leader<Waiter>,
    store: Arc<dyn LogStore>,
    link: L,
    clock: Clock,
    commands: mpsc::Receiver<AppendCommand>,
    queries: mpsc::Receiver<Query>,
    views: watch::Sender<View>,
    max_payload: Arc<AtomicUsize>,
    default_w: WriteConcern,
    broker_up: bool,
    parked: Parked,
    asked_before: bool,
    disk: Option<OnDisk>,
    /// To be told once the clearing is on the disk.
    held: Vec<Answer<Waiter>>,
    reads: JoinSet<Piece>,
    mending: Mending,
    storage: ShownStorage,
}

/// What woke the task.
enum Woken {
    Command(AppendCommand),
    Query(Query),
    Link(LinkEvent),
    Written(Done),
    Read(Piece),
    Mended(Result<(), StoreError>),
    Deadline,
    Abandoned,
}

/// The ends of its channels that [`Sequencer::new`] is given.
#[derive(Debug)]
pub struct Inlets {
    /// Appends.
    pub commands: mpsc::Receiver<AppendCommand>,
    /// Everything else.
    pub queries: mpsc::Receiver<Query>,
    /// Where the log is shown.
    pub views: watch::Sender<View>,
    /// The largest message that the broker takes, as far as is known.
    pub max_payload: Arc<AtomicUsize>,
}

impl<L: Link> Sequencer<L> {
    /// The owner of that log.
    pub fn new(
        leader: Leader<Waiter>,
        storage: Storage,
        link: L,
        inlets: Inlets,
        default_w: WriteConcern,
    ) -> Self {
        let disk = storage.dir.zip(storage.standing);
        let mut new = Self {
            leader,
            store: storage.log,
            disk: disk.map(|(dir, standing)| OnDisk::new(dir, standing)),
            held: Vec::new(),
            reads: JoinSet::new(),
            mending: Mending::default(),
            storage: storage.shown,
            link,
            clock: Clock::start(),
            commands: inlets.commands,
            queries: inlets.queries,
            views: inlets.views,
            max_payload: inlets.max_payload,
            default_w,
            broker_up: false,
            parked: Parked::default(),
            asked_before: false,
        };
        new.show();
        new
    }

    /// Runs until nobody can ask it anything more.
    ///
    /// # Errors
    /// The broker refuses this program, or the log cannot be written.
    pub async fn run(mut self) -> Result<(), Failure> {
        loop {
            let deadlines = [
                self.leader.deadline(self.clock.now()),
                self.parked.deadline(),
                self.disk.as_ref().and_then(OnDisk::deadline),
            ];
            let deadline = deadlines.into_iter().flatten().min();
            let woken = tokio::select! {
                biased;
                Some(query) = self.queries.recv() => Woken::Query(query),
                event = self.link.next() => Woken::Link(event),
                // Before the next client, or those that ask again and again would keep it waiting.
                done = OnDisk::done(&mut self.disk) => Woken::Written(done),
                command = self.commands.recv() => command.map_or(Woken::Abandoned, Woken::Command),
                Some(Ok(piece)) = self.reads.join_next() => Woken::Read(piece),
                Some(Ok(mended)) = self.mending.jobs.join_next() => Woken::Mended(mended),
                () = self.clock.sleep_until(deadline) => Woken::Deadline,
            };
            if matches!(woken, Woken::Abandoned) {
                return Ok(());
            }
            let is_append = matches!(woken, Woken::Command(_));
            self.apply(woken)?;
            if is_append {
                // Others that are about to ask get into the same batch.
                tokio::task::yield_now().await;
            }
            self.take_the_rest()?;
            self.store()?;
            self.tick()?;
            self.fetch();
            self.mend()?;
            self.transmit();
            self.answer();
            self.tell();
        }
    }

    fn apply(&mut self, woken: Woken) -> Result<(), Failure> {
        match woken {
            Woken::Command(command) => self.append(command),
            Woken::Query(query) => self.query(query),
            Woken::Link(event) => return self.link_event(event),
            Woken::Written(done) => return self.written(done),
            Woken::Read(piece) => self.have_read(piece),
            Woken::Mended(result) => return self.mended(result),
            Woken::Deadline | Woken::Abandoned => {}
        }
        Ok(())
    }

    fn take_the_rest(&mut self) -> Result<(), Failure> {
        for _ in 0..MAX_TAKEN {
            let Ok(command) = self.commands.try_recv() else {
                break;
            };
            self.append(command);
            if self.leader.is_full() {
                break; // first it is stored
            }
        }
        for _ in 0..MAX_TAKEN {
            let Some(event) = self.link.next().now_or_never() else {
                break;
            };
            self.link_event(event)?;
        }
        Ok(())
    }

    /// Lets time pass; what it has brought about is stored and shown.
    fn tick(&mut self) -> Result<(), Failure> {
        let now = self.clock.now();
        self.leader.tick(now);
        if let Some(other) = self.leader.beaten_by() {
            let Life {
                epoch, instance, ..
            } = other;
            return Err(Failure::cannot_start(format!(
                "another master of this cluster lives (instance {instance}, epoch {epoch}): stop it, or start with --takeover"
            )));
        }
        if self.views.borrow().is_ready != self.leader.is_readable() {
            self.show();
        }
        while let Some(late) = self.parked.pop_late(now) {
            let recovering = Refusal::ReadOnly(ReadOnly::Recovering);
            late.waiter.send(Err(recovering)).ok();
        }
        if !self.parked.is_empty() && self.leader.read_only(now) != Some(ReadOnly::Recovering) {
            for (_, command) in self.parked.take() {
                self.append(command);
                if self.leader.is_full() {
                    self.store()?;
                }
            }
            self.store()?;
        }
        Ok(())
    }
}
