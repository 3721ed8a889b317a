//! Clients of a simulated cluster: what they ask, and what becomes of them.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use replog_protocol::entry::Content;
use replog_protocol::ids::MessageId;
use replog_protocol::leader::command::{Answer, Waiter};
use replog_protocol::write_concern::WriteConcern;

/// Through whom a client is answered.
#[derive(Clone, Debug, Default)]
pub struct Client {
    /// Its number.
    pub number: usize,
    /// It has hung up.
    left: Arc<AtomicBool>,
}

impl Client {
    /// The client with that number.
    #[must_use]
    pub fn new(number: usize) -> Self {
        Self {
            number,
            left: Arc::default(),
        }
    }

    /// It hangs up.
    pub fn leave(&self) {
        self.left.store(true, Ordering::Relaxed);
    }
}

impl Waiter for Client {
    fn has_left(&self) -> bool {
        self.left.load(Ordering::Relaxed)
    }
}

impl PartialEq for Client {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Client {}

impl Hash for Client {
    fn hash<H: Hasher>(&self, into: &mut H) {
        self.number.hash(into);
    }
}

/// What a client wants in the log.
#[derive(Clone, Debug)]
pub struct Request {
    /// The client.
    pub client: Client,
    /// The id of its message.
    pub message_id: MessageId,
    /// What it says.
    pub content: Content,
    /// How many nodes it asks for.
    pub asks: WriteConcern,
    /// As a number, once it has asked: how many nodes must hold it. `None` where the members are not known at that moment.
    pub w: Option<u32>,
    /// How it fares.
    pub fate: Fate,
}

/// How a client fares.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It has not asked yet.
    Silent,
    /// It waits for the answer of the master in that place.
    Waiting(usize),
    /// It was answered.
    Answered(Answer),
    /// The master ended without an answer, or the client has hung up.
    Gone,
}
