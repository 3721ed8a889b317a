//! Entries as they leave.

use bytes::Bytes;

use super::Entry;
use crate::types::Seq;

/// Consecutive entries as they leave: their JSON objects with commas between, ready to be put in brackets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Chunk {
    /// The first entry's position; meaningless when `count` is 0.
    pub first: Seq,
    /// How many entries.
    pub count: u64,
    /// The objects, comma separated.
    pub text: Bytes,
}

impl Chunk {
    /// The last entry's position, [`Seq::ZERO`] for none.
    #[must_use]
    pub fn last(&self) -> Seq {
        if self.count == 0 {
            Seq::ZERO
        } else {
            Seq(self.first.0 + self.count - 1)
        }
    }

    /// Joins entries that follow one another.
    #[must_use]
    pub fn of(entries: &[Entry]) -> Self {
        let mut text = Vec::new();
        for entry in entries {
            if !text.is_empty() {
                text.push(b',');
            }
            text.extend_from_slice(entry.json());
        }
        let first = entries.first().map_or(Seq::ZERO, |e| e.seq);
        Self {
            first,
            count: entries.len() as u64,
            text: text.into(),
        }
    }

    /// The entries again.
    ///
    /// # Errors
    /// Text that was not made by this type.
    pub fn entries(&self) -> Result<Vec<Entry>, serde_json::Error> {
        let mut list = Vec::with_capacity(self.text.len() + 2);
        list.push(b'[');
        list.extend_from_slice(&self.text);
        list.push(b']');
        serde_json::from_slice(&list)
    }
}
