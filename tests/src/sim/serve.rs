//! What the master's program does around the machine: hand in, store, send, answer; with every answer checked against
//! what the nodes really hold.

use replog_common::log::LogStore;
use replog_common::message::{Ack, Fetched};
use replog_common::protocol::event::Event;
use replog_common::protocol::outcome::{Outcome, Placement};
use replog_common::protocol::replicator::Transmit;
use replog_common::types::{LogId, NodeId};

use crate::sim::clients::Fate;
use crate::sim::world::{Happening, World};

impl World {
    pub(super) fn ask(&mut self) -> Result<(), String> {
        let half = u64::try_from(self.plan.ask_every.as_micros() / 2).unwrap_or(1);
        let wait = self.random.micros(half, half * 3);
        if !self.calm {
            self.later(wait, Happening::Ask);
        }
        if self.random.happens(30)
            && let Some(gone) = self.clients.hang_up(&mut self.random)
        {
            self.master.leader.purge(|client| *client == gone);
        }
        if self.elder.is_some() && self.random.happens(300) {
            self.ask_elder()?;
        }
        let client = self.clients.fates.len();
        let draft = self
            .clients
            .draft(&mut self.random, self.nodes.len(), self.now);
        let log = &self.master.log;
        let existing = |seq| log.get(seq).ok().flatten();
        match self.master.leader.append(draft, client, self.now, existing) {
            Ok(placement) => self.clients.placed(client, placement)?,
            Err((refusal, _)) => self.say(|_| format!("refused: {refusal:?}")),
        }
        if !self.plan.slow_store {
            return self.master.store();
        }
        if !self.master.is_storing {
            self.master.is_storing = true;
            let wait = self.random.micros(10, 20_000);
            self.later(wait, Happening::Stored);
        }
        Ok(())
    }

    pub(super) fn reach_master(&mut self, bytes: &[u8]) -> Result<(), String> {
        if bytes.starts_with(br#"{"kind":"fetched""#) {
            let fetched = Fetched::decode(bytes).map_err(|e| format!("unreadable answer: {e}"))?;
            if self.master.leader.is_recovering() {
                self.heard(&fetched.position);
            }
            self.master.leader.fetched(fetched, self.now);
            return self.master.store();
        }
        let ack = Ack::decode(bytes).map_err(|e| format!("unreadable ACK: {e}"))?;
        self.heard(&ack);
        self.master.leader.ack(&ack, self.now);
        Ok(())
    }

    fn heard(&mut self, ack: &Ack) {
        let mut nodes = self.nodes.iter_mut();
        if let Some(node) = nodes.find(|n| *n.follower.node() == ack.node) {
            node.heard = node.heard.max(Some(ack.incarnation));
        }
    }

