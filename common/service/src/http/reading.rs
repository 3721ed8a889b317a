//! `GET /messages`, `GET /messages/{seq}`, `GET /list`: the same on every node.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::http::header::{HeaderName, HeaderValue};
use axum::response::Response;
use replog_protocol::ids::{LogId, Seq};
use replog_protocol::node::Query;
use serde::{Deserialize, Serialize};

use super::access::{LogAccess, Waited, read, unreadable};
use super::answer;
use super::listing::{Format, Listing};
use super::problem::Problem;
use super::query::{Positive, WaitTime};
use crate::snapshot::View;

/// The longest time that a client may let a read wait.
const MAX_WAIT: Duration = Duration::from_secs(300);

/// The header of what a node shows that follows no master because the master has another history: that history.
const DIVERGED_FROM: HeaderName = HeaderName::from_static("replog-diverged-from");

/// The parameters of `GET /messages`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct ListParameters {
    /// The first entry that is wanted.
    pub from: Option<Positive>,
    /// How many entries, at most.
    pub limit: Option<Positive>,
    /// How long to wait for the first one, or for `min_seq`; at most 5 minutes count.
    pub wait: Option<WaitTime>,
    /// Answer only once this entry is here.
    pub min_seq: Option<Positive>,
}

/// What follows the entries of a list.
#[derive(Serialize)]
struct ListTail {
    log_id: Option<LogId>,
    epoch: u64,
    last_seq: Seq,
    #[serde(skip_serializing_if = "Option::is_none")]
    diverged_from: Option<LogId>,
}

/// `GET /messages`.
///
/// # Errors
/// 504 when `min_seq` is not reached in time; 503 while a master recovers, or where the log cannot be read.
pub async fn messages(access: LogAccess, parameters: ListParameters) -> Result<Response, Problem> {
    let from = Seq(parameters.from.map_or(1, |from| from.0));
    access.readable().await?;
    await_entries(&access, from, &parameters).await?;
    let view = access.readable().await?; // the master may recover again
    let last_seq = view.snapshot.last;
    let upto = match parameters.limit {
        None => last_seq,
        Some(Positive(limit)) => last_seq.min(Seq(from.0.saturating_add(limit - 1))),
    };
    let tail = ListTail {
        log_id: view.snapshot.leadership.map(|l| l.log_id),
        epoch: view.snapshot.leadership.map_or(0, |l| l.epoch.n),
        last_seq,
        diverged_from: view.snapshot.diverged_from,
    };
    let tail = answer::with_fields(br#"{"messages":[]}"#, &tail)?;
    let tail = tail.slice(br#"{"messages":["#.len()..).to_vec();
    let (head, shown) = (r#"{"messages":["#, view.clone());
    let listing = Listing::new(access, view, (from, upto), Format::Json, (head, tail));
    Ok(marked(answer::json_bytes(listing.body().await?), &shown))
}

/// Waits until there is something from `from` on; or, more strictly, until `min_seq` is here.
async fn await_entries(
    access: &LogAccess,
    from: Seq,
    parameters: &ListParameters,
) -> Result<(), Problem> {
    let wait = parameters.wait.map_or(Duration::ZERO, |wait| wait.0);
    let min_seq = parameters.min_seq.map(|min| Seq(min.0));
    let awaited = min_seq.unwrap_or(from);
    let is_here = |view: &View| view.snapshot.last >= awaited;
    let reason = match access.wait_for(wait.min(MAX_WAIT), is_here).await {
        Waited::Reached(_) => return Ok(()),
        Waited::TimedOut => "timeout",
        Waited::Stopping => "stopping",
    };
    let Some(min_seq) = min_seq else {
        return Ok(()); // answered with what is there
    };
    let last_seq = access.now().snapshot.last;
    let detail = format!("entry {min_seq} is not here yet, the last one is {last_seq}");
    Err(Problem::new(StatusCode::GATEWAY_TIMEOUT, detail)
        .with_reason(reason)
        .with_field("last_seq", last_seq))
}

/// `GET /list`: a line per entry, as Python prints a tuple of a number (from 0) and a string.
///
/// # Errors
/// 503 while a master recovers, or where the log cannot be read.
pub async fn list(access: LogAccess) -> Result<Response, Problem> {
    let view = access.readable().await?;
    let shown = view.clone();
    let range = (Seq(1), view.snapshot.last);
    let listing = Listing::new(access, view, range, Format::Python, ("", Vec::new()));
    Ok(marked(answer::text(listing.body().await?), &shown))
}

/// The JSON object of the entry at `seq`, without a newline.
///
/// # Errors
/// 404 after the end; 503 where the entry cannot be read.
pub async fn entry(view: &View, seq: Seq) -> Result<Bytes, Problem> {
    let last_seq = view.snapshot.last;
    let query = Query::Range {
        first: seq,
        last: seq,
        max_bytes: 1,
    };
    let found = match seq <= last_seq {
        true => read(&view.reader, query)
            .await
            .map_err(|e| unreadable(&e))?,
        false => None,
    };
    let batch = found.ok_or_else(|| {
        let detail = format!("there is no entry at that position; the last one is {last_seq}");
        Problem::not_found(detail).with_field("last_seq", last_seq)
    })?;
    Ok(batch.text().clone())
}

/// `GET /messages/{seq}` on a node that knows no more than the entry itself.
///
/// # Errors
/// As [`entry`].
pub async fn message(access: &LogAccess, seq: Seq) -> Result<Response, Problem> {
    let view = access.readable().await?;
    let mut body = entry(&view, seq).await?.to_vec();
    body.push(b'\n');
    Ok(marked(answer::json_bytes(body), &view))
}

/// Says in a header that what is shown is not the master's, where that is so.
#[must_use]
pub fn marked(mut response: Response, view: &View) -> Response {
    let value = view.snapshot.diverged_from.map(|log| log.to_string());
    if let Some(Ok(value)) = value.map(HeaderValue::try_from) {
        response.headers_mut().insert(DIVERGED_FROM, value);
    }
    response
}

#[cfg(test)]
mod tests;
