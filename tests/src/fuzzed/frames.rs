//! What NATS delivers, and in between what clients, the disk and the clock do: a script for one node, a line a step.
//!
//! | line | is |
//! |---|---|
//! | `master`, `listed`, `recovering`, `secondary` | first: which node. A `listed` master has members `s` and `t` |
//! | `replog.default.… {…}` | a message on that subject; the rest of the line is its payload |
//! | `nobody SUBJECT` | nobody listens there |
//! | `tick MS` | so much time passes, from deadline to deadline |
//! | `post ID W`, `clear`, `rejoin`, `remove NAME`, `read` | what clients ask |
//! | `up BYTES`, `down` | the link |
//! | `slow`, `prompt`, `full`, `written` | the disk: writes wait for `written`, end at once, find no room |
//! | `rot SEQ` | an entry is damaged |
//! | `restart` | with what the disk holds |
//! | `stop` | |
//!
//! A line that is none of these is passed over. The ids in a script are small numbers as UUIDs: the master's start is 1, the
//! history that it begins 1001, the storages of `s` are 9 and then 10, 11 …

mod checks;
mod driven;

use std::time::Duration;

use bytes::Bytes;
use replog_nats::Subjects;
use replog_protocol::entry::Content;
use replog_protocol::event::Event;
use replog_protocol::follower::{self, Follower, FollowerConfig};
use replog_protocol::ids::{LogId, MasterId, MessageId, NodeId, Seq, StorageId};
use replog_protocol::leader::command::{Append, AppendRequest, Command};
use replog_protocol::leader::dedup::DeduplicateBy;
use replog_protocol::leader::recovery::{RecoverySettings, Requires};
use replog_protocol::leader::settings::Replication;
use replog_protocol::leader::{Leader, LeaderConfig};
use replog_protocol::node::{Identity, Input, LinkState, Restored};
use replog_protocol::wire::{AckOf, Address, DecodeError, Message};
use replog_protocol::write_concern::WriteConcern;
use replog_storage::journal::Journal;
use uuid::Uuid;

use checks::{Checked, Client};
use driven::{Disk, Driven};

/// So many lines of a script are done.
const MAX_LINES: usize = 400;
/// So often two nodes say what they have to say to each other before they must agree.
const MAX_EXCHANGES: usize = 100;
/// The longest text of why a message is refused: it goes into the log.
const MAX_REASON_BYTES: usize = 512;
/// What passes the broker of these scripts.
const MAX_PAYLOAD: usize = 1 << 20;

/// Runs a script.
///
/// # Panics
/// Where the node does what it must not.
pub fn run(script: &[u8]) {
    let mut lines = super::lines(script);
    let first = lines.next().unwrap_or_default();
    let rest = lines.take(MAX_LINES);
    match first {
        b"secondary" => play(Secondary::new(), rest),
        b"listed" => play(Master::new(true, true), rest),
        b"recovering" => play(Master::new(false, false), rest),
        // So that a single message is a script, too.
        line => {
            play(
                Master::new(false, true),
                [line].into_iter().chain(rest.clone()),
            );
            play(Secondary::new(), [line].into_iter().chain(rest));
        }
    }
}

/// Lets a master serve with what a journal holds, and append one more entry; and a secondary with nothing follow it.
///
/// # Panics
/// Where it does not, or says what nobody can read, or the secondary does not get all of it.
pub fn serves(journal: Box<dyn Journal>, restored: Restored) {
    let leader = Leader::new(Master::config(77, false, true), restored.clone());
    let last = restored.last.seq;
    let mut master = Master::with(Driven::over(leader, journal, restored), false);
    master.driven.pass(Duration::from_secs(1));
    let command = master.ask(&["post", "987654321", "1"]);
    master
        .driven
        .step(Input::Client(command.expect("a command")));
    master.driven.pass(Duration::from_secs(1));
    let answered = master.driven.checks.answered();
    assert_eq!(answered, Some(last.next()), "one more entry after {last}");

    let mut secondary = Secondary::new();
    for _ in 0..MAX_EXCHANGES {
        for said in secondary.driven.take_sent() {
            master.driven.step(Input::Message(said.message));
        }
        master.driven.pass(Duration::from_millis(100));
        for said in master.driven.take_sent() {
            secondary.driven.step(Input::Message(said.message));
        }
        secondary.driven.pass(Duration::from_millis(100));
        if secondary.driven.last() == last.next() {
            return;
        }
    }
    panic!(
        "a secondary has {} of {}",
        secondary.driven.last(),
        last.next()
    );
}

