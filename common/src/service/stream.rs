//! `GET /messages/stream`: the log as server-sent events (WHATWG HTML, section 9.2), each entry as it comes.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use super::problem::Problem;
use super::query::Query;
use super::reading;
use super::view::Views;
use crate::types::{LogId, Seq};

/// Entries leave in pieces of about that size.
const PIECE_BYTES: usize = 64 << 10;
/// A comment is sent that often, so that whoever is between does not take the line for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The header that names the history, so that a reader that comes back knows whether its place is one of it.
const LOG_ID: HeaderName = HeaderName::from_static("replog-log-id");

struct Reader {
    views: Views,
    next: Seq,
    /// The last entry that was sent on this line.
    sent: Option<Seq>,
    log_id: Option<LogId>,
}

/// Entries from `from` on, or after the `Last-Event-ID` of a client that comes back. Ends when the log is cleared, or its end
/// put aside: what follows would not belong to what was sent.
///
/// # Errors
/// 400 for a position that is none, 503 while a master recovers.
pub async fn events(
    mut views: Views,
    query: &Query,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let from = query.at_least_one("from")?.map_or(Seq(1), Seq);
    let next = match headers
        .get("last-event-id")
        .map(|id| id.to_str().unwrap_or_default())
    {
        None | Some("") => from,
        Some(id) => {
            let wrong = || Problem::bad_request("Last-Event-ID must be the seq of an entry");
            id.parse().map(|seq| Seq(seq).next()).map_err(|_| wrong())?
        }
    };
    let log_id = reading::ready(&mut views).await?.log_id;
    let reader = Reader {
        views,
        next,
        sent: None,
        log_id,
    };
    let events = stream::unfold(reader, |mut reader| async {
        let piece = reader.piece().await?;
        Some((piece, reader))
    });
    let headers = [
        (CONTENT_TYPE, "text/event-stream".to_owned()),
        (CACHE_CONTROL, "no-store".to_owned()),
        (LOG_ID, log_id.map_or(String::new(), |id| id.to_string())),
    ];
    Ok((headers, Body::from_stream(events)).into_response())
}

impl Reader {
    /// The next entries, or a sign of life; `None` at the end.
    async fn piece(&mut self) -> Option<Result<Bytes, std::io::Error>> {
        let (next, sent, log_id) = (self.next, self.sent, self.log_id);
        let is_cut = |last_seq: Seq| sent.is_some_and(|sent| last_seq < sent);
        let news = self.views.wait_for(|view| {
            view.log_id != log_id || view.last_seq >= next || is_cut(view.last_seq)
        });
        let view = match tokio::time::timeout(KEEP_ALIVE, news).await {
            Err(_) => return Some(Ok(Bytes::from_static(b": still here\n\n"))),
            Ok(Err(_)) => return None,
            Ok(Ok(view)) => view.clone(),
        };
        // A node that held nothing takes its first history here.
        if view.log_id != log_id && log_id.is_some() || is_cut(view.last_seq) {
            return None;
        }
        self.log_id = view.log_id;
        if view.last_seq < next {
            return Some(Ok(Bytes::new()));
        }
        let chunk = reading::read(&view.log, next, view.last_seq, u64::MAX, PIECE_BYTES).await;
        let entries = chunk
            .map_err(std::io::Error::other)
            .and_then(|c| c.entries().map_err(std::io::Error::other));
        let piece = entries.map(|entries| {
            let mut out = Vec::with_capacity(PIECE_BYTES);
            for entry in entries {
                out.extend_from_slice(
                    format!("event: message\nid: {}\ndata: ", entry.seq).as_bytes(),
                );
                out.extend_from_slice(entry.json());
                out.extend_from_slice(b"\n\n");
                (self.next, self.sent) = (entry.seq.next(), Some(entry.seq));
            }
            out.into()
        });
        Some(piece)
    }
}
