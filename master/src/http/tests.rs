use std::ffi::OsString;
use std::future::pending;

use axum::body::{Body, Bytes};
use axum::http::{Method, Request};
use http_body_util::BodyExt;
use replog_nats::{Link, LinkEvent};
use replog_protocol::event::Speaker;
use replog_protocol::ids::MasterId;
use replog_protocol::leader::command::Reply;
use replog_protocol::node::Restored;
use replog_protocol::node_url::NodeUrl;
use replog_protocol::wire::Address;
use replog_service::clock::Clock;
use replog_service::exit::Failure;
use replog_service::http::calls::Caller;
use replog_service::node_task::{NodeTask, NodeTaskOptions};
use replog_service::settings::parse_from;
use replog_storage::memory::MemoryJournal;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::*;

mod appending;

/// A broker that takes messages of that size, with nobody else there.
struct Alone {
    max_payload: usize,
    is_up: bool,
}

impl Link for Alone {
    fn send(&mut self, _: &Address, _: Option<&Address>, _: Bytes) -> bool {
        true
    }

    async fn next(&mut self) -> LinkEvent {
        if std::mem::replace(&mut self.is_up, true) {
            return pending().await;
        }
        let max_payload = self.max_payload;
        LinkEvent::Up { max_payload }
    }
}

/// A master in memory, on paused time.
struct World {
    calls: Calls,
    stop: CancellationToken,
    task: JoinHandle<Result<(), Failure>>,
}

const ID: &str = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";

impl World {
    /// Appends a load, and hands out the answer once there is one.
    fn load(&self, path: &str, headers: &[(&str, &str)], body: Body) -> JoinHandle<(u16, String)> {
        let mut request = Request::post(path).header("content-type", "application/x-ndjson");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.asks(request.body(body).unwrap())
    }

    /// With a broker, and nobody else.
    fn start(flags: &[&str]) -> Self {
        Self::with(flags, false)
    }

    /// Where the broker is never there.
    fn without_broker(flags: &[&str]) -> Self {
        Self::with(flags, true)
    }

    fn with(flags: &[&str], is_up: bool) -> Self {
        let args = ["replog-master"].iter().chain(flags).map(OsString::from);
        let config: Config = parse_from(args, &|_| None).expect("good settings");
        let leader = Leader::new(
            config.leader(MasterId(uuid::Uuid::new_v4()), None),
            Restored::default(),
        );
        let stop = CancellationToken::new();
        let options = NodeTaskOptions {
            speaker: Speaker::Master,
            clock: Clock::start(),
            stop: stop.clone(),
            max_commands: 100,
            max_inspections: 100,
        };
        let link = Alone {
            max_payload: 8192,
            is_up,
        };
        let deliver = |reply: Reply<Client<Answer>>| reply.waiter.answer(reply.answer);
        let journal = Box::new(MemoryJournal::new());
        let (task, node) = NodeTask::new(leader, link, journal, deliver, options);
        Self {
            calls: calls(Master::new(
                node,
                &config,
                Running::starting("1.2.3", NodeUrl::new("http://m:8000")),
                stop.clone(),
            )),
            stop,
            task: tokio::spawn(task.run()),
        }
    }

    /// Status and body of the answer; a task, so that several may wait.
    fn asks(&self, request: Request<Body>) -> JoinHandle<(u16, String)> {
        let calls = self.calls.clone();
        tokio::spawn(async move {
            let response = calls.call(request, Caller::default()).await;
            let status = response.status().as_u16();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            (status, String::from_utf8(body.to_vec()).unwrap())
        })
    }

    /// Waits until the leader's task has ended.
    async fn ended(&mut self) -> Result<(), Failure> {
        (&mut self.task).await.unwrap()
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        parsed(self.asks(request).await.unwrap())
    }

    async fn post(&self, path: &str, body: impl ToString) -> (u16, Value) {
        parsed(self.asks(post(path, body)).await.unwrap())
    }

    /// Appends with the default write concern of 1, and says that it was.
    async fn appended(&self, content: &str) -> Value {
        let (status, answer) = self
            .post("/messages", json!({"content": content, "w": 1}))
            .await;
        assert_eq!(status, 200, "{answer}");
        answer
    }
}

fn post(path: &str, body: impl ToString) -> Request<Body> {
    Request::post(path)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(body.to_string()))
        .unwrap()
}

fn parsed((status, body): (u16, String)) -> (u16, Value) {
    assert!(body.ends_with('\n'), "{body:?}");
    (status, serde_json::from_str(&body).expect("JSON"))
}

