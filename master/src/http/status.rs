//! `GET /health`, `/livez`, `/readyz` and `POST /clear`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use replog_common::service::problem::Problem;
use replog_common::service::reading;
use serde_json::{Value, json};

use super::Master;
use super::append::read_only;
use crate::command::Query;
use crate::health::Health;

pub(super) async fn health(State(master): State<Master>) -> Result<Json<Health>, Problem> {
    master.ask(Query::Health).await.map(Json)
}

pub(super) async fn livez() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// Ready when it takes appends.
pub(super) async fn readyz(State(master): State<Master>) -> Result<Json<Value>, Problem> {
    let health = master.ask(Query::Health).await?;
    match health.status {
        "ok" => Ok(Json(json!({"status": "ok"}))),
        other => Err(Problem::unavailable(
            health.reason.unwrap_or(other),
            format!("the master takes no appends: {other}"),
        )),
    }
}

pub(super) async fn clear(State(mut master): State<Master>) -> Result<Json<Value>, Problem> {
    if !master.allow_clear {
        let detail = "clearing the log is not allowed here: start with REPLOG_ALLOW_CLEAR=true";
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    reading::ready(&mut master.views).await?;
    let (log_id, epoch) = master.ask(Query::Clear).await?.map_err(read_only)?;
    Ok(Json(
        json!({"status": "cleared", "log_id": log_id, "epoch": epoch}),
    ))
}
