//! `POST /append`: the course task's own way to say it.

use axum::extract::{Request, State};
use axum::response::Response;
use replog_service::http::openapi::headers;
use replog_service::http::openapi::refusals::{
    BodyTimeout, Cleared, EncodedBody, NotReplicated, OtherContent, OtherPosition, TooLarge,
    Unavailable,
};
use replog_service::http::problem::Problem;
use replog_service::http::{answer, body, query, request_id};
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::described::nodes;
use super::idempotency_key::IdempotencyKey;
use super::parse::{NewMessage, content, message_id, one_id};
use super::terms::{AppendParameters, Terms, terms};
use super::{Shared, append};

/// One message of the course task; a field that is null is absent. All but `msg` is as in `POST /messages`.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = CourseMessage)]
#[serde(deny_unknown_fields)]
struct CourseBody<'a> {
    /// Any string, also the empty one.
    #[serde(borrow)]
    #[schema(value_type = String, required = true, example = "hello")]
    msg: Option<&'a RawValue>,
    /// How many nodes, the master included, are to hold the message before it is answered.
    #[serde(borrow)]
    #[schema(schema_with = nodes, required = false)]
    w: Option<&'a RawValue>,
    /// A UUID of the client's own: a retry with it is the same message.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, pattern = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$", required = false)]
    message_id: Option<&'a RawValue>,
    /// How long to wait for the nodes, in milliseconds: then 504, and the entry stays.
    #[serde(borrow)]
    #[schema(value_type = Option<u64>, maximum = 18446744073709551615u64, required = false, example = 500)]
    timeout_ms: Option<&'a RawValue>,
    /// Append only at this position, else 412.
    #[serde(borrow)]
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 18446744073709551615u64, required = false)]
    expected_seq: Option<&'a RawValue>,
}

/// Append a message, the course task's way
///
/// As `POST /messages` with one message; answered with a line of text that counts from 0, two digits at least.
#[utoipa::path(
    post, path = "/append", operation_id = "appendAsText", tag = "course",
    params(AppendParameters, headers::IdempotencyKey),
    request_body(content = CourseBody<'_>, content_type = "application/json", example = json!({"msg": "hello", "w": 1})),
    responses(
        (status = 200, description = "As many nodes hold it as were asked for.", body = String,
            content_type = "text/plain; charset=utf-8", example = json!("Appended 00 \"hello\" to the log list\n")),
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
pub(super) async fn post_append(
    State(master): Shared,
    request: Request,
) -> Result<Response, Problem> {
    let request_id = request_id::of_client(request.headers());
    let (message, terms) = read(request, master.listed).await?;
    let content = message.content.clone();
    let (appended, _) = append::append(&master, message, terms, request_id).await?;
    let (number, text) = (appended.last.prev().0, content.text());
    Ok(answer::text(format!(
        "Appended {number:02} \"{text}\" to the log list\n"
    )))
}

async fn read(request: Request, listed: Option<usize>) -> Result<(NewMessage, Terms), Problem> {
    let (head, body) = request.into_parts();
    let bytes = body::read(&head.headers, body).await?;
    let parameters = query::read::<AppendParameters>(&head.uri)?.check(listed)?;
    let key = IdempotencyKey::of(&head.headers)?;
    let fields: CourseBody<'_> = body::object(&bytes, r#"{"msg":"hello","w":2}"#)?;
    let message = NewMessage {
        content: content("msg", fields.msg, None)?,
        message_id: one_id(message_id(fields.message_id)?, key.as_ref())?,
    };
    let terms = terms(fields.w, fields.timeout_ms, fields.expected_seq, listed)?;
    Ok((message, terms.or(parameters)?))
}
