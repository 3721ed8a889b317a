//! The secondaries' side of the leader: ACKs, the link, time, and what is to be sent.

use super::{FencedBy, Leader};
use crate::message::{Ack, Append};
use crate::protocol::event::Event;
use crate::protocol::outcome::{Outcome, ReadOnly};
use crate::protocol::replicator::{Heard, Me, Replicator, Transmit};
use crate::types::{Epoch, LogId, NodeId, Seq, Time};

impl<W> Leader<W> {
    /// An ACK has come.
    pub fn ack(&mut self, ack: &Ack, now: Time) {
        self.notice_own_pause(now);
        if self.recovers_by(ack, now) {
            return;
        }
        let link_up = self.link_down_since.is_none();
        let Some((is_member, replicator)) = self.members.of(&ack.node, &self.settings, link_up)
        else {
            self.members.ignore(&ack.node, &mut self.events);
            return;
        };
        let me = Me {
            life: &self.life,
            replaced: &self.replaced,
            epochs: &self.epochs,
            tail: self.stored,
        };
        let heard = replicator.ack(ack, &me, now);
        let matched = replicator.matched();
        if is_member {
            self.commit.set_member(&ack.node, matched);
        }
        if heard == Heard::Overtaken {
            self.fence(ack.epoch, Some(ack.node.clone()));
        }
        self.notice(now);
        self.answer_met();
    }

    /// The broker says that nobody listens on the node's subject.
    pub fn no_responders(&mut self, node: &NodeId, now: Time) {
        self.members.no_responders(node);
        self.notice(now);
    }

    /// The link to the broker is there.
    pub fn link_up(&mut self, now: Time) {
        self.notice_own_pause(now);
        if let Some(since) = self.link_down_since.take() {
            self.members.each(|r| r.link_up(now.since(since), now));
            if let Some(recovery) = &mut self.recovery {
                recovery.link_up(now);
            }
            self.paused_until = self.paused_until.map(|_| now);
        }
    }

    /// The link to the broker is gone.
    pub fn link_down(&mut self, now: Time) {
        self.notice_own_pause(now);
        if self.link_down_since.is_none() {
            self.link_down_since = Some(now);
            self.members.each(|r| r.link_down(now));
            if let Some(recovery) = &mut self.recovery {
                recovery.link_down();
            }
        }
    }

    /// [`Leader::deadline`] asks for several calls a heartbeat interval: whoever comes later than one was stopped, and has
    /// heard nobody meanwhile. Before anything is decided, what was known of the others is no longer trusted.
    pub(super) fn notice_own_pause(&mut self, now: Time) {
        let gap = now.since(std::mem::replace(&mut self.last_called, now));
        if gap > self.settings.heartbeat_interval {
            if self.link_down_since.is_none() {
                self.members.each(|r| r.pause(gap, now));
            }
            self.paused_until = self.recovery.is_none().then_some(now);
            if let Some(recovery) = &mut self.recovery {
                // What was promised may have been promised to somebody else since.
                recovery.begin_again(now);
                if !recovery.is_whole() {
                    self.cut_behind(Seq::ZERO);
                }
            }
        }
    }

    /// After a pause another master may have taken over: no appends before a round of heartbeats is through. What came
    /// meanwhile is read within an interval; then everybody who lives has answered, or is late.
    fn end_own_pause(&mut self, now: Time) {
        let Some(paused_until) = self.paused_until.filter(|_| self.link_down_since.is_none())
        else {
            return;
        };
        let lives_unheard = |r: &Replicator| r.status(now).is_alive() && !r.health().is_trusted();
        let is_waiting = self.members.iter().any(|(_, r)| lives_unheard(r));
        let round = self.settings.heartbeat_interval;
        let late = round.max(self.settings.suspect_after);
        let wait = if is_waiting { late } else { round };
        if now >= paused_until + wait {
            self.paused_until = None;
        }
    }

    /// Time has passed. Call it whenever anything has happened and at [`Leader::deadline`].
    pub fn tick(&mut self, now: Time) {
        self.notice_own_pause(now);
        if self.linger_until.is_some_and(|t| t <= now) {
            self.urgent = self.epochs.last().seq;
            self.linger_until = None;
        }
        if self.link_down_since.is_none() {
            self.members.each(|r| r.expire(now));
        }
        self.recover(now);
        self.end_own_pause(now);
        self.notice(now);
        while let Some(late) = self.commit.pop_late(now) {
            self.answer(late, |acks| Outcome::TimedOut { acks });
        }
    }

