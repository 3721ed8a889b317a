use std::ffi::OsString;

use axum::body::Bytes;
use axum::http::Request;
use http_body_util::BodyExt;
use replog_nats::{Link, LinkEvent, Payload};
use replog_protocol::committed::Committed;
use replog_protocol::entry::{BatchBuilder, Content};
use replog_protocol::epochs::LogPosition;
use replog_protocol::event::Speaker;
use replog_protocol::follower::{Follower, FollowerConfig};
use replog_protocol::ids::{Epoch, Leadership, LogId, MasterId, MessageId, NodeId, Seq};
use replog_protocol::node::{Identity, Restored};
use replog_protocol::wire::{AckOf, Address, AppendEntries, Message};
use replog_service::clock::Clock;
use replog_service::exit::Failure;
use replog_service::node_task::{NodeTask, NodeTaskOptions};
use replog_service::settings::parse_from;
use replog_storage::memory::MemoryJournal;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tower::ServiceExt;
use uuid::Uuid;

use super::*;
use crate::faulty::Reply;

/// A link over which only the test speaks.
struct TestLink(mpsc::UnboundedReceiver<LinkEvent>);

impl Link for TestLink {
    fn send(&mut self, _: &Address, _: Option<&Address>, _: Bytes) -> bool {
        true
    }

    async fn next(&mut self) -> LinkEvent {
        match self.0.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }
}

/// A secondary in memory, on paused time.
struct World {
    router: Router,
    stop: CancellationToken,
    task: JoinHandle<Result<(), Failure>>,
    link: mpsc::UnboundedSender<LinkEvent>,
}

fn name() -> NodeId {
    "s1".parse().unwrap()
}

fn leader(log: u128) -> Leadership {
    Leadership {
        log_id: LogId(Uuid::from_u128(log)),
        epoch: Epoch {
            n: 1,
            master: MasterId(Uuid::from_u128(log)),
        },
    }
}

impl World {
    /// It has its name, and a broker.
    fn start(flags: &[&str]) -> Self {
        let args = ["replog-secondary", "--node-id", "s1"];
        let args = args.iter().chain(flags).map(OsString::from);
        let config: Config = parse_from(args, &|_| None).expect("good settings");
        let follower = FollowerConfig {
            identity: Identity {
                node: name(),
                storage: new_storage(),
            },
            heartbeat_interval: config.common.liveness.heartbeat_interval,
            seed: 1,
            url: None,
        };
        let follower = Follower::new(follower, Restored::default());
        let node = FaultyFollower::new(follower, config.faults(), 1);
        let stop = CancellationToken::new();
        let options = NodeTaskOptions {
            speaker: Speaker::Secondary(name()),
            clock: Clock::start(),
            stop: stop.clone(),
            max_commands: 10,
            max_inspections: 10,
        };
        let (link, events) = mpsc::unbounded_channel();
        let deliver = |reply: Reply<Client<Answer>>| reply.waiter.answer(reply.answer);
        let journal = Box::new(MemoryJournal::new());
        let (task, handle) = NodeTask::new(node, TestLink(events), journal, deliver, options);
        let world = Self {
            router: router(Secondary::new(
                handle,
                &config,
                Running::starting("1.2.3", None),
                stop.clone(),
            )),
            stop,
            task: tokio::spawn(task.run()),
            link,
        };
        let max_payload = 1 << 20;
        world.link.send(LinkEvent::Up { max_payload }).unwrap();
        let address = Address::Ack(name(), AckOf::Hello);
        let payload = Payload::NoResponders;
        world
            .link
            .send(LinkEvent::Delivered { address, payload })
            .unwrap();
        world
    }