    /// What a master does before it serves.
    fn recover(&mut self) -> Result<(), String> {
        while let Some((node, fetch)) = self.master.leader.poll_fetch(4000, self.now) {
            let n = self.nodes.iter().position(|s| *s.follower.node() == node);
            let n = n.ok_or_else(|| format!("{node} is nobody"))?;
            self.send(n, false, fetch.encode(0));
        }
        while let Some(event) = self.master.leader.poll_event() {
            self.say(|_| format!("{event:?}"));
            match event {
                Event::Recovering => {
                    let line = bytes::Bytes::from_static(br#"{"kind":"recovering"}"#);
                    (0..self.nodes.len()).for_each(|n| self.send(n, false, line.clone()));
                }
                Event::Serving { heard, .. } => self.serve(&heard)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Whatever the former master had, and a secondary that was heard and now follows this one still has, is there.
    fn serve(&mut self, heard: &[NodeId]) -> Result<(), String> {
        let before = self.master.serve()?;
        self.served_to = heard.iter().cloned().collect();
        self.served_end = self.master.log.last();
        self.tell_elder();
        let life = *self.master.leader.life();
        let now = &self.master.histories[&life.log_id];
        self.report.recovered += u64::from(!now.is_empty());
        self.clients.serves(life.log_id, now);
        for entry in before.iter().filter(|e| !now.contains(e)) {
            let holds = |n: &&crate::sim::secondary::Secondary| {
                let is_heard = heard.contains(n.follower.node());
                let follows = n.follower.log_id() == Some(life.log_id)
                    && n.follower.instance() == Some(life.instance);
                is_heard && follows && n.log.get(entry.seq).ok().flatten().as_ref() == Some(entry)
            };
            if let Some(holder) = self.nodes.iter().find(holds) {
                let name = holder.follower.node();
                return Err(format!("{entry:?} is lost, and {name} holds it"));
            }
        }
        self.check_elders_log()
    }

    pub(super) fn clear(&mut self) {
        self.say(|_| "the log is cleared".into());
        let id = LogId(self.random.uuid());
        if self.master.leader.clear(id, self.now).is_err() {
            return;
        }
        // Those who wait are answered by what they waited for, before it is gone.
        if let Err(error) = self.answer() {
            self.say(|_| error.clone());
        }
        self.master.begin_history();
    }

    /// What follows whatever has happened.
    pub(super) fn after(&mut self) -> Result<(), String> {
        if self.master.paused_until.is_some() {
            return Ok(());
        }
        self.master.leader.tick(self.now);
        self.ticked_at = self.now;
        while let Some((node, transmit)) = self.master.leader.poll_transmit() {
            self.transmit(&node, transmit)?;
        }
        self.answer()?;
        self.recover()?;
        if self
            .master
            .leader
            .deadline(self.now)
            .is_some_and(|d| d <= self.now)
        {
            return Err("it wants to be woken at once, for ever".into());
        }
        self.check_beliefs()
    }

    fn transmit(&mut self, node: &NodeId, transmit: Transmit) -> Result<(), String> {
        let (prev, chunk) = match transmit {
            Transmit::Heartbeat { prev } => (prev, None),
            Transmit::Entries { first, last, bytes } => {
                let chunk = self.master.log.read(first, last, u64::MAX, bytes);
                (first.prev(), Some(chunk.map_err(|e| e.to_string())?))
            }
        };
        if chunk.as_ref().is_some_and(|c| c.count == 0) {
            return Err(format!("{transmit:?} is not stored"));
        }
        let sent = chunk.as_ref().map(|c| (c.last(), c.text.len()));
        self.report.appends += u64::from(sent.is_some());
        let bytes = self.master.leader.frame(prev, chunk).encode(0);
        self.master.leader.sent(node, sent, self.now);
        let n = self.nodes.iter().position(|s| s.follower.node() == node);
        let n = n.ok_or_else(|| format!("{node} is nobody"))?;
        if !self.master.linked {
            return Err("sends while the link is down".into());
        }
        let (messages, appends) = &mut self.nodes[n].addressed;
        *messages += 1;
        *appends += u64::from(sent.is_some());
        self.send(n, false, bytes);
        Ok(())
    }

    pub(super) fn answer(&mut self) -> Result<(), String> {
        while let Some(answer) = self.master.leader.poll_answer() {
            let (client, told) = (answer.waiter, answer.outcome);
            self.say(|_| format!("client {client} {:?}: {told:?}", answer.placement));
            if self.clients.fates[client] != Fate::Waiting(answer.placement) {
                return Err(format!("client {client} is answered and does not wait"));
            }
            self.clients.fates[client] = Fate::Answered;
            let held = self.really_held(&answer.placement);
            match told {
                Outcome::Replicated { acks } => {
                    self.report.replicated += 1;
                    if held < acks || acks < answer.placement.w {
                        return Err(format!(
                            "told {acks}, held by {held}: {:?}",
                            answer.placement
                        ));
                    }
                }
                Outcome::TimedOut { acks } => {
                    self.report.timed_out += 1;
                    let late = self.clients.until(client).is_some_and(|t| t <= self.now);
                    if held < acks || acks >= answer.placement.w || !late {
                        return Err(format!("{told:?} for {:?}", answer.placement));
                    }
                }
                Outcome::Stopping { acks } | Outcome::Fenced { acks } => {
                    return Err(format!("{told:?}: nobody asked for that ({acks})"));
                }
                Outcome::Cleared => {}
                Outcome::NotStored(why) => return Err(format!("{why:?}, and the disk is well")),
            }
        }
        Ok(())
    }

    /// How many nodes hold the very entry: the master, and each secondary of which the newest life of storage that the
    /// master has heard of does, or did when it ended.
    fn really_held(&self, placement: &Placement) -> u32 {
        let index = usize::try_from(placement.seq.prev().0).unwrap_or(usize::MAX);
        let history = self.master.histories.get(&placement.log_id);
        let entry = history.and_then(|log| log.get(index));
        if entry.is_none_or(|e| e.message_id != placement.message_id || e.epoch != placement.epoch)
        {
            return 0;
        }
        let holds = |n: &&crate::sim::secondary::Secondary| {
            n.known_life().is_some_and(|held| {
                held.log_id == Some(placement.log_id) && held.upto >= placement.seq
            })
        };
        1 + u32::try_from(self.nodes.iter().filter(holds).count()).unwrap_or(0)
    }
}
