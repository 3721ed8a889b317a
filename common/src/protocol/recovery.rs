//! A master that starts with less than it had asks the secondaries first, and takes over the best history it finds.
//!
//! ```text
//!   Listening ── everybody was heard, or the time is up ──▶ Taking ── nothing is missing ──▶ serves
//!     asks all: what do you hold?                             asks the holders of the best history to promise that
//!     ◀── none of its holders lives any more ────             they follow nobody else, then fetches what it lacks
//! ```
//! The promise is what makes it safe beside a former master that still lives: an entry that a secondary acknowledges
//! to that one is acknowledged before the promise, and so is seen here; or it is not acknowledged any more. It is the
//! first phase of Paxos, asked of whoever answers instead of a majority.

mod choosing;
mod holders;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use crate::entry::Position;
use crate::message::{Ack, Fetch, Life};
use crate::types::{Epoch, Instance, LogId, NodeId, Seq, Time};

pub use words::{Found, Own, RecoverySettings, Take};

use holders::{Holders, has_more};

/// Histories of which it is remembered what they have replaced.
const MAX_HISTORIES: usize = 256;

/// A master that recovers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Recovery {
    settings: RecoverySettings,
    instance: Instance,
    listed: Option<BTreeSet<NodeId>>,
    /// Since when the broker is there.
    linked_since: Option<Time>,
    /// When everybody is asked (again).
    call_at: Time,
    /// Epochs up to here have been seen.
    epoch: Epoch,
    holders: Holders,
    /// What each history is said to have replaced.
    replaced: BTreeMap<LogId, Vec<Life>>,
    /// The life in which it is going to serve, once the history is chosen.
    life: Option<Life>,
    /// Since when nobody is known any more who holds the chosen history.
    alone_since: Option<Time>,
    /// Another master that lives.
    overtaken: Option<Instance>,
    /// Somebody who was asked has fallen silent.
    has_missed: bool,
    /// Somebody has held entries of the chosen history.
    has_entries: bool,
    /// What is on its own disk.
    own: Option<Own>,
    /// What was on its own disk is of a history that is not to be gone on with.
    is_foreign: bool,
}

impl Recovery {
    /// Of a master that has just started. Nothing is asked before the link is there.
    #[must_use]
    pub fn new(
        settings: RecoverySettings,
        instance: Instance,
        listed: Option<BTreeSet<NodeId>>,
        own: Option<Own>,
    ) -> Self {
        Self {
            epoch: own.as_ref().map_or(Epoch(0), |own| own.epoch),
            own,
            is_foreign: false,
            settings,
            instance,
            listed,
            linked_since: None,
            call_at: Time::ZERO,
            holders: Holders::default(),
            replaced: BTreeMap::new(),
            life: None,
            alone_since: None,
            overtaken: None,
            has_missed: false,
            has_entries: false,
        }
    }

    /// Of a master whose history is still empty, and that hears of another one: begins anew, as if it had just started.
    #[must_use]
    pub fn adopting(mut self, ack: &Ack, now: Time) -> Self {
        self.link_up(now);
        self.heard(ack, now);
        self
    }

