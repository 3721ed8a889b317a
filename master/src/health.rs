//! `GET /health`: the master and its secondaries, at one moment.

use replog_nats::{Denial, StreamStatus};
use replog_protocol::ids::{LogId, MasterId, NodeId, Seq, Time};
use replog_protocol::leader::Leader;
use replog_protocol::leader::command::{Unavailable, Waiter};
use replog_protocol::leader::health::Status;
use replog_protocol::leader::peer::Peer;
use replog_protocol::leader::phase::Phase;
use replog_protocol::leader::verification::Difference;
use replog_protocol::node_url::NodeUrl;
use replog_protocol::wire::PROTOCOL_VERSION;
use replog_protocol::write_concern::WriteConcern;
use replog_service::broker::BrokerState;
use replog_service::http::health::{Running, StorageHealth, committed_seq, millis};
use replog_service::http::openapi::words::one_of;
use replog_service::http::readiness::Readiness;
use replog_storage::journal::StorageKind;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;

use crate::journal::{Active, LogStorage, lag_chunks};

/// The answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Health {
    /// `ok`, `recovering`, `read_only`, `standby`, `fenced` or `stopping`.
    #[schema(schema_with = statuses)]
    status: &'static str,
    /// `master`; `standby` where another master leads, or none.
    role: &'static str,
    #[serde(flatten)]
    running: Running,
    /// The history.
    #[schema(value_type = uuid::Uuid)]
    log_id: LogId,
    epoch: u64,
    /// This start of the master.
    #[schema(value_type = uuid::Uuid)]
    instance: MasterId,
    /// The last entry.
    #[schema(value_type = u64)]
    last_seq: Seq,
    /// What a majority has committed of that, as far as it is known and stored.
    #[schema(value_type = u64)]
    committed_seq: Seq,
    /// `connected`, `disconnected` or `denied`.
    broker: BrokerState,
    /// Whether appends are refused.
    read_only: bool,
    /// Why there are no appends, as in the 503 of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = reasons)]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// Who has taken over.
    #[schema(nullable = false)]
    fenced_by: Option<Fenced>,
    /// Who leads, while this master stands by.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    active: Option<Active>,
    /// How far this master is behind the stream, while it stands by.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    lag_chunks: Option<u64>,
    /// Whether enough members are alive.
    quorum: Quorum,
    /// The write concern of a POST that names none, as a number of nodes.
    default_w: u32,
    /// Clients that wait for an answer to their POST.
    waiting: usize,
    storage: LogStorage,
    /// The secondaries that count.
    members: Vec<Member>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    /// Secondaries that are not listed, and do not count.
    observers: Vec<Member>,
    /// Who has spoken while the master recovers, and cannot read all of its log.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cannot_read: Vec<CannotRead>,
    /// Who has spoken another version of the protocol while the master recovers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    other_versions: Vec<OtherVersion>,
    /// Listed members that have not answered a master that recovers; or had not when it began to serve: what only they hold is
    /// missing then.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    not_heard: Vec<NodeId>,
    /// Messages that were dropped because of an epoch that no honest node can have.
    #[serde(skip_serializing_if = "is_zero")]
    forged: u64,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
