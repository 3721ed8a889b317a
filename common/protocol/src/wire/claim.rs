//! One secondary per name: whoever starts asks whether somebody has the name already.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{DecodeError, PROTOCOL_VERSION, parse, to_line};
use crate::ids::{NodeId, StorageId};

/// "Is somebody here of this name?" A living process that has it answers with its ACK.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Claim {
    /// The name.
    pub node: NodeId,
    /// The start that asks.
    pub storage: StorageId,
}

impl Claim {
    /// The line that travels.
    pub(super) fn encode(&self, at_ms: u64) -> Bytes {
        to_line(&ClaimFields {
            kind: "claim".into(),
            node: self.node.clone(),
            storage: self.storage,
            v: PROTOCOL_VERSION,
            at_ms,
        })
    }

    /// Reads what [`Claim::encode`] made.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let ClaimFields { node, storage, .. } = parse(bytes, &["claim"])?;
        Ok(Self { node, storage })
    }
}

#[derive(Serialize, Deserialize)]
struct ClaimFields {
    kind: String,
    node: NodeId,
    storage: StorageId,
    v: u32,
    #[serde(default)]
    at_ms: u64,
}
