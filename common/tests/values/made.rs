//! What the tests here are made of.

use std::time::Duration;

use replog_common::entry::{Content, Entry, Position};
use replog_common::message::{Ack, Append, Life};
use replog_common::protocol::dedup::DeduplicateBy;
use replog_common::protocol::follower::Follower;
use replog_common::protocol::leader::{Leader, LeaderConfig};
use replog_common::protocol::outcome::Draft;
use replog_common::protocol::recovery::RecoverySettings;
use replog_common::protocol::replicator::Transmit;
use replog_common::protocol::settings::Replication;
use replog_common::types::{
    Epoch, Incarnation, Instance, LogId, MessageId, NodeId, Seq, Time, WriteConcern,
};
use uuid::Uuid;

pub(crate) fn at(millis: u64) -> Time {
    Time(Duration::from_millis(millis))
}

pub(crate) fn node(name: &str) -> NodeId {
    name.parse().expect("a name")
}

pub(crate) fn log(n: u128) -> LogId {
    LogId(Uuid::from_u128(n))
}

pub(crate) fn instance(n: u128) -> Instance {
    Instance(Uuid::from_u128(n))
}

pub(crate) fn incarnation(n: u128) -> Incarnation {
    Incarnation(Uuid::from_u128(n))
}

pub(crate) fn life(history: u128, epoch: u64, start: u128) -> Life {
    Life {
        log_id: log(history),
        epoch: Epoch(epoch),
        instance: instance(start),
    }
}

/// A master of a history and a life of its own, with everything else as it comes.
pub(crate) fn config(life: Life, listed: Option<&[&str]>) -> LeaderConfig {
    LeaderConfig {
        life,
        recovery: None,
        listed: listed.map(|names| names.iter().map(|n| node(n)).collect()),
        deduplicate_by: DeduplicateBy::MessageId,
        read_only_without_quorum: false,
        replication: Replication::default(),
    }
}

/// That master, which serves at once.
pub(crate) fn leader(life: Life, listed: Option<&[&str]>) -> Leader<u32> {
    Leader::new(config(life, listed))
}

pub(crate) fn recovery_settings(takeover: bool) -> RecoverySettings {
    RecoverySettings {
        timeout: Duration::from_secs(3),
        listen: Duration::from_millis(500),
        retry: Duration::from_millis(500),
        takeover,
    }
}

pub(crate) fn draft(id: u128, w: u32) -> Draft {
    Draft {
        content: Content::from_text("x"),
        message_id: MessageId(Uuid::from_u128(id)),
        w: WriteConcern::Count(w),
        until: None,
        expected_seq: None,
        older: Default::default(),
    }
}

pub(crate) fn follower(name: &str) -> Follower {
    Follower::new(node(name), incarnation(9))
}

/// What a node says that holds nothing.
pub(crate) fn hello(name: &str) -> Ack {
    follower(name).ack()
}

/// The entries of `log` from index `from` up to `upto`, as that life sends them.
pub(crate) fn append(life: Life, log: &[Entry], from: usize, upto: usize) -> Append<Vec<Entry>> {
    let prev = from
        .checked_sub(1)
        .map_or_else(Position::default, |i| log[i].position());
    Append {
        life,
        prev,
        tail: Seq(log.len() as u64),
        commit: Seq::ZERO,
        replaces: Vec::new(),
        by: None,
        entries: log[from..upto].to_vec(),
    }
}

/// Stores what can be stored.
pub(crate) fn store(follower: &mut Follower, stored: &mut Vec<Entry>) {
    let ready = follower.take_ready();
    stored.extend(ready.iter().cloned());
    follower.stored(&ready);
}

/// Lets everything leave that is due; hands out how much it was.
pub(crate) fn send_all(leader: &mut Leader<u32>, now: Time) -> usize {
    let mut sent = 0;
    while let Some((to, transmit)) = leader.poll_transmit() {
        let entries = match transmit {
            Transmit::Heartbeat { .. } => None,
            Transmit::Entries { last, .. } => Some((last, 1)),
        };
        leader.sent(&to, entries, now);
        sent += 1;
    }
    sent
}
