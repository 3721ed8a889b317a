//! What must be true during a run, and what must become true after the faults.

use replog_common::log::LogStore;
use replog_common::message::cleared;
use replog_common::protocol::health::Status;
use replog_common::protocol::outcome::ReadOnly;
use replog_common::types::{Seq, Time};

use crate::sim::report::Report;
use crate::sim::secondary::Secondary;
use crate::sim::world::World;

impl World {
    /// The master never believes that a node holds more of this history than the newest life of its storage
    /// that it has heard of does, or did when it ended. (That what is stored is the history's own entries is checked as it is stored.)
    pub(super) fn check_beliefs(&self) -> Result<(), String> {
        let history = self.master.leader.life().log_id;
        for node in &self.nodes {
            let name = node.follower.node();
            let Some(replicator) = self.master.leader.members().get(name) else {
                continue;
            };
            let held = node.known_life().filter(|h| h.log_id == Some(history));
            let held = held.map_or(Seq::ZERO, |h| h.upto);
            if replicator.matched() > held {
                let believed = replicator.matched();
                return Err(format!(
                    "{name} is believed to hold {believed}, and holds {held}"
                ));
            }
        }
        Ok(())
    }

    /// It holds entries of a history that the master's has not replaced.
    fn is_foreign(&self, node: &Secondary) -> bool {
        let replaced = self.master.leader.replaced();
        let ours = self.master.leader.life().log_id;
        let foreign = |id| id != ours && cleared(replaced, id).is_none();
        node.follower.last().seq > Seq::ZERO && node.follower.log_id().is_some_and(foreign)
    }

    /// What is not well yet, if anything.
    #[must_use]
    pub fn unwell(&self) -> Option<String> {
        if let Some(what) = self.elder_is_unwell() {
            return Some(what);
        }
        if self.master.leader.read_only(self.now) == Some(ReadOnly::Fenced) {
            return Some("the master is fenced".into());
        }
        let last = self.master.log.last().seq;
        let mut followers = 0;
        for node in &self.nodes {
            let name = node.follower.node();
            let status = self.master.leader.status(name, self.now);
            if self.is_foreign(node) {
                if status != Status::Diverged {
                    return Some(format!("{name} holds another history and is {status:?}"));
                }
                continue;
            }
            followers += 1;
            if status != Status::Healthy {
                return Some(format!("{name} is {status:?}"));
            }
            let matched = self.master.leader.members().get(name).map(|r| r.matched());
            if node.log.last().seq != last || matched != Some(last) {
                let holds = node.log.last().seq;
                return Some(format!(
                    "{name} holds {holds} and is believed {matched:?} of {last}"
                ));
            }
            if node.follower.commit() > last || node.follower.master_tail() != last {
                return Some(format!("{name} has not heard how long the log is"));
            }
        }
        let mut waiting = self.clients.waiting();
        let stuck = waiting.find(|(_, p)| p.w as usize <= followers + 1);
        stuck.map(|(client, p)| format!("client {client} still waits for {p:?}"))
    }

    /// Runs the seed: trouble, calm, and a look at how quiet it is in the end.
    ///
    /// # Errors
    /// What went wrong.
    pub fn run(&mut self) -> Result<Report, String> {
        self.run_until(Time(self.plan.trouble))?;
        self.calm_down();
        let calm_at = self.now;
        let step = self.plan.replication.heartbeat_interval / 4;
        // A message may still be three seconds late.
        let end = calm_at + self.plan.patience() + std::time::Duration::from_secs(3);
        while self.now < end && (self.unwell().is_some() || self.now == calm_at) {
            self.run_until(self.now + step)?;
        }
        if let Some(what) = self.unwell() {
            return Err(format!(
                "not well {:?} after the last fault: {what}",
                self.now.since(calm_at)
            ));
        }
        self.report.healed_after = self.now.since(calm_at);
        self.run_until(end)?;
        self.elder = None;
        self.check_quiet()?;
        self.check_silence()?;
        self.check_stores()?;
        Ok(self.report)
    }

    /// When all is well, a secondary costs a heartbeat and its ACK an interval, and no entry is sent.
    fn check_quiet(&mut self) -> Result<(), String> {
        let before = self.report;
        self.run_until(self.now + self.plan.replication.heartbeat_interval * 10)?;
        let (messages, appends) = (
            self.report.messages - before.messages,
            self.report.appends - before.appends,
        );
        if messages > 22 * self.nodes.len() as u64 || appends > 0 {
            return Err(format!(
                "{messages} messages and {appends} appends in ten quiet heartbeats"
            ));
        }
        match self.unwell() {
            Some(what) => Err(format!("not well any more: {what}")),
            None => Ok(()),
        }
    }

    /// A secondary that is silent is unhealthy in time, costs one small message a backoff, and goes on at once when it is
    /// there again.
    fn check_silence(&mut self) -> Result<(), String> {
        let settings = self.plan.replication.clone();
        let n = self.random.index(self.nodes.len());
        if self.is_foreign(&self.nodes[n]) {
            return Ok(());
        }
        let name = self.nodes[n].follower.node().clone();
        self.nodes[n].cut_off = true;
        self.ask()?;
        let found_by = settings.unhealthy_after + settings.heartbeat_interval * 2;
        self.run_until(self.now + found_by)?;
        let status = self.master.leader.status(&name, self.now);
        if status != Status::Unhealthy {
            return Err(format!("{name} is silent for {found_by:?} and {status:?}"));
        }
        let before = self.nodes[n].addressed;
        self.run_until(self.now + settings.retry_max * 50)?;
        let after = self.nodes[n].addressed;
        let (messages, appends) = (after.0 - before.0, after.1 - before.1);
        // The shortest wait is half of the longest one; a dozen doublings lead there.
        if !(40..=100 + 12).contains(&messages) || appends > 0 {
            return Err(format!(
                "{messages} messages to a dead one, {appends} with entries"
            ));
        }
        if self.random.happens(500) {
            self.nodes[n].restart();
        }
        self.mend(Some(n));
        // A few times there and back; more for a log that goes entry by entry, as a small window has it.
        let trips = u32::try_from(self.master.log.last().seq.0).unwrap_or(u32::MAX);
        let soon = std::time::Duration::from_millis(5) * (4 + trips);
        self.run_until(self.now + soon + settings.linger)?;
        self.unwell()
            .map_or(Ok(()), |what| Err(format!("not at once: {what}")))
    }

    /// The stores hold what the histories are.
    fn check_stores(&mut self) -> Result<(), String> {
        let history = self.master.leader.life().log_id;
        let truth = &self.master.histories[&history];
        let same = |log: &dyn LogStore| {
            let all = log.read(Seq(1), Seq(u64::MAX), u64::MAX, usize::MAX);
            all.is_ok_and(|chunk| chunk.entries().is_ok_and(|entries| entries == *truth))
        };
        let followers = self.nodes.iter().filter(|n| !self.is_foreign(n));
        let diverged = self.nodes.len() - followers.clone().count();
        if !same(&self.master.log) || followers.clone().any(|n| !same(&n.log)) {
            return Err("a store does not hold what the history is".into());
        }
        self.report.entries = truth.len() as u64;
        self.report.diverged = diverged as u64;
        Ok(())
    }
}
