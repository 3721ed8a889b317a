//! The secondary's HTTP: it lists, it never appends.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use replog_protocol::follower;
use replog_protocol::ids::StorageId;
use replog_service::client::Client;
use replog_service::http::access::LogAccess;
use replog_service::http::calls::{Caller, Calls};
use replog_service::http::compression::gzip;
use replog_service::http::fallbacks::with_problem_fallbacks;
use replog_service::http::health::Running;
use replog_service::http::health_stream::HealthFeed;
use replog_service::http::openapi::answers::{
    Entry, EntryLists, EntryStream, HealthStream, Metrics, NotModified, Page, PythonList,
};
use replog_service::http::openapi::headers::{IfNoneMatch, LastEventId};
use replog_service::http::openapi::refusals::{
    BodyTimeout, EncodedBody, Forbidden, NoSuchEntry, NotAcceptable, NotHereYet, OtherHistory,
    ProblemDetails, TooLarge, Unavailable,
};
use replog_service::http::path::SeqPath;
use replog_service::http::problem::Problem;
use replog_service::http::query::{NoParameters, Parameters};
use replog_service::http::readiness::{IsReady, NotReady, ReadinessParameters};
use replog_service::http::reading::ListParameters;
use replog_service::http::stream::StreamParameters;
use replog_service::http::{
    answer, body, health_stream, openapi, page, reading, rollbacks, stream,
};
use replog_service::metrics::{HttpMetrics, MetricsPage, ProcessInfo, Scraper};
use replog_service::node_task::NodeHandle;
use replog_service::security::Security;
use replog_service::settings::LivenessArgs;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;
use utoipa_axum::router::UtoipaMethodRouterExt;
use utoipa_axum::routes;

use crate::config::Config;
use crate::faults::{Faults, FaultsAnswer, FaultsChange};
use crate::faulty::{Answer, Command, FaultyFollower};
use crate::health::Health;
use crate::metrics::FollowerMetrics;
use crate::new_storage;

/// What a reader of the description should know first.
const ABOUT: &str = "A secondary: holds what the master sends, in order and without a hole, and lists it. The master takes \
    appends.\n\n\
    Errors are problem details (RFC 9457). A query parameter or a field of a body that a call does not know is refused by name. \
    `HEAD` is `GET` without its body, and `OPTIONS` of a path says in `Allow` what it takes.";

/// What a handler needs. A handler owns nothing that could be lost when its client hangs up.
#[derive(Debug)]
pub struct Secondary {
    node: NodeHandle<FaultyFollower<Client<Answer>>>,
    log: LogAccess,
    /// Whether `POST /clear` is open.
    allow_clear: bool,
    /// Whether `/faults` is open.
    allow_faults: bool,
    liveness: LivenessArgs,
    /// Entries that it may be behind and still be ready.
    ready_lag: u64,
    running: Running,
    security: Security,
    health_feed: Arc<HealthFeed>,
    scraper: Scraper,
}

/// The calls of a secondary.
pub fn calls(secondary: Secondary) -> Calls {
    let metrics = Arc::clone(secondary.scraper.http());
    Calls::counted_in(metrics, router(secondary))
}

/// The paths of a secondary.
pub fn router(secondary: Secondary) -> Router {
    let messages = routes!(messages).map(|calls| calls.layer(gzip()).fallback(not_here));
    let router = openapi::begun(ABOUT)
        .routes(routes!(page).layer(gzip()))
        .routes(messages)
        .routes(routes!(stream).layer(gzip()))
        .routes(routes!(message))
        .routes(routes!(list))
        .routes(routes!(clear))
        .routes(routes!(diverged))
        .routes(routes!(rejoin))
        .routes(routes!(faults, set_faults))
        .routes(routes!(health))
        .routes(routes!(health_stream))
        .routes(routes!(livez))
        .routes(routes!(readyz))
        .routes(routes!(metrics))
        // No calls of a secondary: they are here to say whose they are.
        .route("/append", openapi::allowing(&[]).fallback(not_here))
        .route("/members", openapi::allowing(&[]).fallback(not_known_here))
        .route(
            "/members/{id}",
            openapi::allowing(&[]).fallback(not_known_here),
        );
    with_problem_fallbacks(openapi::described(router).with_state(Arc::new(secondary)))
}

