//! Answers: JSON and text that end with a newline.

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::problem::Problem;

/// The media type of JSON.
pub const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// The media type of plain text.
pub const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// 200 with that value as JSON.
#[must_use]
pub fn json(value: &impl Serialize) -> Response {
    json_with(StatusCode::OK, value)
}

/// That value as JSON. A value that is none is a bug, and answered with 500.
#[must_use]
pub fn json_with(status: StatusCode, value: &impl Serialize) -> Response {
    let mut body = Vec::with_capacity(512);
    match serde_json::to_writer(&mut body, value) {
        Ok(()) => {
            body.push(b'\n');
            (status, [(CONTENT_TYPE, JSON)], body).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// 200 with what is JSON already, its newline included.
#[must_use]
pub fn json_bytes(body: impl Into<Body>) -> Response {
    ([(CONTENT_TYPE, JSON)], body.into()).into_response()
}

/// 200 with plain text, its newline included.
#[must_use]
pub fn text(body: impl Into<Body>) -> Response {
    ([(CONTENT_TYPE, TEXT)], body.into()).into_response()
}

/// A JSON object that is there as bytes, with the fields of another one after its own, and a newline.
///
/// # Errors
/// 500 for what is no object; a bug.
pub fn with_fields(object: &[u8], fields: &impl Serialize) -> Result<Bytes, Problem> {
    let mut joined = Vec::with_capacity(object.len() + 128);
    joined.extend_from_slice(object);
    let last = joined.pop();
    let at = joined.len();
    let written = serde_json::to_writer(&mut joined, fields);
    match (written, last, joined.get(at)) {
        (Ok(()), Some(b'}'), Some(b'{')) if at > 1 => {
            joined[at] = b',';
            joined.push(b'\n');
            Ok(joined.into())
        }
        _ => Err(Problem::internal("two JSON objects could not be joined")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct More<'a> {
        acks: u32,
        acked_by: &'a [&'a str],
    }

    #[test]
    fn objects_are_joined_without_being_read() {
        let more = More {
            acks: 2,
            acked_by: &["master", "s1"],
        };
        let joined = with_fields(br#"{"seq":1}"#, &more).unwrap();
        let expected = concat!(r#"{"seq":1,"acks":2,"acked_by":["master","s1"]}"#, "\n");
        assert_eq!(joined, expected);
        assert!(with_fields(b"", &more).is_err());
        assert!(with_fields(br#"{"seq":1}"#, &7).is_err());
    }
}
