//! The master: takes appends over HTTP, gives them their order, replicates them to the secondaries.
//!
//! | task | woken by | owns |
//! |---|---|---|
//! | [`NodeTask`] | commands, messages, the link, the journal, one deadline | the [`Leader`], who decides everything |
//! | one handler per request | its client | nothing |

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a test fails where it unwraps")
)]

pub mod append_metrics;
pub mod config;
pub mod health;
pub mod http;
pub mod journal;
pub mod journal_metrics;
pub mod message_ids;
pub mod metrics;
pub mod nats_config;

use std::ffi::OsString;
use std::process::ExitCode;

use replog_nats::{JournalStream, Link, Permissions, Services, Subjects};
use replog_protocol::event::Speaker;
use replog_protocol::ids::MasterId;
use replog_protocol::leader::Leader;
use replog_protocol::leader::command::{Answer, Reply};
use replog_protocol::leader::dedup::DeduplicateBy;
use replog_service::client::Client;
use replog_service::clock::Clock;
use replog_service::exit::Failure;
use replog_service::http::health::Running;
use replog_service::link::LinkOwner;
use replog_service::node_task::{NodeTask, NodeTaskOptions};
use replog_service::program::{self, OtherTask, Program};
use replog_service::security::Security;
use replog_service::service_stats::ServiceStats;
use replog_service::settings::CommonArgs;
use replog_service::settings::values::HttpAddr;
use replog_service::{RELEASE, link, storage};
use replog_storage::directory::{Owner, Role};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::info;

use config::Command;
pub use config::Config;

/// Handlers that may wait for a look at the leader.
const MAX_INSPECTIONS: usize = 1024;

/// The whole program.
pub fn main_with_args(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    program::main::<Config>(args)
}

impl Program for Config {
    const NAME: &'static str = "replog-master";

    fn common(&self) -> &CommonArgs {
        &self.common
    }

    fn common_mut(&mut self) -> &mut CommonArgs {
        &mut self.common
    }

    fn node_name(&self) -> String {
        "master".to_owned()
    }

    fn http_addr(&self) -> &HttpAddr {
        &self.http_addr
    }

    fn default_http_addr() -> HttpAddr {
        HttpAddr::loopback(8000)
    }

    fn other_task(&self) -> Option<OtherTask> {
        Some(match self.command.as_ref()? {
            Command::Healthcheck(args) => OtherTask::Ask(args.question()),
            Command::Restore(args) => OtherTask::Restore(args.clone()),
            Command::Token(args) => {
                let args = args.clone();
                OtherTask::Own(Box::new(move || args.make()))
            }
            Command::NatsConfig(args) => {
                let args = args.clone();
                let write = move || {
                    args.write()
                        .map_err(|why| format!("nothing was written: {why}"))
                };
                OtherTask::Own(Box::new(write))
            }
            Command::Completions { shell } => OtherTask::Complete(*shell),
        })
    }

    async fn run(
        self,
        listener: TcpListener,
        security: Security,
        stop: CancellationToken,
    ) -> Result<(), Failure> {
        let owner = LinkOwner {
            program: Self::NAME,
            about: "the master of a replicated log: takes appends over HTTP",
            version: env!("CARGO_PKG_VERSION"),
            node: "master",
            connection: Self::NAME,
        };
        let permissions =
            |subjects: &Subjects| Permissions::of_master(subjects, Services::Unwanted);
        let stats = ServiceStats::default();
        let link = link::open(&self.common.nats, owner, permissions, &stats)?;
        run(self, listener, security, link, stats, stop).await
    }
}

/// Serves whom `security` lets in on `listener` and replicates over `link` until `stop` is cancelled, with `stats` kept up to date;
/// then answers everybody and returns.
///
/// # Errors
/// What ended the master before: the broker refuses this program, another master lives, the log cannot be written.
pub async fn run<L: Link>(
    config: Config,
    listener: TcpListener,
    security: Security,
    link: L,
    stats: ServiceStats,
    stop: CancellationToken,
) -> Result<(), Failure> {
    let owner = Owner {
        role: Role::Master,
        node: None,
        cluster: config.common.nats.cluster.clone(),
    };
    let by_content = config.deduplicate_by == DeduplicateBy::Content;
    let interval = config.common.liveness.heartbeat_interval;
    let stream = match config.journal.is_shared() {
        true => Some(config.journal.open(&config.common.nats, interval)?),
        false => None,
    };
    let stream_status = stream.as_ref().map(JournalStream::status);
    let (journal, restored) = storage::open(&config.common.storage, owner, by_content).await?;
    let master = MasterId(uuid::Uuid::new_v4());
    let port = listener.local_addr().map_or(0, |addr| addr.port());
    let url = config.common.url(&config.http_addr, port);
    let leader = config.leader(master, url.clone());
    let leader = Leader::new(leader, restored);
    let options = NodeTaskOptions {
        speaker: Speaker::Master,
        clock: Clock::start(),
        stop: stop.clone(),
        max_commands: config.replication.max_waiting,
        max_inspections: MAX_INSPECTIONS,
    };
    let deliver = |reply: Reply<Client<Answer>>| reply.waiter.answer(reply.answer);
    let (task, node) = NodeTask::new(leader, link, journal, deliver, options);
    let task = match stream {
        Some(stream) => task.sharing(Box::new(stream)),
        None => task,
    };
    let task = tokio::spawn(task.run());
    let addr = listener
        .local_addr()
        .map_or_else(|e| e.to_string(), |a| a.to_string());
    info!(
        version = RELEASE,
        %addr,
        cluster = config.common.nats.cluster,
        storage = config.storage(),
        instance = %master,
        "the master listens"
    );
    let (watched, until) = (node.clone(), stop.clone());
    let read = move || {
        let watched = watched.clone();
        async move { watched.inspect(health::stats).await }
    };
    tokio::spawn(stats.keep_up(read, until));
    let asked = node.clone();
    let doing = move || {
        let (node, broker) = (asked.clone(), asked.broker());
        async move {
            let line = node.inspect(move |leader, now| health::line(leader, broker, now));
            line.await
        }
    };
    let guard = config.common.guard(&config.http_addr);
    let running = Running::starting(env!("CARGO_PKG_VERSION"), url);
    let http = http::Master::new(node, &config, running, stop.clone());
    let http = http.secured_by(security.clone()).with_stream(stream_status);
    let calls = http::calls(http).guarded_by(guard, security.tokens.clone());
    let limits = config.common.http.limits();
    program::serve(
        security.listener(listener),
        calls,
        limits,
        task,
        doing,
        stop,
    )
    .await
}
