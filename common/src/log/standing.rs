//! What a node has to know after a restart beside its entries.

use serde::{Deserialize, Serialize};

use crate::message::Life;
use crate::protocol::epochs::Run;
use crate::types::{Epoch, Incarnation, Instance, LogId, Seq};

/// Where a node stands: stored in the same transaction as the entries it belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The history; `None` while there is none.
    pub log_id: Option<LogId>,
    /// The highest epoch that was served in, followed or promised.
    pub epoch: Epoch,
    /// The start of the master in that epoch.
    pub instance: Option<Instance>,
    /// The life of a secondary's storage.
    pub incarnation: Option<Incarnation>,
    /// Histories that this one has replaced, and the life that cleared each away.
    pub replaced: Vec<Life>,
    /// The lives that placed the entries.
    pub lives: Vec<Run>,
    /// A master was about to fetch the rest of it.
    #[serde(default)]
    pub is_partial: bool,
}

impl Standing {
    /// The life in which the entry at `seq` was placed, if there is one.
    #[must_use]
    pub fn epoch_at(&self, seq: Seq) -> Option<Epoch> {
        let life = self.lives.iter().rfind(|life| life.first <= seq);
        life.map(|life| life.epoch)
    }
}
