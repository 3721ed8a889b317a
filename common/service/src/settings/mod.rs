//! Settings: every one is a flag and an environment variable, checked before anything is bound.
//!
//! A program declares its settings with clap's derive (`#[arg(long, env = "REPLOG_…")]`, the parsers of [`values`]),
//! flattens [`CommonArgs`] and [`ReplicationArgs`] as it needs, checks what no single value can tell in
//! [`Settings::check`], and calls [`parse()`]. Flags win over variables, variables over defaults. Boolean settings are plain
//! `bool` fields.

mod credentials;
mod groups;
mod parse;
mod refusal;
mod security;
mod unknown;
pub mod values;

pub use credentials::credentials;
pub use groups::{
    CommonArgs, HttpArgs, LivenessArgs, LogFormat, NatsArgs, ReplicationArgs, StorageArgs,
};
pub use parse::{Environment, Settings, parse, parse_from, process_environment};
pub use refusal::{SettingsExit, WrongSetting};
pub use security::SecurityArgs;
pub use unknown::{UnknownVariable, unknown_variables};

#[cfg(test)]
mod tests;
