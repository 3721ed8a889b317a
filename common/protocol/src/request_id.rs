//! The ids that clients give to their requests, for the logs of whoever has to do with one.

use std::fmt;
use std::sync::Arc;

use crate::ids::Seq;

/// The name that a client has given to one request: 1 to 128 visible ASCII characters, so that it can stand in any log line.
/// Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// The longest id, in bytes.
    pub const MAX_BYTES: usize = 128;

    /// Takes an id; `None` for what is none.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        Self::is_valid(text).then(|| Self(text.into()))
    }

    /// Whether a text is an id.
    #[must_use]
    pub fn is_valid(text: &str) -> bool {
        (1..=Self::MAX_BYTES).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The entries that one request has appended, and the id that its client gave to it. It travels beside the entries, for logs
/// alone: nothing is decided by it, and it is not stored.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestEntries {
    /// The first entry.
    pub first: Seq,
    /// The last entry; the first one for a single message.
    pub last: Seq,
    /// The client's id of the request.
    pub request_id: RequestId,
}

impl RequestEntries {
    /// The part of these entries that lies within a range; `None` where there is none.
    #[must_use]
    pub fn within(&self, first: Seq, last: Seq) -> Option<Self> {
        let part = Self {
            first: self.first.max(first),
            last: self.last.min(last),
            request_id: self.request_id.clone(),
        };
        (part.first <= part.last).then_some(part)
    }
}
