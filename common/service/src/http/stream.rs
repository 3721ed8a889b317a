//! `GET /messages/stream`: the log as server-sent events (WHATWG HTML, section 9.2), or as JSON lines, each entry as it comes.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, VARY};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use replog_protocol::entry::EntryBatch;
use replog_protocol::ids::{Leadership, LogId, Seq};
use replog_protocol::node::{Query, ReadError};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::accept::{self, Form};
use super::access::{LogAccess, StreamPermit, Waited, read, unreadable};
use super::committed::{CommittedBy, Level};
use super::event_id::{Compared, EventId, Had};
use super::problem::Problem;
use super::query::Positive;
use super::reading::marked;
use crate::snapshot::View;

/// Entries leave in pieces of about that size.
const PIECE_BYTES: usize = 64 << 10;
/// A comment is sent that often, so that whoever is between does not take the line for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Tells a proxy (nginx) to pass on each piece as it comes.
pub(super) const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The parameters of `GET /messages/stream`.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct StreamParameters {
    /// The first entry that is wanted; a `Last-Event-ID` goes before it.
    #[param(value_type = Option<u64>, minimum = 1, nullable = false)]
    pub from: Option<Positive>,
    /// Only entries that so many nodes hold: a number from 1, `majority` or `all`.
    #[param(value_type = Option<String>, pattern = "^([1-9][0-9]{0,8}|majority|all)$", nullable = false, example = "majority")]
    pub committed: Option<CommittedBy>,
}

/// The data of `event: reset`: what the client has from `from` on is of another log, and comes anew.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Reset {
    /// The history from now on.
    #[schema(value_type = uuid::Uuid)]
    pub log_id: LogId,
    /// The first entry that may differ.
    #[schema(value_type = u64, minimum = 1)]
    pub from: Seq,
}

/// One client that reads the log as it grows.
struct Reader {
    access: LogAccess,
    form: Form,
    level: Level,
    next: Seq,
    /// What the client has before `next`; nothing is known of a client that names no history, until one is shown.
    had: Option<Had>,
    /// The log that was compared last with what the client has.
    compared: Option<(LogIdentity, Compared)>,
    /// Made, and not sent yet.
    ready: String,
    has_begun: bool,
    has_ended: bool,
    _permit: StreamPermit,
}

/// What tells one log from another on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LogIdentity {
    leadership: Leadership,
    generation: u64,
}

impl LogIdentity {
    /// `None` while the node has none that may be shown.
    fn of(view: &View) -> Option<Self> {
        let shown = &view.snapshot;
        let leadership = shown.leadership.filter(|_| shown.is_readable)?;
        Some(Self {
            leadership,
            generation: shown.generation,
        })
    }

    /// Whether a reader of the one may read on in the other.
    fn goes_on_as(&self, other: &Self) -> bool {
        (self.leadership.log_id, self.generation) == (other.leadership.log_id, other.generation)
    }
}

/// Entries from `from` on, or after the `Last-Event-ID` of a client that comes back. Where the log is cleared or its end rolled
/// back, server-sent events go on after a `reset`, and lines end. Ends when the program does.
///
/// # Errors
/// 400 for a `Last-Event-ID` that is none, 406 for a form that there is not, 503 while a master recovers, where the log cannot be
/// read, or as many streams are open as there may be.
pub async fn events(
    access: LogAccess,
    parameters: StreamParameters,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let form = accept::form(headers, &[Form::Events, Form::NdJson])?;
    let last = last_event_id(headers)?;
    let permit = access.stream_permit()?;
    let view = access.readable().await?;
    let from = Seq(parameters.from.map_or(1, |from| from.0));
    let mut reader = Reader {
        access,
        form,
        level: parameters.committed.into(),
        next: last.map_or(from, |id| id.seq.next()),
        had: last.and_then(Had::said),
        compared: None,
        ready: String::new(),
        has_begun: false,
        has_ended: false,
        _permit: permit,
    };
    if let Some(log) = LogIdentity::of(&view) {
        let entered = reader.enter(log, &view).await;
        entered.map_err(|error| unreadable(&error))?;
    }
    let pieces = stream::try_unfold(reader, |mut reader| async move {
        let piece = reader.next_piece().await.map_err(io::Error::other)?;
        Ok::<_, io::Error>(piece.map(|piece| (piece, reader)))
    });
    let headers = [
        (CONTENT_TYPE, form.header()),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (VARY, HeaderValue::from_static("accept, accept-encoding")),
        (BUFFERING, HeaderValue::from_static("no")),
    ];
    let response = (headers, Body::from_stream(pieces)).into_response();
    Ok(marked(response, &view))
}

/// The `Last-Event-ID` of a client that comes back: the last entry that it has.
fn last_event_id(headers: &HeaderMap) -> Result<Option<EventId>, Problem> {
    let mut ids = headers.get_all("last-event-id").iter();
    let Some(id) = ids.next() else {
        return Ok(None);
    };
    if ids.next().is_some() {
        return Err(Problem::bad_request("Last-Event-ID is there twice"));
    }
    let wrong = || {
        Problem::bad_request(
            "Last-Event-ID must be <seq>@<log_id>.<epoch> as in the id of an event, also without the epoch, or the seq alone",
        )
    };
    match id.to_str().map_err(|_| wrong())? {
        "" => Ok(None),
        id => id.parse().map(Some).map_err(|()| wrong()),
    }
}

