//! A secondary: holds what the master sends, in order and without a hole, and lists it.
//!
//! | task | woken by | owns |
//! |---|---|---|
//! | [`NodeTask`] | commands, messages, the link, the journal, one deadline | the [`FaultyFollower`], who decides everything |
//! | one handler per request | its client | nothing |

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a test fails where it unwraps")
)]

pub mod config;
pub mod faults;
pub mod faulty;
pub mod health;
pub mod http;
pub mod metrics;

use std::ffi::OsString;
use std::process::ExitCode;

use replog_nats::{Link, Permissions, SecondaryName, Services, Subjects};
use replog_protocol::event::Speaker;
use replog_protocol::follower::{Follower, FollowerConfig};
use replog_protocol::ids::StorageId;
use replog_protocol::node::Identity;
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
use faulty::{Answer, FaultyFollower, Reply};

/// Commands that may wait for the follower, and handlers for a look at it.
const MAX_QUEUED: usize = 1024;

/// The whole program.
pub fn main_with_args(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    program::main::<Config>(args)
}

impl Program for Config {
    const NAME: &'static str = "replog-secondary";

    fn common(&self) -> &CommonArgs {
        &self.common
    }

    fn common_mut(&mut self) -> &mut CommonArgs {
        &mut self.common
    }

    fn node_name(&self) -> String {
        self.node().to_string()
    }

    fn http_addr(&self) -> &HttpAddr {
        &self.http_addr
    }

    fn default_http_addr() -> HttpAddr {
        HttpAddr::loopback(8001)
    }

    fn other_task(&self) -> Option<OtherTask> {
        Some(match self.command.as_ref()? {
            Command::Healthcheck(args) => OtherTask::Ask(args.question()),
            Command::Completions { shell } => OtherTask::Complete(*shell),
        })
    }

    async fn run(
        self,
        listener: TcpListener,
        security: Security,
        stop: CancellationToken,
    ) -> Result<(), Failure> {
        let node = self.node();
        let name = format!("{}/{node}", Self::NAME);
        let permissions = |subjects: &Subjects| {
            let own = SecondaryName::One(node.clone());
            Permissions::of_secondary(subjects, &own, Services::Unwanted)
        };
        let owner = LinkOwner {
            program: Self::NAME,
            about: "a secondary of a replicated log: lists what the master sends",
            version: env!("CARGO_PKG_VERSION"),
            node: node.as_str(),
            connection: &name,
        };
        let stats = ServiceStats::default();
        let link = link::open(&self.common.nats, owner, permissions, &stats)?;
        run(self, listener, security, link, stats, stop).await
    }
}

/// Serves whom `security` lets in on `listener` and follows over `link` until `stop` is cancelled, with `stats` kept up to date.
///
/// # Errors
/// What ended the secondary before: the broker refuses this program, another secondary has its name, the log cannot be written.
pub async fn run<L: Link>(
    config: Config,
    listener: TcpListener,
    security: Security,
    link: L,
    stats: ServiceStats,
    stop: CancellationToken,
) -> Result<(), Failure> {
    let node = config.node();
    let owner = Owner {
        role: Role::Secondary,
        node: Some(node.clone()),
        cluster: config.common.nats.cluster.clone(),
    };
    let (journal, restored) = storage::open(&config.common.storage, owner, false).await?;
    let (storage, seed) = (new_storage(), uuid::Uuid::new_v4().as_u64_pair().0);
    let port = listener.local_addr().map_or(0, |addr| addr.port());
    let url = config.common.url(&config.http_addr, port);
    let follower = FollowerConfig {
        identity: Identity {
            node: node.clone(),
            storage,
        },
        heartbeat_interval: config.common.liveness.heartbeat_interval,
        seed,
        url: url.clone(),
    };
    let follower = FaultyFollower::new(Follower::new(follower, restored), config.faults(), seed);
    let options = NodeTaskOptions {
        speaker: Speaker::Secondary(node.clone()),
        clock: Clock::start(),
        stop: stop.clone(),
        max_commands: MAX_QUEUED,
        max_inspections: MAX_QUEUED,
    };
    let deliver = |reply: Reply<Client<Answer>>| reply.waiter.answer(reply.answer);
    let (task, handle) = NodeTask::new(follower, link, journal, deliver, options);
    let task = tokio::spawn(task.run());
    let addr = listener
        .local_addr()
        .map_or_else(|e| e.to_string(), |a| a.to_string());
    info!(
        version = RELEASE,
        %addr,
        %node,
        cluster = config.common.nats.cluster,
        storage = config.common.storage.description(),
        storage_id = %storage,
        "the secondary listens"
    );
    let (watched, until) = (handle.clone(), stop.clone());
    let liveness = config.common.liveness;
    let read = move || {
        let watched = watched.clone();
        async move {
            let stats = watched.inspect(move |node, now| health::stats(node, liveness, now));
            stats.await
        }
    };
    tokio::spawn(stats.keep_up(read, until));
    let guard = config.common.guard(&config.http_addr);
    let running = Running::starting(env!("CARGO_PKG_VERSION"), url);
    let (asked, shown) = (handle.clone(), running.clone());
    let doing = move || {
        let (node, broker, running) = (asked.clone(), asked.broker(), shown.clone());
        let kind = node.views().borrow().reader.kind();
        async move {
            let line = node.inspect(move |node, now| {
                health::Health::of(node, running, liveness, kind, broker, now).line()
            });
            line.await
        }
    };
    let http = http::Secondary::new(handle, &config, running, stop.clone());
    let http = http.secured_by(security.clone());
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

/// A new id for the storage. Of two starts at one time the earlier one has the name, so the id begins with the time.
fn new_storage() -> StorageId {
    StorageId(uuid::Uuid::now_v7())
}
