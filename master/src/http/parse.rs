//! From the body of a POST to messages: each field checked, each refusal naming what was sent and what is allowed.

use std::borrow::Cow;

use axum::body::Bytes;
use replog_protocol::entry::Content;
use replog_protocol::ids::{MessageId, Seq};
use replog_service::http::problem::Problem;
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::described::nodes;
use super::idempotency_key::IdempotencyKey;
use super::terms::{Terms, terms, whole_number};

/// So many characters of what was sent are shown in a refusal.
pub(super) const MAX_SHOWN_CHARS: usize = 40;

/// One message; a field that is null is absent.
// The values are kept as they were written, so that a refusal names the number that was sent and not what became of it.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = Message)]
#[serde(deny_unknown_fields)]
pub(super) struct MessageBody<'a> {
    /// Any string, also the empty one.
    #[serde(borrow)]
    #[schema(value_type = String, required = true, example = "hello")]
    content: Option<&'a RawValue>,
    /// How many nodes, the master included, are to hold the message before it is answered.
    #[serde(borrow)]
    #[schema(schema_with = nodes, required = false)]
    w: Option<&'a RawValue>,
    /// A UUID of the client's own: a retry with it is the same message.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, pattern = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$", required = false)]
    message_id: Option<&'a RawValue>,
    /// How long to wait for the nodes, in milliseconds: then 504, and the entry stays. Without it the answer takes as long as
    /// they do.
    #[serde(borrow)]
    #[schema(value_type = Option<u64>, maximum = 18446744073709551615u64, required = false, example = 500)]
    timeout_ms: Option<&'a RawValue>,
    /// Append only at this position, else 412.
    #[serde(borrow)]
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 18446744073709551615u64, required = false)]
    expected_seq: Option<&'a RawValue>,
}

/// One element of the array that is a batch.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = BatchMessage)]
#[serde(deny_unknown_fields)]
pub(super) struct BatchElement<'a> {
    /// Any string, also the empty one.
    #[serde(borrow)]
    #[schema(value_type = String, required = true, example = "hello")]
    content: Option<&'a RawValue>,
    /// A UUID of the client's own: a retry with it is the same message.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, pattern = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$", required = false)]
    message_id: Option<&'a RawValue>,
}

/// One line of a bulk load; also as a list shows it, so that an export can be loaded.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LoadLine<'a> {
    /// The position that the line gets, or has; else 412.
    #[serde(borrow)]
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 18446744073709551615u64, required = false)]
    seq: Option<&'a RawValue>,
    /// Ignored: a new entry is of this master's epoch.
    #[serde(rename = "epoch", borrow)]
    #[schema(value_type = Option<serde_json::Value>, required = false)]
    _epoch: Option<&'a RawValue>,
    /// A UUID of the client's own: a retry with it is the same message.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, pattern = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$", required = false)]
    message_id: Option<&'a RawValue>,
    /// Any string, also the empty one.
    #[serde(borrow)]
    #[schema(value_type = String, required = true, example = "hello")]
    content: Option<&'a RawValue>,
}

/// A message, checked.
#[derive(Clone, Debug)]
pub(super) struct NewMessage {
    pub(super) content: Content,
    pub(super) message_id: Option<MessageId>,
}

impl MessageBody<'_> {
    /// Checks every field. `key` is the `Idempotency-Key`, another spelling of an id; `parameters` are other spellings of the
    /// other fields; `listed` is how many members are, if they are.
    pub(super) fn check(
        self,
        key: Option<&IdempotencyKey>,
        parameters: Terms,
        listed: Option<usize>,
    ) -> Result<(NewMessage, Terms), Problem> {
        let message = NewMessage {
            content: content("content", self.content, None)?,
            message_id: one_id(message_id(self.message_id)?, key)?,
        };
        let terms = terms(self.w, self.timeout_ms, self.expected_seq, listed)?;
        Ok((message, terms.or(parameters)?))
    }
}

