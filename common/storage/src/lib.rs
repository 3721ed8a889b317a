//! Where a node keeps its log and its hard state: in memory, or on a disk.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a test fails where it unwraps")
)]

pub mod journal;
