//! One connection: hyper in front of the calls, the limits on every body, and one timer that watches the client.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::MatchedPath;
use axum::http::header::CONTENT_LENGTH;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service as HyperService;
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use super::activity::{Activity, AnswerBody, Answering, ClientStream, NotingStream, Wait};
use super::addresses::Place;
use super::body_memory::BodyMemory;
use super::bounded::BoundedBody;
use super::calls::{self, Caller, Calls};
use super::problem::{PROBLEM_JSON, Problem};
use super::request_id::{RequestIdMaker, X_REQUEST_ID};
use super::request_log::RequestLine;
use super::server::HttpLimits;
use crate::metrics::{HttpLimit, HttpMetrics};

/// hyper's own lower bound of its buffer.
const MIN_BUFFER_BYTES: usize = 8192;
/// Header lines of one request; more is 431.
const MAX_HEADERS: usize = 100;
/// How long, and for how many bytes, a client is listened to after the last answer.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 4 * 1024 * 1024;
/// Bodies that are not there yet take so much memory together, or two of the largest ones if that is more.
const BODY_MEMORY_BYTES: usize = 256 << 20;
/// How long a client has to send a request that will be refused because of its address.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);
/// It is looked that often whether a client that is not answered yet has hung up.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A silent client is probed after that time, and then that often: a machine that is gone is noticed within minutes.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(15);

/// What the tasks of all connections share.
#[derive(Clone)]
pub(super) struct Connections {
    http: http1::Builder,
    calls: Calls,
    limits: HttpLimits,
    body_memory: BodyMemory,
    request_ids: RequestIdMaker,
    tls: Option<TlsAcceptor>,
}

/// Why every request on a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// The address of the client has all the connections that it may have.
    TooManyConnections,
    /// The client speaks plain HTTP where TLS is spoken.
    PlainHttp,
}

/// How each message of TLS begins that a client may begin with: the record of a handshake (RFC 8446, section 5.1).
const TLS_HANDSHAKE: u8 = 22;

type Connection = http1::Connection<TokioIo<ClientStream>, Requests>;

/// How a connection has ended.
enum End {
    /// Nothing more comes, and nothing more is to be sent.
    Finished,
    /// The client broke the connection or the rules of HTTP.
    Broken(hyper::Error),
    /// The client was waited for too long.
    TimedOut(Wait),
}

impl End {
    /// The limit that has ended the connection.
    fn limit(&self) -> Option<HttpLimit> {
        match self {
            Self::TimedOut(Wait::Headers) => Some(HttpLimit::HeaderTimeout),
            Self::TimedOut(Wait::NextRequest(_)) => Some(HttpLimit::IdleTimeout),
            Self::TimedOut(Wait::Reading(_)) => Some(HttpLimit::WriteTimeout),
            // hyper has answered 431 itself.
            Self::Broken(error) if error.is_parse_too_large() => Some(HttpLimit::MaxHeaderBytes),
            Self::TimedOut(Wait::Server) | Self::Broken(_) | Self::Finished => None,
        }
    }
}

impl Connections {
    pub(super) fn new(calls: Calls, limits: HttpLimits, tls: Option<TlsAcceptor>) -> Self {
        let mut http = http1::Builder::new();
        // The timer of a `Watchdog` tells an idle client from a slow one; hyper's would not.
        http.header_read_timeout(None)
            .max_headers(MAX_HEADERS)
            .max_header_size(limits.max_header_bytes)
            .max_buf_size(limits.max_header_bytes.max(MIN_BUFFER_BYTES))
            // A client that hangs up drops its handler.
            .half_close(false);
        let body_memory =
            BodyMemory::new(BODY_MEMORY_BYTES.max(limits.max_body_bytes.saturating_mul(2)));
        Self {
            http,
            calls,
            limits,
            body_memory,
            request_ids: RequestIdMaker::new(),
            tls,
        }
    }

    /// There are as many connections as there may be: further ones wait.
    pub(super) fn are_full(&self) {
        self.calls.metrics().reached(HttpLimit::MaxConnections);
    }

