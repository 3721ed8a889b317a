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
    /// What it does.
    pub state: MasterState,
    /// The start of the living master that it has superseded, whatever history that one serves.
    pub overtakes: Option<MasterId>,
    /// Where clients reach the master.
    pub url: Option<NodeUrl>,
}

/// What a master does that announces itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MasterState {
    /// It asks what the others hold.
    Recovering,
    /// It serves.
    Serving,
    /// It stops: another one may take over at once. Only said where masters share a journal.
    Stopping,
}

impl MasterAnnouncement {
    /// Whether the master serves.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.state == MasterState::Serving
    }

    /// The line that travels.
    pub(super) fn encode(&self, at_ms: u64) -> Bytes {
        to_line(&Fields {
            kind: self.state,
            leader: self.leader,
            overtakes: self.overtakes,
            url: self.url.as_ref().map(ToString::to_string),
            v: PROTOCOL_VERSION,
            at_ms,
        })
    }

    /// Reads what [`MasterAnnouncement::encode`] made.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let fields: Fields = parse(bytes, &["serving", "recovering", "stopping"])?;
        Ok(Self {
            leader: fields.leader,
            state: fields.kind,
            overtakes: fields.overtakes,
            url: fields.url.as_deref().and_then(NodeUrl::new),
        })
    }
}

#[derive(Serialize, Deserialize)]
struct Fields {
    kind: MasterState,
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
