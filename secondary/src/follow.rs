//! The one task that owns the log: it waits, the [`Follower`] decides.
//!
//! It takes everything that has come, stores the contiguous run once, and answers with one ACK.

mod asked;
mod hearing;
mod mending;
mod saying;
mod storing;

use futures_util::FutureExt;
use replog_common::entry::Entry;
use replog_common::log::StoreError;
use replog_common::message::Append;
use replog_common::protocol::backoff::Backoff;
use replog_common::protocol::follower::{Change, Follower, Received};
use replog_common::service::clock::Clock;
use replog_common::service::damage::Damage;
use replog_common::service::exit::Exit;
use replog_common::service::program::Failure;
use replog_common::service::storage::Storage;
use replog_common::service::view::View;
use replog_common::types::{Incarnation, NodeId, Seq, Time};
use replog_nats::Link;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, error, trace, warn};

use crate::aside::Aside;
use crate::claim::Claiming;
use crate::delayed::Delayed;
use crate::faults::{Dice, Faults};
use crate::health::Health;
use crate::store::Store;

/// Messages taken at one time, at most.
const MAX_TAKEN: usize = 256;
/// With no word from a master, a hello is sent at least that often.
const MAX_HELLO_WAIT: std::time::Duration = std::time::Duration::from_secs(5);

/// What HTTP asks of the owner of the log.
#[derive(Debug)]
pub enum Query {
    /// How everything is.
    Health(oneshot::Sender<Health>),
    /// Forget everything; the master fills it again.
    Clear(oneshot::Sender<Result<(), NoRoom>>),
    /// What was put aside.
    Aside(oneshot::Sender<Aside>),
    /// Put everything aside and follow the master of another history: how many entries that is, or `None` if there is no
    /// such master.
    Rejoin(oneshot::Sender<Option<Result<u64, NoRoom>>>),
}

/// The disk is full: nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

/// The owner of the log.
#[derive(Debug)]
pub struct Follow<L> {
    follower: Follower,
    store: Store,
    link: L,
    clock: Clock,
    claiming: Claiming,
    delayed: Delayed,
    aside: Aside,
    /// Still to be done to the store: there was no room.
    pending: Option<Change>,
    damage: Damage,
    faults: watch::Receiver<Faults>,
    dice: Dice,
    queries: mpsc::Receiver<Query>,
    views: watch::Sender<View>,
    broker_up: bool,
    max_payload: usize,
    master_seen: Option<Time>,
    hello_at: Option<Time>,
    hello_backoff: Backoff,
}

/// One run of deliveries: what it has to be answered with.
#[derive(Default)]
struct Run {
    answers: Option<Seq>,
    has_entries: bool,
    /// Somebody wants its name.
    is_claimed: bool,
}

impl<L: Link> Follow<L> {
    /// The owner of that log.
    pub fn new(
        node: NodeId,
        heartbeat_interval: std::time::Duration,
        storage: Storage,
        link: L,
        faults: watch::Receiver<Faults>,
        queries: mpsc::Receiver<Query>,
        views: watch::Sender<View>,
    ) -> Self {
        let standing = storage.standing.clone();
        let follower = match standing {
            None => Follower::new(node.clone(), new_incarnation()),
            Some(s) => Follower::on_disk(node.clone(), new_incarnation(), s, storage.last()),
        };
        let incarnation = follower.incarnation();
        let seed = incarnation.0.as_u64_pair().1;
        let first_hello = (heartbeat_interval * 3).min(MAX_HELLO_WAIT);
        Self {
            follower,
            store: Store::new(storage),
            link,
            clock: Clock::start(),
            claiming: Claiming::new(node, incarnation),
            delayed: Delayed::default(),
            aside: Aside::default(),
            pending: None,
            damage: Damage::default(),
            faults,
            dice: Dice::new(seed),
            queries,
            views,
            broker_up: false,
            max_payload: 0,
            master_seen: None,
            hello_at: None,
            hello_backoff: Backoff::new(first_hello, MAX_HELLO_WAIT, seed),
        }
    }

