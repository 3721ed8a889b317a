//! `POST /messages`: one message. An array is a [`batch`], and newline-delimited JSON a [`bulk`] load.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use replog_protocol::entry::Content;
use replog_protocol::ids::{LogId, MessageId, Seq};
use replog_protocol::leader::command::{Answer, Append, AppendRequest, Appended, Command, Load};
use replog_protocol::request_id::RequestId;
use replog_service::http::problem::Problem;
use replog_service::http::{answer, body, query, request_id};
use serde::Serialize;
use serde_json::value::RawValue;

use super::outcome::{Sent, replicated};
use super::parse::{AppendParameters, IdempotencyKey, MessageBody, NewMessage, Terms};
use super::{Master, Shared, batch, bulk};

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

/// What a body has.
enum Read {
    Message(NewMessage, Terms),
    Batch(Vec<NewMessage>, Terms),
}

pub(super) async fn post_message(
    State(master): Shared,
    request: Request,
) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    // Boxed, so that a request with one message has a small future.
    if bulk::is_load(&head) {
        return Box::pin(bulk::load(&master, &head, body)).await;
    }
    let request_id = request_id::of_client(&head.headers);
    match read(head, body, master.listed).await? {
        Read::Message(message, terms) => {
            let content = message.content.clone();
            let (appended, acks) = append(&master, message, terms, request_id).await?;
            shown(&content, &appended, acks)
        }
        Read::Batch(messages, terms) => {
            Box::pin(batch::append(&master, messages, terms, request_id)).await
        }
    }
}

/// The messages of a request. What the connection has read of the request is given back with it, before the wait.
async fn read(head: Parts, body: Body, listed: Option<usize>) -> Result<Read, Problem> {
    let bytes = body::read(&head.headers, body).await?;
    let parameters = query::read::<AppendParameters>(&head.uri)?.check(listed)?;
    let key = IdempotencyKey::of(&head.headers)?;
    if let Some(elements) = body::array(&bytes)? {
        let messages = batch::check(&bytes, &elements, key.as_ref(), parameters, listed)?;
        return Ok(Read::Batch(messages, parameters));
    }
    let example =
        r#"{"content":"hello","w":2}, or an array of objects such as {"content":"hello"}"#;
    let message: MessageBody<'_> = body::object(&bytes, example)?;
    let (message, terms) = message.check(key.as_ref(), parameters, listed)?;
    Ok(Read::Message(message, terms))
}

fn shown(content: &Content, appended: &Appended, acks: u32) -> Result<Response, Problem> {
    let content = serde_json::from_str(content.json());
    let mut response = answer::json(&Replicated {
        status: "replicated",
        seq: appended.last,
        message_id: appended.message_id,
        content: content.map_err(|error| Problem::internal(error.to_string()))?,
        w: appended.w,
        acks,
        log_id: appended.log_id,
        epoch: appended.epoch,
        duplicate: appended.duplicate,
    });
    let location = HeaderValue::try_from(format!("/messages/{}", appended.last));
    let location = location.map_err(|error| Problem::internal(error.to_string()))?;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

/// Appends one message and waits; hands out where it is and how many nodes hold it.
///
/// # Errors
/// What is answered instead.
pub(super) async fn append(
    master: &Master,
    message: NewMessage,
    terms: Terms,
    request_id: Option<RequestId>,
) -> Result<(Appended, u32), Problem> {
    let request = master.request(message);
    let message_id = request.message_id;
    let answer = (master.append(vec![request], terms, None, request_id)).await?;
    replicated(answer, Sent::Message(message_id))
}

impl Master {
    /// The same message, with an id of its own if its client has given none.
    pub(super) fn request(&self, message: NewMessage) -> AppendRequest {
        AppendRequest {
            content: message.content,
            is_new_id: message.message_id.is_none(),
            message_id: message.message_id.unwrap_or_else(|| self.ids.next()),
        }
    }

    /// Asks the leader to append, for the request to which its client gave that id; `None` where the master has ended without an
    /// answer.
    ///
    /// # Errors
    /// 503: nothing was appended.
    pub(super) async fn append(
        &self,
        requests: Vec<AppendRequest>,
        terms: Terms,
        load: Option<Load>,
        request_id: Option<RequestId>,
    ) -> Result<Option<Answer>, Problem> {
        let answer = self.node.ask(|waiter| {
            Command::Append(Append {
                requests,
                w: terms.w.unwrap_or(self.default_w),
                timeout: terms.timeout,
                expected_seq: terms.expected_seq,
                load,
                request_id,
                waiter,
            })
        });
        Ok(answer.await?)
    }
}
