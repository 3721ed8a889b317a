//! What a recovery is given, and what comes of it.

use std::time::Duration;

use crate::entry::Position;
use crate::message::Life;
use crate::types::{Epoch, Instance, LogId, NodeId};

/// How long is waited for whom.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RecoverySettings {
    /// How long it is waited for the listed members, or for whoever answers, from the moment the broker is there; and how
    /// long for a holder that has fallen silent.
    pub timeout: Duration,
    /// How long it listens for another living master, at least.
    pub listen: Duration,
    /// An unanswered question is asked again that often.
    pub retry: Duration,
    /// Whether another living master is overtaken.
    pub takeover: bool,
}

/// The log that a master finds on its own disk.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Own {
    /// The history.
    pub log_id: LogId,
    /// The highest epoch in which it was served.
    pub epoch: Epoch,
    /// The histories that it has replaced.
    pub replaced: Vec<Life>,
    /// It ended while it fetched the rest.
    pub is_partial: bool,
}

/// What to do with the entries of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// They are not what was asked for.
    Nothing,
    /// They follow what is here.
    Entries,
    /// What is here came from one that has died or is not the best, and a better one has this position: what it cannot share
    /// with that is to be cut off.
    Cut(Position),
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Found {
    /// The history and the life to serve in; without a history, nobody has one.
    pub log_id: Option<LogId>,
    /// Above every epoch that was seen.
    pub epoch: Epoch,
    /// Histories that this one has replaced.
    pub replaced: Vec<Life>,
    /// Who was heard.
    pub heard: Vec<NodeId>,
    /// Listed members that were not.
    pub not_heard: Vec<NodeId>,
    /// The other living master, if there was one.
    pub overtakes: Option<Instance>,
}
