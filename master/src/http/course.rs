//! `POST /append`: the course task's own way to say it.

use axum::extract::{Request, State};
use axum::response::Response;
use replog_service::http::problem::Problem;
use replog_service::http::{answer, body, query, request_id};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::parse::{
    AppendParameters, IdempotencyKey, NewMessage, Terms, content, message_id, one_id, terms,
};
use super::{Shared, append};

/// `POST /append` as it comes; a field that is null is absent. All but `msg` is as in `POST /messages`, and so are the
/// parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CourseBody<'a> {
    /// A string.
    #[serde(borrow)]
    msg: Option<&'a RawValue>,
    #[serde(borrow)]
    w: Option<&'a RawValue>,
    #[serde(borrow)]
    message_id: Option<&'a RawValue>,
    #[serde(borrow)]
    timeout_ms: Option<&'a RawValue>,
    #[serde(borrow)]
    expected_seq: Option<&'a RawValue>,
}

/// Answers with a line of text that counts from 0, two digits at least.
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
