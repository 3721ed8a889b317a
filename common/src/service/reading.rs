//! `GET /messages`, `GET /messages/{seq}`, `GET /list`: the same on every node.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, StreamExt};

use super::problem::Problem;
use super::python::push_repr;
use super::query::Query;
use super::view::{View, Views};
use crate::entry::{Chunk, Entry};
use crate::log::{LogStore, StoreError};
use crate::types::Seq;

/// A list leaves in pieces of about that size, so that a long log is never in memory twice.
const PIECE_BYTES: usize = 256 << 10;

/// The longest time a client may let a read wait.
const MAX_WAIT: Duration = Duration::from_secs(300);

/// How long a request for the log waits for a master that recovers.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// The header of what a node shows that follows no master because the master has another history: that history.
const DIVERGED_FROM: HeaderName = HeaderName::from_static("replog-diverged-from");

/// What is shown, once it is known what is to be shown.
///
/// # Errors
/// 503 when a master still recovers after [`PATIENCE`].
pub async fn ready(views: &mut Views) -> Result<View, Problem> {
    let ready = tokio::time::timeout(PATIENCE, views.wait_for(|view| view.is_ready)).await;
    if let Ok(Ok(view)) = ready {
        return Ok(view.clone());
    }
    let detail =
        "the master has to ask the secondaries first what they hold, once the broker is there";
    Err(Problem::unavailable("recovering", detail))
}

/// Says in a header that what is shown is not the master's, where that is so.
#[must_use]
pub fn marked(mut response: Response, view: &View) -> Response {
    let value = view.diverged_from.map(|log| log.to_string());
    if let Some(Ok(value)) = value.map(HeaderValue::try_from) {
        response.headers_mut().insert(DIVERGED_FROM, value);
    }
    response
}

