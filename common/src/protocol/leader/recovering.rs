//! Before it serves: the leader takes over what the secondaries hold, and looks for other masters.

use super::Leader;
use crate::entry::Entry;
use crate::entry::Position;
use crate::message::{Ack, Announce, Fetch, Fetched, Life};
use crate::protocol::commit::Commit;
use crate::protocol::event::Event;
use crate::protocol::outcome::{Draft, ReadOnly};
use crate::protocol::recovery::{Found, Recovery, Take};
use crate::protocol::replicator::Replicator;
use crate::types::{NodeId, Seq, Time};

impl<W> Leader<W> {
    /// Whether it asks the secondaries what they hold, and takes no appends yet.
    #[must_use]
    pub fn is_recovering(&self) -> bool {
        self.recovery.is_some()
    }

    /// Whether an append has to wait, or to be refused, until it is clear that this is the master, and of what. A message
    /// that is in the log is answered all the same.
    #[must_use]
    pub fn waits_for_recovery(&mut self, draft: &Draft, now: Time) -> bool {
        self.notice_own_pause(now);
        let is_there = || self.dedup.find(draft.message_id, &draft.content).is_some();
        self.recovery.is_some() || self.read_only(now) == Some(ReadOnly::Recovering) && !is_there()
    }

    /// How many clients may wait at one time.
    #[must_use]
    pub fn max_waiting(&self) -> usize {
        self.settings.max_waiting
    }

    /// The listed members that were not heard when it began to serve, and have not been since.
    pub fn not_heard(&self) -> impl Iterator<Item = &NodeId> {
        let is_silent = |n: &&NodeId| {
            let replicator = self.members.get(n);
            replicator.is_none_or(|r| r.health().silence(self.last_called).is_none())
        };
        self.not_heard.iter().filter(is_silent)
    }

    /// The life of the other master because of which this one must not start.
    #[must_use]
    pub fn beaten_by(&self) -> Option<Life> {
        self.beaten_by
    }

    /// Whether what it has can be shown while it recovers: it is its own, and was whole.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        let is_own = |r: &Recovery| r.is_whole() && self.stored > Seq::ZERO;
        self.recovery.as_ref().is_none_or(is_own)
    }

    /// The next question to a secondary, if any; it counts as asked.
    pub fn poll_fetch(&mut self, max_bytes: usize, now: Time) -> Option<(NodeId, Fetch)> {
        let have = self.epochs.last();
        let recovery = self.recovery.as_mut().filter(|_| !self.staged.is_full())?;
        let (node, fetch) = recovery.poll_fetch(have, max_bytes, now)?;
        recovery.asked(&node, now);
        Some((node, fetch))
    }

    /// The answer to one.
    pub fn fetched(&mut self, fetched: Fetched<Vec<Entry>>, now: Time) {
        let have = self.epochs.last();
        let Some(recovery) = &mut self.recovery else {
            return;
        };
        match recovery.fetched(&fetched.position, fetched.prev, have, now) {
            Take::Nothing => {}
            Take::Entries => {
                for entry in fetched.entries {
                    self.epochs.push(Position {
                        by: fetched.by,
                        ..entry.position()
                    });
                    self.dedup
                        .insert(entry.message_id, &entry.content(), entry.seq);
                    self.staged.push(entry);
                }
            }
            Take::Cut(at) => {
                let keep = self.epochs.shared_with(at);
                self.cut_behind(keep);
            }
        }
    }

    /// Another master says that it lives, or that it starts.
    pub fn announced(&mut self, other: &Announce, now: Time) {
        let (me, it) = (self.life, other.life);
        if it.instance == me.instance {
            return;
        }
        match (&mut self.recovery, other.is_serving) {
            (Some(recovery), true) if recovery.is_above(&it) => recovery.overtakes(&it),
            (Some(_), true) => self.beaten_by = Some(it),
            // Of two that start at once one stays.
            (Some(recovery), false) if me.instance < it.instance && !recovery.is_takeover() => {
                self.events.push_back(Event::Lives);
            }
            (Some(_), false) => {}
            (None, true)
                if other.overtakes == Some(me.instance)
                    || it.log_id == me.log_id && it.epoch >= me.epoch =>
            {
                self.fence(it.epoch, None);
            }
            (None, true) => {}
            (None, false) => {
                if self.read_only(now).is_none_or(|reason| !reason.is_final()) {
                    self.events.push_back(Event::Lives);
                }
            }
        }
    }

    /// A secondary says where it stands: whether that is a matter of recovery.
    pub(super) fn recovers_by(&mut self, ack: &Ack, now: Time) -> bool {
        if let Some(recovery) = &mut self.recovery {
            recovery.heard(ack, now);
            return true;
        }
        let is_empty = self.epochs.last() == Position::default();
        // Of another history; or of this one, when only somebody was heard who held nothing of it.
        let is_other = match ack.log_id == Some(self.life.log_id) {
            true => ack.epoch <= self.life.epoch,
            false => ack.log_id.is_some() && self.replaced.is_empty(),
        };
        let Some(settings) = self
            .recovery_settings
            .as_ref()
            .filter(|_| is_empty && is_other && ack.last.seq > Seq::ZERO && self.fenced.is_none())
        else {
            return false;
        };
        let listed = self.members.listed().cloned();
        let mut recovery = Recovery::new(settings.clone(), self.life.instance, listed, None);
        recovery.overtakes(&self.life);
        self.recovery = Some(recovery.adopting(ack, now));
        true
    }

    /// Goes on with its recovery, if there is one.
    pub(super) fn recover(&mut self, now: Time) {
        let have = self.last();
        let Some(recovery) = &mut self.recovery else {
            return;
        };
        if recovery.wants_to_call(now) {
            recovery.called(now);
            self.events.push_back(Event::Recovering);
        }
        if self.epochs.last() != have {
            return; // not all of it is stored yet
        }
        let found = recovery.tick(have, now);
        if recovery.take_foreign() {
            self.cut_behind(Seq::ZERO);
        }
        if let Some(found) = found {
            self.serve(found);
        }
    }

    fn serve(&mut self, found: Found) {
        self.recovery = None;
        self.life.epoch = found.epoch;
        self.life.log_id = found.log_id.unwrap_or(self.life.log_id);
        self.replaced = found.replaced;
        self.urgent = self.stored;
        self.commit = Commit::default();
        self.commit.set_master(self.stored);
        let link_up = self.link_down_since.is_none();
        for node in &found.heard {
            self.members.of(node, &self.settings, link_up);
        }
        self.members.each(Replicator::begin_anew);
        self.events.push_back(Event::Serving {
            entries: self.stored.0,
            is_new: found.log_id.is_none(),
            heard: found.heard,
            not_heard: found.not_heard.clone(),
            overtakes: found.overtakes,
        });
        self.not_heard = found.not_heard;
    }
}
