//! Names and numbers that identify things: parsed once at the edge, trusted afterwards.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Position of an entry in the log. The first entry has position 1; [`Seq::ZERO`] is the place before the first entry.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// The place before the first entry: "nothing yet".
    pub const ZERO: Seq = Seq(0);
    /// 2^53 - 1, the last position that an entry can have: the largest integer that every JSON reader takes as it is
    /// (RFC 7493, section 2.2).
    pub const MAX: Seq = Seq((1 << 53) - 1);

    /// The position after this one. The largest number stays what it is: no log gets that long.
    #[must_use]
    pub fn next(self) -> Seq {
        Seq(self.0.saturating_add(1))
    }

    /// The position before this one; [`Seq::ZERO`] has none before it and stays what it is.
    #[must_use]
    pub fn prev(self) -> Seq {
        Seq(self.0.saturating_sub(1))
    }

    /// How many positions lie after `earlier`, up to and including this one.
    #[must_use]
    pub fn after(self, earlier: Seq) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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

uuid_id!(
    /// One history of the log. Two logs with different ids share nothing, whatever their positions say.
    LogId
);
uuid_id!(
    /// One start of a master program, shown outside as `instance`.
    MasterId
);
uuid_id!(
    /// One life of a secondary's storage and process: new at every start, and whenever the storage is emptied. A copied or
    /// restored directory therefore never passes for the storage that the master knew (Kafka: directory id).
    StorageId
);
uuid_id!(
    /// What makes an append idempotent: the client's key, or an id that the master makes.
    MessageId
);

/// One leadership of a history (Paxos: ballot; Raft: term; openraft: `LeaderId`).
///
/// `n` counts up: a master serves above every epoch that it has seen. Two masters that cannot hear each other may still
/// choose the same `n`; `master` makes the epoch unique, so any two epochs are ordered and no two are equal.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Epoch {
    /// The number that users see; at most [`Epoch::MAX_N`].
    #[serde(rename = "epoch", deserialize_with = "epoch_number")]
    pub n: u64,
    /// The start of the master program that leads in this epoch; nil in [`Epoch::ZERO`].
    #[serde(rename = "instance", default, skip_serializing_if = "MasterId::is_nil")]
    pub master: MasterId,
}

impl Epoch {
    /// Before any master: the epoch of the place before the first entry.
    pub const ZERO: Epoch = Epoch {
        n: 0,
        master: MasterId(Uuid::nil()),
    };
    /// 2^53 - 1, the largest integer that every JSON reader takes as it is (RFC 7493, section 2.2).
    pub const MAX_N: u64 = (1 << 53) - 1;
    /// An epoch that is further above the receiver's own than this is forged: no cluster starts its master that often.
    pub const MAX_LEAP: u64 = 1 << 32;

    /// The epoch with that number and master.
    ///
    /// # Errors
    /// A number above [`Epoch::MAX_N`].
    pub fn new(n: u64, master: MasterId) -> Result<Self, InvalidValue> {
        match n <= Self::MAX_N {
            true => Ok(Self { n, master }),
            false => Err(InvalidValue::new(
                "epoch",
                &n.to_string(),
                "at most 9007199254740991",
            )),
        }
    }

    /// The next higher epoch, led by `master`.
    #[must_use]
    pub fn next_of(self, master: MasterId) -> Epoch {
        Epoch {
            n: self.n.saturating_add(1).min(Self::MAX_N),
            master,
        }
    }

    /// Whether this epoch is further above `own` than any honest one can be.
    #[must_use]
    pub fn is_forged_above(self, own: Epoch) -> bool {
        self.n.saturating_sub(own.n) > Self::MAX_LEAP || self.n >= Self::MAX_N
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.n.fmt(f)
    }
}

fn epoch_number<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let n = u64::deserialize(from)?;
    let epoch = Epoch::new(n, MasterId::default());
    epoch.map(|epoch| epoch.n).map_err(serde::de::Error::custom)
}

impl MasterId {
    /// Whether this is the id of no master.
    #[must_use]
    pub fn is_nil(&self) -> bool {
        self.0.is_nil()
    }
}

/// A history and one leadership of it: who speaks in a message of a master.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Leadership {
    /// The history.
    pub log_id: LogId,
    /// The epoch of the master.
    #[serde(flatten)]
    pub epoch: Epoch,
}

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
    pub fn parse(text: &str) -> Result<Self, InvalidValue> {
        let plain = matches!(text.len(), 32 | 36)
            && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        match Uuid::try_parse(text) {
            Ok(id) if plain => Ok(Self(id)),
            _ => Err(InvalidValue::new(
                "message_id",
                text,
                "a UUID, with or without hyphens",
            )),
        }
    }
}

/// The name of a secondary: one token of a NATS subject, `[A-Za-z0-9_-]{1,32}`, and not `master`.
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
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        let is_name = (1..=32).contains(&text.len()) && text.bytes().all(allowed);
        if is_name && text != "master" {
            Ok(Self(text.into()))
        } else {
            Err(InvalidValue::new(
                "node id",
                text,
                "1 to 32 of the characters A-Z a-z 0-9 _ -, and not \"master\"",
            ))
        }
    }
}

impl TryFrom<String> for NodeId {
    type Error = InvalidValue;

    fn try_from(text: String) -> Result<Self, InvalidValue> {
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

    /// The time that has passed since `earlier`, zero if `earlier` lies ahead.
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

/// A value that is not what it should be; says of what, which one (shortened), and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {value:?} is not allowed: it must be {allowed}")]
pub struct InvalidValue {
    what: &'static str,
    value: String,
    allowed: &'static str,
}

impl InvalidValue {
    /// The text shows at most 64 characters of `value`.
    pub(crate) fn new(what: &'static str, value: &str, allowed: &'static str) -> Self {
        let value = value.chars().take(64).collect();
        Self {
            what,
            value,
            allowed,
        }
    }
}
