//! The secondaries a master knows, and which of them count.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::protocol::event::Event;
use crate::protocol::health::Status;
use crate::protocol::outcome::Refusal;
use crate::protocol::replicator::{Replicator, Transmit};
use crate::protocol::settings::{MAX_NODES, Replication};
use crate::types::{NodeId, Seq, Time, WriteConcern};

/// One replicator a secondary.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Members {
    /// The members, when they are listed; everybody else observes. `None`: whoever joins is a member.
    listed: Option<BTreeSet<NodeId>>,
    nodes: BTreeMap<NodeId, Replicator>,
    /// The statuses that were told as events.
    told: BTreeMap<NodeId, (Status, bool)>,
    told_too_many: bool,
}

/// The number that `w` stands for among so many listed members and the master.
///
/// # Errors
/// More than they are.
pub fn among_listed(w: WriteConcern, listed: usize) -> Result<u32, Refusal> {
    let (w, nodes) = (w.nodes(listed), WriteConcern::All.nodes(listed));
    if w > nodes {
        Err(Refusal::TooManyNodes { w, nodes })
    } else {
        Ok(w)
    }
}

impl Members {
    /// The members, when they are listed.
    #[must_use]
    pub fn listed(&self) -> Option<&BTreeSet<NodeId>> {
        self.listed.as_ref()
    }

    /// The listed ones, never seen yet.
    #[must_use]
    pub fn new(listed: Option<Vec<NodeId>>, settings: &Replication) -> Self {
        let listed = listed.map(BTreeSet::from_iter);
        let nodes = listed
            .iter()
            .flatten()
            .map(|n| (n.clone(), Replicator::new(n, settings, false)))
            .collect();
        Self {
            listed,
            nodes,
            told: BTreeMap::new(),
            told_too_many: false,
        }
    }

    /// The replicator of a node that has spoken, new if it has not before, and whether it is a member. `None` when there
    /// are too many.
    pub fn of(
        &mut self,
        node: &NodeId,
        settings: &Replication,
        link_up: bool,
    ) -> Option<(bool, &mut Replicator)> {
        if !self.nodes.contains_key(node) {
            if self.nodes.len() >= MAX_NODES {
                return None;
            }
            self.nodes
                .insert(node.clone(), Replicator::new(node, settings, link_up));
        }
        let is_member = self.is_member(node);
        self.nodes.get_mut(node).map(|r| (is_member, r))
    }

    /// Whether it counts for `w`, `all` and `majority`.
    #[must_use]
    pub fn is_member(&self, node: &NodeId) -> bool {
        self.listed.as_ref().map_or_else(
            || self.nodes.contains_key(node),
            |listed| listed.contains(node),
        )
    }

    /// How many members there are, the master not counted.
    #[must_use]
    pub fn count(&self) -> usize {
        self.listed.as_ref().map_or(self.nodes.len(), BTreeSet::len)
    }

    /// How many nodes are more than half of all, the master counted.
    #[must_use]
    pub fn majority(&self) -> u32 {
        WriteConcern::Majority.nodes(self.count())
    }

    /// How many nodes live, the master counted, as far as they were heard since its last pause.
    #[must_use]
    pub fn alive(&self, now: Time) -> u32 {
        let alive = |(node, r): &(&NodeId, &Replicator)| {
            self.is_member(node) && r.status(now).is_alive() && r.health().is_trusted()
        };
        1 + u32::try_from(self.nodes.iter().filter(alive).count()).unwrap_or(u32::MAX - 1)
    }

    /// The number a write concern stands for now.
    ///
    /// # Errors
    /// More than the listed members and the master. With open membership any number may be waited for.
    pub fn write_concern(&self, w: WriteConcern) -> Result<u32, Refusal> {
        match &self.listed {
            Some(listed) => among_listed(w, listed.len()),
            None => Ok(w.nodes(self.count())),
        }
    }

    /// Each node, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&NodeId, &Replicator)> {
        self.nodes.iter()
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, node: &NodeId) -> Option<&Replicator> {
        self.nodes.get(node)
    }

    pub(super) fn each(&mut self, f: impl FnMut(&mut Replicator)) {
        self.nodes.values_mut().for_each(f);
    }

    pub(super) fn reading(&mut self, node: &NodeId, is_reading: bool) {
        if let Some(replicator) = self.nodes.get_mut(node) {
            replicator.reading(is_reading);
        }
    }

    pub(super) fn no_responders(&mut self, node: &NodeId) {
        if let Some(replicator) = self.nodes.get_mut(node) {
            replicator.no_responders();
        }
    }

    pub(super) fn poll_transmit(&self, tail: Seq) -> Option<(NodeId, Transmit)> {
        self.nodes
            .iter()
            .find_map(|(node, r)| Some((node.clone(), r.poll_transmit(tail)?)))
    }

    pub(super) fn sent(&mut self, node: &NodeId, entries: Option<(Seq, usize)>, now: Time) {
        if let Some(replicator) = self.nodes.get_mut(node) {
            replicator.sent(entries, now);
        }
    }

    pub(super) fn deadline(&self, now: Time) -> Option<Time> {
        self.nodes
            .values()
            .flat_map(|r| r.deadline().into_iter().chain(r.health().deadline(now)))
            .min()
    }

    /// Tells, once, that somebody is one too many.
    pub(super) fn ignore(&mut self, node: &NodeId, events: &mut VecDeque<Event>) {
        if !std::mem::replace(&mut self.told_too_many, true) {
            events.push_back(Event::Ignored { node: node.clone() });
        }
    }

    /// Tells what has changed since the last call.
    pub(super) fn notice(&mut self, now: Time, events: &mut VecDeque<Event>) {
        for (node, replicator) in &self.nodes {
            let (from, clashed) = self
                .told
                .get(node)
                .copied()
                .unwrap_or((Status::Unknown, false));
            let (to, clashes) = (replicator.status(now), replicator.has_clash(now));
            if (from, clashed) == (to, clashes) {
                continue;
            }
            self.told.insert(node.clone(), (to, clashes));
            if from == Status::Unknown {
                events.push_back(Event::Joined {
                    node: node.clone(),
                    is_member: self.is_member(node),
                });
            }
            if from != to && !(from == Status::Unknown && to == Status::Healthy) {
                let other_history = replicator.other_history();
                events.push_back(Event::Member {
                    node: node.clone(),
                    from,
                    to,
                    other_history,
                });
            }
            if clashes && !clashed {
                events.push_back(Event::Clash { node: node.clone() });
            }
        }
    }
}
