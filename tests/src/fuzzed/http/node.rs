//! A master and a secondary in this process, on paused time, each alone with its broker.

use std::ffi::OsString;
use std::future::pending;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::{HeaderValue, Request};
use http_body_util::BodyExt;
use replog_master::http::Master;
use replog_nats::{Link, LinkEvent, Payload};
use replog_protocol::committed::Committed;
use replog_protocol::entry::{BatchBuilder, Content};
use replog_protocol::epochs::LogPosition;
use replog_protocol::event::Speaker;
use replog_protocol::follower::{Follower, FollowerConfig};
use replog_protocol::ids::{Epoch, Leadership, LogId, MasterId, MessageId, NodeId, Seq, StorageId};
use replog_protocol::leader::Leader;
use replog_protocol::leader::command::{self, Reply};
use replog_protocol::node::{Identity, Node, Restored};
use replog_protocol::wire::{AckOf, Address, AppendEntries, Message};
use replog_secondary::faulty::{self, FaultyFollower};
use replog_secondary::http::Secondary;
use replog_service::client::Client;
use replog_service::clock::Clock;
use replog_service::exit::Failure;
use replog_service::http::calls::{Caller, Calls};
use replog_service::http::guard::Guard;
use replog_service::http::health::Running;
use replog_service::node_task::{NodeHandle, NodeTask, NodeTaskOptions};
use replog_service::settings::{Settings, parse_from};
use replog_storage::memory::MemoryJournal;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::PATIENCE;

/// What passes the broker.
const MAX_PAYLOAD: usize = 64 << 10;
/// A longer answer is not read to its end.
const MAX_ANSWER_BYTES: usize = 8 << 20;
/// How long a stream is read; virtual time.
const STREAMED: std::time::Duration = std::time::Duration::from_millis(10);

/// An answer, as far as it came.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) kind: Option<String>,
    pub(super) body: Vec<u8>,
}

/// What readers of a node see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) last_seq: u64,
    pub(super) log_id: Option<LogId>,
    generation: u64,
}

/// One node.
struct Served {
    calls: Calls,
    guard: Guard,
    views: replog_service::snapshot::Views,
    task: JoinHandle<Result<(), Failure>>,
    link: mpsc::UnboundedSender<LinkEvent>,
    stop: CancellationToken,
}

/// Both nodes.
pub(super) struct World {
    runtime: Runtime,
    master: Served,
    secondary: Served,
    frames: u64,
}

/// A link over which only the script speaks.
struct Alone(mpsc::UnboundedReceiver<LinkEvent>);

impl Link for Alone {
    fn send(&mut self, _: &Address, _: Option<&Address>, _: Bytes) -> bool {
        true
    }

    async fn next(&mut self) -> LinkEvent {
        match self.0.recv().await {
            Some(event) => event,
            None => pending().await,
        }
    }
}

fn config<C: Settings>(flags: &[&str]) -> C {
    let args = ["replog"].iter().chain(flags).map(OsString::from);
    parse_from(args, &|_| None).expect("good settings")
}

fn options(speaker: Speaker, stop: &CancellationToken) -> NodeTaskOptions {
    NodeTaskOptions {
        speaker,
        clock: Clock::start(),
        stop: stop.clone(),
        max_commands: 100,
        max_inspections: 100,
    }
}

/// What the nodes have in common.
const FLAGS: [&str; 8] = [
    "--allow-clear",
    "--allow-faults",
    "--allow-origin",
    "https://a.example",
    "--advertise-url",
    "http://log.example:8000",
    "--max-body-bytes",
    "64KiB",
];

impl World {
    pub(super) fn start() -> Self {
        let mut runtime = Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime");
        let (master, secondary) = runtime.block_on(async { (master(), secondary()) });
        Self {
            runtime,
            master,
            secondary,
            frames: 0,
        }
    }

    fn node(&self, is_master: bool) -> &Served {
        match is_master {
            true => &self.master,
            false => &self.secondary,
        }
    }

