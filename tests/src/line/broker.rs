//! How messages go from node to node.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use replog_nats::{Delivered, LinkEvent, Message, Payload, Subject, Subjects};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::record::{Fate, Sent};
use super::weather::{Chance, Weather};

/// The broker's own default.
const MAX_PAYLOAD: usize = 1 << 20;
/// However bad the weather, no message comes more often.
const MAX_COPIES: u32 = 8;

#[derive(Debug)]
pub(super) struct Broker {
    subjects: Subjects,
    chance: Chance,
    pub(super) weather: Weather,
    pub(super) own_weather: BTreeMap<String, Weather>,
    pub(super) is_up: bool,
    pub(super) cut: BTreeSet<String>,
    pub(super) max_payload: usize,
    pub(super) ends: BTreeMap<u64, End>,
    pub(super) sent: Vec<Sent>,
    next: u64,
}

#[derive(Debug)]
pub(super) struct End {
    pub(super) name: Arc<str>,
    subscriptions: Vec<String>,
    is_up: bool,
    /// By the time they are due, then by the order in which they were sent.
    pub(super) inbox: BTreeMap<(Instant, u64), LinkEvent>,
    wake: Arc<Notify>,
}

impl Broker {
    pub(super) fn new(cluster: &str, seed: u64) -> Self {
        Self {
            subjects: Subjects::of(cluster),
            chance: Chance::new(seed),
            weather: Weather::CLEAR,
            own_weather: BTreeMap::new(),
            is_up: true,
            cut: BTreeSet::new(),
            max_payload: MAX_PAYLOAD,
            ends: BTreeMap::new(),
            sent: Vec::new(),
            next: 0,
        }
    }

    pub(super) fn ticket(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(super) fn ids(&self, like: impl Fn(&End) -> bool) -> impl Iterator<Item = u64> {
        self.ends
            .iter()
            .filter(move |(_, end)| like(end))
            .map(|(id, _)| *id)
    }

    pub(super) fn put(&mut self, id: u64, due: Instant, event: LinkEvent) {
        let ticket = self.ticket();
        if let Some(end) = self.ends.get_mut(&id) {
            end.inbox.insert((due, ticket), event);
            end.wake.notify_one();
        }
    }

    /// Tells the ends whose link has gone or come.
    pub(super) fn settle(&mut self) {
        let (is_up, max_payload, now) = (self.is_up, self.max_payload, Instant::now());
        let changed: Vec<u64> = self
            .ids(|end| end.is_up != (is_up && !self.cut.contains(&*end.name)))
            .collect();
        for id in changed {
            let Some(end) = self.ends.get_mut(&id) else {
                continue;
            };
            end.is_up = !end.is_up;
            let event = if end.is_up {
                LinkEvent::Up { max_payload }
            } else {
                end.inbox.retain(|(due, _), _| *due <= now); // what was on the way is lost
                LinkEvent::Down
            };
            self.put(id, now, event);
        }
    }

    pub(super) fn send(&mut self, from: u64, message: &Message) -> Fate {
        let name = self.subjects.name(&message.to);
        let Some((sender, is_up)) = self.ends.get(&from).map(|e| (e.name.clone(), e.is_up)) else {
            return Fate::Refused;
        };
        let weather = self.weather_of(&sender, None);
        let fits = message.payload.len() <= self.max_payload;
        let fate = if !is_up || !fits || self.chance.hit(weather.refusal) {
            Fate::Refused
        } else {
            self.route(from, &sender, &name, message)
        };
        self.sent.push(Sent {
            at: Instant::now(),
            from: sender,
            subject: name,
            payload: message.payload.clone(),
            fate,
        });
        fate
    }

    fn route(&mut self, from: u64, sender: &str, name: &str, message: &Message) -> Fate {
        let listeners: Vec<u64> = self
            .ids(|end| end.is_up && end.hears(name))
            .filter(|id| *id != from)
            .collect();
        if listeners.is_empty() {
            // The broker says so to whoever asked and listens for the answer.
            let reply = message.reply.as_ref();
            let reply = reply.filter(|reply| {
                let name = self.subjects.name(reply);
                self.ends.get(&from).is_some_and(|end| end.hears(&name))
            });
            if let Some(reply) = reply {
                let weather = self.weather_of(sender, None);
                self.carry(from, weather, reply.clone(), &Payload::NoResponders);
            }
            return Fate::Nobody;
        }
        let Some(subject) = self.subjects.parse(name) else {
            return Fate::Carried { copies: 0 };
        };
        let mut copies = 0;
        for id in listeners {
            let receiver = self.ends.get(&id).map(|end| end.name.clone());
            let weather = self.weather_of(sender, receiver.as_deref());
            let payload = Payload::Line(message.payload.clone());
            copies += self.carry(id, weather, subject.clone(), &payload);
        }
        Fate::Carried { copies }
    }

    fn weather_of(&self, sender: &str, receiver: Option<&str>) -> Weather {
        let own = receiver
            .into_iter()
            .chain([sender])
            .find_map(|name| self.own_weather.get(name));
        own.copied().unwrap_or(self.weather)
    }

    fn carry(&mut self, to: u64, weather: Weather, subject: Subject, payload: &Payload) -> u32 {
        let mut copies = u32::from(!self.chance.hit(weather.loss));
        while (1..MAX_COPIES).contains(&copies) && self.chance.hit(weather.duplication) {
            copies += 1;
        }
        for _ in 0..copies {
            let delay = self.chance.between(weather.delay_min, weather.delay_max);
            let (subject, payload) = (subject.clone(), payload.clone());
            let event = LinkEvent::Delivered(Delivered { subject, payload });
            self.put(to, Instant::now() + delay, event);
        }
        copies
    }
}

impl End {
    pub(super) fn new(name: &str, subscriptions: Vec<String>, wake: Arc<Notify>) -> Self {
        Self {
            name: name.into(),
            subscriptions,
            is_up: false,
            inbox: BTreeMap::new(),
            wake,
        }
    }

    fn hears(&self, name: &str) -> bool {
        self.subscriptions.iter().any(|pattern| {
            let (mut pattern, mut name) = (pattern.split('.'), name.split('.'));
            loop {
                match (pattern.next(), name.next()) {
                    (None, None) | (Some(">"), Some(_)) => return true,
                    (Some(want), Some(token)) if want == "*" || want == token => {}
                    _ => return false,
                }
            }
        })
    }
}
