//! A line in memory in place of NATS: many nodes in one process, and weather on the way.
//!
//! It routes as the broker does (subscriptions with wildcards, no echo, the word that nobody listens) and loses, repeats,
//! delays and reorders by a seed, in tokio's time. On paused time ten minutes of a cluster take a moment, and a run is
//! one number to replay.

mod broker;
mod hub;
mod record;
mod weather;

pub use hub::{Hub, Line};
pub use record::{Fate, Sent};
pub use weather::{Chance, Weather};
