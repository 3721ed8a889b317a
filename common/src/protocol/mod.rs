//! Who sends what next, what to acknowledge, when a write concern is met: state machines that read no clock, open no
//! socket and spawn nothing.

pub mod backoff;
pub mod commit;
pub mod dedup;
pub mod epochs;
pub mod event;
pub mod follower;
pub mod health;
pub mod leader;
pub mod members;
pub mod outcome;
pub mod progress;
pub mod recovery;
pub mod reorder;
pub mod replicator;
pub mod settings;
pub mod tally;
