//! The one queue of a run: what is going to happen, and when.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use replog_protocol::entry::Content;
use replog_protocol::follower::{Follower, FollowerConfig};
use replog_protocol::ids::{LogId, MasterId, MessageId, NodeId, Seq, StorageId, Time};
use replog_protocol::leader::command::{Answer, Append, AppendRequest, Command, Reply, Waiter};
use replog_protocol::leader::dedup::DeduplicateBy;
use replog_protocol::leader::recovery::{RecoverySettings, Requires};
use replog_protocol::leader::{Leader, LeaderConfig};
use replog_protocol::node::{Identity, Input, LinkState, Outbound, Restored};
use replog_protocol::wire::{Address, Message};
use replog_protocol::write_concern::WriteConcern;
use uuid::Uuid;

use super::constants::{Constants, kib, micros};
use super::host::{Host, Turn};
use super::server::{Line, Server};
use super::{Load, Setup};
use crate::rng::SeededRng;

/// What NATS adds to a message on the wire: the verb, subjects, sizes.
const NATS_BYTES: usize = 96;
/// The broker's `max_payload`.
const MAX_PAYLOAD: usize = 1 << 20;
/// Each client's messages have ids of their own.
const IDS_OF_CLIENT: u64 = 1 << 32;

/// A client, by its number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller(usize);

impl Waiter for Caller {}

/// Where a message is bound for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Master,
    Secondary(usize),
}

/// A message on its way: read once, however many it is for.
#[derive(Debug)]
struct Parcel {
    from: End,
    to: End,
    reply_to: Option<Address>,
    message: Rc<Message>,
    bytes: usize,
}

#[derive(Debug)]
enum Happening {
    /// The master's processor is free, or something is due.
    MasterTurn,
    /// The same of a secondary.
    Turn(usize),
    /// A message is at the broker in the middle.
    AtHub(Parcel),
    /// A message is at the broker of a region; across that many cuts of its line.
    AtLeaf(usize, u32, Parcel),
    /// A message has come over the line of a region; across that many cuts.
    Crossed(usize, u32, Parcel),
    /// A message is where it is bound for.
    Arrive(Parcel),
    /// The broker says that nobody listens.
    NobodyListens(End, Address),
    /// A client has its answer and asks again after a while.
    Ask(usize),
}

struct Planned {
    at: Duration,
    n: u64,
    what: Happening,
}

impl Ord for Planned {
    /// The earliest one is the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.n).cmp(&(self.at, self.n))
    }
}

impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        self.n == other.n
    }
}

impl Eq for Planned {}

/// A region: its broker, a leaf node, and its line to the one in the middle.
#[derive(Debug)]
pub(super) struct Region {
    pub(super) leaf: Server,
    /// To the region, and from it.
    pub(super) down: Line,
    pub(super) up: Line,
    is_cut: bool,
    /// How often the line was cut: what is on it then is lost.
    cuts: u32,
}

#[derive(Debug)]
struct Client {
    asked_at: Duration,
    asked: u64,
}

/// A run.
pub(super) struct World {
    setup: Setup,
    costs: Constants,
    rng: SeededRng,
    pub(super) now: Duration,
    queue: BinaryHeap<Planned>,
    count: u64,
    pub(super) master: Host<Leader<Caller>>,
    pub(super) secondaries: Vec<Host<Follower<Caller>>>,
    places: BTreeMap<NodeId, usize>,
    pub(super) hub: Server,
    pub(super) regions: Vec<Region>,
    clients: Vec<Client>,
    load: Option<Load>,
    content: Content,
    /// What was sent last, and how it is read: those who need the same get the same bytes.
    last_sent: Option<(Message, Rc<Message>, usize)>,
    /// When each append was answered, and how long that took.
    pub(super) answered: Vec<(Duration, Duration)>,
    /// Appends that were not answered with success.
    pub(super) refused: u64,
    /// Messages that the master has sent, and has received.
    pub(super) master_messages: (u64, u64),
    /// KiB of entries that the master has sent.
    pub(super) master_kib: f64,
}

