//! The JSON of an ACK and of a claim.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Ack, Claim, Life, PROTOCOL_VERSION, Unreadable, check, few, parse};
use crate::entry::Position;
use crate::types::{Epoch, Incarnation, Instance, LogId, NodeId, Seq};

/// Serde's view of an [`Ack`].
#[derive(Serialize, Deserialize)]
pub(super) struct AckFields<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    seq: Seq,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    held_from: Option<Seq>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    damaged: Option<Seq>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<Cow<'a, str>>,
    node: Cow<'a, str>,
    last: Position,
    log_id: Option<LogId>,
    epoch: Epoch,
    instance: Option<Instance>,
    incarnation: Incarnation,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    replaced: Vec<Life>,
    v: u32,
    #[serde(default)]
    at_ms: u64,
}

impl Ack {
    /// The line that travels.
    #[must_use]
    pub fn encode(&self, at_ms: u64) -> Bytes {
        let fields = AckFields {
            kind: "ack".into(),
            seq: self.upto,
            held_from: self.held_from,
            damaged: self.damaged,
            error: self.error.as_deref().map(Into::into),
            node: self.node.as_str().into(),
            last: self.last.said_in(self.epoch, self.instance),
            log_id: self.log_id,
            epoch: self.epoch,
            instance: self.instance,
            incarnation: self.incarnation,
            replaced: self.replaced.clone(),
            v: PROTOCOL_VERSION,
            at_ms,
        };
        serde_json::to_vec(&fields)
            .expect("an ACK is always JSON")
            .into()
    }

    /// Reads what [`Ack::encode`] made.
    ///
    /// # Errors
    /// Anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        parse::<AckFields<'_>>(bytes, "ack")?.read()
    }
}

impl AckFields<'_> {
    pub(super) fn read(self) -> Result<Ack, Unreadable> {
        check(&self.kind, self.v, "ack")?;
        let node = self.node.parse().map_err(serde::de::Error::custom);
        Ok(Ack {
            node: node.map_err(Unreadable::Json)?,
            incarnation: self.incarnation,
            log_id: self.log_id,
            epoch: self.epoch,
            instance: self.instance,
            upto: self.seq,
            last: self.last.heard_in(self.epoch, self.instance),
            held_from: self.held_from,
            damaged: self.damaged,
            replaced: few(self.replaced)?,
            error: self.error.map(Cow::into_owned),
        })
    }
}

/// Serde's view of a [`Claim`].
#[derive(Serialize, Deserialize)]
struct ClaimFields<'a> {
    kind: Cow<'a, str>,
    node: NodeId,
    log_id: Option<LogId>,
    epoch: Epoch,
    incarnation: Incarnation,
    v: u32,
}

impl Claim {
    /// The line that travels.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let fields = ClaimFields {
            kind: "claim".into(),
            node: self.node.clone(),
            log_id: self.log_id,
            epoch: self.epoch,
            incarnation: self.incarnation,
            v: PROTOCOL_VERSION,
        };
        serde_json::to_vec(&fields)
            .expect("a claim is always JSON")
            .into()
    }

    /// Reads what [`Claim::encode`] made.
    ///
    /// # Errors
    /// Anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let fields: ClaimFields<'_> = parse(bytes, "claim")?;
        check(&fields.kind, fields.v, "claim")?;
        Ok(Self {
            node: fields.node,
            incarnation: fields.incarnation,
            log_id: fields.log_id,
            epoch: fields.epoch,
        })
    }
}
