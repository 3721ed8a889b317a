//! Each small value of the protocol, in any order of calls, against something too simple to be wrong.

mod batches;
mod chunk_writer;
mod chunks;
mod commit;
mod dedup;
mod digests;
mod epochs;
mod frames;
mod health;
mod hostile;
mod log;
mod pacing;
mod reorder;
mod texts;
