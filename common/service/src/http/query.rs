//! The parameters after the question mark: one struct per call, every name checked.

use std::fmt;
use std::time::Duration;

use axum::extract::{FromRequestParts, Query};
use axum::http::Uri;
use axum::http::request::Parts;
use serde::de::value::MapDeserializer;
use serde::de::{self, DeserializeOwned, Deserializer, IntoDeserializer, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};

use super::fields::{names_of, unknown_name};
use super::path::whole_number;
use super::problem::Problem;
use crate::settings::values::duration;

/// The parameters of a call. A name that `T` does not have, or a name given twice, is 400.
#[derive(Clone, Copy, Debug)]
pub struct Parameters<T>(pub T);

/// For a call that takes no parameters, or no fields.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoParameters {}

/// A whole number from 1. One that is too long for a `u64` is the largest one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Positive(pub u64);

/// A time with its unit, such as `500ms` or `30s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitTime(pub Duration);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        read(&parts.uri).map(Self)
    }
}

/// The parameters of a URI.
///
/// # Errors
/// 400 for an unknown name, a name given twice, or a value that is not what it should be.
pub fn read<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    let pairs = match uri.query() {
        None | Some("") => Vec::new(),
        Some(_) => {
            Query::<Vec<(String, String)>>::try_from_uri(uri)
                .map_err(|error| Problem::bad_request(error.body_text()))?
                .0
        }
    };
    let known = names_of::<T>();
    for (i, (name, _)) in pairs.iter().enumerate() {
        if !known.contains(&name.as_str()) {
            return Err(unknown_name("parameter", name, known));
        }
        if pairs[..i].iter().any(|(before, _)| before == name) {
            return Err(Problem::bad_request(format!("{name} is given twice")));
        }
    }
    let pairs = pairs
        .iter()
        .map(|(name, value)| (name.as_str(), Value { name, value }));
    T::deserialize(MapDeserializer::new(pairs))
        .map_err(|Wrong(detail)| Problem::bad_request(detail))
}

impl<'de> Deserialize<'de> for Positive {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let number = whole_number(<&str>::deserialize(from)?).filter(|n| *n > 0);
        let wrong = || de::Error::custom("must be a whole number from 1");
        number.map(Self).ok_or_else(wrong)
    }
}

impl<'de> Deserialize<'de> for WaitTime {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let wrong = |expected| de::Error::custom(format_args!("is not a duration: {expected}"));
        duration(<&str>::deserialize(from)?)
            .map(Self)
            .map_err(wrong)
    }
}

/// One value, read by serde; an error names the parameter.
#[derive(Clone, Copy)]
struct Value<'a> {
    name: &'a str,
    value: &'a str,
}

impl<'de> IntoDeserializer<'de, Wrong> for Value<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Value<'de> {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_borrowed_str(self.value)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let name = self.name;
        visitor
            .visit_some(self)
            .map_err(|Wrong(what)| Wrong(format!("{name} {what}")))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct seq tuple
        tuple_struct map struct enum identifier ignored_any
    }
}

/// What is wrong with a value, as a sentence for the client.
#[derive(Debug)]
struct Wrong(String);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Wrong {}

impl de::Error for Wrong {
    fn custom<T: fmt::Display>(what: T) -> Self {
        Self(what.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Sample {
        from: Option<Positive>,
        wait: Option<WaitTime>,
    }

    fn sample(query: &str) -> Result<Sample, String> {
        let uri = format!("/messages{query}").parse().unwrap();
        read(&uri).map_err(|problem| {
            assert_eq!(problem.status(), 400);
            problem.detail().to_owned()
        })
    }

    #[test]
    fn values_are_read_as_their_types() {
        let none = Sample {
            from: None,
            wait: None,
        };
        assert_eq!(sample(""), Ok(none));
        assert!(sample("?").is_ok());
        let all = Sample {
            from: Some(Positive(7)),
            wait: Some(WaitTime(Duration::from_millis(1500))),
        };
        assert_eq!(sample("?from=%37&wait=1500ms"), Ok(all));
        let long = sample("?from=99999999999999999999999").unwrap();
        assert_eq!(long.from, Some(Positive(u64::MAX)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (query, named) in [
            ("?from=0", "from must be a whole number from 1"),
            ("?from=", "from must be a whole number from 1"),
            ("?from=-1", "from must"),
            ("?wait=5", "wait is not a duration"),
            (
                "?form=1",
                r#"there is no parameter "form"; did you mean "from"?"#,
            ),
            ("?=1", r#"there is no parameter """#),
            ("?from=1&from=1", "from is given twice"),
        ] {
            let detail = sample(query).expect_err(query);
            assert!(detail.contains(named), "{query}: {detail}");
        }
    }

    #[test]
    fn a_call_without_parameters_refuses_each() {
        let read = |uri: &str| read::<NoParameters>(&uri.parse().unwrap());
        assert!(read("/clear").is_ok());
        let problem = read("/clear?w=1").expect_err("refused");
        assert!(problem.detail().contains("this call takes none"));
    }
}