impl BatchElement<'_> {
    /// Checks every field. The content shares the bytes of the body that the element is a part of.
    pub(super) fn check(self, body: &Bytes) -> Result<NewMessage, Problem> {
        Ok(NewMessage {
            content: content("content", self.content, Some(body))?,
            message_id: message_id(self.message_id)?,
        })
    }
}

impl LoadLine<'_> {
    /// Checks every field: the message, whose content shares the bytes of its line, and the position that it is to be at.
    pub(super) fn check(self, line: &Bytes) -> Result<(NewMessage, Option<Seq>), Problem> {
        let message = NewMessage {
            content: content("content", self.content, Some(line))?,
            message_id: message_id(self.message_id)?,
        };
        let seq = whole_number("seq", self.seq.map(RawValue::get), 1)?;
        Ok((message, seq.map(Seq)))
    }
}

/// A JSON string, kept as it was written: copied, or as a part of the bytes that it `lies_in`.
pub(super) fn content(
    name: &str,
    raw: Option<&RawValue>,
    lies_in: Option<&Bytes>,
) -> Result<Content, Problem> {
    let missing = || Problem::bad_request(format!("{name} is missing: it must be a string"));
    let raw = raw.ok_or_else(missing)?;
    let content = match lies_in {
        None => Content::from_json(raw),
        Some(bytes) => Content::within(bytes, raw),
    };
    content.map_err(|_| {
        let shown = shown(raw);
        Problem::bad_request(format!(
            "{name} must be a string of whole Unicode characters, not {shown}"
        ))
    })
}

pub(super) fn message_id(raw: Option<&RawValue>) -> Result<Option<MessageId>, Problem> {
    let Some(raw) = raw else {
        return Ok(None);
    };
    let wrong = || {
        let shown = shown(raw);
        Problem::bad_request(format!(
            "message_id must be a string, a UUID with or without hyphens, not {shown}"
        ))
    };
    let text = string(raw).ok_or_else(wrong)?;
    MessageId::parse(&text).map(Some).map_err(|_| wrong())
}

/// The id that is given as a field, as the `Idempotency-Key`, or as both if they are the same.
pub(super) fn one_id(
    field: Option<MessageId>,
    key: Option<&IdempotencyKey>,
) -> Result<Option<MessageId>, Problem> {
    match (field, key.map(IdempotencyKey::message_id)) {
        (Some(a), Some(b)) if a != b => Err(Problem::bad_request(
            "message_id and Idempotency-Key are both given and differ: send one of them",
        )),
        (a, b) => Ok(a.or(b)),
    }
}

/// The string that a JSON value is.
pub(super) fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    let is_string = raw.get().starts_with('"');
    is_string
        .then(|| serde_json::from_str::<String>(raw.get()).ok())?
        .map(Cow::Owned)
}

