//! The [`ChunkStream`] over a real JetStream stream.
//!
//! Everything is asked by plain requests, each with an inbox of its own below one subscription: an answer that comes late is told
//! from the one that is waited for. Chunks are published with `Nats-Expected-Last-Sequence`, one at a time (why, and what its
//! answers mean: [`ChunkWriter`]), and read with batched direct gets (NATS ADR-31), which any replica answers: one that lags
//! says that there is nothing yet, and never shows what is not committed.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use async_nats::header::{HeaderMap, NATS_EXPECTED_LAST_SEQUENCE, NATS_SEQUENCE, NATS_STREAM};
use async_nats::{Client, Message, StatusCode};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::stream::{SelectAll, StreamExt};
use replog_protocol::chunk::{ChunkId, ChunkSeq, EncodedChunk};
use replog_protocol::chunk_writer::{ChunkWriter, Fate, Refusal, Todo};
use replog_protocol::ids::Time;
use replog_protocol::node::{StreamEvent, WriteJob};
use replog_protocol::stream_watch::StreamWatch;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Sleep};

use crate::broker_url::BrokerUrl;
use crate::chunk_stream::{ChunkStream, ChunkStreamEvent, StreamStatus};
use crate::connect;
use crate::credentials::Credentials;
use crate::events::Occurrences;
use crate::nats_link::{Control, Subscription};
use crate::options::{LinkOptions, OptionsError, random_seed};
use crate::permissions::{JOURNAL_INBOXES, Permissions};
use crate::stream_config::{self, StreamAnswer, StreamConfig, StreamFound};
use crate::subjects::Subjects;

/// The header that makes a message a chunk.
const CHUNK_HEADER: &str = "Replog-Chunk";
/// So many chunks are asked for at one time.
const READ_CHUNKS: usize = 64;
/// And so many bytes of them.
const READ_BYTES: usize = 8 << 20;
/// An answer that has not come by then is asked for again.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// While the stream cannot be opened, it is tried again that often.
const OPEN_EVERY: Duration = Duration::from_millis(500);
/// How well the stream is, is asked that often.
const STATUS_EVERY: Duration = Duration::from_secs(2);

/// How a journal's stream is reached, and what it is to be.
#[derive(Clone, Debug)]
pub struct JournalStreamOptions {
    /// The broker, or the members of a NATS cluster; at least one.
    pub urls: Vec<BrokerUrl>,
    /// Who to be, unless the URLs say so.
    pub credentials: Credentials,
    /// The connection's name in `nats server report connections`.
    pub name: String,
    /// The second token of the subject.
    pub cluster: String,
    /// The name of the stream.
    pub stream: String,
    /// How many servers keep it.
    pub replicas: usize,
    /// A chunk that is not answered is sent again after that long.
    pub retry: Duration,
    /// The end of the stream is looked at that often.
    pub poll: Duration,
}

/// A JetStream stream of chunks. Dropping it closes the connection.
#[derive(Debug)]
pub struct JournalStream {
    config: StreamConfig,
    cluster: String,
    retry: Duration,
    poll: Duration,
    begun: Instant,
    control: mpsc::Receiver<Control>,
    client: Option<Client>,
    inbox: String,
    inbound: SelectAll<Subscription>,
    stage: Stage,
    /// Counts the questions up; an answer carries the number.
    questions: u64,
    /// The position after which chunks are read; `None` until that was said.
    position: Option<ChunkSeq>,
    /// Which chunk is there, since it was read or written.
    last: Option<ChunkId>,
    reading: Option<Reading>,
    read_at: Option<Time>,
    writing: Option<Writing>,
    /// While nothing is being written, whether what was read is still there.
    watch: StreamWatch,
    /// A chunk was read in its turn, or written, since the connection was made, and nothing speaks against it since.
    is_the_same: bool,
    status_at: Time,
    status: watch::Sender<StreamStatus>,
    told_room: usize,
    /// Why it last refused a chunk, for a reason that says nothing of its position.
    refused: String,
    /// The end of the stream was seen: what is read from then on has just been written.
    has_seen_end: bool,
    warned: bool,
    out: VecDeque<ChunkStreamEvent>,
    timer: Pin<Box<Sleep>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The broker was not there yet.
    Connecting,
    /// The stream is looked for, or made.
    Opening {
        question: u64,
        again_at: Time,
    },
    Open,
    /// Nothing follows.
    Ended,
}

