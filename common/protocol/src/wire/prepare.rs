//! What a master that starts asks of the secondaries before it serves (Paxos, phase 1).

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::ack::AckFields;
use super::{Ack, DecodeError, PROTOCOL_VERSION, cleared, parse, to_line};
use crate::cleared_logs::{ClearedLog, ClearedLogs};
use crate::ids::Leadership;

/// "Follow no lower epoch than this, and say what you hold." Each process that runs under the name answers, whether or not it
/// has won that name: a promise does no harm, and the fullest holder may be the one that is about to end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prepare {
    /// The history that is going to be served, and the epoch.
    pub leader: Leadership,
    /// The histories that it has replaced.
    pub cleared: ClearedLogs,
}

impl Prepare {
    /// The line that travels.
    pub(super) fn encode(&self, at_ms: u64) -> Bytes {
        to_line(&PrepareFields {
            kind: "prepare".into(),
            leader: self.leader,
            cleared: self.cleared.iter().copied().collect(),
            v: PROTOCOL_VERSION,
            at_ms,
        })
    }

    /// Reads what [`Prepare::encode`] made.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let fields: PrepareFields = parse(bytes, &["prepare"])?;
        Ok(Self {
            leader: fields.leader,
            cleared: cleared(fields.cleared)?,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct PrepareFields {
    kind: String,
    #[serde(flatten)]
    leader: Leadership,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    cleared: Vec<ClearedLog>,
    v: u32,
    #[serde(default)]
    at_ms: u64,
}

/// The answer to a [`Prepare`]. It is a promise if its epoch is the one that was asked for; else it names the higher epoch
/// that was promised before, or the other history that is held.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Promise {
    /// What the secondary holds, and follows from now on.
    pub position: Ack,
}

impl Promise {
    /// The line that travels.
    pub(super) fn encode(&self, at_ms: u64) -> Bytes {
        to_line(&AckFields::new("promise", &self.position, at_ms))
    }

    /// Reads what [`Promise::encode`] made.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let position = parse::<AckFields<'_>>(bytes, &["promise"])?.read()?;
        Ok(Self { position })
    }
}
