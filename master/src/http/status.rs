//! `GET /health`, `/livez`, `/readyz` and `POST /clear`.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use replog_protocol::ids::LogId;
use replog_protocol::leader::command::{Answer, AppendError, Command};
use replog_service::http::calls::Caller;
use replog_service::http::health::granted;
use replog_service::http::problem::Problem;
use replog_service::http::{answer, body};
use replog_service::node_task::CommandError;
use serde::Serialize;

use super::outcome::{refused, unavailable};
use super::{Master, NoQuery, Shared};
use crate::health::Health;

/// The answer of `/livez` and `/readyz`.
#[derive(Serialize)]
struct Fine {
    status: &'static str,
}

/// The answer to a clearing.
#[derive(Serialize)]
struct Cleared {
    status: &'static str,
    log_id: LogId,
    epoch: u64,
}

pub(super) async fn health(State(master): Shared, _: NoQuery) -> Result<Response, Problem> {
    current(&master).await.map(|health| answer::json(&health))
}

pub(super) async fn livez(_: NoQuery) -> Response {
    answer::json(&Fine { status: "ok" })
}

/// Ready when it takes appends, and the broker grants what it needs.
pub(super) async fn readyz(State(master): Shared, _: NoQuery) -> Result<Response, Problem> {
    let health = current(&master).await?;
    match health.status {
        "ok" => granted(health.broker).map(|()| answer::json(&Fine { status: "ok" })),
        other => Err(Problem::unavailable(
            health.reason.unwrap_or(other),
            format!("the master takes no appends: {other}"),
        )),
    }
}

pub(super) async fn clear(
    State(master): Shared,
    caller: Caller,
    _: NoQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    if !master.allow_clear {
        let detail = "clearing the log is not allowed here: start with REPLOG_ALLOW_CLEAR=true";
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    body::read_none(&headers, body).await?;
    let before = master.log.readable().await?.snapshot;
    let log_id = LogId(uuid::Uuid::new_v4());
    // It is cleared whether or not the client waits for that, so it is said in any case.
    let cleared = tokio::spawn(async move {
        let answer = master.node.ask(|waiter| Command::Clear { log_id, waiter });
        let answer = answer.await?;
        if let Some(Answer::Cleared(new)) = &answer {
            let old_log_id = before
                .leadership
                .map(|old| tracing::field::display(old.log_id));
            tracing::info!(
                client = %caller, entries = %before.last, old_log_id, new_log_id = %new.log_id,
                "the log was cleared (POST /clear)"
            );
        }
        Ok::<_, CommandError>(answer)
    });
    let answer = cleared.await.map_err(|_| Problem::stopping())?;
    match answer? {
        Some(Answer::Cleared(new)) => Ok(answer::json(&Cleared {
            status: "cleared",
            log_id: new.log_id,
            epoch: new.epoch.n,
        })),
        Some(Answer::Refused(AppendError::Unavailable(reason))) => Err(unavailable(reason)),
        Some(Answer::Refused(error)) => Err(refused(&error)),
        Some(_) => Err(Problem::internal("a clearing was taken for an append")),
        None => Err(Problem::stopping()),
    }
}

async fn current(master: &Master) -> Result<Health, Problem> {
    master.log.store_committed();
    let view = master.log.now();
    let (kind, default_w) = (view.reader.kind(), master.default_w);
    let broker = master.node.broker();
    let health =
        (master.node).inspect(move |node, now| Health::of(node, default_w, kind, broker, now));
    health.await.ok_or_else(Problem::stopping)
}
