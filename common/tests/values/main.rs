//! Each value of the protocol, driven by hand or by chance.

mod clearing;
mod commit;
mod follower;
mod leader;
mod machines;
mod made;
mod memory_log;
mod messages;
mod pauses;
mod recovery;
mod stream;
mod words;
