//! From a POST to messages: each field, parameter and header checked, each refusal naming what was sent and what is allowed.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::HeaderMap;
use replog_protocol::entry::Content;
use replog_protocol::ids::{MessageId, Seq};
use replog_protocol::write_concern::WriteConcern;
use replog_service::http::problem::Problem;
use replog_service::http::query::WaitTime;
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::described::nodes;

/// The longest time that a client may let a POST wait: more than anybody means, less than arithmetic minds.
const MAX_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 3600);
/// The longest `Idempotency-Key`, in characters.
const MAX_KEY_CHARS: usize = 255;
/// So many characters of what was sent are shown in a refusal.
const MAX_SHOWN_CHARS: usize = 40;

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

/// The parameters of `POST /messages` and `POST /append`: other spellings of the fields, and for a batch or a load the only
/// ones. The values are kept as they were written, as those of the fields are.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AppendParameters {
    /// How many nodes are to hold everything before it is answered: a number from 1, `majority` or `all`.
    #[param(
        pattern = "^([1-9][0-9]{0,8}|majority|all)$",
        nullable = false,
        example = "1"
    )]
    w: Option<String>,
    /// How long to wait for them, in milliseconds.
    #[param(value_type = Option<u64>, maximum = 18446744073709551615u64, nullable = false, example = 500)]
    timeout_ms: Option<String>,
    /// Append only at this position, else 412; of a batch or a load it is that of the first message.
    #[param(value_type = Option<u64>, minimum = 1, maximum = 18446744073709551615u64, nullable = false)]
    expected_seq: Option<String>,
}

/// The parameters of `GET /messages/{seq}`.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct HoldersParameters {
    /// How many nodes are to hold the entry: a number from 1, `majority` or `all`.
    #[param(
        pattern = "^([1-9][0-9]{0,8}|majority|all)$",
        nullable = false,
        example = "1"
    )]
    w: Option<String>,
    /// How long to wait for that; needs `w` beside it.
    #[param(value_type = Option<String>, pattern = "^([0-9]{1,9}ms|[0-9]{1,6}s|[0-9]{1,5}m|[0-9]{1,3}h)$", nullable = false,
        example = "20ms")]
    wait: Option<WaitTime>,
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

/// What a client asks for beside its messages, checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) w: Option<WriteConcern>,
    pub(super) timeout: Option<Duration>,
    pub(super) expected_seq: Option<Seq>,
}

/// An `Idempotency-Key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IdempotencyKey(String);

impl AppendParameters {
    /// Checks every parameter. `listed` is how many members are, if they are.
    pub(super) fn check(&self, listed: Option<usize>) -> Result<Terms, Problem> {
        let (ms, seq) = (self.timeout_ms.as_deref(), self.expected_seq.as_deref());
        let w = self.w.as_deref();
        Ok(Terms {
            w: w.map(|w| write_concern(w, listed)).transpose()?,
            timeout: timeout(ms)?,
            expected_seq: whole_number("expected_seq", seq, 1)?.map(Seq),
        })
    }
}

impl HoldersParameters {
    /// How many nodes are to hold the entry, if that is asked, and how long to wait for them. `listed` is how many members
    /// are, if they are.
    pub(super) fn check(
        &self,
        listed: Option<usize>,
    ) -> Result<Option<(WriteConcern, Duration)>, Problem> {
        let wait = self.wait.map_or(Duration::ZERO, |wait| wait.0);
        match self.w.as_deref() {
            Some(w) => Ok(Some((write_concern(w, listed)?, wait.min(MAX_TIMEOUT)))),
            None if self.wait.is_some() => Err(Problem::bad_request(
                "wait needs w beside it: for how many nodes?",
            )),
            None => Ok(None),
        }
    }
}

impl Terms {
    /// What the fields of a body ask for, beside the parameters.
    pub(super) fn or(self, parameters: Self) -> Result<Self, Problem> {
        Ok(Self {
            w: given_once("w", self.w, parameters.w)?,
            timeout: given_once("timeout_ms", self.timeout, parameters.timeout)?,
            expected_seq: given_once("expected_seq", self.expected_seq, parameters.expected_seq)?,
        })
    }
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

impl IdempotencyKey {
    /// The key of a request, if it has one: a string of 1 to 255 characters, bare, or as the IETF draft has it, a string of
    /// RFC 9651 in double quotes, in which a backslash stands before each `"` and `\`.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let mut keys = headers.get_all("idempotency-key").iter();
        let Some(first) = keys.next() else {
            return Ok(None);
        };
        let first = Self::parse(first.as_bytes())?;
        for other in keys {
            if Self::parse(other.as_bytes())? != first {
                let detail = "two different Idempotency-Key headers are given: send one of them";
                return Err(Problem::bad_request(detail));
            }
        }
        Ok(Some(first))
    }

    fn parse(value: &[u8]) -> Result<Self, Problem> {
        let wrong = || {
            Problem::bad_request(format!(
                "Idempotency-Key must have 1 to {MAX_KEY_CHARS} characters, bare or in double quotes"
            ))
        };
        let value = std::str::from_utf8(value).map_err(|_| wrong())?;
        let key = match value.strip_prefix('"') {
            Some(quoted) => unquoted(quoted).ok_or_else(wrong)?,
            None => value.to_owned(),
        };
        let fits = (1..=MAX_KEY_CHARS).contains(&key.chars().count());
        fits.then_some(Self(key)).ok_or_else(wrong)
    }

    /// The message id that it stands for.
    pub(super) fn message_id(&self) -> MessageId {
        MessageId::from_key(&self.0)
    }

    /// The message id that it stands for in the line of a load with that number.
    pub(super) fn message_id_of_line(&self, number: u64) -> MessageId {
        MessageId::from_key(&format!("{}/{number}", self.0))
    }
}

