//! The messages between the nodes, and their JSON: one line each, the kind first, then the seq, times last.

mod ack;
mod announce;
mod append;
mod fetch;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::entry::Position;
use crate::types::{Epoch, Incarnation, Instance, LogId, NodeId, Seq};

/// Version of the protocol, in every message. A message of another version is refused, never guessed at.
pub const PROTOCOL_VERSION: u32 = 1;

/// What an append needs beside its entries, at most, in bytes: fields, names and headers. An entry must leave that much
/// of the broker's `max_payload` free.
pub const ENVELOPE_BYTES: usize = 1024;

/// Histories that a new one may name as replaced (`POST /clear`); older ones are forgotten.
pub const MAX_REPLACED: usize = 12;

/// Which master speaks: its history, its life within it, and the start of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Life {
    /// The history.
    pub log_id: LogId,
    /// The life within the history.
    pub epoch: Epoch,
    /// The start of the program; tells two masters of one epoch apart.
    pub instance: Instance,
}

impl Life {
    /// Whether a node of this history, in that epoch and following that start of a master, has heard of no other life than
    /// this one and those before it: what this life cleared away is all that such a node can hold.
    #[must_use]
    pub fn covers(&self, epoch: Epoch, instance: Option<Instance>) -> bool {
        epoch < self.epoch
            || epoch == self.epoch && instance.is_none_or(|other| other == self.instance)
    }
}

/// The life that cleared `log_id` away, if one of `replaced` did.
#[must_use]
pub fn cleared(replaced: &[Life], log_id: LogId) -> Option<&Life> {
    replaced.iter().find(|life| life.log_id == log_id)
}

/// Consecutive entries after `prev`; without entries, a heartbeat. `B` is how the entries are carried: a [`Chunk`](crate::entry::Chunk) when
/// they leave, parsed [`Entry`](crate::entry::Entry)s when they arrive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Append<B> {
    /// Who sends it.
    pub life: Life,
    /// The position before the first entry.
    pub prev: Position,
    /// The last position in the master's log.
    pub tail: Seq,
    /// The last position that a majority of the nodes is known to hold.
    pub commit: Seq,
    /// Histories that this one replaced by `POST /clear`, each with the life that cleared it away, the newest last: a
    /// secondary of one of them, that has heard of no later life, forgets it and follows. Only a heartbeat says so.
    pub replaces: Vec<Life>,
    /// The start of the master that placed the entries; all of them are of one life.
    pub by: Option<Instance>,
    /// The entries.
    pub entries: B,
}

/// "I hold everything up to `upto`": the whole position of a secondary, sent after each run of deliveries, on start and
/// after each reconnect. The join, the resume point and the health report in one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ack {
    /// Who says it.
    pub node: NodeId,
    /// The life of its storage.
    pub incarnation: Incarnation,
    /// The history it holds; `None` while it holds none.
    pub log_id: Option<LogId>,
    /// The highest epoch it has seen in that history.
    pub epoch: Epoch,
    /// The master it follows; `None` until one has spoken since it started.
    pub instance: Option<Instance>,
    /// It holds everything up to here, and it is what that master has. Before a master has spoken: what it holds.
    pub upto: Seq,
    /// The end of what it holds, shown to be the master's or not.
    pub last: Position,
    /// The first entry it holds back because one before it is missing.
    pub held_from: Option<Seq>,
    /// Histories that the one it holds has replaced, as in [`Append::replaces`]: they are never taken back.
    pub replaced: Vec<Life>,
    /// An entry of it cannot be read on its disk any more, and is asked for: the master sends it once more.
    pub damaged: Option<Seq>,
    /// Why it could not do what it was asked.
    pub error: Option<String>,
}

/// "What do you hold from here on?": a master that recovers asks, in the life in which it is going to serve; one that serves
/// asks for an entry that is damaged on its disk. Whoever answers follows no master of a lower epoch any more.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fetch {
    /// The history that is recovered, and the life to come.
    pub life: Life,
    /// As in [`Append::replaces`].
    pub replaces: Vec<Life>,
    /// The first entry that is asked for.
    pub from: Seq,
    /// For how many bytes of entries, at most, but one entry at least; 0 asks for none.
    pub max_bytes: usize,
}

/// The answer to a [`Fetch`]: where the secondary stands, and consecutive entries after `prev`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fetched<B> {
    /// As in an ACK; beside entries, `replaced` is left out.
    pub position: Ack,
    /// The position before the first entry.
    pub prev: Position,
    /// The start of the master that placed the entries; all of them are of one life.
    pub by: Option<Instance>,
    /// The entries.
    pub entries: B,
}

/// A master says that it lives, or that it starts and asks what the others hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Announce {
    /// Who says it; epoch 0 while it is not known which it will be.
    pub life: Life,
    /// It serves; else it recovers.
    pub is_serving: bool,
    /// The start of the living master that it has overtaken, whatever history that one serves.
    pub overtakes: Option<Instance>,
}

/// "Is somebody here of this name?": asked by a secondary that starts, on its own heartbeat subject. A living older one
/// answers with its ACK.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    /// The name.
    pub node: NodeId,
    /// The life that asks.
    pub incarnation: Incarnation,
    /// The history it holds, if any.
    pub log_id: Option<LogId>,
    /// The highest epoch it has seen in that history.
    pub epoch: Epoch,
}

/// A message that could not be read, and why.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Not the JSON it should be.
    #[error("not a message of this protocol: {0}")]
    Json(#[from] serde_json::Error),
    /// Another version of the protocol.
    #[error("protocol version {0}, this program speaks {PROTOCOL_VERSION}")]
    Version(u32),
    /// Another kind than belongs on its subject.
    #[error("kind {0:?} does not belong on this subject")]
    Kind(String),
    /// More cleared histories than are ever named.
    #[error("{0} cleared histories, at most {MAX_REPLACED} are named")]
    TooMany(usize),
    /// Entries that do not follow one another from `prev`.
    #[error("entry {found} where {expected} was due")]
    Order {
        /// The seq that was due.
        expected: Seq,
        /// The seq that came.
        found: Seq,
    },
}

/// A message of any kind, as far as is needed to refuse it well.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    v: u32,
}

/// No more cleared histories than anybody names.
fn few(replaced: Vec<Life>) -> Result<Vec<Life>, Unreadable> {
    match replaced.len() {
        0..=MAX_REPLACED => Ok(replaced),
        many => Err(Unreadable::TooMany(many)),
    }
}

fn check(kind: &str, v: u32, expected: &str) -> Result<(), Unreadable> {
    match (v == PROTOCOL_VERSION, kind == expected) {
        (false, _) => Err(Unreadable::Version(v)),
        (true, false) => Err(Unreadable::Kind(kind.chars().take(32).collect())),
        (true, true) => Ok(()),
    }
}

/// Parses `bytes`; where that fails because it is another version or kind, says that instead.
fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8], expected: &str) -> Result<T, Unreadable> {
    serde_json::from_slice(bytes).map_err(|error| match serde_json::from_slice::<Head<'_>>(bytes) {
        Ok(head) => check(&head.kind, head.v, expected)
            .err()
            .unwrap_or(Unreadable::Json(error)),
        Err(_) => Unreadable::Json(error),
    })
}
