//! Which messages are in the log already.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::entry::Content;
use crate::types::{MessageId, Seq};

/// What makes two appends the same message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DeduplicateBy {
    /// Their message id.
    #[default]
    MessageId,
    /// Their content, whatever their ids.
    Content,
}

/// The message ids of the log (and its contents, when asked for), each with its position.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Dedup {
    by: DeduplicateBy,
    ids: BTreeMap<MessageId, Seq>,
    contents: BTreeMap<Uuid, Seq>,
}

impl Dedup {
    /// An empty index.
    #[must_use]
    pub fn new(by: DeduplicateBy) -> Self {
        Self {
            by,
            ids: BTreeMap::new(),
            contents: BTreeMap::new(),
        }
    }

    /// Where the same message is, if it is in the log, by whichever rule holds.
    #[must_use]
    pub fn find(&self, id: MessageId, content: &Content) -> Option<Seq> {
        let same_content = match self.by {
            DeduplicateBy::MessageId => None,
            DeduplicateBy::Content => self.contents.get(&fingerprint(content)).copied(),
        };
        same_content.or_else(|| self.ids.get(&id).copied())
    }

    /// The message at `seq` is in the log.
    pub fn insert(&mut self, id: MessageId, content: &Content, seq: Seq) {
        self.ids.insert(id, seq);
        if self.by == DeduplicateBy::Content {
            self.contents.insert(fingerprint(content), seq);
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::new(self.by);
    }
}

/// 122 bits of a SHA-1: two different contents with one fingerprint do not happen by chance.
fn fingerprint(content: &Content) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, content.text().as_bytes())
}
