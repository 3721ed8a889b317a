//! One state of the world: the cluster, and everything that was ever sent.

use std::hash::{Hash, Hasher};

use replog_protocol::committed::Committed;
use replog_protocol::entry::Content;
use replog_protocol::ids::{MessageId, Seq};
use replog_protocol::node::Outbound;
use replog_protocol::wire::{AckOf, Address, Message};
use uuid::Uuid;

use super::bounds::{Bounds, TICK};
use super::explored::Effect;
use super::frames::Frame;
use super::network::Network;
use super::step::Step;
use replog_model::cluster::journal::{SimJournal, WriteEnd};
use replog_model::cluster::{self, Cluster, Fate, Place, Request, fingerprint};

/// How often what has happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Counts {
    pub(crate) restarts: u8,
    pub(crate) leaves: u8,
    pub(crate) removals: u8,
    pub(crate) rebirths: u8,
    pub(crate) backups: u8,
    pub(crate) copies: u8,
    pub(crate) seconds: u8,
    pub(crate) clears: u8,
    pub(crate) renewals: u8,
    pub(crate) outages: u8,
    pub(crate) ticks: u8,
    pub(crate) fulls: u8,
    pub(crate) failures: u8,
    pub(crate) rots: u8,
    pub(crate) stale: u8,
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
pub(crate) struct State {
    pub(crate) cluster: Cluster,
    pub(crate) network: Network,
    pub(crate) counts: Counts,
    /// The deliveries and ticks that change a node.
    pub(crate) live: Vec<Step>,
    /// A number that is the same for the same cluster, whatever is under way.
    pub(crate) core: u64,
}

impl Hash for State {
    fn hash<H: Hasher>(&self, into: &mut H) {
        self.core.hash(into);
        self.network.hash(into);
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        fingerprint(self) == fingerprint(other)
    }
}

impl State {
    /// A master serves a new history, and the secondaries have just started.
    pub(crate) fn new(bounds: &Bounds) -> Self {
        let mut cluster = Cluster::new(bounds.setup());
        for client in &bounds.clients {
            cluster.clients.push(Request {
                client: cluster::Client::new(cluster.clients.len()),
                message_id: MessageId(Uuid::from_u128(u128::from(client.message) + 1)),
                content: Content::from_text(&format!("m{}", client.message)),
                asks: client.w,
                w: None,
                fate: Fate::Silent,
            });
        }
        let mut state = Self {
            cluster,
            network: Network::default(),
            counts: Counts::default(),
            live: Vec::new(),
            core: 0,
        };
        let is_lazy = state.cluster.setup.is_lazy;
        for name in state.cluster.setup.names.clone() {
            let n = state.cluster.add_secondary(name, SimJournal::new(is_lazy));
            state.start_secondary(bounds, n);
        }
        let m = state.cluster.add_master();
        state.start_master(bounds, m, false);
        if bounds.standbys > 0 {
            state.share(bounds, m);
            return state;
        }
        if bounds.together {
            let second = state.cluster.add_master();
            state.start_master(bounds, second, bounds.takeover);
            state.close(bounds, None);
            return state;
        }
        // A patient one is told that nobody holds anything; nothing else is left of the start.
        let mut acks = Network::default();
        for number in state.network.iter() {
            let frame = bounds.frame(number);
            if matches!(frame.to, Address::Ack(..)) {
                acks.insert(number);
                let message = frame.message.clone();
                state.cluster.deliver(Place::Master(m), message);
            }
        }
        state.network = acks;
        state.cluster.tick(Place::Master(m), TICK);
        for place in state.writing() {
            state.cluster.finish_write(place, WriteEnd::Done);
        }
        state.carry(bounds);
        state.close(bounds, None);
        state
    }

    /// The first master claims the journal and serves; the others stand by, and have seen that.
    fn share(&mut self, bounds: &Bounds, first: usize) {
        let place = Place::Master(first);
        for _ in 0..4 {
            for number in self.network.iter() {
                let frame = bounds.frame(number);
                if matches!(frame.to, Address::Ack(..)) && !self.cluster.masters[first].serves() {
                    let message = frame.message.clone();
                    self.cluster.deliver(place, message);
                }
            }
            self.cluster.tick(place, TICK);
            while self.cluster.is_writing(place) {
                self.cluster.finish_write(place, WriteEnd::Done);
            }
        }
        assert!(self.cluster.masters[first].serves(), "it serves by now");
        self.cluster.outbox.clear();
        for _ in 0..bounds.standbys {
            let m = self.cluster.add_master();
            self.start_master(bounds, m, false);
            while self.cluster.is_behind(m) {
                self.cluster.follow(m);
            }
            self.cluster.tick(Place::Master(m), TICK);
        }
        self.carry(bounds);
        self.close(bounds, None);
    }

