//! `POST /messages`.

use axum::extract::{Request, State};
use axum::response::Response;
use replog_protocol::entry::Content;
use replog_protocol::ids::{LogId, MessageId, Seq};
use replog_protocol::leader::command::{Answer, Append, AppendRequest, Appended, Command};
use replog_service::http::problem::Problem;
use replog_service::http::{answer, body, query};
use serde::Serialize;
use serde_json::value::RawValue;

use super::outcome::{not_known, not_replicated, refused};
use super::parse::{MessageBody, NewMessage, idempotency_key};
use super::{Master, Shared};

/// The answer when enough nodes hold the message.
#[derive(Serialize)]
struct Replicated<'a> {
    status: &'static str,
    seq: Seq,
    message_id: MessageId,
    content: &'a RawValue,
    w: u32,
    acks: u32,
    log_id: LogId,
    epoch: u64,
    duplicate: bool,
}

pub(super) async fn post_message(
    State(master): Shared,
    request: Request,
) -> Result<Response, Problem> {
    let message = read(request, master.listed).await?;
    let content = message.content.clone();
    let (appended, acks) = append(&master, message).await?;
    replicated(&content, &appended, acks)
}

/// The message of a request. What the connection has read of the request is given back with it, before the wait.
async fn read(request: Request, listed: Option<usize>) -> Result<NewMessage, Problem> {
    let (head, body) = request.into_parts();
    let bytes = body::read(&head.headers, body).await?;
    let query::NoParameters {} = query::read(&head.uri)?;
    let key = idempotency_key(&head.headers)?;
    let message: MessageBody<'_> = body::object(&bytes, r#"{"content":"hello","w":2}"#)?;
    message.check(key, listed)
}

fn replicated(content: &Content, appended: &Appended, acks: u32) -> Result<Response, Problem> {
    let content = serde_json::from_str(content.json());
    Ok(answer::json(&Replicated {
        status: "replicated",
        seq: appended.last,
        message_id: appended.message_id,
        content: content.map_err(|error| Problem::internal(error.to_string()))?,
        w: appended.w,
        acks,
        log_id: appended.log_id,
        epoch: appended.epoch,
        duplicate: appended.duplicate,
    }))
}

/// Appends and waits; hands out where the message is and how many nodes hold it.
///
/// # Errors
/// What is answered instead.
pub(super) async fn append(
    master: &Master,
    message: NewMessage,
) -> Result<(Appended, u32), Problem> {
    let is_new_id = message.message_id.is_none();
    let message_id = message.message_id.unwrap_or_else(|| master.ids.next());
    let request = AppendRequest {
        content: message.content,
        message_id,
        is_new_id,
    };
    let (w, timeout) = (message.w.unwrap_or(master.default_w), message.timeout);
    let expected_seq = message.expected_seq;
    let answer = master.node.ask(|waiter| {
        Command::Append(Append {
            requests: vec![request],
            w,
            timeout,
            expected_seq,
            waiter,
        })
    });
    match answer.await? {
        Some(Answer::Replicated { appended, acks }) => Ok((appended, acks)),
        Some(Answer::NotReplicated {
            appended,
            acks,
            because,
        }) => Err(not_replicated(&appended, acks, because)),
        Some(Answer::ClearedMeanwhile(appended)) => {
            let detail = "the log was cleared while this message waited";
            Err(Problem::new(axum::http::StatusCode::GONE, detail)
                .with_field("message_id", appended.message_id))
        }
        Some(Answer::NotKnown { appended, because }) => {
            Err(not_known(appended.message_id, because.as_str())
                .with_field("seq", appended.last)
                .with_field("w", appended.w))
        }
        Some(Answer::Refused(error)) => Err(refused(&error)),
        Some(Answer::Cleared(_)) => Err(Problem::internal("an append was taken for a clearing")),
        None => Err(not_known(message_id, "stopping")),
    }
}