/// A kind of node that can be told what a script says.
trait Played {
    type Node: Checked;

    fn driven(&mut self) -> &mut Driven<Self::Node>;

    /// What a client asks, if this kind of node knows that.
    fn ask(
        &mut self,
        words: &[&str],
    ) -> Option<<Self::Node as replog_protocol::node::Node>::Command>;

    /// A new process with that on its disk.
    fn born(&mut self, restored: Restored) -> Self::Node;
}

fn play<'a, P: Played>(mut played: P, lines: impl Iterator<Item = &'a [u8]>) {
    let subjects = Subjects::of("default");
    for line in lines {
        if played.driven().has_ended() {
            let restored = played.driven().restored();
            let node = played.born(restored);
            played.driven().restart(node);
        }
        let (word, rest) = split(line);
        if let Some(address) = std::str::from_utf8(word)
            .ok()
            .and_then(|s| subjects.parse(s))
        {
            if let Some(input) = delivered(address, rest) {
                played.driven().step(input);
            }
            continue;
        }
        let Ok(text) = std::str::from_utf8(line) else {
            continue;
        };
        let words: Vec<&str> = text.split(' ').collect();
        let number = |i: usize| words.get(i).and_then(|w| w.parse::<u64>().ok());
        let driven = played.driven();
        match words[0] {
            "tick" => driven.pass(Duration::from_millis(number(1).unwrap_or(1).min(600_000))),
            "up" => {
                let max_payload = number(1).unwrap_or(MAX_PAYLOAD as u64);
                let max_payload = usize::try_from(max_payload).unwrap_or(usize::MAX);
                driven.step(Input::Link(LinkState::Up { max_payload }));
            }
            "down" => driven.step(Input::Link(LinkState::Down)),
            "nobody" => {
                let subject = words.get(1).and_then(|s| subjects.parse(s));
                if let Some(address) = subject {
                    driven.step(Input::NoResponders(address));
                }
            }
            "slow" => driven.disk = Disk::Slow,
            "prompt" => driven.disk = Disk::Prompt,
            "full" => driven.disk = Disk::Full,
            "written" => driven.end_write(),
            "rot" => driven.rot(Seq(number(1).unwrap_or(1))),
            "read" => driven.step(Input::ShowCommitted),
            "stop" => driven.step(Input::Stop),
            "restart" => {
                let restored = driven.restored();
                let node = played.born(restored);
                played.driven().restart(node);
            }
            _ => {
                if let Some(command) = played.ask(&words) {
                    played.driven().step(Input::Client(command));
                }
            }
        }
    }
    let driven = played.driven();
    driven.disk = Disk::Prompt;
    driven.end_write();
    driven.pass(Duration::from_secs(5));
}

/// The word before the first blank, and what follows.
fn split(line: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b' ', line) {
        Some(at) => (&line[..at], &line[at + 1..]),
        None => (line, b""),
    }
}

/// What a node is told of a message that has come.
fn delivered<C>(address: Address, payload: &[u8]) -> Option<Input<C>> {
    let payload = Bytes::copy_from_slice(payload);
    let _ = Event::decode(&payload);
    match Message::decode(&address, &payload) {
        Ok(message) => {
            let line = message.encode(7);
            // A field that says nothing beside the others is not said again.
            let again = Message::decode(&address, &line).expect("what is encoded is read");
            assert_eq!(again.encode(7), line);
            assert!(
                line.len() <= 8 * payload.len() + 4096,
                "{} bytes were made of {}",
                line.len(),
                payload.len()
            );
            Some(Input::Message(message))
        }
        Err(error) => {
            let said = error.to_string();
            assert!(
                said.len() <= MAX_REASON_BYTES,
                "{} bytes: {:.600}",
                said.len(),
                said
            );
            match error {
                DecodeError::Version(version) => Some(Input::OtherVersion(address, version)),
                _ => None,
            }
        }
    }
}

fn name(text: &str) -> NodeId {
    text.parse().expect("a name")
}

fn uuid(n: u64) -> Uuid {
    Uuid::from_u128(n.into())
}

/// A master under a script.
struct Master {
    driven: Driven<Leader<Client>>,
    is_listed: bool,
    starts: u64,
    clearings: u64,
    clients: u32,
}

impl Master {
    /// One that serves, or one that waits for others as long as it does by default.
    fn new(is_listed: bool, is_serving: bool) -> Self {
        let node = Leader::new(Self::config(1, is_listed, is_serving), Restored::default());
        Self::with(Driven::new(node), is_listed)
    }

