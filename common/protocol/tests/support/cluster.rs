//! A few masters and secondaries, of which some reach one another: for conversations that take a dozen steps.
//!
//! Each process has a letter: masters are digits; a secondary is a small letter, which is its name; the large letter is a
//! second process of the same name. Time is virtual and goes from deadline to deadline; a message takes no time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use replog_protocol::event::Event;
use replog_protocol::follower::{self, Follower};
use replog_protocol::ids::{Leadership, NodeId, Time};
use replog_protocol::leader::command::{Answer, Command, Unavailable};
use replog_protocol::leader::{Leader, LeaderConfig};
use replog_protocol::node::{Input, LinkState, Outbound};
use replog_protocol::wire::{AckOf, Address, Message};

use super::hand::{Master, Secondary};
use super::journal::Journal;
use super::process::{Disk, Process};
use super::{Client, MAX_PAYLOAD, follower, leader_config, log, ms, node, post};

/// More messages than that at one moment are a storm.
const STORM: usize = 3_000;

/// One message that was sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) at: Time,
    pub(crate) from: char,
    pub(crate) out: Outbound,
}

/// Processes, and the network between them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cluster {
    now: Time,
    masters: BTreeMap<char, Master>,
    secondaries: BTreeMap<char, Secondary>,
    /// Who was stopped (SIGSTOP), with what has come for it meanwhile.
    suspended: BTreeMap<char, VecDeque<Message>>,
    /// Pairs that reach each other.
    reach: BTreeSet<(char, char)>,
    queue: VecDeque<(char, Outbound)>,
    starts: u128,
    clients: u32,
    /// Every message that was sent.
    pub(crate) trace: Vec<Sent>,
}

impl Cluster {
    /// Secondaries of those names, one a letter, that hold nothing.
    pub(crate) fn new(names: &str) -> Self {
        let mut cluster = Self::default();
        for key in names.chars() {
            cluster.start(key, Journal::default());
        }
        cluster
    }

    /// A first master of those members, which hold so many entries.
    pub(crate) fn settled(members: &str, entries: u32) -> Self {
        let mut cluster = Self::new("abc");
        cluster.master('1', members);
        let group = format!("1{members}");
        cluster.run(&group, 4000);
        for _ in 0..entries {
            cluster.append('1', 1);
        }
        cluster.run(&group, 1000);
        cluster
    }

    // ---- Processes.

    /// A master with nothing on its disk.
    pub(crate) fn master(&mut self, key: char, members: &str) {
        self.start_master(key, members, Journal::default());
    }

    pub(crate) fn start_master(&mut self, key: char, members: &str, journal: Journal) {
        let n = key.to_digit(10).expect("a master is a digit");
        let names: Vec<String> = members.chars().map(String::from).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.start_master_by(key, leader_config(n.into(), Some(&names)), journal);
    }

    pub(crate) fn start_master_by(&mut self, key: char, config: LeaderConfig, journal: Journal) {
        let mut process = Process::new(Leader::new(config, journal.restored()), journal);
        process.born = self.now;
        process.link_up(self.now);
        assert!(self.masters.insert(key, process).is_none());
        self.collect(key);
    }

    /// A secondary with that journal, and a new storage id as at every start.
    pub(crate) fn start(&mut self, key: char, journal: Journal) {
        self.starts += 1;
        let name = key.to_ascii_lowercase().to_string();
        let node: Follower<Client> = follower(&name, self.starts, journal.restored());
        let mut process = Process::new(node, journal);
        process.born = self.now;
        process.link_up(self.now);
        assert!(self.secondaries.insert(key, process).is_none());
        self.collect(key);
    }

    /// A process ends at once; what stays is its journal.
    pub(crate) fn kill(&mut self, key: char) -> Journal {
        let master = self.masters.remove(&key).map(|p| p.journal);
        let secondary = self.secondaries.remove(&key).map(|p| p.journal);
        master.or(secondary).expect("a process of this cluster")
    }

    /// A process ends and starts again with what is on its disk.
    pub(crate) fn restart(&mut self, key: char) {
        let journal = self.kill(key);
        self.start(key, journal);
    }

    pub(crate) fn suspend(&mut self, key: char) {
        self.suspended.insert(key, VecDeque::new());
    }

    /// It goes on; first it reads what has come meanwhile.
    pub(crate) fn resume(&mut self, key: char) {
        for message in self.suspended.remove(&key).expect("it is suspended") {
            self.step(key, message);
        }
    }

    pub(crate) fn link_down(&mut self, key: char) {
        self.link(key, LinkState::Down);
    }

