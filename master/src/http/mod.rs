//! The master's HTTP: the paths, and what they share.

mod append;
mod batch;
mod bulk;
mod course;
mod described;
mod idempotency_key;
mod members;
mod outcome;
mod parse;
mod status;
mod terms;
#[cfg(test)]
mod tests;
mod verify;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use replog_nats::StreamStatus;
use replog_protocol::entry::EntryBatch;
use replog_protocol::ids::{MessageId, Seq};
use replog_protocol::leader::Leader;
use replog_protocol::leader::command::{Answer, Await, Command};
use replog_protocol::write_concern::WriteConcern;
use replog_service::backup::Manifest;
use replog_service::client::Client;
use replog_service::http::access::LogAccess;
use replog_service::http::calls::Calls;
use replog_service::http::compression::gzip;
use replog_service::http::fallbacks::with_problem_fallbacks;
use replog_service::http::health::Running;
use replog_service::http::health_stream::HealthFeed;
use replog_service::http::openapi::answers::{
    EntryLists, EntryStream, Metrics, NotModified, Page, PythonList,
};
use replog_service::http::openapi::headers::{IfNoneMatch, LastEventId};
use replog_service::http::openapi::refusals::{
    Cleared, NoSuchEntry, NotAcceptable, NotHereYet, NotReplicated, OtherHistory, Unavailable,
};
use replog_service::http::path::SeqPath;
use replog_service::http::problem::Problem;
use replog_service::http::query::{NoParameters, Parameters};
use replog_service::http::reading::ListParameters;
use replog_service::http::stream::StreamParameters;
use replog_service::http::{answer, openapi, page, reading, rollbacks, stream};
use replog_service::metrics::{HttpMetrics, MetricsPage, ProcessInfo, Scraper};
use replog_service::node_task::NodeHandle;
use replog_service::security::Security;
use serde::Serialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::UtoipaMethodRouterExt;
use utoipa_axum::routes;

use crate::append_metrics::AppendMetrics;
use crate::config::Config;
use crate::journal::status_of;
use crate::message_ids::MessageIds;
use crate::metrics::LeaderMetrics;

use described::HeldEntry;
use outcome::{Sent, replicated, same_call_elsewhere};
use terms::HoldersParameters;

/// What a reader of the description should know first.
const ABOUT: &str = "The master: takes appends, gives them their order, replicates them to the secondaries.\n\n\
    Errors are problem details (RFC 9457). A query parameter or a field of a body that a call does not know is refused by name. \
    Bodies are read as JSON whatever their `Content-Type` says, but for `application/x-ndjson`. `HEAD` is `GET` without its body, \
    and `OPTIONS` of a path says in `Allow` what it takes.";

/// What a handler needs. A handler owns nothing that could be lost when its client hangs up.
#[derive(Debug)]
pub struct Master {
    node: NodeHandle<Leader<Client<Answer>>>,
    log: LogAccess,
    ids: MessageIds,
    /// How many members are listed, if they are.
    listed: Option<usize>,
    /// For a POST that names no write concern.
    default_w: WriteConcern,
    /// The longest line of a bulk load.
    max_line_bytes: usize,
    /// Cancelled when the program is to end.
    stop: CancellationToken,
    /// Whether `POST /clear` is open.
    allow_clear: bool,
    cluster: String,
    running: Running,
    security: Security,
    /// What is known of the journal's stream, where it is in one.
    stream: Option<watch::Receiver<StreamStatus>>,
    health_feed: Arc<HealthFeed>,
    appends: AppendMetrics,
    scraper: Scraper,
}

/// The calls of a master.
pub fn calls(master: Master) -> Calls {
    let master = Arc::new(master);
    let metrics = Arc::clone(master.scraper.http());
    let calls = Calls::counted_in(metrics, router(Arc::clone(&master)))
        .with_endless_bodies(bulk::has_endless_body);
    calls.with_shortcut(Method::POST, "/messages", move |request| {
        let master = Arc::clone(&master);
        Box::pin(async move {
            let uri = request.uri().clone();
            let answer = append::post_message(State(master), request).await;
            same_call_elsewhere(answer.into_response(), &uri)
        })
    })
}

