//! Everything that runs the replicated log as a user would: real processes, a real nats-server, real HTTP.
//!
//! * [`harness`] starts and disturbs them; every integration test in `tests/tests` stands on it.
//! * [`demo`] is the same harness with a face: `cargo run --release --bin demo`.
//! * [`mod@line`] is NATS in memory, with weather: whole programs in one process, in virtual time.
//! * [`sim`] is the protocol alone, with seeds and virtual time: `cargo run --release --bin sim`.
//! * [`chaos`] is real processes with faults by seed: `cargo run --release --bin chaos`.
//! * [`mod@bench`] measures: `cargo run --release --bin bench`.

pub mod bench;
pub mod chaos;
pub mod demo;
pub mod harness;
pub mod line;
pub mod sim;
