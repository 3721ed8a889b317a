//! `GET /verify`: whether every node has the same entries.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use replog_protocol::ids::{LogId, NodeId, Seq};
use replog_protocol::leader::command::{Answer, AppendError, Command};
use replog_protocol::leader::health::Status;
use replog_protocol::leader::verification::{Verified, VerifiedNode};
use replog_service::http::answer;
use replog_service::http::openapi::refusals::Unavailable;
use replog_service::http::problem::Problem;
use replog_service::http::query::{Parameters, WaitTime};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Shared;
use super::outcome::{refused, unavailable};
use crate::health::member_statuses;

/// How long the secondaries have to answer where the client does not say.
const DEFAULT_WAIT: Duration = Duration::from_secs(2);
/// The longest time that a client may let them have.
const MAX_WAIT: Duration = Duration::from_secs(300);

/// The parameters of `GET /verify`.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct VerifyParameters {
    /// How long the secondaries have to answer; 2 s where it is not said, at most 5 minutes count. After a start with a large log
    /// on its disk a node may need longer: it reads all of it once.
    #[param(value_type = Option<String>, pattern = "^([0-9]{1,9}ms|[0-9]{1,6}s|[0-9]{1,5}m|[0-9]{1,3}h)$", nullable = false,
        example = "20ms")]
    wait: Option<WaitTime>,
}

/// Whether every node has the same entries.
#[derive(Serialize, ToSchema)]
pub(super) struct Verification {
    /// All secondaries that have answered have the same entries as the master, as far as each has come.
    equal: bool,
    /// All secondaries that the master knows have answered.
    answers: bool,
    /// Everything up to here is the same on the master and on all that have answered.
    #[schema(value_type = u64)]
    upto: Seq,
    /// The history.
    #[schema(value_type = uuid::Uuid)]
    log_id: LogId,
    epoch: u64,
    /// The end of the master's log when the secondaries were asked.
    #[schema(value_type = u64)]
    last_seq: Seq,
    /// The secondaries, members and observers, each beside the master.
    nodes: Vec<Node>,
}

/// Whether one secondary has the same entries as the master.
#[derive(Serialize, ToSchema)]
struct Node {
    #[schema(value_type = String)]
    id: NodeId,
    /// Whether it counts for write concerns; else it observes.
    member: bool,
    #[schema(schema_with = member_statuses)]
    status: Status,
    /// Whether it has answered in time; one that is `unhealthy` is not waited for.
    answers: bool,
    /// It has answered, and all that it was known to hold is the same.
    equal: bool,
    /// Everything up to here is known to be the same. Without a `first_difference` beside it, what follows was not compared.
    #[schema(value_type = u64)]
    upto: Seq,
    /// The first entry that is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, nullable = false)]
    first_difference: Option<Seq>,
}

impl Verification {
    fn of(verified: Verified) -> Self {
        Self {
            equal: verified.is_equal(),
            answers: verified.is_answered(),
            upto: verified.upto(),
            log_id: verified.leadership.log_id,
            epoch: verified.leadership.epoch.n,
            last_seq: verified.last,
            nodes: verified.nodes.into_iter().map(Node::of).collect(),
        }
    }
}

impl Node {
    fn of(node: VerifiedNode) -> Self {
        Self {
            id: node.node,
            member: node.is_member,
            status: node.status,
            answers: node.answers,
            equal: node.is_equal,
            upto: node.upto,
            first_difference: node.first_difference,
        }
    }
}

/// Whether every node has the same entries
///
/// The master asks each secondary for the digest of its log, and where that is another one than its own, for digests in between,
/// until the first entry is found that differs. Nothing is changed by it. A node that has not answered in time does not count as
/// equal.
#[utoipa::path(
    get, path = "/verify", operation_id = "verifyLogs", tag = "cluster",
    params(VerifyParameters),
    responses(
        (status = 200, description = "What was found, whether they are equal or not.", body = Verification,
            example = json!({"equal": false, "answers": true, "upto": 41, "log_id": "7e4f4218-6ef4-4dcf-8bc4-192e881d26d3",
                "epoch": 1, "last_seq": 1042, "nodes": [
                    {"id": "secondary1", "member": true, "status": "healthy", "answers": true, "equal": true, "upto": 1042},
                    {"id": "secondary2", "member": true, "status": "healthy", "answers": true, "equal": false, "upto": 41,
                        "first_difference": 42}]})),
        (status = 503, response = Unavailable)
    )
)]
pub(super) async fn verify(
    State(master): Shared,
    Parameters(parameters): Parameters<VerifyParameters>,
) -> Result<Response, Problem> {
    let _place = master.log.waiting_place()?;
    let wait = parameters.wait.map_or(DEFAULT_WAIT, |wait| wait.0);
    let wait = wait.min(MAX_WAIT);
    let answer = master.node.ask(|waiter| Command::Verify { wait, waiter });
    match answer.await? {
        Some(Answer::Verified(verified)) => Ok(answer::json(&Verification::of(verified))),
        Some(Answer::Refused(AppendError::Unavailable(reason))) => Err(unavailable(reason)),
        Some(Answer::Refused(error)) => Err(refused(&error)),
        Some(_) => Err(Problem::internal(
            "a verification was taken for another command",
        )),
        None => Err(Problem::stopping()),
    }
}
