//! The former master after a takeover: it lives on, and does not know it yet.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use replog_common::entry::{Content, Entry};
use replog_common::log::LogStore;
use replog_common::message::{Ack, Announce};
use replog_common::protocol::outcome::{Draft, Outcome, Placement, ReadOnly};
use replog_common::protocol::replicator::Transmit;
use replog_common::types::{Epoch, Incarnation, LogId, MessageId, NodeId, Seq, Time, WriteConcern};

use crate::sim::master::Master;
use crate::sim::secondary::Secondary;
use crate::sim::world::{Happening, World};

/// It, and who still relies on it.
#[derive(Debug)]
pub struct Elder {
    /// The machine and its store.
    pub master: Master,
    waiting: BTreeMap<usize, Placement>,
    asked: usize,
    heard: BTreeMap<NodeId, Incarnation>,
}

impl World {
    /// Another master starts and overtakes this one, which may be stopped just then.
    pub(super) fn take_over(&mut self) {
        self.say(|_| "another master starts, to take over".into());
        self.report.takeovers += 1;
        let mut next = Master::new(&self.plan, &mut self.random);
        next.histories.append(&mut self.master.histories.clone());
        next.ever.clone_from(&self.master.ever);
        let mut master = std::mem::replace(&mut self.master, next);
        if self.random.happens(500) {
            master.paused_until = Some(self.now + self.random.millis(10, 4000));
        }
        let heard = |n: &Secondary| Some((n.follower.node().clone(), n.heard?));
        let elder = Elder {
            waiting: self.clients.waiting().collect(),
            asked: self.clients.fates.len(),
            heard: self.nodes.iter().filter_map(heard).collect(),
            master,
        };
        self.clients.lose_master();
        self.nodes.iter_mut().for_each(|n| n.heard = None);
        self.elder = Some(elder);
        self.later(std::time::Duration::ZERO, Happening::Mend(None));
    }

    /// An ACK reaches the former master.
    pub(super) fn reach_elder(&mut self, bytes: Bytes) -> Result<(), String> {
        let Some(elder) = &mut self.elder else {
            return Ok(());
        };
        if let Some(until) = elder.master.paused_until.filter(|t| *t > self.now) {
            self.later(until.since(self.now), Happening::ToElder(bytes));
            return Ok(());
        }
        if let Ok(ack) = Ack::decode(&bytes) {
            let heard = elder.heard.entry(ack.node.clone());
            let heard = heard.or_insert(ack.incarnation);
            *heard = (*heard).max(ack.incarnation);
            elder.master.leader.ack(&ack, self.now);
        }
        Ok(())
    }

    /// The new master serves and says so; the former one may hear it.
    pub(super) fn tell_elder(&mut self) {
        let life = *self.master.leader.life();
        if let Some(elder) = &mut self.elder
            && elder.master.paused_until.is_none()
            && self.random.happens(500)
        {
            let announce = Announce {
                life,
                is_serving: true,
                overtakes: None,
            };
            elder.master.leader.announced(&announce, self.now);
        }
    }

    /// Some clients have not heard of the new master.
    pub(super) fn ask_elder(&mut self) -> Result<(), String> {
        let Some(elder) = &mut self.elder else {
            return Ok(());
        };
        if elder.master.paused_until.is_some() {
            return Ok(());
        }
        let draft = Draft {
            content: Content::from_text("to the former master"),
            message_id: MessageId(self.random.uuid()),
            w: WriteConcern::Count(2),
            until: None,
            expected_seq: None,
            older: Default::default(),
        };
        elder.asked += 1;
        let placed = elder
            .master
            .leader
            .append(draft, elder.asked, self.now, |_| None);
        if let Ok(placement) = placed {
            elder.waiting.insert(elder.asked, placement);
        }
        let before = elder.master.log.last().seq;
        elder.master.store()?;
        // What it has placed is true for ever, also once nobody remembers it.
        let life = elder.master.leader.life();
        let mut seq = before.next();
        while let Some(entry) = elder.master.log.get(seq).ok().flatten() {
            self.master.ever.insert((life.log_id, entry));
            seq = seq.next();
        }
        Ok(())
    }

