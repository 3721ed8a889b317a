//! Reading a request's body: JSON whatever the `Content-Type` says, because `curl -d` sends a form type.
//!
//! The limits on size and time are put on every body by [`super::server`]; here they become answers.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use http_body_util::{BodyExt, LengthLimitError};
use serde::de::DeserializeOwned;
use tower_http::timeout::TimeoutError;

use super::problem::Problem;

/// How much of serde's message, which may quote the input, goes into an answer.
const MAX_MESSAGE_BYTES: usize = 200;

/// The body of a request as JSON. The rejection is a [`Problem`]: 400 for malformed JSON, 408 when the
/// body does not come in time, 413 when it is too large.
#[derive(Clone, Debug)]
pub struct JsonBody<T>(pub T);

impl<T, S> FromRequest<S> for JsonBody<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        parse_json(&read_body(request.into_body()).await?).map(Self)
    }
}

/// The whole body.
///
/// # Errors
/// 408 when it does not come in time, 413 when it is too large, 400 when the client breaks off.
pub async fn read_body(body: Body) -> Result<Bytes, Problem> {
    match body.collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) => Err(unreadable(&error)),
    }
}

/// The bytes as JSON; fields `T` does not know are ignored if it ignores them.
///
/// # Errors
/// 400 with what is wrong and where, and never more than 200 bytes of the input.
pub fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(Problem::bad_request("the body is empty; JSON is expected"));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        let place = format!(" at line {} column {}", error.line(), error.column());
        let message = error.to_string();
        let message = message.strip_suffix(&place).unwrap_or(&message);
        let what = match error.is_data() {
            true => "the JSON in the body does not fit",
            false => "the body is not JSON",
        };
        Problem::bad_request(format!("{what}: {}{place}", shortened(message)))
    })
}

fn unreadable(error: &axum::Error) -> Problem {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return Problem::payload_too_large("the body is larger than this server takes");
        }
        if error.is::<TimeoutError>() {
            return Problem::request_timeout("the body did not come in time");
        }
        cause = error.source();
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

    use axum::http::StatusCode;
    use http_body_util::{Limited, StreamBody};
    use hyper::body::Frame;
    use serde::Deserialize;
    use tower_http::timeout::DeadlineBody;

    use super::*;

    #[derive(Deserialize, Debug, PartialEq)]
    struct Sample {
        content: String,
        w: Option<u32>,
    }

    async fn extract(content_type: &str, body: impl Into<Body>) -> Result<Sample, Problem> {
        let request = Request::builder()
            .header("content-type", content_type)
            .body(body.into());
        let request = request.expect("a valid request");
        JsonBody::from_request(request, &())
            .await
            .map(|JsonBody(sample)| sample)
    }

    #[tokio::test]
    async fn the_content_type_does_not_matter_and_unknown_fields_neither() {
        let expected = Sample {
            content: "é".into(),
            w: Some(2),
        };
        for content_type in [
            "application/x-www-form-urlencoded",
            "application/json",
            "text/plain",
        ] {
            let body = r#" {"content": "\u00e9", "w": 2, "x": [1]} "#;
            assert_eq!(extract(content_type, body).await.as_ref(), Ok(&expected));
        }
    }

    #[tokio::test]
    async fn what_is_wrong_is_said_with_its_place() {
        let cases: [(&[u8], &str); 7] = [
            (b"", "the body is empty; JSON is expected"),
            (b" \n", "the body is empty; JSON is expected"),
            (
                b"content=hello",
                "the body is not JSON: expected value at line 1 column 1",
            ),
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
        ];
        for (body, detail) in cases {
            let problem = extract("", body.to_vec())
                .await
                .expect_err("must be refused");
            assert_eq!(
                (problem.status(), problem.detail()),
                (StatusCode::BAD_REQUEST, detail)
            );
        }
    }

    #[tokio::test]
    async fn the_input_is_not_echoed_at_length() {
        let body = format!(r#"{{"content": "", "w": "{}"}}"#, "é".repeat(5_000));
        let problem = extract("", body).await.expect_err("w is no number");
        assert!(problem.detail().len() < 300, "{}", problem.detail());
        assert!(problem.detail().contains("… at line 1 column "));
    }

    #[tokio::test]
    async fn limits_become_answers() {
        let large = Body::new(Limited::new(Body::from(vec![b' '; 11]), 10));
        assert_eq!(
            extract("", large).await.expect_err("too large").status(),
            413
        );

        let never = StreamBody::new(futures_util::stream::pending::<
            Result<Frame<Bytes>, axum::Error>,
        >());
        let slow = Body::new(DeadlineBody::new(Duration::from_millis(1), never));
        assert_eq!(extract("", slow).await.expect_err("too late").status(), 408);

        let broken = futures_util::stream::iter([Err::<Bytes, _>(std::io::Error::other("reset"))]);
        let broken = extract("", Body::from_stream(broken)).await;
        assert_eq!(broken.expect_err("broken off").status(), 400);
    }
}
