//! What clients are answered when their messages are not, or not yet, where they wanted them.

use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::Response;
use replog_protocol::ids::MessageId;
use replog_protocol::leader::command::{Answer, AppendError, Appended, Unavailable, WaitEnd};
use replog_protocol::node_url::NodeUrl;
use replog_service::http::problem::Problem;
use replog_service::metrics::HttpLimit;

/// What a client wanted in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// One message, of that id.
    Message(MessageId),
    /// A batch.
    Batch,
    /// A run of a load; which lines that are is said by whoever has counted them.
    Run,
}

/// Where the messages are, and how many nodes hold them. `None` is no answer: the node has ended without one.
///
/// # Errors
/// What is answered instead.
pub(super) fn replicated(answer: Option<Answer>, sent: Sent) -> Result<(Appended, u32), Problem> {
    match answer {
        Some(Answer::Replicated { appended, acks }) => Ok((appended, acks)),
        Some(Answer::NotReplicated {
            appended,
            acks,
            because,
        }) => Err(not_replicated(&appended, acks, because, sent)),
        Some(Answer::ClearedMeanwhile(appended)) => {
            let is_message = matches!(sent, Sent::Message(_));
            let id = is_message.then_some(appended.message_id);
            Err(cleared("the log was cleared while this message waited", id))
        }
        Some(Answer::NotKnown { appended, because }) => {
            let problem = not_known(because.as_str(), sent);
            Err(placed(problem, &appended, sent).with_field("w", appended.w))
        }
        Some(Answer::Refused(error)) => Err(refused(&error)),
        Some(
            Answer::Cleared(_)
            | Answer::Removed { .. }
            | Answer::NotRemoved(_)
            | Answer::Verified(_),
        ) => Err(Problem::internal("an append was taken for another command")),
        None => Err(not_known("stopping", sent)),
    }
}

fn cleared(detail: &str, message_id: Option<MessageId>) -> Problem {
    let problem = Problem::new(StatusCode::GONE, detail);
    match message_id {
        Some(message_id) => problem.with_field("message_id", message_id),
        None => problem,
    }
}

/// With the fields that say where the messages are.
fn placed(problem: Problem, appended: &Appended, sent: Sent) -> Problem {
    match sent {
        Sent::Message(_) => problem.with_field("seq", appended.last),
        Sent::Batch => problem
            .with_field("first_seq", appended.first)
            .with_field("last_seq", appended.last)
            .with_field("count", appended.last.after(appended.first) + 1),
        Sent::Run => problem,
    }
}

/// Nothing was appended.
pub(super) fn refused(error: &AppendError) -> Problem {
    let detail = error.to_string();
    match error {
        AppendError::TooManyNodes(_) => Problem::bad_request(detail),
        AppendError::TooLarge { .. } | AppendError::BatchTooLarge { .. } => {
            Problem::payload_too_large(detail)
        }
        AppendError::Standby { active } => standby(active.as_ref()),
        AppendError::OtherContent { seq, .. } => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail).with_field("seq", seq)
        }
        AppendError::Twice { .. } | AppendError::PartlyThere { .. } => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
        }
        AppendError::OtherHistory => cleared(&detail, None),
        AppendError::ExpectedSeq { last_seq } => {
            Problem::new(StatusCode::PRECONDITION_FAILED, detail).with_field("last_seq", last_seq)
        }
        AppendError::Unreadable { seq } => {
            let detail = format!(
                "nothing was changed: {detail}; it is fetched again from another node that holds it"
            );
            Problem::unavailable("damaged", detail).with_field("seq", seq)
        }
        // Whoever has waited for a chunk that another master's has overtaken is told what became of it.
        AppendError::Unavailable(reason @ Unavailable::Fenced) => {
            unavailable(*reason).with_field("in_log", false)
        }
        AppendError::Unavailable(reason) => unavailable(*reason),
    }
}

