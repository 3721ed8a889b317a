//! Everything that knows the word NATS: the subjects, the connection, and the [`Link`] that the programs see of it.
//!
//! The programs are written against [`Link`], so that tests can run them over a link in memory that loses, repeats and
//! reorders messages. Nothing here knows a command line, a setting or an exit code.
//!
//! ```text
//!   node task ── send ──▶ NatsLink ── publish ──▶ client library ──▶ broker
//!             ◀── next ──          ◀─ messages ──                ◀──
//!                                  ◀─ Control ─── the connecting task, and the client library's events
//! ```

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a test fails where it unwraps")
)]

mod accounts;
pub mod broker_files;
mod broker_url;
mod chunk_stream;
mod connect;
mod credentials;
mod denials;
mod events;
mod journal_stream;
mod link;
mod nats_link;
mod options;
mod permissions;
mod service;
mod stream_config;
mod subjects;

pub use accounts::{Accounts, BrokerUser, Secret};
pub use broker_url::{BrokerUrl, InvalidUrl, UserInfo, without_password, without_user_info};
pub use chunk_stream::{ChunkStream, ChunkStreamEvent, StreamStatus};
pub use credentials::{Credentials, CredentialsError};
pub use journal_stream::{JournalStream, JournalStreamOptions};
pub use link::{Denial, Link, LinkError, LinkEvent, Payload};
pub use nats_link::NatsLink;
pub use options::{LinkOptions, OptionsError, SUBSCRIPTION_CAPACITY};
pub use permissions::{Permissions, SecondaryName, Services};
pub use service::NatsService;
pub use subjects::Subjects;
