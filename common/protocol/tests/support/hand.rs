//! A master, or a secondary, that is spoken to by hand.

use replog_protocol::follower::Follower;
use replog_protocol::ids::{NodeId, Seq, Time};
use replog_protocol::leader::command::{Answer, AppendError, Command, Unavailable};
use replog_protocol::leader::recovery::RecoverySettings;
use replog_protocol::leader::{Leader, LeaderConfig};
use replog_protocol::node::{Input, Outbound};
use replog_protocol::wire::{Ack, Address, AppendEntries, HeartbeatNumber, Message};

use super::journal::Journal;
use super::process::Process;
use super::{Client, at, follower, hello, leader_config, ms, node, post};

pub(crate) type Master = Process<Leader<Client>>;
pub(crate) type Secondary = Process<Follower<Client>>;

/// The second start of a master, with nothing on its disk, that serves history 1002 from the first moment on.
pub(crate) fn serving(listed: Option<&[&str]>) -> Master {
    serving_by(leader_config(2, listed), Journal::default())
}

/// A master with that journal, that waits for nobody before it serves.
pub(crate) fn serving_by(config: LeaderConfig, journal: Journal) -> Master {
    let mut master = recovering_by(at_once(config), journal);
    master.link_up(at(0));
    master.tick(at(0));
    assert_eq!(master.node.unavailable(at(0)), None);
    master.sent.clear();
    master.events.clear();
    master
}

/// The same without any wait for others.
pub(crate) fn at_once(config: LeaderConfig) -> LeaderConfig {
    LeaderConfig {
        recovery: RecoverySettings {
            timeout: ms(0),
            listen: ms(0),
            ..config.recovery.clone()
        },
        ..config
    }
}

/// A master with that journal, whose link is down.
pub(crate) fn recovering_by(config: LeaderConfig, journal: Journal) -> Master {
    Process::new(Leader::new(config, journal.restored()), journal)
}

/// A secondary with that journal that has won its name and has said what it holds.
pub(crate) fn secondary_by(name: &str, start: u128, journal: Journal) -> Secondary {
    let mut process = Process::new(follower(name, start, journal.restored()), journal);
    process.link_up(at(0));
    nobody_has_the_name(&mut process, at(0));
    process.sent.clear();
    process
}

pub(crate) fn secondary(name: &str) -> Secondary {
    secondary_by(name, 9, Journal::default())
}

pub(crate) fn nobody_has_the_name(process: &mut Secondary, now: Time) {
    let hello = Address::Ack(
        process.node.node().clone(),
        replog_protocol::wire::AckOf::Hello,
    );
    process.step(Input::NoResponders(hello), now);
}

impl Master {
    /// What a storage says that follows this master and holds its log up to `upto`, without having been asked.
    pub(crate) fn position_of(&self, name: &str, start: u128, upto: u64) -> Ack {
        let leader = self.node.leadership();
        Ack {
            log_id: Some(leader.log_id),
            epoch: leader.epoch,
            upto: Seq(upto),
            last: self.journal.position(Seq(upto)).unwrap_or_default(),
            ..hello(name, start)
        }
    }

    /// The same as the answer to the last heartbeat that named the storage.
    pub(crate) fn answer_of(&self, name: &str, start: u128, upto: u64, round: u64) -> Ack {
        let master = self.node.leadership().epoch.master;
        Ack {
            answers: HeartbeatNumber { master, round },
            ..self.position_of(name, start, upto)
        }
    }

    pub(crate) fn hear(&mut self, ack: Ack, now: Time) {
        self.message(Message::Ack(ack), now);
    }

    /// A secondary speaks up, is asked, and answers: from now on its storage counts.
    pub(crate) fn join(&mut self, name: &str, start: u128, upto: u64, now: Time) {
        self.sent.clear();
        self.hear(self.position_of(name, start, upto), now);
        let asked = self.heartbeats(name).pop().expect("it is asked at once");
        assert_eq!(asked.storage, Some(super::storage(start)));
        self.hear(self.answer_of(name, start, upto, asked.round), now);
        let peer = self.node.peers().get(&node(name)).expect("it is known");
        assert_eq!(peer.storage(), Some(super::storage(start)));
    }

    /// The heartbeats to that secondary among what was sent.
    pub(crate) fn heartbeats(&self, name: &str) -> Vec<AppendEntries> {
        let to = Address::Heartbeat(node(name));
        frames(&self.sent, &to)
    }

    /// The appends to that secondary among what was sent.
    pub(crate) fn appends(&self, name: &str) -> Vec<AppendEntries> {
        frames(&self.sent, &Address::Append(node(name)))
    }

    /// Appends one message; its client has the number of its id.
    pub(crate) fn post(&mut self, id: u32, w: u64, now: Time) {
        self.step(Input::Client(post(id.into(), w, id)), now);
    }

    pub(crate) fn command(&mut self, command: Command<Client>, now: Time) {
        self.step(Input::Client(command), now);
    }

    /// What that client was told, if it was.
    pub(crate) fn answer(&self, client: u32) -> Option<&Answer> {
        let mut answers = self.replies.iter().filter(|r| r.waiter == Client(client));
        let answer = answers.next();
        assert!(answers.next().is_none(), "client {client} is told twice");
        answer.map(|r| &r.answer)
    }

    /// How many nodes held the entries of that client when it was told so.
    pub(crate) fn replicated(&self, client: u32) -> Option<u32> {
        match self.answer(client)? {
            Answer::Replicated { acks, .. } => Some(*acks),
            other => panic!("{client} is told {other:?}"),
        }
    }

    pub(crate) fn acks(&self, seq: u64) -> u32 {
        self.node.commit().acks(Seq(seq))
    }

    pub(crate) fn unavailable(&self, now: Time) -> Option<Unavailable> {
        self.node.unavailable(now)
    }
}

pub(crate) fn refused(reason: Unavailable) -> Answer {
    Answer::Refused(AppendError::Unavailable(reason))
}

fn frames(sent: &[Outbound], to: &Address) -> Vec<AppendEntries> {
    let frame = |out: &Outbound| match &out.message {
        Message::Append(frame) if out.to == *to => Some(frame.clone()),
        _ => None,
    };
    sent.iter().filter_map(frame).collect()
}

impl Secondary {
    pub(crate) fn receive(&mut self, frame: AppendEntries, now: Time) {
        self.message(Message::Append(frame), now);
    }

    /// The ACKs among what was sent since the last call, goodbyes too.
    pub(crate) fn take_acks(&mut self) -> Vec<Ack> {
        let ack = |out: Outbound| match out.message {
            Message::Ack(ack) => Some(ack),
            _ => None,
        };
        self.take_sent().into_iter().filter_map(ack).collect()
    }

    /// The last thing that it has said of its position; that and all before is forgotten.
    pub(crate) fn last_ack(&mut self) -> Ack {
        self.take_acks().pop().expect("it has spoken")
    }
}

/// The name of a peer in a list.
pub(crate) fn names(nodes: &[NodeId]) -> Vec<&str> {
    nodes.iter().map(NodeId::as_str).collect()
}
