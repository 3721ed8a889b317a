//! The messages between nodes and their JSON: one line each, the kind first, then the seq, entries last but the times.
//!
//! One file per message: what it is, how it is written, how it is read.

mod ack;
mod announce;
mod append;
mod claim;
mod fetch;
mod prepare;

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use ack::{Ack, HeartbeatNumber};
pub use announce::{MasterAnnouncement, MasterState};
pub use append::{AppendEntries, REQUEST_IDS_BYTES};
pub use claim::Claim;
pub use fetch::{Fetch, FetchResponse};
pub use prepare::{Prepare, Promise};

use crate::cleared_logs::ClearedLogs;
use crate::entry::{EntryBatch, InvalidEntry};
use crate::epochs::LogPosition;
use crate::event::{Event, Speaker};
use crate::ids::{Epoch, InvalidValue, Leadership, MasterId, NodeId, Seq};

/// Version of the protocol, in every message. A message of another version is never acted on, but it is a sign of life.
pub const PROTOCOL_VERSION: u32 = 2;

/// What a message needs beside its entries, at most, in bytes: fields, names and headers. A batch of entries must leave that
/// much of the broker's `max_payload` free.
pub const ENVELOPE_BYTES: usize = 4096;

/// What an ACK answers: the last token of its subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AckOf {
    /// The append or heartbeat that ended at this seq.
    Seq(Seq),
    /// Nothing: sent at start, after a reconnect, or to one who claims the name.
    Hello,
    /// Nothing: the secondary stops, and this is its last message.
    Goodbye,
}

/// Where a message goes. Each address is a subject: its text is what follows the name of the cluster there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// Entries for a secondary.
    Append(NodeId),
    /// The same without entries.
    Heartbeat(NodeId),
    /// The position of a secondary, for every master.
    Ack(NodeId, AckOf),
    /// A master that starts asks a secondary to follow nobody of a lower epoch.
    Prepare(NodeId),
    /// The answer, for every master.
    Promise(NodeId),
    /// A master asks a secondary for entries.
    Fetch(NodeId),
    /// The answer, for every master.
    Fetched(NodeId),
    /// A secondary that starts, to whoever has its name already.
    Claim(NodeId),
    /// A master, to everybody.
    Announce,
    /// What operators look for; the kind is one token.
    Event(Speaker, &'static str),
}

/// A message of any kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Message {
    /// Entries, or a heartbeat, to a secondary.
    Append(AppendEntries),
    /// The position of a secondary.
    Ack(Ack),
    /// A master that starts, to a secondary.
    Prepare(Prepare),
    /// Its answer.
    Promise(Promise),
    /// A master asks for entries.
    Fetch(Fetch),
    /// Its answer.
    FetchResponse(FetchResponse),
    /// A secondary that starts asks whether its name is taken.
    Claim(Claim),
    /// A master says that it starts, or that it lives.
    Announcement(MasterAnnouncement),
}

impl Message {
    /// The line that travels. `at_ms` is the wall clock in milliseconds since 1970, for those who watch.
    #[must_use]
    pub fn encode(&self, at_ms: u64) -> Bytes {
        match self {
            Self::Append(m) => m.encode(at_ms),
            Self::Ack(m) => m.encode(at_ms),
            Self::Prepare(m) => m.encode(at_ms),
            Self::Promise(m) => m.encode(at_ms),
            Self::Fetch(m) => m.encode(at_ms),
            Self::FetchResponse(m) => m.encode(at_ms),
            Self::Claim(m) => m.encode(at_ms),
            Self::Announcement(m) => m.encode(at_ms),
        }
    }