    /// The same, with a broker.
    fn with(mut driven: Driven<Leader<Client>>, is_listed: bool) -> Self {
        let max_payload = MAX_PAYLOAD;
        driven.step(Input::Link(LinkState::Up { max_payload }));
        driven.step(Input::Tick);
        Self {
            driven,
            is_listed,
            starts: 1,
            clearings: 0,
            clients: 0,
        }
    }

    fn config(start: u64, is_listed: bool, is_serving: bool) -> LeaderConfig {
        let timeout = Duration::from_secs(if is_serving { 0 } else { 3 });
        let listed = ["s", "t"].map(name).to_vec();
        LeaderConfig {
            master: MasterId(uuid(start)),
            new_log_id: LogId(uuid(1000 + start)),
            listed: is_listed.then_some(listed),
            deduplicate_by: DeduplicateBy::MessageId,
            shares_journal: false,
            remember_ids: None,
            read_only_without_quorum: false,
            recovery: RecoverySettings {
                timeout,
                listen: timeout.min(Duration::from_millis(500)),
                retry: Duration::from_millis(500),
                takeover: false,
                requires: Requires::Any,
            },
            replication: Replication::default(),
            url: None,
        }
    }
}

impl Played for Master {
    type Node = Leader<Client>;

    fn driven(&mut self) -> &mut Driven<Self::Node> {
        &mut self.driven
    }

    fn ask(&mut self, words: &[&str]) -> Option<Command<Client>> {
        self.clients += 1;
        let waiter = Client(self.clients);
        match *words {
            ["post", id, w] => {
                let id: u64 = id.parse().ok()?;
                Some(Command::Append(Append {
                    requests: vec![AppendRequest {
                        content: Content::from_text(&id.to_string()),
                        message_id: MessageId(uuid(id)),
                        is_new_id: false,
                    }],
                    w: w.parse::<WriteConcern>().ok()?,
                    timeout: None,
                    expected_seq: None,
                    load: None,
                    request_id: None,
                    waiter,
                }))
            }
            ["clear"] => {
                self.clearings += 1;
                self.driven.checks.cleared();
                let log_id = LogId(uuid(2000 + self.clearings));
                Some(Command::Clear { log_id, waiter })
            }
            ["remove", node] => Some(Command::Remove {
                node: node.parse().ok()?,
                waiter,
            }),
            _ => None,
        }
    }

    fn born(&mut self, restored: Restored) -> Self::Node {
        self.starts += 1;
        Leader::new(Self::config(self.starts, self.is_listed, true), restored)
    }
}

/// The secondary `s` under a script; its name is its own.
struct Secondary {
    driven: Driven<Follower<Client>>,
    storages: u64,
    clients: u32,
}

impl Secondary {
    fn new() -> Self {
        let mut driven = Driven::new(Self::node(9, Restored::default()));
        let max_payload = MAX_PAYLOAD;
        driven.step(Input::Link(LinkState::Up { max_payload }));
        driven.step(Input::NoResponders(Address::Ack(name("s"), AckOf::Hello)));
        Self {
            driven,
            storages: 9,
            clients: 0,
        }
    }

    fn node(storage: u64, restored: Restored) -> Follower<Client> {
        let config = FollowerConfig {
            identity: Identity {
                node: name("s"),
                storage: StorageId(uuid(storage)),
            },
            heartbeat_interval: Duration::from_millis(500),
            seed: 1,
            url: None,
        };
        Follower::new(config, restored)
    }

    fn next_storage(&mut self) -> StorageId {
        self.storages += 1;
        StorageId(uuid(self.storages))
    }
}

impl Played for Secondary {
    type Node = Follower<Client>;

    fn driven(&mut self) -> &mut Driven<Self::Node> {
        &mut self.driven
    }

    fn ask(&mut self, words: &[&str]) -> Option<follower::Command<Client>> {
        self.clients += 1;
        let waiter = Client(self.clients);
        match *words {
            ["clear"] => Some(follower::Command::Clear {
                storage: self.next_storage(),
                waiter,
            }),
            ["rejoin"] => Some(follower::Command::Rejoin {
                storage: self.next_storage(),
                waiter,
            }),
            _ => None,
        }
    }

    fn born(&mut self, restored: Restored) -> Self::Node {
        Self::node(self.next_storage().0.as_u128() as u64, restored)
    }
}
