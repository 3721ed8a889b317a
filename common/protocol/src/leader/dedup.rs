//! Which messages are in the log already.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::entry::Content;
use crate::ids::{MessageId, Seq};

/// What makes two appends the same message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DeduplicateBy {
    /// Their message id.
    #[default]
    MessageId,
    /// Their content, whatever their ids.
    Content,
}

/// The messages of consecutive entries, each with its position.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Index {
    ids: BTreeMap<MessageId, Seq>,
    contents: BTreeMap<Uuid, Seq>,
    last: Seq,
}

/// The message ids of the log (and its contents, when asked for), each with its position. Those of a log on a disk are
/// found there; here are the newest of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Dedup {
    by: DeduplicateBy,
    newer: Index,
    older: Index,
    /// What lies up to here is not known.
    floor: Seq,
    /// How many entries one index takes before the older one is dropped.
    keep: Option<usize>,
    /// Only what lies up to here can be found elsewhere; what does not is never dropped.
    durable: Seq,
}

impl Dedup {
    /// An empty index of a log that is empty. It keeps everything; or, where that is in a store too, the newest `keep`
    /// entries, and up to as many more.
    #[must_use]
    pub fn new(by: DeduplicateBy, keep: Option<usize>) -> Self {
        Self {
            by,
            keep,
            durable: Seq::MAX,
            ..Self::default()
        }
    }

    /// What lies up to `floor` is to be found elsewhere.
    #[must_use]
    pub fn after(mut self, floor: Seq) -> Self {
        self.floor = floor;
        (self.newer.last, self.older.last) = (floor, floor);
        self
    }

    /// Only what lies up to `durable` can be found elsewhere, and may be dropped here.
    pub fn set_durable(&mut self, durable: Seq) {
        self.durable = durable;
    }

    /// The rule.
    #[must_use]
    pub fn by(&self) -> DeduplicateBy {
        self.by
    }

    /// What lies up to here is not known.
    #[must_use]
    pub fn floor(&self) -> Seq {
        self.floor
    }

    /// Where the same message is, if it is known to be in the log, by whichever rule holds.
    #[must_use]
    pub fn find(&self, id: MessageId, content: &Content) -> Option<Seq> {
        let indexes = || [&self.newer, &self.older].into_iter();
        let same_content = match self.by {
            DeduplicateBy::MessageId => None,
            DeduplicateBy::Content => {
                let print = fingerprint(content);
                indexes().find_map(|i| i.contents.get(&print).copied())
            }
        };
        same_content.or_else(|| indexes().find_map(|i| i.ids.get(&id).copied()))
    }

    /// The message at `seq`, the next position, is in the log.
    pub fn insert(&mut self, id: MessageId, content: &Content, seq: Seq) {
        let is_full = self.keep.is_some_and(|most| self.newer.ids.len() >= most);
        if is_full && self.older.last <= self.durable {
            self.floor = self.older.last;
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.last = seq;
        self.newer.ids.insert(id, seq);
        if self.by == DeduplicateBy::Content {
            self.newer.contents.insert(fingerprint(content), seq);
        }
    }

    /// Forgets what lies after `last`.
    pub fn truncate(&mut self, last: Seq) {
        for index in [&mut self.newer, &mut self.older] {
            index.ids.retain(|_, seq| *seq <= last);
            index.contents.retain(|_, seq| *seq <= last);
            index.last = index.last.min(last);
        }
        self.floor = self.floor.min(last);
    }
}

/// What stands for a content: 122 bits of a SHA-1. Two different contents with one fingerprint do not happen by chance.
#[must_use]
pub fn fingerprint(content: &Content) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, content.text().as_bytes())
}
