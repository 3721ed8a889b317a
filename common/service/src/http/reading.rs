//! `GET /messages`, `GET /messages/{seq}`, `GET /list`: the same on every node.

use std::fmt;
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, LINK, VARY,
};
use axum::response::{IntoResponse, Response};
use replog_protocol::entry::EntryBatch;
use replog_protocol::ids::{LogId, Seq};
use replog_protocol::node::Query;
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::accept::{self, Form};
use super::access::{LogAccess, Waited, read, unreadable};
use super::answer;
use super::committed::{CommittedBy, Level};
use super::etag::EntityTag;
use super::event_id::log_id_of;
use super::listing::{Format, Listing};
use super::problem::Problem;
use super::query::{Positive, WaitTime};
use crate::snapshot::View;

/// The longest time that a client may let a read wait.
const MAX_WAIT: Duration = Duration::from_secs(300);

/// The header that names the history that is shown.
pub(super) const LOG_ID: HeaderName = HeaderName::from_static("replog-log-id");
/// The header of what a node shows that follows no master because the master has another history: that history.
const DIVERGED_FROM: HeaderName = HeaderName::from_static("replog-diverged-from");

/// The parameters of `GET /messages`.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListParameters {
    /// The first entry that is wanted.
    #[param(value_type = Option<u64>, minimum = 1, nullable = false)]
    pub from: Option<Positive>,
    /// How many entries, at most.
    #[param(value_type = Option<u64>, minimum = 1, nullable = false, example = 10)]
    pub limit: Option<Positive>,
    /// How long to wait for the first one, or for `min_seq`; at most 5 minutes count.
    #[param(value_type = Option<String>, pattern = "^([0-9]{1,9}ms|[0-9]{1,6}s|[0-9]{1,5}m|[0-9]{1,3}h)$", nullable = false, example = "20ms")]
    pub wait: Option<WaitTime>,
    /// Answer only once this entry is here.
    #[param(value_type = Option<u64>, minimum = 1, nullable = false)]
    pub min_seq: Option<Positive>,
    /// Only entries that so many nodes hold: a number from 1, `majority` or `all`.
    #[param(value_type = Option<String>, pattern = "^([1-9][0-9]{0,8}|majority|all)$", nullable = false, example = "majority")]
    pub committed: Option<CommittedBy>,
    /// Only of this history: 410 where another one is shown.
    #[param(value_type = Option<uuid::Uuid>, nullable = false)]
    pub log_id: Option<HistoryId>,
}

/// A history that a client names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryId(pub LogId);

impl<'de> Deserialize<'de> for HistoryId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let log_id = log_id_of(<&str>::deserialize(from)?);
        let wrong = || de::Error::custom("must be the UUID of a history");
        log_id.map(Self).ok_or_else(wrong)
    }
}

/// What follows the entries of a list.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ListTail {
    /// The history.
    pub log_id: Option<LogId>,
    /// The epoch of the newest leadership of it that the node knows.
    pub epoch: u64,
    /// The last entry that the node has, whatever was asked for.
    pub last_seq: Seq,
    /// The last one of them that so many nodes hold as `committed` asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub committed_seq: Option<Seq>,
    /// The master's history, where it is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diverged_from: Option<LogId>,
}

