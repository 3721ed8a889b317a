//! How messages go from connection to connection.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use replog_nats::{LinkEvent, Payload, Subjects};
use replog_protocol::wire::Address;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::faults::Faults;
use super::recorder::{Fate, SentMessage};
use replog_model::rng::SeededRng;

/// The real broker's default, in bytes.
const MAX_PAYLOAD: usize = 1 << 20;
/// However likely a repetition is, no message arrives more often.
const MAX_COPIES: u32 = 8;

/// Everything that the broker knows.
#[derive(Debug)]
pub(super) struct Broker {
    subjects: Subjects,
    rng: SeededRng,
    pub(super) faults: Faults,
    /// By the name of a connection: what happens to all that it sends and is sent.
    pub(super) own_faults: BTreeMap<String, Faults>,
    pub(super) is_up: bool,
    /// The names of the connections that are broken.
    pub(super) cut_off: BTreeSet<String>,
    pub(super) max_payload: usize,
    pub(super) connections: BTreeMap<ConnectionId, Connection>,
    pub(super) sent: Vec<SentMessage>,
    numbers: u64,
}

/// Tells apart connections of one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ConnectionId(u64);

/// One node's connection, as the broker sees it.
#[derive(Debug)]
pub(super) struct Connection {
    name: Arc<str>,
    subscriptions: Vec<String>,
    is_up: bool,
    /// By the time at which they are due, then by the order in which they were sent.
    inbox: BTreeMap<(Instant, u64), LinkEvent>,
    arrival: Arc<Notify>,
}

/// What a connection finds in its inbox.
#[derive(Debug)]
pub(super) enum Arrival {
    Now(LinkEvent),
    /// The next event is on the way.
    At(Instant),
    Nothing,
}

impl Broker {
    pub(super) fn new(cluster: &str, seed: u64) -> Self {
        Self {
            subjects: Subjects::of(cluster),
            rng: SeededRng::new(seed),
            faults: Faults::NONE,
            own_faults: BTreeMap::new(),
            is_up: true,
            cut_off: BTreeSet::new(),
            max_payload: MAX_PAYLOAD,
            connections: BTreeMap::new(),
            sent: Vec::new(),
            numbers: 0,
        }
    }

    /// Adds a connection. `arrival` is notified when something comes into its inbox.
    pub(super) fn connect(
        &mut self,
        name: &str,
        subscriptions: Vec<String>,
        arrival: Arc<Notify>,
    ) -> ConnectionId {
        let id = ConnectionId(self.next_number());
        let connection = Connection {
            name: name.into(),
            subscriptions,
            is_up: false,
            inbox: BTreeMap::new(),
            arrival,
        };
        self.connections.insert(id, connection);
        self.update_connections();
        id
    }

    /// Tells the connections that have broken, or are there again.
    pub(super) fn update_connections(&mut self) {
        let (is_up, max_payload, now) = (self.is_up, self.max_payload, Instant::now());
        let cut_off = &self.cut_off;
        let is_wrong = |c: &Connection| c.is_up != (is_up && !cut_off.contains(&*c.name));
        let changed: Vec<ConnectionId> = self.ids(is_wrong).collect();
        for id in changed {
            let Some(connection) = self.connections.get_mut(&id) else {
                continue;
            };
            connection.is_up = !connection.is_up;
            let event = if connection.is_up {
                LinkEvent::Up { max_payload }
            } else {
                connection.inbox.retain(|(due, _), _| *due <= now); // what was on the way is lost
                LinkEvent::Down
            };
            self.put(id, now, event);
        }
    }

    /// Something happens now to every connection of that name.
    pub(super) fn put_to_all(&mut self, name: &str, event: &LinkEvent) {
        let ids: Vec<ConnectionId> = self.ids(|c| &*c.name == name).collect();
        for id in ids {
            self.put(id, Instant::now(), event.clone());
        }
    }

    /// Takes the next event for the connection, if it has arrived.
    pub(super) fn take(&mut self, id: ConnectionId) -> Arrival {
        let connection = self.connections.get_mut(&id);
        let Some(first) = connection.and_then(|c| c.inbox.first_entry()) else {
            return Arrival::Nothing;
        };
        let (due, _) = *first.key();
        match due > Instant::now() {
            true => Arrival::At(due),
            false => Arrival::Now(first.remove()),
        }
    }

