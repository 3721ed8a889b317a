//! Everything that runs the replicated log as a user would: real processes, a real nats-server, real HTTP.
//!
//! * [`harness`] starts and disturbs them; every integration test in `tests/tests` stands on it.
//! * [`demo`] is the same harness with a face: `cargo run --release --bin demo`.
//! * [`memory_link`] is NATS in memory, with faults: whole nodes in one process, in virtual time.
//! * [`chaos`] is real processes with faults by seed: `demo chaos`; [`chaos::ha`], with masters that share a journal: `demo chaos-ha`.
//! * [`fuzzed`] is what comes from outside, as bytes: called by the fuzz targets in `tests/fuzz`, and by a test with their corpus.
//! * [`mod@bench`] measures: `demo bench`.

pub mod bench;
pub mod chaos;
pub mod demo;
pub mod fuzzed;
pub mod harness;
pub mod memory_link;