    /// Answers requests until the client is done, or takes too long, or `stop` is cancelled: then an idle connection is
    /// closed at once, and another one after the answer that it is at. Without a `place` for its address each request is
    /// refused, and the client has little time to send one.
    pub(super) async fn run(
        mut self,
        stream: TcpStream,
        place: Option<Place>,
        stop: CancellationToken,
    ) {
        prepare(&stream, self.limits.write_timeout);
        let client = stream.peer_addr().ok();
        let mut refusal = place.is_none().then_some(Refusal::TooManyConnections);
        if refusal.is_some() {
            self.limits.header_timeout = self.limits.header_timeout.min(REFUSAL_TIMEOUT);
            self.limits.idle_timeout = self.limits.idle_timeout.min(REFUSAL_TIMEOUT);
        }
        let metrics = Arc::clone(self.calls.metrics());
        let _open = metrics.accepted();
        if place.is_none() {
            metrics.reached(HttpLimit::MaxConnectionsPerAddress);
        }
        let activity = Arc::new(Activity::new(Arc::clone(&metrics)));
        let stream = NotingStream::new(stream, Arc::clone(&activity));
        let stream = match &self.tls {
            None => ClientStream::Plain(stream),
            Some(tls) => {
                let secured = secured(stream, tls, self.limits.header_timeout);
                match stop.run_until_cancelled(secured).await {
                    Some(Ok(stream)) => stream,
                    Some(Err(error)) => {
                        if error.kind() == io::ErrorKind::TimedOut {
                            metrics.reached(HttpLimit::HeaderTimeout);
                        }
                        debug!(%error, "a client does not speak TLS as it should");
                        return;
                    }
                    None => return,
                }
            }
        };
        if self.tls.is_some() && matches!(stream, ClientStream::Plain(_)) {
            refusal = Some(Refusal::PlainHttp);
        }
        activity.is_secured();
        let requests = Requests {
            calls: self.calls,
            client,
            body_timeout: self.limits.body_timeout,
            max_body_bytes: self.limits.max_body_bytes,
            refusal,
            body_memory: self.body_memory,
            activity: Arc::clone(&activity),
            request_ids: RefCell::new(self.request_ids),
        };
        let mut watchdog = Watchdog::new(Arc::clone(&activity), &self.limits);
        let io = TokioIo::new(stream);
        let mut connection = self.http.serve_connection(io, requests);
        let end = tokio::select! {
            biased;
            end = drive(&mut connection, &mut watchdog) => Some(end),
            () = stop.cancelled() => None,
        };
        let end = match end {
            Some(end) => end,
            None => {
                Pin::new(&mut connection).graceful_shutdown();
                drive(&mut connection, &mut watchdog).await
            }
        };
        let mut stream = connection.into_parts().io.into_inner();
        if let Some(limit) = end.limit() {
            metrics.reached(limit);
        }
        match end {
            End::TimedOut(Wait::Headers) if activity.is_within_headers() => {
                debug!("the headers of a request did not come in time");
                say_headers_were_late(&mut stream).await;
            }
            End::TimedOut(wait) => {
                debug!(?wait, "a client took too long and was cut off");
                // What the client does not read is not kept for it.
                SockRef::from(stream.tcp())
                    .set_linger(Some(Duration::ZERO))
                    .ok();
                return;
            }
            End::Broken(error) => debug!(%error, "a connection broke off"),
            End::Finished => {}
        }
        tokio::select! {
            biased;
            () = close(stream) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// What the system does for a connection.
fn prepare(stream: &TcpStream, write_timeout: Duration) {
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_EVERY);
    let set = || -> io::Result<()> {
        // Answers are written whole; waiting to fill a packet only delays them.
        stream.set_nodelay(true)?;
        socket.set_tcp_keepalive(&keepalive)?;
        // A machine that is gone while an answer is on its way to it acknowledges nothing, and keepalive does not probe then.
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(write_timeout.max(KEEPALIVE_AFTER)))?;
        #[cfg(not(target_os = "linux"))]
        let _ = write_timeout;
        Ok(())
    };
    if let Err(error) = set() {
        debug!(%error, "a connection could not be prepared"); // it is gone already
    }
}

/// The stream as the server and its client understand it, within that time: a client that begins with anything else than TLS is
/// left in the clear, to be told.
async fn secured(
    stream: NotingStream,
    tls: &TlsAcceptor,
    within: Duration,
) -> io::Result<ClientStream> {
    let secured = async {
        let mut first = [0];
        let is_tls = stream.tcp().peek(&mut first).await? == 0 || first[0] == TLS_HANDSHAKE;
        match is_tls {
            true => Ok(ClientStream::Tls(Box::new(tls.accept(stream).await?))),
            false => Ok(ClientStream::Plain(stream)),
        }
    };
    let timed_out = |_| Err(io::ErrorKind::TimedOut.into());
    tokio::time::timeout(within, secured)
        .await
        .unwrap_or_else(timed_out)
}

/// Runs the connection until it ends, or its client has been waited for too long.
async fn drive(connection: &mut Connection, watchdog: &mut Watchdog) -> End {
    poll_fn(|cx| {
        if let Poll::Ready(ended) = connection.poll_without_shutdown(cx) {
            return Poll::Ready(ended.map_or_else(End::Broken, |()| End::Finished));
        }
        watchdog.poll(cx).map(End::TimedOut)
    })
    .await
}

/// 408, for a client that has begun a request. One that has sent nothing is told nothing: it may have opened the connection for
/// later, and would take the answer for that of the request which it is about to send.
async fn say_headers_were_late(stream: &mut ClientStream) {
    let problem = Problem::new(
        StatusCode::REQUEST_TIMEOUT,
        "the headers did not come in time",
    );
    let Ok(body) = serde_json::to_string(&problem) else {
        return;
    };
    let (kind, length) = (PROBLEM_JSON, body.len() + 1);
    let kind = kind.to_str().unwrap_or_default();
    let answer = format!(
        "HTTP/1.1 408 Request Timeout\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}\n"
    );
    // The client reads it or not: nobody waits for it.
    let _ = tokio::time::timeout(LINGER, stream.write_all(answer.as_bytes())).await;
}

/// Closes in a way that lets the client read the last answer: a close with unread input resets the connection, and a client
/// still sending a body that was refused would see that instead of the 413.
///
/// All of it has a second: what TLS still holds for a client that reads nothing is sent before the end is.
async fn close(mut stream: ClientStream) {
    let closing = async move {
        if stream.shutdown().await.is_ok() {
            let mut rest = stream.take(LINGER_BYTES);
            let _ = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await;
        }
    };
    let _ = tokio::time::timeout(LINGER, closing).await;
}

/// The one timer of a connection. It is set anew only to ring earlier: when it rings too early it is set to what is due by
/// then, so requests that follow one another cost no timer each.
struct Watchdog {
    activity: Arc<Activity>,
    header_timeout: Duration,
    idle_timeout: Duration,
    write_timeout: Duration,
    wait: Wait,
    /// When the wait is over.
    until: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Watchdog {
    fn new(activity: Arc<Activity>, limits: &HttpLimits) -> Self {
        let until = Instant::now() + limits.header_timeout;
        Self {
            wait: activity.wait(),
            activity,
            header_timeout: limits.header_timeout,
            idle_timeout: limits.idle_timeout,
            write_timeout: limits.write_timeout,
            until,
            timer: Box::pin(sleep_until(until)),
        }
    }

    /// To be called after each step of the connection; ready when its time is up.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Wait> {
        let wait = self.activity.wait();
        let limit = match wait {
            Wait::Server => {
                self.wait = wait;
                // A client that waits is never in the way; one that is gone is.
                while self.timer.as_mut().poll(cx).is_ready() {
                    self.activity.look_for_hang_up();
                    self.timer.as_mut().reset(Instant::now() + LOOK_EVERY);
                    cx.waker().wake_by_ref();
                }
                return Poll::Pending;
            }
            Wait::Headers => self.header_timeout,
            Wait::NextRequest(_) => self.idle_timeout,
            Wait::Reading(_) => self.write_timeout,
        };
        if wait != self.wait {
            self.wait = wait;
            self.until = Instant::now() + limit;
        }
        if self.until < self.timer.deadline() {
            self.timer.as_mut().reset(self.until);
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            if self.timer.deadline() >= self.until {
                return Poll::Ready(wait);
            }
            self.timer.as_mut().reset(self.until);
        }
        Poll::Pending
    }
}

/// The calls as hyper makes them.
struct Requests {
    calls: Calls,
    client: Option<SocketAddr>,
    body_timeout: Duration,
    max_body_bytes: usize,
    refusal: Option<Refusal>,
    body_memory: BodyMemory,
    activity: Arc<Activity>,
    request_ids: RefCell<RequestIdMaker>,
}

impl Requests {
    /// Who makes a request that may be made.
    ///
    /// # Errors
    /// 429 or 400 where the client may make none on this connection, else as [`Calls::check`].
    fn admitted(&self, head: &Parts) -> Result<Caller, Problem> {
        match self.refusal {
            Some(Refusal::TooManyConnections) => {
                let detail = "this address has as many connections as it may have: close some, or use them again";
                Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, detail)
                    .with_reason("too_many_connections"))
            }
            Some(Refusal::PlainHttp) => {
                let detail = "this port speaks HTTPS, and the request came in the clear: use https:// in its address";
                Err(Problem::bad_request(detail).with_reason("https_required"))
            }
            None => Ok(Caller {
                address: self.client,
                name: self.calls.check(head)?,
            }),
        }
    }

    /// The body of a request, with its limits.
    fn bounded(&self, head: &Parts, body: Incoming) -> Body {
        if body.is_end_stream() {
            return Body::empty();
        }
        if self.calls.has_endless_body(head) {
            let endless = BoundedBody::endless(body, self.body_timeout, self.body_memory.share());
            return Body::new(endless);
        }
        let until = Instant::now() + self.body_timeout;
        let share = self.body_memory.share();
        Body::new(BoundedBody::new(body, self.max_body_bytes, until, share))
    }
}

