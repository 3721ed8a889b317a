//! What a node shows of its log: one owner writes, any number of requests read.

use std::sync::Arc;

use replog_protocol::node::Snapshot;
use replog_storage::journal::LogReader;
use tokio::sync::watch;

/// The log as it is shown at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// How much of the log may be shown, and of which history it is.
    pub snapshot: Snapshot,
    /// Reads the entries. A log that is cleared gets another reader: whoever reads the former log finishes with its own.
    pub reader: Arc<dyn LogReader>,
}

/// Hands out the newest view, and wakes those who wait for a later one. Closed when the owner of the log has ended.
pub type Views = watch::Receiver<View>;
