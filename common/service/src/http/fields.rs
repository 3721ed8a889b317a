//! The names that a call knows, and the refusal of a name that it does not know.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::problem::Problem;
use crate::nearest::nearest;

/// The names of the fields of a struct, as its `Deserialize` has them.
#[must_use]
pub fn names_of<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let mut names: &'static [&'static str] = &[];
    // The error is the way out: nothing is read.
    let _ = T::deserialize(NameReader(&mut names));
    names
}

/// The 400 for a name that a call does not know. `kind` is what has the name: "field" or "parameter".
#[must_use]
pub fn unknown_name(kind: &str, name: &str, known: &[&str]) -> Problem {
    let name: String = name.chars().take(64).collect();
    let meant = nearest(&name, known.iter().copied());
    let meant = meant.map_or(String::new(), |meant| format!("; did you mean {meant:?}?"));
    Problem::bad_request(match known {
        [] => format!("there is no {kind} {name:?}: this call takes none"),
        known => format!(
            "there is no {kind} {name:?}{meant} (known: {})",
            known.join(", ")
        ),
    })
}

/// A deserializer that reads nothing: it notes which fields it is asked for.
struct NameReader<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for NameReader<'_> {
    type Error = NothingRead;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, NothingRead> {
        Err(NothingRead)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, NothingRead> {
        *self.0 = fields;
        Err(NothingRead)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq
        tuple tuple_struct map enum identifier ignored_any
    }
}

#[derive(Debug)]
struct NothingRead;

impl fmt::Display for NothingRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing was read")
    }
}

impl std::error::Error for NothingRead {}

impl de::Error for NothingRead {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_that_serde_reads() {
        #[derive(Deserialize)]
        #[expect(dead_code, reason = "only the names are read")]
        struct Sample<'a> {
            #[serde(borrow)]
            first: Option<&'a str>,
            #[serde(rename = "other")]
            second: u64,
        }
        assert_eq!(names_of::<Sample<'_>>(), ["first", "other"]);
        assert!(names_of::<u64>().is_empty());
    }

    #[test]
    fn an_unknown_name_is_named_and_shortened() {
        let problem = unknown_name("field", "timeout", &["w", "timeout_ms"]);
        assert_eq!(
            problem.detail(),
            r#"there is no field "timeout"; did you mean "timeout_ms"? (known: w, timeout_ms)"#
        );
        let problem = unknown_name("parameter", &"é".repeat(500), &[]);
        assert!(problem.detail().len() < 250, "{}", problem.detail());
        assert!(problem.detail().ends_with("this call takes none"));
    }
}
