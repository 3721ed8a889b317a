//! What a node must find again after a restart, beside its entries.

use serde::{Deserialize, Serialize};

use crate::cleared_logs::ClearedLogs;
use crate::epochs::EpochStart;
use crate::follower::former_logs::FormerLogs;
use crate::ids::{Epoch, LogId};

/// What must be on disk before it is said (etcd/raft: `HardState`): stored together with the entries it belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HardState {
    /// The history; `None` while the node holds none.
    pub log_id: Option<LogId>,
    /// The highest epoch of that history that the node has led, followed or promised: no lower one is followed again.
    pub epoch: Epoch,
    /// Which epoch placed which entries.
    pub epochs: Vec<EpochStart>,
    /// The histories that this one has replaced.
    pub cleared: ClearedLogs,
    /// Of a secondary: the histories that it has left, if any. A promise that was made in one of them outlives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former: Option<FormerLogs>,
    /// A master was fetching the rest of the log when this was written: what is here may not be all of it, and another
    /// holder has it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_partial: bool,
}
