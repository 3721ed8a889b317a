//! A small cluster of the real nodes as one plain value: masters and secondaries over simulated journals, their clients, and
//! beside them what really was, against which every step is judged.
//!
//! The cluster does nothing by itself. A shell chooses what happens next and carries messages: the model check every
//! possibility, the seeded simulation one after the other as its luck has it.
//!
//! * [`Cluster`]: everything that can happen, as methods.
//! * [`journal`]: a journal that can be slow, full, failing, rotten, and come back with less than it acknowledged.
//! * [`truth`], [`rules`]: what really was, and what must never happen.
//! * [`well`]: whether a cluster without faults has become well again.

mod clients;
mod fingerprint;
pub mod journal;
mod judge;
pub mod members;
pub mod moments;
pub mod process;
pub mod rules;
pub mod setup;
mod shared;
pub mod stream;
pub mod truth;
pub mod well;
mod world;

pub use clients::{Client, Fate, Request};
pub use fingerprint::{Fingerprinter, fingerprint};
pub use rules::{Rule, Violation};
pub use setup::Setup;
pub use shared::Shared;
pub use world::{Cluster, Place};