struct Fenced {
    epoch: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// The node that told of it.
    #[schema(value_type = Option<String>, nullable = false)]
    heard_from: Option<NodeId>,
    problem: &'static str,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
struct Quorum {
    needed: u32,
    alive: u32,
    ok: bool,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
struct CannotRead {
    #[schema(value_type = String)]
    id: NodeId,
    #[schema(value_type = u64)]
    seq: Seq,
    problem: String,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
struct OtherVersion {
    #[schema(value_type = String)]
    id: NodeId,
    version: u32,
    problem: String,
}

/// The secondaries that a master knows.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Members {
    /// Those that count.
    members: Vec<Member>,
    /// Those that are not listed, and do not count.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    observers: Vec<Member>,
}

/// One secondary as the master sees it.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Member {
    #[schema(value_type = String)]
    id: NodeId,
    #[schema(schema_with = member_statuses)]
    status: Status,
    /// Where clients reach it, by its own word.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    url: Option<NodeUrl>,
    /// The last entry that it has acknowledged.
    #[schema(value_type = u64)]
    acked_seq: Seq,
    /// Entries of the master that it has not acknowledged.
    lag: u64,
    /// How long ago it was heard; null where it never was.
    #[schema(required = true)]
    last_seen_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// The first entry that it holds back, because one before it is missing.
    #[schema(value_type = Option<u64>, nullable = false)]
    held_from: Option<Seq>,
    /// How often entries were sent to it again.
    retries: u64,
    /// The other history that it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>, nullable = false)]
    log_id: Option<LogId>,
    /// The first position at which it differs: another history shares nothing; of the same one it is found by digests.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, nullable = false)]
    differs_from: Option<Seq>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// What stands in the way.
    #[schema(nullable = false)]
    problem: Option<String>,
}

/// What a leader does not know of itself.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The kind of storage that its own log is in.
    pub kind: StorageKind,
    /// How its link is.
    pub broker: BrokerState,
    /// What the broker refuses, if anything.
    pub denial: Option<Denial>,
    /// How the stream of its journal is, where it is in one.
    pub stream: Option<StreamStatus>,
}

/// What a master can be doing.
pub(crate) const STATUSES: [&str; 6] = [
    "ok",
    "recovering",
    "read_only",
    "standby",
    "fenced",
    "stopping",
];

fn statuses() -> Object {
    one_of(&STATUSES)
}

fn reasons() -> Object {
    one_of(&[
        "recovering",
        "no_quorum",
        "fenced",
        "standby",
        "journal",
        "disk_full",
        "disk_failed",
        "too_many_waiting",
        "stopping",
    ])
}

pub(crate) fn member_statuses() -> Object {
    one_of(&["unknown", "healthy", "suspected", "unhealthy", "diverged"])
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Health {
    /// Reads it off the leader, which runs like that; `default_w` is the write concern of a POST that names none.
    #[must_use]
    pub fn of<W: Waiter>(
        leader: &Leader<W>,
        running: Running,
        default_w: WriteConcern,
        around: &Surroundings,
        now: Time,
    ) -> Self {
        let Surroundings {
            kind,
            broker,
            ref denial,
            ref stream,
        } = *around;
        let stream = stream.as_ref();
        let last_seq = leader.log().durable();
        let peers = leader.peers();
        let Members { members, observers } = Members::of(leader, denial.as_ref(), now);
        let unavailable = leader.unavailable(now);
        let recovery = leader.phase().recovery();
        let own = StorageHealth::of(kind, leader.log(), leader.repair(), now);
        Self {
            status: status(unavailable),
            role: match leader.phase() {
                Phase::Standby(_) => "standby",
                _ => "master",
            },
            running,
            log_id: leader.leadership().log_id,
            epoch: leader.leadership().epoch.n,
            instance: leader.master(),
            last_seq,
            committed_seq: committed_seq(leader.log(), kind),
            broker,
            read_only: unavailable.is_some(),
            reason: unavailable.map(Unavailable::as_str),
            fenced_by: Fenced::of(leader.phase()),
            active: Active::of(leader, now),
            lag_chunks: lag_chunks(leader, stream),
            quorum: Quorum {
                needed: peers.majority(),
                alive: peers.alive(now),
                ok: leader.has_quorum(now),
            },
            default_w: default_w.nodes(peers.count()),
            waiting: leader.waiting(),
            storage: LogStorage::of(leader, own, stream, now),
            members,
            observers,
            cannot_read: recovery
                .into_iter()
                .flat_map(|r| r.cannot_read())
                .map(|(id, seq)| CannotRead::of(id, seq))
                .collect(),
            other_versions: recovery
                .into_iter()
                .flat_map(|r| r.other_versions())
                .map(|(id, version)| OtherVersion {
                    id: id.clone(),
                    version,
                    problem: format!(
                        "{id} speaks protocol version {version}, this master speaks {PROTOCOL_VERSION}: stop all nodes, then \
                         start all of one version"
                    ),
                })
                .collect(),
            not_heard: match recovery {
                Some(recovery) => recovery.not_heard().cloned().collect(),
                None => leader.not_seen().cloned().collect(),
            },
            forged: leader.forged(),
        }
    }

    /// Whether the master can take appends and replicate them. Without a broker it serves those that ask for one node, and is
    /// not ready all the same.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let (entries, status) = (self.last_seq, self.status);
        let readiness = Readiness::default();
        let readiness = match status {
            "recovering" => {
                let detail = "the master asks the secondaries what they hold";
                readiness.failed("recovered", "recovering", detail)
            }
            _ => readiness.passed("recovered", format!("{entries} entries")),
        };
        let readiness = self.storage.check(readiness);
        let readiness = match (self.reason, status) {
            (_, "ok") => readiness.passed("appends", "taken"),
            (_, "recovering") => {
                let detail = "they wait until the master has recovered, for 5 s at most";
                readiness.failed("appends", "recovering", detail)
            }
            (_, "standby") => {
                let detail = "another master leads, or none for a moment: this one stands by";
                readiness.failed("appends", "standby", detail)
            }
            (reason, _) => {
                let detail = format!("the master takes no appends: {status}");
                readiness.failed("appends", reason.unwrap_or(status), detail)
            }
        };
        readiness.broker(self.broker)
    }
}

