//! What the model consists of: the real leader and followers, what each of them really holds, and everything that was
//! ever sent.

use std::collections::BTreeSet;
use std::sync::Arc;

use replog_common::entry::{Content, Entry};
use replog_common::message::{Ack, Announce, Append, Fetch, Fetched};
use replog_common::protocol::follower::Follower;
use replog_common::protocol::outcome::{Outcome, Placement};
use replog_common::types::{Incarnation, LogId, MessageId, NodeId, Time, WriteConcern};
use uuid::Uuid;

use super::bounds::Bounds;
use super::nodes::{Master, Node};

/// A message under way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Frame {
    /// To that secondary.
    Append(usize, Append<Vec<Entry>>),
    /// To every master.
    Ack(Ack),
    /// To that secondary, from a master that recovers.
    Fetch(usize, Fetch),
    /// To the masters that recover.
    Fetched(Fetched<Vec<Entry>>),
    /// From a master to all others.
    Announce(Announce),
}

/// How a client fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fate {
    Silent,
    /// For which of the masters.
    Waiting(usize, Placement),
    Answered(Placement, Outcome),
    Refused,
    /// Its master died.
    Lost,
}

/// An entry that a client was told to be on two nodes at least.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Told {
    pub(super) history: LogId,
    pub(super) entry: Entry,
    /// The secondaries that held it then, and have lived since.
    pub(super) holders: Vec<usize>,
}

impl Told {
    /// The same without a holder; nothing if that was the last one.
    pub(super) fn without(mut self, n: usize) -> Option<Self> {
        self.holders.retain(|holder| *holder != n);
        (!self.holders.is_empty()).then_some(self)
    }
}

/// One state of the world.
///
/// The network is the set of all that was ever sent: any of it may arrive at any time, any number of times, or never.
/// That is loss, duplication, delay and reordering in one, without bounds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    /// Every master that ever started.
    pub(super) masters: Vec<Master>,
    /// What was the log of a master that has died, or before it was cleared.
    pub(super) past: BTreeSet<(LogId, Vec<Entry>)>,
    /// The histories that were cleared away.
    pub(super) cleared: BTreeSet<LogId>,
    /// A second master has found the first one.
    pub(super) beaten: bool,
    pub(super) nodes: Vec<Node>,
    pub(super) network: BTreeSet<Arc<Frame>>,
    pub(super) fates: Vec<Fate>,
    /// What clients were told to be on two nodes at least, and the secondaries that held it then.
    pub(super) told: BTreeSet<Told>,
    pub(super) crashes: u8,
    pub(super) births: u8,
    pub(super) seconds: u8,
    pub(super) clears: u8,
    pub(super) outages: u8,
    /// A client was told what is not true.
    pub(super) lie: Option<&'static str>,
}

pub(super) fn node_id(n: usize) -> NodeId {
    format!("s{n}").parse().expect("a name")
}

pub(super) fn message_id(message: u8) -> MessageId {
    MessageId(Uuid::from_u128(u128::from(message) + 1))
}

pub(super) fn content(message: u8) -> Content {
    Content::from_text(&format!("m{message}"))
}

pub(super) fn concern(w: u32) -> WriteConcern {
    WriteConcern::Count(w)
}

impl State {
    pub(super) fn new(bounds: &Bounds) -> Self {
        let mut state = Self {
            masters: vec![Master::start(bounds, 0)],
            past: BTreeSet::new(),
            cleared: BTreeSet::new(),
            beaten: false,
            nodes: (0..bounds.nodes)
                .map(|n| Node {
                    follower: Follower::new(node_id(n.into()), incarnation(0)),
                    stored: Vec::new(),
                    buried: Vec::new(),
                    aside: Vec::new(),
                    crashes: 0,
                })
                .collect(),
            network: BTreeSet::new(),
            fates: vec![Fate::Silent; bounds.clients.len()],
            told: BTreeSet::new(),
            crashes: 0,
            births: 0,
            seconds: 0,
            clears: 0,
            outages: 0,
            lie: None,
        };
        for n in 0..state.nodes.len() {
            state.say(n);
        }
        state
    }

    /// A secondary sends its ACK.
    pub(super) fn say(&mut self, n: usize) {
        let ack = self.nodes[n].follower.ack();
        self.network.insert(Arc::new(Frame::Ack(ack)));
    }

    /// The masters that live.
    pub(super) fn living(&self) -> impl Iterator<Item = (usize, &Master)> {
        self.masters.iter().enumerate().filter(|(_, m)| m.lives)
    }

    /// Every log of that history, as each master had it.
    pub(super) fn logs(&self, history: LogId) -> impl Iterator<Item = &[Entry]> {
        let living = self.living().filter(move |(_, m)| m.history() == history);
        let past = self.past.iter().filter(move |(id, _)| *id == history);
        living
            .map(|(_, m)| &*m.log)
            .chain(past.map(|(_, log)| &**log))
    }
}

pub(super) fn log_id(birth: u8, clear: u8) -> LogId {
    LogId(Uuid::from_u128(
        1000 + 100 * u128::from(birth) + u128::from(clear),
    ))
}

pub(super) fn incarnation(life: u8) -> Incarnation {
    Incarnation(Uuid::from_u128(u128::from(life) + 1))
}

/// No time passes in the model.
pub(super) const NOW: Time = Time::ZERO;