/// Chunks that were asked for.
#[derive(Debug)]
struct Reading {
    question: u64,
    /// It is asked again when nothing more of the answer has come by then.
    until: Time,
    purpose: ReadFor,
    /// A chunk of the answer has come.
    has_begun: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReadFor {
    /// The node wants the next chunks.
    Follow,
    /// The fate of the chunk on its way is in doubt.
    ReadBack,
    /// It is in doubt whether the last chunk that was read or written is there.
    ReadFormer,
}

#[derive(Debug)]
struct Writing {
    writer: ChunkWriter,
    after: ChunkSeq,
    /// The answers to its copies carry its number.
    id: ChunkId,
    chunk: EncodedChunk,
    /// A look at the stream was asked for.
    inspects: Option<u64>,
}

impl JournalStream {
    /// A stream that is being opened from now on, however long the broker takes to appear. Needs a tokio runtime.
    ///
    /// # Errors
    /// Options that cannot be used.
    pub fn open(options: JournalStreamOptions) -> Result<Self, OptionsError> {
        let subjects = Subjects::of(&options.cluster);
        let inbox = format!(
            "{JOURNAL_INBOXES}.{:016x}{:016x}",
            random_seed(),
            random_seed()
        );
        let permissions = Permissions::of_journal(&subjects, &options.stream);
        let link = LinkOptions {
            urls: options.urls,
            credentials: options.credentials,
            name: options.name,
            cluster: options.cluster.clone(),
            subscriptions: vec![format!("{inbox}.*")],
            publishes: permissions.publish,
            service: None,
        };
        let control = connect::start(link, Arc::new(Occurrences::default()))?;
        let status = StreamStatus {
            stream: options.stream.clone(),
            replicas: options.replicas,
            ..StreamStatus::default()
        };
        Ok(Self {
            config: StreamConfig {
                name: options.stream,
                subject: subjects.journal(),
                replicas: options.replicas,
            },
            cluster: options.cluster,
            retry: options.retry,
            poll: options.poll,
            begun: Instant::now(),
            control,
            client: None,
            inbox,
            inbound: SelectAll::new(),
            stage: Stage::Connecting,
            questions: 0,
            position: None,
            last: None,
            reading: None,
            read_at: None,
            writing: None,
            watch: StreamWatch::default(),
            is_the_same: false,
            status_at: Time::ZERO,
            status: watch::channel(status).0,
            told_room: 0,
            refused: String::new(),
            has_seen_end: false,
            warned: false,
            out: VecDeque::new(),
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
        })
    }

    /// What is known of the stream, kept up to date.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<StreamStatus> {
        self.status.subscribe()
    }

    fn now(&self) -> Time {
        Time(self.begun.elapsed())
    }

    // ---- Questions.

    /// Publishes without waiting. What is not taken is lost, as any message may be, and asked again.
    fn publish(&self, subject: String, reply: String, headers: Option<HeaderMap>, payload: Bytes) {
        let Some(client) = &self.client else {
            return;
        };
        let queued = match headers {
            Some(headers) => {
                let publish =
                    client.publish_with_reply_and_headers(subject, reply, headers, payload);
                tokio::task::unconstrained(publish).now_or_never()
            }
            None => {
                let publish = client.publish_with_reply(subject, reply, payload);
                tokio::task::unconstrained(publish).now_or_never()
            }
        };
        if let Some(Err(error)) = queued {
            tracing::warn!(%error, "a message for the journal was not taken");
        }
    }