    /// When [`Leader::tick`] is to be called next, if nothing happens before.
    #[must_use]
    pub fn deadline(&self, now: Time) -> Option<Time> {
        let members = self.members.deadline(now);
        // A look at the clock that often, with nobody to wait for too: a pause as long as another master listens for this
        // one must not go unnoticed.
        let look = self.last_called + self.settings.heartbeat_interval / 4;
        members
            .into_iter()
            .filter(|_| self.link_down_since.is_none())
            .chain([look])
            .chain(self.linger_until)
            .chain(self.commit.deadline())
            .chain(self.recovery.as_ref().and_then(|r| r.deadline(now)))
            .min()
    }

    /// It serves, and nobody has overtaken it.
    pub(super) fn may_send(&self) -> bool {
        self.recovery.is_none() && self.fenced.is_none()
    }

    /// What is to be sent to whom, if anything. Say [`Leader::sent`] for each, or it comes again.
    #[must_use]
    pub fn poll_transmit(&self) -> Option<(NodeId, Transmit)> {
        if !self.may_send() {
            return None; // nobody is to follow it
        }
        // With somebody waiting for an entry, what was placed after it goes along.
        let tail = if self.linger_until.is_none() || self.urgent >= self.stored {
            self.stored
        } else {
            self.urgent
        };
        let (node, mut transmit) = self.members.poll_transmit(tail)?;
        if let Transmit::Entries { first, last, .. } = &mut transmit {
            // The entries of one message are of one life.
            *last = self.epochs.end_of_life(*first).min(*last);
        }
        Some((node, transmit))
    }

    /// It has left: nothing (a heartbeat), or entries up to the given one of so many bytes.
    pub fn sent(&mut self, node: &NodeId, entries: Option<(Seq, usize)>, now: Time) {
        self.members.sent(node, entries, now);
    }

    /// The entries that are to be sent to this node are being read, or they are read.
    pub fn reading(&mut self, node: &NodeId, is_reading: bool) {
        self.members.reading(node, is_reading);
    }

    /// Whether these entries of that history are what is to be sent to this node next.
    #[must_use]
    pub fn wants(&self, node: &NodeId, log_id: LogId, first: Seq) -> bool {
        let next = self
            .members
            .get(node)
            .and_then(|r| r.poll_transmit(self.stored));
        let is_next = matches!(next, Some(Transmit::Entries { first: f, .. }) if f == first);
        is_next && self.life.log_id == log_id && self.may_send()
    }

    /// The frame around entries after `prev`; without any, a heartbeat. Which histories were cleared away is only said in
    /// heartbeats, the first word to everybody, so that it leaves no less room for entries.
    #[must_use]
    pub fn frame<B: Default>(&self, prev: Seq, entries: Option<B>) -> Append<B> {
        // What is only placed is not in any frame.
        let first = self
            .epochs
            .at(prev.next())
            .filter(|at| at.seq <= self.stored);
        Append {
            life: self.life,
            prev: self.epochs.at(prev).unwrap_or_default(),
            by: first.and_then(|at| at.by),
            tail: self.stored,
            commit: self.commit.held_by(self.members.majority()),
            replaces: match entries {
                Some(_) => Vec::new(),
                None => self.replaced.clone(),
            },
            entries: entries.unwrap_or_default(),
        }
    }

    /// Tells what has changed.
    fn notice(&mut self, now: Time) {
        if self.link_down_since.is_none() {
            self.members.notice(now, &mut self.events);
        }
        let no_quorum = self.read_only(now) == Some(ReadOnly::NoQuorum);
        if no_quorum != self.told_no_quorum {
            self.told_no_quorum = no_quorum;
            self.events.push_back(Event::ReadOnly { on: no_quorum });
        }
    }

    pub(super) fn fence(&mut self, by_epoch: Epoch, heard_from: Option<NodeId>) {
        if self.fenced.is_none() {
            self.fenced = Some(FencedBy {
                epoch: by_epoch,
                heard_from: heard_from.clone(),
            });
            self.events.push_back(Event::Fenced {
                by_epoch,
                heard_from,
            });
            self.send_away_at_the_end();
        }
    }
}
