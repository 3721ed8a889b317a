//! What operators look for, for the log and for `replog.<cluster>.event.<kind>`.

use crate::message::Announce;
use crate::protocol::health::Status;
use crate::types::{Epoch, Instance, LogId, NodeId, Seq};

/// The kinds of what both sorts of nodes tell of their disks.
pub const DAMAGED: &str = "damaged";
/// See [`DAMAGED`].
pub const MENDED: &str = "mended";

/// Something that changed for good or for long.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A secondary was heard for the first time.
    Joined {
        /// Which.
        node: NodeId,
        /// It counts for write concerns; else it is an observer.
        is_member: bool,
    },
    /// Its status has changed.
    Member {
        /// Which.
        node: NodeId,
        /// From what.
        from: Status,
        /// To what.
        to: Status,
        /// The other history it holds, if it is `diverged`.
        other_history: Option<LogId>,
    },
    /// A second storage answers under its name.
    Clash {
        /// Which name.
        node: NodeId,
    },
    /// Appends are refused because fewer than a majority lives; or are taken again.
    ReadOnly {
        /// They are refused.
        on: bool,
    },
    /// It is one name too many: whoever has not been heard before is ignored from now on. Told once.
    Ignored {
        /// The first of them.
        node: NodeId,
    },
    /// It starts, and asks everybody what they hold. Told again until it serves.
    Recovering,
    /// It serves.
    Serving {
        /// How many entries it has taken over.
        entries: u64,
        /// Nobody had any history: a new one begins.
        is_new: bool,
        /// Who was heard at last.
        heard: Vec<NodeId>,
        /// Listed members that it has not heard.
        not_heard: Vec<NodeId>,
        /// The start of the living master that it has overtaken.
        overtakes: Option<Instance>,
    },
    /// Another master starts, and is told that this one lives.
    Lives,
    /// An entry cannot be read on the master's disk any more: it is fetched again from a secondary.
    Damaged {
        /// Which.
        seq: Seq,
    },
    /// It can be read again.
    Mended {
        /// Which.
        seq: Seq,
    },
    /// Another master was followed: appends have ended here.
    Fenced {
        /// The epoch of the other one.
        by_epoch: Epoch,
        /// The secondary that told of it, or the other master itself.
        heard_from: Option<NodeId>,
    },
}

impl Event {
    /// The last token of its subject.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Joined { .. } => "joined",
            Self::Member { to, .. } => to.word(),
            Self::Clash { .. } => "clash",
            Self::ReadOnly { on: true } => "read_only_on",
            Self::ReadOnly { on: false } => "read_only_off",
            Self::Ignored { .. } => "ignored",
            Self::Recovering => Announce::RECOVERING,
            Self::Serving { .. } | Self::Lives => Announce::SERVING,
            Self::Damaged { .. } => DAMAGED,
            Self::Mended { .. } => MENDED,
            Self::Fenced { .. } => "fenced",
        }
    }
}
