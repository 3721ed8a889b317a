//! What nodes have sent, for tests that count.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

/// One message that a node wanted to send.
#[derive(Clone, Debug)]
pub struct Sent {
    /// When.
    pub at: Instant,
    /// The name of the node's connection.
    pub from: Arc<str>,
    /// The full subject.
    pub subject: String,
    /// The line of JSON.
    pub payload: Bytes,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was not taken: the link is down, full, or the message too large.
    Refused,
    /// Nobody listens.
    Nobody,
    /// So many copies are on the way; none if it was lost.
    Carried {
        /// How many.
        copies: u32,
    },
}

impl Sent {
    /// Whether it went, or was to go, to a subject of that kind: `append`, `heartbeat`, `ack`, `event`.
    #[must_use]
    pub fn is_kind(&self, kind: &str) -> bool {
        self.subject.split('.').nth(2) == Some(kind)
    }

    /// Whether it went, or was to go, to a subject of that kind and node.
    #[must_use]
    pub fn is_about(&self, kind: &str, node: &str) -> bool {
        self.is_kind(kind) && self.subject.split('.').nth(3) == Some(node)
    }
}
