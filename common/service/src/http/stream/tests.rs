use http_body_util::BodyExt;
use replog_protocol::ids::LogId;

use super::*;
use crate::http::test_log::{LOG, Shown, TestLog};

struct Client {
    body: Body,
}

impl Client {
    async fn open(shown: &Shown, from: u64) -> Self {
        let parameters = StreamParameters {
            from: Some(Positive(from)),
        };
        let response = events(shown.access(), parameters, None).await;
        let response = response.unwrap_or_else(|problem| panic!("{problem:?}"));
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let body = response.into_body();
        Self { body }
    }

    /// What comes next; `None` at the end.
    async fn next(&mut self) -> Option<String> {
        let frame = self.body.frame().await?;
        let data = frame.expect("no break").into_data().expect("data");
        Some(String::from_utf8(data.to_vec()).expect("text"))
    }
}

fn two() -> TestLog {
    TestLog::of(&[&["one", "two"]])
}

#[tokio::test]
async fn each_entry_is_an_event_as_it_comes() {
    for log in [two(), two().slow()] {
        let shown = Shown::new(log);
        let mut client = Client::open(&shown, 2).await;
        let event = client.next().await.expect("an event");
        let expected = concat!(
            "event: message\nid: 2\ndata: {\"seq\":2,\"epoch\":3,",
            "\"message_id\":\"00000000-0000-0000-0000-000000000002\",\"content\":\"two\"}\n\n"
        );
        assert_eq!(event, expected);
        shown.replace(
            TestLog::of(&[&["one", "two"], &["three"], &["four"]]),
            |_| {},
        );
        let event = client.next().await.expect("an event");
        assert!(event.starts_with("event: message\nid: 3\n"), "{event}");
        let event = client.next().await.expect("an event");
        assert!(event.starts_with("event: message\nid: 4\n"), "{event}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_says_that_it_is_there() {
    let shown = Shown::new(two());
    let mut client = Client::open(&shown, 3).await;
    assert_eq!(client.next().await.as_deref(), Some(": still here\n\n"));
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_the_program_and_with_its_log() {
    let shown = Shown::new(two());
    let mut client = Client::open(&shown, 1).await;
    assert!(client.next().await.is_some());
    shown.replace(TestLog::of(&[&["another"]]), |s| s.generation += 1);
    assert_eq!(client.next().await, None);

    let shown = Shown::new(two());
    let mut client = Client::open(&shown, 3).await;
    shown.change(|s| s.generation += 1);
    assert_eq!(client.next().await, None, "its place was in the former log");

    let mut client = Client::open(&shown, 3).await;
    shown.stop.cancel();
    assert_eq!(client.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_node_without_a_history_takes_its_first_one() {
    let shown = Shown::new(TestLog::default());
    shown.change(|s| s.leadership = None);
    let mut client = Client::open(&shown, 1).await;
    let first = Shown::new(two());
    let leadership = first.access().now().snapshot.leadership;
    assert_eq!(leadership.map(|l| l.log_id), Some(LOG));
    shown.replace(two(), |s| {
        s.leadership = leadership;
        s.generation += 1;
    });
    let event = client.next().await.expect("an event");
    assert!(
        event.contains("id: 1\n") && event.contains("id: 2\n"),
        "{event}"
    );
}

#[tokio::test]
async fn no_more_streams_than_there_may_be() {
    let shown = Shown::new(two());
    let access = shown.access();
    let open = |access| events(access, StreamParameters::default(), None);
    let first = open(access.clone()).await.expect("room for one");
    let problem = open(access.clone()).await.expect_err("no room for two");
    assert_eq!(problem.status(), 503);
    assert_eq!(problem.reason(), Some("too_many_streams"));
    drop(first);
    assert!(open(access).await.is_ok());
}

#[tokio::test]
async fn a_reader_that_comes_back_goes_on_after_its_last_event() {
    let shown = Shown::new(two());
    let response = events(shown.access(), StreamParameters::default(), Some(Seq(1))).await;
    let mut client = Client {
        body: response.expect("a stream").into_body(),
    };
    let event = client.next().await.expect("an event");
    assert!(event.starts_with("event: message\nid: 2\n"), "{event}");

    let id = |text: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("last-event-id", text.parse().expect("a header"));
        last_event_id(&headers).map_err(|problem| problem.status().as_u16())
    };
    assert_eq!(id("7"), Ok(Some(Seq(7))));
    assert_eq!(id(""), Ok(None));
    for wrong in ["-1", "x", "1.5", "7 "] {
        assert_eq!(id(wrong), Err(400), "{wrong}");
    }
    assert_eq!(last_event_id(&HeaderMap::new()).ok(), Some(None));
}

#[tokio::test]
async fn the_header_names_the_history() {
    let shown = Shown::new(two());
    let theirs = LogId(uuid::Uuid::from_u128(9));
    shown.change(|s| s.diverged_from = Some(theirs));
    let response = events(shown.access(), StreamParameters::default(), None).await;
    let response = response.expect("a stream");
    assert_eq!(response.headers()["replog-log-id"], &*LOG.to_string());
    let from = &response.headers()["replog-diverged-from"];
    assert_eq!(from, &*theirs.to_string());
}