    /// Both nodes begin with a few entries, and nothing of what was before.
    pub(super) fn begin(&mut self) {
        for is_master in [true, false] {
            self.own(is_master, "POST", "/clear", "");
            self.own(
                is_master,
                "PUT",
                "/faults",
                r#"{"delay_ms":0,"error_rate":0,"drop_rate":0}"#,
            );
        }
        for content in [r"one", r"t\u00e9\n", r"three \ud83d\ude00"] {
            let body = format!(r#"{{"content":"{content}","w":1}}"#);
            let answer = self.own(true, "POST", "/messages", &body);
            assert_eq!(answer.map(|a| a.status), Some(200), "it is there");
        }
        self.replicate();
        assert_eq!(self.shown(true).last_seq, 3);
        assert_eq!(self.shown(false).last_seq, 3);
    }

    /// Both go on.
    pub(super) fn end(&mut self) {
        // Whatever faults were asked for, the time of a message comes.
        self.replicate();
        for is_master in [true, false] {
            let answer = self.own(is_master, "GET", "/health", "");
            assert_eq!(answer.map(|a| a.status), Some(200), "it lives");
            assert!(!self.node(is_master).task.is_finished(), "its task goes on");
        }
    }

    /// The secondary's master sends three entries, as it does until they are acknowledged.
    fn replicate(&mut self) {
        self.frames += 1;
        let epoch = Epoch::new(1, MasterId(Uuid::from_u128(7))).expect("in range");
        let mut entries = BatchBuilder::new(Seq(1), epoch);
        for n in 1..=3 {
            entries.push(MessageId(Uuid::from_u128(n)), &Content::from_text("told"));
        }
        let message = Message::Append(AppendEntries {
            leader: Leadership {
                log_id: LogId(Uuid::from_u128(1)),
                epoch,
            },
            prev: LogPosition::default(),
            entries: entries.finish(),
            tail: Seq(3),
            committed: Committed::default(),
            cleared: Default::default(),
            storage: None,
            round: 0,
            interval: Default::default(),
            url: None,
            digest: None,
            request_ids: Vec::new(),
        });
        let address = Address::Append(name());
        let payload = Payload::Frame(message.encode(self.frames));
        let sent = self
            .secondary
            .link
            .send(LinkEvent::Delivered { address, payload });
        assert!(sent.is_ok(), "its task goes on");
        self.runtime
            .block_on(async { tokio::time::sleep(STREAMED).await });
    }

    /// A request of the script's own.
    fn own(&self, is_master: bool, method: &str, path: &str, body: &str) -> Option<Answer> {
        let request = Request::builder().method(method).uri(path);
        let request = request
            .body(Body::from(body.to_owned()))
            .expect("a request");
        self.ask(is_master, request)
    }

    /// Makes a request; `None` where there is no answer in time.
    pub(super) fn ask(&self, is_master: bool, mut request: Request<Body>) -> Option<Answer> {
        let node = self.node(is_master);
        if !request.headers().contains_key(HOST) {
            request
                .headers_mut()
                .insert(HOST, HeaderValue::from_static("localhost"));
        }
        let (parts, body) = request.into_parts();
        if let Err(problem) = node.guard.check(&parts) {
            let status = problem.status().as_u16();
            assert!(matches!(status, 400 | 403 | 421), "{status}");
        }
        let request = Request::from_parts(parts, body);
        let answer = async {
            let call = node.calls.call(request, Caller::default());
            let response = tokio::time::timeout(PATIENCE, call).await.ok()?;
            let (parts, mut body) = response.into_parts();
            let mut read = Vec::new();
            let whole = async {
                while let Some(Ok(frame)) = body.frame().await {
                    let data = frame.into_data().unwrap_or_default();
                    read.extend_from_slice(&data);
                    if read.len() > MAX_ANSWER_BYTES {
                        break;
                    }
                }
            };
            let is_whole = tokio::time::timeout(STREAMED, whole).await.is_ok();
            let kind = parts.headers.get(CONTENT_TYPE);
            let kind = kind.and_then(|kind| kind.to_str().ok()).map(str::to_owned);
            let is_coded = parts.headers.contains_key("content-encoding");
            Some(Answer {
                status: parts.status.as_u16(),
                kind: kind.filter(|_| !is_coded && is_whole),
                body: read,
            })
        };
        self.runtime.block_on(answer)
    }

    /// What readers see.
    pub(super) fn shown(&self, is_master: bool) -> Shown {
        let view = self.node(is_master).views.borrow();
        Shown {
            last_seq: view.snapshot.last.0,
            log_id: view.snapshot.leadership.map(|l| l.log_id),
            generation: view.snapshot.generation,
        }
    }

    /// The content of the master's entry there.
    pub(super) fn content(&self, seq: u64) -> Option<String> {
        let answer = self.own(true, "GET", &format!("/messages/{seq}"), "")?;
        let entry: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
        Some(entry["content"].as_str()?.to_owned())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.master.stop.cancel();
        self.secondary.stop.cancel();
    }
}

fn name() -> NodeId {
    "s1".parse().expect("a name")
}

/// A node with its broker.
fn served<N: Node>(
    calls: Calls,
    guard: Guard,
    handle: &NodeHandle<N>,
    task: JoinHandle<Result<(), Failure>>,
    link: mpsc::UnboundedSender<LinkEvent>,
    stop: CancellationToken,
) -> Served {
    let max_payload = MAX_PAYLOAD;
    link.send(LinkEvent::Up { max_payload })
        .expect("it listens");
    Served {
        calls,
        guard,
        views: handle.views(),
        task,
        link,
        stop,
    }
}

fn master() -> Served {
    let config: replog_master::Config = config(&FLAGS);
    let leader = config.leader(MasterId(Uuid::from_u128(7)), None);
    let leader = Leader::new(leader, Restored::default());
    let stop = CancellationToken::new();
    let (link, events) = mpsc::unbounded_channel();
    let deliver = |reply: Reply<Client<command::Answer>>| reply.waiter.answer(reply.answer);
    let journal = Box::new(MemoryJournal::new());
    let options = options(Speaker::Master, &stop);
    let (task, handle) = NodeTask::new(leader, Alone(events), journal, deliver, options);
    let task = tokio::spawn(task.run());
    let guard = config.common.guard(&config.http_addr);
    let running = Running::starting("1.2.3", None);
    let http = Master::new(handle.clone(), &config, running, stop.clone());
    served(
        replog_master::http::calls(http),
        guard,
        &handle,
        task,
        link,
        stop,
    )
}

fn secondary() -> Served {
    let flags = [&FLAGS[..], &["--node-id", "s1"][..]].concat();
    let config: replog_secondary::Config = config(&flags);
    let follower = FollowerConfig {
        identity: Identity {
            node: name(),
            storage: StorageId(Uuid::from_u128(9)),
        },
        heartbeat_interval: config.common.liveness.heartbeat_interval,
        seed: 1,
        url: None,
    };
    let follower = Follower::new(follower, Restored::default());
    let follower = FaultyFollower::new(follower, config.faults(), 1);
    let stop = CancellationToken::new();
    let (link, events) = mpsc::unbounded_channel();
    let deliver = |reply: faulty::Reply<Client<faulty::Answer>>| reply.waiter.answer(reply.answer);
    let journal = Box::new(MemoryJournal::new());
    let options = options(Speaker::Secondary(name()), &stop);
    let (task, handle) = NodeTask::new(follower, Alone(events), journal, deliver, options);
    let task = tokio::spawn(task.run());
    let guard = config.common.guard(&config.http_addr);
    let running = Running::starting("1.2.3", None);
    let http = Secondary::new(handle.clone(), &config, running, stop.clone());
    let calls = replog_secondary::http::calls(http);
    let served = served(calls, guard, &handle, task, link, stop);
    let address = Address::Ack(name(), AckOf::Hello);
    let payload = Payload::NoResponders;
    let sent = served.link.send(LinkEvent::Delivered { address, payload });
    sent.expect("it listens");
    served
}
