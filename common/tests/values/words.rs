//! Contents, names and ids: whatever is written comes back the same, and what is not allowed is refused.

use proptest::collection::vec;
use proptest::prelude::*;
use replog_common::entry::{Content, Entry, Position};
use replog_common::types::{Epoch, MessageId, NodeId, Seq, WriteConcern};
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
        prop_assert!(content.same_text(&Content::from_text(&text)));
        let at = Position { seq: Seq(1), epoch: Epoch(2), by: None };
        let entry = Entry::with_content(at, MessageId(Uuid::nil()), &content);
        let again = Entry::parse(std::str::from_utf8(entry.json()).expect("text")).expect("an entry");
        prop_assert_eq!(&again, &entry);
        prop_assert_eq!(again.content(), content);
        prop_assert!(!entry.json().contains(&b'\n'), "one line");
    }

    #[test]
    fn half_a_surrogate_pair_is_no_content(unit in 0xd800..0xe000u32) {
        let raw = RawValue::from_string(format!("\"a\\u{unit:04x}b\"")).expect("JSON");
        prop_assert!(Content::from_json(&raw).is_err());
    }

    #[test]
    fn words_are_parsed_or_refused(text in any::<String>(), n in any::<u32>(), key in any::<u128>()) {
        let name = (1..=32).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        prop_assert_eq!(text.parse::<NodeId>().is_ok(), name);
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let number = digits && text.parse::<u32>().is_ok_and(|n| n > 0);
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
}