/// Lets everything happen that needs no time.
async fn settled() {
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_message_is_appended_listed_and_shown_with_who_holds_it() {
    let world = World::start(&[]);
    let body = json!({"content": "héllo\n", "w": 1, "message_id": ID, "expected_seq": 1});
    let (status, answer) = world.post("/messages", &body).await;
    let (_, health) = world.get("/health").await;
    let expected = json!({
        "status": "replicated", "seq": 1, "message_id": ID, "content": "héllo\n", "w": 1, "acks": 1,
        "log_id": health["log_id"], "epoch": 1, "duplicate": false,
    });
    assert_eq!((status, &answer), (200, &expected));

    let (status, again) = world.post("/messages", &body).await;
    assert_eq!((status, &again["duplicate"]), (200, &json!(true)));
    let made = world.appended("two").await;
    assert_eq!(made["seq"], 2);

    let (_, list) = world.get("/messages").await;
    assert_eq!(list["messages"][0]["content"], "héllo\n");
    assert_eq!(list["messages"][1]["message_id"], made["message_id"]);
    assert_eq!(
        (&list["last_seq"], &list["log_id"]),
        (&json!(2), &health["log_id"])
    );
    let (status, one) = world.get("/messages/2").await;
    let expected = json!({
        "seq": 2, "epoch": 1, "message_id": made["message_id"], "content": "two", "acks": 1, "acked_by": ["master"],
    });
    assert_eq!((status, one), (200, expected));
    let request = Request::get("/messages/1").body(Body::empty()).unwrap();
    let (_, held) = world.asks(request).await.unwrap();
    serde_json::from_str::<HeldEntry>(&held).expect("as it is described");
    assert_eq!(world.get("/messages/3").await.0, 404);
}

#[tokio::test(start_paused = true)]
async fn the_answer_keeps_the_order_of_its_fields() {
    let world = World::start(&[]);
    let (_, answer) = world
        .asks(post("/messages", r#"{"content":"x","w":1}"#))
        .await
        .unwrap();
    let names = [
        "status",
        "seq",
        "message_id",
        "content",
        "w",
        "acks",
        "log_id",
        "epoch",
        "duplicate",
    ];
    let places: Vec<_> = names
        .iter()
        .map(|n| answer.find(&format!("\"{n}\":")))
        .collect();
    assert!(
        places.iter().all(Option::is_some) && places.is_sorted(),
        "{answer}"
    );
}

#[tokio::test(start_paused = true)]
async fn refusals_come_in_their_order_and_change_nothing() {
    let world = World::start(&["--secondaries", "a,b"]);
    let large = "x".repeat(8192);
    world
        .post(
            "/messages",
            json!({"content": "one", "w": 1, "message_id": ID}),
        )
        .await;
    let refused = async |status: u16, body: Value| {
        let (got, problem) = world.post("/messages", &body).await;
        assert_eq!(got, status, "{body}: {problem}");
        assert_eq!(problem["status"], status);
        problem
    };
    let both = refused(400, json!({"content": &large, "w": 4, "message_id": ID})).await;
    let detail = both["detail"].as_str().unwrap();
    assert!(
        detail.contains("w is 4") && detail.contains("from 1 to 3"),
        "{detail}"
    );
    let large = refused(413, json!({"content": &large, "w": 1, "message_id": ID})).await;
    assert!(large["detail"].as_str().unwrap().contains("max_payload"));
    let other = refused(
        422,
        json!({"content": "two", "w": 1, "message_id": ID, "expected_seq": 9}),
    );
    assert_eq!(other.await["seq"], 1);
    let late = refused(412, json!({"content": "two", "w": 1, "expected_seq": 9})).await;
    assert_eq!(late["last_seq"], 1);
    // CASES 10: the number that was sent.
    let body = r#"{"content":"t","w":9007199254740993}"#;
    let (status, problem) = world.post("/messages", body).await;
    assert_eq!(status, 400);
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("9007199254740993")
    );
    assert_eq!(world.get("/messages").await.1["last_seq"], 1);
}

/// CASES A7, 12b, 12d.
#[tokio::test(start_paused = true)]
async fn what_is_not_understood_is_named() {
    let world = World::start(&[]);
    let body = r#"{"content":"x","w":1}"#;
    for (path, named) in [
        (
            "/messages?timeout=1",
            r#"no parameter "timeout"; did you mean "timeout_ms"?"#,
        ),
        ("/append?x=1", r#"no parameter "x""#),
        ("/clear?now", r#"no parameter "now""#),
    ] {
        let (status, problem) = world.post(path, body).await;
        assert_eq!(status, 400, "{path}");
        assert!(
            problem["detail"].as_str().unwrap().contains(named),
            "{problem}"
        );
    }
    for path in [
        "/messages?commited=all",
        "/health?x",
        "/list?from=2",
        "/messages/1?width=3",
        "/readyz?x=1",
    ] {
        assert_eq!(world.get(path).await.0, 400, "{path}");
    }
    let (status, problem) = world
        .post("/messages", r#"{"content":"x","timeout":500}"#)
        .await;
    let detail = problem["detail"].as_str().unwrap();
    assert_eq!(status, 400);
    assert!(
        detail.contains("\"timeout\"") && detail.contains("\"timeout_ms\""),
        "{detail}"
    );

    let with = |name: &str, values: &[&str]| {
        let mut request = post("/messages", body);
        for value in values {
            let name = axum::http::HeaderName::try_from(name).unwrap();
            request.headers_mut().append(name, value.parse().unwrap());
        }
        request
    };
    let status = async |request| world.asks(request).await.unwrap().0;
    assert_eq!(status(with("idempotency-key", &["a1", "b2"])).await, 400);
    assert_eq!(status(with("content-encoding", &["gzip"])).await, 415);
    assert_eq!(world.get("/messages").await.1["last_seq"], 0);
    assert_eq!(status(with("idempotency-key", &["a1", "a1"])).await, 200);
    assert_eq!(status(with("content-encoding", &["identity"])).await, 200);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_ends_says_that_the_entry_is_in_the_log() {
    let world = World::start(&["--secondaries", "a", "--allow-clear"]);
    world.appended("zero").await; // once it has recovered
    let (status, problem) = world
        .post(
            "/messages",
            json!({"content": "one", "w": 2, "timeout_ms": 50}),
        )
        .await;
    assert_eq!((status, &problem["reason"]), (504, &json!("timeout")));
    for (field, value) in [
        ("seq", json!(2)),
        ("acks", json!(1)),
        ("w", json!(2)),
        ("in_log", json!(true)),
    ] {
        assert_eq!(problem[field], value, "{field}");
    }
    let waits = world.asks(post("/messages", json!({"content": "two"})));
    settled().await;
    assert_eq!(world.get("/health").await.1["waiting"], 1);
    let (status, cleared) = world.post("/clear", "").await;
    assert_eq!((status, &cleared["status"]), (200, &json!("cleared")));
    let (status, gone) = parsed(waits.await.unwrap());
    assert_eq!(status, 410);
    assert!(gone["message_id"].is_string());
    let (_, list) = world.get("/messages").await;
    assert_eq!(
        (&list["last_seq"], &list["log_id"]),
        (&json!(0), &cleared["log_id"])
    );
}

#[tokio::test(start_paused = true)]
async fn a_stop_answers_everybody_at_once() {
    let mut world = World::start(&["--secondaries", "a"]);
    world.appended("one").await;
    let waits = world.asks(post("/messages", json!({"content": "two"})));
    let request = Request::get("/messages?from=9&wait=30s").body(Body::empty());
    let polls = world.asks(request.unwrap());
    settled().await;
    let began = tokio::time::Instant::now();
    world.stop.cancel();
    let (status, problem) = parsed(waits.await.unwrap());
    assert_eq!((status, &problem["reason"]), (504, &json!("stopping")));
    assert_eq!(
        (&problem["in_log"], &problem["seq"]),
        (&json!(true), &json!(2))
    );
    let (status, list) = parsed(polls.await.unwrap());
    assert_eq!((status, &list["last_seq"]), (200, &json!(2)));
    assert!(began.elapsed() < std::time::Duration::from_secs(1));
    assert_eq!(world.ended().await, Ok(()));
    let (status, problem) = world
        .post("/messages", json!({"content": "late", "w": 1}))
        .await;
    assert_eq!((status, &problem["reason"]), (503, &json!("stopping")));
}

/// CASES A1.
#[tokio::test(start_paused = true)]
async fn without_a_broker_requests_wait_and_are_told_of_a_stop() {
    let world = World::without_broker(&[]);
    assert_eq!(world.get("/livez").await.0, 200);
    let (status, problem) = world.get("/readyz").await;
    assert_eq!((status, &problem["reason"]), (503, &json!("recovering")));
    let (status, problem) = world.get("/messages").await;
    assert_eq!((status, &problem["reason"]), (503, &json!("recovering")));
    let (_, health) = world.get("/health").await;
    assert_eq!(health["status"], "recovering");
    assert_eq!(health["broker"], "disconnected");

    let waits = world.asks(post("/messages", json!({"content": "one", "w": 1})));
    settled().await;
    let began = tokio::time::Instant::now();
    world.stop.cancel();
    let (status, problem) = parsed(waits.await.unwrap());
    assert_eq!((status, &problem["reason"]), (503, &json!("stopping")));
    assert!(began.elapsed() < std::time::Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn health_says_how_everything_is() {
    let world = World::start(&["--secondaries", "a,b"]);
    world.appended("one").await;
    let (status, health) = world.get("/health").await;
    assert_eq!(status, 200);
    for (field, value) in [
        ("status", json!("ok")),
        ("role", json!("master")),
        ("epoch", json!(1)),
        ("last_seq", json!(1)),
        ("broker", json!("connected")),
        ("read_only", json!(false)),
        ("quorum", json!({"needed": 2, "alive": 1, "ok": false})),
        ("default_w", json!(3)),
        ("waiting", json!(0)),
        ("storage", json!({"kind": "memory"})),
        ("not_heard", json!(["a", "b"])),
    ] {
        assert_eq!(health[field], value, "{field} of {health}");
    }
    assert!(health["instance"].is_string());
    assert_eq!(
        (&health["version"], &health["url"]),
        (&json!("1.2.3"), &json!("http://m:8000"))
    );
    let started_at = health["started_at"].as_str().expect("a time");
    assert!(
        started_at.starts_with("20") && started_at.ends_with('Z'),
        "{started_at}"
    );
    let member = json!({
        "id": "a", "status": "unknown", "acked_seq": 0, "lag": 1, "last_seen_ms": null, "retries": 0,
    });
    assert_eq!(health["members"][0], member);
    assert_eq!(world.get("/readyz").await, (200, json!({"status": "ok"})));
}

#[tokio::test(start_paused = true)]
async fn the_course_has_its_own_way_to_say_it() {
    let world = World::start(&[]);
    let said = async |body: &str| world.asks(post("/append", body)).await.unwrap();
    let line = "Appended 00 \"it's \"é\"\" to the log list\n";
    assert_eq!(
        said(r#"{"msg":"it's \"é\"","w":1}"#).await,
        (200, line.to_owned())
    );
    let request = Request::get("/list").body(Body::empty()).unwrap();
    let list = world.asks(request).await.unwrap();
    assert_eq!(list, (200, "(0, 'it\\'s \"é\"')\n".to_owned()));
    for (wrong, named) in [
        (r#"{"w":1}"#, "msg is missing"),
        (r#"{"msg":7}"#, "msg must be a string"),
        (r#"{"content":"x"}"#, "\"content\""),
        ("msg=x", "JSON object"),
    ] {
        let (status, problem) = parsed(said(wrong).await);
        assert_eq!(status, 400, "{wrong}");
        assert!(
            problem["detail"].as_str().unwrap().contains(named),
            "{problem}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_open_is_forbidden_and_other_paths_are_problems() {
    let world = World::start(&[]);
    let (status, problem) = world.post("/clear", "").await;
    assert_eq!(status, 403);
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("REPLOG_ALLOW_CLEAR")
    );
    assert_eq!(world.get("/nothing").await.0, 404);
    assert_eq!(world.get("/clear").await.0, 405);
    assert_eq!(world.get("/diverged").await, (200, json!({"tails": []})));
}

#[tokio::test(start_paused = true)]
async fn the_page_is_there_for_get_and_head() {
    let world = World::start(&[]);
    let mut tags = Vec::new();
    for (method, has_body) in [(Method::GET, true), (Method::HEAD, false)] {
        let request = Request::builder().method(&method).uri("/");
        let request = request.body(Body::empty()).unwrap();
        let answer = world.calls.call(request, Caller::default()).await;
        assert_eq!(answer.status(), 200, "{method}");
        let policy = &answer.headers()["content-security-policy"];
        let policy = policy.to_str().unwrap().to_owned();
        assert!(policy.starts_with("default-src 'none'; "), "{policy}");
        tags.push(answer.headers()["etag"].clone());
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let page = String::from_utf8_lossy(&body);
        assert_eq!(page.contains("<title>Replicated log</title>"), has_body);
        assert_eq!(page.is_empty(), !has_body, "{method}");
    }
    let request = Request::get("/").header("if-none-match", &tags[1]);
    let request = request.body(Body::empty()).unwrap();
    let (status, page) = world.asks(request).await.unwrap();
    assert_eq!((status, page), (304, String::new()));
    assert_eq!(world.get("/?x=1").await.0, 400);
}
