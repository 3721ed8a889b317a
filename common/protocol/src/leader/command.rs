//! What clients ask of a master, and what they are told.

use std::time::Duration;

use crate::entry::Content;
use crate::ids::{Leadership, LogId, MessageId, NodeId, Seq};
use crate::leader::health::Status;
use crate::leader::verification::Verified;
use crate::node_url::NodeUrl;
use crate::request_id::RequestId;
use crate::write_concern::{TooManyNodes, WriteConcern};

/// What a client asks of a master. `W` is through whom the client is answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Command<W> {
    /// Messages that want to be in the log.
    Append(Append<W>),
    /// Wait until more nodes hold an entry that is in the log.
    Await(Await<W>),
    /// Begin a new, empty history of that id.
    Clear {
        /// Made for it.
        log_id: LogId,
        /// Who asks.
        waiter: W,
    },
    /// Take a secondary that is gone out of an open membership, or an observer out of the list of observers.
    ///
    /// It counts for nothing any more: whoever waits for `all` or `majority` waits for the smaller of the number it was and what
    /// that is now, and what is committed by all, or by a majority, is measured by who is left. It joins again when it speaks
    /// again.
    ///
    /// What the operator gives up is its copies and its word. An entry that was acknowledged with its copy among the `w` is on
    /// one counted node less from then on; nobody makes another copy for that. And a secondary that is only cut off may follow
    /// another master by now, which this one would learn from it: it is not asked any more. A majority of those that are left
    /// may be few of those that live, and with nobody left `all` and `majority` are the master alone. So take out only a
    /// secondary that is known to have ended.
    Remove {
        /// Its name.
        node: NodeId,
        /// Who asks.
        waiter: W,
    },
    /// Say whether the secondaries have the same entries. It changes nothing.
    Verify {
        /// How long their answers are waited for.
        wait: Duration,
        /// Who asks.
        waiter: W,
    },
}

impl<W> Command<W> {
    /// Who asks.
    #[must_use]
    pub fn into_waiter(self) -> W {
        match self {
            Self::Append(Append { waiter, .. })
            | Self::Await(Await { waiter, .. })
            | Self::Clear { waiter, .. }
            | Self::Remove { waiter, .. }
            | Self::Verify { waiter, .. } => waiter,
        }
    }
}

/// Who waits for an answer.
pub trait Waiter {
    /// Whether the client has hung up: nobody is there to be answered, and the place in the waiting room is free.
    fn has_left(&self) -> bool {
        false
    }
}

/// A wait for more nodes to hold an entry that is in the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Await<W> {
    /// The history of the entry.
    pub log_id: LogId,
    /// Its position.
    pub seq: Seq,
    /// Its id.
    pub message_id: MessageId,
    /// How many nodes are to hold it.
    pub w: WriteConcern,
    /// How long the client waits.
    pub timeout: Duration,
    /// Who asks.
    pub waiter: W,
}

/// Messages that want to be in the log, one after the other: all of them or none, or as a run of a [`Load`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Append<W> {
    /// The messages; at least one.
    pub requests: Vec<AppendRequest>,
    /// How many nodes must hold them before the client is answered.
    pub w: WriteConcern,
    /// How long the client waits; `None` for as long as it takes.
    pub timeout: Option<Duration>,
    /// Append only if this is the next position.
    pub expected_seq: Option<Seq>,
    /// They are a run of a load; `None` for messages that are all appended, or none of them.
    pub load: Option<Load>,
    /// The id that the client gave to its request, for the logs of the secondaries.
    pub request_id: Option<RequestId>,
    /// Who asks.
    pub waiter: W,
}

/// A load of any length, of which each message stands for itself. It comes in runs, one at a time.
///
/// Of a run as many messages are taken as are of one kind, from the first one on: either new ones, or ones that are in the
/// log already, one after the other. [`Appended::first`] and [`Appended::last`] say how many that are; the others may be sent
/// again as the next run. Only where its first message is refused is a run refused, so nothing after a refused message is ever
/// in the log before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Load {
    /// The history in which the load began, and goes on or ends; `None` for its first run.
    pub log_id: Option<LogId>,
    /// The position that the first message of the run gets or has, as far as its client says.
    pub seq: Option<Seq>,
}

/// One message that wants to be in the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AppendRequest {
    /// What it says.
    pub content: Content,
    /// The client's key, or one that was made for it.
    pub message_id: MessageId,
    /// The id was just made: nobody can have used it before.
    pub is_new_id: bool,
}

/// Where messages are in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Appended {
    /// The history.
    pub log_id: LogId,
    /// The number of the epoch that placed the first of them.
    pub epoch: u64,
    /// The first position.
    pub first: Seq,
    /// The last position; the first one for a single message.
    pub last: Seq,
    /// The id of the first message: of a duplicate, the one that is in the log.
    pub message_id: MessageId,
    /// The number of nodes that the write concern stands for.
    pub w: u32,
    /// They were in the log before.
    pub duplicate: bool,
}

