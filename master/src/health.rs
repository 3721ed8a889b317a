//! `GET /health`.

use replog_common::protocol::health::Status;
use replog_common::protocol::leader::Leader;
use replog_common::protocol::outcome::ReadOnly;
use replog_common::service::storage::ShownStorage;
use replog_common::types::{Epoch, Instance, LogId, NodeId, Seq, Time, WriteConcern};
use serde::Serialize;

/// The master and its members, at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Health {
    /// `ok`, `read_only`, `fenced` or `stopping`.
    pub status: &'static str,
    role: &'static str,
    log_id: LogId,
    epoch: Epoch,
    instance: Instance,
    last_seq: Seq,
    /// `connected` or `disconnected`.
    pub broker: &'static str,
    read_only: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// Why there are no appends, as in the 503 of one.
    pub reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fenced_by: Option<Fenced>,
    quorum: Quorum,
    default_w: u32,
    waiting: usize,
    storage: ShownStorage,
    members: Vec<Member>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    observers: Vec<Member>,
    /// Who has spoken while it recovers, and cannot read all of its log.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cannot_read: Vec<CannotRead>,
    /// Listed members that were not heard before it served: what only they hold is missing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_heard: Vec<NodeId>,
}

#[derive(Clone, Debug, Serialize)]
struct Fenced {
    epoch: Epoch,
    #[serde(skip_serializing_if = "Option::is_none")]
    heard_from: Option<NodeId>,
    problem: &'static str,
}

#[derive(Clone, Debug, Serialize)]
struct Quorum {
    needed: u32,
    alive: u32,
    ok: bool,
}

#[derive(Clone, Debug, Serialize)]
struct CannotRead {
    id: NodeId,
    seq: Seq,
    problem: String,
}

/// What helps where an entry is damaged that a recovery needs.
pub(crate) fn cannot_read(id: &NodeId, seq: Seq) -> String {
    format!(
        "entry {seq} is damaged on the disk of {id}: start another node that holds it; if none does, what {id} has after it is lost: stop {id} and move its data directory away"
    )
}

/// One secondary as the master sees it.
#[derive(Clone, Debug, Serialize)]
struct Member {
    id: NodeId,
    status: Status,
    acked_seq: Seq,
    lag: u64,
    last_seen_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held_from: Option<Seq>,
    retries: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_id: Option<LogId>,
    /// The first position at which it differs: another history shares nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    differs_from: Option<Seq>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// Reads it off the leader.
#[must_use]
pub fn of<W>(
    leader: &Leader<W>,
    default_w: WriteConcern,
    broker_up: bool,
    storage: ShownStorage,
    now: Time,
) -> Health {
    let last_seq = leader.last().seq;
    let members = leader.members();
    let member = |(id, r): (&NodeId, &replog_common::protocol::replicator::Replicator)| Member {
        id: id.clone(),
        status: r.status(now),
        acked_seq: r.matched(),
        lag: last_seq.0.saturating_sub(r.matched().0),
        last_seen_ms: r
            .health()
            .silence(now)
            .map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)),
        held_from: r.held_from(),
        retries: r.retries(),
        log_id: r.other_history(),
        differs_from: r.other_history().map(|_| Seq(1)),
        problem: if r.has_clash(now) {
            Some(format!(
                "two secondaries answer under the name {id}: stop one; the newer one counts"
            ))
        } else {
            r.other_history().map(|log| {
                format!("{id} holds another history ({log}) and counts for nothing; POST /rejoin on it puts that aside and makes it follow this one")
            })
        },
    };
    let (counted, observing): (Vec<_>, Vec<_>) =
        members.iter().partition(|(id, _)| members.is_member(id));
    let read_only = leader.read_only(now);
    let fenced_by = leader.fenced_by().map(|by| Fenced {
        epoch: by.epoch,
        heard_from: by.heard_from.clone(),
        problem: "another master has taken over: use that one; where none lives any more, restart this one",
    });
    let cannot_read = |(id, seq): (NodeId, Seq)| CannotRead {
        problem: cannot_read(&id, seq),
        id,
        seq,
    };
    Health {
        cannot_read: leader.cannot_read().map(cannot_read).collect(),
        fenced_by,
        storage,
        status: match read_only {
            Some(ReadOnly::Stopping) => "stopping",
            Some(ReadOnly::Fenced) => "fenced",
            Some(ReadOnly::Recovering) => "recovering",
            Some(_) => "read_only",
            None => "ok",
        },
        role: "master",
        log_id: leader.life().log_id,
        epoch: leader.life().epoch,
        instance: leader.life().instance,
        last_seq,
        broker: if broker_up {
            "connected"
        } else {
            "disconnected"
        },
        read_only: read_only.is_some(),
        reason: read_only.map(|r| r.word()),
        quorum: Quorum {
            needed: members.majority(),
            alive: members.alive(now),
            ok: leader.has_quorum(now),
        },
        default_w: default_w.nodes(members.count()),
        waiting: leader.commit().waiting(),
        members: counted.into_iter().map(member).collect(),
        observers: observing.into_iter().map(member).collect(),
        not_heard: leader.not_heard().cloned().collect(),
    }
}
