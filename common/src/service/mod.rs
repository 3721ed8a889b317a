//! What both programs share outside the protocol: settings, exit codes, logging, signals and HTTP.
//!
//! The rest of this crate reads no clock, opens no socket and spawns nothing; this module is the one
//! marked exception.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::disallowed_macros,
    reason = "start-up and HTTP need sockets, tasks and timers; the protocol beside this module does not"
)]

pub mod body;
pub mod clock;
pub mod damage;
pub mod exit;
pub mod fallbacks;
pub mod healthcheck;
pub mod logging;
pub mod path;
pub mod problem;
pub mod program;
pub mod python;
pub mod query;
pub mod reading;
pub mod server;
pub mod settings;
pub mod signals;
pub mod storage;
pub mod stream;
pub mod view;
