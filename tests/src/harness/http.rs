//! A small HTTP client: one connection a request, a deadline on everything, and requests that can be given up half-way.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, HeaderValue};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use replog_service::http::tls::KnownNode;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::answer::Answer;

/// Longer than anything a healthy cluster does, shorter than anybody's patience.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Where to ask, as whom, and how long to wait.
#[derive(Debug, Clone)]
pub struct HttpClient {
    target: Target,
    deadline: Duration,
}

/// Where to ask, and as whom.
#[derive(Debug, Clone)]
struct Target {
    addr: SocketAddr,
    /// Sent with each request that does not bring a header `Authorization` of its own.
    token: Option<String>,
    /// Over TLS, with a node whose certificate is known.
    tls: Option<KnownNode>,
}

impl Target {
    fn url(&self, path: &str) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.addr)
    }
}

impl HttpClient {
    /// A client for the server at `addr`, with the usual [`DEADLINE`].
    #[must_use]
    pub fn new(addr: SocketAddr) -> Self {
        Self {
            target: Target {
                addr,
                token: None,
                tls: None,
            },
            deadline: DEADLINE,
        }
    }

    /// The same, which shows that token with each request; without one it shows none.
    #[must_use]
    pub fn with_token(mut self, token: Option<String>) -> Self {
        self.target.token = token;
        self
    }

    /// The same over TLS, with the node whose certificate that is.
    #[must_use]
    pub fn over_tls(mut self, node: KnownNode) -> Self {
        self.target.tls = Some(node);
        self
    }

    /// The same with another deadline for each request.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self {
            target: self.target.clone(),
            deadline,
        }
    }

    /// `GET path`.
    ///
    /// # Errors
    /// When no complete answer comes in time; any status is an answer.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.request(Method::GET, path, &[], Bytes::new()).await
    }

    /// `POST path` with a JSON body.
    ///
    /// # Errors
    /// As [`HttpClient::get`].
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.request(Method::POST, path, &[], body.to_string().into())
            .await
    }

    /// `PUT path` with a JSON body.
    ///
    /// # Errors
    /// As [`HttpClient::get`].
    pub async fn put(&self, path: &str, body: &Value) -> Result<Answer> {
        self.request(Method::PUT, path, &[], body.to_string().into())
            .await
    }

    /// Any request: headers as given (a JSON `Content-Type` unless another is given), the body as it is.
    ///
    /// # Errors
    /// As [`HttpClient::get`].
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answer> {
        let what = format!("{method} {}", self.target.url(path));
        match timeout(
            self.deadline,
            exchange(&self.target, method, path, headers, body),
        )
        .await
        {
            Ok(answer) => answer.with_context(|| what),
            Err(_elapsed) => Err(anyhow!("{what}: no answer within {:?}", self.deadline)),
        }
    }

    /// Sends a POST in the background and does not wait for its answer.
    #[must_use]
    pub fn post_pending(&self, path: &str, body: &Value) -> Pending {
        let what = format!("POST {}", self.target.url(path));
        let (target, path) = (self.target.clone(), path.to_owned());
        let body = Bytes::from(body.to_string());
        let task =
            tokio::spawn(async move { exchange(&target, Method::POST, &path, &[], body).await });
        Pending {
            task,
            what,
            deadline: self.deadline,
        }
    }
}

/// A POST that is on its way. Dropping it hangs up.
#[derive(Debug)]
pub struct Pending {
    task: JoinHandle<Result<Answer>>,
    what: String,
    deadline: Duration,
}

impl Pending {
    /// True as long as nothing was answered.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        !self.task.is_finished()
    }

    /// Waits for the answer; the deadline counts from here.
    ///
    /// # Errors
    /// As [`HttpClient::get`].
    pub async fn answer(mut self) -> Result<Answer> {
        match timeout(self.deadline, &mut self.task).await {
            Ok(joined) => joined
                .context("the request's task")?
                .with_context(|| self.what.clone()),
            Err(_elapsed) => Err(anyhow!(
                "{}: still no answer after another {:?}",
                self.what,
                self.deadline
            )),
        }
    }

    /// Closes the connection without waiting for an answer; it is closed when this returns.
    pub async fn hang_up(mut self) {
        self.task.abort();
        let _cancelled = (&mut self.task).await;
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Drives connection and request in one future, so that dropping it closes the connection.
async fn exchange(
    target: &Target,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> Result<Answer> {
    let mut request = request(target.addr, method, path, headers, body)?;
    if let Some(token) = &target.token
        && !request.headers().contains_key(AUTHORIZATION)
    {
        let bearer = HeaderValue::try_from(format!("Bearer {token}"))?;
        request.headers_mut().insert(AUTHORIZATION, bearer);
    }
    let stream = TcpStream::connect(target.addr).await.context("connect")?;
    stream.set_nodelay(true)?;
    match &target.tls {
        None => exchange_over(stream, request).await,
        Some(tls) => {
            // Rarely used, and large.
            Box::pin(async move {
                let stream = tls.connect(stream).await.context("TLS handshake")?;
                exchange_over(stream, request).await
            })
            .await
        }
    }
}

async fn exchange_over(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Answer> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .context("HTTP handshake")?;
    let exchange = async { answer(sender.send_request(request).await.context("no answer")?).await };
    tokio::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        // The server closed: what it sent before is still to be read, or its absence to be reported.
        _closed = connection => exchange.await,
    }
}

/// A request with what every request has.
pub(super) fn request(
    addr: SocketAddr,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> Result<Request<Full<Bytes>>> {
    let is_given = |wanted: &str| {
        let mut names = headers.iter().map(|(name, _)| name);
        names.any(|name| name.eq_ignore_ascii_case(wanted))
    };
    let mut request = Request::builder().method(method).uri(path);
    if !is_given("host") {
        request = request.header("host", addr.to_string());
    }
    if !is_given("content-type") && !body.is_empty() {
        request = request.header("content-type", "application/json");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::new(body)).context("build the request")
}

/// The whole answer, once its head is there.
pub(super) async fn answer(response: Response<Incoming>) -> Result<Answer> {
    let (head, body) = response.into_parts();
    let body = body.collect().await.context("the answer broke off")?;
    Ok(Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        body: body.to_bytes(),
    })
}