impl HyperService<Request<Incoming>> for Requests {
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, request: Request<Incoming>) -> Answer {
        let note = Answering::begin(&self.activity);
        let (head, body) = request.into_parts();
        let called = match self.calls.is_shortcut(&head) {
            true => Called::Shortcut,
            false => Called::Method(head.method.clone()),
        };
        let request_id = self.request_ids.borrow_mut().of(&head.headers);
        let admitted = self.admitted(&head);
        let client = match &admitted {
            Ok(caller) => caller.clone(),
            Err(_) => Caller::unnamed(self.client),
        };
        let line = RequestLine::begin(&head, client, &request_id);
        let making = match admitted {
            Ok(caller) => {
                let body = self.bounded(&head, body);
                (self.calls).call(Request::from_parts(head, body), caller)
            }
            Err(problem) => self.calls.refuse(head, problem),
        };
        Answer {
            making,
            rest: Some((note, request_id)),
            called,
            line,
        }
    }
}

/// What is called, as far as it is to be counted.
enum Called {
    /// The call that is found before the router looks.
    Shortcut,
    /// Another one, by that method.
    Method(Method),
}

impl Called {
    fn count(&self, response: &Response, metrics: &HttpMetrics) {
        let status = response.status();
        if let Some(limit) = response.extensions().get() {
            metrics.reached(*limit);
        }
        match self {
            Self::Shortcut => metrics.answered_shortcut(status),
            Self::Method(method) => {
                let route = response.extensions().get().map(MatchedPath::as_str);
                metrics.answered(route, method, status);
            }
        }
    }
}

/// An answer that is being made. A panic on the way is answered with 500.
struct Answer {
    making: calls::Answering,
    /// What goes on with the answer, until there is one: the note with its body, the id with its head.
    rest: Option<(Answering, HeaderValue)>,
    called: Called,
    line: Option<Box<RequestLine>>,
}

impl Future for Answer {
    type Output = Result<Response<AnswerBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let making = AssertUnwindSafe(|| self.making.as_mut().poll(cx));
        let mut response = match catch_unwind(making) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(response)) => response,
            Err(_) => {
                error!("a request handler panicked");
                Problem::internal("this is a bug; the server's log says more").into_response()
            }
        };
        let (note, request_id) = self.rest.take().expect("polled after its end");
        self.called.count(&response, note.metrics());
        response.headers_mut().insert(X_REQUEST_ID, request_id);
        if response.status() == StatusCode::NOT_MODIFIED {
            // The router says how long the empty body is, which stands for that of the 200 here (RFC 9110, section 8.6).
            response.headers_mut().remove(CONTENT_LENGTH);
        }
        if let Some(mut line) = self.line.take() {
            line.answered(response.status());
        }
        Poll::Ready(Ok(response.map(|body| AnswerBody::new(body, note))))
    }
}
