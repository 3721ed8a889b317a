//! `GET /health`: the secondary at one moment.

use replog_protocol::ids::{LogId, MasterId, NodeId, Seq, StorageId, Time};
use replog_service::broker::BrokerState;
use replog_service::http::health::{StorageHealth, committed_seq, millis};
use replog_service::http::openapi::words::one_of;
use replog_storage::journal::StorageKind;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;

use crate::faulty::FaultyFollower;

/// The answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Health {
    /// `ok`, `catching_up` or `diverged`.
    #[schema(schema_with = statuses)]
    pub status: &'static str,
    /// `secondary`.
    role: &'static str,
    /// Its name.
    #[schema(value_type = String)]
    id: NodeId,
    /// The history; null where it has heard of none yet.
    #[schema(value_type = Option<uuid::Uuid>, required = true)]
    log_id: Option<LogId>,
    /// The number of the leadership that it follows.
    epoch: u64,
    /// The start of the master that is followed.
    #[schema(value_type = Option<uuid::Uuid>, required = true)]
    instance: Option<MasterId>,
    /// The id of the storage, new at each start.
    #[schema(value_type = uuid::Uuid)]
    storage_id: StorageId,
    /// The last entry.
    #[schema(value_type = u64)]
    last_seq: Seq,
    /// Entries of the master that are not here yet, as far as it has said.
    pub lag: u64,
    /// Entries that are held back because one before them is missing.
    held_back: u64,
    /// Entries that came again.
    duplicates: u64,
    /// What a majority has committed of that, as far as it is known and stored.
    #[schema(value_type = u64)]
    committed_seq: Seq,
    /// `connected`, `disconnected` or `denied`.
    pub broker: BrokerState,
    /// How long ago the master was heard; null where it never was.
    #[schema(required = true)]
    master_last_seen_ms: Option<u64>,
    /// Entries that were rolled back since the start because the master has others there; see `GET /diverged`.
    put_aside: u64,
    storage: StorageHealth,
    /// Messages that were dropped because of an epoch that no honest node can have.
    #[serde(skip_serializing_if = "is_zero")]
    forged: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// What stands in the way.
    #[schema(nullable = false)]
    problem: Option<String>,
}

/// What a secondary can be doing.
pub(crate) const STATUSES: [&str; 3] = ["ok", "catching_up", "diverged"];

fn statuses() -> Object {
    one_of(&STATUSES)
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Health {
    /// Reads it off the node, whose log is in that kind of storage and whose link is like that.
    #[must_use]
    pub fn of<W>(
        node: &FaultyFollower<W>,
        kind: StorageKind,
        broker: BrokerState,
        now: Time,
    ) -> Self {
        let follower = node.follower();
        let position = follower.position();
        let lag = follower.master_tail().after(position.upto);
        let problem = follower.foreign().map(|theirs| {
            let mine = position.log_id.map_or_else(String::new, |id| id.to_string());
            format!(
                "holds history {mine}, the master has {theirs}: what is here stays readable and counts for nothing; \
                 POST /rejoin rolls it back and follows the master"
            )
        });
        let master = position.epoch.master;
        // What it holds was the former master's, until the present one has shown that it is its own.
        let is_caught_up = !master.is_nil() && lag == 0 && position.upto == position.last.seq;
        Self {
            status: match problem {
                Some(_) => "diverged",
                None if is_caught_up => "ok",
                None => "catching_up",
            },
            role: "secondary",
            id: position.node,
            log_id: position.log_id,
            epoch: position.epoch.n,
            instance: Some(master).filter(|master| !master.is_nil()),
            storage_id: position.storage,
            last_seq: position.last.seq,
            lag,
            held_back: follower.held_back(),
            duplicates: follower.duplicates(),
            committed_seq: committed_seq(follower.log(), kind),
            broker,
            master_last_seen_ms: follower.master_seen().map(|t| millis(now.since(t))),
            put_aside: node.rolled_back(),
            storage: StorageHealth::of(kind, follower.log(), follower.repair(), now),
            forged: follower.forged(),
            problem,
        }
    }
}
