//! Contents, names and ids: whatever is written comes back the same, and what is not allowed is refused.

use proptest::collection::vec;
use proptest::prelude::*;
use replog_protocol::entry::{BatchBuilder, Content, EntryBatch};
use replog_protocol::ids::{Epoch, MasterId, MessageId, NodeId, Seq};
use replog_protocol::write_concern::{TooManyNodes, WriteConcern};
use serde_json::value::RawValue;
use uuid::Uuid;

/// A JSON string literal for `text`, with each character escaped in one of the ways that are allowed.
fn escaped(text: &str, how: &[u8]) -> String {
    let mut json = String::from('"');
    for (i, c) in text.chars().enumerate() {
        let how = how.get(i % how.len().max(1)).copied().unwrap_or(0);
        let must = c < ' ' || c == '"' || c == '\\';
        match (how % 4, c) {
            (1, '/' | '"' | '\\') => json.extend(['\\', c]),
            (0, _) if !must => json.push(c),
            (upper, _) => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    let hex = if upper == 2 {
                        format!("\\u{unit:04X}")
                    } else {
                        format!("\\u{unit:04x}")
                    };
                    json.push_str(&hex);
                }
            }
        }
    }
    json + "\""
}

proptest! {
    #[test]
    fn a_content_stays_what_it_is(text in any::<String>(), how in vec(any::<u8>(), 1..20)) {
        let literal = escaped(&text, &how);
        let raw = RawValue::from_string(literal.clone()).expect("JSON");
        let content = Content::from_json(&raw).expect("a string");
        prop_assert_eq!(content.json(), &literal);
        prop_assert_eq!(content.text(), text.as_str());
        let epoch = Epoch::new(2, MasterId::default()).expect("an epoch");
        let mut builder = BatchBuilder::new(Seq(1), epoch);
        builder.push(MessageId(Uuid::nil()), &content);
        let batch = builder.finish().expect("an entry");
        let again = EntryBatch::parse(batch.text().clone(), epoch).expect("an entry");
        prop_assert_eq!(&again, &batch);
        let entry = again.get(Seq(1)).expect("an entry");
        prop_assert_eq!(entry.content(), content);
        prop_assert!(entry.says(&Content::from_text(&text)), "however it is escaped");
        let longer = Content::from_text(&[&text, "!"].concat());
        prop_assert!(!entry.says(&longer));
        prop_assert!(!entry.json.contains('\n'), "one line");
    }

    #[test]
    fn half_a_surrogate_pair_is_no_content(unit in 0xd800..0xe000u32) {
        let raw = RawValue::from_string(format!("\"a\\u{unit:04x}b\"")).expect("JSON");
        prop_assert!(Content::from_json(&raw).is_err());
    }

    #[test]
    fn names_and_numbers_are_parsed_or_refused(
        text in "[A-Za-z0-9_.+ -]{0,34}|all|majority|master", n in any::<u64>(), key in any::<u128>(),
    ) {
        let name = (1..=32).contains(&text.len()) && text != "master"
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        prop_assert_eq!(text.parse::<NodeId>().is_ok(), name);
        let json = serde_json::to_string(&text).expect("JSON");
        prop_assert_eq!(serde_json::from_str::<NodeId>(&json).is_ok(), name);
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let number = digits && text.parse::<u64>().is_ok_and(|n| n > 0);
        let named = ["all", "majority"].contains(&text.as_str());
        prop_assert_eq!(text.parse::<WriteConcern>().is_ok(), number || named);
        let parsed = n.to_string().parse::<WriteConcern>().ok();
        prop_assert_eq!(parsed, (n > 0).then_some(WriteConcern::Count(n)));
        let id = Uuid::from_u128(key);
        for way in [id.to_string(), id.to_string().to_uppercase(), id.simple().to_string()] {
            prop_assert_eq!(MessageId::parse(&way).expect("a UUID"), MessageId(id));
            prop_assert_eq!(MessageId::from_key(&way), MessageId(id));
        }
        prop_assert!(MessageId::parse(&id.urn().to_string()).is_err());
        prop_assert!(MessageId::parse(&id.braced().to_string()).is_err());
        prop_assert_eq!(MessageId::from_key(&text), MessageId::from_key(&text));
    }

    #[test]
    fn a_write_concern_is_a_number_of_nodes(members in 0..9usize, w in 1..20u64) {
        let all = u32::try_from(members).expect("small") + 1;
        prop_assert_eq!(WriteConcern::All.among_listed(members), Ok(all));
        let majority = WriteConcern::Majority.nodes(members);
        prop_assert!(majority * 2 > all && (majority - 1) * 2 <= all, "just more than half");
        let counted = WriteConcern::Count(w).among_listed(members);
        match w <= u64::from(all) {
            true => prop_assert_eq!(counted, Ok(u32::try_from(w).expect("small"))),
            false => prop_assert_eq!(counted, Err(TooManyNodes { w, nodes: all })),
        }
    }

    /// Epochs are ordered by their number first, and no two of two masters are equal.
    #[test]
    fn epochs_are_totally_ordered(n in 0..9u64, m in 0..9u64, a in 0..3u128, b in 0..3u128) {
        let of = |n, start| Epoch::new(n, MasterId(Uuid::from_u128(start))).expect("an epoch");
        let (one, other) = (of(n, a), of(m, b));
        prop_assert_eq!(one == other, (n, a) == (m, b));
        prop_assert_eq!(one < other, (n, a) < (m, b));
        prop_assert!(one.next_of(other.master) > one);
    }
}

#[test]
fn an_epoch_has_a_last_number() {
    let master = MasterId::default();
    assert!(Epoch::new(Epoch::MAX_N, master).is_ok());
    assert!(Epoch::new(Epoch::MAX_N + 1, master).is_err());
    let last = Epoch::new(Epoch::MAX_N, master).expect("an epoch");
    assert_eq!(last.next_of(master), last);
    assert!(last.is_forged_above(last), "nothing follows it");
}