    /// Reads the message that came to an address.
    ///
    /// # Errors
    /// Anything that does not belong there, and a message that names another node than its address does.
    pub fn decode(address: &Address, bytes: &Bytes) -> Result<Self, DecodeError> {
        let message = match address {
            Address::Append(_) | Address::Heartbeat(_) => {
                Self::Append(AppendEntries::decode(bytes)?)
            }
            Address::Ack(..) => Self::Ack(Ack::decode(bytes)?),
            Address::Prepare(_) => Self::Prepare(Prepare::decode(bytes)?),
            Address::Promise(_) => Self::Promise(Promise::decode(bytes)?),
            Address::Fetch(_) => Self::Fetch(Fetch::decode(bytes)?),
            Address::Fetched(_) => Self::FetchResponse(FetchResponse::decode(bytes)?),
            Address::Claim(_) => Self::Claim(Claim::decode(bytes)?),
            Address::Announce => Self::Announcement(MasterAnnouncement::decode(bytes)?),
            Address::Event(_, kind) => return Err(DecodeError::Kind((*kind).to_owned())),
        };
        match (address.node(), message.speaker()) {
            (Some(node), Some(speaker)) if node != speaker => Err(DecodeError::Speaker {
                node: node.clone(),
                named: speaker.clone(),
            }),
            _ => Ok(message),
        }
    }

    /// The secondary that says it; `None` for what a master says.
    #[must_use]
    pub fn speaker(&self) -> Option<&NodeId> {
        match self {
            Self::Ack(ack) => Some(&ack.node),
            Self::Promise(Promise { position })
            | Self::FetchResponse(FetchResponse { position, .. }) => Some(&position.node),
            Self::Claim(claim) => Some(&claim.node),
            Self::Append(_) | Self::Prepare(_) | Self::Fetch(_) | Self::Announcement(_) => None,
        }
    }
}

impl fmt::Display for Address {
    /// As in `ack.secondary1.17`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        match self {
            Self::Announce => {}
            Self::Event(speaker, kind) => write!(f, ".{}.{kind}", speaker.as_str())?,
            Self::Ack(node, AckOf::Seq(seq)) => write!(f, ".{node}.{seq}")?,
            Self::Ack(node, AckOf::Hello) => write!(f, ".{node}.hello")?,
            Self::Ack(node, AckOf::Goodbye) => write!(f, ".{node}.goodbye")?,
            Self::Append(node)
            | Self::Heartbeat(node)
            | Self::Prepare(node)
            | Self::Promise(node)
            | Self::Fetch(node)
            | Self::Fetched(node)
            | Self::Claim(node) => write!(f, ".{node}")?,
        }
        Ok(())
    }
}

impl Address {
    /// What comes there, as a word.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Append(_) => "append",
            Self::Heartbeat(_) => "heartbeat",
            Self::Ack(..) => "ack",
            Self::Prepare(_) => "prepare",
            Self::Promise(_) => "promise",
            Self::Fetch(_) => "fetch",
            Self::Fetched(_) => "fetched",
            Self::Claim(_) => "claim",
            Self::Announce => "announce",
            Self::Event(..) => "event",
        }
    }

    /// The secondary that the address names.
    #[must_use]
    pub fn node(&self) -> Option<&NodeId> {
        match self {
            Self::Append(node)
            | Self::Heartbeat(node)
            | Self::Ack(node, _)
            | Self::Prepare(node)
            | Self::Promise(node)
            | Self::Fetch(node)
            | Self::Fetched(node)
            | Self::Claim(node)
            | Self::Event(Speaker::Secondary(node), _) => Some(node),
            Self::Announce | Self::Event(Speaker::Master, _) => None,
        }
    }
}

