//! The JSON of an append.

use std::borrow::Cow;
use std::fmt::Write as _;

use bytes::Bytes;
use serde::Deserialize;

use super::{Append, ENVELOPE_BYTES, Life, PROTOCOL_VERSION, Unreadable, check, few, parse};
use crate::entry::{Chunk, Entry, Position};
use crate::types::{Epoch, Instance, LogId, Seq};

#[derive(Deserialize)]
struct AppendFields<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    v: u32,
    log_id: LogId,
    epoch: Epoch,
    instance: Instance,
    prev: Position,
    tail: Seq,
    commit: Seq,
    #[serde(default)]
    replaces: Vec<Life>,
    #[serde(default)]
    by: Option<Instance>,
    entries: Vec<Entry>,
}

impl Append<Chunk> {
    /// The line that travels. `at_ms` is the wall clock in milliseconds since 1970, for those who watch.
    #[must_use]
    pub fn encode(&self, at_ms: u64) -> Bytes {
        let Self {
            life,
            prev,
            tail,
            commit,
            replaces,
            by,
            entries,
        } = self;
        let last = if entries.count == 0 {
            prev.seq
        } else {
            entries.last()
        };
        let kind = if entries.count == 0 {
            "heartbeat"
        } else {
            "append"
        };
        let mut line = String::with_capacity(ENVELOPE_BYTES + entries.text.len());
        let _ = write!(line, r#"{{"kind":"{kind}","seq":{last},"entries":["#);
        line.push_str(std::str::from_utf8(&entries.text).expect("entries are text"));
        let _ = write!(
            line,
            r#"],"prev":{},"tail":{tail},"commit":{commit},"log_id":"{}","epoch":{},"instance":"{}","#,
            position_json(&prev.said_in(life.epoch, Some(life.instance))),
            life.log_id,
            life.epoch,
            life.instance
        );
        // Nearly always it is the one that speaks.
        if let Some(by) = by.filter(|by| *by != life.instance) {
            let _ = write!(line, r#""by":"{by}","#);
        }
        if !replaces.is_empty() {
            let list = serde_json::to_string(replaces).expect("lives are JSON");
            let _ = write!(line, r#""replaces":{list},"#);
        }
        let _ = write!(line, r#""v":{PROTOCOL_VERSION},"at_ms":{at_ms}}}"#);
        line.into()
    }
}

impl Append<Vec<Entry>> {
    /// Reads what [`Append::encode`] made.
    ///
    /// # Errors
    /// Anything else, and entries that do not follow one another from `prev`.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let fields: AppendFields<'_> = parse(bytes, "append")?;
        let kind = if fields.entries.is_empty() {
            "heartbeat"
        } else {
            "append"
        };
        check(&fields.kind, fields.v, kind)?;
        in_order(fields.prev.seq, &fields.entries)?;
        let has_entries = !fields.entries.is_empty();
        Ok(Self {
            life: Life {
                log_id: fields.log_id,
                epoch: fields.epoch,
                instance: fields.instance,
            },
            prev: fields.prev.heard_in(fields.epoch, Some(fields.instance)),
            tail: fields.tail,
            commit: fields.commit,
            replaces: few(fields.replaces)?,
            by: fields.by.or(has_entries.then_some(fields.instance)),
            entries: fields.entries,
        })
    }
}

/// Whether entries follow one another from `prev`.
pub(super) fn in_order(prev: Seq, entries: &[Entry]) -> Result<(), Unreadable> {
    let mut expected = prev;
    for entry in entries {
        let found = entry.seq;
        expected = expected
            .checked_next()
            .ok_or(Unreadable::Order { expected, found })?;
        if found != expected {
            return Err(Unreadable::Order { expected, found });
        }
    }
    Ok(())
}

pub(super) fn position_json(at: &Position) -> String {
    serde_json::to_string(at).expect("a position is always JSON")
}
