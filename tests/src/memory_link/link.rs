//! The broker in memory as tests hold it, and a node's link to it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use replog_nats::{Link, LinkError, LinkEvent};
use replog_protocol::wire::Address;
use tokio::sync::Notify;
use tokio::time::sleep_until;

use super::broker::{Arrival, Broker, ConnectionId};
use super::faults::Faults;
use super::recorder::{Fate, SentMessage};

/// The broker in memory. Clones are the same broker.
#[derive(Clone, Debug)]
pub struct MemoryBroker {
    state: Arc<Mutex<Broker>>,
}

/// One node's connection to a [`MemoryBroker`]. Dropping it closes the connection.
#[derive(Debug)]
pub struct MemoryLink {
    broker: MemoryBroker,
    id: ConnectionId,
    arrival: Arc<Notify>,
}

impl MemoryBroker {
    /// A broker that is up and without faults. The seed decides about losses, repetitions and delays.
    #[must_use]
    pub fn new(cluster: &str, seed: u64) -> Self {
        Self {
            state: Arc::new(Mutex::new(Broker::new(cluster, seed))),
        }
    }

    /// Connects a node that listens to `subscriptions`, with the wildcards of NATS. Several connections may have one name:
    /// whatever is done to a name is done to all of them.
    #[must_use]
    pub fn connect(&self, name: &str, subscriptions: Vec<String>) -> MemoryLink {
        let arrival = Arc::new(Notify::new());
        let id = self
            .state()
            .connect(name, subscriptions, Arc::clone(&arrival));
        MemoryLink {
            broker: self.clone(),
            id,
            arrival,
        }
    }

    /// What happens to the messages of everybody who has no faults of their own.
    pub fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// What happens to everything that the connections of this name send and are sent; `None`: the same as to the others.
    pub fn set_faults_of(&self, name: &str, faults: Option<Faults>) {
        let mut state = self.state();
        match faults {
            Some(faults) => drop(state.own_faults.insert(name.to_owned(), faults)),
            None => drop(state.own_faults.remove(name)),
        }
    }

    /// The broker goes, or comes back.
    pub fn set_up(&self, is_up: bool) {
        let mut state = self.state();
        state.is_up = is_up;
        state.update_connections();
    }

    /// The connections of this name break: their nodes and the broker know at once. What is on the way to them is lost.
    pub fn cut_off(&self, name: &str) {
        let mut state = self.state();
        state.cut_off.insert(name.to_owned());
        state.update_connections();
    }

    /// The connections of this name are there again.
    pub fn reconnect(&self, name: &str) {
        let mut state = self.state();
        state.cut_off.remove(name);
        state.update_connections();
    }

    /// The largest payload that the broker takes, in bytes; nodes learn of it when they connect the next time.
    pub fn set_max_payload(&self, bytes: usize) {
        self.state().max_payload = bytes;
    }

    /// The broker refuses a permission to this name, for good.
    pub fn refuse(&self, name: &str, permission: &str) {
        let error = LinkError::Permission(permission.to_owned());
        self.state().put_to_all(name, &LinkEvent::Fatal(error));
    }

    /// Everything that was sent so far and passes the filter, the oldest first.
    #[must_use]
    pub fn sent(&self, filter: impl Fn(&SentMessage) -> bool) -> Vec<SentMessage> {
        let state = self.state();
        state.sent.iter().filter(|s| filter(s)).cloned().collect()
    }

    /// Forgets what was sent so far.
    pub fn forget_sent(&self) {
        self.state().sent.clear();
    }

    fn state(&self) -> MutexGuard<'_, Broker> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link for MemoryLink {
    fn send(&mut self, to: &Address, reply_to: Option<&Address>, payload: Bytes) -> bool {
        self.broker.state().send(self.id, to, reply_to, payload) != Fate::Refused
    }

    async fn next(&mut self) -> LinkEvent {
        loop {
            let arrival = self.broker.state().take(self.id);
            match arrival {
                Arrival::Now(event) => return event,
                Arrival::At(due) => tokio::select! {
                    () = self.arrival.notified() => {}
                    () = sleep_until(due) => {}
                },
                Arrival::Nothing => self.arrival.notified().await,
            }
        }
    }
}

impl Drop for MemoryLink {
    fn drop(&mut self) {
        self.broker.state().connections.remove(&self.id);
    }
}
