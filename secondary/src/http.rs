//! The secondary's HTTP: it lists, it never appends.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use replog_common::service::body::{parse_json, read_body};
use replog_common::service::fallbacks::with_problem_fallbacks;
use replog_common::service::path::SeqPath;
use replog_common::service::problem::Problem;
use replog_common::service::query::Query as Parameters;
use replog_common::service::view::Views;
use replog_common::service::{reading, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot, watch};

use crate::faults::{Faults, FaultsJson};
use crate::follow::{NoRoom, Query};
use crate::health::Health;

/// What a handler needs.
#[derive(Clone, Debug)]
pub struct Secondary {
    /// To the owner of the log.
    pub queries: mpsc::Sender<Query>,
    /// The log as it is shown.
    pub views: Views,
    /// The faults on purpose.
    pub faults: watch::Sender<Faults>,
    /// Whether `POST /clear` is open.
    pub allow_clear: bool,
    /// Whether `/faults` is open.
    pub allow_faults: bool,
}

/// The paths of a secondary.
pub fn router(secondary: Secondary) -> Router {
    let router = Router::new()
        .route("/messages", get(messages).fallback(not_here))
        .route("/messages/stream", get(stream))
        .route("/messages/{seq}", get(message))
        .route("/append", any(not_here))
        .route("/list", get(list))
        .route("/clear", post(clear))
        .route("/diverged", get(diverged))
        .route("/rejoin", post(rejoin))
        .route("/faults", get(faults).put(set_faults))
        .route("/health", get(health))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz));
    with_problem_fallbacks(router.with_state(secondary))
}

async fn messages(
    State(secondary): State<Secondary>,
    parameters: Parameters,
) -> Result<Response, Problem> {
    reading::messages(secondary.views, &parameters).await
}

async fn stream(
    State(secondary): State<Secondary>,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    stream::events(secondary.views, &parameters, &headers).await
}

async fn list(State(secondary): State<Secondary>) -> Result<Response, Problem> {
    reading::list(secondary.views).await
}

async fn message(
    State(secondary): State<Secondary>,
    SeqPath(seq): SeqPath,
) -> Result<Response, Problem> {
    let view = secondary.views.borrow().clone();
    let entry = reading::entry(&view, seq).await?;
    let body = Body::from(entry.json().clone());
    let response = ([(CONTENT_TYPE, "application/json")], body).into_response();
    Ok(reading::marked(response, &view))
}

/// Whoever wants to append is told where; axum adds the `Allow` header.
async fn not_here() -> Problem {
    let detail = "this is a secondary: the master takes appends";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}

async fn health(State(secondary): State<Secondary>) -> Result<Json<Health>, Problem> {
    secondary.ask(Query::Health).await.map(Json)
}

async fn livez() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// Ready when it has everything that the master has.
async fn readyz(State(secondary): State<Secondary>) -> Result<Json<Value>, Problem> {
    let health = secondary.ask(Query::Health).await?;
    match health.status {
        "ok" => Ok(Json(json!({"status": "ok"}))),
        other => Err(Problem::unavailable(
            other,
            format!("not caught up: {other}, {} entries behind", health.lag),
        )),
    }
}

async fn clear(State(secondary): State<Secondary>) -> Result<Json<Value>, Problem> {
    allowed(
        secondary.allow_clear,
        "clearing the log",
        "REPLOG_ALLOW_CLEAR",
    )?;
    secondary.ask(Query::Clear).await?.map_err(no_room)?;
    Ok(Json(json!({"status": "cleared"})))
}

fn no_room(_: NoRoom) -> Problem {
    Problem::unavailable("disk_full", "nothing was changed: the disk is full")
}

/// What was put aside because the master has other entries there.
async fn diverged(State(secondary): State<Secondary>) -> Result<Response, Problem> {
    let aside = secondary.ask(Query::Aside).await?;
    let body = aside.to_json().map_err(|error| {
        let detail = format!("what was put aside cannot be shown: {error}");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    })?;
    Ok(([(CONTENT_TYPE, "application/json")], body).into_response())
}

async fn rejoin(State(secondary): State<Secondary>) -> Result<Json<Value>, Problem> {
    match secondary.ask(Query::Rejoin).await? {
        Some(Err(full)) => Err(no_room(full)),
        Some(Ok(count)) => Ok(Json(json!({"status": "rejoining", "put_aside": count}))),
        None => Err(Problem::new(
            StatusCode::CONFLICT,
            "this secondary is not diverged: there is nothing to rejoin",
        )),
    }
}

async fn faults(State(secondary): State<Secondary>) -> Result<Json<FaultsJson>, Problem> {
    allowed(
        secondary.allow_faults,
        "faults on purpose",
        "REPLOG_ALLOW_FAULTS",
    )?;
    Ok(Json((*secondary.faults.borrow()).into()))
}

/// The fields of `PUT /faults`; one that is missing stays as it is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultsBody {
    delay_ms: Option<u64>,
    error_rate: Option<f64>,
    drop_rate: Option<f64>,
}

async fn set_faults(
    State(secondary): State<Secondary>,
    body: Body,
) -> Result<Json<FaultsJson>, Problem> {
    allowed(
        secondary.allow_faults,
        "faults on purpose",
        "REPLOG_ALLOW_FAULTS",
    )?;
    let body: FaultsBody = parse_json(&read_body(body).await?)?;
    let rate = |name: &str, rate: Option<f64>, old: f64| match rate {
        Some(rate) if !(0.0..=1.0).contains(&rate) => Err(Problem::bad_request(format!(
            "{name} is {rate}, but must be from 0 to 1"
        ))),
        rate => Ok(rate.unwrap_or(old)),
    };
    let old = *secondary.faults.borrow();
    let new = Faults {
        delay: body.delay_ms.map_or(old.delay, Duration::from_millis),
        error_rate: rate("error_rate", body.error_rate, old.error_rate)?,
        drop_rate: rate("drop_rate", body.drop_rate, old.drop_rate)?,
    };
    secondary.faults.send_replace(new);
    tracing::info!(?new, "faults were set");
    Ok(Json(new.into()))
}

fn allowed(is_open: bool, what: &str, variable: &str) -> Result<(), Problem> {
    let detail = || format!("{what} is not allowed here: start with {variable}=true");
    if is_open {
        Ok(())
    } else {
        Err(Problem::new(StatusCode::FORBIDDEN, detail()))
    }
}

impl Secondary {
    /// Asks the owner of the log.
    async fn ask<T>(&self, query: impl FnOnce(oneshot::Sender<T>) -> Query) -> Result<T, Problem> {
        let (reply, answer) = oneshot::channel();
        let gone = || Problem::unavailable("stopping", "the secondary is stopping");
        self.queries.send(query(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())
    }
}