    fn ask(&mut self, subject: String, body: &Value) -> u64 {
        self.questions += 1;
        let question = self.questions;
        let payload = match body {
            Value::Null => Bytes::new(),
            body => Bytes::from(body.to_string()),
        };
        self.publish(
            subject,
            format!("{}.q{question}", self.inbox),
            None,
            payload,
        );
        question
    }

    fn ask_info(&mut self) -> u64 {
        let subject = format!("$JS.API.STREAM.INFO.{}", self.config.name);
        self.ask(subject, &Value::Null)
    }

    fn ask_chunks(&mut self, from: ChunkSeq, chunks: usize, purpose: ReadFor, now: Time) {
        let subject = format!("$JS.API.DIRECT.GET.{}", self.config.name);
        let body = json!({"seq": from.0, "batch": chunks, "max_bytes": READ_BYTES});
        let question = self.ask(subject, &body);
        self.reading = Some(Reading {
            question,
            until: now + ANSWER_WITHIN,
            purpose,
            has_begun: false,
        });
    }

    // ---- What is due.

    fn do_what_is_due(&mut self, now: Time) {
        let is_up = self.status.borrow().is_connected;
        if !is_up {
            return;
        }
        match self.stage {
            Stage::Opening { again_at, .. } if again_at <= now => {
                let question = self.ask_info();
                self.stage = Stage::Opening {
                    question,
                    again_at: now + ANSWER_WITHIN,
                };
            }
            Stage::Open => self.do_what_is_due_when_open(now),
            _ => {}
        }
    }

    fn do_what_is_due_when_open(&mut self, now: Time) {
        if let Some(client) = &self.client {
            let room = client.max_payload();
            if room != self.told_room {
                self.told_room = room;
                self.tell(StreamEvent::Room(room));
            }
        }
        while let Some(writing) = &mut self.writing
            && let Some(todo) = writing.writer.todo(now)
        {
            let seq = writing.writer.seq();
            match todo {
                Todo::Publish(copy) => {
                    let reply = format!("{}.w{}-{copy}", self.inbox, writing.id.n);
                    let mut headers = HeaderMap::new();
                    headers.insert(NATS_EXPECTED_LAST_SEQUENCE, writing.after.0.to_string());
                    headers.insert(CHUNK_HEADER, writing.chunk.head.as_str());
                    let payload = writing.chunk.payload.clone();
                    self.publish(self.config.subject.clone(), reply, Some(headers), payload);
                }
                Todo::ReadBack => self.ask_chunks(seq, 1, ReadFor::ReadBack, now),
                Todo::ReadFormer => self.ask_chunks(seq.prev(), 1, ReadFor::ReadFormer, now),
                Todo::Inspect => {
                    let question = self.ask_info();
                    if let Some(writing) = &mut self.writing {
                        writing.inspects = Some(question);
                    }
                }
            }
        }
        if self.status_at <= now {
            self.status_at = now + STATUS_EVERY;
            self.ask_info();
        }
        if self.writing.is_some() || !self.out.is_empty() {
            return;
        }
        if self.reading.as_ref().is_some_and(|r| r.until <= now) {
            self.reading = None; // the answer is lost
            self.read_at = Some(now);
        }
        if let Some(position) = self.position
            && self.reading.is_none()
            && self.read_at.is_some_and(|at| at <= now)
        {
            match self.last {
                Some(_) if !self.is_the_same => {
                    self.ask_chunks(position, 1, ReadFor::ReadFormer, now);
                }
                _ => self.ask_chunks(position.next(), READ_CHUNKS, ReadFor::Follow, now),
            }
        }
    }

    fn deadline(&self) -> Time {
        let far = self.now() + Duration::from_secs(3600);
        if !self.status.borrow().is_connected {
            return far; // the connection wakes it
        }
        match self.stage {
            Stage::Connecting | Stage::Ended => far,
            Stage::Opening { again_at, .. } => again_at,
            Stage::Open => {
                let writing = self.writing.as_ref().and_then(|w| w.writer.deadline());
                let reading = match (&self.writing, &self.reading) {
                    (Some(_), _) => None,
                    (None, Some(reading)) => Some(reading.until),
                    (None, None) => self.read_at,
                };
                [writing, reading]
                    .into_iter()
                    .flatten()
                    .fold(self.status_at, Time::min)
            }
        }
    }

