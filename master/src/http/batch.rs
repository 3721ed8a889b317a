//! `POST /messages` with an array: all of its messages one after the other in the log, or none of them.

use axum::body::Bytes;
use axum::response::Response;
use replog_protocol::ids::{LogId, Seq};
use replog_protocol::leader::command::AppendError;
use replog_protocol::request_id::RequestId;
use replog_protocol::write_concern::WriteConcern;
use replog_service::http::problem::Problem;
use replog_service::http::{answer, body};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::Master;
use super::idempotency_key::IdempotencyKey;
use super::outcome::{Sent, refused, replicated};
use super::parse::{BatchElement, NewMessage};
use super::terms::Terms;

/// The most messages of one batch: they get their places in one step, and meanwhile nobody else is served. Above it a bulk
/// load is the better way.
pub(super) const MAX_MESSAGES: usize = 10_000;

/// The answer when enough nodes hold all of the batch.
#[derive(Serialize, ToSchema)]
pub(super) struct BatchReplicated {
    /// `replicated`.
    status: &'static str,
    /// The lowest position of its messages.
    #[schema(value_type = u64, minimum = 1)]
    first_seq: Seq,
    /// The highest one.
    #[schema(value_type = u64, minimum = 1)]
    last_seq: Seq,
    /// How many messages it has.
    count: u64,
    /// How many nodes were to hold all of it.
    w: u32,
    /// How many do.
    acks: u32,
    /// The history that it is in.
    #[schema(value_type = uuid::Uuid)]
    log_id: LogId,
    /// The number of the leadership that placed it.
    epoch: u64,
    /// Whether all of it was in the log already.
    duplicate: bool,
}

/// Checks every element of the array that `body` is, and what holds for all of them.
pub(super) fn check(
    body: &Bytes,
    elements: &[&RawValue],
    key: Option<&IdempotencyKey>,
    terms: Terms,
    listed: Option<usize>,
) -> Result<Vec<NewMessage>, Problem> {
    if key.is_some() {
        let detail = "an Idempotency-Key stands for one message: give each of a batch a message_id";
        return Err(Problem::bad_request(detail));
    }
    if elements.is_empty() {
        return Err(Problem::bad_request(
            "the array is empty: there is nothing to append",
        ));
    }
    let messages = elements.iter().enumerate().map(|(index, element)| {
        let read = body::object(element.get().as_bytes(), r#"{"content":"hello"}"#);
        let checked = read.and_then(|read: BatchElement<'_>| read.check(body));
        checked.map_err(|problem| {
            let place = format_args!("element [{index}] of the array");
            problem.at(place).with_field("index", index)
        })
    });
    let messages: Vec<NewMessage> = messages.collect::<Result<_, _>>()?;
    // What is wrong with `w` comes before what is too much.
    let w = terms.w.unwrap_or(WriteConcern::Majority);
    if let Some(Err(error)) = listed.map(|listed| w.among_listed(listed)) {
        return Err(refused(&AppendError::TooManyNodes(error)));
    }
    if messages.len() > MAX_MESSAGES {
        return Err(Problem::payload_too_large(format!(
            "the batch has {} messages, and {MAX_MESSAGES} is the most: send them as lines, with Content-Type: \
             application/x-ndjson",
            messages.len()
        )));
    }
    Ok(messages)
}

/// Appends the batch and waits until enough nodes hold all of it.
///
/// # Errors
/// What is answered instead.
pub(super) async fn append(
    master: &Master,
    messages: Vec<NewMessage>,
    terms: Terms,
    request_id: Option<RequestId>,
) -> Result<Response, Problem> {
    let requests = messages.into_iter().map(|message| master.request(message));
    let answer = (master.append(requests.collect(), terms, None, request_id)).await?;
    let (appended, acks) = replicated(answer, Sent::Batch)?;
    Ok(answer::json(&BatchReplicated {
        status: "replicated",
        first_seq: appended.first,
        last_seq: appended.last,
        count: appended.last.after(appended.first) + 1,
        w: appended.w,
        acks,
        log_id: appended.log_id,
        epoch: appended.epoch,
        duplicate: appended.duplicate,
    }))
}
