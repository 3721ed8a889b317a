//! Settings: every one is a flag and an environment variable, checked before anything is bound.
//!
//! A program declares its settings with clap's derive (`#[arg(long, env = "REPLOG_…")]`, the parsers
//! of [`values`]), flattens [`CommonArgs`] and [`ReplicationArgs`] as it needs, checks what no single
//! value can tell in [`Settings::check`], and calls [`parse`]. Flags win over variables, variables over
//! defaults. Boolean settings are plain `bool` fields.

mod groups;
mod parse;
mod refusal;
pub mod values;

pub use groups::{CommonArgs, LogFormat, ReplicationArgs};
pub use parse::{Settings, parse, parse_from};
pub use refusal::{SettingsExit, WrongSetting};
pub use values::NatsUrl;

#[cfg(test)]
mod tests;
