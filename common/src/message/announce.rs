//! What masters tell each other, as events that everybody may watch.

use std::borrow::Cow;

use serde::Deserialize;

use super::{Announce, Life, PROTOCOL_VERSION, Unreadable, parse};
use crate::types::{Epoch, Instance, LogId};

#[derive(Deserialize)]
struct AnnounceFields<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    log_id: LogId,
    epoch: Epoch,
    instance: Instance,
    #[serde(default)]
    overtakes: Option<Instance>,
    v: u32,
}

impl Announce {
    /// The kind of a master that asks what the others hold.
    pub const RECOVERING: &'static str = "recovering";
    /// The kind of a master that lives.
    pub const SERVING: &'static str = "serving";

    /// Reads an event of one of those kinds.
    ///
    /// # Errors
    /// Anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let fields: AnnounceFields<'_> = parse(bytes, Self::SERVING)?;
        if fields.v != PROTOCOL_VERSION {
            return Err(Unreadable::Version(fields.v));
        }
        let is_serving = match &*fields.kind {
            Self::SERVING => true,
            Self::RECOVERING => false,
            other => return Err(Unreadable::Kind(other.chars().take(32).collect())),
        };
        let AnnounceFields {
            log_id,
            epoch,
            instance,
            overtakes,
            ..
        } = fields;
        Ok(Self {
            life: Life {
                log_id,
                epoch,
                instance,
            },
            is_serving,
            overtakes,
        })
    }
}
