//! What moves on a connection, noted where it moves, so that one timer can tell what the connection waits for.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use futures_util::FutureExt;
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::metrics::HttpMetrics;

/// What a connection waits for. Two waits that are equal are one wait that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// For the server: a request is being answered.
    Server,
    /// For the rest of the headers of a request, or for the first request.
    Headers,
    /// For a request after that many.
    NextRequest(u64),
    /// For the client to read on, after that many writes.
    Reading(u64),
}

/// Whose turn it is. At first the client's, of which nothing has come.
const TURN_CONNECTED: u8 = 0;
const TURN_HEADERS: u8 = 1;
const TURN_SERVER: u8 = 2;
const TURN_IDLE: u8 = 3;

/// The notes of one connection. Only the task of that connection writes and reads them.
#[derive(Debug, Default)]
pub(super) struct Activity {
    turn: AtomicU8,
    requests: AtomicU64,
    writes: AtomicU64,
    is_blocked: AtomicBool,
    /// It is to be looked whether the client has hung up.
    is_look_due: AtomicBool,
    /// What the answers on all connections are counted in.
    metrics: Arc<HttpMetrics>,
}

impl Activity {
    /// Nothing has moved yet; the answers are counted in `metrics`.
    pub(super) fn new(metrics: Arc<HttpMetrics>) -> Self {
        Self {
            metrics,
            ..Self::default()
        }
    }

    /// What the connection waits for now.
    pub(super) fn wait(&self) -> Wait {
        if self.is_blocked.load(Ordering::Relaxed) {
            return Wait::Reading(self.writes.load(Ordering::Relaxed));
        }
        match self.turn.load(Ordering::Relaxed) {
            TURN_CONNECTED | TURN_HEADERS => Wait::Headers,
            TURN_SERVER => Wait::Server,
            _ => Wait::NextRequest(self.requests.load(Ordering::Relaxed)),
        }
    }

    /// Nothing of a request has come yet: what came before was said to agree on the encryption.
    pub(super) fn is_secured(&self) {
        self.turn.store(TURN_CONNECTED, Ordering::Relaxed);
    }

    /// Whether a part of a request has come, and the rest of its headers has not.
    pub(super) fn is_within_headers(&self) -> bool {
        self.turn.load(Ordering::Relaxed) == TURN_HEADERS
    }

    /// At the next step of the connection it is looked whether the client has hung up. hyper notices that by itself, but not while
    /// it has bytes of a further request in hand: such a client would keep its place in a waiting room for as long as it is not
    /// answered.
    pub(super) fn look_for_hang_up(&self) {
        self.is_look_due.store(true, Ordering::Relaxed);
    }

    fn received(&self, bytes: usize) {
        let turn = self.turn.load(Ordering::Relaxed);
        if bytes > 0 && matches!(turn, TURN_CONNECTED | TURN_IDLE) {
            self.turn.store(TURN_HEADERS, Ordering::Relaxed);
        }
    }