/// The beginning of what was sent.
fn shown(raw: &RawValue) -> String {
    raw.get().chars().take(MAX_SHOWN_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use replog_protocol::write_concern::WriteConcern;
    use replog_service::http::body::object;
    use replog_service::http::query;

    use super::*;
    use crate::http::terms::AppendParameters;

    fn check(body: &str) -> Result<(NewMessage, Terms), String> {
        check_with(body, "")
    }

    /// With these parameters in the URL.
    fn check_with(body: &str, parameters: &str) -> Result<(NewMessage, Terms), String> {
        let uri = format!("/messages{parameters}").parse().expect("a URI");
        let parameters = query::read(&uri).and_then(|p: AppendParameters| p.check(Some(2)));
        let checked = parameters.and_then(|parameters| {
            let body: MessageBody<'_> = object(body.as_bytes(), "{}")?;
            body.check(None, parameters, Some(2))
        });
        checked.map_err(|problem| {
            assert_eq!(problem.status(), 400);
            problem.detail().to_owned()
        })
    }

    #[test]
    fn parameters_are_other_spellings_of_the_fields() {
        let terms = |body: &str, parameters: &str| {
            let body = format!(r#"{{"content":"x"{body}}}"#);
            check_with(&body, parameters).map(|(_, terms)| terms)
        };
        let all = Terms {
            w: Some(WriteConcern::Count(2)),
            timeout: Some(Duration::from_millis(50)),
            expected_seq: Some(Seq(7)),
        };
        let parameters = "?w=2&timeout_ms=50&expected_seq=7";
        let body = r#","w":"2","timeout_ms":50,"expected_seq":7"#;
        assert_eq!(terms("", parameters), Ok(all));
        assert_eq!(terms(body, ""), Ok(all));
        assert_eq!(terms(body, parameters), Ok(all));
        assert_eq!(terms("", "?"), Ok(Terms::default()));
        let majority = terms("", "?w=majority").map(|terms| terms.w);
        assert_eq!(majority, Ok(Some(WriteConcern::Majority)));
        for (body, parameters, named) in [
            (r#","w":1"#, "?w=2", "w is given in the body and in the URL"),
            (
                r#","timeout_ms":1"#,
                "?timeout_ms=2",
                "timeout_ms is given in the body",
            ),
            (
                r#","expected_seq":1"#,
                "?expected_seq=2",
                "expected_seq is given in the body",
            ),
            ("", "?w=0", "from 1 to 3"),
            ("", "?w=%22all%22", "whole number from 1"),
            ("", "?w=", "whole number from 1"),
            (
                "",
                "?timeout_ms=%2B5",
                "timeout_ms must be a whole number from 0, not +5",
            ),
            ("", "?timeout_ms=-1", "timeout_ms must be"),
            (
                "",
                "?expected_seq=0",
                "expected_seq must be a whole number from 1, not 0",
            ),
            (
                "",
                "?timeout_ms=18446744073709551616",
                "timeout_ms must be at most 18446744073709551615",
            ),
            ("", "?w=1&w=1", "w is given twice"),
            (
                "",
                "?timeout=5",
                r#"no parameter "timeout"; did you mean "timeout_ms"?"#,
            ),
        ] {
            let detail = terms(body, parameters).expect_err(parameters);
            assert!(detail.contains(named), "{parameters}: {detail}");
        }
    }

    #[test]
    fn write_concerns_are_numbers_or_words() {
        let w = |w: &str| check(&format!(r#"{{"content":"","w":{w}}}"#)).map(|(_, terms)| terms.w);
        assert_eq!(w("2"), Ok(Some(WriteConcern::Count(2))));
        assert_eq!(w("\"2\""), Ok(Some(WriteConcern::Count(2))));
        assert_eq!(w("\"majority\""), Ok(Some(WriteConcern::Majority)));
        assert_eq!(w("\"all\""), Ok(Some(WriteConcern::All)));
        assert_eq!(w("null"), Ok(None));
        // The number that was sent, whatever its size: CASES 10.
        let large = 9_007_199_254_740_993;
        assert_eq!(w(&large.to_string()), Ok(Some(WriteConcern::Count(large))));
        for wrong in [
            "0",
            "-1",
            "1.0",
            "1.5",
            "1e2",
            "true",
            "\"two\"",
            "\"\"",
            "\"+2\"",
            "[]",
            "{}",
            "99999999999999999999999",
        ] {
            let detail = w(wrong).expect_err(wrong);
            let sent = wrong.trim_matches('"');
            assert!(
                detail.contains(sent) && detail.contains("from 1 to 3"),
                "{detail}"
            );
        }
    }

    #[test]
    fn contents_are_strings() {
        let text = |body: &str| check(body).map(|(message, _)| message.content.text().into_owned());
        assert_eq!(text(r#"{"content":""}"#), Ok(String::new()));
        assert_eq!(text(r#"{"content":"\u00e9\n"}"#), Ok("é\n".to_owned()));
        for (wrong, named) in [
            ("{}", "content is missing"),
            (r#"{"content":null}"#, "content is missing"),
            (r#"{"content":5}"#, "content must be a string"),
            (r#"{"content":"\ud800"}"#, "content must be a string"),
        ] {
            let detail = text(wrong).expect_err(wrong);
            assert!(detail.contains(named), "{detail}");
        }
    }

    #[test]
    fn numbers_are_whole_and_in_range() {
        let (_, ok) = check(r#"{"content":"x","timeout_ms":0,"expected_seq":1}"#)
            .expect("both at their least");
        assert_eq!(
            (ok.timeout, ok.expected_seq),
            (Some(Duration::ZERO), Some(Seq(1)))
        );
        for (wrong, named) in [
            (
                r#""timeout_ms":-1"#,
                "timeout_ms must be a whole number from 0, not -1",
            ),
            (r#""timeout_ms":"5""#, "timeout_ms"),
            (r#""timeout_ms":0.5"#, "timeout_ms"),
            (
                r#""expected_seq":0"#,
                "expected_seq must be a whole number from 1, not 0",
            ),
        ] {
            let detail = check(&format!(r#"{{"content":"x",{wrong}}}"#)).expect_err(wrong);
            assert!(detail.contains(named), "{detail}");
        }
    }

    /// CASES A7.
    #[test]
    fn an_unknown_field_is_named_with_the_one_that_was_meant() {
        let detail = check(r#"{"content":"x","timeout":500}"#).expect_err("refused");
        assert!(detail.contains(r#""timeout""#), "{detail}");
        assert!(detail.contains(r#"did you mean "timeout_ms""#), "{detail}");
    }

    #[test]
    fn ids_are_uuids_however_they_are_written() {
        let id = |id: &str| check(&format!(r#"{{"content":"x","message_id":{id}}}"#));
        let plain = id(r#""6ba7b8109dad11d180b400c04fd430c8""#).expect("a UUID");
        let upper = id(r#""6BA7B810-9DAD-11D1-80B4-00C04FD430C8""#).expect("a UUID");
        assert_eq!(plain.0.message_id, upper.0.message_id);
        for wrong in [
            "7",
            r#""7""#,
            r#""""#,
            r#""{6ba7b810-9dad-11d1-80b4-00c04fd430c8}""#,
        ] {
            let detail = id(wrong).expect_err(wrong);
            assert!(detail.contains("UUID"), "{detail}");
        }
    }

    #[test]
    fn an_id_is_given_once() {
        let uuid = "6ba7b8109dad11d180b400c04fd430c8";
        let parsed = MessageId::parse(uuid).expect("a UUID");
        let key = |key: &str| IdempotencyKey::from(key);
        assert!(one_id(Some(parsed), Some(&key("another"))).is_err());
        assert_eq!(
            one_id(Some(parsed), Some(&key(uuid))).ok(),
            Some(Some(parsed))
        );
        let id = Some(MessageId::from_key("a"));
        assert_eq!(one_id(None, Some(&key("a"))).ok(), Some(id));
    }

    #[test]
    fn a_line_is_a_message_as_a_list_shows_it() {
        let line = |line: &str| {
            let line = Bytes::copy_from_slice(line.as_bytes());
            let checked = object(&line, "{}").and_then(|read: LoadLine<'_>| read.check(&line));
            checked.map_err(|problem| problem.detail().to_owned())
        };
        let (message, seq) = line(
            r#"{"seq":7,"epoch":3,"message_id":"6ba7b810-9dad-11d1-80b4-00c04fd430c8","content":"é"}"#,
        )
        .expect("as it is shown");
        assert_eq!((message.content.json(), seq), ("\"é\"", Some(Seq(7))));
        assert!(message.message_id.is_some());
        assert!(line(r#"{"content":""}"#).is_ok());
        for (wrong, named) in [
            (r#"{"content":"x","w":1}"#, r#"no field "w""#),
            (
                r#"{"content":"x","seq":0}"#,
                "seq must be a whole number from 1",
            ),
            (r#"{"seq":1}"#, "content is missing"),
            ("x", "JSON object"),
        ] {
            let detail = line(wrong).expect_err(wrong);
            assert!(detail.contains(named), "{detail}");
        }
    }
}
