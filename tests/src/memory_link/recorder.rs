//! What nodes have sent, for tests that count and compare.

use std::sync::Arc;

use bytes::Bytes;
use replog_protocol::wire::Address;
use tokio::time::Instant;

/// One message that a node wanted to send.
#[derive(Clone, Debug)]
pub struct SentMessage {
    /// When the message was handed over.
    pub at: Instant,
    /// The name of the connection that the message was handed to.
    pub from: Arc<str>,
    /// Where the message was to go.
    pub to: Address,
    /// The subject of that address.
    pub subject: String,
    /// The message as it travels.
    pub payload: Bytes,
    /// What became of the message.
    pub fate: Fate,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The message was not taken: the link was down or full, or the message too large.
    Refused,
    /// Nobody listens there.
    NoResponders,
    /// So many copies are on the way.
    Carried {
        /// How many; none if the message was lost.
        copies: u32,
    },
}

impl SentMessage {
    /// Whether the message was for a subject of that kind: `append`, `heartbeat`, `ack`, `event`.
    #[must_use]
    pub fn is_kind(&self, kind: &str) -> bool {
        self.subject.split('.').nth(2) == Some(kind)
    }

    /// Whether the message was for a subject of that kind and node.
    #[must_use]
    pub fn is_about(&self, kind: &str, node: &str) -> bool {
        self.is_kind(kind) && self.subject.split('.').nth(3) == Some(node)
    }
}
