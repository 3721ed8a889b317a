//! The broker in memory as tests hold it, and a node's end of the line to it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use replog_nats::{Link, LinkEvent, Message};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::broker::{Broker, End};
use super::record::{Fate, Sent};
use super::weather::Weather;

/// The broker in memory. Clones are the same broker.
#[derive(Clone, Debug)]
pub struct Hub {
    state: Arc<Mutex<Broker>>,
}

/// One node's connection. Dropping it closes it.
#[derive(Debug)]
pub struct Line {
    hub: Hub,
    id: u64,
    wake: Arc<Notify>,
}

impl Hub {
    /// A broker that is there, in clear weather. The seed decides about losses, repeats and delays.
    #[must_use]
    pub fn new(cluster: &str, seed: u64) -> Self {
        Self {
            state: Arc::new(Mutex::new(Broker::new(cluster, seed))),
        }
    }

    /// Connects a node that listens to `subscriptions`, with the wildcards of NATS.
    #[must_use]
    pub fn connect(&self, name: &str, subscriptions: Vec<String>) -> Line {
        let wake = Arc::new(Notify::new());
        let mut state = self.state();
        let id = state.ticket();
        let end = End::new(name, subscriptions, Arc::clone(&wake));
        state.ends.insert(id, end);
        state.settle();
        drop(state);
        Line {
            hub: self.clone(),
            id,
            wake,
        }
    }

    /// The weather for everybody who has no own.
    pub fn set_weather(&self, weather: Weather) {
        self.state().weather = weather;
    }

    /// The weather on everything that this node sends or is sent; `None` is that of the others.
    pub fn set_weather_of(&self, name: &str, weather: Option<Weather>) {
        let mut state = self.state();
        match weather {
            Some(weather) => drop(state.own_weather.insert(name.to_owned(), weather)),
            None => drop(state.own_weather.remove(name)),
        }
    }

    /// The broker goes, or comes back.
    pub fn set_up(&self, is_up: bool) {
        let mut state = self.state();
        state.is_up = is_up;
        state.settle();
    }

    /// This node's connection breaks: it and the broker know.
    pub fn cut(&self, name: &str) {
        let mut state = self.state();
        state.cut.insert(name.to_owned());
        state.settle();
    }

    /// This node's connection is there again.
    pub fn mend(&self, name: &str) {
        let mut state = self.state();
        state.cut.remove(name);
        state.settle();
    }

    /// What the broker takes from the next connection on.
    pub fn set_max_payload(&self, bytes: usize) {
        self.state().max_payload = bytes;
    }

    /// The broker refuses this node for good.
    pub fn refuse(&self, name: &str, why: &str) {
        let mut state = self.state();
        let ids: Vec<u64> = state.ids(|end| &*end.name == name).collect();
        for id in ids {
            state.put(id, Instant::now(), LinkEvent::Fatal(why.to_owned()));
        }
    }

    /// Everything that was sent so far and is like this, the oldest first.
    #[must_use]
    pub fn sent(&self, like: impl Fn(&Sent) -> bool) -> Vec<Sent> {
        self.state()
            .sent
            .iter()
            .filter(|s| like(s))
            .cloned()
            .collect()
    }

    /// Forgets what was sent so far.
    pub fn forget_sent(&self) {
        self.state().sent.clear();
    }

    fn state(&self) -> MutexGuard<'_, Broker> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link for Line {
    fn send(&mut self, message: Message) -> bool {
        self.hub.state().send(self.id, &message) != Fate::Refused
    }

    async fn next(&mut self) -> LinkEvent {
        loop {
            let due = {
                let mut state = self.hub.state();
                let inbox = state.ends.get_mut(&self.id).map(|end| &mut end.inbox);
                match inbox.as_ref().and_then(|i| i.first_key_value()) {
                    Some(((due, _), _)) if *due > Instant::now() => Some(*due),
                    Some(_) => match inbox.and_then(BTreeMap::pop_first) {
                        Some((_, event)) => return event,
                        None => None,
                    },
                    None => None,
                }
            };
            match due {
                Some(due) => tokio::select! {
                    () = self.wake.notified() => {}
                    () = sleep_until(due) => {}
                },
                None => self.wake.notified().await,
            }
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.hub.state().ends.remove(&self.id);
    }
}