/// The string that a quoted one stands for, from after its first quote on; `None` if it does not end with its only other one.
fn unquoted(quoted: &str) -> Option<String> {
    let mut string = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    loop {
        match chars.next()? {
            '"' => return chars.as_str().is_empty().then_some(string),
            '\\' => string.push(chars.next().filter(|c| matches!(c, '"' | '\\'))?),
            other => string.push(other),
        }
    }
}

/// What the fields of a body ask for beside the message.
pub(super) fn terms(
    w: Option<&RawValue>,
    timeout_ms: Option<&RawValue>,
    expected_seq: Option<&RawValue>,
    listed: Option<usize>,
) -> Result<Terms, Problem> {
    let w = w.map(|raw| match string(raw) {
        Some(text) => write_concern(&text, listed),
        None => write_concern(raw.get(), listed),
    });
    let seq = whole_number("expected_seq", expected_seq.map(RawValue::get), 1)?;
    Ok(Terms {
        w: w.transpose()?,
        timeout: timeout(timeout_ms.map(RawValue::get))?,
        expected_seq: seq.map(Seq),
    })
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

/// `2`, `majority`, `all`.
fn write_concern(text: &str, listed: Option<usize>) -> Result<WriteConcern, Problem> {
    text.parse().map_err(|error| {
        let nodes = listed.map(|n| WriteConcern::All.nodes(n));
        let range = nodes.map_or(String::new(), |n| {
            format!("; numbers are from 1 to {n} here")
        });
        Problem::bad_request(format!("{error}{range}"))
    })
}

fn timeout(ms: Option<&str>) -> Result<Option<Duration>, Problem> {
    let ms = whole_number("timeout_ms", ms, 0)?;
    Ok(ms.map(|ms| Duration::from_millis(ms).min(MAX_TIMEOUT)))
}

/// What is given as a field, as a parameter, or as both if they are the same.
fn given_once<T: PartialEq>(
    name: &str,
    field: Option<T>,
    parameter: Option<T>,
) -> Result<Option<T>, Problem> {
    match (field, parameter) {
        (Some(a), Some(b)) if a != b => Err(Problem::bad_request(format!(
            "{name} is given in the body and in the URL, and they differ: send one of them"
        ))),
        (a, b) => Ok(a.or(b)),
    }
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

/// A number without sign, point and exponent.
fn whole_number(name: &str, text: Option<&str>, least: u64) -> Result<Option<u64>, Problem> {
    let Some(text) = text else {
        return Ok(None);
    };
    // `u64::from_str` would also take "+2".
    let is_whole = text.bytes().all(|b| b.is_ascii_digit());
    let number = text.parse().ok().filter(|_| is_whole);
    number.filter(|n| *n >= least).map(Some).ok_or_else(|| {
        let shown: String = text.chars().take(MAX_SHOWN_CHARS).collect();
        let allowed = match is_whole && number.is_none() && !text.is_empty() {
            true => format!("at most {}", u64::MAX),
            false => format!("a whole number from {least}"),
        };
        Problem::bad_request(format!("{name} must be {allowed}, not {shown}"))
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
    use replog_service::http::query;

    use super::*;

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
    fn a_key_is_an_id_in_another_spelling() {
        let key = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("idempotency-key", value.parse().expect("a header"));
            }
            let key = IdempotencyKey::of(&headers);
            key.map_err(|problem| problem.status().as_u16())
        };
        let id = |values: &[&str]| key(values).map(|key| key.map(|key| key.message_id()));
        let (longest, too_long) = ("k".repeat(255), "k".repeat(256));
        let uuid = "6ba7b8109dad11d180b400c04fd430c8";
        let parsed = MessageId::parse(uuid).expect("a UUID");
        let of = |key| Ok(Some(MessageId::from_key(key)));
        assert_eq!(id(&[]), Ok(None));
        assert_eq!(id(&[uuid]), Ok(Some(parsed)));
        assert_eq!(id(&["a1", "a1"]), of("a1"));
        // As the IETF draft writes it.
        assert_eq!(id(&[&format!("\"{uuid}\"")]), Ok(Some(parsed)));
        assert_eq!(id(&[r#""a1""#]), of("a1"));
        assert_eq!(
            id(&[r#""a1""#, "a1"]),
            of("a1"),
            "one key, spelled in two ways"
        );
        assert_eq!(id(&[r#""a \"b\" \\ c""#]), of(r#"a "b" \ c"#));
        assert_eq!(id(&[r#"a"b\c"#]), of(r#"a"b\c"#), "bare it is what it is");
        assert_eq!(id(&[&longest]), of(&longest));
        assert_eq!(id(&[&format!("\"{longest}\"")]), of(&longest));
        // CASES 12b.
        assert_eq!(key(&["a1", "b2"]), Err(400));
        for wrong in [
            "",
            r#""""#,
            r#"""#,
            r#""a"#,
            r#""a"b"#,
            r#""a";p=1"#,
            r#""\a""#,
            r#""a\""#,
            &too_long,
        ] {
            assert_eq!(key(&[wrong]), Err(400), "{wrong}");
        }

        let key = |key: &str| IdempotencyKey(key.to_owned());
        assert!(one_id(Some(parsed), Some(&key("another"))).is_err());
        assert_eq!(
            one_id(Some(parsed), Some(&key(uuid))).ok(),
            Some(Some(parsed))
        );
        assert_eq!(one_id(None, Some(&key("a"))).ok(), of("a").ok());
        // Computed with Python: uuid.uuid5(uuid.NAMESPACE_URL, "order 66/12").
        let line = key("order 66").message_id_of_line(12).to_string();
        assert_eq!(line, "414cd6c0-c8c7-574c-b63f-8f3bc655e632");
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
