//! Each value of the protocol, driven by hand or by chance.

mod clearing;
mod cluster;
mod commit;
mod disk;
mod follower;
mod hanging;
mod leader;
mod machines;
mod made;
mod media;
mod memory_log;
mod messages;
mod pauses;
mod recovery;
mod refusing;
mod rot;
mod stories;
mod stream;
mod torn;
mod words;
