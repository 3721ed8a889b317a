//! From the body of a POST to a draft: each field checked, each refusal naming what is allowed.

use std::time::Duration;

use axum::http::HeaderMap;
use replog_common::entry::Content;
use replog_common::service::problem::Problem;
use replog_common::types::{MessageId, Seq, WriteConcern};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// The longest time that a client may let a POST wait: more than anybody means, less than arithmetic minds.
const MAX_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 3600);
/// The longest `Idempotency-Key`, in characters.
const MAX_KEY_CHARS: usize = 255;

/// `POST /messages` as it comes.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AppendBody {
    content: Option<Box<RawValue>>,
    w: Value,
    message_id: Value,
    timeout_ms: Value,
    expected_seq: Value,
}

/// The same, checked.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) content: Content,
    pub(super) w: Option<WriteConcern>,
    pub(super) message_id: Option<MessageId>,
    pub(super) timeout: Option<Duration>,
    pub(super) expected_seq: Option<Seq>,
}

impl AppendBody {
    /// Checks every field, and the header that is another spelling of one.
    pub(super) fn check(
        self,
        headers: &HeaderMap,
        listed: Option<usize>,
    ) -> Result<Checked, Problem> {
        let content = self.content.filter(|raw| raw.get() != "null");
        let content = content
            .ok_or_else(|| Problem::bad_request("content is missing: it must be a string"))?;
        Ok(Checked {
            content: text("content", &content)?,
            w: write_concern(&self.w, listed)?,
            message_id: one_id(message_id(&self.message_id)?, key(headers)?)?,
            timeout: whole("timeout_ms", &self.timeout_ms, 0)?
                .map(|ms| Duration::from_millis(ms).min(MAX_TIMEOUT)),
            expected_seq: whole("expected_seq", &self.expected_seq, 1)?.map(Seq),
        })
    }
}

/// A JSON string, kept as it was written.
pub(super) fn text(name: &str, raw: &RawValue) -> Result<Content, Problem> {
    Content::from_json(raw).map_err(|_| {
        let shown: String = raw.get().chars().take(40).collect();
        Problem::bad_request(format!(
            "{name} must be a string of whole Unicode characters, not {shown}"
        ))
    })
}

/// `2`, `"2"`, `"majority"`, `"all"`; `null` is absent.
pub(super) fn write_concern(
    value: &Value,
    listed: Option<usize>,
) -> Result<Option<WriteConcern>, Problem> {
    let word = match value {
        Value::Null => return Ok(None),
        Value::String(word) => word.clone(),
        other => other.to_string(),
    };
    word.parse().map(Some).map_err(|error| {
        let most = listed.map(|n| WriteConcern::All.nodes(n));
        let most = most.map_or(String::new(), |n| format!("; there are {n} nodes"));
        Problem::bad_request(format!("{error}{most}"))
    })
}

fn message_id(value: &Value) -> Result<Option<MessageId>, Problem> {
    match value {
        Value::Null => Ok(None),
        Value::String(id) => MessageId::parse(id)
            .map(Some)
            .map_err(|e| Problem::bad_request(format!("{e}"))),
        _ => Err(Problem::bad_request(
            "message_id must be a string: a UUID, with or without hyphens",
        )),
    }
}

fn key(headers: &HeaderMap) -> Result<Option<MessageId>, Problem> {
    let Some(header) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    let wrong = || {
        Problem::bad_request(format!(
            "Idempotency-Key must have 1 to {MAX_KEY_CHARS} characters"
        ))
    };
    let key = std::str::from_utf8(header.as_bytes()).map_err(|_| wrong())?;
    let fits = (1..=MAX_KEY_CHARS).contains(&key.chars().count());
    fits.then(|| MessageId::from_key(key))
        .ok_or_else(wrong)
        .map(Some)
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

fn whole(name: &str, value: &Value, least: u64) -> Result<Option<u64>, Problem> {
    match value {
        Value::Null => Ok(None),
        Value::Number(n) if n.as_u64().is_some_and(|n| n >= least) => Ok(n.as_u64()),
        _ => Err(Problem::bad_request(format!(
            "{name} must be a whole number from {least}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str) -> Result<Checked, Problem> {
        let body: AppendBody = serde_json::from_str(body).expect("JSON");
        body.check(&HeaderMap::new(), None)
    }

    #[test]
    fn write_concerns_are_numbers_or_words() {
        let w = |w: &str| check(&format!(r#"{{"content":"","w":{w}}}"#)).map(|c| c.w);
        assert_eq!(w("2"), Ok(Some(WriteConcern::Count(2))));
        assert_eq!(w("\"2\""), Ok(Some(WriteConcern::Count(2))));
        assert_eq!(w("\"majority\""), Ok(Some(WriteConcern::Majority)));
        assert_eq!(w("\"all\""), Ok(Some(WriteConcern::All)));
        assert_eq!(w("null"), Ok(None));
        for wrong in [
            "0", "-1", "1.0", "1.5", "1e2", "true", "\"two\"", "\"\"", "\"+2\"", "[]", "{}",
        ] {
            assert!(w(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn contents_are_strings() {
        assert_eq!(
            check(r#"{"content":""}"#)
                .expect("empty is a string")
                .content
                .text(),
            ""
        );
        assert_eq!(
            check(r#"{"content":"\u00e9\n"}"#)
                .expect("escapes")
                .content
                .text(),
            "é\n"
        );
        for wrong in [
            "{}",
            r#"{"content":null}"#,
            r#"{"content":5}"#,
            r#"{"content":"\ud800"}"#,
        ] {
            assert!(check(wrong).is_err(), "{wrong}");
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
        for wrong in [
            r#""timeout_ms":-1"#,
            r#""timeout_ms":"5""#,
            r#""timeout_ms":0.5"#,
            r#""expected_seq":0"#,
        ] {
            assert!(
                check(&format!(r#"{{"content":"x",{wrong}}}"#)).is_err(),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_key_is_an_id_in_another_spelling() {
        let id = "6ba7b8109dad11d180b400c04fd430c8";
        let mut headers = HeaderMap::new();
        headers.insert("idempotency-key", id.parse().expect("a header"));
        let body = |json: &str| serde_json::from_str::<AppendBody>(json).expect("JSON");
        let same = body(r#"{"content":"x","message_id":"6BA7B810-9DAD-11D1-80B4-00C04FD430C8"}"#)
            .check(&headers, None);
        assert_eq!(
            same.map(|c| c.message_id),
            Ok(Some(MessageId::parse(id).expect("a UUID")))
        );
        let other = body(r#"{"content":"x","message_id":"00000000-0000-0000-0000-000000000000"}"#)
            .check(&headers, None);
        assert!(other.is_err());
        headers.insert("idempotency-key", "".parse().expect("a header"));
        assert!(body(r#"{"content":"x"}"#).check(&headers, None).is_err());
    }
}
