//! What a simulated cluster consists of.

use std::sync::Arc;

use replog_protocol::follower::{Follower, FollowerConfig};
use replog_protocol::ids::{LogId, MasterId, NodeId, StorageId};
use replog_protocol::leader::dedup::DeduplicateBy;
use replog_protocol::leader::recovery::RecoverySettings;
use replog_protocol::leader::settings::Replication;
use replog_protocol::leader::{Leader, LeaderConfig};
use replog_protocol::node::{Identity, Restored};
use std::time::Duration;
use uuid::Uuid;

use crate::cluster::clients::Client;
use crate::cluster::process::Pace;

/// The settings of a cluster.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The names of the secondaries.
    pub names: Vec<NodeId>,
    /// They are listed; else whoever joins is a member.
    pub is_listed: bool,
    /// Whether appends are refused while fewer than a majority is alive.
    pub needs_quorum: bool,
    /// The masters' settings of replication.
    pub replication: Replication,
    /// How long a master that recovers waits for whom; whether it supersedes a living one is up to each start.
    pub recovery: RecoverySettings,
    /// How many ids a master keeps in memory; `None` for all of them.
    pub remember_ids: Option<usize>,
    /// How often secondaries expect a sign of life.
    pub secondary_interval: Duration,
    /// Acknowledged writes can be undone by a power cut.
    pub is_lazy: bool,
    /// What the journals of masters do at once.
    pub master_pace: Pace,
    /// What the journals of secondaries do at once.
    pub secondary_pace: Pace,
    /// The broker's `max_payload`.
    pub max_payload: usize,
    /// No holder is ever given up: a master that recovers waits for every listed secondary, however long that takes.
    pub is_patient: bool,
    /// What is committed is told, and judged. In a model that makes many states of one.
    pub tells_committed: bool,
    /// Masters share their journal.
    pub shares_journal: bool,
    /// Chooses the ids; with 0 they count up.
    pub salt: u64,
}

/// Whose id it is.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Storage = 1,
    Master = 2,
    Log = 3,
}

impl Setup {
    fn id(&self, kind: Kind, place: usize, n: u32) -> Uuid {
        let place = u64::try_from(place).unwrap_or(u64::MAX);
        let plain = (kind as u64) << 48 | place << 32 | u64::from(n);
        match self.salt {
            0 => Uuid::from_u64_pair(0, plain),
            salt => Uuid::from_u64_pair(mixed(plain ^ salt), plain),
        }
    }

    /// The n-th start, or emptying, of the secondary in that place.
    #[must_use]
    pub fn storage_id(&self, place: usize, n: u32) -> StorageId {
        StorageId(self.id(Kind::Storage, place, n))
    }

    /// The n-th start of the master in that place.
    #[must_use]
    pub fn master_id(&self, place: usize, n: u32) -> MasterId {
        MasterId(self.id(Kind::Master, place, n))
    }

    /// The n-th history that the master in that place may begin.
    #[must_use]
    pub fn log_id(&self, place: usize, n: u32) -> LogId {
        LogId(self.id(Kind::Log, place, n))
    }

    /// A master that has just started.
    #[must_use]
    pub fn leader(
        &self,
        master: MasterId,
        new_log_id: LogId,
        takeover: bool,
        restored: Restored,
    ) -> Leader<Client> {
        let recovery = RecoverySettings {
            takeover,
            ..self.recovery.clone()
        };
        let config = LeaderConfig {
            master,
            new_log_id,
            listed: self.is_listed.then(|| self.names.clone()),
            deduplicate_by: DeduplicateBy::MessageId,
            shares_journal: self.shares_journal,
            remember_ids: self.remember_ids,
            read_only_without_quorum: self.needs_quorum,
            recovery,
            replication: self.replication.clone(),
            url: None,
        };
        Leader::new(config, restored)
    }

    /// A secondary that has just started.
    #[must_use]
    pub fn follower(
        &self,
        node: NodeId,
        storage: StorageId,
        restored: Restored,
    ) -> Follower<Client> {
        let seed = u64::from(storage.0.as_bytes()[15]) + self.salt;
        let config = FollowerConfig {
            identity: Identity { node, storage },
            heartbeat_interval: self.secondary_interval,
            seed,
            url: None,
        };
        Follower::new(config, restored)
    }

    /// The same, to be shared.
    #[must_use]
    pub fn shared(self) -> Arc<Self> {
        Arc::new(self)
    }
}

/// Spreads the bits of a number (splitmix64).
#[must_use]
pub fn mixed(n: u64) -> u64 {
    let mut z = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
