//! The protocol of the replicated log: pure and complete.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a test fails where it unwraps")
)]

pub mod cleared_logs;
pub mod entry;
pub mod epochs;
pub mod event;
pub mod follower;
pub mod hard_state;
pub mod ids;
pub mod leader;
pub mod log;
pub mod node;
pub mod repair;
pub mod tally;
mod unstable;
pub mod wire;
pub mod write_concern;
