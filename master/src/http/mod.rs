//! The master's HTTP: the paths, and what they share.

mod append;
mod lab;
mod parse;
mod status;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use replog_common::message::ENVELOPE_BYTES;
use replog_common::protocol::dedup::DeduplicateBy;
use replog_common::service::fallbacks::with_problem_fallbacks;
use replog_common::service::path::SeqPath;
use replog_common::service::problem::Problem;
use replog_common::service::query::Query as Parameters;
use replog_common::service::view::Views;
use replog_common::service::{reading, stream};
use replog_common::types::WriteConcern;
use tokio::sync::{mpsc, oneshot};

use crate::command::{AppendCommand, Query};

/// What a handler needs. Cheap to clone; a handler owns nothing that its client's hanging up could lose.
#[derive(Clone, Debug)]
pub struct Master {
    /// Where appends go; bounded.
    pub commands: mpsc::Sender<AppendCommand>,
    /// Where everything else goes.
    pub queries: mpsc::Sender<Query>,
    /// The log as it is shown.
    pub views: Views,
    /// The largest message that the broker takes.
    pub max_payload: Arc<AtomicUsize>,
    /// What makes two POSTs the same message.
    pub deduplicate_by: DeduplicateBy,
    /// How many members are listed, if they are.
    pub listed: Option<usize>,
    /// For a POST that names no write concern.
    pub default_w: WriteConcern,
    /// Whether `POST /clear` is open.
    pub allow_clear: bool,
}

/// The paths of a master.
pub fn router(master: Master) -> Router {
    let router = Router::new()
        .route("/", get(page))
        .route("/messages", get(messages).post(append::post_message))
        .route("/messages/stream", get(stream))
        .route("/messages/{seq}", get(message))
        .route("/append", post(lab::append))
        .route("/list", get(list))
        .route("/clear", post(status::clear))
        .route("/health", get(status::health))
        .route("/livez", get(status::livez))
        .route("/readyz", get(status::readyz));
    with_problem_fallbacks(router.with_state(master))
}

/// The cluster's page in a browser: one file that reads `/health` and `/messages`.
async fn page() -> axum::response::Html<&'static str> {
    axum::response::Html(include_str!("page.html"))
}

async fn messages(
    State(master): State<Master>,
    parameters: Parameters,
) -> Result<Response, Problem> {
    reading::messages(master.views, &parameters).await
}

async fn stream(
    State(master): State<Master>,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    stream::events(master.views, &parameters, &headers).await
}

async fn list(State(master): State<Master>) -> Result<Response, Problem> {
    reading::list(master.views).await
}

/// One entry, with who holds it.
async fn message(
    State(mut master): State<Master>,
    SeqPath(seq): SeqPath,
) -> Result<Response, Problem> {
    let view = reading::ready(&mut master.views).await?;
    let entry = reading::entry(&view, seq).await?;
    let acked_by = master.ask(|reply| Query::Holders(entry.seq, reply)).await?;
    let json = String::from_utf8_lossy(entry.json());
    let fields = json.strip_suffix('}').unwrap_or(&json);
    let names = serde_json::json!(acked_by);
    let body = format!(r#"{fields},"acks":{},"acked_by":{names}}}"#, acked_by.len());
    Ok(json_text(StatusCode::OK, body))
}

/// An answer that is JSON already.
fn json_text(status: StatusCode, body: String) -> Response {
    (
        status,
        [(axum::http::header::CONTENT_TYPE, "application/json")],
        body,
    )
        .into_response()
}

impl Master {
    /// Asks the owner of the log.
    async fn ask<T>(&self, query: impl FnOnce(oneshot::Sender<T>) -> Query) -> Result<T, Problem> {
        let (reply, answer) = oneshot::channel();
        let gone = |()| Problem::unavailable("stopping", "the master is stopping");
        self.queries
            .send(query(reply))
            .await
            .map_err(|_| gone(()))?;
        answer.await.map_err(|_| gone(()))
    }

    /// The most bytes that the JSON text of a content may have.
    fn max_content_bytes(&self) -> usize {
        // An entry's own fields, with the longest numbers.
        const ENTRY_FIELDS: usize = 128;
        self.max_payload
            .load(Ordering::Relaxed)
            .saturating_sub(ENVELOPE_BYTES + ENTRY_FIELDS)
    }
}