    /// Whether what is on its own disk was all of it, when it was written.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.own.as_ref().is_some_and(|own| !own.is_partial)
    }

    /// Whether what is here is of a history that is not gone on with: it was cleared away.
    pub fn take_foreign(&mut self) -> bool {
        std::mem::take(&mut self.is_foreign)
    }

    /// The master was stopped meanwhile: begins again, with what it has learned.
    pub fn begin_again(&mut self, now: Time) {
        self.linked_since = self.linked_since.map(|_| now);
        self.call_at = now;
        self.holders = Holders::default();
        (self.life, self.alone_since) = (None, None);
        (self.has_missed, self.has_entries) = (false, false);
    }

    /// The link is there.
    pub fn link_up(&mut self, now: Time) {
        self.linked_since = Some(now);
        self.call_at = now;
        self.holders.ask_again();
    }

    /// The link is gone.
    pub fn link_down(&mut self) {
        self.linked_since = None;
    }

    /// A secondary says where it stands.
    pub fn heard(&mut self, ack: &Ack, now: Time) {
        if ack.epoch.max(ack.last.epoch) >= Epoch::MAX && ack.instance != Some(self.instance) {
            return; // nobody can be promised more than that
        }
        self.learn_replaced(ack);
        self.saw(ack.epoch.max(ack.last.epoch));
        if let (Some(log_id), Some(instance)) = (ack.log_id, ack.instance) {
            self.rise_above(&Life {
                log_id,
                epoch: ack.epoch,
                instance,
            });
        }
        let listed = self.listed.as_ref();
        let is_listed = listed.is_some_and(|l| l.contains(&ack.node));
        self.holders.heard(ack, is_listed, self.life.as_ref(), now);
    }

    /// Which histories were cleared away is remembered, whatever becomes of who has said it.
    fn learn_replaced(&mut self, ack: &Ack) {
        let Some(log) = ack.log_id.filter(|_| !ack.replaced.is_empty()) else {
            return;
        };
        let has_room = self.replaced.len() < MAX_HISTORIES;
        let known = match self.replaced.get_mut(&log) {
            Some(known) => known,
            None if has_room => self.replaced.entry(log).or_default(),
            None => return,
        };
        if ack.replaced.len() > known.len() {
            known.clone_from(&ack.replaced);
        }
    }

    /// Another master lives, and is overtaken.
    pub fn overtakes(&mut self, other: &Life) {
        self.overtaken = Some(other.instance)
            .filter(|i| *i != self.instance)
            .or(self.overtaken);
        self.saw(other.epoch);
        self.rise_above(other);
    }

    fn saw(&mut self, epoch: Epoch) {
        self.epoch = self.epoch.max(epoch);
    }

    /// Somebody else has been promised as much as this one asks for: above that, and all over again.
    fn rise_above(&mut self, other: &Life) {
        if let Some(life) = &mut self.life
            && other.log_id == life.log_id
            && other.epoch >= life.epoch
            && other.instance != self.instance
        {
            life.epoch = other.epoch.next();
            self.epoch = life.epoch;
            self.holders.break_promises();
        }
    }

    /// Whether everybody is to be asked now; say [`Recovery::called`] then.
    #[must_use]
    pub fn wants_to_call(&self, now: Time) -> bool {
        let is_looking = self.life.is_none() || self.alone_since.is_some();
        self.linked_since.is_some() && is_looking && self.call_at <= now
    }

    /// Everybody was asked.
    pub fn called(&mut self, now: Time) {
        self.call_at = now + self.settings.retry;
    }

    /// What is to be asked of whom, if anything; say [`Recovery::asked`] then.
    #[must_use]
    pub fn poll_fetch(
        &self,
        have: Position,
        max_bytes: usize,
        now: Time,
    ) -> Option<(NodeId, Fetch)> {
        self.linked_since?;
        let life = self.life?;
        let replaces = self.replaced_by(life.log_id);
        let (node, is_promised) = self.holders.to_ask(&life, &replaces, have, now)?;
        let fetch = Fetch {
            life,
            replaces,
            from: have.seq.next(),
            max_bytes: if is_promised { max_bytes } else { 0 },
        };
        Some((node, fetch))
    }

    /// It was asked.
    pub fn asked(&mut self, node: &NodeId, now: Time) {
        self.holders.asked(node, now + self.settings.retry, now);
    }

    /// An answer has come, with entries after `prev`, while everything up to `have` is here.
    pub fn fetched(&mut self, position: &Ack, prev: Position, have: Position, now: Time) -> Take {
        self.heard(position, now);
        let is_promised = self.life.is_some_and(|life| {
            (position.log_id, position.epoch) == (Some(life.log_id), life.epoch)
                && position.instance == Some(self.instance)
        });
        if !is_promised || !self.holders.answered(&position.node) {
            return Take::Nothing;
        }
        let ends_before = prev.seq == position.last.seq && prev.seq < have.seq;
        if ends_before && has_more(&position.last, &have) {
            Take::Cut(prev) // shorter, and of a later life
        } else if prev.seq != have.seq {
            Take::Nothing
        } else if prev.agrees_with(&have) {
            Take::Entries
        } else {
            Take::Cut(prev)
        }
    }

    /// The life in which it is going to serve, once the history is chosen.
    #[must_use]
    pub fn life(&self) -> Option<Life> {
        self.life
    }

    /// Whether this other master, which lives, is overtaken: because that is wanted, or because the secondaries were asked
    /// already to follow it no more.
    #[must_use]
    pub fn is_above(&self, other: &Life) -> bool {
        self.settings.takeover || self.life.is_some_and(|life| life.log_id == other.log_id)
    }

    /// Who has spoken and cannot read an entry of its log, and which.
    pub fn cannot_read(&self) -> impl Iterator<Item = (NodeId, Seq)> {
        self.holders.cannot_read()
    }

    /// Whether another living master is overtaken because that is wanted.
    #[must_use]
    pub fn is_takeover(&self) -> bool {
        self.settings.takeover
    }
}