    // ---- What comes.

    fn tell(&mut self, event: StreamEvent) {
        self.out.push_back(ChunkStreamEvent::Stream(event));
    }

    fn unusable(&mut self, why: impl std::fmt::Display) {
        self.stage = Stage::Ended;
        let name = &self.config.name;
        self.out.push_back(ChunkStreamEvent::Unusable(format!(
            "--journal-stream {name} cannot be used: {why}"
        )));
    }

    fn failed(&mut self, why: impl std::fmt::Display) {
        self.stage = Stage::Ended;
        let name = &self.config.name;
        self.tell(StreamEvent::Failed(format!(
            "the journal in the stream {name} can be used no more: {why}"
        )));
    }

    fn on_control(&mut self, control: Control) {
        let now = self.now();
        match control {
            Control::Ready(client, subscriptions) => {
                self.inbound.extend(subscriptions);
                let version = client.server_info().version;
                self.client = Some(client);
                if let Err(why) = stream_config::check_version(&version) {
                    return self.unusable(why);
                }
                self.stage = Stage::Opening {
                    question: 0,
                    again_at: now,
                };
                self.connected(true);
            }
            Control::Up => self.connected(true),
            Control::Down => self.connected(false),
            Control::Subscribed(subscription) => {
                let inbound = std::mem::take(&mut self.inbound).into_iter();
                self.inbound = inbound
                    .filter(|other| other.subject != subscription.subject)
                    .collect();
                self.inbound.push(subscription);
            }
            Control::Denied(denial) => self.out.push_back(ChunkStreamEvent::Denied(denial)),
            Control::Granted => self.out.push_back(ChunkStreamEvent::Granted),
            Control::Fatal(error) => self.unusable(error),
        }
    }

    fn connected(&mut self, is_connected: bool) {
        self.status
            .send_modify(|status| status.is_connected = is_connected);
        if is_connected {
            // What was asked before is lost.
            self.reading = None;
            self.read_at = self.position.map(|_| self.now());
            // Its servers may have come back with an older copy of the stream.
            self.is_the_same = false;
            let now = self.now();
            if let Some(writing) = &mut self.writing {
                writing.writer.doubt_former(now);
            }
        }
    }

    fn on_message(&mut self, message: &Message) {
        let Some(token) = message.subject.rsplit('.').next() else {
            return;
        };
        let now = self.now();
        if let Some(copy) = token.strip_prefix('w') {
            let of = copy.split('-').next().and_then(|n| n.parse::<u64>().ok());
            if self.writing.as_ref().map(|w| w.id.n) == of {
                self.on_publish_answer(message, now);
            }
            return;
        }
        let Some(question) = token.strip_prefix('q').and_then(|n| n.parse::<u64>().ok()) else {
            return;
        };
        if self
            .reading
            .as_ref()
            .is_some_and(|r| r.question == question)
        {
            self.on_chunk(message, now);
        } else if text_of(message, NATS_STREAM.as_ref()).is_some() {
            // A chunk that comes too late.
        } else if let Stage::Opening {
            question: asked, ..
        } = self.stage
            && asked == question
        {
            self.on_open_answer(message, now);
        } else {
            self.on_info(message, question, now);
        }
    }

