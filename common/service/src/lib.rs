//! What turns the protocol into programs: the driver of a node, settings, start and stop, logging, HTTP.
//!
//! | module | what it is |
//! |---|---|
//! | [`node_task`] | the one task that owns a node: waits, steps, carries out what the node hands out |
//! | [`snapshot`] | what readers of the log see at one moment |
//! | [`program`], [`exit`] | from arguments to a running program, and to its exit code and last line |
//! | [`settings`], [`nearest`] | every setting is a flag and an environment variable; the known name that a wrong one is nearest to |
//! | [`security`], [`reloading`] | who may call, and the certificate; what files say, read again when they change |
//! | [`storage`], [`link`] | the journal and the link to the broker that the settings ask for |
//! | [`metrics`] | what is counted, and the page that Prometheus reads |
//! | [`http`] | a server whose every resource is bounded, and the reading of a log |
//! | [`client`], [`broker`] | who waits for a node's answer; how the link is, as users see it |
//! | [`signals`], [`logging`], [`clock`], [`allocator`], [`descriptors`], [`healthcheck`], [`token`], [`systemd`] | one thing each that a process needs |
//!
//! One cancellation token is made per program, in [`program::main`]; whoever waits, for whatever, waits for it as well.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a test fails where it unwraps")
)]

pub mod allocator;
pub mod backup;
pub mod broker;
pub mod client;
pub mod clock;
pub mod descriptors;
pub mod exit;
pub mod healthcheck;
pub mod http;
pub mod link;
pub mod logging;
pub mod metrics;
pub mod nearest;
pub mod node_task;
pub mod program;
pub mod reloading;
pub mod security;
pub mod service_stats;
pub mod settings;
pub mod signals;
pub mod snapshot;
pub mod storage;
pub mod systemd;
pub mod token;

/// Which release this is, with its commit where that is known: what `--version` says.
pub const RELEASE: &str = env!("REPLOG_RELEASE");
