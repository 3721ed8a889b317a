//! `POST /messages` with a message a line (`application/x-ndjson`): a load of any length, in constant memory.
//!
//! The lines are appended in runs. One run is on its way at a time: while it is, the lines that come make the next one, so a
//! slow node makes runs larger, then keeps the client from sending, and costs no memory. A run is sent once `w` nodes hold the
//! one before it. The leader takes the lines of a run one by one, up to the first that is refused (see [`Load`]), so nothing
//! that comes after a refused line is ever in the log.

use std::collections::VecDeque;
use std::pin::pin;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{Method, header};
use axum::response::Response;
use replog_protocol::ids::{LogId, Seq};
use replog_protocol::leader::command::{Answer, AppendError, AppendRequest, Appended, Load};
use replog_service::http::lines::{Line, Lines};
use replog_service::http::problem::Problem;
use replog_service::http::{answer, body, query, request_id};
use serde::Serialize;
use utoipa::ToSchema;

use super::Master;
use super::idempotency_key::IdempotencyKey;
use super::outcome::{Sent, refused, replicated};
use super::parse::{LoadLine, NewMessage};
use super::terms::{AppendParameters, Terms};

/// A run ends with the line that brings the bytes of its contents to this.
const RUN_BYTES: usize = 256 << 10;
/// The most lines of a run: they get their places in one step, and meanwhile nobody else is served.
const RUN_LINES: usize = 4096;
/// After a run of which only a part was taken the next one is twice that part, but at least this.
const SMALL_RUN_LINES: usize = 16;

/// The answer when enough nodes hold every line.
#[derive(Serialize, ToSchema)]
pub(super) struct Loaded {
    /// `replicated`.
    status: &'static str,
    /// How many messages it has.
    count: u64,
    /// The lowest position of its messages.
    #[schema(value_type = u64, minimum = 1)]
    first_seq: Seq,
    /// The highest one.
    #[schema(value_type = u64, minimum = 1)]
    last_seq: Seq,
    /// How many of its messages were in the log already.
    duplicates: u64,
    /// How many nodes were to hold all of it.
    w: u32,
    /// How many do.
    acks: u32,
    /// The history that it is in.
    #[schema(value_type = uuid::Uuid)]
    log_id: LogId,
    /// The number of the leadership that placed it.
    epoch: u64,
}

/// Whether a request has a message a line.
pub(super) fn is_load(head: &Parts) -> bool {
    let Some(kind) = head.headers.get(header::CONTENT_TYPE) else {
        return false;
    };
    let kind = kind.to_str().unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/x-ndjson")
}

/// Whether a request has a body that the server lets be as long as it likes.
pub(super) fn has_endless_body(head: &Parts) -> bool {
    head.uri.path() == "/messages" && head.method == Method::POST && is_load(head)
}

/// Appends the lines, and answers when enough nodes hold all of them.
///
/// # Errors
/// What ends the load; with the line that is the first one not in the log, and what stands before it.
pub(super) async fn load(master: &Master, head: &Parts, body: Body) -> Result<Response, Problem> {
    let mut lines = Lines::new(body, master.max_line_bytes);
    let mut done = Done::default();
    match run_all(master, head, &mut lines, &mut done).await {
        Ok(()) => Ok(answer::json(&done.loaded())),
        Err(problem) => Err(problem
            .with_field("line", done.next_line(&lines))
            .with_field("appended", done.count - done.duplicates)
            .with_field("last_seq", master.log.now().snapshot.last)),
    }
}

