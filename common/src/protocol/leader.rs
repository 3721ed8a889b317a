//! The master as a value: gives positions, knows who holds what, answers those who wait.
//!
//! One owner decides everything, so there are no two steps between "position given" and "appended", and no wake-up to
//! lose. The shell around it hands in messages and the time, stores what it is told to, and sends what
//! [`Leader::poll_transmit`] says.

mod config;
mod mending;
mod placing;
mod recovering;
mod replicating;
mod staged;
mod storing;

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use crate::entry::Position;
use crate::log::Standing;
use crate::message::{Life, MAX_REPLACED};
use crate::protocol::commit::{Commit, Wait};
use crate::protocol::dedup::Dedup;
use crate::protocol::epochs::Epochs;
use crate::protocol::event::Event;
use crate::protocol::health::Status;
use crate::protocol::members::Members;
use crate::protocol::outcome::{Answer, Outcome, Placement, ReadOnly};
use crate::protocol::recovery::{Own, Recovery, RecoverySettings};
use crate::protocol::settings::Replication;
use crate::types::{LogId, NodeId, Seq, Time};

use staged::Staged;

pub use config::{FencedBy, LeaderConfig, OnDisk};

/// The master. `W` is through whom a waiting client is answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Leader<W> {
    life: Life,
    /// Histories that this one replaced, and the life that cleared each away, the newest last.
    replaced: Vec<Life>,
    epochs: Epochs,
    /// Everything up to here is stored; only that is sent.
    stored: Seq,
    staged: Staged,
    /// What was stored behind this is to be taken out.
    cut: Option<Seq>,
    /// No room on the disk: until then no appends.
    full_until: Option<Time>,
    failed: bool,
    /// Clients that are to be told of an entry that is not stored yet.
    undecided: VecDeque<Undecided<W>>,
    /// Somebody waits for what lies up to here: it is sent at once.
    urgent: Seq,
    /// When the rest is sent.
    linger_until: Option<Time>,
    dedup: Dedup,
    commit: Commit<(Placement, W)>,
    members: Members,
    settings: Replication,
    read_only_without_quorum: bool,
    /// Set until it serves.
    recovery: Option<Recovery>,
    recovery_settings: Option<RecoverySettings>,
    not_heard: Vec<NodeId>,
    beaten_by: Option<Life>,
    /// It was stopped until then, and no round of heartbeats is through since.
    paused_until: Option<Time>,
    fenced: Option<FencedBy>,
    stopping: bool,
    /// Fewer than a majority lives, and that was told.
    told_no_quorum: bool,
    link_down_since: Option<Time>,
    last_called: Time,
    answers: VecDeque<Answer<W>>,
    events: VecDeque<Event>,
}

/// How many of the newest messages of a log on a disk are known in memory, and up to as many more.
const KEEP_MESSAGES: usize = 65_536;
/// How long no appends are taken after the disk was full.
const FULL_PAUSE: Duration = Duration::from_secs(1);

type Undecided<W> = (Wait<(Placement, W)>, fn(u32) -> Outcome);

impl<W> Leader<W> {
    /// A master with an empty log in memory and a link that is down.
    #[must_use]
    pub fn new(config: LeaderConfig) -> Self {
        let dedup = Dedup::new(config.deduplicate_by, None);
        Self::with(config, Standing::default(), Seq::ZERO, dedup)
    }

    /// One whose log is on a disk.
    #[must_use]
    pub fn on_disk(config: LeaderConfig, disk: OnDisk) -> Self {
        let dedup = Dedup::new(config.deduplicate_by, Some(KEEP_MESSAGES)).after(disk.last);
        Self::with(config, disk.standing, disk.last, dedup)
    }

