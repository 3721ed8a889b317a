//! What the model consists of: the real leader and followers, what each of them really holds, and everything that was
//! ever sent.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use replog_common::entry::{Content, Entry};
use replog_common::message::{Ack, Append, Life};
use replog_common::protocol::dedup::DeduplicateBy;
use replog_common::protocol::follower::Follower;
use replog_common::protocol::leader::{Leader, LeaderConfig};
use replog_common::protocol::outcome::{Outcome, Placement};
use replog_common::protocol::settings::Replication;
use replog_common::types::{
    Epoch, Incarnation, Instance, LogId, MessageId, NodeId, Time, WriteConcern,
};
use uuid::Uuid;

/// A client that appends once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    /// Which message; two clients with one number are a client and its retry.
    pub(super) message: u8,
    /// Its write concern.
    pub(super) w: u32,
}

/// How large the world is.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    /// Secondaries.
    pub(super) nodes: u8,
    /// They are listed; else whoever joins is a member.
    pub(super) listed: bool,
    /// Clients; they ask in this order.
    pub(super) clients: Vec<Client>,
    /// How often a secondary crashes and comes back empty, all of them together.
    pub(super) crashes: u8,
    /// How often the master comes back without its log.
    pub(super) rebirths: u8,
    /// How often the log is cleared.
    pub(super) clears: u8,
    /// How often the master's link breaks.
    pub(super) outages: u8,
    /// Whether the broker says that nobody listens (true or not).
    pub(super) no_responders: bool,
    /// Several entries go in one message; else each goes alone, and they overtake one another.
    pub(super) batches: bool,
    /// Whether storing is a step of its own, so that things happen between "placed" and "stored".
    pub(super) slow_store: bool,
}

/// A world without faults but those of the network. Each client is a message and its write concern.
pub(super) fn small(nodes: u8, clients: &[(u8, u32)]) -> Bounds {
    let clients = clients
        .iter()
        .map(|&(message, w)| Client { message, w })
        .collect();
    Bounds {
        nodes,
        listed: true,
        clients,
        crashes: 0,
        rebirths: 0,
        clears: 0,
        outages: 0,
        no_responders: false,
        batches: false,
        slow_store: false,
    }
}

/// A message under way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Frame {
    /// To that secondary.
    Append(usize, Append<Vec<Entry>>),
    /// To the master.
    Ack(Ack),
}

/// A life of a secondary's storage that has ended, and what it held at its end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Buried {
    pub(super) incarnation: Incarnation,
    pub(super) log_id: Option<LogId>,
    pub(super) stored: Vec<Entry>,
}

/// A secondary: the machine, and beside it what its storage really holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Node {
    pub(super) follower: Follower,
    pub(super) stored: Vec<Entry>,
    pub(super) buried: Vec<Buried>,
    /// The newest life of its storage that the living master has heard of.
    pub(super) heard: Option<Incarnation>,
}

impl Node {
    /// What the newest life of its storage that the master has heard of holds, or held at its end, of a history.
    pub(super) fn held(&self, history: LogId) -> &[Entry] {
        let Some(life) = self.heard else {
            return &[];
        };
        if self.follower.incarnation() == life {
            let same = self.follower.log_id() == Some(history);
            return if same { &self.stored } else { &[] };
        }
        let ended = |b: &&Buried| b.incarnation == life && b.log_id == Some(history);
        self.buried.iter().find(ended).map_or(&[], |b| &b.stored)
    }
}

/// How a client fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fate {
    Silent,
    Waiting(Placement),
    Answered(Placement, Outcome),
    Refused,
    /// Its master died.
    Lost,
}

/// One state of the world.
///
/// The network is the set of all that was ever sent: any of it may arrive at any time, any number of times, or never.
/// That is loss, duplication, delay and reordering in one, without bounds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) leader: Leader<u8>,
    /// Every history with its entries; the last one is the living master's.
    pub(super) histories: Vec<(LogId, Vec<Entry>)>,
    pub(super) linked: bool,
    pub(super) nodes: Vec<Node>,
    pub(super) network: BTreeSet<Arc<Frame>>,
    pub(super) fates: Vec<Fate>,
    pub(super) crashes: u8,
    pub(super) births: u8,
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

/// Waits of no length: every deadline has always come, and whether anything is done about it is a step of the model.
fn settings(bounds: &Bounds) -> Replication {
    Replication {
        heartbeat_interval: Duration::ZERO,
        suspect_after: Duration::from_secs(1),
        unhealthy_after: Duration::from_secs(2),
        retry_min: Duration::ZERO,
        retry_max: Duration::ZERO,
        batch_bytes: if bounds.batches { 1 << 20 } else { 1 },
        window_bytes: 1 << 20,
        linger: Duration::ZERO,
        max_waiting: 100,
        seed: 1,
    }
}

impl State {
    pub(super) fn new(bounds: &Bounds) -> Self {
        let mut state = Self {
            leader: newborn(bounds, 0),
            histories: vec![(log_id(0, 0), Vec::new())],
            linked: false,
            nodes: (0..bounds.nodes)
                .map(|n| Node {
                    follower: Follower::new(node_id(n.into()), incarnation(0)),
                    stored: Vec::new(),
                    buried: Vec::new(),
                    heard: None,
                })
                .collect(),
            network: BTreeSet::new(),
            fates: vec![Fate::Silent; bounds.clients.len()],
            crashes: 0,
            births: 0,
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

    /// The living master's log.
    pub(super) fn log(&self) -> &[Entry] {
        self.histories.last().map_or(&[], |(_, log)| log)
    }
}

/// The master's n-th start, with nothing in its log.
pub(super) fn newborn(bounds: &Bounds, birth: u8) -> Leader<u8> {
    let ids = (0..bounds.nodes).map(|n| node_id(n.into())).collect();
    Leader::new(LeaderConfig {
        life: Life {
            log_id: log_id(birth, 0),
            epoch: Epoch(1),
            instance: Instance(Uuid::from_u128(u128::from(birth) + 1)),
        },
        recovery: None,
        listed: bounds.listed.then_some(ids),
        deduplicate_by: DeduplicateBy::MessageId,
        read_only_without_quorum: false,
        replication: settings(bounds),
    })
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