    pub(crate) fn link_up(&mut self, key: char) {
        let max_payload = MAX_PAYLOAD;
        self.link(key, LinkState::Up { max_payload });
    }

    fn link(&mut self, key: char, state: LinkState) {
        let now = self.now;
        match self.masters.get_mut(&key) {
            Some(process) => process.step(Input::Link(state), now),
            None => self.secondary_mut(key).step(Input::Link(state), now),
        }
        self.collect(key);
    }

    // ---- What is asked of them.

    /// Appends a message with a new id and waits for nobody: the number of the client, which is the id too.
    pub(crate) fn append(&mut self, key: char, w: u64) -> u32 {
        self.clients += 1;
        let n = self.clients;
        self.command(key, post(n.into(), w, n));
        n
    }

    pub(crate) fn clear(&mut self, key: char, history: u128) -> u32 {
        self.clients += 1;
        let waiter = Client(self.clients);
        let log_id = log(history);
        self.command(key, Command::Clear { log_id, waiter });
        self.clients
    }

    pub(crate) fn command(&mut self, key: char, command: Command<Client>) {
        let now = self.now;
        self.master_mut(key).step(Input::Client(command), now);
        self.collect(key);
    }

    pub(crate) fn ask(&mut self, key: char, command: follower::Command<Client>) {
        let now = self.now;
        self.secondary_mut(key).step(Input::Client(command), now);
        self.collect(key);
    }

    /// One process hears that, whoever has sent it.
    pub(crate) fn step(&mut self, key: char, message: Message) {
        let now = self.now;
        match self.masters.get_mut(&key) {
            Some(process) => process.message(message, now),
            None => self.secondary_mut(key).message(message, now),
        }
        self.collect(key);
    }

    /// An entry on the disk of a process cannot be read any more.
    pub(crate) fn rot(&mut self, key: char, seq: u64) {
        let now = self.now;
        match self.masters.get_mut(&key) {
            Some(process) => process.rot(seq, now),
            None => self.secondary_mut(key).rot(seq, now),
        }
        self.collect(key);
    }

    pub(crate) fn stop(&mut self, key: char) {
        let now = self.now;
        match self.masters.get_mut(&key) {
            Some(process) => process.step(Input::Stop, now),
            None => self.secondary_mut(key).step(Input::Stop, now),
        }
        self.collect(key);
    }

    /// Lets so many milliseconds pass. The processes of one word of `groups` reach one another, nobody else does.
    pub(crate) fn run(&mut self, groups: &str, millis: u64) {
        self.reach.clear();
        for group in groups.split_whitespace() {
            for a in group.chars() {
                self.reach.extend(group.chars().map(|b| (a, b)));
            }
        }
        let end = self.now + ms(millis);
        loop {
            self.deliver();
            let Some((key, next)) = self.next_deadline().filter(|(_, next)| *next <= end) else {
                break;
            };
            self.now = next.max(self.now);
            let now = self.now;
            match self.masters.get_mut(&key) {
                Some(process) => process.tick(now),
                None => self.secondary_mut(key).tick(now),
            }
            self.collect(key);
            // One that ends needs one more call to hand out the last replies.
            let is_overdue = self.deadline(key).is_some_and(|t| t <= now);
            assert!(!is_overdue || self.is_stopping(key), "{key} is never done");
        }
        self.now = end;
    }

    // ---- What can be seen of them.

    pub(crate) fn now(&self) -> Time {
        self.now
    }

    pub(crate) fn leader(&self, key: char) -> &Leader<Client> {
        &self.masters[&key].node
    }

    pub(crate) fn master_mut(&mut self, key: char) -> &mut Master {
        self.masters.get_mut(&key).expect("a master that runs")
    }

    pub(crate) fn master_of(&self, key: char) -> &Master {
        &self.masters[&key]
    }

    pub(crate) fn follower(&self, key: char) -> &Follower<Client> {
        &self.secondaries[&key].node
    }

    pub(crate) fn secondary_mut(&mut self, key: char) -> &mut Secondary {
        self.secondaries
            .get_mut(&key)
            .expect("a secondary that runs")
    }

    pub(crate) fn journal(&self, key: char) -> &Journal {
        match self.masters.get(&key) {
            Some(process) => &process.journal,
            None => &self.secondaries[&key].journal,
        }
    }

    pub(crate) fn set_disk(&mut self, key: char, disk: Disk) {
        match self.masters.get_mut(&key) {
            Some(process) => process.disk = disk,
            None => self.secondary_mut(key).disk = disk,
        }
    }

    pub(crate) fn unavailable(&self, key: char) -> Option<Unavailable> {
        let process = &self.masters[&key];
        process.node.unavailable(process.local(self.now))
    }

