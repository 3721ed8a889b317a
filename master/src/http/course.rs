//! `POST /append`: the course task's own way to say it.

use axum::extract::{Request, State};
use axum::response::Response;
use replog_service::http::problem::Problem;
use replog_service::http::{answer, body, query};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::parse::{NewMessage, content, write_concern};
use super::{Shared, append};

/// `POST /append` as it comes; a field that is null is absent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CourseBody<'a> {
    /// A string.
    #[serde(borrow)]
    msg: Option<&'a RawValue>,
    /// As in `POST /messages`.
    #[serde(borrow)]
    w: Option<&'a RawValue>,
}

/// Answers with a line of text that counts from 0, two digits at least.
pub(super) async fn post_append(
    State(master): Shared,
    request: Request,
) -> Result<Response, Problem> {
    let message = read(request, master.listed).await?;
    let content = message.content.clone();
    let (appended, _) = append::append(&master, message).await?;
    let (number, text) = (appended.last.prev().0, content.text());
    Ok(answer::text(format!(
        "Appended {number:02} \"{text}\" to the log list\n"
    )))
}

async fn read(request: Request, listed: Option<usize>) -> Result<NewMessage, Problem> {
    let (head, body) = request.into_parts();
    let bytes = body::read(&head.headers, body).await?;
    let query::NoParameters {} = query::read(&head.uri)?;
    let fields: CourseBody<'_> = body::object(&bytes, r#"{"msg":"hello","w":2}"#)?;
    Ok(NewMessage {
        content: content("msg", fields.msg)?,
        w: write_concern(fields.w, listed)?,
        message_id: None,
        timeout: None,
        expected_seq: None,
    })
}
