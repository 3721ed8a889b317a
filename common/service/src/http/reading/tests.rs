use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::Request;
use axum::routing::get;
use http_body_util::BodyExt;
use replog_storage::journal::Rollback;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tower::ServiceExt;

use super::*;
use crate::http::path::SeqPath;
use crate::http::query::Parameters;
use crate::http::rollbacks::diverged;
use crate::http::test_log::{LOG, Shown, TestLog};

fn router(access: LogAccess) -> Router {
    let messages = async |State(access), Parameters(p)| super::messages(access, p).await;
    let message =
        async |State(access): State<LogAccess>, SeqPath(seq)| super::message(&access, seq).await;
    let diverged = async |State(access): State<LogAccess>| diverged(&access).await;
    Router::new()
        .route("/messages", get(messages))
        .route("/messages/{seq}", get(message))
        .route("/list", get(async |State(access)| list(access).await))
        .route("/diverged", get(diverged))
        .with_state(access)
}

/// Status and body; no body if it breaks off.
async fn ask(access: LogAccess, path: &str) -> (u16, Option<String>) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = router(access).oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.ok();
    let text = |body: http_body_util::Collected<Bytes>| {
        String::from_utf8(body.to_bytes().to_vec()).expect("text")
    };
    (status, body.map(text))
}

async fn ask_json(access: LogAccess, path: &str) -> (u16, Value) {
    let (status, body) = ask(access, path).await;
    let body = body.expect("a whole body");
    assert!(body.ends_with('\n'), "{body:?}");
    (status, serde_json::from_str(&body).expect("JSON"))
}

/// Asks and lets the request come to its wait. On paused time nothing else happens meanwhile.
async fn ask_waiting(access: LogAccess, path: &'static str) -> JoinHandle<(u16, Value)> {
    let asked = tokio::spawn(ask_json(access, path));
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(!asked.is_finished(), "{path} was answered at once");
    asked
}

fn seqs(list: &Value) -> Vec<u64> {
    let messages = list["messages"].as_array().expect("messages");
    let seq = |entry: &Value| entry["seq"].as_u64().expect("seq");
    messages.iter().map(seq).collect()
}

fn five() -> TestLog {
    TestLog::of(&[&["one"], &["two", "it's \"3\""], &["four\n", "five"]])
}