/// A master at one moment in one line, for its service manager.
#[must_use]
pub fn line<W: Waiter>(leader: &Leader<W>, broker: BrokerState, now: Time) -> String {
    let (peers, last) = (leader.peers(), leader.log().durable());
    let (alive, nodes) = (peers.alive(now), peers.count() + 1);
    let status = status(leader.unavailable(now));
    let epoch = leader.leadership().epoch.n;
    format!(
        "{status}: epoch {epoch}, {last} entries, {alive} of {nodes} nodes alive, broker {broker}"
    )
}

impl Members {
    /// Reads them off the leader, to whom the broker refuses that, if anything.
    #[must_use]
    pub fn of<W: Waiter>(leader: &Leader<W>, denial: Option<&Denial>, now: Time) -> Self {
        let (last, peers) = (leader.log().durable(), leader.peers());
        let member = |(id, peer): (&NodeId, &Peer)| {
            Member::of(id, peer, leader.difference(id), (last, denial, now))
        };
        let (members, observers): (Vec<_>, Vec<_>) =
            peers.iter().partition(|(id, _)| peers.is_member(id));
        Self {
            members: members.into_iter().map(member).collect(),
            observers: observers.into_iter().map(member).collect(),
        }
    }
}

/// What a master is doing that takes no appends for that reason, or takes them: one of [`STATUSES`].
pub(crate) fn status(unavailable: Option<Unavailable>) -> &'static str {
    match unavailable {
        None => "ok",
        Some(Unavailable::Stopping) => "stopping",
        Some(Unavailable::Fenced) => "fenced",
        Some(Unavailable::Standby) => "standby",
        Some(Unavailable::Recovering) => "recovering",
        Some(_) => "read_only",
    }
}

/// What `nats service stats` shows of a master.
pub(crate) fn stats<W: Waiter>(leader: &Leader<W>, now: Time) -> Value {
    let last_seq = leader.log().durable();
    let peers = leader.peers();
    let members = peers.iter().filter(|(id, _)| peers.is_member(id));
    let behind = members.map(|(_, peer)| last_seq.after(peer.matched()));
    json!({
        "status": status(leader.unavailable(now)),
        "epoch": leader.leadership().epoch.n,
        "last_seq": last_seq.0,
        "lag": behind.max().unwrap_or(0),
        "members": peers.count(),
        "alive": peers.alive(now),
    })
}