/// A message that could not be read, and why.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not the JSON it should be.
    #[error("not a message of this protocol: {}", shortened(.0))]
    Json(#[from] serde_json::Error),
    /// Another version of the protocol.
    #[error("protocol version {0}, this program speaks {PROTOCOL_VERSION}")]
    Version(u32),
    /// Another kind than belongs on its subject.
    #[error("kind {0:?} does not belong on this subject")]
    Kind(String),
    /// An epoch that no master can have.
    #[error(transparent)]
    Value(#[from] InvalidValue),
    /// More cleared histories than are ever named.
    #[error("{0} cleared histories, at most {max} are named", max = ClearedLogs::MAX)]
    TooManyCleared(usize),
    /// Entries that are none, or do not follow one another after `prev`.
    #[error("entries: {0}")]
    Entries(#[from] InvalidEntry),
    /// Another node than its subject is of.
    #[error("a message on a subject of {node} that names {named}")]
    Speaker {
        /// The node of the subject, which alone counts.
        node: NodeId,
        /// The node that the message names.
        named: NodeId,
    },
}

/// So many characters of serde's message are shown, which may quote all of what came: whoever can publish could fill a log.
const MAX_SHOWN_CHARS: usize = 200;

/// What is wrong, and where, in a few words.
fn shortened(error: &serde_json::Error) -> String {
    let said = error.to_string();
    match said.char_indices().nth(MAX_SHOWN_CHARS) {
        None => said,
        Some((end, _)) => {
            let (line, column) = (error.line(), error.column());
            format!("{}… at line {line} column {column}", &said[..end])
        }
    }
}

/// A message of any kind, as far as is needed to refuse it well.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, default)]
    kind: Cow<'a, str>,
    v: u32,
}

/// Whether a message is of this protocol's version and of one of those kinds.
fn check_head(kind: &str, v: u32, kinds: &[&str]) -> Result<(), DecodeError> {
    if v != PROTOCOL_VERSION {
        return Err(DecodeError::Version(v));
    }
    match kinds.contains(&kind) {
        true => Ok(()),
        false => Err(DecodeError::Kind(kind.chars().take(32).collect())),
    }
}

/// Why bytes that did not parse are refused: where they are of another version or kind, that is the reason.
fn refused(bytes: &[u8], kinds: &[&str], error: serde_json::Error) -> DecodeError {
    match serde_json::from_slice::<Head<'_>>(bytes) {
        Ok(head) => check_head(&head.kind, head.v, kinds)
            .err()
            .unwrap_or(DecodeError::Json(error)),
        Err(_) => DecodeError::Json(error),
    }
}

/// Parses `bytes`, which should be of one of those kinds.
fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8], kinds: &[&str]) -> Result<T, DecodeError> {
    let head = serde_json::from_slice::<Head<'_>>(bytes)?;
    check_head(&head.kind, head.v, kinds)?;
    Ok(serde_json::from_slice(bytes)?)
}

/// Writes fields that are always JSON.
fn to_line(fields: &impl Serialize) -> Bytes {
    serde_json::to_vec(fields)
        .expect("a message is always JSON")
        .into()
}

/// The cleared histories that a message names.
fn cleared(logs: Vec<crate::cleared_logs::ClearedLog>) -> Result<ClearedLogs, DecodeError> {
    ClearedLogs::new(logs).map_err(DecodeError::TooManyCleared)
}

/// What stands between the brackets of an array.
fn objects(array: &RawValue) -> Result<&str, InvalidEntry> {
    let inner = array.get().strip_prefix('[');
    let inner = inner.and_then(|a| a.strip_suffix(']'));
    inner.map(str::trim).ok_or(InvalidEntry::Form)
}

/// The entries of a message, which follow `prev`; `text` is what stands in `bytes`, whose buffer they share: objects with
/// commas between.
fn entries(
    bytes: &Bytes,
    text: &str,
    epoch: Epoch,
    prev: LogPosition,
) -> Result<Option<EntryBatch>, DecodeError> {
    if text.is_empty() {
        return Ok(None);
    }
    let batch = EntryBatch::parse(bytes.slice_ref(text.as_bytes()), epoch)?;
    if batch.first() != prev.seq.next() {
        return Err(InvalidEntry::Order {
            expected: prev.seq.next(),
            found: batch.first(),
        }
        .into());
    }
    Ok(Some(batch))
}

/// What an operator's event is, ready to be sent.
#[must_use]
pub fn event(
    speaker: Speaker,
    event: &Event,
    leadership: &Leadership,
    at_ms: u64,
) -> (Address, Bytes) {
    let line = event.encode(&speaker, leadership, at_ms);
    (Address::Event(speaker, event.kind()), line)
}

/// The instance that placed the entries of a message, which is left out where it is the one that speaks.
fn placed_by(entries: Option<&EntryBatch>, speaker: Epoch) -> Option<MasterId> {
    entries
        .map(|batch| batch.epoch().master)
        .filter(|master| *master != speaker.master)
}
