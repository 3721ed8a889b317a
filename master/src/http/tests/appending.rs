//! Batches, loads, parameters and keys.

use std::time::Duration;

use axum::body::Bytes;
use tokio::sync::mpsc;

use super::*;

fn uuid(n: u32) -> String {
    uuid::Uuid::from_u128(n.into()).to_string()
}

/// A body to which lines are sent as the test likes; it ends with its sender.
fn sent_by() -> (mpsc::UnboundedSender<&'static str>, Body) {
    let (sender, mut pieces) = mpsc::unbounded_channel::<&'static str>();
    let stream = futures_util::stream::poll_fn(move |cx| {
        let piece = pieces.poll_recv(cx);
        piece.map(|piece| piece.map(|piece| Ok::<_, std::io::Error>(Bytes::from(piece))))
    });
    (sender, Body::from_stream(stream))
}

impl World {
    async fn loaded(&self, path: &str, headers: &[(&str, &str)], lines: &str) -> (u16, Value) {
        let body = Body::from(lines.to_owned());
        parsed(self.load(path, headers, body).await.unwrap())
    }

    async fn contents(&self) -> Vec<String> {
        let (_, list) = self.get("/messages").await;
        let all = list["messages"].as_array().expect("a list");
        all.iter()
            .map(|m| m["content"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// The status and these fields of a problem.
fn told(answer: &(u16, Value)) -> (u16, &Value, &Value, &Value) {
    let (status, problem) = answer;
    (
        *status,
        &problem["line"],
        &problem["appended"],
        &problem["last_seq"],
    )
}

#[tokio::test(start_paused = true)]
async fn parameters_are_other_spellings_of_the_fields() {
    let world = World::start(&["--secondaries", "a"]);
    let body = r#"{"content":"x"}"#;
    let (status, answer) = world.post("/messages?w=1&expected_seq=1", body).await;
    assert_eq!((status, &answer["w"]), (200, &json!(1)), "{answer}");
    let (status, problem) = world.post("/messages?timeout_ms=20", body).await;
    assert_eq!((status, &problem["reason"]), (504, &json!("timeout")));
    let (status, problem) = world
        .post("/messages?w=1", r#"{"content":"x","w":2}"#)
        .await;
    assert_eq!(status, 400, "{problem}");
    let (status, problem) = world.post("/messages?w=1&expected_seq=9", body).await;
    assert_eq!((status, &problem["last_seq"]), (412, &json!(2)));
    let said = async |path: &str, body: &str| world.asks(post(path, body)).await.unwrap();
    let (status, line) = said("/append?w=1", r#"{"msg":"x"}"#).await;
    assert_eq!(
        (status, &line[..]),
        (200, "Appended 02 \"x\" to the log list\n")
    );
    assert_eq!(
        said("/append", r#"{"msg":"x","timeout_ms":20}"#).await.0,
        504
    );
    assert_eq!(said("/append?w=2", r#"{"msg":"x","w":1}"#).await.0, 400);
    assert_eq!(world.get("/health").await.1["last_seq"], 4);
}

#[tokio::test(start_paused = true)]
async fn an_answer_says_where_the_message_is_to_be_found() {
    let world = World::start(&[]);
    world.appended("one").await;
    let request = post("/messages", r#"{"content":"two","w":1}"#);
    let response = world.calls.call(request, Caller::default()).await;
    assert_eq!(response.headers()["location"], "/messages/2");
}

#[tokio::test(start_paused = true)]
async fn a_key_works_on_the_courses_call_and_in_quotes() {
    let world = World::start(&[]);
    let said = async |path: &str, key: &str, body: &str| {
        let mut request = post(path, body);
        request
            .headers_mut()
            .insert("idempotency-key", key.parse().unwrap());
        world.asks(request).await.unwrap()
    };
    let line = "Appended 00 \"x\" to the log list\n".to_owned();
    for key in ["a1", "\"a1\""] {
        assert_eq!(
            said("/append", key, r#"{"msg":"x"}"#).await,
            (200, line.clone())
        );
    }
    let (status, answer) = parsed(said("/messages", "\"a1\"", r#"{"content":"x"}"#).await);
    assert_eq!((status, &answer["duplicate"]), (200, &json!(true)));
    let id = format!(
        r#"{{"msg":"x","message_id":"{}"}}"#,
        answer["message_id"].as_str().unwrap()
    );
    assert_eq!(said("/append", "a1", &id).await, (200, line));
    for (path, key, body) in [
        ("/append", "", r#"{"msg":"x"}"#),
        ("/append", "\"\"", r#"{"msg":"x"}"#),
        ("/append", "other", &id[..]),
        ("/append", "a1", r#"{"msg":"x","message_id":"7"}"#),
        ("/messages", "\"\"", r#"{"content":"x"}"#),
    ] {
        assert_eq!(said(path, key, body).await.0, 400, "{path} {key}");
    }
    assert_eq!(said("/append", "a1", r#"{"msg":"other"}"#).await.0, 422);
    assert_eq!(world.contents().await, ["x"]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_one_append() {
    let world = World::start(&[]);
    world.appended("before").await;
    let batch =
        json!([{"content": "a", "message_id": uuid(1)}, {"content": "b"}, {"content": "c"}]);
    let answer = world
        .asks(post("/messages?w=1&expected_seq=2", &batch))
        .await
        .unwrap();
    let log_id = &world.get("/health").await.1["log_id"];
    let expected = format!(
        "{{\"status\":\"replicated\",\"first_seq\":2,\"last_seq\":4,\"count\":3,\"w\":1,\"acks\":1,\"log_id\":{log_id},\
         \"epoch\":1,\"duplicate\":false}}\n"
    );
    assert_eq!(answer, (200, expected));
    // All of it is there, with the one wrong position that a duplicate may have.
    let both =
        json!([{"content": "d", "message_id": uuid(2)}, {"content": "e", "message_id": uuid(3)}]);
    for (path, duplicate) in [("/messages", false), ("/messages?expected_seq=5", true)] {
        let (status, answer) = world.post(path, &both).await;
        assert_eq!(
            (status, &answer["duplicate"]),
            (200, &json!(duplicate)),
            "{answer}"
        );
        assert_eq!(
            (&answer["first_seq"], &answer["last_seq"]),
            (&json!(5), &json!(6))
        );
    }
    assert_eq!(world.contents().await, ["before", "a", "b", "c", "d", "e"]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_refused_as_a_whole_and_by_the_first_reason() {
    let world = World::start(&["--secondaries", "a"]);
    let there = json!({"content": "there", "w": 1, "message_id": uuid(1)});
    assert_eq!(world.post("/messages", &there).await.0, 200);
    let large = "x".repeat(8192);
    let new = json!({"content": "new"});
    let refused = async |status: u16, path: &str, body: Value, named: &str| {
        let (got, problem) = world.post(path, &body).await;
        assert_eq!(got, status, "{path}: {problem}");
        let detail = problem["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(named), "{detail}");
        problem
    };
    let with = |more: Value| json!([new, more, {"content": large}, {"content": "other", "message_id": uuid(1)}]);
    refused(400, "/messages", json!([]), "empty").await;
    for (wrong, named) in [
        (json!({"content": "x", "w": 1}), "no field \"w\""),
        (
            json!({"content": "x", "expected_seq": 1}),
            "no field \"expected_seq\"",
        ),
        (json!({"message_id": uuid(2)}), "content is missing"),
        (json!({"content": 7}), "content must be a string"),
        (json!({"content": "x", "message_id": "7"}), "UUID"),
        (json!("x"), "JSON object"),
        (json!(["x"]), "JSON object"),
        (json!(null), "JSON object"),
    ] {
        let problem = refused(400, "/messages?w=1", with(wrong), named).await;
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            problem["index"] == 1 && detail.starts_with("element [1]"),
            "{problem}"
        );
    }
    let other = json!({"content": "other", "message_id": uuid(1)});
    refused(
        400,
        "/messages?w=3&expected_seq=9",
        with(other.clone()),
        "from 1 to 2",
    )
    .await;
    refused(
        413,
        "/messages?w=1&expected_seq=9",
        with(other.clone()),
        "max_payload",
    )
    .await;
    refused(
        422,
        "/messages?w=1&expected_seq=9",
        json!([other]),
        "another content",
    )
    .await;
    let mine = json!({"content": "there", "message_id": uuid(1)});
    refused(
        422,
        "/messages?w=1&expected_seq=9",
        json!([new, mine]),
        "as a whole is not",
    )
    .await;
    let twice = json!({"content": "x", "message_id": uuid(2)});
    refused(
        422,
        "/messages?w=1&expected_seq=9",
        json!([twice, new, twice]),
        "twice",
    )
    .await;
    let late = refused(
        412,
        "/messages?w=1&expected_seq=9",
        json!([new, new]),
        "expected_seq",
    )
    .await;
    assert_eq!(late["last_seq"], 1);
    let many = |n| Value::Array(vec![new.clone(); n]);
    refused(400, "/messages?w=3", many(10_001), "from 1 to 2").await;
    refused(413, "/messages?w=1", many(10_001), "10001 messages").await;

    let mut request = post("/messages?w=1", json!([new]));
    request
        .headers_mut()
        .insert("idempotency-key", "a".parse().unwrap());
    assert_eq!(world.asks(request).await.unwrap().0, 400);
    let (status, problem) = parsed(world.asks(post("/messages", "[{}")).await.unwrap());
    assert_eq!(status, 400, "{problem}");
    assert_eq!(world.contents().await, ["there"]);
    let (status, answer) = world.post("/messages?w=1", many(10_000)).await;
    assert_eq!((status, &answer["count"]), (200, &json!(10_000)));
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_waits_says_where_it_is() {
    let world = World::start(&["--secondaries", "a"]);
    world.appended("before").await; // once it has recovered
    let two = json!([{"content": "a"}, {"content": "b"}]);
    let (status, problem) = world.post("/messages?timeout_ms=20", &two).await;
    assert_eq!((status, &problem["reason"]), (504, &json!("timeout")));
    for (field, value) in [
        ("first_seq", 2),
        ("last_seq", 3),
        ("count", 2),
        ("acks", 1),
        ("w", 2),
    ] {
        assert_eq!(problem[field], value, "{field}");
    }
    assert_eq!(problem["in_log"], true);
}

#[tokio::test(start_paused = true)]
async fn a_load_is_appended_line_by_line() {
    let world = World::start(&[]);
    let lines = concat!(
        "{\"content\":\"a\"}\n\n \t\r\n",
        "{\"content\":\"b\",\"message_id\":\"6ba7b810-9dad-11d1-80b4-00c04fd430c8\"}\r\n",
        "{\"content\":\"c\",\"seq\":3,\"epoch\":77}",
    );
    let body = Body::from(lines);
    let answer = world
        .load("/messages?w=1&expected_seq=1", &[], body)
        .await
        .unwrap();
    let log_id = &world.get("/health").await.1["log_id"];
    let expected = format!(
        "{{\"status\":\"replicated\",\"count\":3,\"first_seq\":1,\"last_seq\":3,\"duplicates\":0,\"w\":1,\"acks\":1,\
         \"log_id\":{log_id},\"epoch\":1}}\n"
    );
    assert_eq!(answer, (200, expected));
    let (_, second) = world.get("/messages/2").await;
    assert_eq!(second["message_id"], ID);
    // Type parameters and letters' cases make no difference to what it is.
    let request =
        Request::post("/messages").header("content-type", "Application/X-NDJSON; charset=utf-8");
    let request = request.body(Body::from("{\"content\":\"d\"}")).unwrap();
    assert_eq!(world.asks(request).await.unwrap().0, 200);
    assert_eq!(world.contents().await, ["a", "b", "c", "d"]);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_line_ends_a_load_and_what_stands_before_it_stays() {
    let world = World::start(&["--max-body-bytes", "10KiB", "--secondaries", "a"]);
    let there = json!({"content": "there", "w": 1, "message_id": uuid(1)});
    assert_eq!(world.post("/messages", &there).await.0, 200);
    let large = "x".repeat(9000);
    let longer = "x".repeat(11_000);
    let mut last = 1;
    for (wrong, status) in [
        ("x".to_owned(), 400),
        (r#"{"content":"x","w":1}"#.to_owned(), 400),
        (r#"{"content":"x","seq":0}"#.to_owned(), 400),
        (r#"[{"content":"x"}]"#.to_owned(), 400),
        (json!({"content": large}).to_string(), 413),
        (json!({"content": longer}).to_string(), 413),
        (
            json!({"content": "x", "message_id": uuid(1)}).to_string(),
            422,
        ),
        (r#"{"content":"x","seq":999}"#.to_owned(), 412),
        (
            json!({"content": "there", "message_id": uuid(1), "seq": 2}).to_string(),
            412,
        ),
    ] {
        let lines = format!(
            "{{\"content\":\"a\"}}\n\n{{\"content\":\"b\"}}\n{wrong}\n{{\"content\":\"after\"}}\n"
        );
        let answer = world.loaded("/messages?w=1", &[], &lines).await;
        last += 2;
        assert_eq!(
            told(&answer),
            (status, &json!(4), &json!(2), &json!(last)),
            "{answer:?}"
        );
    }
    // Where it is the first one, nothing is.
    let answer = world.loaded("/messages?w=1", &[], "x\n").await;
    assert_eq!(told(&answer), (400, &json!(1), &json!(0), &json!(last)));
    let one = "{\"content\":\"x\"}\n";
    for (path, headers, lines, status) in [
        ("/messages?w=1", &[][..], "", 400),
        ("/messages?w=1", &[], "\n \n", 400),
        ("/messages?w=3", &[], one, 400),
        ("/messages?w=1&x=1", &[], one, 400),
        ("/messages?w=1&expected_seq=5", &[], one, 412),
        ("/messages?w=1", &[("idempotency-key", "")], one, 400),
        ("/messages?w=1", &[("content-encoding", "gzip")], one, 415),
    ] {
        let answer = world.loaded(path, headers, lines).await;
        assert_eq!(
            (answer.0, &answer.1["appended"]),
            (status, &json!(0)),
            "{answer:?}"
        );
        assert_eq!(answer.1["last_seq"], last);
        assert!(answer.1["line"].is_u64(), "{answer:?}");
    }
    let contents = world.contents().await;
    assert!(
        contents.iter().all(|c| c != "after" && c != "x"),
        "{contents:?}"
    );
    assert_eq!(contents.len(), last);
}

/// Each piece of what was sent once is there, mixed with what others have sent since, in another order, or with new ones.
#[tokio::test(start_paused = true)]
async fn a_load_that_is_sent_again_appends_what_is_not_there() {
    let world = World::start(&[]);
    let line = |n: u32| format!("{{\"content\":\"{n}\",\"message_id\":\"{}\"}}\n", uuid(n));
    let lines = |all: &[u32]| all.iter().map(|n| line(*n)).collect::<String>();
    let load = async |all: &[u32]| {
        let (status, answer) = world.loaded("/messages", &[], &lines(all)).await;
        assert_eq!(status, 200, "{answer}");
        let number = |field: &str| answer[field].as_u64().unwrap();
        (
            number("count"),
            number("duplicates"),
            number("first_seq"),
            number("last_seq"),
        )
    };
    assert_eq!(load(&[1, 2, 3]).await, (3, 0, 1, 3));
    world.appended("other").await;
    assert_eq!(load(&[4, 5]).await, (2, 0, 5, 6));
    assert_eq!(load(&[1, 2, 3, 4, 5]).await, (5, 5, 1, 6));
    assert_eq!(load(&[1, 2, 6, 3, 7, 7, 8, 5, 4]).await, (9, 6, 1, 9));
    assert_eq!(load(&[9, 1]).await, (2, 1, 1, 10));
    assert_eq!(
        world.contents().await,
        ["1", "2", "3", "other", "4", "5", "6", "7", "8", "9"]
    );
    // Two thousand, backwards.
    let all: Vec<u32> = (100..2100).collect();
    assert_eq!(load(&all).await, (2000, 0, 11, 2010));
    let backwards: Vec<u32> = all.into_iter().rev().collect();
    assert_eq!(load(&backwards).await, (2000, 2000, 11, 2010));
}

#[tokio::test(start_paused = true)]
async fn a_key_makes_a_load_idempotent_by_line() {
    let world = World::start(&[]);
    let key = [("idempotency-key", "\"load 7\"")];
    let lines = "{\"content\":\"same\"}\n\n{\"content\":\"same\"}\n{\"content\":\"c\",\"message_id\":\"6ba7b8109dad11d180b400c04fd430c8\"}\n";
    let broken = format!("{lines}x\n");
    let answer = world.loaded("/messages", &key, &broken).await;
    assert_eq!(told(&answer), (400, &json!(5), &json!(3), &json!(3)));
    let whole = format!("{lines}{{\"content\":\"d\"}}");
    let (status, answer) = world.loaded("/messages", &key, &whole).await;
    assert_eq!(
        (status, &answer["count"], &answer["duplicates"]),
        (200, &json!(4), &json!(3))
    );
    assert_eq!(world.contents().await, ["same", "same", "c", "d"]);
    let (_, list) = world.get("/messages").await;
    // Line 3: the blank one counts. Computed with Python: uuid.uuid5(uuid.NAMESPACE_URL, "load 7/3").
    assert_eq!(
        list["messages"][1]["message_id"],
        "3a2d72bb-8a11-5359-a8d3-a483b8c6d022"
    );
    assert_eq!(
        list["messages"][2]["message_id"], ID,
        "the line's own comes first"
    );
    // Without a key they are other messages.
    assert_eq!(
        world.loaded("/messages", &[], lines).await.1["duplicates"],
        1
    );
}

#[tokio::test(start_paused = true)]
async fn an_export_is_loaded_unchanged() {
    let world = World::start(&[]);
    for i in 0..10 {
        world.appended(&format!("é \"{i}\"\n")).await;
    }
    let (_, list) = world.get("/messages").await;
    let messages = list["messages"].as_array().unwrap();
    let export: String = messages.iter().map(|m| format!("{m}\n")).collect();
    let other = World::start(&[]);
    let (status, answer) = other.loaded("/messages", &[], &export).await;
    assert_eq!((status, &answer["count"]), (200, &json!(10)), "{answer}");
    assert_eq!(other.get("/messages").await.1["messages"], list["messages"]);
    // Again: it is all there. And only part of it does not go into an empty log.
    assert_eq!(
        other.loaded("/messages", &[], &export).await.1["duplicates"],
        10
    );
    let part: String = export
        .lines()
        .skip(1)
        .map(|line| format!("{line}\n"))
        .collect();
    let answer = World::start(&[]).loaded("/messages", &[], &part).await;
    assert_eq!(told(&answer), (412, &json!(1), &json!(0), &json!(0)));
    let (_, body) = answer;
    assert!(body["detail"].as_str().unwrap().contains("seq 2"), "{body}");
}

/// While a run waits for the other node, lines are read for one more run, and no more.
#[tokio::test(start_paused = true)]
async fn a_load_takes_no_more_than_two_runs_while_a_node_is_slow() {
    let world = World::start(&["--secondaries", "a"]);
    world.appended("one").await;
    let (taken, mut seen) = (
        std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0)),
        0,
    );
    let count = std::sync::Arc::clone(&taken);
    let piece = Bytes::from("{\"content\":\"0123456789\"}\n".repeat(100));
    let pieces = futures_util::stream::repeat_with(move || {
        count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok::<_, std::io::Error>(piece.clone())
    });
    let load = world.load("/messages?w=2", &[], Body::from_stream(pieces));
    for _ in 0..10 {
        settled().await;
        let now = taken.load(std::sync::atomic::Ordering::Relaxed);
        if now == seen {
            break;
        }
        seen = now;
    }
    // 2 runs of at most 4096 lines, and what one piece has more.
    assert!((41..=83).contains(&seen), "{seen} pieces of 100 lines");
    let (_, health) = world.get("/health").await;
    assert_eq!(health["waiting"], 1, "a load is one of those that wait");
    assert!(health["last_seq"].as_u64().unwrap() <= 4097, "{health}");
    assert!(!load.is_finished());
    load.abort();
}

#[tokio::test(start_paused = true)]
async fn a_load_is_refused_where_nobody_more_may_wait() {
    let world = World::start(&["--secondaries", "a", "--max-waiting", "1"]);
    world.appended("one").await;
    let blocked = world.load("/messages?w=2", &[], Body::from("{\"content\":\"a\"}"));
    settled().await;
    let (status, problem) = world
        .loaded("/messages?w=2", &[], "{\"content\":\"b\"}")
        .await;
    assert_eq!(
        (status, &problem["reason"]),
        (503, &json!("too_many_waiting"))
    );
    assert_eq!(
        (&problem["line"], &problem["appended"]),
        (&json!(1), &json!(0))
    );
    let (status, _) = world
        .loaded("/messages?w=1", &[], "{\"content\":\"c\"}")
        .await;
    assert_eq!(status, 200);
    assert!(!blocked.is_finished());
    assert_eq!(world.contents().await, ["one", "a", "c"]);
}

#[tokio::test(start_paused = true)]
async fn a_load_whose_time_is_up_says_what_is_in_the_log() {
    let world = World::start(&["--secondaries", "a"]);
    world.appended("before").await; // once it has recovered
    let lines = "{\"content\":\"a\"}\n{\"content\":\"b\"}\n";
    let answer = world
        .loaded("/messages?w=2&timeout_ms=50", &[], lines)
        .await;
    assert_eq!(told(&answer), (504, &json!(3), &json!(2), &json!(3)));
    let (_, problem) = answer;
    assert_eq!(
        (&problem["reason"], &problem["in_log"]),
        (&json!("timeout"), &json!(true))
    );
    assert_eq!((&problem["acks"], &problem["w"]), (&json!(1), &json!(2)));
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_a_load_at_once() {
    let mut world = World::start(&["--secondaries", "a"]);
    world.appended("one").await;
    let (lines, body) = sent_by();
    let reading = world.load("/messages?w=1", &[], body);
    lines.send("{\"content\":\"a\"}\n{\"content\":").unwrap();
    let waiting = world.load("/messages?w=2", &[], Body::from("{\"content\":\"b\"}"));
    settled().await;
    let began = tokio::time::Instant::now();
    world.stop.cancel();
    let answer = parsed(reading.await.unwrap());
    assert_eq!((answer.0, &answer.1["reason"]), (503, &json!("stopping")));
    assert_eq!(
        (&answer.1["line"], &answer.1["appended"]),
        (&json!(2), &json!(1))
    );
    let answer = parsed(waiting.await.unwrap());
    assert_eq!((answer.0, &answer.1["reason"]), (504, &json!("stopping")));
    assert_eq!(
        (&answer.1["line"], &answer.1["appended"]),
        (&json!(2), &json!(1))
    );
    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!(world.ended().await, Ok(()));
    let lines = "{\"content\":\"c\"}\n{\"content\":\"d\"}\n";
    let answer = world.loaded("/messages?w=1", &[], lines).await;
    assert_eq!((answer.0, &answer.1["reason"]), (503, &json!("stopping")));
    assert_eq!(
        (&answer.1["line"], &answer.1["appended"]),
        (&json!(1), &json!(0))
    );
}

/// A load is in one history, or it ends.
#[tokio::test(start_paused = true)]
async fn a_load_does_not_go_on_in_another_history() {
    let world = World::start(&["--allow-clear"]);
    let (lines, body) = sent_by();
    let load = world.load("/messages", &[], body);
    lines.send("{\"content\":\"a\"}\n").unwrap();
    settled().await;
    assert_eq!(
        world.contents().await,
        ["a"],
        "lines are appended as they come"
    );
    assert_eq!(world.post("/clear", "").await.0, 200);
    lines.send("{\"content\":\"b\"}\n").unwrap();
    drop(lines);
    let answer = parsed(load.await.unwrap());
    assert_eq!(told(&answer), (410, &json!(2), &json!(1), &json!(0)));
    assert_eq!(world.contents().await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn who_hangs_up_leaves_what_was_appended() {
    let world = World::start(&["--secondaries", "a"]);
    let (lines, body) = sent_by();
    let load = world.load("/messages?w=2", &[], body);
    lines
        .send("{\"content\":\"a\"}\n{\"content\":\"b\"}\n{\"content\":\"c")
        .unwrap();
    settled().await;
    load.abort();
    assert!(load.await.is_err());
    settled().await;
    assert_eq!(world.contents().await, ["a", "b"]);
    world.appended("others are served").await;
}