impl World {
    /// A cluster that has just started.
    pub(super) fn new(setup: Setup, costs: Constants) -> Self {
        let names: Vec<NodeId> = (0..setup.secondaries)
            .map(|n| format!("s{n:04}").parse().expect("a name"))
            .collect();
        let mut rng = SeededRng::new(setup.seed);
        let id = |kind: u64, n: usize| Uuid::from_u64_pair(kind, n as u64 + 1);
        let config = LeaderConfig {
            master: MasterId(id(1, 0)),
            new_log_id: LogId(id(2, 0)),
            listed: Some(names.clone()),
            deduplicate_by: DeduplicateBy::MessageId,
            shares_journal: false,
            remember_ids: Some(1000),
            read_only_without_quorum: false,
            recovery: RecoverySettings {
                timeout: Duration::from_secs(3),
                listen: Duration::from_millis(500),
                retry: Duration::from_secs(1),
                takeover: false,
                requires: Requires::Any,
            },
            replication: setup.replication.clone(),
            url: None,
        };
        let follower = |(n, node): (usize, &NodeId)| {
            let config = FollowerConfig {
                identity: Identity {
                    node: node.clone(),
                    storage: StorageId(id(3, n)),
                },
                heartbeat_interval: setup.replication.heartbeat_interval,
                seed: rng.number(),
                url: None,
            };
            Host::new(Follower::new(config, Restored::default()), false)
        };
        let secondaries = names.iter().enumerate().map(follower).collect();
        let lines = setup.one_way.iter().zip(&setup.megabits);
        let regions = lines.map(|(latency, megabits)| Region {
            leaf: Server::default(),
            down: Line::new(*latency, *megabits),
            up: Line::new(*latency, *megabits),
            is_cut: false,
            cuts: 0,
        });
        let mut world = Self {
            costs,
            rng,
            now: Duration::ZERO,
            queue: BinaryHeap::new(),
            count: 0,
            master: Host::new(Leader::new(config, Restored::default()), true),
            secondaries,
            places: names.into_iter().zip(0..).collect(),
            hub: Server::default(),
            regions: regions.collect(),
            clients: Vec::new(),
            load: None,
            content: Content::from_text(&"x".repeat(setup.content_bytes)),
            last_sent: None,
            answered: Vec::new(),
            refused: 0,
            master_messages: (0, 0),
            master_kib: 0.0,
            setup,
        };
        let up = LinkState::Up {
            max_payload: MAX_PAYLOAD,
        };
        world.give_master(Input::Link(up));
        for n in 0..world.secondaries.len() {
            world.give(n, Input::Link(up));
        }
        world
    }

    /// Clients begin to append; those that did before stop.
    pub(super) fn begin(&mut self, load: Option<Load>) {
        let clients = load.map_or(0, |load| load.clients);
        let asked = self.clients.iter().map(|c| c.asked).max().unwrap_or(0);
        self.load = load;
        self.clients.clear();
        for client in 0..clients {
            let asked_at = self.now;
            self.clients.push(Client { asked_at, asked });
            self.ask_after_thinking(client);
        }
    }

    /// The line of a region is cut, or there again.
    pub(super) fn cut(&mut self, region: usize, is_cut: bool) {
        let region = &mut self.regions[region];
        region.is_cut = is_cut;
        region.cuts += u32::from(is_cut);
    }

    /// What is counted begins anew.
    pub(super) fn forget(&mut self) {
        self.hub.forget();
        self.master.cpu.forget();
        for region in &mut self.regions {
            region.leaf.forget();
            region.down.sender.forget();
            region.up.sender.forget();
        }
        for secondary in &mut self.secondaries {
            secondary.cpu.forget();
        }
        self.answered.clear();
        self.refused = 0;
        self.master_messages = (0, 0);
        self.master_kib = 0.0;
    }

    /// The region of a secondary.
    pub(super) fn region_of(&self, n: usize) -> usize {
        n % self.regions.len()
    }

    /// Time goes on until then, or until `is_over`, which is asked now and then.
    pub(super) fn run_until(&mut self, end: Duration, is_over: impl Fn(&Self) -> bool) {
        const LOOK: Duration = Duration::from_millis(20);
        let mut look_at = self.now;
        while let Some(next) = self.queue.peek().filter(|next| next.at <= end) {
            if next.at >= look_at {
                if is_over(self) {
                    return;
                }
                look_at = next.at + LOOK;
            }
            let Some(Planned { at, what, .. }) = self.queue.pop() else {
                return;
            };
            self.now = at;
            self.happen(what);
        }
        self.now = end;
    }

