//! A master and a secondary: the real machines, and what their storages really hold.

use std::time::Duration;

use replog_common::entry::Entry;
use replog_common::message::Life;
use replog_common::protocol::dedup::DeduplicateBy;
use replog_common::protocol::follower::Follower;
use replog_common::protocol::leader::{Leader, LeaderConfig};
use replog_common::protocol::recovery::RecoverySettings;
use replog_common::protocol::settings::Replication;
use replog_common::types::{Epoch, Incarnation, Instance, LogId};
use uuid::Uuid;

use super::bounds::{Bounds, Start};
use super::state::{NOW, log_id, node_id};

/// What a life of a secondary's storage held at its end, or before it put a part of that aside.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Buried {
    pub(super) incarnation: Incarnation,
    pub(super) log_id: Option<LogId>,
    pub(super) stored: Vec<Entry>,
}

/// A secondary: the machine, and beside it what its storage really holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Node {
    pub(super) follower: Follower,
    pub(super) stored: Vec<Entry>,
    pub(super) buried: Vec<Buried>,
    /// Taken out of the log because the master has something else there, and kept.
    pub(super) aside: Vec<Entry>,
    pub(super) crashes: u8,
}

impl Node {
    /// How much of `log` that life of its storage holds, or held once.
    pub(super) fn held(&self, life: Option<Incarnation>, history: LogId, log: &[Entry]) -> usize {
        let common = |stored: &[Entry]| stored.iter().zip(log).take_while(|(a, b)| a == b).count();
        let f = &self.follower;
        let lives =
            (Some(f.incarnation()) == life && f.log_id() == Some(history)).then_some(&self.stored);
        let is_it = |b: &&Buried| Some(b.incarnation) == life && b.log_id == Some(history);
        let buried = self.buried.iter().filter(is_it).map(|b| &b.stored);
        lives
            .into_iter()
            .chain(buried)
            .map(|s| common(s))
            .max()
            .unwrap_or(0)
    }

    pub(super) fn bury(&mut self) {
        self.buried.push(Buried {
            incarnation: self.follower.incarnation(),
            log_id: self.follower.log_id(),
            stored: self.stored.clone(),
        });
    }
}

/// A master: the machine, and beside it what its storage really holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Master {
    pub(super) leader: Leader<u8>,
    /// The program runs.
    pub(super) lives: bool,
    pub(super) linked: bool,
    pub(super) log: Vec<Entry>,
    /// Of each secondary, the newest life of its storage that it has heard of.
    pub(super) heard: Vec<Option<Incarnation>>,
}

impl Master {
    /// The master's n-th start, with nothing in its log.
    pub(super) fn start(bounds: &Bounds, birth: u8) -> Self {
        Self {
            leader: newborn(bounds, birth),
            lives: true,
            linked: false,
            log: Vec::new(),
            heard: vec![None; bounds.nodes.into()],
        }
    }

    /// It takes appends, as far as it knows.
    pub(super) fn serves(&self) -> bool {
        self.lives && self.leader.read_only(NOW).is_none()
    }

    pub(super) fn history(&self) -> LogId {
        self.leader.life().log_id
    }
}

fn newborn(bounds: &Bounds, birth: u8) -> Leader<u8> {
    let ids = (0..bounds.nodes).map(|n| node_id(n.into())).collect();
    Leader::new(LeaderConfig {
        life: Life {
            log_id: log_id(birth, 0),
            epoch: Epoch(1),
            instance: Instance(Uuid::from_u128(u128::from(birth) + 1)),
        },
        recovery: (birth > 0 && bounds.start != Start::Anew).then(|| RecoverySettings {
            timeout: match bounds.start {
                Start::Hasty => Duration::ZERO,
                _ => Duration::MAX,
            },
            listen: Duration::ZERO,
            retry: Duration::from_secs(1), // which never pass
            takeover: bounds.takeover,
        }),
        listed: bounds.listed.then_some(ids),
        deduplicate_by: DeduplicateBy::MessageId,
        read_only_without_quorum: false,
        replication: settings(bounds),
    })
}

/// Waits of no length: every deadline has always come, and whether anything is done about it is a step of the model.
fn settings(bounds: &Bounds) -> Replication {
    Replication {
        heartbeat_interval: Duration::ZERO,
        suspect_after: Duration::from_secs(1),
        unhealthy_after: Duration::from_secs(2),
        retry_min: Duration::ZERO,
        retry_max: Duration::ZERO,
        batch_bytes: if bounds.batches { 1 << 20 } else { 1 },
        window_bytes: 1 << 20,
        linger: Duration::ZERO,
        max_waiting: 100,
        seed: 1,
    }
}
