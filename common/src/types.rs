//! The words of the protocol: parsed once at the edge, trusted afterwards.

mod write_concern;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use write_concern::WriteConcern;

/// Position of an entry in the log. The first entry has position 1; [`Seq::ZERO`] is the place before it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// The place before the first entry: "nothing yet".
    pub const ZERO: Seq = Seq(0);

    /// The position after this one; the last number there is stays, no log gets that long.
    #[must_use]
    pub fn next(self) -> Seq {
        Seq(self.0.saturating_add(1))
    }

    /// The position after this one, unless there is none.
    #[must_use]
    pub fn checked_next(self) -> Option<Seq> {
        self.0.checked_add(1).map(Seq)
    }

    /// The position before this one; [`Seq::ZERO`] has none before it and stays.
    #[must_use]
    pub fn prev(self) -> Seq {
        Seq(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The master's lives within one history: raised by one, before it serves, at every start. Stamped on each entry and
/// each message, so that an ACK meant for a former life is recognised (Raft calls it the term).
///
/// At most [`Epoch::MAX`]; a message with a higher one is not read.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(into = "u64", try_from = "u64")]
pub struct Epoch(pub u64);

impl Epoch {
    /// 2^53 - 1, the largest integer that every JSON reader takes as it is (RFC 7493, section 2.2). No master lives that
    /// often: where it is met, somebody lies, and nobody rises above it.
    pub const MAX: Epoch = Epoch((1 << 53) - 1);

    /// The life after this one; the last one stays.
    #[must_use]
    pub fn next(self) -> Epoch {
        Epoch(self.0.saturating_add(1)).min(Self::MAX)
    }
}

impl From<Epoch> for u64 {
    fn from(epoch: Epoch) -> u64 {
        epoch.0
    }
}

impl TryFrom<u64> for Epoch {
    type Error = InvalidWord;

    fn try_from(n: u64) -> Result<Self, InvalidWord> {
        if n > Self::MAX.0 {
            let allowed = "at most 9007199254740991";
            return Err(InvalidWord::new("epoch", &n.to_string(), allowed));
        }
        Ok(Self(n))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! uuid_word {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

uuid_word!(
    /// One history. Two logs with different ids share nothing, whatever their positions say.
    LogId
);
uuid_word!(
    /// One life of a secondary's storage (RFC 9562 version 7: a later life compares greater). A secondary that lost
    /// its memory has a new one, and only that lets its position go down at the master.
    Incarnation
);
uuid_word!(
    /// One start of a master. Tells apart two masters that believe in the same epoch.
    Instance
);
uuid_word!(
    /// What makes an append idempotent: the client's key, or one that the master makes.
    MessageId
);

/// The namespace of version-5 message ids: the URL namespace of RFC 9562, section 6.6.
const KEY_NAMESPACE: Uuid = Uuid::NAMESPACE_URL;

impl MessageId {
    /// The id for an `Idempotency-Key`: the key itself if it is a UUID, else the version-5 UUID of its bytes.
    #[must_use]
    pub fn from_key(key: &str) -> Self {
        Self::parse(key).unwrap_or_else(|_| Self(Uuid::new_v5(&KEY_NAMESPACE, key.as_bytes())))
    }

    /// Parses a UUID in any case, with or without hyphens.
    ///
    /// # Errors
    /// Any other text, braces and `urn:` forms among them.
    pub fn parse(text: &str) -> Result<Self, InvalidWord> {
        let plain = matches!(text.len(), 32 | 36)
            && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        match Uuid::try_parse(text) {
            Ok(id) if plain => Ok(Self(id)),
            _ => Err(InvalidWord::new(
                "message_id",
                text,
                "a UUID, with or without hyphens",
            )),
        }
    }
}

/// The name of a secondary: one token of a NATS subject, `[A-Za-z0-9_-]{1,32}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeId(std::sync::Arc<str>);

impl NodeId {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for NodeId {
    type Err = InvalidWord;

    fn from_str(text: &str) -> Result<Self, InvalidWord> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if (1..=32).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidWord::new(
                "node id",
                text,
                "1 to 32 of the characters A-Z a-z 0-9 _ -",
            ))
        }
    }
}

impl TryFrom<String> for NodeId {
    type Error = InvalidWord;

    fn try_from(text: String) -> Result<Self, InvalidWord> {
        text.parse()
    }
}

impl From<NodeId> for String {
    fn from(id: NodeId) -> String {
        id.as_str().to_owned()
    }
}

/// A moment: the time since the process (or the simulation) began. The protocol is handed it and never asks a clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub Duration);

impl Time {
    /// The beginning.
    pub const ZERO: Time = Time(Duration::ZERO);

    /// The time that has passed since `earlier`, zero if that lies ahead.
    #[must_use]
    pub fn since(self, earlier: Time) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl std::ops::Add<Duration> for Time {
    type Output = Time;

    fn add(self, d: Duration) -> Time {
        Time(self.0.saturating_add(d))
    }
}

/// A word that is not what it should be; says which one, what it was (shortened), and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {value:?} is not allowed: it must be {allowed}")]
pub struct InvalidWord {
    what: &'static str,
    value: String,
    allowed: &'static str,
}

impl InvalidWord {
    fn new(what: &'static str, value: &str, allowed: &'static str) -> Self {
        let value = value.chars().take(64).collect();
        Self {
            what,
            value,
            allowed,
        }
    }
}