/// What a client is told, and through whom.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reply<W> {
    /// Who asked.
    pub waiter: W,
    /// The answer.
    pub answer: Answer,
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// So many nodes as were asked for hold the messages.
    Replicated {
        /// Where the messages are.
        appended: Appended,
        /// How many nodes hold them.
        acks: u32,
    },
    /// The wait has ended before; the messages are in the log and go on replicating.
    NotReplicated {
        /// Where the messages are.
        appended: Appended,
        /// How many nodes hold them so far.
        acks: u32,
        /// Why nobody waits any longer.
        because: WaitEnd,
    },
    /// The log was cleared while the client waited.
    ClearedMeanwhile(Appended),
    /// The disk failed, or did not answer before the master stopped, while the messages were written: whether they are in the
    /// log is not known. A retry with the same ids is safe.
    NotKnown {
        /// Where the messages are, if they are in the log.
        appended: Appended,
        /// Why it is not known.
        because: Unavailable,
    },
    /// Nothing was appended, cleared, or taken out.
    Refused(AppendError),
    /// A new history has begun.
    Cleared(Leadership),
    /// The secondary is taken out.
    Removed {
        /// How many members there are now; the master is not among them.
        members: usize,
    },
    /// The secondary stays what it was.
    NotRemoved(NotRemoved),
    /// Whether the secondaries have the same entries.
    Verified(Verified),
}

/// Why a secondary is not taken out of those that a master knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotRemoved {
    /// It is none of them.
    NotKnown,
    /// It is a listed member: the list says who the members are.
    Listed,
    /// It is not gone.
    Alive(Status),
}

/// Why a wait for more nodes has ended although the messages are in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WaitEnd {
    /// The client's own time was up.
    Timeout,
    /// The master stops.
    Stopping,
    /// Another master has taken over.
    Fenced,
}

impl WaitEnd {
    /// The `reason` of the 504.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Stopping => "stopping",
            Self::Fenced => "fenced",
        }
    }
}

/// Why nothing was appended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum AppendError {
    /// More nodes are asked for than there are.
    #[error(transparent)]
    TooManyNodes(#[from] TooManyNodes),
    /// A message is larger than the broker takes.
    #[error(
        "the content has {bytes} bytes as JSON; the broker's max_payload leaves room for {max}"
    )]
    TooLarge {
        /// Bytes of the content as JSON.
        bytes: usize,
        /// The most that pass.
        max: usize,
    },
    /// The id is in the log with another content.
    #[error("message_id {message_id} is in the log at {seq} with another content")]
    OtherContent {
        /// Where.
        seq: Seq,
        /// The id.
        message_id: MessageId,
    },
    /// A batch has one message twice.
    #[error("message_id {message_id} comes with a message that the batch has twice")]
    Twice {
        /// The id that the message comes with the second time.
        message_id: MessageId,
    },
    /// Some messages of a batch are in the log, and some are not, or not one after the other.
    #[error("message_id {message_id} is in the log already, but the batch as a whole is not")]
    PartlyThere {
        /// One that is.
        message_id: MessageId,
    },
    /// Another position is next.
    #[error("expected_seq is not the next position, which is {}", last_seq.next())]
    ExpectedSeq {
        /// The last position of the log.
        last_seq: Seq,
    },
    /// The log was cleared since the load began.
    #[error("the log was cleared since the load began")]
    OtherHistory,
    /// The message may be in the log, but that entry cannot be read.
    #[error("entry {seq} cannot be read to compare it")]
    Unreadable {
        /// Where it is.
        seq: Seq,
    },
    /// A batch is too large to be in the journal as a whole.
    #[error(
        "the messages have {bytes} bytes as JSON; a batch is one chunk of the journal, which has room for {max}"
    )]
    BatchTooLarge {
        /// Bytes of the messages as JSON, with what an entry has beside its content.
        bytes: usize,
        /// The most that pass.
        max: usize,
    },
    /// Another master leads, or none for a moment.
    #[error("{}", Unavailable::Standby.as_str())]
    Standby {
        /// Where clients reach the master that leads, as far as it is known.
        active: Option<NodeUrl>,
    },
    /// No appends now.
    #[error("{}", .0.as_str())]
    Unavailable(Unavailable),
}

/// Why there are no appends now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unavailable {
    /// The master asks the secondaries what they hold; or it was stopped, and asks whether it still is the master.
    Recovering,
    /// Fewer than a majority of the members is alive.
    NoQuorum,
    /// Another master has taken over.
    Fenced,
    /// Another master leads, or none for a moment: this one stands by.
    Standby,
    /// The journal that several masters share has not said for long whether it holds what was written.
    Journal,
    /// There is no room on the master's disk.
    DiskFull,
    /// The master's disk has failed; the master ends.
    DiskFailed,
    /// The waiting room is full.
    TooManyWaiting,
    /// The master stops.
    Stopping,
}

impl Unavailable {
    /// The `reason` of the 503.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Recovering => "recovering",
            Self::NoQuorum => "no_quorum",
            Self::Fenced => "fenced",
            Self::Standby => "standby",
            Self::Journal => "journal",
            Self::DiskFull => "disk_full",
            Self::DiskFailed => "disk_failed",
            Self::TooManyWaiting => "too_many_waiting",
            Self::Stopping => "stopping",
        }
    }
}
