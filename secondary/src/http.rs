//! The secondary's HTTP: it lists, it never appends.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{any, get, post};
use replog_protocol::follower;
use replog_protocol::ids::StorageId;
use replog_service::client::Client;
use replog_service::http::access::LogAccess;
use replog_service::http::calls::Caller;
use replog_service::http::compression::gzip;
use replog_service::http::fallbacks::with_problem_fallbacks;
use replog_service::http::health::granted;
use replog_service::http::path::SeqPath;
use replog_service::http::problem::Problem;
use replog_service::http::query::{NoParameters, Parameters};
use replog_service::http::reading::ListParameters;
use replog_service::http::stream::StreamParameters;
use replog_service::http::{answer, body, reading, rollbacks, stream};
use replog_service::node_task::NodeHandle;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::faults::{Faults, FaultsAnswer, FaultsChange};
use crate::faulty::{Answer, Command, FaultyFollower};
use crate::health::Health;
use crate::new_storage;

/// What a handler needs. A handler owns nothing that could be lost when its client hangs up.
#[derive(Debug)]
pub struct Secondary {
    node: NodeHandle<FaultyFollower<Client<Answer>>>,
    log: LogAccess,
    /// Whether `POST /clear` is open.
    allow_clear: bool,
    /// Whether `/faults` is open.
    allow_faults: bool,
}

/// The paths of a secondary.
pub fn router(secondary: Secondary) -> Router {
    let router = Router::new()
        .route("/messages", get(messages).layer(gzip()).fallback(not_here))
        .route("/messages/stream", get(stream).layer(gzip()))
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
    with_problem_fallbacks(router.with_state(Arc::new(secondary)))
}

type Shared = State<Arc<Secondary>>;
type NoQuery = Parameters<NoParameters>;

/// An answer that says no more than that it is so.
#[derive(Serialize)]
struct Done {
    status: &'static str,
}

/// The answer of `POST /rejoin`.
#[derive(Serialize)]
struct Rejoining {
    status: &'static str,
    /// How many entries were rolled back, and are kept.
    put_aside: u64,
}

/// The fields of `PUT /faults`; one that is missing stays as it is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultsBody {
    delay_ms: Option<u64>,
    error_rate: Option<f64>,
    drop_rate: Option<f64>,
}

async fn messages(
    State(secondary): Shared,
    Parameters(parameters): Parameters<ListParameters>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    reading::messages(secondary.log.clone(), parameters, &headers).await
}

async fn stream(
    State(secondary): Shared,
    Parameters(parameters): Parameters<StreamParameters>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    stream::events(secondary.log.clone(), parameters, &headers).await
}

async fn list(State(secondary): Shared, _: NoQuery) -> Result<Response, Problem> {
    reading::list(secondary.log.clone()).await
}

async fn message(
    State(secondary): Shared,
    SeqPath(seq): SeqPath,
    _: NoQuery,
) -> Result<Response, Problem> {
    reading::message(&secondary.log, seq).await
}

/// Whoever wants to append is sent to the master; axum adds the `Allow` header.
async fn not_here() -> Problem {
    let detail = "this is a secondary: the master takes appends";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}

async fn health(State(secondary): Shared, _: NoQuery) -> Result<Response, Problem> {
    secondary.health().await.map(|health| answer::json(&health))
}

async fn livez(_: NoQuery) -> Response {
    answer::json(&Done { status: "ok" })
}

/// Ready when it has everything that the master has, and the broker grants what it needs.
async fn readyz(State(secondary): Shared, _: NoQuery) -> Result<Response, Problem> {
    let health = secondary.health().await?;
    match health.status {
        "ok" => granted(health.broker).map(|()| answer::json(&Done { status: "ok" })),
        other => Err(Problem::unavailable(
            other,
            format!("not caught up: {other}, {} entries behind", health.lag),
        )),
    }
}

async fn clear(
    State(secondary): Shared,
    caller: Caller,
    _: NoQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    allowed(
        secondary.allow_clear,
        "clearing the log",
        "REPLOG_ALLOW_CLEAR",
    )?;
    body::read_none(&headers, body).await?;
    let storage = new_storage();
    let before = secondary.log.now().snapshot;
    // It is done whether or not the client waits for that, so it is said in any case.
    let emptied = tokio::spawn(async move {
        let emptied = secondary.empty(|waiter| follower::Command::Clear { storage, waiter });
        emptied.await?;
        let log_id = before.leadership.map(|l| tracing::field::display(l.log_id));
        tracing::info!(
            client = %caller, entries = %before.last, log_id,
            "the copy of the log was cleared (POST /clear); the master fills it again"
        );
        Ok::<_, Problem>(())
    });
    emptied.await.map_err(|_| Problem::stopping())??;
    Ok(answer::json(&Done { status: "cleared" }))
}

/// What was rolled back because the master has other entries there.
async fn diverged(State(secondary): Shared, _: NoQuery) -> Result<Response, Problem> {
    rollbacks::diverged(&secondary.log).await
}

