//! `POST /append`: the course task's own way to say it.

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use replog_common::service::body::{parse_json, read_body};
use replog_common::service::problem::Problem;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::Master;
use super::parse::{Checked, text, write_concern};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LabBody {
    msg: Option<Box<RawValue>>,
    w: Value,
}

/// Answers with a line of text that counts from 0, two digits at least.
pub(super) async fn append(State(master): State<Master>, body: Body) -> Result<Response, Problem> {
    let body = read_body(body).await?;
    if body.iter().find(|b| !b.is_ascii_whitespace()) != Some(&b'{') {
        return Err(Problem::bad_request(
            r#"the body must be a JSON object such as {"msg":"hello","w":2}"#,
        ));
    }
    let LabBody { msg, w } = parse_json(&body)?;
    let msg = msg.filter(|raw| raw.get() != "null");
    let msg = msg.ok_or_else(|| Problem::bad_request("msg is missing: it must be a string"))?;
    let message = Checked {
        content: text("msg", &msg)?,
        w: write_concern(&w, master.listed)?,
        message_id: None,
        timeout: None,
        expected_seq: None,
    };
    let content = message.content.clone();
    let (at, _) = master.append(message).await?;
    let line = format!(
        "Appended {:02} \"{}\" to the log list\n",
        at.seq.prev().0,
        content.text()
    );
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], line).into_response())
}