/// `GET /messages`.
///
/// # Errors
/// 406 for a form that there is not; 410 where another history is shown than the client wants; 504 when `min_seq` is not reached
/// in time; 503 while a master recovers, where the log cannot be read, or as many requests wait as may.
pub async fn messages(
    access: LogAccess,
    parameters: ListParameters,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let form = accept::form(headers, &[Form::Json, Form::NdJson])?;
    let level = Level::from(parameters.committed);
    let from = Seq(parameters.from.map_or(1, |from| from.0));
    let view = access.readable().await?;
    check_history(&view, parameters.log_id)?;
    await_entries(&access, level, from, &parameters).await?;
    let view = access.readable_at(level).await?; // the master may recover again
    check_history(&view, parameters.log_id)?;

    let snapshot = &view.snapshot;
    let last = level.last(snapshot);
    let upto = match parameters.limit {
        None => last,
        Some(Positive(limit)) => last.min(Seq(from.0.saturating_add(limit - 1))),
    };
    let tail = ListTail {
        log_id: snapshot.leadership.map(|l| l.log_id),
        epoch: snapshot.leadership.map_or(0, |l| l.epoch.n),
        last_seq: snapshot.last,
        committed_seq: level.committed(snapshot),
        diverged_from: snapshot.diverged_from,
    };
    let next = (upto < last).then(|| parameters.next_page(upto, tail.log_id));
    let (format, head, end) = match form {
        Form::NdJson => (Format::Lines, "", Vec::new()),
        _ => {
            let whole = answer::with_fields(br#"{"messages":[]}"#, &tail)?;
            let end = whole.slice(br#"{"messages":["#.len()..).to_vec();
            (Format::Json, r#"{"messages":["#, end)
        }
    };
    let (shown, range) = (view.clone(), (from, upto));
    let mut listing = Listing::new(access, view, range, format, (head, end));
    listing.begin().await?;
    let tag = match (upto < from, listing.end_epoch()) {
        (true, _) => Some(None),
        (false, None) => read(&shown.reader, one(upto))
            .await
            .ok()
            .flatten()
            .map(|e| Some(e.epoch())),
        (false, known) => Some(known),
    };
    // The epoch of the last entry tells the list from any other one of that length, on every node.
    let tag = tag.map(|end_epoch| {
        let end = (form == Form::Json).then_some((shown.snapshot.leadership, tail));
        let words = (form, tail.log_id, range, end_epoch, next.is_some(), end);
        EntityTag::of(&words)
    });

    let mut response = match tag.as_ref().is_some_and(|tag| tag.is_had(headers)) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => of_form(form, listing.into_body()),
    };
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("accept, accept-encoding"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.extend(tag.map(|tag| (ETAG, tag.header())));
    headers.extend(next.and_then(|next| Some((LINK, HeaderValue::try_from(next).ok()?))));
    Ok(marked(response, &shown))
}

/// 200 in that form.
fn of_form(form: Form, body: Body) -> Response {
    ([(CONTENT_TYPE, form.header())], body).into_response()
}

impl ListParameters {
    /// The `Link` to what follows `upto` in that history: the same parameters, from there on.
    fn next_page(&self, upto: Seq, log_id: Option<LogId>) -> String {
        let mut query = String::new();
        let mut push = |name: &str, value: Option<&dyn fmt::Display>| {
            if let Some(value) = value {
                let joint = if query.is_empty() { '?' } else { '&' };
                query.push_str(&format!("{joint}{name}={value}"));
            }
        };
        let number = |n: Option<Positive>| n.map(|n| n.0);
        let wait = self.wait.map(|wait| format!("{}ms", wait.0.as_millis()));
        push("from", Some(&upto.next()));
        push("limit", number(self.limit).as_ref().map(|n| n as _));
        push("wait", wait.as_ref().map(|wait| wait as _));
        push("min_seq", number(self.min_seq).as_ref().map(|n| n as _));
        push("committed", self.committed.as_ref().map(|by| by as _));
        push("log_id", log_id.as_ref().map(|log_id| log_id as _));
        format!("</messages{query}>; rel=\"next\"")
    }
}

/// Whether the client wants the history that is shown, if it wants a certain one.
fn check_history(view: &View, wanted: Option<HistoryId>) -> Result<(), Problem> {
    let Some(HistoryId(wanted)) = wanted else {
        return Ok(());
    };
    match view.snapshot.leadership.map(|l| l.log_id) {
        Some(shown) if shown == wanted => Ok(()),
        Some(shown) => {
            let detail = "the log is another one by now: begin again without log_id";
            Err(Problem::new(StatusCode::GONE, detail)
                .with_reason("other_history")
                .with_field("log_id", shown))
        }
        None => Err(Problem::unavailable(
            "recovering",
            "this node holds no history yet: it waits for its master",
        )),
    }
}

/// Waits until there is something from `from` on; or, more strictly, until `min_seq` is here.
async fn await_entries(
    access: &LogAccess,
    level: Level,
    from: Seq,
    parameters: &ListParameters,
) -> Result<(), Problem> {
    let wait = parameters.wait.map_or(Duration::ZERO, |wait| wait.0);
    let min_seq = parameters.min_seq.map(|min| Seq(min.0));
    let awaited = min_seq.unwrap_or(from);
    let is_here = |view: &View| {
        level.last(&view.snapshot) >= awaited || check_history(view, parameters.log_id).is_err()
    };
    let _place = match wait.is_zero() || is_here(&access.now()) {
        true => None,
        false => Some(access.waiting_place()?),
    };
    let reason = match access.wait_at(level, wait.min(MAX_WAIT), is_here).await {
        Waited::Reached(_) => return Ok(()),
        Waited::TimedOut => "timeout",
        Waited::Stopping => "stopping",
    };
    let Some(min_seq) = min_seq else {
        return Ok(()); // answered with what is there
    };
    let snapshot = access.readable_at(level).await?.snapshot;
    let last = level.last(&snapshot);
    if last >= min_seq {
        return Ok(()); // what was known to be committed is stored by now
    }
    let here = match level {
        Level::Everything => "here",
        Level::Committed(_) => "committed",
    };
    let detail = format!("entry {min_seq} is not {here} yet, the last one is {last}");
    let problem = Problem::new(StatusCode::GATEWAY_TIMEOUT, detail)
        .with_reason(reason)
        .with_field("last_seq", snapshot.last);
    Err(match level.committed(&snapshot) {
        Some(committed) => problem.with_field("committed_seq", committed),
        None => problem,
    })
}

/// `GET /list`: a line per entry, as Python prints a tuple of a number (from 0) and a string.
///
/// # Errors
/// 503 while a master recovers, or where the log cannot be read.
pub async fn list(access: LogAccess) -> Result<Response, Problem> {
    let view = access.readable().await?;
    let shown = view.clone();
    let range = (Seq(1), view.snapshot.last);
    let mut listing = Listing::new(access, view, range, Format::Python, ("", Vec::new()));
    listing.begin().await?;
    Ok(marked(answer::text(listing.into_body()), &shown))
}

/// The entry at `seq`, a batch of one.
///
/// # Errors
/// 404 after the end; 503 where the entry cannot be read.
pub async fn entry(view: &View, seq: Seq) -> Result<EntryBatch, Problem> {
    let last_seq = view.snapshot.last;
    let found = match seq <= last_seq {
        true => read(&view.reader, one(seq))
            .await
            .map_err(|e| unreadable(&e))?,
        false => None,
    };
    found.ok_or_else(|| {
        let detail = format!("there is no entry at that position; the last one is {last_seq}");
        Problem::not_found(detail).with_field("last_seq", last_seq)
    })
}

fn one(seq: Seq) -> Query {
    Query::Range {
        first: seq,
        last: seq,
        max_bytes: 1,
    }
}

/// `GET /messages/{seq}` on a node that knows no more than the entry itself.
///
/// # Errors
/// As [`entry`].
pub async fn message(access: &LogAccess, seq: Seq) -> Result<Response, Problem> {
    let view = access.readable().await?;
    let mut body = entry(&view, seq).await?.text().to_vec();
    body.push(b'\n');
    Ok(marked(answer::json_bytes(body), &view))
}

/// Says in headers which history is shown, and which one the master has where that is another one.
#[must_use]
pub fn marked(mut response: Response, view: &View) -> Response {
    let shown = view.snapshot.leadership.map(|l| l.log_id);
    let named = [
        (LOG_ID, shown),
        (DIVERGED_FROM, view.snapshot.diverged_from),
    ];
    for (name, log) in named {
        let value = log.map(|log| log.to_string());
        if let Some(Ok(value)) = value.map(HeaderValue::try_from) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

#[cfg(test)]
mod tests;
