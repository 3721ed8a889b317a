use bytes::Bytes;
use std::io::Read as _;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::Request;
use axum::routing::get;
use http_body_util::BodyExt;
use replog_protocol::committed::Committed;
use replog_storage::journal::Rollback;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tower::ServiceExt;

use super::*;
use crate::http::compression::gzip;
use crate::http::path::SeqPath;
use crate::http::query::Parameters;
use crate::http::rollbacks::diverged;
use crate::http::test_log::{LOG, Shown, TestLog};

fn router(access: LogAccess) -> Router {
    let messages = async |State(access), Parameters(p), headers: HeaderMap| {
        super::messages(access, p, &headers).await
    };
    let message =
        async |State(access): State<LogAccess>, SeqPath(seq)| super::message(&access, seq).await;
    let diverged = async |State(access): State<LogAccess>| diverged(&access).await;
    Router::new()
        .route("/messages", get(messages).layer(gzip()))
        .route("/messages/{seq}", get(message))
        .route("/list", get(async |State(access)| list(access).await))
        .route("/diverged", get(diverged))
        .with_state(access)
}

/// The answer to a request with such headers, and its whole body.
async fn ask_with(access: LogAccess, path: &str, headers: &[(&str, &str)]) -> (Response, Vec<u8>) {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).unwrap();
    let (head, body) = router(access).oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes();
    (Response::from_parts(head, Body::empty()), body.to_vec())
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response
        .headers()
        .get(name)
        .map(|value| value.to_str().expect("text"))
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

