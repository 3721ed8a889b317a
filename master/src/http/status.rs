//! `GET /health`, `/health/stream`, `/livez`, `/readyz` and `POST /clear`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use replog_protocol::ids::LogId;
use replog_protocol::leader::command::{Answer, AppendError, Command};
use replog_service::http::calls::Caller;
use replog_service::http::openapi::answers::HealthStream;
use replog_service::http::openapi::refusals::{
    BodyTimeout, EncodedBody, Forbidden, NotAcceptable, TooLarge, Unavailable,
};
use replog_service::http::problem::Problem;
use replog_service::http::query::Parameters;
use replog_service::http::readiness::{IsReady, NotReady, ReadinessParameters};
use replog_service::http::{answer, body, health_stream};
use replog_service::node_task::CommandError;
use serde::Serialize;
use utoipa::ToSchema;

use super::outcome::{refused, unavailable};
use super::{Master, NoQuery, Shared};
use crate::health::{Health, Surroundings};
use crate::journal::status_of;

/// The answer of `/livez`.
#[derive(Serialize, ToSchema)]
struct Fine {
    /// `ok`.
    #[schema(example = "ok")]
    status: &'static str,
}

/// The answer to a clearing.
#[derive(Serialize, ToSchema)]
struct Cleared {
    /// `cleared`.
    #[schema(example = "cleared")]
    status: &'static str,
    /// The new history.
    #[schema(value_type = uuid::Uuid)]
    log_id: LogId,
    /// The number of its first leadership.
    epoch: u64,
}

/// How the master and its secondaries are
#[utoipa::path(
    get, path = "/health", operation_id = "getHealth", tag = "cluster",
    responses(
        (status = 200, description = "All of it, at one moment; whatever `status` is.", body = Health),
        (status = 503, response = Unavailable)
    )
)]
pub(super) async fn health(State(master): Shared, _: NoQuery) -> Result<Response, Problem> {
    current(&master).await.map(|health| answer::json(&health))
}

/// How the master and its secondaries are, as it changes
///
/// All that `/health` says, as server-sent events: at once, then at each change, at least every two seconds.
#[utoipa::path(
    get, path = "/health/stream", operation_id = "streamHealth", tag = "cluster",
    responses(
        (status = 200, response = HealthStream),
        (status = 406, response = NotAcceptable),
        (status = 503, response = Unavailable)
    )
)]
pub(super) async fn health_stream(
    State(master): Shared,
    _: NoQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (access, feed) = (master.log.clone(), Arc::clone(&master.health_feed));
    let read = move || {
        let master = Arc::clone(&master);
        async move { current(&master).await }
    };
    health_stream::events(access, feed, &headers, read).await
}

/// Whether the program lives
#[utoipa::path(
    get, path = "/livez", operation_id = "getLive", tag = "cluster",
    responses((status = 200, description = "It does.", body = Fine))
)]
pub(super) async fn livez(_: NoQuery) -> Response {
    answer::json(&Fine { status: "ok" })
}

/// Whether the master is ready
///
/// It is when it takes appends, has room for them, and has a broker that grants what it needs.
#[utoipa::path(
    get, path = "/readyz", operation_id = "getReady", tag = "cluster",
    params(ReadinessParameters),
    responses((status = 200, response = IsReady), (status = 503, response = NotReady))
)]
pub(super) async fn readyz(
    State(master): Shared,
    Parameters(parameters): Parameters<ReadinessParameters>,
) -> Result<Response, Problem> {
    let health = current(&master).await?;
    let readiness = master.security.check(health.readiness());
    Ok(readiness.answer(parameters))
}

/// Begin a new, empty history on every node
///
/// Only with `--allow-clear`. The answer does not wait for the secondaries; appends that wait are answered 410.
#[utoipa::path(
    post, path = "/clear", operation_id = "clearLog", tag = "cluster",
    responses(
        (status = 200, description = "The new history.", body = Cleared),
        (status = 403, response = Forbidden),
        (status = 408, response = BodyTimeout),
        (status = 413, response = TooLarge),
        (status = 415, response = EncodedBody),
        (status = 503, response = Unavailable)
    )
)]
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

pub(super) async fn current(master: &Master) -> Result<Health, Problem> {
    master.log.store_committed();
    let view = master.log.now();
    let around = Surroundings {
        kind: view.reader.kind(),
        broker: master.node.broker(),
        denial: master.node.denial(),
        stream: status_of(master.stream.as_ref()),
    };
    let (running, default_w) = (master.running.clone(), master.default_w);
    let health =
        (master.node).inspect(move |node, now| Health::of(node, running, default_w, &around, now));
    health.await.ok_or_else(Problem::stopping)
}
