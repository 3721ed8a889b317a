//! Entity tags: what a client has of a list already (RFC 9110, sections 8.8.3 and 13.1.2).

use std::fmt;

use axum::http::HeaderMap;
use axum::http::header::{HeaderValue, IF_NONE_MATCH};
use uuid::Uuid;

/// Names what a list says. Two lists with one tag say the same, whichever node answers.
///
/// The tag is a weak one: an answer that is packed has the tag of the same answer unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EntityTag(String);

impl EntityTag {
    /// The tag of what these words tell from everything else.
    pub(super) fn of(words: &impl fmt::Debug) -> Self {
        let name = format!("{words:?}");
        let hash = Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes());
        Self(format!("W/\"{}\"", hash.simple()))
    }

    /// As a header.
    pub(super) fn header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).expect("quoted hex digits")
    }

    /// Whether `If-None-Match` says that the client has it. The comparison is the weak one.
    pub(super) fn is_had(&self, headers: &HeaderMap) -> bool {
        let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
        let own = opaque(&self.0);
        let values = headers.get_all(IF_NONE_MATCH).iter();
        let mut tags = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','));
        tags.any(|tag| tag.trim() == "*" || opaque(tag) == own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_among_others_weak_or_not() {
        let tag = EntityTag::of(&("list", 1, 5));
        assert_ne!(tag, EntityTag::of(&("list", 1, 6)));
        let text = tag.header().to_str().unwrap().to_owned();
        let quoted = text.trim_start_matches("W/").to_owned();
        let is_had = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(IF_NONE_MATCH, value.parse().unwrap());
            }
            tag.is_had(&headers)
        };
        for had in [&text, &quoted, "*", &format!("\"x\", {text}")] {
            assert!(is_had(&[had]), "{had}");
        }
        assert!(is_had(&["\"x\"", &text]));
        for not in ["", "\"x\"", "W/\"\"", quoted.trim_matches('"')] {
            assert!(!is_had(&[not]), "{not}");
        }
        assert!(!is_had(&[]));
    }
}
