//! Which messages are in the log already.

use uuid::Uuid;

use super::keys::Keys;
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

/// The messages of consecutive entries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Index {
    /// The entries are those that follow this position.
    after: Seq,
    ids: Keys,
    /// The fingerprint of each content; empty where only ids count.
    contents: Keys,
}

impl Index {
    fn starting_after(after: Seq) -> Self {
        Self {
            after,
            ..Self::default()
        }
    }

    fn len(&self) -> usize {
        self.ids.len()
    }

    fn last(&self) -> Seq {
        self.position(self.len() as u64)
    }

    fn find_id(&self, id: MessageId) -> Option<Seq> {
        let offset = self.ids.find(id.0)?;
        Some(self.position(u64::from(offset) + 1))
    }

    fn find_content(&self, fingerprint: Uuid) -> Option<Seq> {
        let offset = self.contents.find(fingerprint)?;
        Some(self.position(u64::from(offset) + 1))
    }

    /// The position of the `n`th entry; the first one is 1.
    fn position(&self, n: u64) -> Seq {
        Seq(self.after.0.saturating_add(n))
    }

    fn truncate(&mut self, last: Seq) {
        let len = usize::try_from(last.after(self.after)).unwrap_or(usize::MAX);
        self.ids.truncate(len);
        self.contents.truncate(len);
        self.after = self.after.min(last);
    }
}

/// The message ids of the log (and its contents, when asked for), each with its position. Those of a log on a disk are
/// found there; here are the newest of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Dedup {
    by: DeduplicateBy,
    newer: Index,
    /// The oldest first: none or one, and more only where `newer` could not go on.
    older: Vec<Index>,
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
        self.newer.after = floor;
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
        let indexes = || std::iter::once(&self.newer).chain(self.older.iter().rev());
        let same_content = match self.by {
            DeduplicateBy::MessageId => None,
            DeduplicateBy::Content => {
                let print = fingerprint(content);
                indexes().find_map(|i| i.find_content(print))
            }
        };
        same_content.or_else(|| indexes().find_map(|i| i.find_id(id)))
    }

    /// The message at `seq`, the next position, is in the log.
    pub fn insert(&mut self, id: MessageId, content: &Content, seq: Seq) {
        self.insert_within(Keys::MOST, id, content, seq);
    }

    /// No index takes more than `most` entries.
    fn insert_within(&mut self, most: usize, id: MessageId, content: &Content, seq: Seq) {
        if let Some(keep) = self.keep {
            self.drop_older(keep);
        }
        let has_enough = self.keep.is_some_and(|keep| self.newer.len() >= keep);
        let is_full = has_enough && self.older.is_empty() || self.newer.len() >= most;
        if is_full || self.newer.last().next() != seq {
            let newer = std::mem::replace(&mut self.newer, Index::starting_after(seq.prev()));
            self.older.extend(Some(newer).filter(|i| i.len() > 0));
        }
        self.newer.ids.push(id.0);
        if self.by == DeduplicateBy::Content {
            self.newer.contents.push(fingerprint(content));
        }
    }

    /// Drops what can be found elsewhere, one index after the other, as long as the newest `keep` entries stay.
    fn drop_older(&mut self, keep: usize) {
        let older: usize = self.older.iter().map(Index::len).sum();
        let mut known = older + self.newer.len();
        while let Some(oldest) = self.older.first() {
            known -= oldest.len();
            if known < keep || oldest.last() > self.durable {
                break;
            }
            self.floor = oldest.last();
            self.older.remove(0);
        }
    }

    /// All of it is to be found elsewhere, up to `last`.
    pub fn forget_all(&mut self, last: Seq) {
        self.older.clear();
        self.newer = Index::starting_after(last);
        self.floor = last;
    }

    /// Forgets what lies after `last`.
    pub fn truncate(&mut self, last: Seq) {
        self.newer.truncate(last);
        self.older.iter_mut().for_each(|i| i.truncate(last));
        self.older.retain(|i| i.len() > 0);
        self.floor = self.floor.min(last);
    }
}

