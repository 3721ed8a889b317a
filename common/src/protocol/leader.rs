//! The master as a value: gives positions, knows who holds what, answers those who wait.
//!
//! One owner decides everything, so there are no two steps between "position given" and "appended", and no wake-up to
//! lose. The shell around it hands in messages and the time, stores what it is told to, and sends what
//! [`Leader::poll_transmit`] says.

mod placing;
mod recovering;
mod replicating;

use std::collections::{BTreeSet, VecDeque};

use crate::entry::{Entry, Position};
use crate::message::{Life, MAX_REPLACED};
use crate::protocol::commit::Commit;
use crate::protocol::dedup::{Dedup, DeduplicateBy};
use crate::protocol::epochs::Epochs;
use crate::protocol::event::Event;
use crate::protocol::health::Status;
use crate::protocol::members::Members;
use crate::protocol::outcome::{Answer, Outcome, Placement, ReadOnly};
use crate::protocol::recovery::{Recovery, RecoverySettings};
use crate::protocol::settings::Replication;
use crate::types::{Epoch, LogId, NodeId, Seq, Time};

/// The master. `W` is through whom a waiting client is answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Leader<W> {
    life: Life,
    /// Histories that this one replaced, and the life that cleared each away, the newest last.
    replaced: Vec<Life>,
    epochs: Epochs,
    /// Everything up to here is stored; only that is sent.
    stored: Seq,
    /// Given a position, not yet stored.
    staged: Vec<Entry>,
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
    restart: bool,
    /// It was stopped until then, and no round of heartbeats is through since.
    paused_until: Option<Time>,
    fenced: bool,
    stopping: bool,
    /// Fewer than a majority lives, and that was told.
    told_no_quorum: bool,
    link_down_since: Option<Time>,
    last_called: Time,
    answers: VecDeque<Answer<W>>,
    events: VecDeque<Event>,
}

/// What a leader is started with.
#[derive(Clone, Debug)]
pub struct LeaderConfig {
    /// The history and the life in it. With a recovery, only what is taken if nobody has any history; the epoch is found.
    pub life: Life,
    /// How it asks for what the others hold, before it serves; `None` serves at once.
    pub recovery: Option<RecoverySettings>,
    /// The listed members; `None` takes whoever joins.
    pub listed: Option<Vec<NodeId>>,
    /// The rule of deduplication.
    pub deduplicate_by: DeduplicateBy,
    /// Whether appends are refused while fewer than a majority lives.
    pub read_only_without_quorum: bool,
    /// The settings of replication.
    pub replication: Replication,
}

impl<W> Leader<W> {
    /// A master with an empty log and a link that is down.
    #[must_use]
    pub fn new(config: LeaderConfig) -> Self {
        let listed = config.listed.clone().map(BTreeSet::from_iter);
        let recovery = config.recovery.clone();
        let epoch = match recovery {
            Some(_) => Epoch(0),
            None => config.life.epoch,
        };
        Self {
            life: Life {
                epoch,
                ..config.life
            },
            recovery: recovery.map(|r| Recovery::new(r, config.life.instance, listed)),
            recovery_settings: config.recovery,
            not_heard: Vec::new(),
            beaten_by: None,
            restart: false,
            paused_until: None,
            replaced: Vec::new(),
            epochs: Epochs::default(),
            stored: Seq::ZERO,
            staged: Vec::new(),
            urgent: Seq::ZERO,
            linger_until: None,
            dedup: Dedup::new(config.deduplicate_by),
            commit: Commit::default(),
            members: Members::new(config.listed, &config.replication),
            settings: config.replication,
            read_only_without_quorum: config.read_only_without_quorum,
            fenced: false,
            stopping: false,
            told_no_quorum: false,
            link_down_since: Some(Time::ZERO),
            last_called: Time::ZERO,
            answers: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// What is to be stored next, in one go. [`Leader::stored`] says that it is.
    #[must_use]
    pub fn take_staged(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.staged)
    }

    /// Everything up to `last` is stored: the master holds it, and it may be sent.
    pub fn stored(&mut self, last: Seq) {
        self.stored = self.stored.max(last);
        self.commit.set_master(self.stored);
        self.answer_met();
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
        if let Some(reason) = self.read_only(now).filter(|r| *r != ReadOnly::NoQuorum) {
            return Err(reason);
        }
        self.send_away(|_| Outcome::Cleared);
        self.replaced.push(self.life);
        if self.replaced.len() > MAX_REPLACED {
            self.replaced.remove(0);
        }
        self.life = Life {
            log_id,
            epoch: self.life.epoch.next(),
            ..self.life
        };
        self.epochs = Epochs::default();
        self.staged.clear();
        self.stored = Seq::ZERO;
        self.urgent = Seq::ZERO;
        self.linger_until = None;
        self.dedup.clear();
        self.commit = Commit::default();
        self.members.each(super::replicator::Replicator::begin_anew);
        Ok(())
    }

    /// Why appends are refused, if they are.
    #[must_use]
    pub fn read_only(&self, now: Time) -> Option<ReadOnly> {
        if self.stopping {
            Some(ReadOnly::Stopping)
        } else if self.fenced {
            Some(ReadOnly::Fenced)
        } else if self.recovery.is_some() || self.paused_until.is_some() {
            Some(ReadOnly::Recovering)
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
