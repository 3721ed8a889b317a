//! Which entries a reader wants to see: all that the node has, or those that so many nodes hold.

use std::fmt;

use replog_protocol::ids::Seq;
use replog_protocol::node::Snapshot;
use replog_protocol::write_concern::WriteConcern;
use serde::de::{self, Deserialize, Deserializer};

/// The parameter `committed`: `majority`, `all`, or how many nodes, the master included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommittedBy(pub WriteConcern);

impl<'de> Deserialize<'de> for CommittedBy {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let wrong = |_| de::Error::custom("must be majority, all, or a whole number from 1");
        <&str>::deserialize(from)?.parse().map(Self).map_err(wrong)
    }
}

impl fmt::Display for CommittedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            WriteConcern::Count(n) => n.fmt(f),
            WriteConcern::Majority => f.write_str("majority"),
            WriteConcern::All => f.write_str("all"),
        }
    }
}

/// How much of a log a reader wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// All that the node has.
    Everything,
    /// Only what is committed.
    Committed(CommittedBy),
}

impl Level {
    /// The last entry that is shown.
    #[must_use]
    pub fn last(self, snapshot: &Snapshot) -> Seq {
        match self {
            Self::Everything => snapshot.last,
            Self::Committed(by) => snapshot.last.min(snapshot.committed.by(by.0)),
        }
    }

    /// The last committed entry, where only such are wanted.
    #[must_use]
    pub fn committed(self, snapshot: &Snapshot) -> Option<Seq> {
        (self != Self::Everything).then(|| self.last(snapshot))
    }

    /// Whether the node knows of more than it shows, because it has not stored that yet.
    #[must_use]
    pub fn is_behind(self, snapshot: &Snapshot) -> bool {
        match self {
            Self::Everything => false,
            Self::Committed(CommittedBy(by)) => {
                snapshot.committed_soon.by(by) > snapshot.committed.by(by)
            }
        }
    }
}

impl From<Option<CommittedBy>> for Level {
    fn from(by: Option<CommittedBy>) -> Self {
        by.map_or(Self::Everything, Self::Committed)
    }
}
