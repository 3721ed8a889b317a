//! Errors over HTTP: RFC 9457 problem details.
//!
//! `type` is `about:blank` where the status says it all, with the status's own phrase as `title`. A
//! problem a program may want to tell apart has `urn:replog:problem:<slug>`, and a title that goes
//! with it; neither changes between two occurrences. What differs is in `detail` and in further fields.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};

/// The media type of every error.
pub const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// One error answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    status: StatusCode,
    kind: Option<(&'static str, &'static str)>,
    detail: String,
    fields: Vec<(&'static str, Value)>,
    retry_after_s: Option<u32>,
}

impl Problem {
    /// An error of that status; `detail` is a sentence for the person who reads it.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            kind: None,
            detail: detail.into(),
            fields: Vec::new(),
            retry_after_s: None,
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

    /// 408: the body did not come in time.
    pub fn request_timeout(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, detail)
    }

    /// 413.
    pub fn payload_too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    }

    /// 503 with `Retry-After: 1` and the field `reason`, a word for programs such as `recovering`.
    pub fn unavailable(reason: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
            .with_field("reason", reason)
            .with_retry_after_s(1)
    }

    /// Tells it apart from others of its status: `slug` of lower case letters and dashes, and a short
    /// title that is always the same for the slug.
    #[must_use]
    pub fn with_kind(mut self, slug: &'static str, title: &'static str) -> Self {
        self.kind = Some((slug, title));
        self
    }

    /// Adds a field beside the standard ones. A standard name (`type`, `title`, `status`, `detail`) is
    /// not replaced. What cannot be written as JSON becomes null.
    #[must_use]
    pub fn with_field(mut self, name: &'static str, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value).unwrap_or_default();
        self.fields.push((name, value));
        self
    }

    /// Sets the `Retry-After` header, in seconds.
    #[must_use]
    pub fn with_retry_after_s(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// The status it is answered with.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The sentence for the person who reads it.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The JSON object that is the answer's body.
    pub fn to_json(&self) -> Value {
        let (kind, title) = match self.kind {
            Some((slug, title)) => (format!("urn:replog:problem:{slug}"), title),
            None => (
                "about:blank".into(),
                self.status.canonical_reason().unwrap_or("Error"),
            ),
        };
        let fields = self.fields.iter();
        let mut object: Map<String, Value> = fields
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        object.insert("type".into(), kind.into());
        object.insert("title".into(), title.into());
        object.insert("status".into(), self.status.as_u16().into());
        object.insert("detail".into(), self.detail.as_str().into());
        Value::Object(object)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = format!("{}\n", self.to_json());
        let mut response =
            (self.status, [(header::CONTENT_TYPE, PROBLEM_JSON)], body).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_body_has_the_standard_fields_and_the_own_ones() {
        let plain = Problem::not_found("there is no entry 9").with_field("last_seq", 4);
        assert_eq!(
            plain.to_json(),
            json!({"type": "about:blank", "title": "Not Found", "status": 404,
                   "detail": "there is no entry 9", "last_seq": 4})
        );
        let kind =
            Problem::bad_request("w is 9").with_kind("write-concern", "Impossible write concern");
        let body = kind.with_field("status", "mine").to_json();
        assert_eq!(body["type"], "urn:replog:problem:write-concern");
        assert_eq!(body["title"], "Impossible write concern");
        assert_eq!(body["status"], 400);
    }

    #[test]
    fn the_headers() {
        let response = Problem::unavailable("recovering", "asking the members").into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json"
        );
        assert_eq!(response.headers()["retry-after"], "1");
    }
}
