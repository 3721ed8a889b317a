//! `POST /messages`: one message. An array is a [`batch`], and newline-delimited JSON a [`bulk`] load.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use replog_protocol::entry::Content;
use replog_protocol::ids::{LogId, MessageId, Seq};
use replog_protocol::leader::command::{
    Answer, Append, AppendError, AppendRequest, Appended, Command, Load,
    Unavailable as UnavailableBecause,
};
use replog_protocol::request_id::RequestId;
use replog_protocol::write_concern::WriteConcern;
use replog_service::http::openapi::headers;
use replog_service::http::openapi::refusals::{
    BodyTimeout, Cleared, EncodedBody, NotReplicated, OtherContent, OtherPosition, TooLarge,
    Unavailable,
};
use replog_service::http::problem::Problem;
use replog_service::http::{answer, body, query, request_id};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::described::{Appending, LoadLines, MessageOrBatch};
use super::idempotency_key::IdempotencyKey;
use super::outcome::{Sent, replicated};
use super::parse::{MessageBody, NewMessage};
use super::terms::{AppendParameters, Terms};
use super::{Master, Shared, batch, bulk};

/// What becomes of an append that has no place to wait in.
const NO_PLACE: AppendError = AppendError::Unavailable(UnavailableBecause::TooManyWaiting);

/// The answer when enough nodes hold the message.
#[derive(Serialize, ToSchema)]
pub(super) struct Replicated<'a> {
    /// `replicated`.
    status: &'static str,
    /// Its position.
    #[schema(value_type = u64, minimum = 1)]
    seq: Seq,
    /// Its id: the client's, or one that the master made.
    #[schema(value_type = uuid::Uuid)]
    message_id: MessageId,
    /// As it was sent.
    #[schema(value_type = String)]
    content: &'a RawValue,
    /// How many nodes were to hold it.
    w: u32,
    /// How many do.
    acks: u32,
    /// The history that it is in.
    #[schema(value_type = uuid::Uuid)]
    log_id: LogId,
    /// The number of the leadership that placed it.
    epoch: u64,
    /// Whether it was in the log already.
    duplicate: bool,
}

/// What a body has.
enum Read {
    Message(NewMessage, Terms),
    Batch(Vec<NewMessage>, Terms),
}

/// Append a message, a batch, or a bulk load
///
/// Answered when `w` nodes hold it, the master among them. A message with an id that is in the log already is not appended again: it
/// joins the wait for the one that is there. Lines are appended as they come, in any number.
#[utoipa::path(
    post, path = "/messages", operation_id = "appendMessages", tag = "messages",
    params(AppendParameters, headers::IdempotencyKey),
    request_body(content(
        (MessageOrBatch = "application/json", examples(
            ("message" = (summary = "One message", value = json!({"content": "hello", "w": 1}))),
            ("batch" = (summary = "A batch", value = json!([{"content": "a"}, {"content": "b"}])))
        )),
        (LoadLines = "application/x-ndjson")
    )),
    responses(
        (status = 200, description = "As many nodes hold it as were asked for.", body = Appending<'_>, headers(
            ("Location" = String, description = "Of one message: where it is.")
        )),
        (status = 408, response = BodyTimeout),
        (status = 410, response = Cleared),
        (status = 412, response = OtherPosition),
        (status = 413, response = TooLarge),
        (status = 415, response = EncodedBody),
        (status = 422, response = OtherContent),
        (status = 503, response = Unavailable),
        (status = 504, response = NotReplicated)
    )
)]
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
        let w = terms.w.unwrap_or(self.default_w);
        let measured = self.appends.begin(w);
        // Who waits for other nodes holds a connection meanwhile; a load has its place already.
        let _place = match w {
            WriteConcern::Count(1) => None,
            _ if load.is_some() => None,
            _ => match self.log.waiting_place() {
                Ok(place) => Some(place),
                Err(full) => {
                    measured.ended(&Ok(Some(Answer::Refused(NO_PLACE))));
                    return Err(full);
                }
            },
        };
        let answer = self.node.ask(|waiter| {
            Command::Append(Append {
                requests,
                w,
                timeout: terms.timeout,
                expected_seq: terms.expected_seq,
                load,
                request_id,
                waiter,
            })
        });
        let answer = answer.await;
        measured.ended(&answer);
        Ok(answer?)
    }
}