#[tokio::test]
async fn lists_are_the_bytes_of_the_log() {
    for log in [five(), five().slow()] {
        let shown = Shown::new(log);
        let (status, list) = ask(shown.access(), "/messages?from=2&limit=2").await;
        let entry = |seq, content: &str| {
            format!(
                r#"{{"seq":{seq},"epoch":3,"message_id":"00000000-0000-0000-0000-00000000000{seq}","content":{content}}}"#
            )
        };
        let expected = format!(
            "{{\"messages\":[{},{}],\"log_id\":\"{LOG}\",\"epoch\":3,\"last_seq\":5}}\n",
            entry(2, r#""two""#),
            entry(3, r#""it's \"3\"""#)
        );
        assert_eq!((status, list), (200, Some(expected)));
        let one = format!("{}\n", entry(5, r#""five""#));
        assert_eq!(ask(shown.access(), "/messages/5").await, (200, Some(one)));
        let lines = "(0, 'one')\n(1, 'two')\n(2, 'it\\'s \"3\"')\n(3, 'four\\n')\n(4, 'five')\n";
        assert_eq!(
            ask(shown.access(), "/list").await,
            (200, Some(lines.into()))
        );
    }
}

#[tokio::test]
async fn ranges_end_where_the_log_does() {
    let shown = Shown::new(five());
    for (query, expected) in [
        ("", &[1, 2, 3, 4, 5][..]),
        ("?limit=99", &[1, 2, 3, 4, 5]),
        ("?from=4", &[4, 5]),
        ("?from=6", &[]),
        ("?from=18446744073709551615&limit=9", &[]),
        ("?from=99999999999999999999999", &[]),
    ] {
        let (status, list) = ask_json(shown.access(), &format!("/messages{query}")).await;
        assert_eq!((status, &*seqs(&list)), (200, expected), "{query}");
        assert_eq!(list["last_seq"], 5);
    }
    let (status, problem) = ask_json(shown.access(), "/messages/6").await;
    assert_eq!((status, &problem["last_seq"]), (404, &json!(5)));
    let empty = Shown::new(TestLog::default());
    assert_eq!(
        ask(empty.access(), "/list").await,
        (200, Some(String::new()))
    );
    let (_, list) = ask_json(empty.access(), "/messages").await;
    assert_eq!(list["messages"], json!([]));
}

#[tokio::test]
async fn a_long_list_comes_in_pieces_with_large_batches_as_they_are() {
    let large = "x".repeat(20_000);
    let small = ["y"; 50];
    let mut batches: Vec<&[&str]> = Vec::new();
    let two_large = [&*large, &*large];
    for _ in 0..40 {
        batches.extend([&two_large[..], &small[..]]);
    }
    for log in [TestLog::of(&batches), TestLog::of(&batches).slow()] {
        let shown = Shown::new(log);
        let (status, list) = ask_json(shown.access(), "/messages").await;
        let all: Vec<u64> = (1..=40 * 52).collect();
        assert_eq!((status, seqs(&list)), (200, all));
        assert_eq!(list["last_seq"], 40 * 52);
        let (_, lines) = ask(shown.access(), "/list").await;
        assert_eq!(lines.expect("a whole body").lines().count(), 40 * 52);
    }
}

#[tokio::test]
async fn a_list_breaks_off_when_the_log_is_rolled_back_meanwhile() {
    let large = "x".repeat(300_000);
    let shown = Shown::new(TestLog::of(&[&[&large], &[&large], &[&large]]));
    let request = Request::get("/messages").body(Body::empty()).unwrap();
    let response = router(shown.access()).oneshot(request).await.unwrap();
    let mut body = response.into_body();
    assert!(body.frame().await.is_some_and(|frame| frame.is_ok()));
    shown.change(|snapshot| {
        snapshot.generation += 1;
    });
    assert!(body.collect().await.is_err());
    // Who comes now reads the log that is there now.
    let (status, list) = ask_json(shown.access(), "/messages").await;
    assert_eq!((status, seqs(&list)), (200, vec![1, 2, 3]));
}

#[tokio::test]
async fn damage_is_said_where_it_can_be() {
    let shown = Shown::new(five().damaged(3));
    for path in ["/messages?from=3", "/messages/3", "/messages", "/list"] {
        let (status, problem) = ask_json(shown.access(), path).await;
        assert_eq!(
            (status, &problem["reason"]),
            (503, &json!("damaged")),
            "{path}"
        );
        assert_eq!(problem["seq"], 3, "{path}");
    }
    assert_eq!(ask(shown.access(), "/messages?limit=2").await.0, 200);
    // Where much has left already, the answer breaks off.
    let large = "x".repeat(300_000);
    let shown = Shown::new(TestLog::of(&[&[&large], &["two"]]).damaged(2));
    assert_eq!(ask(shown.access(), "/messages").await, (200, None));
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_is_answered_by_an_entry_by_time_and_by_a_stop() {
    let shown = Shown::new(five());
    let waiting = ask_waiting(shown.access(), "/messages?from=6&wait=30s").await;
    shown.replace(TestLog::of(&[&["1", "2", "3", "4", "5", "6"]]), |_| {});
    assert_eq!(seqs(&waiting.await.unwrap().1), [6]);

    let (status, list) = ask_json(shown.access(), "/messages?from=9&wait=30s").await;
    assert_eq!((status, seqs(&list)), (200, vec![]));

    let list = ask_waiting(shown.access(), "/messages?from=9&wait=30s").await;
    let least = ask_waiting(shown.access(), "/messages?min_seq=9&wait=30s").await;
    let began = tokio::time::Instant::now();
    shown.stop.cancel();
    let (status, list) = list.await.unwrap();
    assert_eq!((status, seqs(&list)), (200, vec![]));
    let (status, problem) = least.await.unwrap();
    assert_eq!((status, &problem["reason"]), (504, &json!("stopping")));
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_least_position_is_waited_for_or_refused() {
    let shown = Shown::new(five());
    let (status, list) = ask_json(shown.access(), "/messages?min_seq=5&limit=1").await;
    assert_eq!((status, seqs(&list)), (200, vec![1]));
    for path in ["/messages?min_seq=6", "/messages?min_seq=6&wait=2s"] {
        let (status, problem) = ask_json(shown.access(), path).await;
        assert_eq!((status, &problem["reason"]), (504, &json!("timeout")));
        assert_eq!(problem["last_seq"], 5);
    }
}

#[tokio::test(start_paused = true)]
async fn a_master_that_recovers_is_waited_for_but_not_for_long() {
    let shown = Shown::new(five());
    shown.change(|snapshot| snapshot.is_readable = false);
    for path in ["/messages", "/messages/1", "/list"] {
        let (status, problem) = ask_json(shown.access(), path).await;
        assert_eq!(
            (status, &problem["reason"]),
            (503, &json!("recovering")),
            "{path}"
        );
    }
    let waiting = ask_waiting(shown.access(), "/messages").await;
    shown.change(|snapshot| snapshot.is_readable = true);
    assert_eq!(waiting.await.unwrap().0, 200);

    shown.change(|snapshot| snapshot.is_readable = false);
    let waiting = ask_waiting(shown.access(), "/messages").await;
    let began = tokio::time::Instant::now();
    shown.stop.cancel();
    let (status, problem) = waiting.await.unwrap();
    assert_eq!((status, &problem["reason"]), (503, &json!("stopping")));
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn what_is_not_the_masters_is_marked() {
    let shown = Shown::new(five());
    let theirs = LogId(uuid::Uuid::from_u128(9));
    shown.change(|snapshot| snapshot.diverged_from = Some(theirs));
    for path in ["/messages", "/messages/1", "/list"] {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router(shown.access()).oneshot(request).await.unwrap();
        let header = &response.headers()["replog-diverged-from"];
        assert_eq!(header, &*theirs.to_string(), "{path}");
    }
    let (_, list) = ask_json(shown.access(), "/messages").await;
    assert_eq!(list["diverged_from"], theirs.to_string());
}

#[tokio::test]
async fn rollbacks_are_shown_with_their_entries_or_their_file() {
    let rollback = |file, entries: &'static str| Rollback {
        log_id: LOG,
        first: Seq(4),
        last: Seq(5),
        at_ms: 12,
        file,
        entries: Bytes::from_static(entries.as_bytes()),
    };
    let log = five().rolled_back(vec![
        rollback(None, r#"{"seq":4},{"seq":5}"#),
        rollback(Some("/data/diverged-x-12.ndjson".into()), ""),
    ]);
    let (status, tails) = ask_json(Shown::new(log).access(), "/diverged").await;
    let tail = |more: Value| {
        let mut tail = json!({"log_id": LOG, "first_seq": 4, "last_seq": 5, "at_ms": 12});
        let more = more.as_object().cloned().expect("an object");
        tail.as_object_mut().expect("an object").extend(more);
        tail
    };
    let expected = json!({"tails": [
        tail(json!({"entries": [{"seq": 4}, {"seq": 5}]})),
        tail(json!({"file": "diverged-x-12.ndjson"})),
    ]});
    assert_eq!((status, tails), (200, expected));
}
