//! `GET /messages/stream`: the log as server-sent events (WHATWG HTML, section 9.2), each entry as it comes.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use replog_protocol::ids::Seq;
use replog_protocol::node::{Query, ReadError};
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;

use super::access::{LogAccess, Waited, read};
use super::problem::Problem;
use super::query::Positive;
use super::reading::marked;
use crate::snapshot::View;

/// Entries leave in pieces of about that size.
const PIECE_BYTES: usize = 64 << 10;
/// A comment is sent that often, so that whoever is between does not take the line for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The header that names the history, so that a reader that comes back knows whether its place is one of it.
const LOG_ID: HeaderName = HeaderName::from_static("replog-log-id");

/// The parameters of `GET /messages/stream`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct StreamParameters {
    /// The first entry that is wanted; a `Last-Event-ID` goes before it.
    pub from: Option<Positive>,
}

/// One client that reads the log as it grows.
struct Reader {
    access: LogAccess,
    /// The log that the client reads, as it was shown last.
    view: View,
    next: Seq,
    has_sent: bool,
    _permit: OwnedSemaphorePermit,
}

/// Entries from `from` on, or after the `Last-Event-ID` of a client that comes back. Ends when the program does, when the log
/// is cleared, or its end rolled back: what follows would not belong to what was sent.
///
/// # Errors
/// 400 for a position that is none, 503 while a master recovers or as many streams are open as there may be.
pub async fn events(
    access: LogAccess,
    parameters: StreamParameters,
    last_event_id: Option<Seq>,
) -> Result<Response, Problem> {
    let next = match last_event_id {
        Some(seq) => seq.next(),
        None => Seq(parameters.from.map_or(1, |from| from.0)),
    };
    let permit = access.stream_permit()?;
    let view = access.readable().await?;
    let log_id = view.snapshot.leadership.map(|l| l.log_id.to_string());
    let reader = Reader {
        access,
        view: view.clone(),
        next,
        has_sent: false,
        _permit: permit,
    };
    let events = stream::try_unfold(reader, |mut reader| async move {
        let piece = reader.next_piece().await.map_err(io::Error::other)?;
        Ok::<_, io::Error>(piece.map(|piece| (piece, reader)))
    });
    let headers = [
        (CONTENT_TYPE, "text/event-stream".to_owned()),
        (CACHE_CONTROL, "no-store".to_owned()),
        (LOG_ID, log_id.unwrap_or_default()),
    ];
    let response = (headers, Body::from_stream(events)).into_response();
    Ok(marked(response, &view))
}

/// The `Last-Event-ID` of a client that comes back: the seq of the last entry that it has.
///
/// # Errors
/// 400 for anything else.
pub fn last_event_id(headers: &HeaderMap) -> Result<Option<Seq>, Problem> {
    let Some(id) = headers.get("last-event-id") else {
        return Ok(None);
    };
    let wrong = || Problem::bad_request("Last-Event-ID must be the seq of an entry");
    match id.to_str().map_err(|_| wrong())? {
        "" => Ok(None),
        id => id.parse().map(|seq| Some(Seq(seq))).map_err(|_| wrong()),
    }
}

impl Reader {
    /// The next entries, or a comment that the line is alive; `None` at the end.
    async fn next_piece(&mut self) -> Result<Option<Bytes>, ReadError> {
        let (next, generation) = (self.next, self.view.snapshot.generation);
        let has_log = self.view.snapshot.leadership.is_some();
        let is_news = |view: &View| {
            let shown = &view.snapshot;
            shown.generation != generation
                || shown.leadership.is_some() != has_log
                || shown.is_readable && shown.last >= next
        };
        let view = match self.access.wait_for(KEEP_ALIVE, is_news).await {
            Waited::Reached(view) => view,
            Waited::TimedOut => return Ok(Some(Bytes::from_static(b": still here\n\n"))),
            Waited::Stopping => return Ok(None),
        };
        // A node that held nothing takes its first history here.
        if view.snapshot.generation != generation && (has_log || self.has_sent) {
            return Ok(None);
        }
        self.view = view;
        if self.view.snapshot.last < next {
            return Ok(Some(Bytes::new()));
        }
        let query = Query::Range {
            first: next,
            last: self.view.snapshot.last,
            max_bytes: PIECE_BYTES,
        };
        let batch = read(&self.view.reader, query).await?;
        let batch = batch.filter(|_| self.access.is_current(&self.view));
        let Some(batch) = batch else {
            return Ok(None);
        };
        let mut events = String::with_capacity(batch.bytes() + 40);
        for entry in batch.iter() {
            let (seq, json) = (entry.seq, entry.json);
            let _ = write!(events, "event: message\nid: {seq}\ndata: {json}\n\n");
        }
        self.next = batch.last().next();
        self.has_sent = true;
        Ok(Some(events.into()))
    }
}

#[cfg(test)]
mod tests;
