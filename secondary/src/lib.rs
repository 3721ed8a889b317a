//! A secondary: holds what the master sends, in order and without a hole, and lists it.
//!
//! | task | woken by | owns |
//! |---|---|---|
//! | [`follow`] | appends, the link, one deadline | the log, the position, what is held back |
//! | a handler a request | its client | nothing |

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a test fails where it unwraps")
)]

pub mod aside;
pub mod claim;
pub mod config;
pub mod delayed;
mod event;
pub mod faults;
pub mod follow;
pub mod health;
pub mod http;
mod store;

use std::ffi::OsString;
use std::future::Future;
use std::net::SocketAddr;
use std::process::ExitCode;

use replog_common::log::disk::Role;
use replog_common::protocol::dedup::DeduplicateBy;
use replog_common::service::program::{self, Failure, Program};
use replog_common::service::settings::CommonArgs;
use replog_common::service::storage::Storage;
use replog_common::service::view::View;
use replog_nats::{Link, NatsLink, Subjects};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tracing::info;

pub use config::Config;

/// Queries that may wait for the owner of the log.
const MAX_QUERIES: usize = 1024;

/// The whole program.
pub fn main_with_args(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    program::main::<Config>(args)
}

impl Program for Config {
    const NAME: &'static str = "replog-secondary";

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
        let (node, name) = (self.node(), format!("{}/{}", Self::NAME, self.node()));
        let subscriptions = Subjects::of(&self.common.cluster).of_secondary(&node);
        let link = NatsLink::of(&self.common, name, subscriptions)?;
        run(self, listener, link, shutdown).await
    }
}

/// Serves on `listener` and follows over `link` until `shutdown` completes.
///
/// # Errors
/// What ended it before: the broker refuses this program, another secondary has its name, the log cannot be written.
pub async fn run<L: Link>(
    config: Config,
    listener: TcpListener,
    link: L,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let (queries, query_inlet) = mpsc::channel(MAX_QUERIES);
    let (view, views) = watch::channel(View::empty());
    let (faults, faults_seen) = watch::channel(config.faults());
    let node = Some(config.node());
    let by = DeduplicateBy::MessageId;
    let storage = Storage::open(&config.common, Role::Secondary, node, by).await?;
    let follow = follow::Follow::new(
        config.node(),
        config.common.heartbeat_interval,
        storage,
        link,
        faults_seen,
        query_inlet,
        view,
    );
    let owner = tokio::spawn(follow.run());
    let secondary = http::Secondary {
        queries,
        views,
        faults,
        allow_clear: config.common.allow_clear,
        allow_faults: config.common.allow_faults,
    };
    let addr = listener
        .local_addr()
        .map_or_else(|e| e.to_string(), |a| a.to_string());
    info!(%addr, node = %config.node(), "the secondary serves");
    let (router, limits) = (http::router(secondary), config.common.http_limits());
    program::serve(listener, router, limits, owner, shutdown).await
}
