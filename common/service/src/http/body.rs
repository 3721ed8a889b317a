//! Reading a request's body: JSON whatever the `Content-Type` says, because `curl -d` sends a form type.
//!
//! The limits on size and time are put on every body by the server; here they become answers.

use std::fmt;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::BytesMut;
use http_body_util::BodyExt;
use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::bounded::BodyLimit;
use super::fields::{names_of, unknown_name};
use super::problem::Problem;
use super::query::NoParameters;
use crate::metrics::HttpLimit;

/// How much of serde's message, which may quote the input, goes into an answer.
const MAX_MESSAGE_BYTES: usize = 200;

/// The whole body.
///
/// # Errors
/// 415 for a content coding, 408 when the body does not come in time, 413 when it is too large, 400 when the client breaks off.
pub async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    check_coding(headers)?;
    whole(body).await.map_err(|error| unreadable(&error))
}

/// The body of a call that takes none: nothing, or an object without fields.
///
/// # Errors
/// As [`read`]; 400 for anything else, with the first field named.
pub async fn read_none(headers: &HeaderMap, body: Body) -> Result<(), Problem> {
    let bytes = read(headers, body).await?;
    if bytes.is_empty() {
        return Ok(());
    }
    let NoParameters {} = object(&bytes, "{}, or nothing")?;
    Ok(())
}

/// A body that comes in one piece is handed out as it came.
async fn whole(mut body: Body) -> Result<Bytes, axum::Error> {
    let mut first = Bytes::new();
    while first.is_empty() {
        match body.frame().await {
            Some(frame) => first = frame?.into_data().unwrap_or_default(),
            None => return Ok(first),
        }
    }
    if body.is_end_stream() {
        return Ok(first);
    }
    let mut all = BytesMut::from(first);
    while let Some(frame) = body.frame().await {
        all.extend_from_slice(&frame?.into_data().unwrap_or_default());
    }
    Ok(all.freeze())
}

/// Whether the body says what it is: no content coding is understood, but the one that changes nothing.
///
/// # Errors
/// 415 with reason `unsupported_encoding`.
pub fn check_coding(headers: &HeaderMap) -> Result<(), Problem> {
    for coding in headers.get_all(header::CONTENT_ENCODING) {
        let is_identity = |text: &str| {
            let mut codings = text.split(',').map(str::trim);
            codings.all(|c| c.is_empty() || c.eq_ignore_ascii_case("identity"))
        };
        if !coding.to_str().is_ok_and(is_identity) {
            let shown = String::from_utf8_lossy(coding.as_bytes());
            let shown = shortened(&shown);
            let detail =
                format!("the Content-Encoding {shown:?} is not understood: send the body as it is");
            let problem = Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail);
            return Err(problem);
        }
    }
    Ok(())
}

/// The bytes as a JSON object with the fields of `T`, which denies unknown fields; `example` shows one.
///
/// # Errors
/// 400 with what is wrong and where, and never more than 200 bytes of the input; a field that `T` does not have is named,
/// with the nearest one that it has.
pub fn object<'a, T: Deserialize<'a>>(bytes: &'a [u8], example: &str) -> Result<T, Problem> {
    // Serde would take an array for the fields in their order.
    if bytes.iter().find(|b| !b.is_ascii_whitespace()) != Some(&b'{') {
        let detail = format!("the body must be a JSON object such as {example}");
        return Err(Problem::bad_request(detail));
    }
    serde_json::from_slice::<T>(bytes).map_err(|error| {
        // Serde names the field too, but not the one that was meant.
        let known = names_of::<T>();
        match unknown_field(bytes, known) {
            Some(name) => unknown_name("field", &name, known),
            None => no_object(&error),
        }
    })
}

/// The bytes as a JSON array, its elements as they were written; `None` where they are something else.
///
/// # Errors
/// 400 for what begins as an array and is none.
pub fn array(bytes: &[u8]) -> Result<Option<Vec<&RawValue>>, Problem> {
    if bytes.iter().find(|b| !b.is_ascii_whitespace()) != Some(&b'[') {
        return Ok(None);
    }
    let elements = serde_json::from_slice(bytes);
    elements.map(Some).map_err(|error| no_object(&error))
}