    fn on_open_answer(&mut self, message: &Message, now: Time) {
        let answer = match message.status {
            Some(StatusCode::NO_RESPONDERS) => {
                let has_jetstream =
                    (self.client.as_ref()).is_some_and(|c| c.server_info().jetstream);
                match has_jetstream {
                    true => StreamAnswer::NotYet("its JetStream does not answer".to_owned()),
                    false => StreamAnswer::Never(
                        "the broker has no JetStream: start nats-server with -js".to_owned(),
                    ),
                }
            }
            _ => stream_config::read(&message.payload),
        };
        match answer {
            StreamAnswer::Found(found) => self.on_found(&found, now),
            StreamAnswer::Missing => {
                let subject = format!("$JS.API.STREAM.CREATE.{}", self.config.name);
                let body = self.config.to_create(wall_us());
                let question = self.ask(subject, &body);
                self.stage = Stage::Opening {
                    question,
                    again_at: now + ANSWER_WITHIN * 5, // servers choose who keeps it
                };
            }
            StreamAnswer::Exists => {
                let question = self.ask_info();
                self.stage = Stage::Opening {
                    question,
                    again_at: now + ANSWER_WITHIN,
                };
            }
            StreamAnswer::NotYet(why) => {
                if !std::mem::replace(&mut self.warned, true) {
                    let stream = &self.config.name;
                    tracing::warn!(
                        stream,
                        why,
                        "the journal's stream is not there yet; waiting for it"
                    );
                }
                self.stage = Stage::Opening {
                    question: 0,
                    again_at: now + OPEN_EVERY,
                };
            }
            StreamAnswer::Never(why) => self.unusable(why),
        }
    }

    fn on_found(&mut self, found: &StreamFound, now: Time) {
        if let Err(why) = self.config.check(found) {
            return self.unusable(why);
        }
        let stream = &self.config.name;
        tracing::info!(
            stream,
            replicas = self.config.replicas,
            last = found.last,
            "the journal's stream is there"
        );
        if self.config.replicas == 1 {
            tracing::warn!(
                stream,
                "--journal-replicas 1: what one server loses is lost"
            );
        }
        self.note_status(found);
        self.stage = Stage::Open;
        self.status_at = now + STATUS_EVERY;
        self.tell(StreamEvent::Opened {
            before: ChunkSeq(found.before),
            last: ChunkSeq(found.last.max(found.before)),
        });
    }

    fn note_status(&self, found: &StreamFound) {
        self.status.send_modify(|status| {
            status.current = found.current;
            status.leader.clone_from(&found.leader);
            status.last = found.last.max(found.before);
        });
    }

    /// How well the stream is; asked now and then, and when a chunk is in doubt.
    fn on_info(&mut self, message: &Message, question: u64, now: Time) {
        if message.status.is_some() {
            return;
        }
        let answer = stream_config::read(&message.payload);
        if let StreamAnswer::Found(found) = &answer {
            if self.stage == Stage::Open
                && let Err(why) = self.config.check_while_running(found)
            {
                return self.failed(why);
            }
            self.note_status(found);
        }
        let ends = match answer {
            StreamAnswer::Found(found) => Some((
                ChunkSeq(found.first.max(found.before + 1)),
                ChunkSeq(found.last),
            )),
            StreamAnswer::Missing => None,
            _ => return,
        };
        let Some(writing) = &mut self.writing else {
            let Some(held) = self.position.filter(|_| self.stage == Stage::Open) else {
                return;
            };
            let why = match ends {
                Some(ends) => self.watch.inspected(held, ends, now),
                None => self.watch.missing(now),
            };
            self.is_the_same &= !self.watch.is_in_doubt();
            if let Some(why) = why {
                self.failed(why);
            }
            return;
        };
        if writing.inspects != Some(question) {
            return;
        }
        writing.inspects = None;
        let fate = match ends {
            Some((first, last)) => writing.writer.inspected(first, last, now),
            None => writing.writer.missing(now),
        };
        if let Some(fate) = fate {
            self.settle(fate, now);
        }
    }