    fn plan(&mut self, at: Duration, what: Happening) {
        self.count += 1;
        let n = self.count;
        self.queue.push(Planned { at, n, what });
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::MasterTurn => self.master_turn(),
            Happening::Turn(n) => self.turn(n),
            Happening::AtHub(parcel) => self.at_hub(parcel),
            Happening::Crossed(region, cuts, parcel) => {
                if self.regions[region].cuts != cuts {
                    return; // lost
                }
                match parcel.to {
                    End::Master => self.plan(self.now, Happening::AtHub(parcel)),
                    End::Secondary(_) => {
                        let what = Happening::AtLeaf(region, cuts, parcel);
                        self.plan(self.now, what);
                    }
                }
            }
            Happening::AtLeaf(region, cuts, parcel) => self.at_leaf(region, cuts, parcel),
            Happening::Arrive(parcel) => {
                let message = Rc::unwrap_or_clone(parcel.message);
                match parcel.to {
                    End::Master => {
                        self.master_messages.1 += 1;
                        self.give_master(Input::Message(message));
                    }
                    End::Secondary(n) => self.give(n, Input::Message(message)),
                }
            }
            Happening::NobodyListens(End::Master, address) => {
                self.give_master(Input::NoResponders(address));
            }
            Happening::NobodyListens(End::Secondary(n), address) => {
                self.give(n, Input::NoResponders(address));
            }
            Happening::Ask(client) => self.ask(client),
        }
    }

    // ---- The brokers.

    fn broker_takes(&self, bytes: usize) -> Duration {
        let costs = self.costs.broker;
        micros((costs.message_us + costs.kib_us * kib(bytes)) / f64::from(self.broker_cores()))
    }

    /// The cores of each broker.
    pub(super) fn broker_cores(&self) -> u32 {
        self.setup.broker_cores.max(1)
    }

    /// The broker in the middle hands a message on: to the master beside it, or over the line of a region. It knows at once that a
    /// region is cut off.
    fn at_hub(&mut self, parcel: Parcel) {
        let takes = self.broker_takes(parcel.bytes);
        let done = self.hub.serve(self.now, takes);
        let n = match parcel.to {
            End::Master => return self.plan(done, Happening::Arrive(parcel)),
            End::Secondary(n) => n,
        };
        let at = self.region_of(n);
        let region = &mut self.regions[at];
        if !region.is_cut {
            let there = region.down.send(done, parcel.bytes);
            let cuts = region.cuts;
            self.plan(there, Happening::Crossed(at, cuts, parcel));
        } else if let Some(reply_to) = parcel.reply_to {
            self.plan(done, Happening::NobodyListens(parcel.from, reply_to));
        }
    }

    fn at_leaf(&mut self, at: usize, cuts: u32, parcel: Parcel) {
        let takes = self.broker_takes(parcel.bytes);
        let region = &mut self.regions[at];
        let done = region.leaf.serve(self.now, takes);
        match parcel.to {
            End::Secondary(_) => self.plan(done, Happening::Arrive(parcel)),
            End::Master if region.is_cut => {}
            End::Master => {
                let there = region.up.send(done, parcel.bytes);
                self.plan(there, Happening::Crossed(at, cuts, parcel));
            }
        }
    }

    /// A message leaves a node at that moment.
    fn send(&mut self, at: Duration, from: End, outbound: Outbound) {
        let Outbound {
            to,
            reply_to,
            message,
        } = outbound;
        let ends = match &to {
            Address::Ack(..) | Address::Promise(_) | Address::Fetched(_) => vec![End::Master],
            Address::Announce => (0..self.secondaries.len()).map(End::Secondary).collect(),
            // Nobody has the name of another one here.
            Address::Claim(_) => {
                if let Some(reply_to) = reply_to {
                    self.plan(at, Happening::NobodyListens(from, reply_to));
                }
                return;
            }
            Address::Event(..) => return,
            _ => {
                let n = to.node().and_then(|node| self.places.get(node));
                n.map(|n| End::Secondary(*n)).into_iter().collect()
            }
        };
        let (message, bytes) = self.carried(&to, message);
        for to in ends {
            let parcel = Parcel {
                from,
                to,
                reply_to: reply_to.clone(),
                message: Rc::clone(&message),
                bytes: bytes + NATS_BYTES,
            };
            match from {
                End::Master => self.plan(at, Happening::AtHub(parcel)),
                End::Secondary(n) => {
                    let region = self.region_of(n);
                    let cuts = self.regions[region].cuts;
                    self.plan(at, Happening::AtLeaf(region, cuts, parcel));
                }
            }
        }
    }

    /// The message as it is read from its bytes, and how many they are.
    fn carried(&mut self, to: &Address, message: Message) -> (Rc<Message>, usize) {
        if let Some((sent, read, bytes)) = &self.last_sent
            && *sent == message
        {
            return (Rc::clone(read), *bytes);
        }
        let at_ms = u64::try_from(self.now.as_millis()).unwrap_or(0);
        let line: Bytes = message.encode(at_ms);
        let read = Message::decode(to, &line).expect("what a node says can be read");
        let read = Rc::new(read);
        if matches!(message, Message::Append(_)) {
            self.last_sent = Some((message, Rc::clone(&read), line.len()));
        }
        (read, line.len())
    }

    // ---- The nodes.

    fn give_master(&mut self, input: Input<Command<Caller>>) {
        let at = self.master.receive(self.now, input);
        self.plan_master_turn(at);
    }

    fn plan_master_turn(&mut self, at: Duration) {
        if self.master.turn_at.is_none_or(|planned| at < planned) {
            self.master.turn_at = Some(at);
            self.plan(at, Happening::MasterTurn);
        }
    }

    fn give(&mut self, n: usize, input: Input<replog_protocol::follower::Command<Caller>>) {
        let at = self.secondaries[n].receive(self.now, input);
        self.plan_turn(n, at);
    }

    fn plan_turn(&mut self, n: usize, at: Duration) {
        let host = &mut self.secondaries[n];
        if host.turn_at.is_none_or(|planned| at < planned) {
            host.turn_at = Some(at);
            self.plan(at, Happening::Turn(n));
        }
    }

    fn master_turn(&mut self) {
        if self.master.turn_at != Some(self.now) {
            return; // another turn has come before this one
        }
        self.master.turn_at = None;
        let costs = self.costs.master;
        let peers = self.setup.secondaries as f64 * self.setup.peer_us(&self.costs);
        let takes_in = |input: &Input<Command<Caller>>| match input {
            Input::Client(_) => micros(costs.append_us + peers),
            Input::Message(_) => micros(costs.exchange_us / 2.0 + peers),
            _ => micros(peers),
        };
        let takes_out = |outbound: &Outbound| {
            micros(costs.exchange_us / 2.0 + costs.kib_us * kib(entry_bytes(outbound)))
        };
        let Turn { messages, replies } = self.master.turn(self.now, takes_in, takes_out);
        for (after, outbound) in messages {
            self.master_messages.0 += 1;
            self.master_kib += kib(entry_bytes(&outbound));
            self.send(self.now + after, End::Master, outbound);
        }
        for (after, Reply { waiter, answer }) in replies {
            self.answered(self.now + after, waiter, &answer);
        }
        if let Some(at) = self.master.next_turn(self.now) {
            self.plan_master_turn(at);
        }
    }

    fn turn(&mut self, n: usize) {
        let host = &mut self.secondaries[n];
        if host.turn_at != Some(self.now) {
            return; // another turn has come before this one
        }
        host.turn_at = None;
        let costs = self.costs.secondary;
        let takes_in = |input: &Input<_>| match input {
            Input::Message(Message::Append(append)) => {
                let bytes = append.entries.as_ref().map_or(0, |batch| batch.bytes());
                micros(costs.exchange_us + costs.kib_us * kib(bytes))
            }
            _ => Duration::ZERO,
        };
        let turn = host.turn(self.now, takes_in, |_| Duration::ZERO);
        for (after, outbound) in turn.messages {
            self.send(self.now + after, End::Secondary(n), outbound);
        }
        if let Some(at) = self.secondaries[n].next_turn(self.now) {
            self.plan_turn(n, at);
        }
    }

    // ---- The clients.

    fn ask_after_thinking(&mut self, client: usize) {
        let Some(load) = self.load else { return };
        let most = load.think * 2;
        let at = self.now + self.rng.between(Duration::ZERO, most);
        self.plan(at, Happening::Ask(client));
    }

    fn ask(&mut self, client: usize) {
        let Some((load, me)) = self.load.zip(self.clients.get_mut(client)) else {
            return; // it has stopped
        };
        me.asked_at = self.now;
        me.asked += 1;
        let id = client as u64 * IDS_OF_CLIENT + me.asked;
        let append = self.append_of(client, id, load.w);
        self.give_master(Input::Client(Command::Append(append)));
    }

    /// The master has one more entry; nobody is told yet.
    pub(super) fn append_one(&mut self) {
        let id = self.clients.len() as u64 * IDS_OF_CLIENT + self.tail().0;
        let append = self.append_of(usize::MAX, id, WriteConcern::Count(1));
        let command = Input::Client(Command::Append(append));
        self.master.receive(self.now, command);
        self.master
            .turn(self.now, |_| Duration::ZERO, |_| Duration::ZERO);
    }

    fn append_of(&self, client: usize, id: u64, w: WriteConcern) -> Append<Caller> {
        Append {
            requests: vec![AppendRequest {
                content: self.content.clone(),
                message_id: MessageId(Uuid::from_u64_pair(4, id)),
                is_new_id: true,
            }],
            w,
            timeout: None,
            expected_seq: None,
            load: None,
            request_id: None,
            waiter: Caller(client),
        }
    }

    fn answered(&mut self, at: Duration, Caller(client): Caller, answer: &Answer) {
        let Some(me) = self.clients.get(client) else {
            return; // it has stopped
        };
        match answer {
            Answer::Replicated { .. } => self.answered.push((at, at - me.asked_at)),
            _ => self.refused += 1,
        }
        let think = self.load.map_or(Duration::ZERO, |load| load.think * 2);
        let at = at + self.rng.between(Duration::ZERO, think);
        self.plan(at, Happening::Ask(client));
    }

    // ---- What can be seen.

    /// The end of the master's log.
    pub(super) fn tail(&self) -> Seq {
        self.master.node.log().last().seq
    }

    /// Whether every secondary holds everything up to there and the master knows it.
    pub(super) fn all_hold(&self, seq: Seq) -> bool {
        self.lowest() >= Some(seq)
    }

    /// What every secondary holds, as the master knows; `None` while one was never heard.
    fn lowest(&self) -> Option<Seq> {
        let peers = self.master.node.peers();
        let positions = peers.iter().map(|(_, p)| p.storage().map(|_| p.matched()));
        positions.min().flatten()
    }

    /// Whether the master takes every secondary for healthy.
    pub(super) fn all_healthy(&self) -> bool {
        use replog_protocol::leader::health::Status;
        let now = Time(self.now);
        let mut peers = self.master.node.peers().iter();
        peers.all(|(_, peer)| peer.status(now) == Status::Healthy)
    }

    /// How many entries half of the secondaries do not have, as far as the master knows, or more.
    pub(super) fn behind(&self) -> u64 {
        let (tail, peers) = (self.tail(), self.master.node.peers());
        let mut behind: Vec<u64> = peers.iter().map(|(_, p)| tail.after(p.matched())).collect();
        behind.sort_unstable();
        behind.get(behind.len() / 2).copied().unwrap_or(0)
    }

    /// How often the master has sent entries again.
    pub(super) fn retries(&self) -> u64 {
        let peers = self.master.node.peers().iter();
        peers.map(|(_, peer)| peer.retries()).sum()
    }
}

fn entry_bytes(outbound: &Outbound) -> usize {
    match &outbound.message {
        Message::Append(append) => append.entries.as_ref().map_or(0, |batch| batch.bytes()),
        _ => 0,
    }
}
