//! What a client asks for, and what it is told.

use crate::entry::{Content, Entry};
use crate::types::{Epoch, LogId, MessageId, Seq, Time, WriteConcern};

/// A message that wants to be in the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Draft {
    /// What it says.
    pub content: Content,
    /// The client's key, or one made for it.
    pub message_id: MessageId,
    /// How many nodes must hold it before the client is answered.
    pub w: WriteConcern,
    /// The client waits until then, or as long as it takes.
    pub until: Option<Time>,
    /// Append only if this is the next position.
    pub expected_seq: Option<Seq>,
    /// What a store says of messages that are not in memory any more.
    pub older: Lookup,
}

/// Whether a store was asked if it has a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Lookup {
    /// Nobody can have used its id before: it has just been made.
    New,
    /// Not yet.
    #[default]
    Unknown,
    /// It was.
    Looked(Box<Older>),
}

/// What a store knows of a message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Older {
    /// The history that was looked at.
    pub log_id: LogId,
    /// The last entry that was looked at.
    pub upto: Seq,
    /// The entry that is the same message, if there is one.
    pub found: Option<Entry>,
}

/// Where a message is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Placement {
    /// The history.
    pub log_id: LogId,
    /// The position.
    pub seq: Seq,
    /// The epoch of the entry.
    pub epoch: Epoch,
    /// Its id; the first one's if it is a duplicate.
    pub message_id: MessageId,
    /// The number of nodes that the write concern stands for.
    pub w: u32,
    /// It was in the log before.
    pub duplicate: bool,
}

/// Why a message was not taken. Nothing was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// More nodes are asked for than there are.
    TooManyNodes {
        /// What was asked for.
        w: u32,
        /// The listed members and the master.
        nodes: u32,
    },
    /// The id is in the log with another content.
    OtherContent {
        /// Where.
        seq: Seq,
        /// The id.
        message_id: MessageId,
    },
    /// Another position is next.
    ExpectedSeq {
        /// The last one in the log.
        last_seq: Seq,
    },
    /// No appends now.
    ReadOnly(ReadOnly),
    /// The store has to be asked (again) whether it has this message.
    LookAgain,
    /// The entry with this id could not be read back to compare.
    Unreadable {
        /// Where it is.
        seq: Seq,
    },
}

/// Why there are no appends now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReadOnly {
    /// Fewer than a majority of the members live.
    NoQuorum,
    /// Another master has taken over.
    Fenced,
    /// It asks the secondaries what they hold; or it was stopped, and asks whether it still is the master.
    Recovering,
    /// The waiting room is full.
    TooManyWaiting,
    /// The master stops.
    Stopping,
    /// There is no room on its disk.
    DiskFull,
    /// Its disk has failed; the master ends.
    DiskFailed,
}

impl ReadOnly {
    /// Whether it lasts until the program ends.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Fenced | Self::Stopping | Self::DiskFailed)
    }

    /// The `reason` of the 503.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::NoQuorum => "no_quorum",
            Self::Fenced => "fenced",
            Self::Recovering => "recovering",
            Self::TooManyWaiting => "too_many_waiting",
            Self::Stopping => "stopping",
            Self::DiskFull => "disk_full",
            Self::DiskFailed => "disk_failed",
        }
    }
}

/// How the wait for a message ended. All but the last two leave the entry in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Enough nodes hold it.
    Replicated {
        /// How many.
        acks: u32,
    },
    /// The client's time is up; the entry goes on replicating.
    TimedOut {
        /// How many nodes hold it so far.
        acks: u32,
    },
    /// The master stops.
    Stopping {
        /// How many nodes hold it so far.
        acks: u32,
    },
    /// Another master has taken over.
    Fenced {
        /// How many nodes hold it so far.
        acks: u32,
    },
    /// The log was cleared meanwhile.
    Cleared,
    /// It could not be stored, and is not in the log; or, where the disk failed, it is not known whether it is.
    NotStored(ReadOnly),
}

/// An answer for a client that waits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Answer<W> {
    /// Through whom.
    pub waiter: W,
    /// Where its message is.
    pub placement: Placement,
    /// How the wait ended.
    pub outcome: Outcome,
}
