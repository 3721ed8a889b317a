//! What the model consists of: the real leader and followers, what each of them really holds, and everything that was
//! ever sent.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use replog_common::entry::{Content, Entry};
use replog_common::message::{Ack, Announce, Append, Fetch, Fetched, Life};
use replog_common::protocol::dedup::DeduplicateBy;
use replog_common::protocol::follower::Follower;
use replog_common::protocol::leader::{Leader, LeaderConfig};
use replog_common::protocol::outcome::{Outcome, Placement};
use replog_common::protocol::recovery::RecoverySettings;
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

/// What a master does that starts without its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// It begins a new history at once.
    Anew,
    /// It asks the secondaries, and waits until all of them were heard, however long that takes.
    Patient,
    /// It asks the secondaries, and its patience may end at any moment.
    Hasty,
}

/// Something that is so in some state, and its name.
pub(super) type Seen = (&'static str, fn(&Bounds, &State) -> bool);

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
    /// How often one more master starts beside it.
    pub(super) seconds: u8,
    /// Another master starts only once the first client was answered, and the second one asks after that: fewer ways to get
    /// to what is of interest.
    pub(super) late: bool,
    /// A second master overtakes the first.
    pub(super) takeover: bool,
    /// What masters do first; the very first one begins anew.
    pub(super) start: Start,
    /// The highest epoch that is looked at.
    pub(super) epochs: u64,
    /// What has to happen in some state, or nothing is shown; more follows from the rest.
    pub(super) sometimes: Vec<Seen>,
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
        seconds: 0,
        late: false,
        takeover: false,
        start: Start::Anew,
        epochs: 2,
        sometimes: Vec::new(),
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
    /// To every master.
    Ack(Ack),
    /// To that secondary, from a master that recovers.
    Fetch(usize, Fetch),
    /// To the masters that recover.
    Fetched(Fetched<Vec<Entry>>),
    /// From a master to all others.
    Announce(Announce),
}

/// What a life of a secondary's storage held at its end, or before it put a part of that aside.
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
    /// Taken out of the log because the master has something else there, and kept.
    pub(super) aside: Vec<Entry>,
    pub(super) crashes: u8,
}

impl Node {
    /// How much of `log` that life of its storage holds, or held once.
    pub(super) fn held(&self, life: Option<Incarnation>, history: LogId, log: &[Entry]) -> usize {
        let common = |stored: &[Entry]| stored.iter().zip(log).take_while(|(a, b)| a == b).count();
        let f = &self.follower;
        let lives =
            (Some(f.incarnation()) == life && f.log_id() == Some(history)).then_some(&self.stored);
        let is_it = |b: &&Buried| Some(b.incarnation) == life && b.log_id == Some(history);
        let buried = self.buried.iter().filter(is_it).map(|b| &b.stored);
        lives
            .into_iter()
            .chain(buried)
            .map(|s| common(s))
            .max()
            .unwrap_or(0)
    }

    pub(super) fn bury(&mut self) {
        self.buried.push(Buried {
            incarnation: self.follower.incarnation(),
            log_id: self.follower.log_id(),
            stored: self.stored.clone(),
        });
    }
}

/// A master: the machine, and beside it what its storage really holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Master {
    pub(super) leader: Leader<u8>,
    /// The program runs.
    pub(super) lives: bool,
    pub(super) linked: bool,
    pub(super) log: Vec<Entry>,
    /// Of each secondary, the newest life of its storage that it has heard of.
    pub(super) heard: Vec<Option<Incarnation>>,
}

impl Master {
    /// The master's n-th start, with nothing in its log.
    pub(super) fn start(bounds: &Bounds, birth: u8) -> Self {
        Self {
            leader: newborn(bounds, birth),
            lives: true,
            linked: false,
            log: Vec::new(),
            heard: vec![None; bounds.nodes.into()],
        }
    }

    /// It takes appends, as far as it knows.
    pub(super) fn serves(&self) -> bool {
        self.lives && self.leader.read_only(NOW).is_none()
    }

    pub(super) fn history(&self) -> LogId {
        self.leader.life().log_id
    }
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

fn newborn(bounds: &Bounds, birth: u8) -> Leader<u8> {
    let ids = (0..bounds.nodes).map(|n| node_id(n.into())).collect();
    Leader::new(LeaderConfig {
        life: Life {
            log_id: log_id(birth, 0),
            epoch: Epoch(1),
            instance: Instance(Uuid::from_u128(u128::from(birth) + 1)),
        },
        recovery: (birth > 0 && bounds.start != Start::Anew).then(|| RecoverySettings {
            timeout: match bounds.start {
                Start::Hasty => Duration::ZERO,
                _ => Duration::MAX,
            },
            listen: Duration::ZERO,
            retry: Duration::from_secs(1), // which never pass
            takeover: bounds.takeover,
        }),
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