    /// The master of history `log` sends these as the entries from `first` on.
    async fn hears(&self, log: u128, first: u64, contents: &[&str]) {
        let leader = leader(log);
        let mut builder = BatchBuilder::new(Seq(first), leader.epoch);
        for content in contents {
            let id = MessageId(Uuid::from_u128(u128::from(builder.next().0)));
            builder.push(id, &Content::from_text(content));
        }
        let tail = builder.next().prev();
        let append = AppendEntries {
            leader,
            prev: LogPosition {
                seq: Seq(first - 1),
                epoch: match first {
                    1 => Epoch::ZERO,
                    _ => leader.epoch,
                },
            },
            entries: builder.finish(),
            tail,
            committed: Committed::default(),
            cleared: Default::default(),
            storage: None,
            round: 0,
            interval: Duration::ZERO,
            url: None,
            digest: None,
            request_ids: Vec::new(),
        };
        let address = Address::Append(name());
        let payload = Payload::Frame(Message::Append(append).encode(0));
        self.link
            .send(LinkEvent::Delivered { address, payload })
            .unwrap();
        settled().await;
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let request = Request::builder().method(method).uri(path);
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(body.ends_with(b"\n"), "{body:?}");
        (status, serde_json::from_slice(&body).expect("JSON"))
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.ask("GET", path, "").await
    }

    async fn contents(&self) -> Vec<String> {
        let (_, list) = self.get("/messages").await;
        let entries = list["messages"].as_array().expect("messages");
        let content = |e: &Value| e["content"].as_str().expect("content").to_owned();
        entries.iter().map(content).collect()
    }
}

/// Lets everything happen that needs no time.
async fn settled() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn only_the_contiguous_prefix_is_shown() {
    let world = World::start(&[]);
    world.hears(1, 1, &["one", "two"]).await;
    world.hears(1, 4, &["four"]).await;
    assert_eq!(world.contents().await, ["one", "two"]);
    let (_, health) = world.get("/health").await;
    for (field, value) in [
        ("status", json!("catching_up")),
        ("role", json!("secondary")),
        ("id", json!("s1")),
        ("epoch", json!(1)),
        ("last_seq", json!(2)),
        ("lag", json!(2)),
        ("held_back", json!(1)),
        ("broker", json!("connected")),
        ("put_aside", json!(0)),
        ("storage", json!({"kind": "memory"})),
    ] {
        assert_eq!(health[field], value, "{field} of {health}");
    }
    let (status, problem) = world.get("/readyz").await;
    assert_eq!((status, &problem["reason"]), (503, &json!("catching_up")));
    world.hears(1, 3, &["three"]).await;
    assert_eq!(world.contents().await, ["one", "two", "three", "four"]);
    assert_eq!(world.get("/readyz").await, (200, json!({"status": "ok"})));
    let (status, one) = world.get("/messages/3").await;
    assert_eq!((status, &one["content"]), (200, &json!("three")));
    assert!(one.get("acks").is_none());
}

