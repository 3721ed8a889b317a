//! The master of the simulation: the machine, its store, and what every history really was.

use std::collections::{BTreeMap, BTreeSet};

use replog_common::entry::Entry;
use replog_common::log::LogStore;
use replog_common::log::memory::MemoryLog;
use replog_common::message::Life;
use replog_common::protocol::dedup::DeduplicateBy;
use replog_common::protocol::leader::{Leader, LeaderConfig};
use replog_common::protocol::recovery::RecoverySettings;
use replog_common::types::{Epoch, Instance, LogId, Seq, Time};

use crate::sim::plan::Plan;
use crate::sim::random::Random;

/// The master.
#[derive(Debug)]
pub struct Master {
    /// The machine; its clients have numbers.
    pub leader: Leader<usize>,
    /// What it stores.
    pub log: MemoryLog,
    /// Every history with its entries, as its last master has them.
    pub histories: BTreeMap<LogId, Vec<Entry>>,
    /// Every entry that a master has ever placed.
    pub ever: BTreeSet<(LogId, Entry)>,
    /// The broker is there.
    pub linked: bool,
    /// It is stopped until then.
    pub paused_until: Option<Time>,
    /// It will store what is placed, soon.
    pub is_storing: bool,
}

impl Master {
    /// A master with nothing in its log, not linked yet.
    #[must_use]
    pub fn new(plan: &Plan, random: &mut Random) -> Self {
        let leader = leader(plan, random);
        Self {
            histories: BTreeMap::from([(leader.life().log_id, Vec::new())]),
            ever: BTreeSet::new(),
            leader,
            log: MemoryLog::new(),
            linked: false,
            paused_until: None,
            is_storing: false,
        }
    }

    /// It begins anew, with nothing in its log.
    pub fn rebirth(&mut self, plan: &Plan, random: &mut Random) {
        self.leader = leader(plan, random);
        self.log = MemoryLog::new();
        if plan.recovery.is_none() {
            self.begin_history();
        }
        self.linked = false;
        self.is_storing = false;
    }

    /// Another history, empty.
    pub fn begin_history(&mut self) {
        self.histories.insert(self.leader.life().log_id, Vec::new());
        self.log = MemoryLog::new();
    }

    /// When it wakes by itself.
    #[must_use]
    pub fn wake(&self, now: Time) -> Option<Time> {
        if self.paused_until.is_some() {
            return None;
        }
        self.leader.deadline(now)
    }

    /// The broker is there.
    pub fn link_up(&mut self, now: Time) {
        self.linked = true;
        self.leader.link_up(now);
    }

    /// The broker is gone.
    pub fn link_down(&mut self, now: Time) {
        self.linked = false;
        self.leader.link_down(now);
    }

    /// Stores what is placed.
    ///
    /// # Errors
    /// The store refuses.
    pub fn store(&mut self) -> Result<(), String> {
        self.is_storing = false;
        if let Some(keep) = self.leader.take_cut() {
            self.log.truncate(keep).map_err(|e| e.to_string())?;
        }
        let staged = self.leader.take_staged();
        let Some(last) = staged.last().map(|e| e.seq) else {
            return Ok(());
        };
        self.log.append(&staged).map_err(|e| e.to_string())?;
        if !self.leader.is_recovering() {
            let life = *self.leader.life();
            let placed = staged.iter().map(|e| (life.log_id, e.clone()));
            self.ever.extend(placed);
            self.histories
                .entry(life.log_id)
                .or_default()
                .extend(staged);
        }
        self.leader.stored(last);
        Ok(())
    }

    /// It begins to serve: what it has taken over is what the history is from now on. What the history was before.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn serve(&mut self) -> Result<Vec<Entry>, String> {
        let all = self.log.read(Seq(1), Seq(u64::MAX), u64::MAX, usize::MAX);
        let all = all.map_err(|e| e.to_string())?;
        let all = all.entries().map_err(|e| e.to_string())?;
        let before = self.histories.insert(self.leader.life().log_id, all);
        Ok(before.unwrap_or_default())
    }

    /// Whether a master has ever placed that entry in that history.
    #[must_use]
    pub fn has(&self, history: LogId, entry: &Entry) -> bool {
        self.ever.contains(&(history, entry.clone()))
    }
}

fn leader(plan: &Plan, random: &mut Random) -> Leader<usize> {
    let names = (0..plan.nodes).filter_map(|n| format!("s{n}").parse().ok());
    Leader::new(LeaderConfig {
        life: Life {
            log_id: LogId(random.uuid()),
            epoch: Epoch(1), // unless it recovers
            instance: Instance(random.uuid()),
        },
        recovery: plan.recovery.map(|timeout| RecoverySettings {
            timeout,
            listen: plan.replication.heartbeat_interval.min(timeout),
            retry: plan.replication.heartbeat_interval,
            takeover: false,
        }),
        listed: plan.listed.then(|| names.collect()),
        deduplicate_by: DeduplicateBy::MessageId,
        read_only_without_quorum: plan.needs_quorum,
        replication: plan.replication.clone(),
    })
}