    pub(crate) fn leadership(&self, key: char) -> Leadership {
        self.leader(key).leadership()
    }

    /// What that client of a master was told.
    pub(crate) fn answer(&self, key: char, client: u32) -> Option<&Answer> {
        self.masters[&key].answer(client)
    }

    pub(crate) fn replicated(&self, key: char, client: u32) -> Option<u32> {
        self.masters[&key].replicated(client)
    }

    pub(crate) fn events(&self, key: char) -> &[Event] {
        match self.masters.get(&key) {
            Some(process) => &process.events,
            None => &self.secondaries[&key].events,
        }
    }

    /// The last position that a secondary has said to follow a master with.
    pub(crate) fn ack(&self, key: char) -> replog_protocol::wire::Ack {
        self.follower(key).position()
    }

    /// What was sent from that moment on.
    pub(crate) fn sent_since(&self, from: Time) -> impl Iterator<Item = &Sent> {
        self.trace.iter().filter(move |sent| sent.at >= from)
    }

    // ---- The network.

    fn collect(&mut self, key: char) {
        let sent = match self.masters.get_mut(&key) {
            Some(process) => process.take_sent(),
            None => self.secondary_mut(key).take_sent(),
        };
        for out in sent {
            self.trace.push(Sent {
                at: self.now,
                from: key,
                out: out.clone(),
            });
            self.queue.push_back((key, out));
        }
    }

    /// Delivers every message as the broker would: to whoever listens on its address, the sender among them.
    fn deliver(&mut self) {
        let mut delivered = 0;
        while let Some((from, out)) = self.queue.pop_front() {
            delivered += 1;
            assert!(delivered < STORM, "a storm: {:?}", self.trace.last());
            let listeners = self.listeners(&out.to);
            if listeners.iter().all(|key| *key == from)
                && let Some(reply_to) = &out.reply_to
            {
                self.nobody_listens(from, reply_to.clone());
            }
            for key in listeners {
                if !self.reach.contains(&(from, key)) {
                    continue;
                }
                match self.suspended.get_mut(&key) {
                    Some(inbox) => inbox.push_back(out.message.clone()),
                    None => self.step(key, out.message.clone()),
                }
            }
        }
    }

    fn listeners(&self, to: &Address) -> Vec<char> {
        let named = |name: &NodeId| {
            let has_name = |key: &char| node(&key.to_ascii_lowercase().to_string()) == *name;
            self.secondaries.keys().copied().filter(has_name).collect()
        };
        let masters = self.masters.keys().copied();
        let all: Vec<char> = match to {
            Address::Append(name)
            | Address::Heartbeat(name)
            | Address::Prepare(name)
            | Address::Fetch(name)
            | Address::Claim(name) => named(name),
            Address::Ack(name, AckOf::Hello) => masters.chain(named(name)).collect(),
            Address::Ack(..) | Address::Promise(_) | Address::Fetched(_) => masters.collect(),
            Address::Announce => masters.chain(self.secondaries.keys().copied()).collect(),
            Address::Event(..) => Vec::new(),
        };
        all.into_iter()
            .filter(|key| !self.has_ended(*key))
            .collect()
    }

    fn nobody_listens(&mut self, from: char, reply_to: Address) {
        let now = self.now;
        if self.suspended.contains_key(&from) {
            return;
        }
        if let Some(process) = self.masters.get_mut(&from) {
            process.step(Input::NoResponders(reply_to), now);
        } else if let Some(process) = self.secondaries.get_mut(&from) {
            process.step(Input::NoResponders(reply_to), now);
        } else {
            return;
        }
        self.collect(from);
    }

    fn deadline(&self, key: char) -> Option<Time> {
        match self.masters.get(&key) {
            Some(process) => process.deadline(),
            None => self.secondaries.get(&key)?.deadline(),
        }
    }

    fn next_deadline(&self) -> Option<(char, Time)> {
        let keys = self.masters.keys().chain(self.secondaries.keys());
        let running =
            keys.filter(|key| !self.suspended.contains_key(key) && !self.has_ended(**key));
        let deadlines = running.filter_map(|key| Some((*key, self.deadline(*key)?)));
        deadlines.min_by_key(|(_, at)| *at)
    }

    pub(crate) fn has_ended(&self, key: char) -> bool {
        match self.masters.get(&key) {
            Some(process) => process.end.is_some(),
            None => self.secondaries[&key].end.is_some(),
        }
    }

    fn is_stopping(&self, key: char) -> bool {
        let master = self.masters.get(&key);
        master.is_none_or(|p| p.node.phase().unavailable() == Some(Unavailable::Stopping))
    }
}