/// The paths of a master.
fn router(master: Arc<Master>) -> Router {
    let router = openapi::begun(ABOUT)
        .routes(routes!(page).layer(gzip()))
        .routes(routes!(messages).layer(gzip()))
        .routes(routes!(append::post_message))
        .routes(routes!(stream).layer(gzip()))
        .routes(routes!(message))
        .routes(routes!(course::post_append))
        .routes(routes!(list))
        .routes(routes!(status::clear))
        .routes(routes!(diverged))
        .routes(routes!(backup))
        .routes(routes!(status::health))
        .routes(routes!(status::health_stream))
        .routes(routes!(members::members))
        .routes(routes!(members::remove))
        .routes(routes!(verify::verify))
        .routes(routes!(status::livez))
        .routes(routes!(status::readyz))
        .routes(routes!(metrics));
    with_problem_fallbacks(openapi::described(router).with_state(master)).layer(from_fn(elsewhere))
}

async fn elsewhere(request: Request, next: Next) -> Response {
    let uri = request.uri().clone();
    same_call_elsewhere(next.run(request).await, &uri)
}

type Shared = State<Arc<Master>>;
type NoQuery = Parameters<NoParameters>;

/// The cluster's page in a browser
///
/// One file that follows `/health/stream` and `/messages/stream`.
#[utoipa::path(
    get, path = "/", operation_id = "getPage", tag = "cluster",
    params(IfNoneMatch),
    responses((status = 200, response = Page), (status = 304, response = NotModified))
)]
async fn page(State(master): Shared, _: NoQuery, headers: HeaderMap) -> Response {
    page::answer(&headers, status::current(&master).await.ok())
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
    State(master): Shared,
    Parameters(parameters): Parameters<ListParameters>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    reading::messages(master.log.clone(), parameters, &headers).await
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
    State(master): Shared,
    Parameters(parameters): Parameters<StreamParameters>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    stream::events(master.log.clone(), parameters, &headers).await
}

/// List the log as text
///
/// A line per entry, counted from 0.
#[utoipa::path(
    get, path = "/list", operation_id = "listAsText", tag = "course",
    responses((status = 200, response = PythonList), (status = 503, response = Unavailable))
)]
async fn list(State(master): Shared, _: NoQuery) -> Result<Response, Problem> {
    reading::list(master.log.clone()).await
}

/// What was rolled back and is kept
///
/// Entries that this node took out of its log because others have other entries there.
#[utoipa::path(
    get, path = "/diverged", operation_id = "getDiverged", tag = "cluster",
    responses(
        (status = 200, description = "The ends of logs that were rolled back.", body = rollbacks::Rollbacks),
        (status = 503, response = Unavailable)
    )
)]
async fn diverged(State(master): Shared, _: NoQuery) -> Result<Response, Problem> {
    rollbacks::diverged(&master.log).await
}

/// A backup of the log
///
/// A tar of the log as it is now: entries, epochs, and what the history has replaced. `replog-master restore` makes a data directory
/// of it. Nothing is written on this node.
#[utoipa::path(
    get, path = "/backup", operation_id = "getBackup", tag = "cluster",
    responses(
        (status = 200, description = "The backup; one that breaks off is not complete, and `restore` says so.", body = Vec<u8>,
            content_type = "application/x-tar"),
        (status = 503, response = Unavailable)
    )
)]
async fn backup(State(master): Shared, _: NoQuery) -> Result<Response, Problem> {
    master.log.readable().await?;
    let log = (master.node).inspect(|leader, _| {
        let log = leader.log();
        (log.hard_state().clone(), log.durable())
    });
    let (hard_state, last) = log.await.ok_or_else(Problem::stopping)?;
    let manifest = Manifest::new(master.cluster.clone(), hard_state, last);
    replog_service::backup::backup(master.log.clone(), manifest).await
}

/// What is counted and measured
///
/// For Prometheus: the log, the members, appends, the journal, the broker, HTTP and the process.
#[utoipa::path(
    get, path = "/metrics", operation_id = "getMetrics", tag = "cluster",
    responses((status = 200, response = Metrics), (status = 503, response = Unavailable))
)]
async fn metrics(State(master): Shared, _: NoQuery) -> Result<MetricsPage, Problem> {
    let mut page = master.scraper.page(&master.node, &master.log).await;
    let kind = master.log.now().reader.kind();
    let counts = Arc::clone(master.node.metrics());
    let stream = status_of(master.stream.as_ref());
    let leader = master.node.inspect(move |leader, now| {
        LeaderMetrics::of(leader, kind, &counts.growth(), stream.as_ref(), now)
    });
    let leader = leader.await.ok_or_else(Problem::stopping)?;
    leader.write(&mut page);
    let counts = master.node.metrics();
    counts.write_recoveries(leader.at(), &mut page);
    master.appends.write(&mut page);
    Ok(page)
}

