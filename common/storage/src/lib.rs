//! Where a node keeps its log and its hard state: in memory ([`memory::MemoryJournal`]), or on a disk
//! ([`directory::open`]).
//!
//! ```text
//!   node task ── WriteJob ──▶ Journal ──▶ one frame, one sync ──▶ WriteResult
//!                                │
//!   HTTP handlers, pages ──▶ LogReader: the newest entries from memory, older ones from the disk
//! ```
//! Entries are kept as the bytes that travel ([`replog_protocol::entry::EntryBatch`]); nothing in here renders them again.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a test fails where it unwraps")
)]

#[cfg(any(test, feature = "testing"))]
pub mod contract;
pub mod directory;
pub mod disk;
pub mod journal;
pub mod memory;
mod rollbacks;
#[cfg(any(test, feature = "testing"))]
pub mod samples;
mod segments;
#[cfg(any(test, feature = "testing"))]
pub mod sim_disk;
