//! What operators look for: in the log, and on `replog.<cluster>.event.<node>.<kind>`.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::ids::{Epoch, Leadership, LogId, MasterId, NodeId, Seq};
use crate::leader::health::Status;
use crate::node::RolledBack;
use crate::wire::PROTOCOL_VERSION;

/// Something that changed for good or for long.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// A secondary was heard for the first time.
    Joined {
        /// Which one.
        node: NodeId,
        /// Whether it counts for write concerns; else it is an observer.
        member: bool,
    },
    /// A secondary is heard as often as it should be.
    Healthy {
        /// Which one.
        node: NodeId,
        /// Its former status.
        from: Status,
    },
    /// A secondary was silent for longer than a heartbeat should take.
    Suspected {
        /// Which one.
        node: NodeId,
        /// Its former status.
        from: Status,
    },
    /// A secondary was silent for long, or said that it stops.
    Unhealthy {
        /// Which one.
        node: NodeId,
        /// Its former status.
        from: Status,
    },
    /// A secondary holds another history than its master.
    Diverged {
        /// Which one.
        node: NodeId,
        /// The history of the master, as the secondary says; of the secondary, as the master says.
        #[serde(skip_serializing_if = "Option::is_none")]
        other_log_id: Option<LogId>,
    },
    /// Entries were taken out of a node's log because its master, or the other nodes, have others there; they are kept, see
    /// `GET /diverged`.
    RolledBack {
        /// The history that they were the end of.
        rolled_back_log_id: LogId,
        /// The first of them.
        first_seq: Seq,
        /// The last of them.
        last_seq: Seq,
        /// Some of them had been committed by more than one node, none of which was heard when the log was recovered.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        committed: bool,
    },
    /// Two storages answer under one name, as a master says; another one counts in its place, as a secondary says of itself.
    Clash {
        /// The name.
        node: NodeId,
    },
    /// Appends are refused because fewer than a majority of the nodes is alive.
    ReadOnlyOn {},
    /// Appends are taken again.
    ReadOnlyOff {},
    /// A master asks everybody what they hold. Said again until it serves.
    Recovering {},
    /// A master serves.
    Serving {
        /// How many entries the log has.
        entries: u64,
        /// Nobody had any history: a new one begins.
        new: bool,
        /// Who was heard.
        heard: Vec<NodeId>,
        /// Listed members that were not heard.
        not_heard: Vec<NodeId>,
        /// The start of the living master that this one has superseded.
        #[serde(skip_serializing_if = "Option::is_none")]
        overtakes: Option<MasterId>,
    },
    /// Another master is followed: no appends here any more.
    Fenced {
        /// The number of the other master's epoch.
        by_epoch: u64,
        /// The secondary that told of the other master; `None` if that master did itself.
        #[serde(skip_serializing_if = "Option::is_none")]
        heard_from: Option<NodeId>,
    },
    /// A secondary was taken out of the members.
    Removed {
        /// Which one.
        node: NodeId,
    },
    /// The stream of a shared journal ends before what this master has carried out of it. What it has lost is written there
    /// again.
    JournalLostEnd {
        /// The last entry that the stream has.
        after_seq: Seq,
        /// The last entry that this master has.
        last_seq: Seq,
    },
    /// An entry cannot be read from a node's disk any more; another node is asked for it.
    Damaged {
        /// Which entry.
        seq: Seq,
    },
    /// An entry that was damaged can be read again.
    Repaired {
        /// Which entry.
        seq: Seq,
    },
}

impl Event {
    /// The last token of the event's subject.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Joined { .. } => "joined",
            Self::Healthy { .. } => "healthy",
            Self::Suspected { .. } => "suspected",
            Self::Unhealthy { .. } => "unhealthy",
            Self::Diverged { .. } => "diverged",
            Self::RolledBack { .. } => "rolled_back",
            Self::Clash { .. } => "clash",
            Self::ReadOnlyOn {} => "read_only_on",
            Self::ReadOnlyOff {} => "read_only_off",
            Self::Recovering {} => "recovering",
            Self::Serving { .. } => "serving",
            Self::Fenced { .. } => "fenced",
            Self::Removed { .. } => "removed",
            Self::JournalLostEnd { .. } => "journal_lost_end",
            Self::Damaged { .. } => "damaged",
            Self::Repaired { .. } => "repaired",
        }
    }

    /// Entries were rolled back, some of which had been `committed` by more than one node.
    #[must_use]
    pub fn rolled_back(tail: RolledBack, committed: bool) -> Self {
        Self::RolledBack {
            rolled_back_log_id: tail.log_id,
            first_seq: tail.first,
            last_seq: tail.last,
            committed,
        }
    }

    /// The event that says that a secondary's status has changed; `None` for a status that nobody is told of.
    #[must_use]
    pub fn of_status(
        node: NodeId,
        from: Status,
        to: Status,
        other_log_id: Option<LogId>,
    ) -> Option<Self> {
        Some(match to {
            Status::Unknown => return None,
            Status::Healthy => Self::Healthy { node, from },
            Status::Suspected => Self::Suspected { node, from },
            Status::Unhealthy => Self::Unhealthy { node, from },
            Status::Diverged => Self::Diverged { node, other_log_id },
        })
    }

    /// The line that travels: the kind first, then what it is about, then who says it and when.
    ///
    /// # Panics
    /// Never: an event is always JSON.
    #[must_use]
    pub fn encode(&self, speaker: &Speaker, leadership: &Leadership, at_ms: u64) -> Bytes {
        #[derive(Serialize)]
        struct Line<'a> {
            #[serde(flatten)]
            event: &'a Event,
            by: &'a str,
            #[serde(flatten)]
            leadership: Option<&'a Leadership>,
            v: u32,
            at_ms: u64,
        }
        let is_known = leadership.epoch != Epoch::ZERO || leadership.log_id != LogId::default();
        let line = Line {
            event: self,
            by: speaker.as_str(),
            leadership: is_known.then_some(leadership),
            v: PROTOCOL_VERSION,
            at_ms,
        };
        serde_json::to_vec(&line)
            .expect("an event is always JSON")
            .into()
    }

    /// Reads what [`Event::encode`] made.
    ///
    /// # Errors
    /// Anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}

/// Who says an event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Speaker {
    /// The master.
    Master,
    /// A secondary.
    Secondary(NodeId),
}

impl Speaker {
    /// The token of the speaker in the event's subject.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Master => "master",
            Self::Secondary(node) => node.as_str(),
        }
    }
}
