//! What the clients asked for, and what they were told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::{Fault, Report};

/// What a client knows of its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// On so many nodes at least, at that position.
    Acknowledged { seq: u64, w: usize },
    /// It is in the log at that position, on fewer nodes than were asked for.
    InLog { seq: u64 },
    /// It was refused each time it was sent.
    Refused,
    /// It may be in the log.
    Unknown,
}

/// One message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message {
    pub(super) known: Known,
    /// Holders may have lost it since, and were to get it again.
    pub(super) is_old: bool,
}

/// All of them, by content.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    messages: Mutex<BTreeMap<String, Message>>,
    /// Held, among others, by whoever writes a message; alone while nobody is to.
    gate: RwLock<()>,
    has_ended: AtomicBool,
}

impl Ledger {
    pub(super) fn messages(&self) -> MutexGuard<'_, BTreeMap<String, Message>> {
        self.messages.lock().expect("nobody panics with it")
    }

    pub(super) fn note(&self, content: &str, known: Known) {
        let is_old = false;
        let message = Message { known, is_old };
        self.messages().insert(content.to_owned(), message);
    }

    /// What was acknowledged so far may be on fewer nodes from now on.
    pub(super) fn grow_old(&self) {
        self.messages().values_mut().for_each(|m| m.is_old = true);
    }

    /// Everybody holds everything.
    pub(super) fn grow_young(&self) {
        self.messages().values_mut().for_each(|m| m.is_old = false);
    }

    /// Waits for the messages that are under way, and lets no new one begin for as long as the pause is held.
    pub(super) async fn pause(&self) -> RwLockWriteGuard<'_, ()> {
        self.gate.write().await
    }

    pub(super) fn end(&self) {
        self.has_ended.store(true, Ordering::SeqCst);
    }

    pub(super) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::SeqCst)
    }

    /// Begins a message, which is under way until it is dropped; none when there are to be no more.
    pub(super) async fn begin(&self) -> Option<RwLockReadGuard<'_, ()>> {
        let message = self.gate.read().await;
        (!self.has_ended()).then_some(message)
    }

    pub(super) fn report(&self, faults: Vec<Fault>) -> Report {
        let messages = self.messages();
        let count = |is: fn(Known) -> bool| messages.values().filter(|m| is(m.known)).count();
        Report {
            faults,
            acknowledged: count(|k| matches!(k, Known::Acknowledged { .. })),
            refused: count(|k| k == Known::Refused),
            unknown: count(|k| k == Known::Unknown),
        }
    }
}
