//! A few masters and secondaries, of which some reach one another: for stories that take a dozen steps.

use std::collections::BTreeMap;

use replog_common::entry::Entry;
use replog_common::message::{Ack, Life};
use replog_common::protocol::follower::{Change, Follower};
use replog_common::protocol::leader::{Leader, LeaderConfig};
use replog_common::protocol::outcome::ReadOnly;
use replog_common::protocol::replicator::Transmit;
use replog_common::types::{LogId, Seq};

use crate::made::{at, config, draft, follower, incarnation, life, log, recovery_settings};

/// A secondary and its store.
pub(crate) struct Node {
    pub(crate) follower: Follower,
    pub(crate) stored: Vec<Entry>,
    pub(crate) aside: Vec<Entry>,
}

impl Node {
    fn change(&mut self) {
        match self.follower.take_change() {
            None => {}
            Some(Change::Cleared) => self.stored.clear(),
            Some(Change::PutAside(_, keep)) => {
                let keep = usize::try_from(keep.seq.0).expect("few");
                self.aside.extend(self.stored.drain(keep..));
            }
        }
    }

    pub(crate) fn ack(&self) -> Ack {
        self.follower.ack()
    }
}

/// A master and its store.
pub(crate) struct Master {
    pub(crate) leader: Leader<u32>,
    pub(crate) stored: Vec<Entry>,
    now: u64,
}

/// The secondaries, by name.
pub(crate) struct Nodes(BTreeMap<&'static str, Node>);

impl Nodes {
    pub(crate) fn new(names: &[&'static str]) -> Self {
        let node = |name: &&'static str| {
            let node = Node {
                follower: follower(name),
                stored: Vec::new(),
                aside: Vec::new(),
            };
            (*name, node)
        };
        Self(names.iter().map(node).collect())
    }

    pub(crate) fn get(&self, name: &str) -> &Node {
        &self.0[name]
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> &mut Node {
        self.0.get_mut(name).expect("a node of this cluster")
    }

    /// Its memory is gone.
    pub(crate) fn crash(&mut self, name: &'static str, life: u128) {
        let node = self.get_mut(name);
        node.follower = Follower::new(node.follower.node().clone(), incarnation(life));
        node.stored.clear();
    }
}

impl Master {
    /// Its `n`-th start, with nothing in its log, and its link up.
    pub(crate) fn start(n: u128, listed: &[&str]) -> Self {
        let mut leader = Leader::new(LeaderConfig {
            recovery: Some(recovery_settings(false)),
            ..config(life(1000 + n, 0, n), Some(listed))
        });
        leader.link_up(at(0));
        Self {
            leader,
            stored: Vec::new(),
            now: 0,
        }
    }

    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    pub(crate) fn read_only(&self) -> Option<ReadOnly> {
        self.leader.read_only(at(self.now))
    }

    pub(crate) fn life(&self) -> Life {
        *self.leader.life()
    }

    /// Lets so many ms pass while it reaches those secondaries.
    pub(crate) fn run(&mut self, nodes: &mut Nodes, reach: &[&'static str], ms: u64) -> &mut Self {
        let end = self.now + ms;
        while self.now < end {
            self.now += 50;
            self.turn(nodes, reach);
        }
        self
    }

    /// Appends, and waits for nobody.
    pub(crate) fn append(&mut self, id: u128) {
        let placed = self.leader.append(draft(id, 1), 1, at(self.now), |_| None);
        placed.map_err(|(why, _)| why).expect("it takes appends");
        self.store();
    }

    /// Clears its log.
    pub(crate) fn clear(&mut self, history: u128) -> LogId {
        let cleared = self.leader.clear(log(history), at(self.now));
        cleared.expect("it may");
        self.stored.clear();
        log(history)
    }

    /// It hears that.
    pub(crate) fn hear(&mut self, ack: &Ack) {
        self.leader.ack(ack, at(self.now));
    }

    fn store(&mut self) {
        if let Some(keep) = self.leader.take_cut() {
            self.stored
                .truncate(usize::try_from(keep.seq.0).expect("few"));
        }
        let staged = self.leader.take_staged();
        if let Some(last) = staged.last().map(|e| e.seq) {
            self.stored.extend(staged);
            self.leader.stored(last);
        }
    }

    fn turn(&mut self, nodes: &mut Nodes, reach: &[&'static str]) {
        let now = at(self.now);
        self.leader.tick(now);
        self.store();
        let mut n = 0;
        while let Some((to, fetch)) = self.leader.poll_fetch(1000, now) {
            n += 1;
            assert!(
                n < 50,
                "it asks without end: {to} {fetch:?} {:?}",
                nodes.get(to.as_str()).ack()
            );
            if reach.contains(&to.as_str()) {
                let node = nodes.get_mut(to.as_str());
                let answer = node.follower.answer(&fetch);
                node.change();
                let asked = |e: &&Entry| answer.entries.contains(&e.seq);
                let entries = node.stored.iter().filter(asked).cloned().collect();
                self.leader.fetched(answer.with(entries), now);
                self.store();
            }
        }
        while let Some((to, transmit)) = self.leader.poll_transmit() {
            let (prev, entries) = match transmit {
                Transmit::Heartbeat { prev } => (prev, None),
                Transmit::Entries { first, last, .. } => {
                    let range = |seq: Seq| usize::try_from(seq.0).expect("few");
                    let entries = &self.stored[range(first.prev())..range(last)];
                    (first.prev(), Some(entries.to_vec()))
                }
            };
            let last = entries.as_ref().and_then(|all| all.last());
            let sent = last.map(|e| (e.seq, 1));
            let frame = self.leader.frame(prev, entries);
            self.leader.sent(&to, sent, now);
            if reach.contains(&to.as_str()) {
                let node = nodes.get_mut(to.as_str());
                node.follower.receive(frame);
                node.change();
                let ready = node.follower.take_ready();
                node.stored.extend(ready.iter().cloned());
                node.follower.stored(&ready);
                self.hear(&node.follower.ack());
            }
        }
        // Whoever is asked says where it stands.
        let is_calling = self.leader.is_recovering() && self.now.is_multiple_of(500);
        for name in reach.iter().filter(|_| is_calling) {
            self.hear(&nodes.get(name).ack());
        }
    }
}
