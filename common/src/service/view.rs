//! What a node shows of its log: one owner writes, any number of requests read.

use std::sync::Arc;

use tokio::sync::watch;

use crate::log::{LogStore, MemoryLog};
use crate::types::{Epoch, LogId, Seq};

/// The log as it is shown at one moment. Only the contiguous prefix from seq 1 is ever in it.
#[derive(Clone, Debug)]
pub struct View {
    /// The entries. A log that is cleared is replaced as a whole: whoever reads the old one finishes with the old one.
    pub log: Arc<dyn LogStore>,
    /// The history; `None` while the node holds none.
    pub log_id: Option<LogId>,
    /// The epoch of the master.
    pub epoch: Epoch,
    /// The last position that is shown.
    pub last_seq: Seq,
    /// What is here can be shown; a master that recovers does not know yet.
    pub is_ready: bool,
    /// The master's history, where that is another one than this.
    pub diverged_from: Option<LogId>,
}

impl View {
    /// Nothing yet.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            log: Arc::new(MemoryLog::new()),
            log_id: None,
            epoch: Epoch(0),
            last_seq: Seq::ZERO,
            is_ready: true,
            diverged_from: None,
        }
    }
}

/// Hands out the newest view and wakes those who wait for a later one.
pub type Views = watch::Receiver<View>;