async fn run_all(
    master: &Master,
    head: &Parts,
    lines: &mut Lines,
    done: &mut Done,
) -> Result<(), Problem> {
    body::check_coding(&head.headers)?;
    let terms = query::read::<AppendParameters>(&head.uri)?.check(master.listed)?;
    let key = IdempotencyKey::of(&head.headers)?;
    let request_id = request_id::of_client(&head.headers);
    // As long as its client likes.
    let _place = master.log.waiting_place()?;
    let mut waiting = Waiting::new(terms);
    let mut rest = Rest::More;
    loop {
        // The lines that are there; the first one is waited for.
        while rest.is_more() && waiting.has_room() {
            let read = tokio::select! {
                biased;
                read = lines.next() => read,
                () = std::future::ready(()), if !waiting.is_empty() => break,
                () = master.stop.cancelled() => return Err(Problem::stopping()),
            };
            rest = waiting.take(read, key.as_ref());
        }
        if waiting.is_empty() {
            return match rest {
                Rest::Wrong(line, problem) => {
                    done.next_line = line;
                    Err(problem)
                }
                _ if done.count == 0 => Err(Problem::bad_request(
                    r#"there is no message: send one a line, such as {"content":"hello"}"#,
                )),
                _ => Ok(()),
            };
        }
        done.next_line = waiting.lines.front().map(|line| line.number);
        let run = waiting.next_run(master, done);
        let (count, seq) = (run.requests.len(), run.load.seq);
        let mut answer =
            pin!(master.append(run.requests, run.terms, Some(run.load), request_id.clone()));
        let answer = loop {
            tokio::select! {
                biased;
                answer = &mut answer => break answer?,
                read = lines.next(), if rest.is_more() && waiting.has_room() => {
                    rest = waiting.take(read, key.as_ref());
                }
            }
        };
        waiting.was_taken(done.note(&answer), count);
        done.next_line = match (waiting.lines.front(), &rest) {
            (Some(line), _) => Some(line.number),
            (None, Rest::Wrong(line, _)) => *line,
            (None, Rest::More | Rest::End) => None,
        };
        held(answer, seq)?;
    }
}

/// What comes after the lines that were read.
enum Rest {
    More,
    End,
    /// The load ends here, once the lines before are appended: a line that is wrong, or more that did not come.
    Wrong(Option<u64>, Problem),
}

impl Rest {
    fn is_more(&self) -> bool {
        matches!(self, Self::More)
    }
}

/// A line that was read, and is not known to be in the log.
#[derive(Debug)]
struct ReadLine {
    number: u64,
    message: NewMessage,
    /// The position that the line gets or has, as it says.
    seq: Option<Seq>,
}

/// The lines that were read and are not known to be in the log: those of the run on its way, and those of the next one.
#[derive(Debug)]
struct Waiting {
    lines: VecDeque<ReadLine>,
    bytes: usize,
    terms: Terms,
    max_run_lines: usize,
}

/// What the leader is asked.
struct Run {
    requests: Vec<AppendRequest>,
    terms: Terms,
    load: Load,
}

impl Waiting {
    fn new(terms: Terms) -> Self {
        Self {
            lines: VecDeque::new(),
            bytes: 0,
            terms,
            max_run_lines: RUN_LINES,
        }
    }

    fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether there is room for a line beside two runs.
    fn has_room(&self) -> bool {
        self.bytes < 2 * RUN_BYTES && self.lines.len() < 2 * RUN_LINES
    }

