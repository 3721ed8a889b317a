//! What clients are answered when their messages are not, or not yet, where they wanted them.

use axum::http::StatusCode;
use replog_protocol::ids::MessageId;
use replog_protocol::leader::command::{AppendError, Appended, Unavailable, WaitEnd};
use replog_service::http::problem::Problem;

/// Nothing was appended.
pub(super) fn refused(error: &AppendError) -> Problem {
    let detail = error.to_string();
    match error {
        AppendError::TooManyNodes(_) => Problem::bad_request(detail),
        AppendError::TooLarge { .. } => Problem::payload_too_large(detail),
        AppendError::OtherContent { seq, .. } => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail).with_field("seq", seq)
        }
        AppendError::PartlyThere { .. } => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail),
        AppendError::ExpectedSeq { last_seq } => {
            Problem::new(StatusCode::PRECONDITION_FAILED, detail).with_field("last_seq", last_seq)
        }
        AppendError::Unreadable { seq } => {
            let detail = format!(
                "nothing was changed: {detail}; it is fetched again from another node that holds it"
            );
            Problem::unavailable("damaged", detail).with_field("seq", seq)
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
        Unavailable::Recovering => {
            "the master has to ask the others first whether it knows everything, once the broker is there"
        }
        Unavailable::TooManyWaiting => "too many clients are waiting",
        Unavailable::Stopping => "the master is stopping",
        Unavailable::DiskFull => "the disk is full",
        Unavailable::DiskFailed => "the disk has failed, and the master ends",
    };
    Problem::unavailable(reason.as_str(), format!("nothing was changed: {detail}"))
}

/// Fewer nodes hold the message than were asked for; it is in the log all the same.
pub(super) fn not_replicated(appended: &Appended, acks: u32, because: WaitEnd) -> Problem {
    let is = match because {
        WaitEnd::Timeout => "in the log and goes on replicating",
        WaitEnd::Stopping => "in the log of this master, which stops",
        WaitEnd::Fenced => {
            "in the log of this master, which another one has overtaken: ask that one"
        }
    };
    let (seq, w) = (appended.last, appended.w);
    let detail = format!("entry {seq} is {is}; {acks} of {w} nodes hold it");
    Problem::new(StatusCode::GATEWAY_TIMEOUT, detail)
        .with_reason(because.as_str())
        .with_field("seq", seq)
        .with_field("message_id", appended.message_id)
        .with_field("acks", acks)
        .with_field("w", w)
        .with_field("in_log", true)
}

/// Whether the message is in the log is not known.
pub(super) fn not_known(message_id: MessageId, reason: &'static str) -> Problem {
    let detail =
        "whether the message is in the log is not known: a retry with the same message_id is safe";
    Problem::new(StatusCode::GATEWAY_TIMEOUT, detail)
        .with_reason(reason)
        .with_field("message_id", message_id)
        .with_field("in_log", None::<bool>)
}