type Shared = State<Arc<Secondary>>;
type NoQuery = Parameters<NoParameters>;

/// An answer that says no more than that it is so.
#[derive(Serialize, ToSchema)]
struct Done {
    /// That it is so, as a word.
    #[schema(example = "ok")]
    status: &'static str,
}

/// The answer of `POST /rejoin`.
#[derive(Serialize, ToSchema)]
struct Rejoining {
    /// `rejoining`.
    #[schema(example = "rejoining")]
    status: &'static str,
    /// How many entries were rolled back, and are kept.
    put_aside: u64,
}

/// The fields of `PUT /faults`; one that is missing stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = FaultsChange)]
#[serde(deny_unknown_fields)]
struct FaultsBody {
    /// How long each append waits before it is applied, in milliseconds.
    #[schema(example = 500)]
    delay_ms: Option<u64>,
    /// How often an error is answered instead of the ACK, after the entry was stored.
    #[schema(minimum = 0, maximum = 1, example = 0.1)]
    error_rate: Option<f64>,
    /// How often an entry is lost before it is stored.
    #[schema(minimum = 0, maximum = 1, example = 0.1)]
    drop_rate: Option<f64>,
}

/// The cluster's page in a browser
///
/// One file that follows `/health/stream` and `/messages/stream`.
#[utoipa::path(
    get, path = "/", operation_id = "getPage", tag = "cluster",
    params(IfNoneMatch),
    responses((status = 200, response = Page), (status = 304, response = NotModified))
)]
async fn page(State(secondary): Shared, _: NoQuery, headers: HeaderMap) -> Response {
    page::answer(&headers, secondary.health().await.ok())
}

/// List the log
///
/// The entries from `from` on. With `wait` an empty answer waits until there is something to show; with `min_seq` every answer
/// waits until that entry is here.
#[utoipa::path(
    get, path = "/messages", operation_id = "listMessages", tag = "messages",
    params(ListParameters, IfNoneMatch),
    responses(
        (status = 200, response = EntryLists),
        (status = 304, response = NotModified),
        (status = 406, response = NotAcceptable),
        (status = 410, response = OtherHistory),
        (status = 503, response = Unavailable),
        (status = 504, response = NotHereYet)
    )
)]
async fn messages(
    State(secondary): Shared,
    Parameters(parameters): Parameters<ListParameters>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    reading::messages(secondary.log.clone(), parameters, &headers).await
}

/// Follow the log
///
/// Each entry from `from` on as it comes: server-sent events, or JSON lines for `Accept: application/x-ndjson`.
#[utoipa::path(
    get, path = "/messages/stream", operation_id = "streamMessages", tag = "messages",
    params(StreamParameters, LastEventId),
    responses(
        (status = 200, response = EntryStream),
        (status = 406, response = NotAcceptable),
        (status = 503, response = Unavailable)
    )
)]
async fn stream(
    State(secondary): Shared,
    Parameters(parameters): Parameters<StreamParameters>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    stream::events(secondary.log.clone(), parameters, &headers).await
}

/// List the log as text
///
/// A line per entry, counted from 0.
#[utoipa::path(
    get, path = "/list", operation_id = "listAsText", tag = "course",
    responses((status = 200, response = PythonList), (status = 503, response = Unavailable))
)]
async fn list(State(secondary): Shared, _: NoQuery) -> Result<Response, Problem> {
    reading::list(secondary.log.clone()).await
}

/// One entry
#[utoipa::path(
    get, path = "/messages/{seq}", operation_id = "getMessage", tag = "messages",
    params(SeqPath),
    responses(
        (status = 200, description = "The entry.", body = Entry),
        (status = 404, response = NoSuchEntry),
        (status = 503, response = Unavailable)
    )
)]
async fn message(
    State(secondary): Shared,
    SeqPath(seq): SeqPath,
    _: NoQuery,
) -> Result<Response, Problem> {
    reading::message(&secondary.log, seq).await
}

