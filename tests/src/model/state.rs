//! One state of the world: the cluster, and everything that was ever sent.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use replog_protocol::entry::Content;
use replog_protocol::ids::{MessageId, Seq};
use replog_protocol::node::Outbound;
use replog_protocol::wire::{AckOf, Address, Message};
use replog_tests::cluster::journal::SimJournal;
use replog_tests::cluster::{self, Cluster, Fate, Place, Request, fingerprint};
use uuid::Uuid;

use super::bounds::{Bounds, TICK};
use super::explored::Effect;
use super::step::Step;

/// A message under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Frame {
    /// Where to; which append an ACK answers makes no difference.
    pub(super) to: Address,
    pub(super) message: Message,
}

/// How often what has happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Counts {
    pub(super) restarts: u8,
    pub(super) rebirths: u8,
    pub(super) backups: u8,
    pub(super) copies: u8,
    pub(super) seconds: u8,
    pub(super) clears: u8,
    pub(super) renewals: u8,
    pub(super) outages: u8,
    pub(super) ticks: u8,
    pub(super) fulls: u8,
    pub(super) failures: u8,
    pub(super) rots: u8,
}

/// One state.
///
/// The network is the set of all that was ever sent: any of it may arrive at any time, any number of times, or never. That is
/// loss, duplication, delay and reordering in one, without bounds.
///
/// So the network only grows, and more of it makes nothing impossible. Whatever could happen that changes no node, and only
/// sends something, is therefore taken to have happened ([`State::close`]): each such message would double the states
/// otherwise, and show nothing that is not shown with the message under way.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) cluster: Cluster,
    /// By fingerprint.
    pub(super) network: BTreeMap<u64, Arc<Frame>>,
    pub(super) counts: Counts,
    /// The deliveries and ticks that change a node.
    pub(super) live: Vec<Step>,
    /// A number that is the same for the same cluster, whatever is under way.
    pub(super) core: u64,
}

impl Hash for State {
    fn hash<H: Hasher>(&self, into: &mut H) {
        self.core.hash(into);
        self.network.len().hash(into);
        self.network.keys().for_each(|frame| frame.hash(into));
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        fingerprint(self) == fingerprint(other)
    }
}

impl State {
    /// A master serves a new history, and the secondaries have just started.
    pub(super) fn new(bounds: &Bounds) -> Self {
        let mut cluster = Cluster::new(bounds.setup());
        for client in &bounds.clients {
            cluster.clients.push(Request {
                client: cluster::Client::new(cluster.clients.len()),
                message_id: MessageId(Uuid::from_u128(u128::from(client.message) + 1)),
                content: Content::from_text(&format!("m{}", client.message)),
                w: Some(client.w),
                fate: Fate::Silent,
            });
        }
        let mut state = Self {
            cluster,
            network: BTreeMap::new(),
            counts: Counts::default(),
            live: Vec::new(),
            core: 0,
        };
        let is_lazy = state.cluster.setup.is_lazy;
        for name in state.cluster.setup.names.clone() {
            let n = state.cluster.add_secondary(name, SimJournal::new(is_lazy));
            state.start_secondary(n);
        }
        let m = state.cluster.add_master();
        state.start_master(m, false);
        // A patient one is told that nobody holds anything.
        for frame in state.network.values() {
            if matches!(frame.to, Address::Ack(..)) {
                state
                    .cluster
                    .deliver(Place::Master(m), frame.message.clone());
            }
        }
        state
            .network
            .retain(|_, frame| matches!(frame.to, Address::Ack(..)));
        state.cluster.tick(Place::Master(m), TICK);
        state.finish_writes();
        state.carry();
        state.close(bounds);
        state
    }

    /// A number that is the same for the same cluster, whatever is under way.
    pub(super) fn core(&self) -> u64 {
        fingerprint(&(self.cluster.fingerprint_of_all(), &self.counts))
    }

    /// Lets everything happen that changes no node, until that sends nothing new.
    pub(super) fn close(&mut self, bounds: &Bounds) {
        self.live.clear();
        if self.cluster.violation.is_some() {
            return;
        }
        let before = self.cluster.clone();
        let places = before.running();
        let nodes: BTreeMap<Place, u64> = places
            .iter()
            .map(|place| (*place, before.fingerprint(*place)))
            .collect();
        let mut queue: Vec<u64> = self.network.keys().copied().collect();
        for place in places
            .into_iter()
            .filter(|place| bounds.ticks_are_free(*place))
        {
            self.try_out(bounds, &before, (place, nodes[&place]), None, &mut queue);
        }
        while let Some(key) = queue.pop() {
            let frame = Arc::clone(&self.network[&key]);
            for place in self.receivers(&frame) {
                let node = (place, nodes[&place]);
                self.try_out(bounds, &before, node, Some((key, &frame)), &mut queue);
            }
        }
    }

