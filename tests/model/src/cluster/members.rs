//! The places of a cluster: a disk, and whoever runs on it.

use std::collections::{BTreeMap, BTreeSet};

use replog_protocol::cleared_logs::ClearedLogs;
use replog_protocol::follower::Follower;
use replog_protocol::hard_state::HardState;
use replog_protocol::ids::{Epoch, Leadership, LogId, MasterId, NodeId, StorageId};
use replog_protocol::leader::Leader;
use replog_protocol::node::{End, Outbound};
use replog_protocol::wire::{Ack, Message, Promise};

use crate::cluster::clients::Client;
use crate::cluster::journal::SimJournal;
use crate::cluster::process::Process;

/// A disk of a secondary, and the process on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Secondary {
    /// Its name; a copied disk has the name of the one that it is a copy of.
    pub name: NodeId,
    /// The disk.
    pub journal: SimJournal,
    /// The process, if one runs.
    pub process: Option<Process<Follower<Client>>>,
    /// The start that runs, or ran last.
    pub storage: StorageId,
    /// How often it was started.
    pub starts: u32,
    /// How often it was emptied or joined another history.
    pub renewals: u32,
    /// Somebody has asked for an empty log, and that is not durable yet.
    pub is_emptying: bool,
    /// The highest epoch of each history that has left this disk, as far as the disk has not lost it.
    pub epochs_said: BTreeMap<LogId, Epoch>,
    /// Why the last process has ended, if it did by itself.
    pub end: Option<End>,
}

/// A disk of a master, and the process on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Master {
    /// The disk.
    pub journal: SimJournal,
    /// The process, if one runs.
    pub process: Option<Process<Leader<Client>>>,
    /// The start that runs, or ran last.
    pub id: MasterId,
    /// How often it was started.
    pub starts: u32,
    /// How often it has cleared its log.
    pub clears: u32,
    /// Which storages have answered it.
    pub seen: BTreeMap<NodeId, SeenStorages>,
    /// The highest number that has left it in a heartbeat.
    pub highest_round: u64,
    /// What it learned while it recovered.
    pub learned: Learned,
    /// Why the last process has ended, if it did by itself.
    pub end: Option<End>,
}

impl Master {
    /// The history and epoch that it leads, if it does.
    #[must_use]
    pub fn leads(&self) -> Option<Leadership> {
        let node = &self.process.as_ref()?.node;
        node.phase().leads().then(|| node.leadership())
    }

    /// Its epoch, or the one that it had last.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        let process = self.process.as_ref();
        process.map_or(Epoch::ZERO, |p| p.node.leadership().epoch)
    }

    /// Whether it takes appends.
    #[must_use]
    pub fn serves(&self) -> bool {
        let process = self.process.as_ref();
        process.is_some_and(|p| p.node.phase().unavailable().is_none())
    }

    /// A message is about to be delivered to it: what that tells.
    pub fn learn(&mut self, message: &Message) {
        let (ack, is_ack) = match message {
            Message::Ack(ack) | Message::Promise(Promise { position: ack }) => (ack, true),
            Message::FetchResponse(response) => (&response.position, false),
            _ => return,
        };
        if self.recovers() {
            self.learned.ack(ack);
        } else if is_ack && self.process.is_some() {
            let is_asked = ack.answers.master == self.id;
            let round = if is_asked { ack.answers.round } else { 0 };
            let seen = self.seen.entry(ack.node.clone()).or_default();
            seen.spoke(ack.storage, round, self.highest_round);
        }
    }

    /// Whether it follows the stream of a shared journal, and does not lead.
    #[must_use]
    pub fn stands_by(&self) -> bool {
        let process = self.process.as_ref();
        process.is_some_and(|p| p.node.phase().standby().is_some())
    }

    /// Whether it asks the secondaries what they hold.
    #[must_use]
    pub fn recovers(&self) -> bool {
        let process = self.process.as_ref();
        process.is_some_and(|p| p.node.phase().recovery().is_some())
    }
}

/// The storages of one name, as a master can know of them: by what was delivered to it, and by nothing else. A naive twin of
/// what the master keeps in mind itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SeenStorages {
    /// The one that was the last to show that it lives: it has answered a heartbeat that was sent after it was first seen.
    counts: Option<StorageId>,
    /// Those that have spoken, and the highest number that had left the master before.
    first: BTreeMap<StorageId, u64>,
    /// Those that counted before.
    former: BTreeSet<StorageId>,
}

impl SeenStorages {
    /// An ACK of `storage` has come, the answer to a heartbeat of this master with the number `round`, or 0.
    pub fn spoke(&mut self, storage: StorageId, round: u64, highest: u64) {
        if self.counts == Some(storage) || self.former.contains(&storage) {
            return;
        }
        match self.first.get(&storage) {
            Some(first) if round > *first => {
                self.first.remove(&storage);
                self.former.extend(self.counts.replace(storage));
                // The answer of another one may be the last word of a dead one, if it was under way before.
                self.first.values_mut().for_each(|first| *first = highest);
            }
            Some(_) => {}
            None => drop(self.first.insert(storage, highest)),
        }
    }

    /// The storage that counts.
    #[must_use]
    pub fn counts(&self) -> Option<StorageId> {
        self.counts
    }
}

/// What a master that recovers was told, or found on its disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Learned {
    /// What each storage follows or has promised, by its last word.
    pub follows: BTreeMap<StorageId, Leadership>,
    /// The histories that were said to be cleared away, each list as it was said.
    pub cleared: BTreeSet<ClearedLogs>,
}

impl Learned {
    /// What a master's own disk tells it.
    #[must_use]
    pub fn of_disk(hard_state: &HardState) -> Self {
        let cleared = Some(hard_state.cleared.clone()).filter(|c| !c.is_empty());
        Self {
            cleared: cleared.into_iter().collect(),
            ..Self::default()
        }
    }

    /// A secondary has said what it holds.
    pub fn ack(&mut self, ack: &Ack) {
        if let Some(log_id) = ack.log_id {
            let epoch = ack.epoch;
            let said = Leadership { log_id, epoch };
            let known = self.follows.entry(ack.storage).or_insert(said);
            if known.log_id != log_id || known.epoch < epoch {
                *known = said;
            }
        }
        if !ack.cleared.is_empty() {
            self.cleared.insert(ack.cleared.clone());
        }
    }
}

/// The number in a heartbeat that names a storage.
#[must_use]
pub fn round_of(outbound: &Outbound) -> Option<u64> {
    match &outbound.message {
        Message::Append(append) => append.storage.map(|_| append.round),
        _ => None,
    }
}