    fn with(config: LeaderConfig, standing: Standing, stored: Seq, dedup: Dedup) -> Self {
        let listed = config.listed.clone().map(BTreeSet::from_iter);
        let epoch = match config.recovery {
            Some(_) => standing.epoch,
            None => config.life.epoch,
        };
        let (log_id, instance) = (standing.log_id, config.life.instance);
        let own = log_id.map(|log_id| Own {
            log_id,
            epoch,
            replaced: standing.replaced.clone(),
            is_partial: standing.is_partial,
        });
        let mut commit = Commit::default();
        commit.set_master(stored);
        Self {
            life: Life {
                epoch,
                log_id: log_id.unwrap_or(config.life.log_id),
                instance,
            },
            recovery: (config.recovery.clone()).map(|r| Recovery::new(r, instance, listed, own)),
            recovery_settings: config.recovery,
            not_heard: Vec::new(),
            beaten_by: None,
            paused_until: None,
            replaced: standing.replaced,
            epochs: Epochs::from_runs(standing.lives, stored),
            stored,
            staged: Staged::default(),
            cut: None,
            full_until: None,
            failed: false,
            undecided: VecDeque::new(),
            urgent: Seq::ZERO,
            linger_until: None,
            dedup,
            commit,
            members: Members::new(config.listed, &config.replication),
            settings: config.replication,
            read_only_without_quorum: config.read_only_without_quorum,
            fenced: None,
            stopping: false,
            told_no_quorum: false,
            link_down_since: Some(Time::ZERO),
            last_called: Time::ZERO,
            answers: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// The next thing an operator looks for.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Begins a new, empty history that names this one as replaced. Whoever waits is told.
    ///
    /// # Errors
    /// It is not known whether this still is the master of this history, or known that it is not.
    pub fn clear(&mut self, log_id: LogId, now: Time) -> Result<(), ReadOnly> {
        self.notice_own_pause(now);
        if let Some(reason) = self
            .read_only(now)
            .filter(|r| !matches!(r, ReadOnly::NoQuorum | ReadOnly::DiskFull))
        {
            return Err(reason);
        }
        self.answer_met();
        self.tell_waiting(Seq::ZERO, Outcome::Cleared);
        self.replaced.push(self.life);
        if self.replaced.len() > MAX_REPLACED {
            self.replaced.remove(0);
        }
        self.life = Life {
            log_id,
            epoch: self.life.epoch.next(),
            ..self.life
        };
        self.forget_behind(Seq::ZERO);
        self.cut = None;
        self.urgent = Seq::ZERO;
        self.linger_until = None;
        self.commit = Commit::default();
        self.members.each(super::replicator::Replicator::begin_anew);
        Ok(())
    }

    /// Why appends are refused, if they are.
    #[must_use]
    pub fn read_only(&self, now: Time) -> Option<ReadOnly> {
        if self.stopping {
            Some(ReadOnly::Stopping)
        } else if self.failed {
            Some(ReadOnly::DiskFailed)
        } else if self.fenced.is_some() {
            Some(ReadOnly::Fenced)
        } else if self.recovery.is_some() || self.paused_until.is_some() {
            Some(ReadOnly::Recovering)
        } else if self.full_until.is_some_and(|until| now < until) {
            Some(ReadOnly::DiskFull)
        } else if self.read_only_without_quorum && !self.has_quorum(now) {
            Some(ReadOnly::NoQuorum)
        } else {
            None
        }
    }

    /// Whether a majority of all members, the master included, lives and was heard since the master's last pause.
    #[must_use]
    pub fn has_quorum(&self, now: Time) -> bool {
        self.link_down_since.is_none() && self.members.alive(now) >= self.members.majority()
            || self.members.majority() == 1
    }

    /// By whom it was overtaken, if it was.
    #[must_use]
    pub fn fenced_by(&self) -> Option<&FencedBy> {
        self.fenced.as_ref()
    }

    /// Its history and life.
    #[must_use]
    pub fn life(&self) -> &Life {
        &self.life
    }

    /// The histories that its own has replaced, and the life that cleared each away.
    #[must_use]
    pub fn replaced(&self) -> &[Life] {
        &self.replaced
    }

    /// The end of its stored log.
    #[must_use]
    pub fn last(&self) -> Position {
        self.epochs.at(self.stored).unwrap_or_default()
    }

    /// The secondaries.
    #[must_use]
    pub fn members(&self) -> &Members {
        &self.members
    }

    /// Who holds what.
    #[must_use]
    pub fn commit(&self) -> &Commit<(Placement, W)> {
        &self.commit
    }

    /// The status of a node; for health and tests.
    #[must_use]
    pub fn status(&self, node: &NodeId, now: Time) -> Status {
        self.members
            .get(node)
            .map_or(Status::Unknown, |r| r.status(now))
    }
}
