//! The driver on paused time, with a node, a journal and a link that do as little as possible.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use replog_nats::Payload;
use replog_protocol::committed::Committed;
use replog_protocol::entry::{BatchBuilder, Content, EntryBatch};
use replog_protocol::ids::{Epoch, MasterId, MessageId, NodeId, Seq};
use replog_protocol::node::{End, Outbound, Query, ReadError, WriteJob, WriteResult};
use replog_protocol::wire::{Address, AppendEntries, Message};
use replog_storage::journal::{Begun, LogReader, Rollback, StorageKind};
use tokio::task::{JoinError, JoinHandle};
use uuid::Uuid;

use super::*;
use crate::snapshot::Views;

mod ending;
mod journal;
mod order;
mod sharing;
mod traffic;

/// What has happened, in its order, over all parts of a world.
#[derive(Clone, Debug, Default)]
struct Effects(Arc<Mutex<Vec<String>>>);

impl Effects {
    fn add(&self, effect: impl Into<String>) {
        self.0.lock().unwrap().push(effect.into());
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// A client asks.
enum Command {
    /// Write one entry, and answer with that number once it is written; one of 0 is not answered.
    Put(u64),
    /// Hand that out.
    Do(Box<Ready<u64>>),
    /// A tick is due.
    TickAt(Time),
    Panic,
}

/// Writes what is put, answers when it is written, and hands out whatever it is asked to.
struct Toy {
    last: u64,
    waiting: Vec<u64>,
    writing: Option<Vec<u64>>,
    next: Ready<u64>,
    tick_at: Option<Time>,
    is_stopping: bool,
    inputs: mpsc::UnboundedSender<String>,
}

impl Node for Toy {
    type Command = Command;
    type Reply = u64;

    fn step(&mut self, input: Input<Command>, _: Time) {
        let text = match &input {
            Input::Client(Command::Put(n)) => format!("Put({n})"),
            Input::Client(_) => "Client".to_owned(),
            Input::Message(message) => format!("Message({message:?})"),
            Input::OtherVersion(address, version) => {
                format!("OtherVersion({address:?}, {version})")
            }
            Input::NoResponders(address) => format!("NoResponders({address:?})"),
            Input::Link(state) => format!("{state:?}"),
            Input::Written(result) => format!("{result:?}"),
            Input::Stream(event) => format!("{event:?}"),
            Input::Page(page) => format!("Page({:?})", page.entries.as_ref().map(Option::is_some)),
            Input::Damaged(seqs) => format!("Damaged({seqs:?})"),
            Input::Tick => "Tick".to_owned(),
            Input::ShowCommitted => "ShowCommitted".to_owned(),
            Input::Stop => "Stop".to_owned(),
        };
        self.inputs.send(text).ok();
        match input {
            Input::Client(Command::Put(n)) if self.is_stopping => self.next.replies.push(1000 + n),
            Input::Client(Command::Put(n)) => self.waiting.push(n),
            Input::Client(Command::Do(ready)) => self.next = *ready,
            Input::Client(Command::TickAt(at)) => self.tick_at = Some(at),
            Input::Client(Command::Panic) => panic!("on purpose"),
            Input::Tick => self.tick_at = None,
            Input::Written(result) => {
                let written = self.writing.take().unwrap_or_default();
                if matches!(result, WriteResult::Done { .. }) && !written.is_empty() {
                    self.last += written.len() as u64;
                    self.next.messages.push(heartbeat("a", self.last));
                    self.next
                        .replies
                        .extend(written.into_iter().filter(|n| *n > 0));
                    self.next.snapshot = Some(Snapshot {
                        last: Seq(self.last),
                        is_readable: true,
                        ..Snapshot::default()
                    });
                }
            }
            Input::Stop => {
                self.is_stopping = true;
                let waiting = self.waiting.drain(..).map(|n| 1000 + n);
                self.next.replies.extend(waiting);
            }
            _ => {}
        }
    }

    fn ready(&mut self, _: Time) -> Ready<u64> {
        let mut ready = std::mem::take(&mut self.next);
        if self.writing.is_none() && !self.waiting.is_empty() {
            let writing = std::mem::take(&mut self.waiting);
            let entries = batch(self.last + 1, writing.len() as u64);
            self.writing = Some(writing);
            ready.write = Some(WriteJob {
                entries: vec![entries],
                ..WriteJob::default()
            });
        }
        if self.is_stopping && self.writing.is_none() {
            ready.end = Some(End::Stopped);
        }
        ready
    }

    fn deadline(&self, _: Time) -> Option<Time> {
        self.tick_at
    }
}

fn node_id(name: &str) -> NodeId {
    name.parse().unwrap()
}

fn batch(first: u64, count: u64) -> EntryBatch {
    let epoch = Epoch::new(1, MasterId(Uuid::nil())).unwrap();
    let mut builder = BatchBuilder::new(Seq(first), epoch);
    for n in 0..count {
        let id = MessageId(Uuid::from_u128(u128::from(n) + 1));
        builder.push(id, &Content::from_text("text"));
    }
    builder.finish().unwrap()
}

fn append(tail: u64, entries: Option<EntryBatch>) -> Message {
    Message::Append(AppendEntries {
        leader: Leadership::default(),
        prev: Default::default(),
        entries,
        tail: Seq(tail),
        committed: Committed::default(),
        cleared: Default::default(),
        storage: None,
        round: 0,
        interval: Duration::ZERO,
        url: None,
        digest: None,
        request_ids: Vec::new(),
    })
}

fn heartbeat(node: &str, tail: u64) -> Outbound {
    Outbound {
        to: Address::Heartbeat(node_id(node)),
        reply_to: None,
        message: append(tail, None),
    }
}

/// A journal whose writes end at once, or when the test says so.
#[derive(Debug)]
struct TestJournal {
    effects: Effects,
    reader: Arc<TestReader>,
    /// For each write, how it ends; a write for which there is none ends well, at once.
    ends: Arc<Mutex<VecDeque<WriteEnd>>>,
    /// How many entries each write has that was handed over.
    begun: mpsc::UnboundedSender<u64>,
}

/// How a write ends.
#[derive(Debug)]
enum WriteEnd {
    /// On another thread, once that is sent; or with an error, once that was dropped.
    Sent(std::sync::mpsc::Receiver<WriteResult>),
    Panics,
}

impl Journal for TestJournal {
    fn write(&mut self, job: WriteJob) -> Begun {
        let count = job.entries.iter().map(EntryBatch::count).sum();
        self.effects.add(format!("write {count}"));
        self.begun.send(count).ok();
        let done = WriteResult::Done { rolled_back: None };
        let effects = self.effects.clone();
        match self.ends.lock().unwrap().pop_front() {
            None => Begun::Done(done),
            Some(WriteEnd::Sent(end)) => Begun::Blocking(Box::new(move || {
                let result = end
                    .recv()
                    .unwrap_or(WriteResult::Failed("left alone".into()));
                effects.add("written");
                result
            })),
            Some(WriteEnd::Panics) => Begun::Blocking(Box::new(|| panic!("on purpose"))),
        }
    }

    fn reader(&self) -> Arc<dyn LogReader> {
        Arc::clone(&self.reader) as Arc<dyn LogReader>
    }
}

#[derive(Debug)]
struct TestReader {
    effects: Effects,
    damaged: Mutex<Vec<Seq>>,
    gone: Mutex<Option<String>>,
}

/// The first entry of a query that has to wait for a disk.
const SLOW: Seq = Seq(100);

impl LogReader for TestReader {
    fn read_now(&self, query: &Query) -> Option<Result<Option<EntryBatch>, ReadError>> {
        match query {
            Query::Range { first, .. } if *first == SLOW => None,
            _ => {
                self.effects.add("read now");
                Some(Ok(None))
            }
        }
    }

    fn read(&self, _: &Query) -> Result<Option<EntryBatch>, ReadError> {
        self.effects.add("read");
        Ok(Some(batch(SLOW.0, 1)))
    }

    fn damaged(&self) -> Vec<Seq> {
        self.damaged.lock().unwrap().clone()
    }

    fn rollbacks(&self) -> Result<Vec<Rollback>, ReadError> {
        Ok(Vec::new())
    }

    fn bytes(&self) -> Result<u64, ReadError> {
        Ok(0)
    }

    fn check(&self) -> Result<(), String> {
        self.gone.lock().unwrap().take().map_or(Ok(()), Err)
    }

    fn kind(&self) -> StorageKind {
        StorageKind::Memory
    }
}

/// How long something that must happen may take, on paused time: a test fails rather than hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// What left on the link.
#[derive(Clone, Debug)]
struct Sent {
    to: Address,
    payload: Bytes,
}

struct TestLink {
    events: mpsc::UnboundedReceiver<LinkEvent>,
    sent: mpsc::UnboundedSender<Sent>,
    effects: Effects,
}

impl Link for TestLink {
    fn send(&mut self, to: &Address, _: Option<&Address>, payload: Bytes) -> bool {
        self.effects.add(match to {
            Address::Event(_, kind) => format!("event {kind}"),
            to => format!("sent to {}", to.node().unwrap()),
        });
        let to = to.clone();
        self.sent.send(Sent { to, payload }).is_ok()
    }

    async fn next(&mut self) -> LinkEvent {
        match self.events.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }
}

/// A running task and all its ends.
struct World {
    handle: NodeHandle<Toy>,
    stop: CancellationToken,
    clock: Clock,
    effects: Effects,
    reader: Arc<TestReader>,
    /// What readers saw when each client was answered.
    seen_at_reply: Arc<Mutex<Vec<Seq>>>,
    ends: Arc<Mutex<VecDeque<WriteEnd>>>,
    begun: mpsc::UnboundedReceiver<u64>,
    inputs: mpsc::UnboundedReceiver<String>,
    replies: mpsc::UnboundedReceiver<u64>,
    sent: mpsc::UnboundedReceiver<Sent>,
    link: mpsc::UnboundedSender<LinkEvent>,
    task: JoinHandle<Ended>,
}

type TestTask = NodeTask<Toy, TestLink, Box<dyn FnMut(u64) + Send>>;

impl World {
    fn start() -> Self {
        let (world, task) = Self::prepare(64);
        let task = tokio::spawn(task.run());
        Self { task, ..world }
    }

    /// A task that does not run yet; the world's own is an empty one.
    fn prepare(max_commands: usize) -> (Self, TestTask) {
        let effects = Effects::default();
        let (begun_sender, begun) = mpsc::unbounded_channel();
        let (input_sender, inputs) = mpsc::unbounded_channel();
        let (reply_sender, replies) = mpsc::unbounded_channel();
        let (sent_sender, sent) = mpsc::unbounded_channel();
        let (link, events) = mpsc::unbounded_channel();
        let ends = Arc::new(Mutex::new(VecDeque::new()));
        let reader = Arc::new(TestReader {
            effects: effects.clone(),
            damaged: Mutex::default(),
            gone: Mutex::default(),
        });
        let journal = Box::new(TestJournal {
            effects: effects.clone(),
            reader: Arc::clone(&reader),
            ends: Arc::clone(&ends),
            begun: begun_sender,
        });
        let node = Toy {
            last: 0,
            waiting: Vec::new(),
            writing: None,
            next: Ready::default(),
            tick_at: None,
            is_stopping: false,
            inputs: input_sender,
        };
        let test_link = TestLink {
            events,
            sent: sent_sender,
            effects: effects.clone(),
        };
        let (clock, stop) = (Clock::start(), CancellationToken::new());
        let options = NodeTaskOptions {
            speaker: Speaker::Master,
            clock,
            stop: stop.clone(),
            max_commands,
            max_inspections: 4,
        };
        let replied = effects.clone();
        let seen_at_reply = Arc::new(Mutex::new(Vec::new()));
        let (seen, views) = (Arc::clone(&seen_at_reply), Arc::new(OnceLock::new()));
        let views_of_replies: Arc<OnceLock<Views>> = Arc::clone(&views);
        let deliver: Box<dyn FnMut(u64) + Send> = Box::new(move |n| {
            replied.add(format!("reply {n}"));
            let last = views_of_replies.get().unwrap().borrow().snapshot.last;
            seen.lock().unwrap().push(last);
            reply_sender.send(n).ok();
        });
        let (task, handle) = NodeTask::new(node, test_link, journal, deliver, options);
        views.set(handle.views()).unwrap();
        let world = Self {
            handle,
            stop,
            clock,
            effects,
            reader,
            seen_at_reply,
            ends,
            begun,
            inputs,
            replies,
            sent,
            link,
            task: tokio::spawn(async { Ok(()) }),
        };
        (world, task)
    }

    /// The next write ends when that is sent.
    fn hold_next_write(&self) -> std::sync::mpsc::Sender<WriteResult> {
        let (end_write, end) = std::sync::mpsc::channel();
        self.ends.lock().unwrap().push_back(WriteEnd::Sent(end));
        end_write
    }

    fn put(&self, n: u64) {
        self.handle.try_command(Command::Put(n)).unwrap();
    }

    fn hand_out(&self, ready: Ready<u64>) {
        self.handle
            .try_command(Command::Do(Box::new(ready)))
            .unwrap();
    }

    /// How the task ends.
    async fn ended(&mut self) -> Result<Ended, JoinError> {
        let ended = tokio::time::timeout(PATIENCE, &mut self.task).await;
        ended.expect("in time")
    }

    /// What the node is given next.
    async fn input(&mut self) -> String {
        let input = tokio::time::timeout(PATIENCE, self.inputs.recv()).await;
        input.expect("in time").expect("the node is there")
    }

    /// Waits until the node was given that input.
    async fn given(&mut self, input: &str) {
        while self.input().await != input {}
    }

    /// Waits until the task has done everything that there was to do.
    async fn settled(&self) {
        self.handle.inspect(|_, _| ()).await.expect("it runs");
        self.handle.inspect(|_, _| ()).await.expect("it runs");
    }
}

/// It is written.
fn done() -> WriteResult {
    WriteResult::Done { rolled_back: None }
}

fn delivered(address: Address, frame: impl Into<Bytes>) -> LinkEvent {
    LinkEvent::Delivered {
        address,
        payload: Payload::Frame(frame.into()),
    }
}
