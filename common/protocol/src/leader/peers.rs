//! The secondaries that a master knows, and which of them count.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::event::Event;
use crate::ids::{NodeId, Seq, Time};
use crate::leader::attention::{Attention, Few};
use crate::leader::command::NotRemoved;
use crate::leader::fan_out::TURN_TIME;
use crate::leader::health::Status;
use crate::leader::pace::Pace;
use crate::leader::peer::Peer;
use crate::leader::settings::{MAX_NODES, Replication};
use crate::tally::{Shown, Tally};
use crate::write_concern::{TooManyNodes, WriteConcern};

/// One [`Peer`] per secondary.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Peers {
    /// The members, when they are listed; everybody else observes. `None`: whoever joins is a member.
    listed: Option<BTreeSet<NodeId>>,
    peers: BTreeMap<NodeId, Peer>,
    /// How often each is sent a sign of life.
    pace: Pace,
    /// Whom to look at.
    attention: Shown<Attention>,
    /// Messages of secondaries that are one too many.
    ignored: Tally,
}

impl Peers {
    /// The listed ones, never seen yet.
    #[must_use]
    pub fn new(listed: Option<Vec<NodeId>>, settings: &Replication) -> Self {
        let listed: Option<BTreeSet<NodeId>> = listed.map(BTreeSet::from_iter);
        let pace = Pace::of(settings, listed.as_ref().map_or(0, BTreeSet::len));
        let peers = listed
            .iter()
            .flatten()
            .map(|n| (n.clone(), Peer::new(n, settings, &pace, false)))
            .collect();
        Self {
            listed,
            peers,
            pace,
            attention: Shown::default(),
            ignored: Tally::default(),
        }
    }

    /// The members, when they are listed.
    #[must_use]
    pub fn listed(&self) -> Option<&BTreeSet<NodeId>> {
        self.listed.as_ref()
    }

    /// The peer of a node that has spoken, made if it has not before. `None` when there are too many: it is counted.
    pub fn entry(
        &mut self,
        node: &NodeId,
        settings: &Replication,
        link_up: bool,
    ) -> Option<&mut Peer> {
        if !self.peers.contains_key(node) {
            if self.peers.len() >= MAX_NODES {
                self.ignored.add(1);
                return None;
            }
            let peer = Peer::new(node, settings, &self.pace, link_up);
            self.peers.insert(node.clone(), peer);
            self.update_pace(settings, Time::ZERO); // more of them: nothing is earlier than it was
        }
        self.get_mut(node)
    }

    /// Forgets a secondary that is gone: `unhealthy`, or not heard since this master began to serve. It is one that has never
    /// spoken before when it speaks again.
    ///
    /// # Errors
    /// It is listed, alive, or not known.
    pub fn remove(&mut self, node: &NodeId, now: Time) -> Result<Peer, NotRemoved> {
        if self.listed.as_ref().is_some_and(|l| l.contains(node)) {
            return Err(NotRemoved::Listed);
        }
        let peer = self.peers.get(node).ok_or(NotRemoved::NotKnown)?;
        match peer.status(now) {
            Status::Unhealthy | Status::Unknown => {}
            alive @ (Status::Healthy | Status::Suspected | Status::Diverged) => {
                return Err(NotRemoved::Alive(alive));
            }
        }
        self.peers.remove(node).ok_or(NotRemoved::NotKnown)
    }

    /// There are more of them, or fewer, than before.
    pub fn update_pace(&mut self, settings: &Replication, now: Time) {
        let pace = Pace::of(settings, self.peers.len());
        if pace != self.pace {
            self.iter_mut()
                .for_each(|(_, peer)| peer.set_pace(&pace, now));
            self.pace = pace;
        }
    }

