//! The link to the other nodes as the programs see it: send without waiting, receive what comes, know whether the broker is
//! there.

use std::future::Future;

use bytes::Bytes;
use replog_protocol::wire::Address;

/// A link to the other nodes that may lose, repeat and reorder messages.
pub trait Link: Send + 'static {
    /// Hands a message over without waiting. `reply_to` is where an answer goes, and where the broker says that nobody listens
    /// at `to`. Returns `false` when the message was not taken: the link is down or full, or the message is larger than the
    /// broker takes. A message that was taken may be lost all the same.
    fn send(&mut self, to: &Address, reply_to: Option<&Address>, payload: Bytes) -> bool;

    /// The next event. Cancel-safe: a future that is dropped has taken nothing.
    fn next(&mut self) -> impl Future<Output = LinkEvent> + Send;

    /// How many messages were dropped in this process so far, because it did not take them in time (NATS: a slow consumer).
    fn dropped(&self) -> u64 {
        0
    }

    /// Waits until the messages that were taken have left this process, for half a second at most; at once where that means
    /// nothing. For the last message before a program ends.
    fn flush(&mut self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// What happens on a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// The broker is there. Comes again when it was away so shortly that nobody noticed, or takes messages of another size.
    Up {
        /// The largest payload that the broker takes, in bytes.
        max_payload: usize,
    },
    /// The broker is gone. What was in flight may be lost.
    Down,
    /// A message has come.
    Delivered {
        /// The address that it came to.
        address: Address,
        /// What it carries.
        payload: Payload,
    },
    /// The broker refuses something that it has granted before: the user at a reconnect, or a permission. It is tried again
    /// until it holds; what is granted still goes on.
    Denied(Denial),
    /// What was refused is granted again.
    Granted,
    /// The link will never work; nothing follows.
    Fatal(LinkError),
}

/// What a broker refuses to a program that it had let in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Denial {
    /// The user is not let in any more, so there is no link.
    #[error("the broker refuses the user now")]
    User,
    /// A subscription to this subject.
    #[error("the broker refuses a subscription to {0}")]
    Subscribe(String),
    /// Messages to this subject.
    #[error("the broker refuses messages to {0}")]
    Publish(String),
}

/// What a message that came carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// A message of another node, as it travelled.
    Frame(Bytes),
    /// The broker says, on the reply subject, that nobody listens where a message was sent (NATS status 503).
    NoResponders,
}

/// Why a link will never work. Each is one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The broker knows no such user, or the password, token or signature is wrong.
    #[error("the broker refuses the user: {0}")]
    User(String),
    /// The credentials cannot be used: a seed that is none, a key that does not sign.
    #[error("the credentials for the broker cannot be used: {0}")]
    Credentials(String),
    /// The user may not publish or subscribe to a subject that the program needs.
    #[error("the broker refuses a permission: {0}")]
    Permission(String),
    /// The broker wants a certificate from this program, or another one.
    #[error("the broker refuses our certificate (NATS_CERT, NATS_KEY): {0}")]
    Certificate(String),
    /// A subject that the client library does not take.
    #[error("cannot subscribe to {subject}: {reason}")]
    Subscription {
        /// The subject.
        subject: String,
        /// What the client library says of it.
        reason: String,
    },
    /// The client library has ended the connection.
    #[error("the connection to the broker was closed")]
    Closed,
}
