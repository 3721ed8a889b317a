//! One connection: hyper in front of the router, with the limits on every body.

use std::convert::Infallible;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http_body_util::Limited;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service as HyperService;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tower::Service;
use tower_http::timeout::DeadlineBody;
use tracing::{debug, error};

use super::HttpLimits;
use crate::service::problem::Problem;

/// hyper's own lower bound of its buffer.
const MIN_BUFFER_BYTES: usize = 8192;
const MAX_HEADERS: usize = 100;
/// How long, and for how many bytes, a client is listened to after the last answer.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 4 * 1024 * 1024;

/// What the tasks of all connections share.
#[derive(Clone)]
pub(super) struct Connections {
    http: http1::Builder,
    answers: Answers,
    stop: watch::Receiver<()>,
}

impl Connections {
    /// `stop` tells by being closed.
    pub(super) fn new(router: Router, limits: &HttpLimits, stop: watch::Receiver<()>) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_headers(MAX_HEADERS)
            .max_header_size(limits.max_header_bytes)
            .max_buf_size(limits.max_header_bytes.max(MIN_BUFFER_BYTES))
            // A client that hangs up drops its handler.
            .half_close(false);
        let answers = Answers {
            router,
            body_timeout: limits.body_timeout,
            max_body_bytes: limits.max_body_bytes,
        };
        Self {
            http,
            answers,
            stop,
        }
    }

    pub(super) async fn run(mut self, stream: TcpStream) {
        // Answers are written whole; waiting to fill a packet only delays them.
        let _ = stream.set_nodelay(true);
        let mut connection = self
            .http
            .serve_connection(TokioIo::new(stream), self.answers);
        let ended = tokio::select! {
            ended = poll_fn(|cx| connection.poll_without_shutdown(cx)) => Some(ended),
            _ = self.stop.changed() => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                Pin::new(&mut connection).graceful_shutdown();
                poll_fn(|cx| connection.poll_without_shutdown(cx)).await
            }
        };
        if let Err(error) = ended {
            debug!(%error, "a connection broke off");
        }
        tokio::select! {
            biased;
            () = close(connection.into_parts().io.into_inner()) => {}
            _ = self.stop.changed() => {}
        }
    }
}

/// Closes in a way that lets the client read the last answer: a close with unread input resets the
/// connection, and a client still sending a body that was refused would see that instead of the 413.
async fn close(mut stream: TcpStream) {
    if stream.shutdown().await.is_ok() {
        let mut rest = stream.take(LINGER_BYTES);
        let _ =
            tokio::time::timeout(LINGER, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
    }
}

/// The router as hyper calls it.
#[derive(Clone)]
struct Answers {
    router: Router,
    body_timeout: Duration,
    max_body_bytes: usize,
}

impl Answers {
    fn bounded(&self, body: Incoming) -> Result<Body, Problem> {
        if body.is_end_stream() {
            return Ok(Body::empty());
        }
        if body.size_hint().lower() > self.max_body_bytes as u64 {
            let detail = format!(
                "the body is larger than this server takes, {} bytes",
                self.max_body_bytes
            );
            return Err(Problem::payload_too_large(detail));
        }
        let limited = Limited::new(body, self.max_body_bytes);
        Ok(Body::new(DeadlineBody::new(self.body_timeout, limited)))
    }
}

impl HyperService<Request<Incoming>> for Answers {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (head, body) = request.into_parts();
        let body = match self.bounded(body) {
            Ok(body) => body,
            Err(problem) => return Box::pin(std::future::ready(Ok(problem.into_response()))),
        };
        let answer = self.router.clone().call(Request::from_parts(head, body));
        Box::pin(async move {
            match AssertUnwindSafe(answer).catch_unwind().await {
                Ok(response) => response,
                Err(_) => {
                    error!("a request handler panicked");
                    let status = StatusCode::INTERNAL_SERVER_ERROR;
                    Ok(
                        Problem::new(status, "this is a bug; the server's log says more")
                            .into_response(),
                    )
                }
            }
        })
    }
}
