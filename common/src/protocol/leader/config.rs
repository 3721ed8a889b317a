//! What a leader is started with, and by whom it may be ended.

use crate::log::Standing;
use crate::message::Life;
use crate::protocol::dedup::DeduplicateBy;
use crate::protocol::recovery::RecoverySettings;
use crate::protocol::settings::Replication;
use crate::types::{Epoch, NodeId, Seq};

/// By whom a master was overtaken.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FencedBy {
    /// The epoch of the other one.
    pub epoch: Epoch,
    /// The secondary that has told so; else it was the other one itself.
    pub heard_from: Option<NodeId>,
}

/// What a leader is started with.
#[derive(Clone, Debug)]
pub struct LeaderConfig {
    /// The history and the life in it. With a recovery, only what is taken if nobody has any history; the epoch is found.
    pub life: Life,
    /// How it asks for what the others hold, before it serves; `None` serves at once.
    pub recovery: Option<RecoverySettings>,
    /// The listed members; `None` takes whoever joins.
    pub listed: Option<Vec<NodeId>>,
    /// The rule of deduplication.
    pub deduplicate_by: DeduplicateBy,
    /// Whether appends are refused while fewer than a majority lives.
    pub read_only_without_quorum: bool,
    /// The settings of replication.
    pub replication: Replication,
}

/// What its disk holds.
#[derive(Clone, Debug)]
pub struct OnDisk {
    /// Where it stands.
    pub standing: Standing,
    /// The last entry.
    pub last: Seq,
}
