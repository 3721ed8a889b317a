//! The JSON of a fetch and of its answer.

use std::borrow::Cow;
use std::fmt::Write as _;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::ack::AckFields;
use super::append::{in_order, position_json};
use super::{
    Ack, ENVELOPE_BYTES, Fetch, Fetched, Life, PROTOCOL_VERSION, Unreadable, check, few, parse,
};
use crate::entry::{Chunk, Entry, Position};
use crate::types::{Epoch, Instance, LogId, Seq};

#[derive(Serialize, Deserialize)]
struct FetchFields<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    seq: Seq,
    max_bytes: usize,
    log_id: LogId,
    epoch: Epoch,
    instance: Instance,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    replaces: Vec<Life>,
    v: u32,
    #[serde(default)]
    at_ms: u64,
}

impl Fetch {
    /// The line that travels.
    #[must_use]
    pub fn encode(&self, at_ms: u64) -> Bytes {
        let fields = FetchFields {
            kind: "fetch".into(),
            seq: self.from,
            max_bytes: self.max_bytes,
            log_id: self.life.log_id,
            epoch: self.life.epoch,
            instance: self.life.instance,
            replaces: self.replaces.clone(),
            v: PROTOCOL_VERSION,
            at_ms,
        };
        serde_json::to_vec(&fields)
            .expect("a fetch is always JSON")
            .into()
    }

    /// Reads what [`Fetch::encode`] made.
    ///
    /// # Errors
    /// Anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let fields: FetchFields<'_> = parse(bytes, "fetch")?;
        check(&fields.kind, fields.v, "fetch")?;
        Ok(Self {
            life: Life {
                log_id: fields.log_id,
                epoch: fields.epoch,
                instance: fields.instance,
            },
            replaces: few(fields.replaces)?,
            from: fields.seq,
            max_bytes: fields.max_bytes,
        })
    }
}

#[derive(Deserialize)]
struct FetchedFields<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    v: u32,
    prev: Position,
    #[serde(default)]
    by: Option<Instance>,
    entries: Vec<Entry>,
    #[serde(borrow)]
    position: AckFields<'a>,
}

impl<B> Fetched<B> {
    /// The same with other entries.
    pub fn with<C>(self, entries: C) -> Fetched<C> {
        Fetched {
            position: self.position,
            prev: self.prev,
            by: self.by,
            entries,
        }
    }
}

impl Fetched<Chunk> {
    /// The line that travels.
    #[must_use]
    pub fn encode(&self, at_ms: u64) -> Bytes {
        let Self {
            position,
            prev,
            by,
            entries,
        } = self;
        let last = if entries.count == 0 {
            prev.seq
        } else {
            entries.last()
        };
        let mut line = String::with_capacity(ENVELOPE_BYTES + entries.text.len());
        let _ = write!(line, r#"{{"kind":"fetched","seq":{last},"entries":["#);
        line.push_str(std::str::from_utf8(&entries.text).expect("entries are text"));
        // With entries, which histories were cleared away was said before.
        let replaced = match entries.count {
            0 => position.replaced.clone(),
            _ => Vec::new(),
        };
        let position = Ack {
            replaced,
            ..position.clone()
        };
        let position = position.encode(at_ms);
        let _ = write!(
            line,
            r#"],"prev":{},"by":{},"v":{PROTOCOL_VERSION},"position":{}}}"#,
            position_json(prev),
            serde_json::json!(by),
            std::str::from_utf8(&position).expect("an ACK is text")
        );
        line.into()
    }
}

impl Fetched<Vec<Entry>> {
    /// Reads what [`Fetched::encode`] made.
    ///
    /// # Errors
    /// Anything else, and entries that do not follow one another from `prev`.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let fields: FetchedFields<'_> = parse(bytes, "fetched")?;
        check(&fields.kind, fields.v, "fetched")?;
        in_order(fields.prev.seq, &fields.entries)?;
        Ok(Self {
            position: fields.position.read()?,
            prev: fields.prev,
            by: fields.by,
            entries: fields.entries,
        })
    }
}