/// Whoever wants to append is sent to the master; axum adds the `Allow` header.
async fn not_here(State(secondary): Shared) -> Problem {
    secondary.not_its_call("the master takes appends").await
}

/// The same for whoever asks about the members.
async fn not_known_here(State(secondary): Shared) -> Problem {
    secondary.not_its_call("the master knows the members").await
}

/// How the secondary is
#[utoipa::path(
    get, path = "/health", operation_id = "getHealth", tag = "cluster",
    responses(
        (status = 200, description = "All of it, at one moment; whatever `status` is.", body = Health),
        (status = 503, response = Unavailable)
    )
)]
async fn health(State(secondary): Shared, _: NoQuery) -> Result<Response, Problem> {
    secondary.health().await.map(|health| answer::json(&health))
}

/// How the secondary is, as it changes
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
async fn health_stream(
    State(secondary): Shared,
    _: NoQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (access, feed) = (secondary.log.clone(), Arc::clone(&secondary.health_feed));
    let read = move || {
        let secondary = Arc::clone(&secondary);
        async move { secondary.health().await }
    };
    health_stream::events(access, feed, &headers, read).await
}

/// Whether the program lives
#[utoipa::path(
    get, path = "/livez", operation_id = "getLive", tag = "cluster",
    responses((status = 200, description = "It does.", body = Done))
)]
async fn livez(_: NoQuery) -> Response {
    answer::json(&Done { status: "ok" })
}

/// Whether the secondary is ready
///
/// It is when it has everything that the master has, but for `--ready-lag` entries, as of now: the master was heard just before.
#[utoipa::path(
    get, path = "/readyz", operation_id = "getReady", tag = "cluster",
    params(ReadinessParameters),
    responses((status = 200, response = IsReady), (status = 503, response = NotReady))
)]
async fn readyz(
    State(secondary): Shared,
    Parameters(parameters): Parameters<ReadinessParameters>,
) -> Result<Response, Problem> {
    let health = secondary.health().await?;
    let readiness = secondary
        .security
        .check(health.readiness(secondary.ready_lag));
    Ok(readiness.answer(parameters))
}

/// What is counted and measured
///
/// For Prometheus: the log, how far it is behind the master, the journal, the broker, HTTP and the process.
#[utoipa::path(
    get, path = "/metrics", operation_id = "getMetrics", tag = "cluster",
    responses((status = 200, response = Metrics), (status = 503, response = Unavailable))
)]
async fn metrics(State(secondary): Shared, _: NoQuery) -> Result<MetricsPage, Problem> {
    let mut page = secondary
        .scraper
        .page(&secondary.node, &secondary.log)
        .await;
    let (kind, broker) = (secondary.log.now().reader.kind(), secondary.node.broker());
    let (running, liveness) = (secondary.running.clone(), secondary.liveness);
    let follower = (secondary.node).inspect(move |node, now| {
        FollowerMetrics::of(
            node,
            &Health::of(node, running, liveness, kind, broker, now),
            now,
        )
    });
    let follower = follower.await.ok_or_else(Problem::stopping)?;
    follower.write(&mut page);
    Ok(page)
}

/// Forget the log
///
/// Only with `--allow-clear`. The master fills the secondary again.
#[utoipa::path(
    post, path = "/clear", operation_id = "clearCopy", tag = "cluster",
    responses(
        (status = 200, description = "The copy is gone.", body = Done),
        (status = 403, response = Forbidden),
        (status = 408, response = BodyTimeout),
        (status = 413, response = TooLarge),
        (status = 415, response = EncodedBody),
        (status = 503, response = Unavailable)
    )
)]
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

/// What was rolled back and is kept
///
/// Entries that this node took out of its log because the master has other entries there.
#[utoipa::path(
    get, path = "/diverged", operation_id = "getDiverged", tag = "cluster",
    responses(
        (status = 200, description = "The ends of logs that were rolled back.", body = rollbacks::Rollbacks),
        (status = 503, response = Unavailable)
    )
)]
async fn diverged(State(secondary): Shared, _: NoQuery) -> Result<Response, Problem> {
    rollbacks::diverged(&secondary.log).await
}

