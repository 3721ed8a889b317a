//! From the body of a POST to a message: each field checked, each refusal naming what was sent and what is allowed.

use std::borrow::Cow;
use std::time::Duration;

use axum::http::HeaderMap;
use replog_protocol::entry::Content;
use replog_protocol::ids::{MessageId, Seq};
use replog_protocol::write_concern::WriteConcern;
use replog_service::http::problem::Problem;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The longest time that a client may let a POST wait: more than anybody means, less than arithmetic minds.
const MAX_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 3600);
/// The longest `Idempotency-Key`, in characters.
const MAX_KEY_CHARS: usize = 255;
/// So many characters of what was sent are shown in a refusal.
const MAX_SHOWN_CHARS: usize = 40;

/// `POST /messages` as it comes; a field that is null is absent. The values are kept as they were written, so that a refusal
/// names the number that was sent and not what became of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MessageBody<'a> {
    /// A string.
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    /// A whole number from 1, as a number or a string; `"majority"` or `"all"`.
    #[serde(borrow)]
    w: Option<&'a RawValue>,
    /// A UUID.
    #[serde(borrow)]
    message_id: Option<&'a RawValue>,
    /// A whole number from 0, in milliseconds.
    #[serde(borrow)]
    timeout_ms: Option<&'a RawValue>,
    /// A whole number from 1.
    #[serde(borrow)]
    expected_seq: Option<&'a RawValue>,
}

/// The same, checked.
#[derive(Debug)]
pub(super) struct NewMessage {
    pub(super) content: Content,
    pub(super) w: Option<WriteConcern>,
    pub(super) message_id: Option<MessageId>,
    pub(super) timeout: Option<Duration>,
    pub(super) expected_seq: Option<Seq>,
}

impl MessageBody<'_> {
    /// Checks every field. `key` is the `Idempotency-Key`, another spelling of one; `listed` how many members are, if they are.
    pub(super) fn check(
        self,
        key: Option<MessageId>,
        listed: Option<usize>,
    ) -> Result<NewMessage, Problem> {
        let timeout = whole_number("timeout_ms", self.timeout_ms, 0)?;
        Ok(NewMessage {
            content: content("content", self.content)?,
            w: write_concern(self.w, listed)?,
            message_id: one_id(message_id(self.message_id)?, key)?,
            timeout: timeout.map(|ms| Duration::from_millis(ms).min(MAX_TIMEOUT)),
            expected_seq: whole_number("expected_seq", self.expected_seq, 1)?.map(Seq),
        })
    }
}

/// A JSON string, kept as it was written.
pub(super) fn content(name: &str, raw: Option<&RawValue>) -> Result<Content, Problem> {
    let missing = || Problem::bad_request(format!("{name} is missing: it must be a string"));
    let raw = raw.ok_or_else(missing)?;
    Content::from_json(raw).map_err(|_| {
        let shown = shown(raw);
        Problem::bad_request(format!(
            "{name} must be a string of whole Unicode characters, not {shown}"
        ))
    })
}

/// `2`, `"2"`, `"majority"`, `"all"`.
pub(super) fn write_concern(
    raw: Option<&RawValue>,
    listed: Option<usize>,
) -> Result<Option<WriteConcern>, Problem> {
    let Some(raw) = raw else {
        return Ok(None);
    };
    let text = string(raw).unwrap_or_else(|| raw.get().into());
    text.parse().map(Some).map_err(|error| {
        let nodes = listed.map(|n| WriteConcern::All.nodes(n));
        let range = nodes.map_or(String::new(), |n| {
            format!("; numbers are from 1 to {n} here")
        });
        Problem::bad_request(format!("{error}{range}"))
    })
}

/// The id that the `Idempotency-Key` stands for.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<MessageId>, Problem> {
    let mut keys = headers.get_all("idempotency-key").iter();
    let Some(first) = keys.next() else {
        return Ok(None);
    };
    if keys.any(|other| other != first) {
        let detail = "two different Idempotency-Key headers are given: send one of them";
        return Err(Problem::bad_request(detail));
    }
    let wrong = || {
        Problem::bad_request(format!(
            "Idempotency-Key must have 1 to {MAX_KEY_CHARS} characters"
        ))
    };
    let key = std::str::from_utf8(first.as_bytes()).map_err(|_| wrong())?;
    let fits = (1..=MAX_KEY_CHARS).contains(&key.chars().count());
    fits.then(|| MessageId::from_key(key))
        .ok_or_else(wrong)
        .map(Some)
}

fn message_id(raw: Option<&RawValue>) -> Result<Option<MessageId>, Problem> {
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

fn one_id(
    field: Option<MessageId>,
    header: Option<MessageId>,
) -> Result<Option<MessageId>, Problem> {
    match (field, header) {
        (Some(a), Some(b)) if a != b => Err(Problem::bad_request(
            "message_id and Idempotency-Key are both given and differ: send one of them",
        )),
        (a, b) => Ok(a.or(b)),
    }
}

/// A JSON number without sign, point and exponent.
fn whole_number(name: &str, raw: Option<&RawValue>, least: u64) -> Result<Option<u64>, Problem> {
    let Some(raw) = raw else {
        return Ok(None);
    };
    let number = raw.get().parse().ok().filter(|n| *n >= least);
    number.map(Some).ok_or_else(|| {
        let shown = shown(raw);
        Problem::bad_request(format!(
            "{name} must be a whole number from {least}, not {shown}"
        ))
    })
}

/// The string that a JSON value is.
fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
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
    use replog_service::http::body::object;

    use super::*;

    fn check(body: &str) -> Result<NewMessage, String> {
        let body: Result<MessageBody<'_>, _> = object(body.as_bytes(), "{}");
        let checked = body.and_then(|body| body.check(None, Some(2)));
        checked.map_err(|problem| {
            assert_eq!(problem.status(), 400);
            problem.detail().to_owned()
        })
    }

    #[test]
    fn write_concerns_are_numbers_or_words() {
        let w = |w: &str| check(&format!(r#"{{"content":"","w":{w}}}"#)).map(|c| c.w);
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
        let text = |body: &str| check(body).map(|m| m.content.text().into_owned());
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
        let ok = check(r#"{"content":"x","timeout_ms":0,"expected_seq":1}"#)
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
        assert_eq!(plain.message_id, upper.message_id);
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
    fn a_key_is_an_id_in_another_spelling() {
        let key = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("idempotency-key", value.parse().expect("a header"));
            }
            idempotency_key(&headers).map_err(|problem| problem.status().as_u16())
        };
        let id = "6ba7b8109dad11d180b400c04fd430c8";
        let parsed = MessageId::parse(id).expect("a UUID");
        assert_eq!(key(&[]), Ok(None));
        assert_eq!(key(&[id]), Ok(Some(parsed)));
        assert_eq!(key(&["a1", "a1"]), Ok(Some(MessageId::from_key("a1"))));
        // CASES 12b.
        assert_eq!(key(&["a1", "b2"]), Err(400));
        assert_eq!(key(&[""]), Err(400));
        assert_eq!(key(&[&"k".repeat(256)]), Err(400));

        let other = Some(MessageId::from_key("another"));
        assert!(one_id(Some(parsed), other).is_err());
        assert_eq!(one_id(Some(parsed), Some(parsed)).ok(), Some(Some(parsed)));
        assert_eq!(one_id(None, other).ok(), Some(other));
    }
}
