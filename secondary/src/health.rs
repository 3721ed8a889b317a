//! `GET /health`: the secondary at one moment.

use replog_protocol::follower::Follower;
use replog_protocol::ids::{LogId, MasterId, NodeId, Seq, StorageId, Time};
use replog_protocol::node_url::NodeUrl;
use replog_service::broker::BrokerState;
use replog_service::http::health::{Running, StorageHealth, committed_seq, millis};
use replog_service::http::openapi::words::one_of;
use replog_service::http::readiness::Readiness;
use replog_service::settings::LivenessArgs;
use replog_storage::journal::StorageKind;
use serde::Serialize;
use serde_json::{Value, json};
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
    #[serde(flatten)]
    running: Running,
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
    /// Entries of the master that are not here yet; null while the master has not been heard for `--suspect-after`, and nobody
    /// knows.
    #[schema(required = true)]
    pub lag: Option<u64>,
    /// Entries that are held back because one before them is missing.
    held_back: u64,
    /// Entries that came again.
    duplicates: u64,
    /// What a majority has committed of that, as far as it is known and stored.
    #[schema(value_type = u64)]
    pub committed_seq: Seq,
    /// `connected`, `disconnected` or `denied`.
    broker: BrokerState,
    /// How long ago the master was heard; null where it never was.
    #[schema(required = true)]
    master_last_seen_ms: Option<u64>,
    /// Where clients reach the master, by its own word.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    master_url: Option<NodeUrl>,
    /// Whether all that is here is shown to be the master's.
    #[serde(skip)]
    #[schema(ignore)]
    is_verified: bool,
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

/// Entries of the master that are not here yet; `None` while the master is silent, and nobody knows: what it has said is of the
/// moment when it said that.
fn lag<W>(follower: &Follower<W>, liveness: LivenessArgs, now: Time) -> Option<u64> {
    let suspect_after = liveness.suspect_after_of(follower.expected_interval());
    let silence = now.since(follower.followed_at()?);
    let behind = || follower.master_tail().after(follower.position().upto);
    (silence < suspect_after).then(behind)
}

/// What `nats service stats` shows of a secondary.
pub(crate) fn stats<W>(node: &FaultyFollower<W>, liveness: LivenessArgs, now: Time) -> Value {
    let follower = node.follower();
    let position = follower.position();
    json!({
        "epoch": position.epoch.n,
        "last_seq": position.last.seq.0,
        "lag": lag(follower, liveness, now),
        "held_back": follower.held_back(),
    })
}

impl Health {
    /// Reads it off the node, which runs like that and expects signs of life as `liveness` says, whose log is in that kind of
    /// storage and whose link is like that.
    #[must_use]
    pub fn of<W>(
        node: &FaultyFollower<W>,
        running: Running,
        liveness: LivenessArgs,
        kind: StorageKind,
        broker: BrokerState,
        now: Time,
    ) -> Self {
        let follower = node.follower();
        let position = follower.position();
        let heard_at = match follower.foreign() {
            Some(_) => follower.master_seen(),
            None => follower.followed_at(),
        };
        let silence = heard_at.map(|t| now.since(t));
        let lag = lag(follower, liveness, now);
        let problem = follower.foreign().map(|theirs| {
            let mine = position.log_id.map_or_else(String::new, |id| id.to_string());
            format!(
                "holds history {mine}, the master has {theirs}: what is here stays readable and counts for nothing; \
                 POST /rejoin rolls it back and follows the master"
            )
        });
        let master = position.epoch.master;
        // What it holds was the former master's, until the present one has shown that it is its own.
        let is_verified = !master.is_nil() && position.upto == position.last.seq;
        Self {
            status: match problem {
                Some(_) => "diverged",
                None if is_verified && lag == Some(0) => "ok",
                None => "catching_up",
            },
            role: "secondary",
            id: position.node,
            running,
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
            master_last_seen_ms: silence.map(millis),
            master_url: follower.master_url().cloned(),
            is_verified,
            put_aside: node.rolled_back(),
            storage: StorageHealth::of(kind, follower.log(), follower.repair(), now),
            forged: follower.forged(),
            problem,
        }
    }

    /// The same in one line, for a service manager.
    #[must_use]
    pub fn line(&self) -> String {
        let behind = match self.lag {
            Some(lag) => format!("{lag} behind"),
            None => "no word of the master".to_owned(),
        };
        let Self {
            status,
            epoch,
            last_seq,
            broker,
            ..
        } = self;
        format!("{status}: epoch {epoch}, {last_seq} entries, {behind}, broker {broker}")
    }

    /// Whether the secondary can be read in place of the master, as of now, by whoever forgives it to be `ready_lag` entries
    /// behind.
    #[must_use]
    pub fn readiness(&self, ready_lag: u64) -> Readiness {
        let readiness = Readiness::default().broker(self.broker);
        let readiness = self.storage.check(readiness);
        let readiness = match (self.lag, self.master_last_seen_ms) {
            (Some(_), _) => readiness.passed("master", "heard lately"),
            _ if self.problem.is_some() => readiness.passed("master", "not followed"),
            (None, None) => {
                readiness.failed("master", "master_silent", "the master was never heard")
            }
            (None, Some(ms)) => {
                let detail = format!("the master has not been heard for {ms} ms");
                readiness.failed("master", "master_silent", detail)
            }
        };
        match (&self.problem, self.lag) {
            (Some(problem), _) => readiness.failed("caught up", "diverged", problem),
            (None, Some(lag)) if self.is_verified && lag <= ready_lag => {
                readiness.passed("caught up", format!("{lag} entries behind"))
            }
            (None, Some(lag)) => {
                let detail = format!("{lag} entries behind, at most {ready_lag} are allowed");
                readiness.failed("caught up", "catching_up", detail)
            }
            (None, None) => {
                let detail = "nobody knows without a word of the master";
                readiness.failed("caught up", "catching_up", detail)
            }
        }
    }
}