    /// A number that is the same for the same cluster, whatever is under way.
    pub(crate) fn core(&self) -> u64 {
        fingerprint(&(self.cluster.fingerprint_of_all(), &self.counts))
    }

    /// Lets everything happen that changes no node, until that sends nothing new. For nodes that are as they were in
    /// `before` this is known of all that was under way there.
    pub(crate) fn close(&mut self, bounds: &Bounds, before: Option<&Self>) {
        self.live.clear();
        if self.cluster.violation.is_some() {
            return;
        }
        let former = self.cluster.clone();
        let is_as_before = |place: Place| {
            before.is_some_and(|before| {
                before.cluster.has(place)
                    && former.has(place)
                    && before.cluster.fingerprint(place) == former.fingerprint(place)
            })
        };
        let is_new = |place: &Place| !is_as_before(*place);
        let new: Vec<Place> = former.running().into_iter().filter(is_new).collect();
        if let Some(before) = before {
            let as_before = before.live.iter().copied();
            self.live
                .extend(as_before.filter(|step| is_as_before(step.place())));
        }
        let frames = self.network.iter();
        let mut queue: Vec<u32> = frames.collect();
        for place in new.iter().filter(|place| bounds.ticks_are_free(**place)) {
            self.try_out(bounds, &former, *place, None, &mut queue);
        }
        while let Some(frame) = queue.pop() {
            let is_known = before.is_some_and(|before| before.network.contains(frame));
            for place in bounds.receivers(&self.cluster, frame) {
                if !is_known || new.contains(&place) {
                    self.try_out(bounds, &former, place, Some(frame), &mut queue);
                }
            }
        }
        self.live.sort_unstable();
    }

    /// A message reaches a node, or its clock goes on. What that has sent is under way if it has changed nothing else; or it
    /// has not happened, and is a step of its own.
    fn try_out(
        &mut self,
        bounds: &Bounds,
        before: &Cluster,
        place: Place,
        frame: Option<u32>,
        queue: &mut Vec<u32>,
    ) {
        let node = before.fingerprint(place);
        let known = bounds.explored.effect_on(place, node, frame);
        let effect = known.unwrap_or_else(|| {
            match frame {
                Some(frame) => {
                    let message = bounds.frame(frame).message.clone();
                    self.cluster.deliver(place, message);
                }
                None => self.cluster.tick(place, bounds.tick_of(place)),
            }
            let is_same = self.cluster.violation.is_none()
                && self.cluster.truth.is_same(&before.truth)
                && self.cluster.has_same_fates(before)
                && self.cluster.fingerprint(place) == node;
            let effect = match is_same {
                true => Effect::Sends(self.take_sent(bounds).into()),
                false => Effect::Changes,
            };
            self.cluster.revert(place, before);
            bounds.explored.learn(place, node, frame, effect.clone());
            effect
        });
        match effect {
            Effect::Sends(frames) => {
                let new = frames.iter().filter(|frame| self.network.insert(**frame));
                queue.extend(new);
            }
            Effect::Changes => self.live.push(match frame {
                Some(frame) => Step::Deliver(frame, place),
                None => Step::Tick(place),
            }),
        }
    }

    /// A master starts and has its link.
    pub(crate) fn start_master(&mut self, bounds: &Bounds, m: usize, takeover: bool) {
        if bounds.punctual {
            self.lose_what_masters_would_hear(bounds);
        }
        self.cluster.start_master(m, takeover);
        self.cluster.link(Place::Master(m), true);
        self.carry(bounds);
    }

    /// A secondary starts, has its link, and has won its name: in the model nobody answers its claim in time.
    pub(crate) fn start_secondary(&mut self, bounds: &Bounds, n: usize) {
        self.cluster.start_secondary(n);
        self.settle_secondary(bounds, n);
    }

    /// The rest of it.
    pub(crate) fn settle_secondary(&mut self, bounds: &Bounds, n: usize) {
        let place = Place::Secondary(n);
        self.cluster.link(place, true);
        self.cluster.tick(place, TICK);
        self.carry(bounds);
    }

