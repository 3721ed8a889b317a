//! `GET /members` and `DELETE /members/{id}`.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use replog_protocol::ids::NodeId;
use replog_protocol::leader::command::{Answer, AppendError, Command, NotRemoved};
use replog_service::http::openapi::refusals::{
    BodyTimeout, EncodedBody, ProblemDetails, TooLarge, Unavailable,
};
use replog_service::http::path::NodePath;
use replog_service::http::problem::Problem;
use replog_service::http::{answer, body};
use serde::Serialize;
use utoipa::ToSchema;

use super::outcome::{refused, unavailable};
use super::{NoQuery, Shared};
use crate::health::Members;

/// The answer to a removal.
#[derive(Serialize, ToSchema)]
struct Removed {
    /// `removed`.
    #[schema(example = "removed")]
    status: &'static str,
    /// Which secondary.
    #[schema(value_type = String)]
    id: NodeId,
    /// How many members there are now, the master not among them.
    members: usize,
}

/// The secondaries that the master knows
///
/// As in `/health`: those that count, and those that are not listed and observe.
#[utoipa::path(
    get, path = "/members", operation_id = "listMembers", tag = "cluster",
    responses(
        (status = 200, description = "All of them, at one moment.", body = Members),
        (status = 503, response = Unavailable)
    )
)]
pub(super) async fn members(State(master): Shared, _: NoQuery) -> Result<Response, Problem> {
    let denial = master.node.denial();
    let members =
        (master.node).inspect(move |leader, now| Members::of(leader, denial.as_ref(), now));
    let members = members.await.ok_or_else(Problem::stopping)?;
    Ok(answer::json(&members))
}

/// Take out a secondary that is gone
///
/// One that is `unhealthy`, or was never heard by this master: of the members where none are listed, else of the observers. It
/// counts for nothing any more, and whoever waits for `all` or `majority` waits for the smaller of the number it was and what
/// that is now. It joins again when it speaks again.
#[utoipa::path(
    delete, path = "/members/{id}", operation_id = "removeMember", tag = "cluster",
    params(NodePath),
    responses(
        (status = 200, description = "It is taken out.", body = Removed,
            example = json!({"status": "removed", "id": "secondary1", "members": 1})),
        (status = 404, description = "There is no secondary of that name.",
            body = ProblemDetails, content_type = "application/problem+json",
            example = json!({"type": "about:blank", "title": "Not Found", "status": 404,
                "detail": "no secondary named secondary1 is known", "reason": "not_found"})),
        (status = 408, response = BodyTimeout),
        (status = 409, description = "It is alive, or a listed member.",
            body = ProblemDetails, content_type = "application/problem+json",
            example = json!({"type": "about:blank", "title": "Conflict", "status": 409,
                "detail": "secondary1 is healthy: only a secondary that is unhealthy, or was never heard, can be taken out",
                "reason": "member_alive"})),
        (status = 413, response = TooLarge),
        (status = 415, response = EncodedBody),
        (status = 503, response = Unavailable)
    )
)]
pub(super) async fn remove(
    State(master): Shared,
    NodePath(id): NodePath,
    _: NoQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    body::read_none(&headers, body).await?;
    let node = id.clone();
    let answer = master.node.ask(|waiter| Command::Remove { node, waiter });
    match answer.await? {
        Some(Answer::Removed { members }) => Ok(answer::json(&Removed {
            status: "removed",
            id,
            members,
        })),
        Some(Answer::NotRemoved(why)) => Err(not_removed(&id, why)),
        Some(Answer::Refused(AppendError::Unavailable(reason))) => Err(unavailable(reason)),
        Some(Answer::Refused(error)) => Err(refused(&error)),
        Some(_) => Err(Problem::internal("a removal was taken for another command")),
        None => Err(Problem::stopping()),
    }
}

fn not_removed(id: &NodeId, why: NotRemoved) -> Problem {
    let conflict = |detail: String| Problem::new(StatusCode::CONFLICT, detail);
    match why {
        NotRemoved::NotKnown => {
            Problem::not_found(format!("no secondary named {id} is known"))
        }
        NotRemoved::Listed => conflict(format!(
            "{id} is a listed member: --secondaries says who the members are, so start the master with another list"
        ))
        .with_reason("member_listed"),
        NotRemoved::Alive(status) => conflict(format!(
            "{id} is {}: only a secondary that is unhealthy, or was never heard, can be taken out",
            status.as_str()
        ))
        .with_reason("member_alive"),
    }
}