    /// The same with a chance that follows from `seed`, for runs that can be played again.
    #[must_use]
    pub fn seeded(mut self, seed: u64) -> Self {
        self.dice = Dice::new(seed);
        self.hello_backoff = self.hello_backoff.seeded(seed);
        self
    }

    /// Runs until nobody can ask it anything more.
    ///
    /// # Errors
    /// The broker refuses this program, another secondary has its name, or the log cannot be written.
    pub async fn run(mut self) -> Result<(), Failure> {
        self.show(); // what is on its disk, before a master has spoken
        loop {
            let deadlines = [
                self.delayed.deadline(self.faults.borrow().delay),
                self.claiming.deadline(),
                self.hello_at,
            ];
            let deadline = deadlines.into_iter().flatten().min();
            let mut run = Run::default();
            tokio::select! {
                biased;
                query = self.queries.recv() => match query {
                    Some(query) => self.query(query).await?,
                    None => return Ok(()),
                },
                event = self.link.next() => self.link_event(event, &mut run).await?,
                Ok(()) = self.faults.changed() => {}
                () = self.clock.sleep_until(deadline) => {}
            }
            for _ in 0..MAX_TAKEN {
                let Some(event) = self.link.next().now_or_never() else {
                    break;
                };
                self.link_event(event, &mut run).await?;
            }
            let (now, delay) = (self.clock.now(), self.faults.borrow_and_update().delay);
            while let Some(append) = self.delayed.pop(now, delay) {
                self.receive(append, &mut run).await?;
            }
            self.look_for_damage()?;
            self.finish(&run).await?;
            if self.claiming.tick(now) {
                self.hello();
            }
            if self.hello_at.is_some_and(|at| at <= now) {
                self.hello();
            }
        }
    }

    async fn receive(
        &mut self,
        mut append: Append<Vec<Entry>>,
        run: &mut Run,
    ) -> Result<(), Failure> {
        if !self.settle().await? {
            return Ok(()); // it comes again
        }
        let (first, last) = (
            append.prev.seq.next(),
            Seq(append.prev.seq.0 + append.entries.len() as u64),
        );
        let drop_rate = self.faults.borrow().drop_rate;
        let has_entries = !append.entries.is_empty();
        run.has_entries |= has_entries;
        run.answers = Some(last);
        append.entries.retain(|entry| {
            let lost = self.dice.hit(drop_rate);
            if lost {
                debug!(seq = %entry.seq, "lost on purpose (drop-rate)");
            }
            !lost
        });
        let (log_id, by) = (append.life.log_id, append.by);
        let is_damaged = |entry: &&Entry| self.damage.has(entry.seq);
        let damaged: Vec<Entry> = append.entries.iter().filter(is_damaged).cloned().collect();
        let (before, epoch) = (self.follower.foreign(), self.follower.epoch());
        match self.follower.receive(append) {
            Received::Followed {
                duplicates,
                dropped,
            } if has_entries => {
                debug!(%first, %last, duplicates, dropped, "received");
            }
            Received::Followed { .. } => trace!(prev = %last, "heartbeat"),
            Received::Cleared => {}
            Received::OtherHistory if before.is_none() => {
                let mine = self.follower.log_id().map(tracing::field::display);
                warn!(mine, theirs = %log_id, "the master has another history: what is here is kept and counts for nothing");
            }
            Received::OtherHistory => {}
            Received::OtherMaster => debug!(%log_id, "a master that was overtaken"),
        }
        self.change().await?;
        if (before, epoch) != (self.follower.foreign(), self.follower.epoch()) {
            self.show();
        }
        match self.pending {
            None => self.mend(damaged, by).await,
            Some(_) => Ok(()),
        }
    }
}

fn failed(error: &StoreError) -> Failure {
    error!(%error, "the log can be used no more");
    Failure {
        exit: Exit::DiskFailed,
        why: error.to_string(),
    }
}

fn new_incarnation() -> Incarnation {
    Incarnation(uuid::Uuid::now_v7())
}