/// The first field of a JSON object that is not among the known ones.
fn unknown_field(bytes: &[u8], known: &[&str]) -> Option<String> {
    let Names(names) = serde_json::from_slice(bytes).ok()?;
    names.into_iter().find(|n| !known.contains(&n.as_str()))
}

/// The names of the fields of any object.
struct Names(Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Names;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
                let mut names = Vec::new();
                while let Some((name, IgnoredAny)) = map.next_entry()? {
                    names.push(name);
                }
                Ok(Names(names))
            }
        }

        from.deserialize_map(NameVisitor)
    }
}

fn no_object(error: &serde_json::Error) -> Problem {
    let place = format!(" at line {} column {}", error.line(), error.column());
    let message = error.to_string();
    let message = message.strip_suffix(&place).unwrap_or(&message);
    let what = match error.is_data() {
        true => "the JSON in the body does not fit",
        false => "the body is not JSON",
    };
    Problem::bad_request(format!("{what}: {}{place}", shortened(message)))
}

/// Why a body cannot be read to its end: 413, 408, or 400 where the client broke off.
pub(super) fn unreadable(error: &axum::Error) -> Problem {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        match error.downcast_ref::<BodyLimit>() {
            Some(limit @ BodyLimit::Bytes { .. }) => {
                return Problem::payload_too_large(limit.to_string())
                    .at_limit(HttpLimit::MaxBodyBytes);
            }
            Some(limit @ BodyLimit::Memory) => {
                return Problem::unavailable("overloaded", limit.to_string())
                    .at_limit(HttpLimit::BodyMemory);
            }
            Some(limit @ BodyLimit::Time) => {
                return Problem::new(StatusCode::REQUEST_TIMEOUT, limit.to_string())
                    .at_limit(HttpLimit::BodyTimeout);
            }
            None => cause = error.source(),
        }
    }
    Problem::bad_request("the body broke off before its end")
}

