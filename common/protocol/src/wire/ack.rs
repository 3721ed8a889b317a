//! The position of a secondary.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{DecodeError, PROTOCOL_VERSION, cleared, parse, to_line};
use crate::cleared_logs::{ClearedLog, ClearedLogs};
use crate::digest::DigestAt;
use crate::epochs::LogPosition;
use crate::ids::{Epoch, LogId, MasterId, NodeId, Seq, StorageId};
use crate::node_url::NodeUrl;

/// "I hold everything up to `upto`": the whole position of a secondary, sent after each run of deliveries, on start and
/// after each reconnect. The join, the resume point and the health report in one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ack {
    /// Who says it.
    pub node: NodeId,
    /// The life of its storage and process.
    pub storage: StorageId,
    /// The history that it holds; `None` while it holds none.
    pub log_id: Option<LogId>,
    /// The highest epoch of that history that it has followed or promised.
    pub epoch: Epoch,
    /// It holds everything up to here, and it is what the master of `epoch` has.
    pub upto: Seq,
    /// The end of what it holds, shown to be that master's or not.
    pub last: LogPosition,
    /// The first entry that it holds back because one before it is missing.
    pub held_from: Option<Seq>,
    /// The master whose heartbeat has named this storage last, and the number in it; nil and 0 if none has.
    pub answers: HeartbeatNumber,
    /// The histories that the one it holds has replaced: they are never taken back.
    pub cleared: ClearedLogs,
    /// An entry cannot be read from its disk any more, and is asked for.
    pub damaged: Option<Seq>,
    /// Why it could not do what it was asked.
    pub error: Option<String>,
    /// It stops, and this is its last message.
    pub is_goodbye: bool,
    /// Where clients reach it.
    pub url: Option<NodeUrl>,
    /// The digest of what it holds up to a position that a heartbeat has asked for, or an earlier one; not after `upto`.
    pub digest: Option<DigestAt>,
}

/// The number in a heartbeat, and the master that made it. An answer that carries it was said after that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeartbeatNumber {
    /// The start of the master that made the number; nil for none.
    pub master: MasterId,
    /// The number, counted up by that master from 1.
    pub round: u64,
}

/// Serde's view of an [`Ack`].
#[derive(Serialize, Deserialize)]
pub(super) struct AckFields<'a> {
    #[serde(borrow, default)]
    kind: Cow<'a, str>,
    seq: Seq,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    held_from: Option<Seq>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    damaged: Option<Seq>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<Cow<'a, str>>,
    node: NodeId,
    last: LogPosition,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    log_id: Option<LogId>,
    #[serde(flatten)]
    epoch: Epoch,
    storage: StorageId,
    #[serde(default, skip_serializing_if = "is_zero")]
    round: u64,
    #[serde(default, skip_serializing_if = "MasterId::is_nil")]
    asked_by: MasterId,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    goodbye: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    cleared: Vec<ClearedLog>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<DigestAt>,
    #[serde(default)]
    v: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    at_ms: u64,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl<'a> AckFields<'a> {
    /// The fields of an ACK, or of another message that carries a position.
    pub(super) fn new(kind: &'a str, ack: &'a Ack, at_ms: u64) -> Self {
        Self {
            kind: kind.into(),
            seq: ack.upto,
            held_from: ack.held_from,
            damaged: ack.damaged,
            error: ack.error.as_deref().map(Into::into),
            node: ack.node.clone(),
            last: ack.last,
            log_id: ack.log_id,
            epoch: ack.epoch,
            storage: ack.storage,
            round: ack.answers.round,
            asked_by: ack.answers.master,
            goodbye: ack.is_goodbye,
            cleared: ack.cleared.iter().copied().collect(),
            url: ack.url.as_ref().map(|url| url.as_str().into()),
            digest: ack.digest,
            v: PROTOCOL_VERSION,
            at_ms,
        }
    }

    pub(super) fn read(self) -> Result<Ack, DecodeError> {
        Ok(Ack {
            node: self.node,
            storage: self.storage,
            log_id: self.log_id,
            epoch: self.epoch,
            upto: self.seq,
            last: self.last,
            held_from: self.held_from,
            answers: HeartbeatNumber {
                master: self.asked_by,
                round: self.round,
            },
            is_goodbye: self.goodbye,
            cleared: cleared(self.cleared)?,
            damaged: self.damaged,
            error: self.error.map(Cow::into_owned),
            // What is none is no reason to refuse what stands beside it.
            url: self.url.as_deref().and_then(NodeUrl::new),
            digest: self.digest,
        })
    }
}

impl Ack {
    /// The line that travels.
    pub(super) fn encode(&self, at_ms: u64) -> Bytes {
        to_line(&AckFields::new("ack", self, at_ms))
    }

    /// Reads what [`Ack::encode`] made.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        parse::<AckFields<'_>>(bytes, &["ack"])?.read()
    }
}