async fn rejoin(
    State(secondary): Shared,
    caller: Caller,
    _: NoQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    body::read_none(&headers, body).await?;
    let storage: StorageId = new_storage();
    let before = secondary.log.now().snapshot;
    let emptied = tokio::spawn(async move {
        let emptied = secondary.empty(|waiter| follower::Command::Rejoin { storage, waiter });
        let put_aside = emptied.await?;
        let old_log_id = before.leadership.map(|l| tracing::field::display(l.log_id));
        let new_log_id = before.diverged_from.map(tracing::field::display);
        tracing::info!(
            client = %caller, entries = put_aside, old_log_id, new_log_id,
            "what was here was rolled back (POST /rejoin); the master is followed from now on"
        );
        Ok::<_, Problem>(put_aside)
    });
    let put_aside = emptied.await.map_err(|_| Problem::stopping())??;
    Ok(answer::json(&Rejoining {
        status: "rejoining",
        put_aside,
    }))
}

async fn faults(State(secondary): Shared, _: NoQuery) -> Result<Response, Problem> {
    secondary.faults_allowed()?;
    let faults = secondary.node.inspect(|node, _| node.faults());
    let faults = faults.await.ok_or_else(Problem::stopping)?;
    Ok(answer::json(&FaultsAnswer::from(faults)))
}

async fn set_faults(
    State(secondary): Shared,
    _: NoQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    secondary.faults_allowed()?;
    let bytes = body::read(&headers, body).await?;
    let body: FaultsBody = body::object(&bytes, r#"{"delay_ms":500,"drop_rate":0.1}"#)?;
    let faults = secondary.set_faults(body.change()?).await?;
    tracing::info!(?faults, "faults were set");
    Ok(answer::json(&FaultsAnswer::from(faults)))
}

impl FaultsBody {
    fn change(self) -> Result<FaultsChange, Problem> {
        let rate = |name: &str, rate: Option<f64>| match rate {
            Some(rate) if !(0.0..=1.0).contains(&rate) => Err(Problem::bad_request(format!(
                "{name} is {rate}, but must be from 0 to 1"
            ))),
            rate => Ok(rate),
        };
        Ok(FaultsChange {
            delay: self.delay_ms.map(Duration::from_millis),
            error_rate: rate("error_rate", self.error_rate)?,
            drop_rate: rate("drop_rate", self.drop_rate)?,
        })
    }
}

fn allowed(is_open: bool, what: &str, variable: &str) -> Result<(), Problem> {
    let detail = || format!("{what} is not allowed here: start with {variable}=true");
    match is_open {
        true => Ok(()),
        false => Err(Problem::new(StatusCode::FORBIDDEN, detail())),
    }
}

impl Secondary {
    /// Reaches `node`, with those settings, until `stop` is cancelled.
    #[must_use]
    pub fn new(
        node: NodeHandle<FaultyFollower<Client<Answer>>>,
        config: &Config,
        stop: CancellationToken,
    ) -> Self {
        let max_streams = config.common.http.max_streams;
        Self {
            log: LogAccess::new(&node, stop, max_streams),
            node,
            allow_clear: config.common.allow_clear,
            allow_faults: config.common.allow_faults,
        }
    }

    fn faults_allowed(&self) -> Result<(), Problem> {
        allowed(
            self.allow_faults,
            "faults on purpose",
            "REPLOG_ALLOW_FAULTS",
        )
    }

    async fn health(&self) -> Result<Health, Problem> {
        self.log.store_committed();
        let view = self.log.now();
        let (kind, broker) = (view.reader.kind(), self.node.broker());
        let health = self
            .node
            .inspect(move |node, now| Health::of(node, kind, broker, now));
        health.await.ok_or_else(Problem::stopping)
    }

    /// Asks the follower for something, and waits for the answer.
    async fn ask(
        &self,
        command: impl FnOnce(Client<Answer>) -> Command<Client<Answer>>,
    ) -> Result<Answer, Problem> {
        let answer = self.node.ask(command).await?;
        answer.ok_or_else(Problem::stopping)
    }

    /// Asks the follower to give up what it holds; how many entries of that are kept.
    async fn empty(
        &self,
        command: impl FnOnce(Client<Answer>) -> follower::Command<Client<Answer>>,
    ) -> Result<u64, Problem> {
        match self
            .ask(|client| Command::Follower(command(client)))
            .await?
        {
            Answer::Follower(follower::Answer::Done { rolled_back }) => Ok(rolled_back),
            Answer::Follower(follower::Answer::DiskFull) => Err(Problem::unavailable(
                "disk_full",
                "the disk is full: it is done as soon as there is room",
            )),
            Answer::Follower(follower::Answer::NotDiverged) => Err(Problem::new(
                StatusCode::CONFLICT,
                "this secondary is not diverged: there is nothing to rejoin",
            )),
            Answer::Follower(follower::Answer::Stopping) => Err(Problem::stopping()),
            Answer::Faults(_) => Err(Problem::internal("a command was taken for another one")),
        }
    }

    async fn set_faults(&self, change: FaultsChange) -> Result<Faults, Problem> {
        match self
            .ask(|waiter| Command::SetFaults { change, waiter })
            .await?
        {
            Answer::Faults(faults) => Ok(faults),
            Answer::Follower(_) => Err(Problem::internal("a command was taken for another one")),
        }
    }
}

#[cfg(test)]
mod tests;