#[tokio::test]
async fn a_walk_along_the_links_sees_each_entry_once() {
    let shown = Shown::new(five());
    let mut path = "/messages?limit=2&wait=1500ms&committed=1&min_seq=1".to_owned();
    shown.change(|s| s.committed = Committed::new([Seq(5)], Seq(3), Seq(2)));
    let (mut seen, mut links) = (Vec::new(), Vec::new());
    loop {
        let (answer, body) = ask_with(shown.access(), &path, &[]).await;
        assert_eq!(answer.status(), 200, "{path}");
        seen.extend(seqs(&serde_json::from_slice(&body).unwrap()));
        let Some(link) = header(&answer, "link") else {
            break;
        };
        let next = link
            .strip_prefix('<')
            .and_then(|l| l.strip_suffix(r#">; rel="next""#));
        path = next.expect("a link to the next page").to_owned();
        links.push(path.clone());
    }
    assert_eq!(seen, [1, 2, 3, 4, 5]);
    let rest = format!("limit=2&wait=1500ms&min_seq=1&committed=1&log_id={LOG}");
    let expected = [3, 5].map(|from| format!("/messages?from={from}&{rest}"));
    assert_eq!(links, expected);
    // A page that ends where the log does is the last one, as is one where no more is committed.
    for last in [
        "?limit=5",
        "?from=4&limit=2",
        "?from=9&limit=1",
        "",
        "?committed=all&limit=2",
    ] {
        let (answer, _) = ask_with(shown.access(), &format!("/messages{last}"), &[]).await;
        assert_eq!(header(&answer, "link"), None, "{last}");
    }
}

#[tokio::test(start_paused = true)]
async fn another_history_is_gone() {
    let shown = Shown::new(five());
    let path = format!("/messages?from=9&wait=30s&log_id={LOG}");
    let (status, list) = ask_json(shown.access(), &path).await;
    assert_eq!(
        (status, list["messages"].as_array().map(Vec::len)),
        (200, Some(0))
    );
    let waiting = tokio::spawn({
        let access = shown.access();
        async move { ask_json(access, &path).await }
    });
    tokio::time::sleep(Duration::from_millis(1)).await;
    let other = LogId(uuid::Uuid::from_u128(8));
    shown.change(|s| s.leadership.as_mut().expect("one").log_id = other);
    let (status, problem) = waiting.await.unwrap();
    assert_eq!((status, &problem["reason"]), (410, &json!("other_history")));
    assert_eq!(problem["log_id"], json!(other));
    for (path, expected) in [
        (format!("/messages?log_id={other}"), 200),
        (format!("/messages?log_id={LOG}"), 410),
        ("/messages?log_id=7".to_owned(), 400),
    ] {
        assert_eq!(ask_json(shown.access(), &path).await.0, expected, "{path}");
    }
    shown.change(|s| s.leadership = None);
    let (status, problem) = ask_json(shown.access(), &format!("/messages?log_id={LOG}")).await;
    assert_eq!((status, &problem["reason"]), (503, &json!("recovering")));
}

#[tokio::test]
async fn what_a_client_has_already_is_not_sent_again() {
    for log in [five, || five().slow()] {
        let shown = Shown::new(log());
        let tag = async |path: &str, headers: &[(&str, &str)]| {
            let (answer, _) = ask_with(shown.access(), path, headers).await;
            assert_eq!(answer.status(), 200, "{path}");
            header(&answer, "etag").expect("a tag").to_owned()
        };
        let had = tag("/messages", &[]).await;
        assert!(had.starts_with("W/\""), "{had}");
        for if_none_match in [&*had, "*", &format!("\"x\", {}", &had[2..])] {
            let headers = [("if-none-match", if_none_match)];
            let (answer, body) = ask_with(shown.access(), "/messages", &headers).await;
            assert_eq!((answer.status().as_u16(), body.len()), (304, 0));
            assert_eq!(header(&answer, "etag"), Some(&*had));
            assert_eq!(header(&answer, "vary"), Some("accept, accept-encoding"));
            assert_eq!(header(&answer, "replog-log-id"), Some(&*LOG.to_string()));
            let (answer, _) = ask_with(shown.access(), "/messages?from=2", &headers).await;
            assert_eq!(answer.status() == 304, if_none_match == "*");
        }
        // Whatever is another answer has another tag.
        let lines = [("accept", "application/x-ndjson")];
        let mut tags = vec![had, tag("/messages", &lines).await];
        for query in [
            "?from=2",
            "?limit=2",
            "?from=2&limit=2",
            "?from=6",
            "?from=7",
            "?committed=all",
        ] {
            tags.push(tag(&format!("/messages{query}"), &[]).await);
        }
        let page = tag("/messages?limit=2", &lines).await;
        shown.replace(
            TestLog::of(&[&["1"], &["2", "3"], &["4", "5", "6"]]),
            |_| {},
        );
        assert_eq!(
            tag("/messages?limit=2", &lines).await,
            page,
            "a page of lines stays"
        );
        tags.push(tag("/messages", &[]).await);
        // As long, and yet another one: its end was placed by another epoch.
        shown.replace(
            TestLog::of_epochs(&[(3, &["1", "2", "3"]), (4, &["4", "5", "6"])]),
            |_| {},
        );
        tags.push(tag("/messages", &[]).await);
        tags.push(page);
        let count = tags.len();
        tags.sort();
        tags.dedup();
        assert_eq!(tags.len(), count, "{tags:?}");
    }
}

#[tokio::test]
async fn lines_are_an_entry_each() {
    let lines = [("accept", "application/x-ndjson")];
    for log in [five(), five().slow()] {
        let shown = Shown::new(log);
        let (answer, body) = ask_with(shown.access(), "/messages?from=2&limit=3", &lines).await;
        assert_eq!(
            header(&answer, "content-type"),
            Some("application/x-ndjson")
        );
        assert!(header(&answer, "link").is_some());
        let one = async |seq| {
            entry(&shown.access().now(), Seq(seq))
                .await
                .expect("an entry")
        };
        let expected: Vec<u8> = [one(2).await, one(3).await, one(4).await]
            .iter()
            .flat_map(|batch| [&batch.text()[..], b"\n"].concat())
            .collect();
        assert_eq!(body, expected);
        let (answer, body) = ask_with(shown.access(), "/messages?from=6", &lines).await;
        assert_eq!((answer.status().as_u16(), body.len()), (200, 0));
    }
    let (answer, body) = ask_with(
        Shown::new(five()).access(),
        "/messages",
        &[("accept", "text/html")],
    )
    .await;
    assert_eq!(answer.status(), 406);
    let problem: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(problem["reason"], "not_acceptable");
    assert_eq!(
        problem["offered"],
        json!(["application/json", "application/x-ndjson"])
    );
}

#[tokio::test]
async fn a_long_answer_is_packed_for_who_asks() {
    let large = "x".repeat(300_000);
    let shown = Shown::new(TestLog::of(&[&[&large], &[&large], &["small"]]));
    let (plain, body) = ask_with(shown.access(), "/messages", &[]).await;
    for accept in ["gzip", "br, gzip;q=0.5", "deflate, GZIP"] {
        let asks = [("accept-encoding", accept)];
        let (packed, bytes) = ask_with(shown.access(), "/messages", &asks).await;
        assert_eq!(
            header(&packed, "content-encoding"),
            Some("gzip"),
            "{accept}"
        );
        assert_eq!(header(&packed, "vary"), Some("accept, accept-encoding"));
        assert_eq!(header(&packed, "etag"), header(&plain, "etag"));
        assert!(bytes.len() < body.len() / 50, "{} bytes", bytes.len());
        assert_eq!(unpacked(&bytes), body);
    }
    for (path, accept) in [
        ("/messages", "gzip;q=0"),
        ("/messages", "br"),
        ("/messages?from=3", "gzip"),
    ] {
        let asks = [("accept-encoding", accept)];
        let (answer, _) = ask_with(shown.access(), path, &asks).await;
        assert_eq!(header(&answer, "content-encoding"), None, "{path} {accept}");
        assert_eq!(header(&answer, "vary"), Some("accept, accept-encoding"));
    }
}

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(bytes)
        .read_to_end(&mut unpacked)
        .expect("gzip");
    unpacked
}

#[tokio::test]
async fn only_what_is_committed_is_shown_to_who_asks_for_that() {
    let shown = Shown::new(five());
    shown.change(|s| s.committed = Committed::new([4, 3, 2].map(Seq), Seq(3), Seq(2)));
    for (query, last) in [
        ("committed=1", 4),
        ("committed=2", 3),
        ("committed=majority", 3),
        ("committed=all", 2),
        ("committed=3", 2),
        ("committed=4", 0),
    ] {
        let (status, list) = ask_json(shown.access(), &format!("/messages?{query}")).await;
        let expected: Vec<u64> = (1..=last).collect();
        assert_eq!((status, seqs(&list)), (200, expected), "{query}");
        assert_eq!(
            (&list["committed_seq"], &list["last_seq"]),
            (&json!(last), &json!(5))
        );
    }
    let (_, list) = ask_json(shown.access(), "/messages").await;
    assert_eq!(list.get("committed_seq"), None);
    for wrong in ["0", "-1", "two", "", "1.5", "+2", "ALL"] {
        let path = format!("/messages?committed={wrong}");
        let (status, problem) = ask_json(shown.access(), &path).await;
        assert_eq!(status, 400, "{wrong}");
        let detail = "committed must be majority, all, or a whole number from 1";
        assert_eq!(problem["detail"], detail, "{wrong}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_known_to_be_committed_is_stored_for_who_waits() {
    let shown = Shown::new(five());
    let all = |seq| Committed::new([seq], Seq::ZERO, seq);
    shown.change(|s| (s.committed, s.committed_soon) = (all(Seq(2)), all(Seq(3))));
    // The node's task, which stores whenever it is asked.
    let store = async || {
        shown.wants_committed.notified().await;
        shown.change(|s| s.committed = s.committed_soon.clone());
    };
    let (answered, ()) = tokio::join!(ask_json(shown.access(), "/messages?committed=all"), store());
    assert_eq!(seqs(&answered.1), [1, 2, 3]);

    let poll = "/messages?from=4&wait=30s&committed=all";
    let waiting = ask_waiting(shown.access(), poll).await;
    let least = ask_waiting(shown.access(), "/messages?min_seq=4&wait=30s&committed=all").await;
    let began = tokio::time::Instant::now();
    shown.change(|s| s.committed_soon = all(Seq(4)));
    store().await;
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "asked for while it is waited for"
    );
    assert_eq!(seqs(&waiting.await.unwrap().1), [4]);
    assert_eq!(seqs(&least.await.unwrap().1), [1, 2, 3, 4]);

    // The entry is here, but it is not committed.
    let path = "/messages?min_seq=5&wait=2s&committed=all";
    let (status, problem) = ask_json(shown.access(), path).await;
    assert_eq!((status, &problem["reason"]), (504, &json!("timeout")));
    assert_eq!(
        (&problem["last_seq"], &problem["committed_seq"]),
        (&json!(5), &json!(4))
    );
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_read_slowly_breaks_off_soon_after_a_stop() {
    let large = "x".repeat(300_000);
    let shown = Shown::new(TestLog::of(&[&[&large], &[&large], &[&large], &[&large]]));
    let open = async || {
        let request = Request::get("/messages").body(Body::empty()).unwrap();
        router(shown.access())
            .oneshot(request)
            .await
            .unwrap()
            .into_body()
    };
    let (mut slow, fast) = (open().await, open().await);
    shown.stop.cancel();
    assert!(
        fast.collect().await.is_ok(),
        "there is time for who reads on"
    );
    let mut pieces = 0;
    let error = loop {
        match slow.frame().await.expect("no end that looks like one") {
            Ok(_) => pieces += 1,
            Err(error) => break error,
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    };
    assert!(error.to_string().contains("stopping"), "{error}");
    assert!(pieces >= 1);
}