fn shortened(message: &str) -> String {
    match message
        .char_indices()
        .find(|(at, c)| at + c.len_utf8() > MAX_MESSAGE_BYTES)
    {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;
    use tokio::time::Instant;

    use super::*;
    use crate::http::body_memory::BodyMemory;
    use crate::http::bounded::BoundedBody;

    type BoxBody =
        std::pin::Pin<Box<dyn axum::body::HttpBody<Data = Bytes, Error = axum::Error> + Send>>;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        content: String,
        w: Option<u32>,
    }

    fn sample(body: &[u8]) -> Result<Sample, String> {
        object(body, r#"{"content":"x"}"#).map_err(|problem| {
            assert_eq!(problem.status(), 400);
            problem.detail().to_owned()
        })
    }

    #[test]
    fn an_object_is_read() {
        let expected = Sample {
            content: "é".into(),
            w: Some(2),
        };
        let body = r#" {"content": "\u00e9", "w": 2} "#;
        assert_eq!(sample(body.as_bytes()), Ok(expected));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let no_object = r#"the body must be a JSON object such as {"content":"x"}"#;
        let cases: [(&[u8], &str); 9] = [
            (b"", no_object),
            (b" \n", no_object),
            (b"content=hello", no_object),
            (b"[\"hello\",2]", no_object),
            (
                b"{\"content\":",
                "the body is not JSON: EOF while parsing a value at line 1 column 11",
            ),
            (
                b"{}\n",
                "the JSON in the body does not fit: missing field `content` at line 1 column 2",
            ),
            (
                b"{\"content\":\"\xff\"}",
                "the body is not JSON: invalid unicode code point at line 1 column 13",
            ),
            (
                b"{\"content\":\"x\",\n\"w\":-1}",
                "the JSON in the body does not fit: invalid value: integer `-1`, expected u32 at line 2 column 6",
            ),
            (
                b"{\"content\":\"x\",\"content\":\"y\"}",
                "the JSON in the body does not fit: duplicate field `content` at line 1 column 24",
            ),
        ];
        for (body, detail) in cases {
            assert_eq!(sample(body), Err(detail.to_owned()));
        }
    }

    #[test]
    fn an_unknown_field_is_named_with_the_nearest_one() {
        let detail = sample(br#"{"content":"x","contents":[1]}"#).expect_err("refused");
        assert_eq!(
            detail,
            r#"there is no field "contents"; did you mean "content"? (known: content, w)"#
        );
    }

    #[tokio::test]
    async fn a_call_without_a_body_takes_no_field() {
        let read = async |body: &'static str| {
            let read = read_none(&HeaderMap::new(), Body::from(body)).await;
            read.map_err(|problem| problem.detail().to_owned())
        };
        assert_eq!(read("").await, Ok(()));
        assert_eq!(read(" {} ").await, Ok(()));
        let detail = read(r#"{"w":2}"#).await.expect_err("refused");
        assert!(detail.contains(r#"there is no field "w""#), "{detail}");
        assert!(read("w=2").await.is_err());
    }

    #[test]
    fn the_input_is_not_echoed_at_length() {
        let body = format!(r#"{{"content": "", "w": "{}"}}"#, "é".repeat(5_000));
        let detail = sample(body.as_bytes()).expect_err("w is no number");
        assert!(detail.len() < 300, "{detail}");
        assert!(detail.contains("… at line 1 column "));
    }

    #[test]
    fn a_content_coding_is_415() {
        let check = |codings: &[&str]| {
            let mut headers = HeaderMap::new();
            for coding in codings {
                headers.append("content-encoding", coding.parse().unwrap());
            }
            check_coding(&headers).map_err(|problem| {
                assert_eq!(problem.reason(), "unsupported_encoding");
                problem.status().as_u16()
            })
        };
        assert_eq!(check(&[]), Ok(()));
        assert_eq!(check(&["identity", "Identity, "]), Ok(()));
        for wrong in [&["gzip"][..], &["identity", "br"], &["identity, gzip"]] {
            assert_eq!(check(wrong), Err(415), "{wrong:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn limits_become_answers() {
        let later = || Instant::now() + Duration::from_secs(1);
        let status = async |body: Body| {
            let read = read(&HeaderMap::new(), body).await;
            read.map_err(|problem| problem.status().as_u16())
        };
        let memory = BodyMemory::new(1000);
        let share = || memory.share();
        let sized = |n| BoundedBody::new(Full::from(vec![b' '; n]), 10, later(), share());
        assert_eq!(status(Body::new(sized(11))).await, Err(413));
        assert_eq!(
            status(Body::new(sized(10))).await,
            Ok(Bytes::from(vec![b' '; 10]))
        );

        let never = StreamBody::new(futures_util::stream::pending::<
            Result<Frame<Bytes>, axum::Error>,
        >());
        let slow = Body::new(BoundedBody::new(Box::pin(never), 10, later(), share()));
        assert_eq!(status(slow).await, Err(408));

        // As many large ones as there is memory for.
        let large = |bytes| {
            let never = futures_util::stream::pending();
            let begun =
                futures_util::stream::iter([Ok(Frame::data(Bytes::from(vec![b' '; bytes])))]);
            let body = StreamBody::new(futures_util::StreamExt::chain(begun, never));
            let body: BoxBody = Box::pin(body);
            Body::new(BoundedBody::new(body, 1 << 20, later(), share()))
        };
        let mut first = large((64 << 10) + 900);
        assert!(first.frame().await.is_some_and(|frame| frame.is_ok()));
        assert_eq!(status(large((64 << 10) + 900)).await, Err(503));
        assert_eq!(
            status(large(1000)).await,
            Err(408),
            "a small one is waited for"
        );
        drop(first);
        assert_eq!(status(large((64 << 10) + 900)).await, Err(408));

        let broken = futures_util::stream::iter([Err::<Bytes, _>(std::io::Error::other("reset"))]);
        assert_eq!(status(Body::from_stream(broken)).await, Err(400));
    }
}