    /// Takes a line that was read; hands out what comes after it.
    fn take(&mut self, read: Result<Option<Line>, Problem>, key: Option<&IdempotencyKey>) -> Rest {
        let line = match read {
            Ok(Some(line)) => line,
            Ok(None) => return Rest::End,
            Err(problem) => return Rest::Wrong(None, problem),
        };
        let number = line.number;
        let read = body::object(&line.text, r#"{"content":"hello"}"#);
        let (mut message, seq) = match read.and_then(|read: LoadLine<'_>| read.check(&line.text)) {
            Ok(checked) => checked,
            Err(problem) => {
                return Rest::Wrong(Some(number), problem.at(format_args!("line {number}")));
            }
        };
        let key = key.map(|key| key.message_id_of_line(number));
        message.message_id = message.message_id.or(key);
        self.bytes += message.content.bytes();
        self.lines.push_back(ReadLine {
            number,
            message,
            seq,
        });
        Rest::More
    }

    /// The next run: as many lines as can be sent together. Where lines say their positions, only the first one is compared
    /// with the log, so a run has lines that count on from it.
    fn next_run(&self, master: &Master, done: &Done) -> Run {
        let (mut requests, mut bytes) = (Vec::new(), 0);
        let first = self.lines.front().and_then(|line| line.seq);
        for (line, place) in self.lines.iter().take(self.max_run_lines).zip(0..) {
            let counts_on = line
                .seq
                .is_none_or(|seq| first.is_some_and(|f| f.0 + place == seq.0));
            if bytes >= RUN_BYTES || !counts_on {
                break;
            }
            bytes += line.message.content.bytes();
            requests.push(master.request(line.message.clone()));
        }
        let log_id = done.last.map(|(appended, _)| appended.log_id);
        let expected_seq = self.terms.expected_seq.filter(|_| done.count == 0);
        Run {
            requests,
            terms: Terms {
                expected_seq,
                ..self.terms
            },
            load: Load { log_id, seq: first },
        }
    }

    /// So many lines of the last run are in the log.
    fn was_taken(&mut self, taken: usize, of: usize) {
        for line in self.lines.drain(..taken) {
            self.bytes -= line.message.content.bytes();
        }
        self.max_run_lines = match taken < of {
            true => (taken * 2).clamp(SMALL_RUN_LINES, RUN_LINES),
            false => (self.max_run_lines * 2).min(RUN_LINES),
        };
    }
}

/// Whether enough nodes hold a run, the first line of which says that it is at `seq`.
///
/// # Errors
/// What ends the load.
fn held(answer: Option<Answer>, seq: Option<Seq>) -> Result<(), Problem> {
    if let (Some(Answer::Refused(error @ AppendError::ExpectedSeq { last_seq })), Some(seq)) =
        (&answer, seq)
    {
        let next = last_seq.next();
        let detail =
            format!("the line says seq {seq}, which is not its place; the next one is {next}");
        return Err(Problem::new(refused(error).status(), detail));
    }
    replicated(answer, Sent::Run).map(drop)
}

/// What is in the log of the load.
#[derive(Debug, Default)]
struct Done {
    count: u64,
    duplicates: u64,
    first_seq: Option<Seq>,
    /// The run that ends highest in the log, and how many nodes hold it.
    last: Option<(Appended, u32)>,
    /// The first line that was read and is not in the log.
    next_line: Option<u64>,
}

impl Done {
    /// Notes what has become of a run; hands out how many lines of it are in the log.
    fn note(&mut self, answer: &Option<Answer>) -> usize {
        let (Some(Answer::Replicated { appended, acks })
        | Some(Answer::NotReplicated { appended, acks, .. })) = answer
        else {
            return 0;
        };
        let lines = appended.last.after(appended.first) + 1;
        self.count += lines;
        self.duplicates += if appended.duplicate { lines } else { 0 };
        let first_seq = self.first_seq.unwrap_or(appended.first);
        self.first_seq = Some(first_seq.min(appended.first));
        if self.last.is_none_or(|(last, _)| last.last <= appended.last) {
            self.last = Some((*appended, *acks));
        }
        usize::try_from(lines).unwrap_or(usize::MAX)
    }

    /// The first line that is not in the log.
    fn next_line(&self, lines: &Lines) -> u64 {
        self.next_line.unwrap_or_else(|| lines.next_number())
    }

    fn loaded(&self) -> Loaded {
        let (last, acks) = self.last.unzip();
        Loaded {
            status: "replicated",
            count: self.count,
            first_seq: self.first_seq.unwrap_or_default(),
            last_seq: last.map_or_else(Default::default, |l| l.last),
            duplicates: self.duplicates,
            w: last.map_or(0, |l| l.w),
            acks: acks.unwrap_or_default(),
            log_id: last.map_or_else(Default::default, |l| l.log_id),
            epoch: last.map_or(0, |l| l.epoch),
        }
    }
}
