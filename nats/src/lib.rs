//! Everything that knows the word NATS: the subjects, the connection, and the [`Link`] that the programs see of it.
//!
//! The programs are written against [`Link`], so that tests can run them over a lossy line in memory.

mod connect;
mod link;
mod options;
mod subject;

pub use link::{Delivered, Link, LinkEvent, Message, NatsLink, Payload};
pub use options::{Credentials, LinkOptions, OptionsError};
pub use subject::{AckOf, Subject, Subjects};