impl Fenced {
    fn of(phase: &Phase) -> Option<Self> {
        let Phase::Fenced(by) = phase else {
            return None;
        };
        Some(Self {
            epoch: by.epoch,
            heard_from: by.heard_from.clone(),
            problem: "another master has taken over: use that one; where none lives any more, restart this one",
        })
    }
}

impl CannotRead {
    fn of(id: NodeId, seq: Seq) -> Self {
        let problem = format!(
            "entry {seq} is damaged on the disk of {id}: start another node that holds it; if none does, what {id} has after \
             it is lost: stop {id} and move its data directory away"
        );
        Self { id, seq, problem }
    }
}

impl Member {
    fn of(
        id: &NodeId,
        peer: &Peer,
        difference: Option<Difference>,
        (last, denial, now): (Seq, Option<&Denial>, Time),
    ) -> Self {
        let other = peer.other_history();
        Self {
            id: id.clone(),
            status: peer.status(now),
            url: peer.url().cloned(),
            acked_seq: peer.matched(),
            lag: last.after(peer.matched()),
            last_seen_ms: peer.health().silence(now).map(millis),
            held_from: peer.held_from(),
            retries: peer.retries(),
            log_id: other,
            differs_from: match other {
                Some(_) => Some(Seq(1)),
                None => difference.and_then(Difference::first),
            },
            problem: problem_of(id, peer, denial, now)
                .or_else(|| difference.map(|difference| difference_of(id, difference))),
        }
    }
}

/// What stands in a secondary's way, for operators: the first of what is known.
fn problem_of(id: &NodeId, peer: &Peer, denial: Option<&Denial>, now: Time) -> Option<String> {
    if peer.has_clash(now) {
        return Some(format!(
            "two secondaries answer under the name {id}: stop one; the newer one counts, so restart the older one if that is to stay"
        ));
    }
    if let Some(log_id) = peer.other_history() {
        return Some(format!(
            "{id} holds another history ({log_id}) and counts for nothing; POST /rejoin on it rolls that back and makes it \
             follow this one"
        ));
    }
    if let Some(denial) = denial.filter(|denial| concerns(denial, id)) {
        return Some(format!("{denial}; it is tried again until it holds"));
    }
    if let Some(seq) = peer.damaged() {
        return Some(format!(
            "entry {seq} cannot be read from the disk of {id}; it is sent to it again"
        ));
    }
    if let Some((seq, bytes)) = peer.stuck_at(now) {
        return Some(format!(
            "entry {seq} is sent again and again, in a message of {bytes} bytes, and not acknowledged, although {id} answers: a \
             link on the way may take no message of that size (max_payload of a leaf node), or lose what is sent to {id}"
        ));
    }
    (peer.forged() > 0).then(|| {
        format!(
            "{} messages in the name of {id} were dropped: their epoch is more than 2^32 above this master's, so somebody \
             forges them",
            peer.forged()
        )
    })
}

/// That the log of a secondary is another one, by its digest.
fn difference_of(id: &NodeId, difference: Difference) -> String {
    let equal = difference.equal_upto;
    match difference.first() {
        Some(first) => format!(
            "entry {first} of {id} is another one than the master's, although the same master has placed both; everything up to \
             {equal} is the same. One of the two has stored something wrong: compare them (GET /messages/{first}); if it is {id}, \
             move its data directory away, and it is filled again"
        ),
        None => format!(
            "something after entry {equal} of {id}, up to {}, is another one than the master's; which entry is being looked for",
            difference.differs_at
        ),
    }
}

/// Whether what the broker refuses is a subject of that secondary.
fn concerns(denial: &Denial, id: &NodeId) -> bool {
    match denial {
        Denial::User => false,
        Denial::Subscribe(subject) | Denial::Publish(subject) => {
            subject.rsplit('.').next() == Some(id.as_str())
        }
    }
}