    /// How often each is sent a sign of life.
    #[must_use]
    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    /// How many are known, members or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// Those after that name, then the others, by name.
    pub(super) fn after(&self, name: Option<&NodeId>) -> impl Iterator<Item = &NodeId> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let (begin, end) = match name {
            Some(name) => (Excluded(name), Included(name)),
            None => (Unbounded, Unbounded),
        };
        let rest = self.peers.range((Unbounded, end));
        self.peers
            .range((begin, Unbounded))
            .chain(rest)
            .map(|(node, _)| node)
    }

    /// Those names, in order, are sent new entries at once from now on; `None`: everybody is. Whoever is not any more is sent
    /// what is there by now, up to `tail`, and then has its turns.
    pub(super) fn set_prompt(&mut self, names: Option<&[NodeId]>, tail: Seq) {
        for (node, peer) in &mut self.peers {
            let is_prompt = names.is_none_or(|names| names.binary_search(node).is_ok());
            if peer.is_prompt() != is_prompt {
                peer.set_prompt(is_prompt);
                if !is_prompt {
                    peer.set_goal(tail);
                }
                self.attention.0.touch(node);
            }
        }
    }

    /// That one may be sent everything up to `tail`, unless it has not answered what it was sent at its last turn.
    pub(super) fn give_turn(&mut self, node: &NodeId, tail: Seq) -> Turn {
        let Some(peer) = self.peers.get_mut(node).filter(|peer| peer.goal() != tail) else {
            return Turn::Idle;
        };
        if peer.progress().is_waiting() {
            return Turn::Waits;
        }
        peer.set_goal(tail);
        self.attention.0.send_later(node);
        Turn::Given
    }

    /// How many of those that are not prompt have their turn, and have not answered.
    pub(super) fn turns_at(&self, now: Time) -> usize {
        let sent_at = |peer: &Peer| peer.progress().waits_since();
        let is_young = |at: Time| now.since(at) < TURN_TIME;
        let has_turn = |peer: &&Peer| !peer.is_prompt() && sent_at(peer).is_some_and(is_young);
        self.peers.values().filter(has_turn).count()
    }

    /// There may be something to send to that one.
    pub(super) fn look_at(&mut self, node: &NodeId) {
        self.attention.0.send_later(node);
    }

    /// How many messages came from secondaries beyond [`MAX_NODES`].
    #[must_use]
    pub fn ignored(&self) -> u64 {
        self.ignored.get()
    }

    /// Whether the node counts for `w`, `all` and `majority`.
    #[must_use]
    pub fn is_member(&self, node: &NodeId) -> bool {
        self.listed.as_ref().map_or_else(
            || self.peers.contains_key(node),
            |listed| listed.contains(node),
        )
    }

    /// How many members there are, the master not counted.
    #[must_use]
    pub fn count(&self) -> usize {
        self.listed.as_ref().map_or(self.peers.len(), BTreeSet::len)
    }

    /// How many nodes are more than half of all, the master counted.
    #[must_use]
    pub fn majority(&self) -> u32 {
        WriteConcern::Majority.nodes(self.count())
    }

    /// How many nodes are alive, the master counted, as far as they were seen since its last pause.
    #[must_use]
    pub fn alive(&self, now: Time) -> u32 {
        let alive = |(node, peer): &(&NodeId, &Peer)| {
            self.is_member(node) && peer.status(now).is_alive() && peer.health().is_trusted()
        };
        1 + u32::try_from(self.peers.iter().filter(alive).count()).unwrap_or(u32::MAX - 1)
    }

    /// The number that a write concern stands for now.
    ///
    /// # Errors
    /// More than the listed members and the master. With open membership any number may be waited for.
    pub fn write_concern(&self, w: WriteConcern) -> Result<u32, TooManyNodes> {
        match &self.listed {
            Some(listed) => w.among_listed(listed.len()),
            None => Ok(w.nodes(self.count())),
        }
    }

    /// Each secondary, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&NodeId, &Peer)> {
        self.peers.iter()
    }

    /// Each secondary, by name, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&NodeId, &mut Peer)> {
        self.attention.0.touch_all();
        self.peers.iter_mut()
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, node: &NodeId) -> Option<&Peer> {
        self.peers.get(node)
    }

    /// One of them, to be changed.
    pub fn get_mut(&mut self, node: &NodeId) -> Option<&mut Peer> {
        let peer = self.peers.get_mut(node)?;
        self.attention.0.touch(node);
        Some(peer)
    }

    /// Does what is due at `now`, for each of them.
    pub fn expire(&mut self, now: Time) {
        let Shown(attention) = &mut self.attention;
        let expire = |peer: &mut Peer, attention: &mut Attention| {
            peer.expire(now);
            attention.is_due_at(peer.changes_at(now));
        };
        match attention.take_touched(now) {
            Few::All => {
                for peer in self.peers.values_mut() {
                    expire(peer, attention);
                }
            }
            Few::Named(names) => {
                for node in names {
                    if let Some(peer) = self.peers.get_mut(&node) {
                        expire(peer, attention);
                    }
                }
            }
        }
    }

    /// Calls `send` with each to whom there may be something to send of a log that ends at `tail`, by name. It says whether
    /// there may be more, whatever happens to that one.
    pub fn send(&mut self, tail: Seq, mut send: impl FnMut(&NodeId, &mut Peer) -> Sent) {
        let Shown(attention) = &mut self.attention;
        let mut send = |node: &NodeId, peer: &mut Peer, attention: &mut Attention| {
            let sent = send(node, peer);
            if sent != Sent::Nothing {
                attention.touch(node);
            }
            if sent == Sent::NotAll {
                attention.send_later(node);
            }
        };
        match attention.take_unsent(tail) {
            Few::All => {
                for (node, peer) in &mut self.peers {
                    send(node, peer, attention);
                }
            }
            Few::Named(names) => {
                for node in names {
                    if let Some(peer) = self.peers.get_mut(&node) {
                        send(&node, peer, attention);
                    }
                }
            }
        }
    }

    /// When something is to be done for one of them, or a bit before.
    #[must_use]
    pub fn deadline(&self, now: Time) -> Option<Time> {
        let (due, touched) = self.attention.0.due();
        let names = match touched {
            Few::All => return self.peers.values().filter_map(|p| p.deadline(now)).min(),
            Few::Named(names) => names,
        };
        let named = names.iter().filter_map(|node| self.peers.get(node));
        let others = Some(due).filter(|due| due.0 < Duration::MAX);
        named.filter_map(|p| p.deadline(now)).chain(others).min()
    }

    /// What has changed since the last call, as events.
    pub fn changes(&mut self, now: Time) -> Vec<Event> {
        let mut events = Vec::new();
        match self.attention.0.take_changed() {
            Few::All => {
                for (node, peer) in &mut self.peers {
                    say_changes(node, peer, self.listed.as_ref(), &mut events, now);
                }
            }
            Few::Named(names) => {
                for node in names {
                    if let Some(peer) = self.peers.get_mut(&node) {
                        say_changes(&node, peer, self.listed.as_ref(), &mut events, now);
                    }
                }
            }
        }
        events
    }
}

/// What became of a secondary's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// There is nothing new for it.
    Idle,
    /// It has not answered yet.
    Waits,
    /// It may be sent more.
    Given,
}

/// What was sent to a secondary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Nothing: there is nothing for it until something happens.
    Nothing,
    /// Something.
    Something,
    /// Not all that is for it.
    NotAll,
}

fn say_changes(
    node: &NodeId,
    peer: &mut Peer,
    listed: Option<&BTreeSet<NodeId>>,
    events: &mut Vec<Event>,
    now: Time,
) {
    let (to, clashes) = (peer.status(now), peer.has_clash(now));
    let (from, clashed) = peer.tell((to, clashes));
    if (from, clashed) == (to, clashes) {
        return;
    }
    if from == Status::Unknown {
        events.push(Event::Joined {
            node: node.clone(),
            member: listed.is_none_or(|listed| listed.contains(node)),
        });
    }
    if from != to && !(from == Status::Unknown && to == Status::Healthy) {
        let other = peer.other_history();
        events.extend(Event::of_status(node.clone(), from, to, other));
    }
    if clashes && !clashed {
        events.push(Event::Clash { node: node.clone() });
    }
}
