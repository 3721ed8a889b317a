//! What a master says to everybody: to the secondaries, so that they speak up, and to another master.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{DecodeError, PROTOCOL_VERSION, parse, to_line};
use crate::ids::{Leadership, MasterId};
use crate::node_url::NodeUrl;

/// A master says that it starts and asks what the others hold, or that it lives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MasterAnnouncement {
    /// Who says it; with the epoch number 0 while the master does not know yet which one it will be.
    pub leader: Leadership,
    /// It serves; else it recovers.
    pub is_serving: bool,
    /// The start of the living master that it has superseded, whatever history that one serves.
    pub overtakes: Option<MasterId>,
    /// Where clients reach the master.
    pub url: Option<NodeUrl>,
}

impl MasterAnnouncement {
    /// The line that travels.
    pub(super) fn encode(&self, at_ms: u64) -> Bytes {
        to_line(&Fields {
            kind: match self.is_serving {
                true => "serving".into(),
                false => "recovering".into(),
            },
            leader: self.leader,
            overtakes: self.overtakes,
            url: self.url.as_ref().map(ToString::to_string),
            v: PROTOCOL_VERSION,
            at_ms,
        })
    }

    /// Reads what [`MasterAnnouncement::encode`] made.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let fields: Fields = parse(bytes, &["serving", "recovering"])?;
        Ok(Self {
            leader: fields.leader,
            is_serving: fields.kind == "serving",
            overtakes: fields.overtakes,
            url: fields.url.as_deref().and_then(NodeUrl::new),
        })
    }
}

#[derive(Serialize, Deserialize)]
struct Fields {
    kind: String,
    #[serde(flatten)]
    leader: Leadership,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    overtakes: Option<MasterId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    v: u32,
    #[serde(default)]
    at_ms: u64,
}