    /// Where a write is in flight.
    pub(crate) fn writing(&self) -> Vec<Place> {
        let cluster = &self.cluster;
        let places = cluster.running().into_iter();
        places.filter(|place| cluster.is_writing(*place)).collect()
    }

    /// Nothing is under way to masters any more but what the secondaries would say if they were asked now.
    fn lose_what_masters_would_hear(&mut self, bounds: &Bounds) {
        let is_for_secondaries = |number: &u32| {
            let to = &bounds.frame(*number).to;
            let is_for_masters = matches!(
                to,
                Address::Ack(..) | Address::Promise(_) | Address::Fetched(_) | Address::Announce
            );
            !is_for_masters
        };
        let former = std::mem::take(&mut self.network);
        for number in former.iter().filter(is_for_secondaries) {
            self.network.insert(number);
        }
        for (n, follower) in self.cluster.followers() {
            let position = follower.position();
            let to = Address::Ack(position.node.clone(), AckOf::Hello);
            let outbound = Outbound {
                to,
                reply_to: None,
                message: Message::Ack(position),
            };
            if !self.cluster.is_writing(Place::Secondary(n)) {
                let frame = frame(outbound, true, false).expect("an ACK travels");
                let number = bounds.explored.frames().number(frame);
                self.network.insert(number);
            }
        }
    }

    /// Masters hear what others among them have said.
    fn let_masters_hear(&mut self) {
        let mut kept = Vec::new();
        while !self.cluster.outbox.is_empty() {
            for (from, outbound) in std::mem::take(&mut self.cluster.outbox) {
                if outbound.to == Address::Announce {
                    for to in self.cluster.listeners(from, &outbound.to) {
                        if matches!(to, Place::Master(_)) {
                            self.cluster.deliver(to, outbound.message.clone());
                        }
                    }
                } else {
                    kept.push((from, outbound));
                }
            }
        }
        self.cluster.outbox = kept;
    }

    /// What has left is under way from now on.
    pub(crate) fn carry(&mut self, bounds: &Bounds) {
        if bounds.prompt {
            self.let_masters_hear();
        }
        for frame in self.take_sent(bounds) {
            self.network.insert(frame);
        }
    }

    /// What has left.
    fn take_sent(&mut self, bounds: &Bounds) -> Vec<u32> {
        self.cluster.events.clear();
        // Who hears nobody else announces itself to nobody; or it was heard.
        // Those who share a journal may always think that nobody leads.
        let is_alone =
            bounds.prompt || bounds.seconds == 0 && !bounds.together || bounds.standbys > 0;
        let sent = std::mem::take(&mut self.cluster.outbox).into_iter();
        let sent = sent.filter_map(|(_, outbound)| frame(outbound, is_alone, bounds.commits));
        let mut frames = bounds.explored.frames();
        sent.map(|frame| frames.number(frame)).collect()
    }
}

/// A message as it travels in the model, if it does.
fn frame(outbound: Outbound, is_alone: bool, tells_committed: bool) -> Option<Frame> {
    let to = match outbound.to {
        Address::Ack(node, _) => Address::Ack(node, AckOf::Seq(Seq::ZERO)),
        Address::Announce if is_alone => return None,
        // The claim is settled when it starts; secondaries speak up without being asked.
        Address::Claim(_) => return None,
        to => to,
    };
    let message = match outbound.message {
        Message::Append(mut append) => {
            if append.storage.is_none() {
                append.round = 0; // which does not travel
            }
            if !tells_committed {
                append.committed = Committed::default();
            }
            Message::Append(append)
        }
        message => message,
    };
    Some(Frame { to, message })
}

impl Bounds {
    /// The message with that number.
    pub(crate) fn frame(&self, number: u32) -> std::sync::Arc<Frame> {
        self.explored.frames().get(number).clone()
    }

    /// Whom a message can reach.
    pub(crate) fn receivers(&self, cluster: &Cluster, frame: u32) -> Vec<Place> {
        let frame = self.frame(frame);
        let mut all = cluster.listeners(Place::Master(usize::MAX), &frame.to);
        match frame.to {
            Address::Announce => all.retain(|place| matches!(place, Place::Master(_))),
            Address::Fetched(_) => {
                let asks = |m: usize| {
                    let master = &cluster.masters[m];
                    master.recovers() || !master.journal.damaged().is_empty()
                };
                all.retain(|place| matches!(place, Place::Master(m) if asks(*m)));
            }
            _ => {}
        }
        all
    }
}
