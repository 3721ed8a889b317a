//! The master: takes appends over HTTP, gives them their order, replicates them to the secondaries.
//!
//! | task | woken by | owns |
//! |---|---|---|
//! | [`sequencer`] | commands, ACKs, the link, one deadline | the log, the positions, those who wait |
//! | a handler a request | its client | nothing |

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a test fails where it unwraps")
)]

pub mod command;
pub mod config;
mod event;
pub mod health;
pub mod http;
pub mod sequencer;

use std::ffi::OsString;
use std::future::Future;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use replog_common::log::disk::Role;
use replog_common::message::Life;
use replog_common::protocol::leader::{Leader, OnDisk};
use replog_common::service::program::{self, Failure, Program};
use replog_common::service::settings::CommonArgs;
use replog_common::service::storage::Storage;
use replog_common::service::view::View;
use replog_common::types::{Epoch, Instance, LogId};
use replog_nats::{Link, NatsLink, Subjects};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tracing::info;

pub use config::Config;

/// The broker's own default, until it has said what it takes.
const DEFAULT_MAX_PAYLOAD: usize = 1 << 20;
/// Queries that may wait for the owner of the log.
const MAX_QUERIES: usize = 1024;

/// The whole program.
pub fn main_with_args(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    program::main::<Config>(args)
}

impl Program for Config {
    const NAME: &'static str = "replog-master";

    fn common(&self) -> &CommonArgs {
        &self.common
    }

    fn http_addr(&self) -> SocketAddr {
        self.http_addr
    }

    fn is_healthcheck(&self) -> bool {
        self.command.is_some()
    }

    async fn run(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), Failure> {
        let subscriptions = Subjects::of(&self.common.cluster).of_master();
        let link = NatsLink::of(&self.common, Self::NAME.to_owned(), subscriptions)?;
        run(self, listener, link, shutdown).await
    }
}

/// Serves on `listener` and replicates over `link` until `shutdown` completes; then answers everybody and returns.
///
/// # Errors
/// What ended it before: the broker refuses this program, the log cannot be written.
pub async fn run<L: Link>(
    config: Config,
    listener: TcpListener,
    link: L,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Failure> {
    // Without a log of its own a master asks the others for theirs; this one begins if nobody has any.
    let life = Life {
        log_id: LogId(uuid::Uuid::new_v4()),
        epoch: Epoch(0),
        instance: Instance(uuid::Uuid::new_v4()),
    };
    let (commands, command_inlet) = mpsc::channel(config.replication.max_waiting);
    let (queries, query_inlet) = mpsc::channel(MAX_QUERIES);
    let (view, views) = watch::channel(View::empty());
    let max_payload = Arc::new(AtomicUsize::new(DEFAULT_MAX_PAYLOAD));
    let inlets = sequencer::Inlets {
        commands: command_inlet,
        queries: query_inlet,
        views: view,
        max_payload: Arc::clone(&max_payload),
    };
    let storage = Storage::open(&config.common, Role::Master, None, config.deduplicate_by).await?;
    let last = storage.last();
    let leader = match storage.standing.clone() {
        None => Leader::new(config.leader(life)),
        Some(standing) => Leader::on_disk(config.leader(life), OnDisk { standing, last }),
    };
    let w = config.default_w;
    let sequencer = sequencer::Sequencer::new(leader, storage, link, inlets, w);
    let owner = tokio::spawn(sequencer.run());

    let master = http::Master {
        commands,
        queries: queries.clone(),
        views,
        max_payload,
        deduplicate_by: config.deduplicate_by,
        listed: config.secondaries.as_ref().map(Vec::len),
        default_w: config.default_w,
        allow_clear: config.common.allow_clear,
    };
    let addr = listener
        .local_addr()
        .map_or_else(|e| e.to_string(), |a| a.to_string());
    info!(%addr, instance = %life.instance, "the master listens");
    let shutdown = async move {
        shutdown.await;
        // First everybody who waits is answered, then the doors close.
        queries.send(command::Query::Stop).await.ok();
    };
    let (router, limits) = (http::router(master), config.common.http_limits());
    program::serve(listener, router, limits, owner, shutdown).await
}
