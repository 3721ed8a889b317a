//! A NATS broker in memory: many whole programs in one process, with faults on the way.
//!
//! It routes as the real broker does (subscriptions with wildcards, no echo, the answer that nobody listens) and loses, repeats,
//! delays and reorders messages by a seed, in tokio's time. On paused time ten minutes of a cluster take a moment, and a run is
//! one number to replay.
//!
//! | real broker | here |
//! |---|---|
//! | the broker stops, starts | [`MemoryBroker::set_up`] |
//! | a node's connection breaks | [`MemoryBroker::cut_off`], [`MemoryBroker::reconnect`] |
//! | a network that loses, repeats, delays | [`MemoryBroker::set_faults`], [`MemoryBroker::set_faults_of`] |
//! | the broker refuses a permission | [`MemoryBroker::refuse`] |
//! | `nats sub '>'` | [`MemoryBroker::sent`] |

mod broker;
mod faults;
mod link;
mod recorder;
#[cfg(test)]
mod tests;

pub use faults::Faults;
pub use link::{MemoryBroker, MemoryLink};
pub use recorder::{Fate, SentMessage};