/// What the master knows of one entry beside the entry itself.
#[derive(Serialize)]
struct Holders {
    acks: usize,
    acked_by: Vec<String>,
}

/// One entry, with who holds it
///
/// At once; or with `w` as soon as so many nodes hold it, within `wait`.
#[utoipa::path(
    get, path = "/messages/{seq}", operation_id = "getMessage", tag = "messages",
    params(SeqPath, HoldersParameters),
    responses(
        (status = 200, description = "The entry.", body = HeldEntry),
        (status = 404, response = NoSuchEntry),
        (status = 410, response = Cleared),
        (status = 503, response = Unavailable),
        (status = 504, response = NotReplicated)
    )
)]
async fn message(
    State(master): Shared,
    SeqPath(seq): SeqPath,
    Parameters(parameters): Parameters<HoldersParameters>,
) -> Result<Response, Problem> {
    let awaited = parameters.check(master.listed)?;
    let view = master.log.readable().await?;
    let entry = reading::entry(&view, seq).await?;
    let log_id = view
        .snapshot
        .leadership
        .map_or_else(Default::default, |l| l.log_id);
    if let Some((w, timeout)) = awaited {
        let message_id = id_of(&entry, seq)?;
        let _place = master.log.waiting_place()?;
        let answer = master.node.ask(|waiter| {
            Command::Await(Await {
                log_id,
                seq,
                message_id,
                w,
                timeout,
                waiter,
            })
        });
        let answer = answer.await?.ok_or_else(Problem::stopping)?;
        replicated(Some(answer), Sent::Message(message_id))?;
    }
    let holders = master.node.inspect(move |leader, _| {
        let members = leader.held_by(log_id, seq).map(ToString::to_string);
        // What is shown is in the master's own journal.
        let acked_by: Vec<String> = std::iter::once("master".to_owned())
            .chain(members)
            .collect();
        Holders {
            acks: acked_by.len(),
            acked_by,
        }
    });
    let holders = holders.await.ok_or_else(Problem::stopping)?;
    let body = answer::with_fields(entry.text(), &holders)?;
    Ok(reading::marked(answer::json_bytes(body), &view))
}

/// The id of the entry at that position.
fn id_of(batch: &EntryBatch, seq: Seq) -> Result<MessageId, Problem> {
    let entry = batch.get(seq).map(|entry| entry.message_id);
    entry.ok_or_else(|| Problem::internal("another entry was read than the one asked for"))
}

impl Master {
    /// Reaches `node`, with those settings, which runs like that, until `stop` is cancelled.
    #[must_use]
    pub fn new(
        node: NodeHandle<Leader<Client<Answer>>>,
        config: &Config,
        running: Running,
        stop: CancellationToken,
    ) -> Self {
        let http = &config.common.http;
        Self {
            log: LogAccess::new(&node, stop.clone(), http.max_streams, http.max_connections),
            stop,
            max_line_bytes: http.max_body_bytes,
            node,
            ids: MessageIds::new(),
            listed: config.secondaries.as_ref().map(Vec::len),
            default_w: config.default_w,
            allow_clear: config.common.allow_clear,
            cluster: config.common.nats.cluster.clone(),
            running,
            security: Security::default(),
            stream: None,
            health_feed: Arc::default(),
            appends: AppendMetrics::default(),
            scraper: Scraper::new(
                ProcessInfo::starting("master", "master".to_owned(), env!("CARGO_PKG_VERSION")),
                Arc::new(HttpMetrics::default()),
            ),
        }
    }

    /// The same, whose journal is in a stream that is like that.
    #[must_use]
    pub fn with_stream(self, stream: Option<watch::Receiver<StreamStatus>>) -> Self {
        Self { stream, ..self }
    }

    /// The same, which says when it is asked whether it is ready how `security` is.
    #[must_use]
    pub fn secured_by(self, security: Security) -> Self {
        Self { security, ..self }
    }
}
