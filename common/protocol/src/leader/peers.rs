//! The secondaries that a master knows, and which of them count.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::Event;
use crate::ids::{NodeId, Time};
use crate::leader::command::NotRemoved;
use crate::leader::health::Status;
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
    /// The statuses and clashes that were told as events.
    told: Shown<BTreeMap<NodeId, (Status, bool)>>,
    /// Messages of secondaries that are one too many.
    ignored: Tally,
}

impl Peers {
    /// The listed ones, never seen yet.
    #[must_use]
    pub fn new(listed: Option<Vec<NodeId>>, settings: &Replication) -> Self {
        let listed = listed.map(BTreeSet::from_iter);
        let peers = listed
            .iter()
            .flatten()
            .map(|n| (n.clone(), Peer::new(n, settings, false)))
            .collect();
        Self {
            listed,
            peers,
            told: Shown::default(),
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
            let peer = Peer::new(node, settings, link_up);
            self.peers.insert(node.clone(), peer);
        }
        self.peers.get_mut(node)
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
        self.told.0.remove(node);
        self.peers.remove(node).ok_or(NotRemoved::NotKnown)
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
        self.peers.iter_mut()
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, node: &NodeId) -> Option<&Peer> {
        self.peers.get(node)
    }

    /// One of them, to be changed.
    pub fn get_mut(&mut self, node: &NodeId) -> Option<&mut Peer> {
        self.peers.get_mut(node)
    }

    /// When something is to be done for one of them.
    #[must_use]
    pub fn deadline(&self, now: Time) -> Option<Time> {
        self.peers.values().filter_map(|p| p.deadline(now)).min()
    }

    /// What has changed since the last call, as events.
    pub fn changes(&mut self, now: Time) -> Vec<Event> {
        let mut events = Vec::new();
        for (node, peer) in &self.peers {
            let (from, clashed) = self
                .told
                .0
                .get(node)
                .copied()
                .unwrap_or((Status::Unknown, false));
            let (to, clashes) = (peer.status(now), peer.has_clash(now));
            if (from, clashed) == (to, clashes) {
                continue;
            }
            self.told.0.insert(node.clone(), (to, clashes));
            if from == Status::Unknown {
                events.push(Event::Joined {
                    node: node.clone(),
                    member: self.is_member(node),
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
        events
    }
}