    /// A message reaches a node, or its clock goes on. What that has sent is under way if it has changed nothing else; or it
    /// has not happened, and is a step of its own.
    fn try_out(
        &mut self,
        bounds: &Bounds,
        before: &Cluster,
        (place, node): (Place, u64),
        frame: Option<(u64, &Frame)>,
        queue: &mut Vec<u64>,
    ) {
        let key = frame.map(|(key, _)| key);
        let effect = bounds
            .explored
            .effect_on(place, node, key)
            .unwrap_or_else(|| {
                match frame {
                    Some((_, frame)) => self.cluster.deliver(place, frame.message.clone()),
                    None => self.cluster.tick(place, bounds.tick_of(place)),
                }
                let is_same = self.cluster.violation.is_none()
                    && Arc::ptr_eq(&self.cluster.truth, &before.truth)
                    && self.cluster.has_same_fates(before)
                    && self.cluster.fingerprint(place) == node;
                let effect = match is_same {
                    true => Effect::Sends(self.take_sent().into()),
                    false => Effect::Changes,
                };
                self.cluster.revert(place, before);
                bounds.explored.learn(place, node, key, effect.clone());
                effect
            });
        match effect {
            Effect::Sends(frames) => queue.extend(self.add(&frames)),
            Effect::Changes => self.live.push(match key {
                Some(key) => Step::Deliver(key, place),
                None => Step::Tick(place),
            }),
        }
    }

    /// A master starts and has its link.
    pub(super) fn start_master(&mut self, m: usize, takeover: bool) {
        self.cluster.start_master(m, takeover);
        self.cluster.link(Place::Master(m), true);
        self.carry();
    }

    /// A secondary starts, has its link, and has won its name: in the model nobody answers its claim in time.
    pub(super) fn start_secondary(&mut self, n: usize) {
        self.cluster.start_secondary(n);
        self.settle_secondary(n);
    }

    /// The rest of it.
    pub(super) fn settle_secondary(&mut self, n: usize) {
        let place = Place::Secondary(n);
        self.cluster.link(place, true);
        self.cluster.tick(place, TICK);
        self.carry();
    }

    /// Every write that is in flight ends.
    pub(super) fn finish_writes(&mut self) {
        for place in self.writing() {
            let done = replog_tests::cluster::journal::WriteEnd::Done;
            self.cluster.finish_write(place, done);
        }
    }

    /// Where a write is in flight.
    pub(super) fn writing(&self) -> Vec<Place> {
        let masters = self.cluster.masters.iter().enumerate();
        let masters = masters.filter(|(_, m)| m.process.is_some() && m.journal.is_writing());
        let secondaries = self.cluster.secondaries.iter().enumerate();
        let secondaries =
            secondaries.filter(|(_, s)| s.process.is_some() && s.journal.is_writing());
        masters
            .map(|(m, _)| Place::Master(m))
            .chain(secondaries.map(|(n, _)| Place::Secondary(n)))
            .collect()
    }

    /// What has left is under way from now on.
    pub(super) fn carry(&mut self) {
        let sent = self.take_sent();
        self.add(&sent);
    }

    /// Those are under way from now on: which are new.
    fn add(&mut self, frames: &[(u64, Arc<Frame>)]) -> Vec<u64> {
        let mut new = Vec::new();
        for (key, frame) in frames {
            if self.network.insert(*key, Arc::clone(frame)).is_none() {
                new.push(*key);
            }
        }
        new
    }

    /// What has left.
    fn take_sent(&mut self) -> Vec<(u64, Arc<Frame>)> {
        self.cluster.events.clear();
        let is_alone = self.cluster.masters.len() == 1;
        let sent = std::mem::take(&mut self.cluster.outbox).into_iter();
        let frames = sent.filter_map(|(_, Outbound { to, message, .. })| {
            let to = match to {
                Address::Ack(node, _) => Address::Ack(node, AckOf::Seq(Seq::ZERO)),
                Address::Announce if is_alone => return None,
                // The claim is settled when it starts; secondaries speak up without being asked.
                Address::Claim(_) => return None,
                to => to,
            };
            let message = match message {
                Message::Append(mut append) => {
                    if append.storage.is_none() {
                        append.round = 0; // which does not travel
                    }
                    append.commit = Seq::ZERO; // which is only shown
                    Message::Append(append)
                }
                message => message,
            };
            let frame = Frame { to, message };
            Some((fingerprint(&frame), Arc::new(frame)))
        });
        frames.collect()
    }

    /// Whom a message can reach.
    pub(super) fn receivers(&self, frame: &Frame) -> Vec<Place> {
        let mut all = self.cluster.listeners(Place::Master(usize::MAX), &frame.to);
        if matches!(frame.to, Address::Announce) {
            all.retain(|place| matches!(place, Place::Master(_)));
        }
        if matches!(frame.to, Address::Fetched(_)) {
            let asks = |m: usize| {
                let master = &self.cluster.masters[m];
                master.recovers() || !master.journal.damaged().is_empty()
            };
            all.retain(|place| matches!(place, Place::Master(m) if asks(*m)));
        }
        all
    }
}