/// CASES A8.
#[tokio::test(start_paused = true)]
async fn what_is_said_of_now_needs_a_word_of_now() {
    let world = World::start(&["--ready-lag", "1"]);
    world.hears(1, 1, &["one"]).await;
    assert_eq!(world.get("/readyz").await.0, 200);
    // The master sends its heartbeats at the usual interval: 3 of them.
    tokio::time::sleep(Duration::from_millis(1400)).await;
    let (_, health) = world.get("/health").await;
    assert_eq!(
        (&health["status"], &health["lag"]),
        (&json!("ok"), &json!(0))
    );
    assert_eq!(world.get("/readyz").await.0, 200);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let (_, health) = world.get("/health").await;
    assert_eq!(health["status"], "catching_up");
    assert!(health["lag"].is_null(), "{health}");
    let (status, problem) = world.get("/readyz").await;
    assert_eq!((status, &problem["reason"]), (503, &json!("master_silent")));
    world.hears(1, 2, &["two"]).await;
    assert_eq!(world.get("/health").await.1["lag"], 0);
    assert_eq!(world.get("/readyz").await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn it_takes_no_appends_and_names_who_does() {
    let world = World::start(&[]);
    for path in ["/messages", "/append"] {
        let (status, problem) = world.ask("POST", path, r#"{"content":"x"}"#).await;
        assert_eq!(status, 405, "{path}");
        assert!(
            problem["detail"].as_str().unwrap().contains("master"),
            "{problem}"
        );
    }
    for (path, status) in [
        ("/nothing", 404),
        ("/messages/1", 404),
        ("/messages?x=1", 400),
        ("/health?x", 400),
    ] {
        assert_eq!(world.get(path).await.0, status, "{path}");
    }
    assert_eq!(world.get("/livez").await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn a_least_position_is_waited_for_and_a_stop_ends_the_wait() {
    let world = World::start(&[]);
    world.hears(1, 1, &["one"]).await;
    let waits = async {
        let (status, list) = world.get("/messages?min_seq=2&wait=20s").await;
        assert_eq!((status, &list["last_seq"]), (200, &json!(2)));
    };
    tokio::join!(waits, world.hears(1, 2, &["two"]));
    let began = tokio::time::Instant::now();
    let waits = async {
        let (status, problem) = world.get("/messages?min_seq=9&wait=20s").await;
        assert_eq!((status, &problem["reason"]), (504, &json!("stopping")));
    };
    let stops = async {
        settled().await;
        world.stop.cancel();
    };
    tokio::join!(waits, stops);
    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!(world.task.await.unwrap(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn another_history_is_followed_only_after_a_rejoin() {
    let world = World::start(&[]);
    let (status, _) = world.ask("POST", "/rejoin", "").await;
    assert_eq!(status, 409);
    world.hears(1, 1, &["one", "two"]).await;
    world.hears(2, 1, &["other"]).await;
    let (_, health) = world.get("/health").await;
    assert_eq!(health["status"], "diverged");
    assert!(health["problem"].as_str().unwrap().contains("/rejoin"));
    let (_, list) = world.get("/messages").await;
    assert_eq!(list["diverged_from"], leader(2).log_id.to_string());
    assert_eq!(world.contents().await, ["one", "two"]);

    let rejoined = world.ask("POST", "/rejoin", "").await;
    assert_eq!(
        rejoined,
        (200, json!({"status": "rejoining", "put_aside": 2}))
    );
    world.hears(2, 1, &["other"]).await;
    assert_eq!(world.contents().await, ["other"]);
    let (_, kept) = world.get("/diverged").await;
    let tail = &kept["tails"][0];
    assert_eq!(
        (&tail["first_seq"], &tail["last_seq"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(tail["entries"][1]["content"], "two");
    assert_eq!(world.get("/health").await.1["put_aside"], 2);
}

#[tokio::test(start_paused = true)]
async fn clearing_is_allowed_or_not() {
    let world = World::start(&[]);
    let (status, problem) = world.ask("POST", "/clear", "").await;
    assert_eq!(status, 403);
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("REPLOG_ALLOW_CLEAR")
    );

    let world = World::start(&["--allow-clear"]);
    world.hears(1, 1, &["one"]).await;
    let cleared = world.ask("POST", "/clear", "").await;
    assert_eq!(cleared, (200, json!({"status": "cleared"})));
    assert!(world.contents().await.is_empty());
    world.hears(1, 1, &["one"]).await;
    assert_eq!(world.contents().await, ["one"]);
}

#[tokio::test(start_paused = true)]
async fn faults_are_set_while_it_runs() {
    let world = World::start(&[]);
    assert_eq!(world.get("/faults").await.0, 403);
    assert_eq!(
        world.ask("PUT", "/faults", r#"{"delay_ms":1}"#).await.0,
        403
    );

    let world = World::start(&["--allow-faults", "--delay", "1s"]);
    let faults = json!({"delay_ms": 1000, "error_rate": 0.0, "drop_rate": 0.0});
    assert_eq!(world.get("/faults").await, (200, faults.clone()));
    for (wrong, named) in [
        (r#"{"drop_rate":1.5}"#, "drop_rate is 1.5"),
        (r#"{"delay":5}"#, r#"did you mean "delay_ms""#),
        (r#"{"delay_ms":-1}"#, "-1"),
        ("", "JSON object"),
    ] {
        let (status, problem) = world.ask("PUT", "/faults", wrong).await;
        assert_eq!(status, 400, "{wrong}");
        assert!(
            problem["detail"].as_str().unwrap().contains(named),
            "{problem}"
        );
    }
    assert_eq!(world.get("/faults").await.1, faults);
    let (status, set) = world
        .ask("PUT", "/faults", r#"{"delay_ms":0,"drop_rate":1}"#)
        .await;
    let faults = json!({"delay_ms": 0, "error_rate": 0.0, "drop_rate": 1.0});
    assert_eq!((status, &set), (200, &faults));
    world.hears(1, 1, &["one"]).await;
    assert!(world.contents().await.is_empty(), "lost");
    world.ask("PUT", "/faults", r#"{"drop_rate":0}"#).await;
    world.hears(1, 1, &["one"]).await;
    assert_eq!(world.contents().await, ["one"]);
}
