//! A range of entries: for a master that recovers, and for the repair of a damaged entry (Kafka: Fetch).

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::ack::AckFields;
use super::{
    Ack, DecodeError, ENVELOPE_BYTES, PROTOCOL_VERSION, entries, objects, parse, placed_by, to_line,
};
use crate::entry::EntryBatch;
use crate::epochs::LogPosition;
use crate::ids::{Epoch, Leadership, MasterId, Seq, StorageId};

/// "Send what you hold after the last entry that we share." Only the storage that is named answers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fetch {
    /// The master that asks; the secondary has promised or follows that epoch.
    pub leader: Leadership,
    /// The storage that is asked: two processes of one name hold different logs.
    pub storage: StorageId,
    /// The entry before the first one that is asked for, as the master has it. A secondary that has another entry there, or
    /// none, goes back as far as the two may share their logs.
    pub prev: LogPosition,
    /// For how many bytes of entries, at most, but one entry at least.
    pub max_bytes: usize,
}

impl Fetch {
    /// The line that travels.
    pub(super) fn encode(&self, at_ms: u64) -> Bytes {
        to_line(&FetchFields {
            kind: "fetch".into(),
            seq: self.prev.seq.next(),
            prev: self.prev,
            max_bytes: self.max_bytes,
            leader: self.leader,
            storage: self.storage,
            v: PROTOCOL_VERSION,
            at_ms,
        })
    }

    /// Reads what [`Fetch::encode`] made.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let fields: FetchFields = parse(bytes, &["fetch"])?;
        Ok(Self {
            leader: fields.leader,
            storage: fields.storage,
            prev: fields.prev,
            max_bytes: fields.max_bytes,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct FetchFields {
    kind: String,
    seq: Seq,
    prev: LogPosition,
    max_bytes: usize,
    #[serde(flatten)]
    leader: Leadership,
    storage: StorageId,
    v: u32,
    #[serde(default)]
    at_ms: u64,
}

/// The answer to a [`Fetch`]: where the secondary stands, and consecutive entries of one epoch after `prev`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchResponse {
    /// What the secondary holds; names its storage.
    pub position: Ack,
    /// The entry before the first one, as the secondary has it.
    pub prev: LogPosition,
    /// The entries; `None` if it has none there.
    pub entries: Option<EntryBatch>,
}

impl FetchResponse {
    /// The line that travels.
    ///
    /// # Panics
    /// Never: all of it is JSON.
    pub(super) fn encode(&self, at_ms: u64) -> Bytes {
        #[derive(Serialize)]
        struct Fields<'a> {
            kind: &'a str,
            seq: Seq,
            count: u64,
            prev: LogPosition,
            #[serde(skip_serializing_if = "Option::is_none")]
            placed_in: Option<u64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            placed_by: Option<MasterId>,
            position: AckFields<'a>,
            v: u32,
        }
        let entries = self.entries.as_ref();
        let fields = Fields {
            kind: "fetched",
            seq: entries.map_or(self.prev.seq, EntryBatch::last),
            count: entries.map_or(0, EntryBatch::count),
            prev: self.prev,
            placed_in: entries.map(|batch| batch.epoch().n),
            placed_by: placed_by(entries, Epoch::ZERO),
            position: AckFields::new("ack", &self.position, 0),
            v: PROTOCOL_VERSION,
        };
        let text = entries.map_or(&b""[..], |batch| batch.text());
        let mut line = Vec::with_capacity(ENVELOPE_BYTES + text.len());
        serde_json::to_writer(&mut line, &fields).expect("a message is always JSON");
        line.pop(); // the closing brace
        line.extend_from_slice(br#","entries":["#);
        line.extend_from_slice(text);
        line.extend_from_slice(format!(r#"],"at_ms":{at_ms}}}"#).as_bytes());
        line.into()
    }

    /// Reads what [`FetchResponse::encode`] made.
    pub(super) fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        #[derive(Deserialize)]
        struct Fields<'a> {
            prev: LogPosition,
            #[serde(default)]
            placed_in: u64,
            #[serde(default)]
            placed_by: MasterId,
            #[serde(borrow)]
            position: AckFields<'a>,
            #[serde(borrow)]
            entries: Option<&'a RawValue>,
        }
        let fields: Fields<'_> = parse(bytes, &["fetched"])?;
        let epoch = Epoch::new(fields.placed_in, fields.placed_by)?;
        let text = fields.entries.map_or(Ok(""), objects)?;
        Ok(Self {
            position: fields.position.read()?,
            prev: fields.prev,
            entries: entries(bytes, text, epoch, fields.prev)?,
        })
    }
}
