//! `POST /messages`.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use replog_common::entry::Content;
use replog_common::protocol::dedup::DeduplicateBy;
use replog_common::protocol::members::among_listed;
use replog_common::protocol::outcome::{
    Draft, Lookup, Older, Outcome, Placement, ReadOnly, Refusal,
};
use replog_common::service::body::{parse_json, read_body};
use replog_common::service::problem::Problem;
use replog_common::service::reading;
use replog_common::types::MessageId;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;

use super::parse::{AppendBody, Checked};
use super::{Master, json_text};
use crate::command::AppendCommand;

/// How often a store is asked again whether it has a message, because entries came meanwhile.
const MAX_LOOKS: usize = 5;

pub(super) async fn post_message(
    State(master): State<Master>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let body = read_body(body).await?;
    if body.iter().find(|b| !b.is_ascii_whitespace()) != Some(&b'{') {
        // Serde would take an array for the fields in their order.
        return Err(Problem::bad_request(
            r#"the body must be a JSON object such as {"content":"hello","w":2}"#,
        ));
    }
    let checked = parse_json::<AppendBody>(&body)?.check(&headers, master.listed)?;
    let content = checked.content.clone();
    let (at, acks) = master.append(checked).await?;
    let Placement {
        seq,
        epoch,
        message_id,
        w,
        duplicate,
        log_id,
    } = at;
    let content = content.json();
    Ok(json_text(
        StatusCode::OK,
        format!(
            r#"{{"status":"replicated","seq":{seq},"message_id":"{message_id}","content":{content},"w":{w},"acks":{acks},"log_id":"{log_id}","epoch":{epoch},"duplicate":{duplicate}}}"#
        ),
    ))
}

impl Master {
    /// Appends and waits; hands out where the message is and how many nodes hold it.
    pub(super) async fn append(&self, message: Checked) -> Result<(Placement, u32), Problem> {
        let w = message.w.unwrap_or(self.default_w);
        if let Some(listed) = self.listed {
            among_listed(w, listed).map_err(|refusal| refused(&refusal))?;
        }
        let (size, most) = (message.content.json().len(), self.max_content_bytes());
        if size > most {
            let detail = format!(
                "the content has {size} bytes as JSON; the broker's max_payload leaves room for {most}"
            );
            return Err(Problem::payload_too_large(detail));
        }
        let is_new = message.message_id.is_none();
        let mut draft = Draft {
            content: message.content,
            message_id: message
                .message_id
                .unwrap_or_else(|| MessageId(uuid::Uuid::now_v7())),
            w,
            until: None,
            expected_seq: message.expected_seq,
            older: match is_new && self.deduplicate_by == DeduplicateBy::MessageId {
                true => Lookup::New,
                false => Lookup::Unknown,
            },
        };
        let begun = Instant::now();
        for _ in 0..MAX_LOOKS {
            let timeout = message.timeout.map(|t| t.saturating_sub(begun.elapsed()));
            match self.place(draft.clone(), timeout).await? {
                Ok((at, Outcome::Replicated { acks })) => return Ok((at, acks)),
                Ok((at, outcome)) => return Err(not_replicated(&at, outcome)),
                Err(Refusal::LookAgain) => {
                    draft.older = self.look_up(draft.message_id, &draft.content).await?
                }
                Err(refusal) => return Err(refused(&refusal)),
            }
        }
        Err(refused(&Refusal::LookAgain))
    }