/// There are no appends now.
pub(super) fn unavailable(reason: Unavailable) -> Problem {
    let detail = match reason {
        Unavailable::NoQuorum => "fewer than a majority of the members are alive",
        Unavailable::Fenced => {
            "another master has taken over: ask that one, or restart this one if none lives (see /health)"
        }
        Unavailable::Standby => "this master stands by: another one leads, or none for a moment",
        Unavailable::Journal => {
            "the journal has not said for long whether it holds what was written, as while its servers choose a leader"
        }
        Unavailable::Recovering => {
            "the master has to ask the others first whether it knows everything, once the broker is there"
        }
        Unavailable::TooManyWaiting => "too many clients are waiting",
        Unavailable::Stopping => "the master is stopping",
        Unavailable::DiskFull => "the disk is full",
        Unavailable::DiskFailed => "the disk has failed, and the master ends",
    };
    let problem = Problem::unavailable(reason.as_str(), format!("nothing was changed: {detail}"));
    match reason {
        Unavailable::TooManyWaiting => problem.at_limit(HttpLimit::MaxWaiting),
        _ => problem,
    }
}

/// A standby says where the same call finds the master that leads: what stands in `Location` of a 503 gets the path and the query.
pub(super) fn same_call_elsewhere(mut response: Response, uri: &Uri) -> Response {
    let is_elsewhere = response.status() == StatusCode::SERVICE_UNAVAILABLE;
    let node = response.headers().get(LOCATION).filter(|_| is_elsewhere);
    if let (Some(node), Some(call)) = (node, uri.path_and_query()) {
        let node = node.to_str().unwrap_or_default().trim_end_matches('/');
        if let Ok(location) = HeaderValue::try_from(format!("{node}{call}")) {
            response.headers_mut().insert(LOCATION, location);
        }
    }
    response
}

/// This master stands by.
fn standby(active: Option<&NodeUrl>) -> Problem {
    let problem = unavailable(Unavailable::Standby);
    match active {
        Some(url) => {
            let problem = problem.with_field("active", url.as_str());
            problem.with_location(url.as_str())
        }
        None => problem,
    }
}

/// Fewer nodes hold the messages than were asked for; they are in the log all the same.
fn not_replicated(appended: &Appended, acks: u32, because: WaitEnd, sent: Sent) -> Problem {
    let (first, last, w) = (appended.first, appended.last, appended.w);
    let (what, verb) = match first == last {
        true => (format!("entry {last} is"), "goes"),
        false => (format!("the entries from {first} to {last} are"), "go"),
    };
    let end = match because {
        WaitEnd::Timeout => format!("in the log and {verb} on replicating"),
        WaitEnd::Stopping => "in the log of this master, which stops".to_owned(),
        WaitEnd::Fenced => {
            "in the log of this master, which another one has overtaken: ask that one".to_owned()
        }
    };
    let detail = format!("{what} {end}; {acks} of {w} nodes hold it");
    let problem = Problem::new(StatusCode::GATEWAY_TIMEOUT, detail).with_reason(because.as_str());
    let mut problem = placed(problem, appended, sent);
    if let Sent::Message(_) = sent {
        problem = problem.with_field("message_id", appended.message_id);
    }
    problem
        .with_field("acks", acks)
        .with_field("w", w)
        .with_field("in_log", true)
}

/// Whether the messages are in the log is not known.
fn not_known(reason: &'static str, sent: Sent) -> Problem {
    let detail = match sent {
        Sent::Message(_) => {
            "whether the message is in the log is not known: a retry with the same message_id is safe"
        }
        Sent::Batch => {
            "whether the batch is in the log is not known: a retry with the same message_ids is safe"
        }
        Sent::Run => {
            "whether this line and the next ones are in the log is not known: a load whose lines have a message_id, or that \
             has an Idempotency-Key, can be sent again"
        }
    };
    let problem = Problem::new(StatusCode::GATEWAY_TIMEOUT, detail).with_reason(reason);
    let problem = match sent {
        Sent::Message(message_id) => problem.with_field("message_id", message_id),
        Sent::Batch | Sent::Run => problem,
    };
    problem.with_field("in_log", None::<bool>)
}