/// `GET /messages?from=SEQ&limit=N&wait=TIME&min_seq=SEQ`.
///
/// # Errors
/// 400 for a parameter that is not what it should be; 504 when `min_seq` is not reached in time.
pub async fn messages(mut views: Views, query: &Query) -> Result<Response, Problem> {
    let from = query.at_least_one("from")?.map_or(Seq(1), Seq);
    let limit = query.at_least_one("limit")?.unwrap_or(u64::MAX);
    let wait = query.duration("wait")?.unwrap_or(Duration::ZERO);
    let min_seq = query.at_least_one("min_seq")?.map(Seq);
    ready(&mut views).await?;
    // Until there is something from `from` on; or, more strictly, until `min_seq` is here.
    let awaited = min_seq.or_else(|| (!wait.is_zero()).then_some(from));
    if let Some(awaited) = awaited {
        let reached = views.wait_for(|view| view.last_seq >= awaited);
        let reached = tokio::time::timeout(wait.min(MAX_WAIT), reached)
            .await
            .is_ok_and(|reached| reached.is_ok());
        if let (false, Some(min_seq)) = (reached, min_seq) {
            let last_seq = views.borrow().last_seq;
            let detail = format!("entry {min_seq} is not here yet, the last one is {last_seq}");
            let problem = Problem::new(axum::http::StatusCode::GATEWAY_TIMEOUT, detail);
            return Err(problem.with_field("last_seq", last_seq));
        }
    }
    let view = ready(&mut views).await?; // it may recover again
    let upto = view.last_seq.min(Seq(from.0.saturating_add(limit - 1)));
    let tail = {
        let (log_id, epoch, last_seq) = (view.log_id, view.epoch, view.last_seq);
        let log_id = serde_json::json!(log_id);
        let diverged = view.diverged_from;
        let diverged = diverged.map_or(String::new(), |log| format!(r#","diverged_from":"{log}""#));
        format!(r#"],"log_id":{log_id},"epoch":{epoch},"last_seq":{last_seq}{diverged}}}"#)
    };
    let shown = view.clone();
    let pieces = Pieces {
        view,
        from,
        upto,
        head: r#"{"messages":["#,
        tail,
        render: |text: &[u8], is_first: bool, out: &mut Vec<u8>| {
            if !is_first {
                out.push(b',');
            }
            out.extend_from_slice(text);
            Ok(())
        },
    };
    let body = pieces.body().await?;
    let response = ([(CONTENT_TYPE, "application/json")], body).into_response();
    Ok(marked(response, &shown))
}

/// `GET /list`: a line an entry, as Python prints a tuple of a number (from 0) and a string.
///
/// # Errors
/// As [`ready`]; 500 where the log cannot be read.
pub async fn list(mut views: Views) -> Result<Response, Problem> {
    let view = ready(&mut views).await?;
    let shown = view.clone();
    let upto = view.last_seq;
    let pieces = Pieces {
        view,
        from: Seq(1),
        upto,
        head: "",
        tail: String::new(),
        render: |text: &[u8], _: bool, out: &mut Vec<u8>| {
            for entry in entries(text)? {
                let mut line = format!("({}, ", entry.seq.prev());
                push_repr(&mut line, &entry.content().text());
                line.push_str(")\n");
                out.extend_from_slice(line.as_bytes());
            }
            Ok(())
        },
    };
    let body = pieces.body().await?;
    let response = ([(CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response();
    Ok(marked(response, &shown))
}

/// The entry that a path names.
///
/// # Errors
/// 404 behind the end.
pub async fn entry(view: &View, seq: Seq) -> Result<Entry, Problem> {
    let found = if seq > view.last_seq {
        None
    } else if seq >= view.log.recent_from() {
        view.log.get(seq).map_err(unreadable)?
    } else {
        let log = Arc::clone(&view.log);
        off_thread(move || log.get(seq)).await.map_err(unreadable)?
    };
    found.ok_or_else(|| {
        let last_seq = view.last_seq;
        Problem::not_found(format!(
            "there is no entry at that position; the last one is {last_seq}"
        ))
        .with_field("last_seq", last_seq)
    })
}

/// A log that cannot be read, for the client: 503 where it soon can be again.
#[must_use]
pub fn unreadable(error: StoreError) -> Problem {
    if let StoreError::Damaged { seq } = error {
        let detail = format!(
            "entry {seq} is damaged on this node's disk; it is fetched again from another node that holds it"
        );
        return Problem::unavailable("damaged", detail).with_field("seq", seq);
    }
    if matches!(error, StoreError::Gone) {
        let detail = "the log was cleared just now: read it again";
        return Problem::unavailable("recovering", detail);
    }
    tracing::error!(%error, "the log cannot be read");
    Problem::new(
        axum::http::StatusCode::INTERNAL_SERVER_ERROR,
        format!("the log cannot be read: {error}"),
    )
}

fn entries(text: &[u8]) -> Result<Vec<Entry>, std::io::Error> {
    let list = [b"[", text, b"]"].concat();
    serde_json::from_slice(&list).map_err(std::io::Error::other)
}

/// Consecutive entries, as [`LogStore::read`]; where that waits for a disk, not on the thread that serves.
///
/// # Errors
/// As there.
pub async fn read(
    log: &Arc<dyn LogStore>,
    from: Seq,
    upto: Seq,
    max_entries: u64,
    max_bytes: usize,
) -> Result<Chunk, StoreError> {
    if !log.is_on_disk() || from >= log.recent_from() {
        return log.read(from, upto, max_entries, max_bytes);
    }
    let log = Arc::clone(log);
    off_thread(move || log.read(from, upto, max_entries, max_bytes)).await
}

/// Does what waits for a disk.
///
/// # Errors
/// What it ends with; or it has panicked.
pub async fn off_thread<T: Send + 'static>(
    run: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let failed = |error: tokio::task::JoinError| StoreError::Failed(error.to_string());
    tokio::task::spawn_blocking(run).await.map_err(failed)?
}

/// A long answer: the entries `next..=upto` between `head` and `tail`, a piece at a time.
struct Pieces<R> {
    view: View,
    from: Seq,
    upto: Seq,
    head: &'static str,
    tail: String,
    render: R,
}

impl<R> Pieces<R>
where
    R: Fn(&[u8], bool, &mut Vec<u8>) -> Result<(), std::io::Error> + Send + Sync + 'static,
{
    /// The piece from `next` on, and where the one after it begins, if there is one.
    async fn piece(&self, next: Seq) -> Result<(Bytes, Option<Seq>), StoreError> {
        let chunk = read(&self.view.log, next, self.upto, u64::MAX, PIECE_BYTES).await?;
        let mut out = Vec::with_capacity(chunk.text.len() + 256);
        let is_first = next == self.from;
        if is_first {
            out.extend_from_slice(self.head.as_bytes());
        }
        if chunk.count > 0 {
            let rendered = (self.render)(&chunk.text, is_first, &mut out);
            rendered.map_err(|_| StoreError::Damaged { seq: next })?;
        }
        let after = Seq(next.0.saturating_add(chunk.count));
        let is_last = chunk.count == 0 || after > self.upto;
        if is_last {
            out.extend_from_slice(self.tail.as_bytes());
        }
        Ok((out.into(), (!is_last).then_some(after)))
    }

    /// All of it; a short answer is one piece.
    async fn body(self) -> Result<Body, Problem> {
        let (mut first, mut next) = self.piece(self.from).await.map_err(unreadable)?;
        // What cannot be read soon after the beginning is said instead of breaking off.
        while let Some(at) = next.filter(|_| first.len() < PIECE_BYTES / 2) {
            let (more, after) = self.piece(at).await.map_err(unreadable)?;
            (first, next) = ([first, more].concat().into(), after);
        }
        let Some(next) = next else {
            return Ok(Body::from(first));
        };
        let rest = stream::unfold((self, Some(next)), |(pieces, next)| async move {
            let (piece, next) = match pieces.piece(next?).await {
                Ok((piece, next)) => (Ok(piece), next),
                Err(error) => (Err(std::io::Error::other(error)), None),
            };
            Some((piece, (pieces, next)))
        });
        let first = stream::once(std::future::ready(Ok(first)));
        Ok(Body::from_stream(first.chain(rest)))
    }
}