    /// Hands it to the owner of the log, and waits.
    async fn place(
        &self,
        draft: Draft,
        timeout: Option<Duration>,
    ) -> Result<Result<(Placement, Outcome), Refusal>, Problem> {
        let (waiter, answer) = oneshot::channel();
        let command = AppendCommand {
            draft,
            timeout,
            waiter,
        };
        self.commands
            .try_send(command)
            .map_err(|error| match error {
                TrySendError::Full(_) => read_only(ReadOnly::TooManyWaiting),
                TrySendError::Closed(_) => read_only(ReadOnly::Stopping),
            })?;
        // The owner of the log is gone: whether it got this far is not known, so nothing is promised.
        answer.await.map_err(|_| {
            Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the master failed; try again with the same message_id",
            )
        })
    }

    /// Asks the store, where the log is on a disk, whether it has the message; not on a thread that serves.
    async fn look_up(&self, message_id: MessageId, content: &Content) -> Result<Lookup, Problem> {
        let view = reading::ready(&mut self.views.clone()).await?;
        let (true, Some(log_id)) = (view.log.is_on_disk(), view.log_id) else {
            return Ok(Lookup::Unknown);
        };
        let (log, content) = (view.log, content.clone());
        let looked = reading::off_thread(move || {
            let upto = log.last().seq; // before it looks: what comes later is known to the leader
            let found = match log.find(message_id, &content)? {
                Some(seq) => log.get(seq)?,
                None => None,
            };
            Ok(Older {
                log_id,
                upto,
                found,
            })
        });
        let looked = looked.await.map_err(reading::unreadable)?;
        Ok(Lookup::Looked(Box::new(looked)))
    }
}

fn refused(refusal: &Refusal) -> Problem {
    match refusal {
        Refusal::TooManyNodes { w, nodes } => Problem::bad_request(format!(
            "w is {w}, but must be from 1 to {nodes}: the master and {} listed members",
            nodes - 1
        )),
        Refusal::OtherContent { seq, message_id } => {
            let detail =
                format!("message_id {message_id} is in the log at {seq} with another content");
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail).with_field("seq", seq)
        }
        Refusal::ExpectedSeq { last_seq } => {
            let detail = format!(
                "expected_seq is not the next position, which is {}",
                last_seq.next()
            );
            Problem::new(StatusCode::PRECONDITION_FAILED, detail).with_field("last_seq", last_seq)
        }
        Refusal::ReadOnly(reason) => read_only(*reason),
        Refusal::LookAgain => read_only(ReadOnly::TooManyWaiting), // it was asked again and again
        Refusal::Unreadable { seq } => Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("entry {seq} cannot be read to compare it"),
        ),
    }
}

pub(super) fn read_only(reason: ReadOnly) -> Problem {
    let detail = match reason {
        ReadOnly::NoQuorum => "fewer than a majority of the members are alive",
        ReadOnly::Fenced => {
            "another master has taken over: ask that one, or restart this one if none lives (see /health)"
        }
        ReadOnly::Recovering => {
            "the master has to ask the others first whether it knows everything, once the broker is there"
        }
        ReadOnly::TooManyWaiting => "too many clients are waiting",
        ReadOnly::Stopping => "the master is stopping",
        ReadOnly::DiskFull => "the disk is full",
        ReadOnly::DiskFailed => {
            let detail = "the disk has failed, and the master ends; whether the message is in the log is not known: \
                          try again with the same message_id";
            return Problem::unavailable(reason.word(), detail.to_owned());
        }
    };
    Problem::unavailable(reason.word(), format!("nothing was changed: {detail}"))
}

/// The errors after the append: they say that the entry is in the log.
fn not_replicated(at: &Placement, outcome: Outcome) -> Problem {
    let (reason, acks, is) = match outcome {
        Outcome::TimedOut { acks } => ("timeout", acks, "in the log and goes on replicating"),
        Outcome::Stopping { acks } => ("stopping", acks, "in the log of this master, which stops"),
        Outcome::Fenced { acks } | Outcome::Replicated { acks } => {
            let is = "in the log of this master, which another one has overtaken: ask that one";
            ("fenced", acks, is)
        }
        Outcome::NotStored(why) => return read_only(why),
        Outcome::Cleared => {
            return Problem::new(
                StatusCode::GONE,
                "the log was cleared while this message waited",
            )
            .with_field("message_id", at.message_id);
        }
    };
    let (seq, w) = (at.seq, at.w);
    let detail = format!("entry {seq} is {is}; {acks} of {w} nodes hold it");
    Problem::new(StatusCode::GATEWAY_TIMEOUT, detail)
        .with_field("seq", seq)
        .with_field("message_id", at.message_id)
        .with_field("acks", acks)
        .with_field("w", w)
        .with_field("in_log", true)
        .with_field("reason", reason)
}