/// Give up another history
///
/// For a secondary that holds another history than the master: rolls all of it back, keeps it, and follows the master.
#[utoipa::path(
    post, path = "/rejoin", operation_id = "rejoin", tag = "cluster",
    responses(
        (status = 200, description = "What was here was rolled back.", body = Rejoining),
        (status = 408, response = BodyTimeout),
        (status = 409, description = "The secondary holds the master's history: there is nothing to rejoin.",
            body = ProblemDetails, content_type = "application/problem+json",
            example = json!({"type": "about:blank", "title": "Conflict", "status": 409,
                "detail": "this secondary is not diverged: there is nothing to rejoin"})),
        (status = 413, response = TooLarge),
        (status = 415, response = EncodedBody),
        (status = 503, response = Unavailable)
    )
)]
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

/// Which faults happen on purpose
#[utoipa::path(
    get, path = "/faults", operation_id = "getFaults", tag = "faults",
    responses(
        (status = 200, description = "All of them.", body = FaultsAnswer),
        (status = 403, response = Forbidden),
        (status = 503, response = Unavailable)
    )
)]
async fn faults(State(secondary): Shared, _: NoQuery) -> Result<Response, Problem> {
    secondary.faults_allowed()?;
    let faults = secondary.node.inspect(|node, _| node.faults());
    let faults = faults.await.ok_or_else(Problem::stopping)?;
    Ok(answer::json(&FaultsAnswer::from(faults)))
}

/// Change the faults
///
/// Only with `--allow-faults`. A field that is missing or null stays as it is.
#[utoipa::path(
    put, path = "/faults", operation_id = "setFaults", tag = "faults",
    request_body(content = FaultsBody, content_type = "application/json",
        example = json!({"delay_ms": 5, "error_rate": 0.0, "drop_rate": 0.0})),
    responses(
        (status = 200, description = "All of them, from now on.", body = FaultsAnswer),
        (status = 403, response = Forbidden),
        (status = 408, response = BodyTimeout),
        (status = 413, response = TooLarge),
        (status = 415, response = EncodedBody),
        (status = 503, response = Unavailable)
    )
)]
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
    /// The same, which says when it is asked whether it is ready how `security` is.
    #[must_use]
    pub fn secured_by(self, security: Security) -> Self {
        Self { security, ..self }
    }

    /// Reaches `node`, with those settings, which runs like that, until `stop` is cancelled.
    #[must_use]
    pub fn new(
        node: NodeHandle<FaultyFollower<Client<Answer>>>,
        config: &Config,
        running: Running,
        stop: CancellationToken,
    ) -> Self {
        let http = &config.common.http;
        Self {
            log: LogAccess::new(&node, stop, http.max_streams, http.max_connections),
            node,
            allow_clear: config.common.allow_clear,
            allow_faults: config.common.allow_faults,
            liveness: config.common.liveness,
            ready_lag: config.ready_lag,
            running,
            security: Security::default(),
            health_feed: Arc::default(),
            scraper: Scraper::new(
                ProcessInfo::starting(
                    "secondary",
                    config.node().to_string(),
                    env!("CARGO_PKG_VERSION"),
                ),
                Arc::new(HttpMetrics::default()),
            ),
        }
    }

    /// 405, with the address of the master as far as that is known.
    async fn not_its_call(&self, whose: &str) -> Problem {
        let problem = Problem::method_not_allowed(format!("this is a secondary: {whose}"));
        let master = (self.node).inspect(|node, _| node.follower().master_url().cloned());
        match master.await.flatten() {
            Some(url) => problem.with_field("master", url),
            None => problem,
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
        let (running, liveness) = (self.running.clone(), self.liveness);
        let health = (self.node)
            .inspect(move |node, now| Health::of(node, running, liveness, kind, broker, now));
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
