//! One state of the world: the cluster, and everything that was ever sent.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use replog_protocol::entry::Content;
use replog_protocol::ids::{MessageId, Seq};
use replog_protocol::node::Outbound;
use replog_protocol::wire::{AckOf, Address, Message};
use replog_tests::cluster::journal::SimJournal;
use replog_tests::cluster::{self, Cluster, Fate, Place, Request};
use uuid::Uuid;

use super::bounds::{Bounds, TICK};
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
}

impl Hash for State {
    fn hash<H: Hasher>(&self, into: &mut H) {
        self.cluster.hash(into);
        self.network.len().hash(into);
        self.network.keys().for_each(|frame| frame.hash(into));
        self.counts.hash(into);
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        fingerprint(self) == fingerprint(other)
    }
}

/// The same number for the same value, whoever asks.
pub(super) fn fingerprint(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
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
                state.cluster.deliver(Place::Master(m), frame.message.clone());
            }
        }
        state.network.retain(|_, frame| matches!(frame.to, Address::Ack(..)));
        state.cluster.tick(Place::Master(m), TICK);
        state.finish_writes();
        state.carry();
        state.close(bounds);
        state
    }

    /// Lets everything happen that changes no node, until that sends nothing new.
    pub(super) fn close(&mut self, bounds: &Bounds) {
        self.live.clear();
        if self.cluster.violation.is_some() {
            return;
        }
        let before = self.cluster.clone();
        let places = before.running();
        let hashes: BTreeMap<Place, u64> =
            places.iter().map(|place| (*place, before.fingerprint(*place))).collect();
        let mut queue: Vec<u64> = self.network.keys().copied().collect();
        for place in places {
            if !bounds.ticks_are_free(place) {
                continue;
            }
            self.cluster.tick(place, bounds.tick_of(place));
            self.keep_or_revert(&before, place, hashes[&place], Step::Tick(place), &mut queue);
        }
        while let Some(key) = queue.pop() {
            let frame = Arc::clone(&self.network[&key]);
            for place in self.receivers(&frame) {
                self.cluster.deliver(place, frame.message.clone());
                let step = Step::Deliver(key, place);
                self.keep_or_revert(&before, place, hashes[&place], step, &mut queue);
            }
        }
    }

    /// Something has happened to one node: what that has sent is under way if it has changed nothing else; or it has not
    /// happened, and is a step of its own.
    fn keep_or_revert(
        &mut self,
        before: &Cluster,
        place: Place,
        hash: u64,
        step: Step,
        queue: &mut Vec<u64>,
    ) {
        let is_same = self.cluster.violation.is_none()
            && Arc::ptr_eq(&self.cluster.truth, &before.truth)
            && self.cluster.clients.iter().map(|c| &c.fate).eq(before.clients.iter().map(|c| &c.fate))
            && self.cluster.fingerprint(place) == hash;
        match is_same {
            true => queue.extend(self.carry()),
            false => self.live.push(step),
        }
        self.cluster.clone_from(before);
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

    /// What has left is under way from now on: what of it is new.
    pub(super) fn carry(&mut self) -> Vec<u64> {
        let mut new = Vec::new();
        self.cluster.events.clear();
        let is_alone = self.cluster.masters.len() == 1;
        for (_, Outbound { to, message, .. }) in std::mem::take(&mut self.cluster.outbox) {
            let to = match to {
                Address::Ack(node, _) => Address::Ack(node, AckOf::Seq(Seq::ZERO)),
                Address::Announce if is_alone => continue,
                // The claim is settled when it starts; secondaries speak up without being asked.
                Address::Claim(_) => continue,
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
            let key = fingerprint(&frame);
            if self.network.insert(key, Arc::new(frame)).is_none() {
                new.push(key);
            }
        }
        new
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