    fn wrote(&self, result: &Poll<io::Result<usize>>) {
        self.is_blocked
            .store(result.is_pending(), Ordering::Relaxed);
        if result.is_ready() {
            self.writes.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A request is being answered as long as this value lives.
#[derive(Debug)]
pub(super) struct Answering(Arc<Activity>);

impl Answering {
    /// The headers of a request are here.
    pub(super) fn begin(activity: &Arc<Activity>) -> Self {
        activity.turn.store(TURN_SERVER, Ordering::Relaxed);
        Self(Arc::clone(activity))
    }

    /// What the answer is to be counted in.
    pub(super) fn metrics(&self) -> &HttpMetrics {
        &self.0.metrics
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.requests.fetch_add(1, Ordering::Relaxed);
        self.0.turn.store(TURN_IDLE, Ordering::Relaxed);
    }
}

/// The body of an answer: the request is being answered until all of the body is handed out.
#[derive(Debug)]
pub(super) struct AnswerBody {
    body: Body,
    _answering: Answering,
}

impl AnswerBody {
    /// The same body, with the note.
    pub(super) fn new(body: Body, answering: Answering) -> Self {
        Self {
            body,
            _answering: answering,
        }
    }
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What is between a client and the server. What moves is noted below the encryption, which takes more than it sends.
#[derive(Debug)]
pub(super) enum ClientStream {
    /// In the clear.
    Plain(NotingStream),
    /// Encrypted.
    Tls(Box<TlsStream<NotingStream>>),
}

impl ClientStream {
    /// The socket below.
    pub(super) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream.tcp(),
            Self::Tls(tls) => tls.get_ref().0.tcp(),
        }
    }
}

/// What one of the two does.
macro_rules! of_either {
    ($stream:expr, $inner:ident => $does:expr) => {
        match $stream.get_mut() {
            ClientStream::Plain($inner) => {
                let $inner = Pin::new($inner);
                $does
            }
            ClientStream::Tls($inner) => {
                let $inner = Pin::new($inner.as_mut());
                $does
            }
        }
    };
}

impl AsyncRead for ClientStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        of_either!(self, inner => inner.poll_read(cx, buf))
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        of_either!(self, inner => inner.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        of_either!(self, inner => inner.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        of_either!(self, inner => inner.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        of_either!(self, inner => inner.poll_shutdown(cx))
    }
}

/// A socket that notes what comes and what leaves.
#[derive(Debug)]
pub(super) struct NotingStream {
    stream: TcpStream,
    activity: Arc<Activity>,
}

impl NotingStream {
    /// Notes in `activity` what moves on `stream`.
    pub(super) fn new(stream: TcpStream, activity: Arc<Activity>) -> Self {
        Self { stream, activity }
    }

    /// The socket.
    pub(super) fn tcp(&self) -> &TcpStream {
        &self.stream
    }
}

impl AsyncRead for NotingStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.activity.received(buf.filled().len() - before);
        read
    }
}

impl AsyncWrite for NotingStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.activity.wrote(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.activity.wrote(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// A connection calls this at each of its steps.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let is_look_due = &self.activity.is_look_due;
        if is_look_due.load(Ordering::Relaxed) {
            is_look_due.store(false, Ordering::Relaxed);
            if has_hung_up(&self.stream) {
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Whether the client sends nothing more after what it has sent, read or not.
fn has_hung_up(stream: &TcpStream) -> bool {
    let ready = stream.ready(Interest::READABLE).now_or_never();
    ready.is_some_and(|ready| ready.is_ok_and(|ready| ready.is_read_closed()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_follows_what_moves() {
        let activity = Arc::new(Activity::default());
        assert_eq!(activity.wait(), Wait::Headers);
        assert!(!activity.is_within_headers());
        activity.received(10);
        assert_eq!(activity.wait(), Wait::Headers);
        assert!(activity.is_within_headers());
        let answering = Answering::begin(&activity);
        activity.received(10); // a request that is sent before the former one is answered
        assert_eq!(activity.wait(), Wait::Server);
        drop(answering);
        assert_eq!(activity.wait(), Wait::NextRequest(1));
        activity.received(0);
        assert_eq!(activity.wait(), Wait::NextRequest(1));
        activity.received(1);
        assert_eq!(activity.wait(), Wait::Headers);
        drop(Answering::begin(&activity));
        assert_eq!(activity.wait(), Wait::NextRequest(2));
    }

    #[test]
    fn a_client_that_reads_begins_another_wait() {
        let activity = Arc::new(Activity::default());
        let _answering = Answering::begin(&activity);
        activity.wrote(&Poll::Ready(Ok(9)));
        assert_eq!(activity.wait(), Wait::Server);
        activity.wrote(&Poll::Pending);
        let blocked = activity.wait();
        activity.wrote(&Poll::Pending);
        assert_eq!(activity.wait(), blocked);
        activity.wrote(&Poll::Ready(Ok(1)));
        activity.wrote(&Poll::Pending);
        assert_ne!(activity.wait(), blocked);
        assert_ne!(activity.wait(), Wait::Server);
    }
}