    /// Carries a message of a connection, records it, and returns what became of it.
    pub(super) fn send(
        &mut self,
        from: ConnectionId,
        to: &Address,
        reply_to: Option<&Address>,
        payload: Bytes,
    ) -> Fate {
        let Some(sender) = self.connections.get(&from) else {
            return Fate::Refused;
        };
        let (sender, is_up) = (Arc::clone(&sender.name), sender.is_up);
        let subject = self.subjects.name(to);
        let fits = payload.len() <= self.max_payload;
        let refusal = self.faults_between(&sender, None).refusal;
        let fate = if !is_up || !fits || self.rng.hit(refusal) {
            Fate::Refused
        } else {
            self.route(from, &sender, to, &subject, reply_to, &payload)
        };
        self.sent.push(SentMessage {
            at: Instant::now(),
            from: sender,
            to: to.clone(),
            subject,
            payload,
            fate,
        });
        fate
    }

    fn route(
        &mut self,
        from: ConnectionId,
        sender: &str,
        to: &Address,
        subject: &str,
        reply_to: Option<&Address>,
        payload: &Bytes,
    ) -> Fate {
        let listeners: Vec<ConnectionId> = self
            .ids(|c| c.is_up && c.listens_to(subject))
            .filter(|id| *id != from)
            .collect();
        if listeners.is_empty() {
            self.answer_no_responders(from, sender, reply_to);
            return Fate::NoResponders;
        }
        let mut copies = 0;
        for id in listeners {
            let receiver = self.connections.get(&id).map(|c| Arc::clone(&c.name));
            let faults = self.faults_between(sender, receiver.as_deref());
            let payload = Payload::Frame(payload.clone());
            copies += self.carry(id, faults, to, &payload);
        }
        Fate::Carried { copies }
    }

    /// The broker says so to a sender that waits for an answer and listens for it.
    fn answer_no_responders(
        &mut self,
        from: ConnectionId,
        sender: &str,
        reply_to: Option<&Address>,
    ) {
        let Some(reply_to) = reply_to else {
            return;
        };
        let subject = self.subjects.name(reply_to);
        let sender_listens = |c: &Connection| c.listens_to(&subject);
        if self.connections.get(&from).is_some_and(sender_listens) {
            let faults = self.faults_between(sender, None);
            self.carry(from, faults, reply_to, &Payload::NoResponders);
        }
    }

    /// The receiver's own faults, else the sender's own, else everybody's.
    fn faults_between(&self, sender: &str, receiver: Option<&str>) -> Faults {
        let mut names = receiver.into_iter().chain([sender]);
        let own = names.find_map(|name| self.own_faults.get(name));
        own.copied().unwrap_or(self.faults)
    }

    /// Puts copies of a message on the way, none if it is lost, and returns how many.
    fn carry(
        &mut self,
        to: ConnectionId,
        faults: Faults,
        address: &Address,
        payload: &Payload,
    ) -> u32 {
        let mut copies = u32::from(!self.rng.hit(faults.loss));
        while (1..MAX_COPIES).contains(&copies) && self.rng.hit(faults.duplication) {
            copies += 1;
        }
        for _ in 0..copies {
            let delay = self.rng.between(faults.delay_min, faults.delay_max);
            let event = LinkEvent::Delivered {
                address: address.clone(),
                payload: payload.clone(),
            };
            self.put(to, Instant::now() + delay, event);
        }
        copies
    }

    fn put(&mut self, id: ConnectionId, due: Instant, event: LinkEvent) {
        let number = self.next_number();
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.inbox.insert((due, number), event);
            connection.arrival.notify_one();
        }
    }

    fn ids(&self, filter: impl Fn(&Connection) -> bool) -> impl Iterator<Item = ConnectionId> {
        let matching = self.connections.iter().filter(move |(_, c)| filter(c));
        matching.map(|(id, _)| *id)
    }

    fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }
}

impl Connection {
    fn listens_to(&self, subject: &str) -> bool {
        self.subscriptions
            .iter()
            .any(|pattern| matches_pattern(pattern, subject))
    }
}

/// NATS: `*` stands for one token, `>` at the end for one or more.
fn matches_pattern(pattern: &str, subject: &str) -> bool {
    let (mut pattern, mut subject) = (pattern.split('.'), subject.split('.'));
    loop {
        match (pattern.next(), subject.next()) {
            (None, None) | (Some(">"), Some(_)) => return true,
            (Some(wanted), Some(token)) if wanted == "*" || wanted == token => {}
            _ => return false,
        }
    }
}
