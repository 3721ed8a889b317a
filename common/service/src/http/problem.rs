//! Errors over HTTP: RFC 9457 problem details.
//!
//! `type` is `about:blank`: the status says it all, with its own phrase as `title`. What differs between two occurrences is in
//! `detail`, for people, and in `reason`, a word that every error has, and further fields, for programs.

use std::fmt;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use crate::metrics::HttpLimit;
use crate::node_task::CommandError;

/// The media type of every error.
pub const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// One error answer.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    reason: &'static str,
    fields: Vec<(&'static str, Box<RawValue>)>,
    retry_after_s: Option<u32>,
    /// One header that this error has besides.
    header: Option<Box<(HeaderName, HeaderValue)>>,
    limit: Option<HttpLimit>,
}

impl Problem {
    /// An error of that status, with the word that goes with it; `detail` is a sentence for the person who reads it.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            reason: word_of(status),
            fields: Vec::new(),
            retry_after_s: None,
            header: None,
            limit: None,
        }
    }

    /// 400.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 404.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 405; the router adds the `Allow` header.
    pub fn method_not_allowed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, detail)
    }

    /// 413.
    pub fn payload_too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    }

    /// 500: a bug, or a disk that fails.
    pub fn internal(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    }

    /// 503 with `Retry-After: 1` and a `reason`, a word for programs such as `recovering`.
    pub fn unavailable(reason: &'static str, detail: impl Into<String>) -> Self {
        Self {
            retry_after_s: Some(1),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).with_reason(reason)
        }
    }

    /// 503: the program is about to end, and does not wait any longer.
    pub fn stopping() -> Self {
        Self::unavailable("stopping", "this node is stopping")
    }

    /// Another word for programs than the one of the status.
    #[must_use]
    pub fn with_reason(mut self, reason: &'static str) -> Self {
        self.reason = reason;
        self
    }

    /// What the client has to show, for the header `WWW-Authenticate`.
    #[must_use]
    pub fn with_challenge(mut self, challenge: HeaderValue) -> Self {
        self.header = Some(Box::new((header::WWW_AUTHENTICATE, challenge)));
        self
    }

    /// Where the client finds what it asks for, for the header `Location`; left out where that is no text of a header.
    #[must_use]
    pub fn with_location(mut self, url: &str) -> Self {
        let url = HeaderValue::from_str(url).ok();
        self.header = url.map(|url| Box::new((header::LOCATION, url)));
        self
    }

    /// One more field, after `reason` and the fields before it; instead of one of that name. What cannot be written as JSON
    /// becomes null.
    #[must_use]
    pub fn with_field(mut self, name: &'static str, value: impl Serialize) -> Self {
        let value = to_raw_value(&value).unwrap_or_else(|_| RawValue::NULL.to_owned());
        self.fields.retain(|(other, _)| *other != name);
        self.fields.push((name, value));
        self
    }

    /// The same about one of several things: its place comes before the detail.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.detail = format!("{place}: {}", self.detail);
        self
    }

    /// The same, because of that limit: the answer is counted there.
    #[must_use]
    pub fn at_limit(mut self, limit: HttpLimit) -> Self {
        self.limit = Some(limit);
        self
    }

    /// The status it is answered with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The sentence for the person who reads it.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// What the client has to show.
    #[must_use]
    pub fn challenge(&self) -> Option<&HeaderValue> {
        let (name, value) = self.header.as_deref()?;
        (*name == header::WWW_AUTHENTICATE).then_some(value)
    }

    /// The word for programs.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.reason
    }
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Full => Self::unavailable(
                "overloaded",
                "nothing was changed: this node does not keep up",
            )
            .at_limit(HttpLimit::Queue),
            CommandError::Stopped => Self::stopping(),
        }
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("type", "about:blank")?;
        object.serialize_entry("title", self.status.canonical_reason().unwrap_or("Error"))?;
        object.serialize_entry("status", &self.status.as_u16())?;
        object.serialize_entry("detail", &self.detail)?;
        object.serialize_entry("reason", self.reason)?;
        for (name, value) in &self.fields {
            object.serialize_entry(name, value)?;
        }
        object.end()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = super::answer::json_with(self.status, &self);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, PROBLEM_JSON);
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if let Some(header) = self.header {
            headers.insert(header.0, header.1);
        }
        if let Some(limit) = self.limit {
            // For the server, which counts the answers; nothing of that is sent.
            response.extensions_mut().insert(limit);
        }
        response
    }
}

/// The word of an error that is told from no other one of its status.
fn word_of(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "bad_request",
        StatusCode::FORBIDDEN => "not_allowed",
        StatusCode::NOT_FOUND => "not_found",
        StatusCode::METHOD_NOT_ALLOWED => "method_not_allowed",
        StatusCode::NOT_ACCEPTABLE => "not_acceptable",
        StatusCode::REQUEST_TIMEOUT => "request_timeout",
        StatusCode::CONFLICT => "conflict",
        StatusCode::GONE => "cleared",
        StatusCode::PRECONDITION_FAILED => "expected_seq",
        StatusCode::PAYLOAD_TOO_LARGE => "too_large",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "unsupported_encoding",
        StatusCode::MISDIRECTED_REQUEST => "misdirected",
        StatusCode::UNPROCESSABLE_ENTITY => "message_id_taken",
        StatusCode::INTERNAL_SERVER_ERROR => "internal",
        _ => "error",
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn the_standard_fields_come_first_and_a_newline_last() {
        let problem = Problem::unavailable("damaged", "entry 9 \"x\"").with_field("seq", 9);
        let response = problem.into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["content-type"], PROBLEM_JSON);
        assert_eq!(response.headers()["retry-after"], "1");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let expected = concat!(
            r#"{"type":"about:blank","title":"Service Unavailable","status":503,"#,
            r#""detail":"entry 9 \"x\"","reason":"damaged","seq":9}"#,
            "\n"
        );
        assert_eq!(body, expected);
    }

    #[test]
    fn without_a_reason_of_its_own_it_is_that_of_the_status() {
        let problem = Problem::bad_request("w is 9").with_field("index", 4);
        let json = serde_json::to_string(&problem).unwrap();
        let expected = concat!(
            r#"{"type":"about:blank","title":"Bad Request","status":400,"#,
            r#""detail":"w is 9","reason":"bad_request","index":4}"#
        );
        assert_eq!(json, expected);
    }
}
