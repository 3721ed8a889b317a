//! Whole nodes, driver included, on tokio's paused time: real tasks, real select arms, real timers, over a broker in memory.
//!
//! The model check and the simulation show the protocol; here it is shown that the driver carries out what the nodes hand
//! out, that links that break, repeat and refuse change nothing, and that a stop is heard by everybody at once.

#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod joining;
mod outages;
mod seeds;
mod stopping;
mod waiting;
mod world;