    fn on_publish_answer(&mut self, message: &Message, now: Time) {
        let Some(writing) = &mut self.writing else {
            return;
        };
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            writing.writer.refused(Refusal::Other, now);
            return;
        }
        let Ok(answer) = serde_json::from_slice::<Value>(&message.payload) else {
            return;
        };
        let fate = match answer.get("error") {
            None => {
                // What is not that stream's own word is none.
                let is_from_it = answer["stream"] == self.config.name;
                let Some(seq) = answer["seq"].as_u64().filter(|_| is_from_it) else {
                    return;
                };
                Some(writing.writer.acknowledged(ChunkSeq(seq)))
            }
            Some(error) => {
                let said = error["description"].as_str().unwrap_or_default();
                let refusal = match error["err_code"].as_u64().unwrap_or(0) {
                    10071 => Refusal::WrongLast(last_of(said)),
                    10164 => Refusal::WrongLast(None),
                    10077 => Refusal::Full,
                    _ => Refusal::Other,
                };
                match refusal {
                    Refusal::Other if self.refused != said => {
                        said.clone_into(&mut self.refused);
                        let stream = &self.config.name;
                        tracing::warn!(
                            stream,
                            said,
                            "the stream refuses a chunk; it is sent again"
                        );
                    }
                    _ => tracing::debug!(said, "a chunk was refused"),
                }
                writing.writer.refused(refusal, now)
            }
        };
        if let Some(fate) = fate {
            self.settle(fate, now);
        }
    }

    /// The fate of the chunk on its way is known.
    fn settle(&mut self, fate: Fate, now: Time) {
        let Some(writing) = self.writing.take() else {
            return;
        };
        if fate == Fate::Stored {
            self.position = Some(writing.writer.seq());
            self.last = Some(writing.id);
            self.is_the_same = true;
        }
        self.reading = None;
        self.read_at = Some(match fate {
            Fate::Taken => now,
            _ => now + self.poll,
        });
        let fate = match fate {
            Fate::Lost(why) => {
                self.stage = Stage::Ended;
                Fate::Lost(format!("in the stream {}, {why}", self.config.name))
            }
            other => other,
        };
        self.out.push_back(ChunkStreamEvent::Written(fate));
    }

    /// The chunk at the last position that was read or written, or the first one after it.
    fn on_former(&mut self, seq: ChunkSeq, id: Option<ChunkId>, now: Time) {
        if let Some(writing) = &mut self.writing {
            if let Some(fate) = writing.writer.former_read(seq, id) {
                self.settle(fate, now);
            }
            return;
        }
        self.reading = None;
        self.read_at = Some(now);
        if self.position == Some(seq) && self.last == id {
            self.is_the_same = true;
            return;
        }
        let last = self.position.unwrap_or_default();
        self.failed(format!(
            "chunk {last} is not the one any more that was carried out: it has lost its end, or was made anew"
        ));
    }

    /// A message of an answer to a direct get: a chunk, or its end.
    fn on_chunk(&mut self, message: &Message, now: Time) {
        let Some(reading) = &mut self.reading else {
            return;
        };
        let (purpose, has_begun) = (reading.purpose, reading.has_begun);
        reading.until = now + ANSWER_WITHIN;
        reading.has_begun = true;
        if message.status.is_some() {
            let more = header(message, "Nats-Num-Pending").unwrap_or(0) > 0;
            self.reading = None;
            let is_end = message.status == Some(StatusCode::NOT_FOUND)
                || message.status.is_some_and(|s| s.as_u16() == 204) && !more;
            self.read_at = Some(match more {
                true => now,
                false => now + self.poll,
            });
            if is_end && purpose == ReadFor::Follow {
                self.has_seen_end = true;
                self.tell(StreamEvent::AtEnd);
            }
            return;
        }
        let is_from_it = text_of(message, NATS_STREAM.as_ref()) == Some(&self.config.name);
        let seq = header(message, NATS_SEQUENCE.as_ref()).filter(|_| is_from_it);
        let Some(seq) = seq.map(ChunkSeq) else {
            return;
        };
        let chunk = chunk_of(message);
        if let (ReadFor::ReadBack, Some(writing)) = (purpose, &mut self.writing) {
            let id = chunk.as_ref().and_then(EncodedChunk::id);
            let fate = writing.writer.read_back(seq, id);
            return self.settle(fate, now);
        }
        if purpose == ReadFor::ReadFormer {
            return self.on_former(seq, chunk.as_ref().and_then(EncodedChunk::id), now);
        }
        let Some(position) = self.position else {
            return;
        };
        if seq != position.next() && has_begun {
            // The answer is many messages, some of which may be lost on the way, as any message may.
            self.reading = None;
            self.read_at = Some(now);
            return;
        }
        if seq != position.next() {
            let due = position.next();
            return self.failed(format!(
                "chunk {seq} came where {due} was due: the stream was made anew, or entries were taken out of it"
            ));
        }
        let decoded = match &chunk {
            Some(chunk) => chunk
                .decode(seq, &self.cluster)
                .map_err(|error| error.to_string()),
            None => Err(format!("it has no {CHUNK_HEADER} header")),
        };
        let why = match decoded {
            Ok(job) => {
                self.position = Some(seq);
                self.last = job.chunk.as_ref().map(|head| head.id);
                self.is_the_same = true;
                return self.tell(StreamEvent::Chunk(Box::new(job)));
            }
            Err(error) => format!("the message {seq} is no chunk of this journal: {error}"),
        };
        match self.has_seen_end {
            true => self.failed(why),
            false => self.unusable(why),
        }
    }
}

