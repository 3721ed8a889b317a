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
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) cluster: Cluster,
    /// By fingerprint.
    pub(super) network: BTreeMap<u64, Arc<Frame>>,
    pub(super) counts: Counts,
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
        state
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
                Message::Append(mut append) if append.storage.is_none() => {
                    append.round = 0; // which does not travel
                    Message::Append(append)
                }
                message => message,
            };
            let frame = Frame { to, message };
            let key = fingerprint(&frame);
            self.network.entry(key).or_insert_with(|| Arc::new(frame));
        }
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
