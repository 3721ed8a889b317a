//! What the tests are made of: ids from small numbers, entries, messages, and nodes over journals in memory.

pub(crate) mod cluster;
pub(crate) mod hand;
pub(crate) mod journal;
pub(crate) mod process;

use std::time::Duration;

use replog_protocol::cleared_logs::{ClearedLog, ClearedLogs};
use replog_protocol::committed::Committed;
use replog_protocol::entry::{BatchBuilder, Content, EntryBatch};
use replog_protocol::epochs::LogPosition;
use replog_protocol::follower::{Follower, FollowerConfig};
use replog_protocol::ids::{
    Epoch, Leadership, LogId, MasterId, MessageId, NodeId, Seq, StorageId, Time,
};
use replog_protocol::leader::LeaderConfig;
use replog_protocol::leader::command::{Append, AppendRequest, Command, Waiter};
use replog_protocol::leader::dedup::DeduplicateBy;
use replog_protocol::leader::recovery::{RecoverySettings, Requires};
use replog_protocol::leader::settings::Replication;
use replog_protocol::node::{Identity, Restored};
use replog_protocol::wire::{Ack, AppendEntries, HeartbeatNumber};
use replog_protocol::write_concern::WriteConcern;
use uuid::Uuid;

/// The `max_payload` of the broker in these tests.
pub(crate) const MAX_PAYLOAD: usize = 1 << 20;

/// A client of a test, known by a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Client(pub(crate) u32);

impl Waiter for Client {}

pub(crate) fn at(millis: u64) -> Time {
    Time(Duration::from_millis(millis))
}

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn node(name: &str) -> NodeId {
    name.parse().expect("a name")
}

pub(crate) fn log(n: u128) -> LogId {
    LogId(Uuid::from_u128(n))
}

pub(crate) fn master(n: u128) -> MasterId {
    MasterId(Uuid::from_u128(n))
}

pub(crate) fn storage(n: u128) -> StorageId {
    StorageId(Uuid::from_u128(n))
}

pub(crate) fn message_id(n: u128) -> MessageId {
    MessageId(Uuid::from_u128(n))
}

pub(crate) fn epoch(n: u64, start: u128) -> Epoch {
    Epoch::new(n, master(start)).expect("an epoch")
}

pub(crate) fn leadership(history: u128, n: u64, start: u128) -> Leadership {
    Leadership {
        log_id: log(history),
        epoch: epoch(n, start),
    }
}

pub(crate) fn position(seq: u64, epoch: Epoch) -> LogPosition {
    LogPosition {
        seq: Seq(seq),
        epoch,
    }
}

pub(crate) fn cleared(lives: &[Leadership]) -> ClearedLogs {
    let logs = lives.iter().map(|l| ClearedLog {
        log_id: l.log_id,
        epoch: l.epoch,
    });
    ClearedLogs::new(logs.collect()).expect("not too many")
}

/// One entry whose id and content are made from that number.
pub(crate) fn entry(seq: u64, epoch: Epoch, n: u128) -> EntryBatch {
    entry_of(seq, epoch, n, &n.to_string())
}

pub(crate) fn entry_of(seq: u64, epoch: Epoch, id: u128, text: &str) -> EntryBatch {
    let mut builder = BatchBuilder::new(Seq(seq), epoch);
    builder.push(message_id(id), &Content::from_text(text));
    builder.finish().expect("one entry")
}

/// The entries of those positions, one batch each; the id of an entry is its position.
pub(crate) fn entries(seqs: std::ops::RangeInclusive<u64>, epoch: Epoch) -> Vec<EntryBatch> {
    seqs.map(|seq| entry(seq, epoch, seq.into())).collect()
}

/// The entries of `log` from index `from` up to `upto`, one batch each in `log`, as their master sends them. They end where
/// another epoch begins, as one message is of one epoch.
pub(crate) fn append(
    leader: Leadership,
    log: &[EntryBatch],
    from: usize,
    upto: usize,
) -> AppendEntries {
    let run = &log[from..upto];
    let same = |e: &&EntryBatch| e.epoch() == run[0].epoch();
    let run: Vec<EntryBatch> = run.iter().take_while(same).cloned().collect();
    AppendEntries {
        prev: from
            .checked_sub(1)
            .map_or_else(LogPosition::default, |i| log[i].last_position()),
        entries: EntryBatch::concat(&run),
        tail: Seq(log.len() as u64),
        ..heartbeat(leader)
    }
}

/// The first heartbeat of a master that knows nothing of the secondary.
pub(crate) fn heartbeat(leader: Leadership) -> AppendEntries {
    AppendEntries {
        leader,
        prev: LogPosition::default(),
        entries: None,
        tail: Seq::ZERO,
        committed: Committed::default(),
        cleared: ClearedLogs::default(),
        storage: None,
        round: 0,
        interval: Duration::ZERO,
        url: None,
        digest: None,
        request_ids: Vec::new(),
    }
}

/// What a secondary says that holds nothing.
pub(crate) fn hello(name: &str, start: u128) -> Ack {
    Ack {
        node: node(name),
        storage: storage(start),
        log_id: None,
        epoch: Epoch::ZERO,
        upto: Seq::ZERO,
        last: LogPosition::default(),
        held_from: None,
        answers: HeartbeatNumber::default(),
        cleared: ClearedLogs::default(),
        damaged: None,
        error: None,
        is_goodbye: false,
        url: None,
        digest: None,
    }
}

pub(crate) fn recovery_settings() -> RecoverySettings {
    RecoverySettings {
        timeout: ms(3000),
        listen: ms(500),
        retry: ms(500),
        takeover: false,
        requires: Requires::Any,
    }
}

/// The `n`-th start of a master, which begins history `1000 + n` if nobody has any.
pub(crate) fn leader_config(n: u128, listed: Option<&[&str]>) -> LeaderConfig {
    LeaderConfig {
        master: master(n),
        new_log_id: log(1000 + n),
        listed: listed.map(|names| names.iter().map(|n| node(n)).collect()),
        deduplicate_by: DeduplicateBy::MessageId,
        shares_journal: false,
        remember_ids: None,
        read_only_without_quorum: false,
        recovery: recovery_settings(),
        replication: Replication::default(),
        url: None,
    }
}

pub(crate) fn follower(name: &str, start: u128, restored: Restored) -> Follower<Client> {
    let identity = Identity {
        node: node(name),
        storage: storage(start),
    };
    let config = FollowerConfig {
        identity,
        heartbeat_interval: ms(500),
        seed: 1,
        url: None,
    };
    Follower::new(config, restored)
}

/// One message with that id, for that many nodes.
pub(crate) fn request(id: u128, w: u64, client: u32) -> Append<Client> {
    Append {
        requests: vec![message(id)],
        w: WriteConcern::Count(w),
        timeout: None,
        expected_seq: None,
        load: None,
        request_id: None,
        waiter: Client(client),
    }
}

/// A message whose content is made from its id.
pub(crate) fn message(id: u128) -> AppendRequest {
    AppendRequest {
        content: Content::from_text(&id.to_string()),
        message_id: message_id(id),
        is_new_id: false,
    }
}

pub(crate) fn post(id: u128, w: u64, client: u32) -> Command<Client> {
    Command::Append(request(id, w, client))
}
