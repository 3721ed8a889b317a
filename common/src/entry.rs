//! One entry of the log, and runs of entries, as the JSON that every wire, list and file shows.

mod chunk;

use std::borrow::Cow;
use std::fmt::Write as _;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::types::{Epoch, Instance, MessageId, Seq};

pub use chunk::Chunk;

/// Where a log ends, or where an append begins: a seq, and the life of the master that placed the entry there. Two logs of
/// one history that agree on a position agree on everything before it (Raft's log matching property).
///
/// In Raft a term has one leader, because a majority elects it. Here a master that could not hear everybody may take an
/// epoch that another one has had: so the life is its epoch and, where it is known, the start of the program.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Position {
    /// The position.
    pub seq: Seq,
    /// The epoch of the entry there; 0 at [`Seq::ZERO`].
    pub epoch: Epoch,
    /// The start of the master that placed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Instance>,
}

impl Position {
    /// As it is said by whoever is in the life of `epoch` and `instance`: what is of that life itself need not say so.
    #[must_use]
    pub fn said_in(self, epoch: Epoch, instance: Option<Instance>) -> Self {
        let is_own = self.epoch == epoch && self.by == instance;
        Self {
            by: self.by.filter(|_| !is_own),
            ..self
        }
    }

    /// The other way round.
    #[must_use]
    pub fn heard_in(self, epoch: Epoch, instance: Option<Instance>) -> Self {
        let own = instance.filter(|_| self.epoch == epoch && self.seq > Seq::ZERO);
        Self {
            by: self.by.or(own),
            ..self
        }
    }

    /// Whether both are the same place in the same log, as far as they say.
    #[must_use]
    pub fn agrees_with(&self, other: &Position) -> bool {
        let same_start = self.by.is_none() || other.by.is_none() || self.by == other.by;
        (self.seq, self.epoch) == (other.seq, other.epoch) && same_start
    }
}

/// The text of a message: a JSON string exactly as the client wrote it, quotes and escapes included, known to be valid.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Content(Bytes);

impl Content {
    /// Takes a JSON string literal.
    ///
    /// # Errors
    /// JSON that is no string, or a string with half of a surrogate pair.
    pub fn from_json(raw: &RawValue) -> Result<Self, serde_json::Error> {
        let text = raw.get();
        // Without a `\u` escape the scan that made the raw value has checked everything.
        if !text.starts_with('"') || text.contains("\\u") {
            serde_json::from_str::<Cow<'_, str>>(text)?;
        }
        Ok(Self(Bytes::copy_from_slice(text.as_bytes())))
    }

    /// The content for a plain string.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        Self(
            serde_json::to_vec(text)
                .expect("a string is always JSON")
                .into(),
        )
    }

    /// The JSON string literal.
    #[must_use]
    pub fn json(&self) -> &str {
        std::str::from_utf8(&self.0).expect("made from text")
    }

    /// The string that the literal stands for.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        let json = self.json();
        if json.contains('\\') {
            Cow::Owned(serde_json::from_str(json).expect("checked when it was made"))
        } else {
            Cow::Borrowed(&json[1..json.len() - 1])
        }
    }

    /// Whether both stand for the same string, however they are escaped.
    #[must_use]
    pub fn same_text(&self, other: &Content) -> bool {
        self.0 == other.0 || self.text() == other.text()
    }
}

/// One message in the log, kept as the one JSON object that goes to NATS, to disk and into every list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// Its position.
    pub seq: Seq,
    /// The master's life that accepted it.
    pub epoch: Epoch,
    /// The client's key or the master's own.
    pub message_id: MessageId,
    content_at: u32,
    json: Bytes,
}

#[derive(Deserialize)]
struct EntryFields<'a> {
    seq: Seq,
    epoch: Epoch,
    message_id: MessageId,
    #[serde(borrow)]
    content: &'a RawValue,
}

impl Entry {
    /// Renders the entry, once for its whole life.
    #[must_use]
    pub fn new(seq: Seq, epoch: Epoch, message_id: MessageId, content: &str) -> Self {
        let mut json = String::with_capacity(112 + content.len());
        let _ = write!(
            json,
            r#"{{"seq":{seq},"epoch":{epoch},"message_id":"{message_id}","content":"#
        );
        let content_at = u32::try_from(json.len()).expect("a header of a hundred bytes");
        json.push_str(content);
        json.push('}');
        Self {
            seq,
            epoch,
            message_id,
            content_at,
            json: json.into(),
        }
    }

    /// An entry with the given content.
    #[must_use]
    pub fn with_content(at: Position, message_id: MessageId, content: &Content) -> Self {
        Self::new(at.seq, at.epoch, message_id, content.json())
    }

    /// The entry as a JSON object, without a newline.
    #[must_use]
    pub fn json(&self) -> &Bytes {
        &self.json
    }

    /// What the client sent.
    #[must_use]
    pub fn content(&self) -> Content {
        Content(
            self.json
                .slice(self.content_at as usize..self.json.len() - 1),
        )
    }

    /// Its seq and epoch; an entry does not say by which start of a master it was placed.
    #[must_use]
    pub fn position(&self) -> Position {
        Position {
            seq: self.seq,
            epoch: self.epoch,
            by: None,
        }
    }

    /// Reads one JSON object.
    ///
    /// # Errors
    /// Anything that is not an entry: a missing field, a content that is no string, seq 0.
    pub fn parse(json: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json)
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let fields = EntryFields::deserialize(from)?;
        if fields.seq == Seq::ZERO {
            return Err(D::Error::custom("seq must be at least 1"));
        }
        let content = Content::from_json(fields.content).map_err(D::Error::custom)?;
        Ok(Self::new(
            fields.seq,
            fields.epoch,
            fields.message_id,
            content.json(),
        ))
    }
}