/// What stands for a content: 122 bits of a SHA-1. Two different contents with one fingerprint do not happen by chance.
#[must_use]
pub fn fingerprint(content: &Content) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, content.text().as_bytes())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::option::{of, weighted};
    use proptest::prelude::*;

    use super::*;

    fn message((id, text): (u8, u8)) -> (MessageId, Content) {
        let id = MessageId(Uuid::from_u128(u128::from(id)));
        (id, Content::from_text(&text.to_string()))
    }

    /// Exactly what lies after the floor is found, the newest position of each.
    fn compare(dedup: &Dedup, log: &[(u8, u8)]) {
        let known = || (1..).map(Seq).zip(log).skip(dedup.floor.0 as usize);
        let ids: BTreeMap<u8, Seq> = known().map(|(seq, m)| (m.0, seq)).collect();
        let texts: BTreeMap<u8, Seq> = known().map(|(seq, m)| (m.1, seq)).collect();
        for (asked_id, asked_text) in (0..40).zip((0..20).chain(0..20)) {
            let (id, content) = message((asked_id, asked_text));
            let by_text = (texts.get(&asked_text)).filter(|_| dedup.by == DeduplicateBy::Content);
            let expected = by_text.or_else(|| ids.get(&asked_id)).copied();
            assert_eq!(dedup.find(id, &content), expected, "{dedup:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_known_is_what_lies_after_the_floor(
            messages in vec(((0..40u8, 0..20u8), weighted(0.05, 0..90u64), weighted(0.05, 0..90u64)), 0..90),
            by_content in any::<bool>(),
            keep in of(1..30usize),
            most in 1..40usize,
        ) {
            let by = if by_content { DeduplicateBy::Content } else { DeduplicateBy::MessageId };
            let mut dedup = Dedup::new(by, keep);
            let mut log = Vec::new();
            for (m, cut, durable) in messages {
                let (id, content) = message(m);
                log.push(m);
                let floor = dedup.floor;
                dedup.insert_within(most, id, &content, Seq(log.len() as u64));
                compare(&dedup, &log);
                let known = log.len() - dedup.floor.0 as usize;
                if dedup.floor > floor {
                    prop_assert!(dedup.floor <= dedup.durable, "not to be found anywhere");
                    prop_assert!(known > keep.unwrap_or(usize::MAX), "the newest are kept");
                }
                if let Some(keep) = keep.filter(|_| dedup.durable == Seq::MAX) {
                    prop_assert!(known <= 2 * keep);
                }
                prop_assert!(dedup.older.iter().chain([&dedup.newer]).all(|i| i.len() <= most));
                if let Some(cut) = cut {
                    dedup.truncate(Seq(cut));
                    log.truncate(cut as usize);
                    compare(&dedup, &log);
                }
                if let Some(durable) = durable {
                    dedup.set_durable(Seq(durable));
                }
            }
        }
    }

    #[test]
    fn positions_that_are_left_out_confuse_nothing() {
        let mut dedup = Dedup::new(DeduplicateBy::MessageId, None);
        let insert = |dedup: &mut Dedup, n: u8, seq: u64| {
            let (id, content) = message((n, n));
            dedup.insert(id, &content, Seq(seq));
        };
        let found = |dedup: &Dedup| {
            [1, 2, 3, 4].map(|n| {
                let (id, content) = message((n, n));
                dedup.find(id, &content).map(|seq| seq.0)
            })
        };
        insert(&mut dedup, 1, 3);
        insert(&mut dedup, 2, 4);
        insert(&mut dedup, 3, 9);
        insert(&mut dedup, 4, 10);
        assert_eq!(found(&dedup), [Some(3), Some(4), Some(9), Some(10)]);
        dedup.truncate(Seq(8));
        assert_eq!(found(&dedup), [Some(3), Some(4), None, None]);
        insert(&mut dedup, 4, 9);
        dedup.truncate(Seq(3));
        assert_eq!(found(&dedup), [Some(3), None, None, None]);
    }
}