impl ChunkStream for JournalStream {
    fn follow(&mut self, after: ChunkSeq) {
        self.position = Some(after);
        self.last = None;
        self.reading = None;
        self.read_at = Some(self.now());
    }

    fn write(&mut self, chunk: &WriteJob) {
        let (Some(head), Some(encoded)) = (&chunk.chunk, EncodedChunk::of(chunk, &self.cluster))
        else {
            return;
        };
        let now = self.now();
        // What was read and not handed out is read again, if the chunk does not take its place.
        self.out.retain(|event| {
            !matches!(
                event,
                ChunkStreamEvent::Stream(StreamEvent::Chunk(_) | StreamEvent::AtEnd)
            )
        });
        self.reading = None;
        self.position = Some(head.after);
        self.last = head.prev;
        self.watch = StreamWatch::default();
        let mut writer = ChunkWriter::new(head, self.retry, now);
        if !self.is_the_same {
            writer.doubt_former(now);
        }
        self.writing = Some(Writing {
            writer,
            after: head.after,
            id: head.id,
            chunk: encoded,
            inspects: None,
        });
        self.do_what_is_due(now);
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<ChunkStreamEvent> {
        loop {
            if let Some(event) = self.out.pop_front() {
                return Poll::Ready(event);
            }
            if self.stage == Stage::Ended {
                return Poll::Pending;
            }
            match self.control.poll_recv(cx) {
                Poll::Ready(Some(control)) => {
                    self.on_control(control);
                    continue;
                }
                Poll::Ready(None) => {
                    self.unusable("the connection to the broker was closed");
                    continue;
                }
                Poll::Pending => {}
            }
            if !self.inbound.is_empty()
                && let Poll::Ready(Some(message)) = self.inbound.poll_next_unpin(cx)
            {
                self.on_message(&message);
                continue;
            }
            self.do_what_is_due(self.now());
            if !self.out.is_empty() {
                continue;
            }
            let at = self.begun + self.deadline().0;
            if self.timer.deadline() != at {
                self.timer.as_mut().reset(at);
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

fn header(message: &Message, name: &str) -> Option<u64> {
    text_of(message, name)?.parse().ok()
}

fn text_of<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    let headers = message.headers.as_ref()?;
    Some(headers.get(name)?.as_str())
}

fn chunk_of(message: &Message) -> Option<EncodedChunk> {
    let head = message.headers.as_ref()?.get(CHUNK_HEADER)?;
    Some(EncodedChunk {
        head: head.as_str().to_owned(),
        payload: message.payload.clone(),
    })
}

/// The number at the end of "wrong last sequence: 17".
fn last_of(said: &str) -> Option<ChunkSeq> {
    let number = said.rsplit(' ').next()?;
    number.parse().ok().map(ChunkSeq)
}

/// The wall clock in microseconds since 1970.
fn wall_us() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_micros()).unwrap_or(u64::MAX)
}
