//! A line for each request, at debug: for who looks for one request, or for what a client does.

use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode};
use tokio::time::Instant;
use tracing::{Level, debug, enabled};

use super::calls::Caller;

/// How much of a path is logged.
const MAX_PATH_CHARS: usize = 200;

/// What is known of a request that is being answered. It is logged when this value is dropped: with the status and the time
/// that it took to the head of the answer, or as given up by its client.
#[derive(Debug)]
pub(super) struct RequestLine {
    method: Method,
    path: String,
    client: Caller,
    request_id: HeaderValue,
    begun: Instant,
    status: Option<StatusCode>,
}

impl RequestLine {
    /// `None` where nobody looks: then a request costs no more than the question.
    pub(super) fn begin(
        head: &Parts,
        client: Caller,
        request_id: &HeaderValue,
    ) -> Option<Box<Self>> {
        enabled!(Level::DEBUG).then(|| {
            Box::new(Self {
                method: head.method.clone(),
                path: head.uri.path().chars().take(MAX_PATH_CHARS).collect(),
                client,
                request_id: request_id.clone(),
                begun: Instant::now(),
                status: None,
            })
        })
    }

    /// The request is answered.
    pub(super) fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
    }
}

impl Drop for RequestLine {
    fn drop(&mut self) {
        let Self {
            method,
            path,
            client,
            request_id,
            begun,
            status,
        } = self;
        let request_id = request_id.to_str().unwrap_or_default();
        let took_us = begun.elapsed().as_micros();
        match status.map(|status| status.as_u16()) {
            Some(status) => debug!(%method, path, status, took_us, request_id, %client, "request"),
            None => {
                debug!(%method, path, took_us, request_id, %client, "request given up by its client");
            }
        }
    }
}
