//! Which messages are there, against a list that is searched.

use proptest::collection::vec;
use proptest::prelude::*;
use replog_protocol::entry::Content;
use replog_protocol::ids::Seq;
use replog_protocol::leader::dedup::{Dedup, DeduplicateBy};

use crate::support::message_id;

proptest! {
    /// All that is not known lies up to the floor; what is known is right. Without a bound everything is known.
    #[test]
    fn dedup_finds_by_its_rule(
        messages in vec((0..60u128, 0..40u8, proptest::option::weighted(0.05, 0..60u64)), 0..150),
        by_content in any::<bool>(),
        keep in proptest::option::of(1..30usize),
        before in 0..5u64,
    ) {
        let by = if by_content { DeduplicateBy::Content } else { DeduplicateBy::MessageId };
        let mut dedup = Dedup::new(by, keep).after(Seq(before));
        // What was there before this index was made has ids that nobody asks for.
        let mut twin: Vec<(u128, u8)> = (0..before).map(|n| (900 + u128::from(n), 99)).collect();
        for (id, text, cut) in messages {
            let content = Content::from_text(&text.to_string());
            let floor = dedup.floor().0 as usize;
            let newer = twin.iter().enumerate().skip(floor);
            let same_text = newer.clone().find(|(_, m)| by_content && m.1 == text);
            let expected = same_text.or_else(|| newer.clone().find(|(_, m)| m.0 == id));
            let found = dedup.find(message_id(id), &content);
            match found {
                // What lies before the floor may still be known; then it is right.
                Some(seq) if (seq.0 as usize) <= floor => {
                    let there = twin[seq.0 as usize - 1];
                    prop_assert!(there.0 == id || by_content && there.1 == text);
                }
                found => prop_assert_eq!(found, expected.map(|(i, _)| Seq(i as u64 + 1))),
            }
            if keep.is_none() {
                prop_assert!(floor <= before as usize, "everything is kept");
            }
            if let Some(most) = keep {
                prop_assert!(twin.len() - floor <= 2 * most, "not more than twice the bound");
            }
            let is_there = twin.iter().any(|m| m.0 == id || by_content && m.1 == text);
            if !is_there {
                twin.push((id, text));
                dedup.insert(message_id(id), &content, Seq(twin.len() as u64));
            }
            if let Some(cut) = cut {
                dedup.truncate(Seq(cut));
                twin.truncate(cut as usize);
            }
            prop_assert!(dedup.floor().0 <= twin.len() as u64);
        }
    }
}