impl Reader {
    /// The next entries, or a comment that the line is alive; `None` at the end.
    async fn next_piece(&mut self) -> Result<Option<Bytes>, ReadError> {
        loop {
            if !self.ready.is_empty() {
                return Ok(Some(std::mem::take(&mut self.ready).into()));
            }
            if self.has_ended || self.access.is_stopping() {
                return Ok(None);
            }
            let view = match self.news().await {
                Waited::Reached(view) => view,
                Waited::Stopping => return Ok(None),
                Waited::TimedOut if self.form == Form::Events => {
                    return Ok(Some(Bytes::from_static(b": still here\n\n")));
                }
                Waited::TimedOut => continue,
            };
            let Some(log) = LogIdentity::of(&view) else {
                continue;
            };
            let read = match self.is_to_be_compared(log, &view) {
                true => self.enter(log, &view).await,
                false => self.read(&view).await,
            };
            match read {
                Ok(()) => {}
                // Another log is about to be shown.
                Err(ReadError::Gone) => self.await_other(log).await?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits for something to do.
    async fn news(&self) -> Waited {
        let is_news = |view: &View| {
            LogIdentity::of(view)
                .is_some_and(|log| self.is_to_be_compared(log, view) || self.has_entries(view))
        };
        self.access.wait_at(self.level, KEEP_ALIVE, is_news).await
    }

    fn has_entries(&self, view: &View) -> bool {
        let is_same = self
            .compared
            .is_some_and(|(_, compared)| compared == Compared::Same);
        is_same && self.level.last(&view.snapshot) >= self.next
    }

    /// Whether what the client has may not be in this log, and is to be looked for.
    fn is_to_be_compared(&self, log: LogIdentity, view: &View) -> bool {
        match &self.compared {
            None => true,
            Some((before, Compared::Behind(end))) => *before != log || view.snapshot.last >= *end,
            Some((before, _)) => !before.goes_on_as(&log),
        }
    }

    /// Waits until another log is shown than this one.
    async fn await_other(&self, log: LogIdentity) -> Result<(), ReadError> {
        let is_other =
            |view: &View| LogIdentity::of(view).is_none_or(|shown| !log.goes_on_as(&shown));
        match self.access.wait_for(KEEP_ALIVE, is_other).await {
            Waited::TimedOut => Err(ReadError::Gone),
            Waited::Reached(_) | Waited::Stopping => Ok(()),
        }
    }

    /// Goes on in this log: where the client has what is not in it, from there.
    async fn enter(&mut self, log: LogIdentity, view: &View) -> Result<(), ReadError> {
        let leadership = log.leadership;
        let compared = match &self.had {
            None => Compared::Same,
            Some(had) => had.compare(leadership, view).await?,
        };
        let reset = match compared {
            Compared::Same => None,
            Compared::Behind(_) => {
                self.compared = Some((log, compared));
                return Ok(());
            }
            Compared::DiffersFrom(_) if self.form == Form::NdJson => {
                self.has_ended = true;
                return Ok(());
            }
            Compared::DiffersFrom(from) => Some(Reset {
                log_id: leadership.log_id,
                from,
            }),
        };
        let next = reset.map_or(self.next, |reset| reset.from);
        let known = self
            .had
            .clone()
            .filter(|had| had.log_id == leadership.log_id);
        let had = match known {
            Some(had) if reset.is_none() && had.is_known() => had,
            known => {
                let had = Had::before(leadership.log_id, next.prev(), view).await?;
                had.with_older(known)
            }
        };
        if !self.access.is_current(view) {
            return Err(ReadError::Gone);
        }
        if self.form == Form::Events {
            if let Some(reset) = reset {
                let data =
                    serde_json::to_string(&reset).map_err(|e| ReadError::Failed(e.to_string()))?;
                let _ = write!(self.ready, "event: reset\ndata: {data}\n\n");
            }
            if reset.is_some() || !self.has_begun {
                // A client that comes back before the first entry has an id then.
                let _ = write!(self.ready, "id: {}\n\n", had.id(next.prev()));
            }
        }
        (self.next, self.had, self.has_begun) = (next, Some(had), true);
        self.compared = Some((log, Compared::Same));
        Ok(())
    }

    /// Reads the next entries.
    async fn read(&mut self, view: &View) -> Result<(), ReadError> {
        let query = Query::Range {
            first: self.next,
            last: self.level.last(&view.snapshot),
            max_bytes: PIECE_BYTES,
        };
        let batch = read(&view.reader, query).await?;
        let batch = batch.filter(|_| self.access.is_current(view));
        let batch = batch.ok_or(ReadError::Gone)?;
        // A log may be rolled back and written on before that is shown. What follows is of another epoch then.
        if let (Some(had), Some(log)) = (&self.had, LogIdentity::of(view))
            && !had.ends_in(batch.epoch())
            && had.compare(log.leadership, view).await? != Compared::Same
        {
            return Err(ReadError::Gone);
        }
        self.push(&batch);
        self.next = batch.last().next();
        if let Some(had) = &mut self.had {
            had.sent(batch.last(), batch.epoch());
        }
        Ok(())
    }

    fn push(&mut self, batch: &EntryBatch) {
        let Some(log_id) = self.had.as_ref().map(|had| had.log_id) else {
            return; // entries are read once the log was entered
        };
        let place = format!("@{log_id}.{}", batch.epoch());
        let seqs = batch.first().0..;
        let each = match self.form {
            Form::Events => "event: message\nid: 1234567@\ndata: \n\n".len() + place.len(),
            _ => 1,
        };
        let room = usize::try_from(batch.count()).unwrap_or(0) * each;
        self.ready.reserve(batch.bytes() + room);
        for (seq, json) in seqs.zip(batch.objects()) {
            let _ = match self.form {
                Form::Events => write!(
                    self.ready,
                    "event: message\nid: {seq}{place}\ndata: {json}\n\n"
                ),
                _ => writeln!(self.ready, "{json}"),
            };
        }
    }
}

#[cfg(test)]
mod tests;