    /// What follows at the former master.
    pub(super) fn after_elder(&mut self) -> Result<(), String> {
        let Some(mut elder) = self.elder.take() else {
            return Ok(());
        };
        elder.master.paused_until = elder.master.paused_until.filter(|t| *t > self.now);
        let mut frames = Vec::new();
        if elder.master.paused_until.is_none() {
            elder.master.leader.tick(self.now);
            frames = elder.frames(self.now)?;
            while elder.master.leader.poll_event().is_some() {}
        }
        let mut answers = Vec::new();
        while let Some(answer) = elder.master.leader.poll_answer() {
            answers.push(answer);
        }
        for answer in answers {
            let placement = elder.waiting.remove(&answer.waiter);
            if placement != Some(answer.placement) {
                return Err(format!(
                    "the former master answers {answer:?}, who does not wait"
                ));
            }
            if let Outcome::Replicated { acks } = answer.outcome {
                self.judge_elder(&elder, &answer.placement, acks)?;
            }
        }
        self.elder = Some(elder);
        for (node, bytes) in frames {
            if let Some(n) = self.nodes.iter().position(|s| *s.follower.node() == node) {
                self.send(n, false, bytes);
            }
        }
        Ok(())
    }

    /// It told a client that so many nodes hold the entry. They did; and if one of them was heard by the new master and
    /// still holds it, then the new master has it too.
    fn judge_elder(&mut self, elder: &Elder, at: &Placement, acks: u32) -> Result<(), String> {
        let entry = elder.master.log.get(at.seq).ok().flatten();
        let entry = entry.ok_or_else(|| format!("the former master has nothing at {at:?}"))?;
        let held = |n: &&Secondary| {
            let life = elder.heard.get(n.follower.node());
            life.is_some_and(|l| {
                n.ever
                    .contains(&(*l, at.log_id, at.seq, at.epoch, at.message_id))
            })
        };
        let count = 1 + self.nodes.iter().filter(held).count();
        if count < acks as usize {
            return Err(format!(
                "the former master told {acks}, {count} ever held {at:?}"
            ));
        }
        self.report.elder_told += 1;
        self.must_have(at.log_id, &entry)
    }

    /// The serving master has an entry of its history that a secondary holds which it has heard before it served.
    pub(super) fn must_have(&self, history: LogId, entry: &Entry) -> Result<(), String> {
        let life = self.master.leader.life();
        // A master before this one may have gone on without the holder: where it did, its later entries stand.
        let went_on = self.served_end.epoch > entry.epoch;
        if self.master.leader.is_recovering() || life.log_id != history || went_on {
            return Ok(());
        }
        let has = |log: &dyn LogStore| log.get(entry.seq).ok().flatten().as_ref() == Some(entry);
        let holds = |n: &&Secondary| {
            let is_heard = self.served_to.contains(n.follower.node());
            is_heard && n.follower.instance() == Some(life.instance) && has(&n.log)
        };
        match self.nodes.iter().find(holds) {
            Some(holder) if !has(&self.master.log) => {
                let name = holder.follower.node();
                Err(format!("{entry:?} is lost, and {name} holds it"))
            }
            _ => Ok(()),
        }
    }

    /// What the former master has placed and a secondary still holds that was heard is not lost.
    pub(super) fn check_elders_log(&self) -> Result<(), String> {
        let Some(elder) = &self.elder else {
            return Ok(());
        };
        let history = elder.master.leader.life().log_id;
        let all = elder.master.histories.get(&history);
        let mut all = all.into_iter().flatten();
        all.try_for_each(|entry| self.must_have(history, entry))
    }

    /// In the end the former master knows that it is one.
    pub(super) fn elder_is_unwell(&self) -> Option<String> {
        let elder = &self.elder.as_ref()?.master.leader;
        let same = elder.life().log_id == self.master.leader.life().log_id;
        let fenced = elder.read_only(self.now) == Some(ReadOnly::Fenced);
        (same && !fenced && !self.master.leader.is_recovering())
            .then(|| "the former master takes appends".to_owned())
    }
}

impl Elder {
    /// When it wakes by itself.
    #[must_use]
    pub fn wake(&self, now: Time) -> Option<Time> {
        self.master.paused_until.or_else(|| self.master.wake(now))
    }

    /// What it sends.
    fn frames(&mut self, now: Time) -> Result<Vec<(NodeId, Bytes)>, String> {
        let mut frames = Vec::new();
        while let Some((node, transmit)) = self.master.leader.poll_transmit() {
            let (prev, chunk) = match transmit {
                Transmit::Heartbeat { prev } => (prev, None),
                Transmit::Entries { first, last, bytes } => {
                    let chunk = self.master.log.read(first, last, u64::MAX, bytes);
                    (first.prev(), Some(chunk.map_err(|e| e.to_string())?))
                }
            };
            let sent = chunk.as_ref().map(|c| (c.last(), c.text.len()));
            let bytes = self.master.leader.frame(prev, chunk).encode(0);
            self.master.leader.sent(&node, sent, now);
            frames.push((node, bytes));
        }
        Ok(frames)
    }
}

/// What a life of a storage has ever held.
pub type Ever = BTreeSet<(Incarnation, LogId, Seq, Epoch, MessageId)>;
