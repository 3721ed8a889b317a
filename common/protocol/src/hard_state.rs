//! What a node must find again after a restart, beside its entries.

use serde::{Deserialize, Serialize};

use crate::chunk::ChunkSeq;
use crate::cleared_logs::ClearedLogs;
use crate::committed::Committed;
use crate::epochs::EpochStart;
use crate::follower::former_logs::FormerLogs;
use crate::ids::{Epoch, LogId, Seq};

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
    /// What is known to be committed of the history. A rise alone is no reason to write: it is stored with what is written next.
    #[serde(default, skip_serializing_if = "is_default")]
    pub committed: Committed,
    /// A master was fetching the rest of the log when this was written: what is here may not be all of it, and another
    /// holder has it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_partial: bool,
    /// Of a master whose journal others share: up to which chunk of the stream this is carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunk: Option<ChunkSeq>,
    /// Of a master whose journal others share: a log that is being moved into the stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moving: Option<Moving>,
}

/// A log that is moved into the stream of a shared journal, and is not all there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Moving {
    /// The stream has it up to here.
    pub streamed: Seq,
    /// Where it ends.
    pub upto: Seq,
}

fn is_default(committed: &Committed) -> bool {
    *committed == Committed::default()
}

impl HardState {
    /// Whether the two differ in more than what is committed, and how far the stream of a shared journal is carried out.
    pub(crate) fn has_changed_since(&self, stored: &Self) -> bool {
        let Self {
            log_id,
            epoch,
            epochs,
            cleared,
            former,
            committed: _,
            is_partial,
            chunk: _,
            moving,
        } = self;
        (log_id, epoch, epochs, cleared, former, is_partial, moving)
            != (
                &stored.log_id,
                &stored.epoch,
                &stored.epochs,
                &stored.cleared,
                &stored.former,
                &stored.is_partial,
                &stored.moving,
            )
    }
}
