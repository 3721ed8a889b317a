use http_body_util::BodyExt;
use replog_protocol::committed::Committed;
use replog_protocol::ids::LogId;

use super::*;
use crate::http::test_log::{LOG, Shown, TestLog, epoch};

const OTHER: LogId = LogId(uuid::Uuid::from_u128(8));

struct Client {
    body: Body,
}

impl Client {
    async fn open(shown: &Shown, from: u64) -> Self {
        Self::ask(shown, Some(from), None, &[]).await
    }

    async fn resume(shown: &Shown, id: &str) -> Self {
        Self::ask(shown, None, None, &[("last-event-id", id)]).await
    }

    async fn tail(shown: &Shown, id: &str) -> Self {
        let headers = [("accept", "application/x-ndjson"), ("last-event-id", id)];
        Self::ask(shown, None, None, &headers).await
    }

    async fn ask(
        shown: &Shown,
        from: Option<u64>,
        committed: Option<&str>,
        headers: &[(&'static str, &str)],
    ) -> Self {
        let parameters = StreamParameters {
            from: from.map(Positive),
            committed: committed.map(|by| CommittedBy(by.parse().expect("a level"))),
        };
        let response = events(shown.access(), parameters, &map(headers)).await;
        let response = response.unwrap_or_else(|problem| panic!("{problem:?}"));
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        let body = response.into_body();
        Self { body }
    }

    /// What comes next; `None` at the end.
    async fn next(&mut self) -> Option<String> {
        let frame = self.body.frame().await?;
        let data = frame.expect("no break").into_data().expect("data");
        Some(String::from_utf8(data.to_vec()).expect("text"))
    }

    /// What comes next, in short: an id alone, `reset`s as their data, entries as their ids. Several of them are joined by blanks.
    async fn brief(&mut self) -> Option<String> {
        let text = self.next().await?;
        let blocks = text.split_terminator("\n\n").map(|block| {
            let field = |name: &str| block.lines().find_map(|l| l.strip_prefix(name));
            match (field("event: "), field("data: "), field("id: ")) {
                (Some("reset"), Some(data), None) => data.to_owned(),
                (Some("message"), Some(data), Some(id)) => {
                    let seq = id.split('@').next().unwrap_or_default();
                    assert!(data.starts_with(&format!("{{\"seq\":{seq},")), "{block}");
                    format!("entry={}", short(id))
                }
                (None, None, Some(id)) => format!("id={}", short(id)),
                _ => panic!("{block}"),
            }
        });
        Some(blocks.collect::<Vec<_>>().join(" "))
    }
}

fn map(headers: &[(&'static str, &str)]) -> HeaderMap {
    let header = |(name, value): &(&'static str, &str)| {
        (
            HeaderName::from_static(name),
            value.parse().expect("a header"),
        )
    };
    headers.iter().map(header).collect()
}

/// The two histories of these tests have names of one letter.
fn short(id: &str) -> String {
    id.replace(&LOG.to_string(), "L")
        .replace(&OTHER.to_string(), "O")
}

fn long(id: &str) -> String {
    id.replace('L', &LOG.to_string())
        .replace('O', &OTHER.to_string())
}

fn reset(log_id: LogId, from: u64) -> String {
    format!("{{\"log_id\":\"{log_id}\",\"from\":{from}}}")
}

fn two() -> TestLog {
    TestLog::of(&[&["one", "two"]])
}

/// Entries 1 and 2 of epoch 3, 3 and 4 of epoch 5.
fn four() -> TestLog {
    TestLog::of_epochs(&[(3, &["1", "2"]), (5, &["3", "4"])])
}

/// The newest leadership is of that epoch.
fn led_by(shown: &Shown, n: u64) {
    shown.change(|s| s.leadership.as_mut().expect("a history").epoch = epoch(n));
}

#[tokio::test]
async fn each_entry_is_an_event_as_it_comes() {
    for log in [two(), two().slow()] {
        let shown = Shown::new(log);
        let mut client = Client::open(&shown, 2).await;
        let id = client.next().await.expect("an id");
        assert_eq!(id, format!("id: 1@{LOG}.3\n\n"));
        let event = client.next().await.expect("an event");
        let expected = format!(
            "event: message\nid: 2@{LOG}.3\ndata: {{\"seq\":2,\"epoch\":3,{}\n\n",
            "\"message_id\":\"00000000-0000-0000-0000-000000000002\",\"content\":\"two\"}"
        );
        assert_eq!(event, expected);
        shown.replace(
            TestLog::of_epochs(&[(3, &["one", "two"]), (3, &["three"]), (4, &["four"])]),
            |_| {},
        );
        assert_eq!(client.brief().await.as_deref(), Some("entry=3@L.3"));
        assert_eq!(client.brief().await.as_deref(), Some("entry=4@L.4"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_says_that_it_is_there() {
    let shown = Shown::new(two());
    let mut client = Client::open(&shown, 3).await;
    assert_eq!(client.brief().await.as_deref(), Some("id=2@L.3"));
    assert_eq!(client.next().await.as_deref(), Some(": still here\n\n"));
}

#[tokio::test(start_paused = true)]
async fn a_client_has_an_id_before_it_has_an_entry() {
    for (from, id) in [(1, "id=0@L.0"), (3, "id=2@L.3"), (9, "id=8@L")] {
        let shown = Shown::new(two());
        let mut client = Client::open(&shown, from).await;
        assert_eq!(client.brief().await.as_deref(), Some(id));
        drop(client);
        // It comes back with that id, and nothing has changed.
        let mut client = Client::resume(&shown, &long(&id[3..])).await;
        assert_eq!(client.brief().await.as_deref(), Some(id));
    }
    // It was before the first entry of a history that is gone.
    let shown = Shown::new(two());
    let mut client = Client::resume(&shown, &long("0@O.0")).await;
    let begins = format!("{} id=0@L.0", reset(LOG, 1));
    assert_eq!(client.brief().await, Some(begins));
    assert_eq!(
        client.brief().await.as_deref(),
        Some("entry=1@L.3 entry=2@L.3")
    );
}

#[tokio::test]
async fn a_client_that_comes_back_goes_on_after_its_last_event() {
    for log in [four(), four().slow()] {
        let shown = Shown::new(log);
        led_by(&shown, 5);
        for (id, begins, goes_on) in [
            ("3@L.5", "id=3@L.5", "entry=4@L.5"),
            ("3@L", "id=3@L.5", "entry=4@L.5"),
            ("3", "id=3@L.5", "entry=4@L.5"),
            ("2@L.3", "id=2@L.3", "entry=3@L.5 entry=4@L.5"),
        ] {
            let mut client = Client::resume(&shown, &long(id)).await;
            assert_eq!(client.brief().await.as_deref(), Some(begins), "{id}");
            assert_eq!(client.brief().await.as_deref(), Some(goes_on), "{id}");
        }
    }
}

#[tokio::test]
async fn a_client_that_comes_back_to_another_log_is_told_from_where() {
    for log in [four(), four().slow()] {
        let shown = Shown::new(log);
        led_by(&shown, 5);
        for (id, from, before) in [
            // Another history.
            ("4@O.5", 1, "0@L.0"),
            ("4@O", 1, "0@L.0"),
            // Another epoch at that place: up to entry 2 epoch 3 was the same.
            ("4@L.3", 3, "2@L.3"),
            // The log is shorter, and its master will not place those any more.
            ("9@L.3", 3, "2@L.3"),
            // Nothing is known of epoch 4: what the client had before that neither.
            ("3@L.4", 1, "0@L.0"),
            // Entries of an epoch that this node has not heard of.
            ("4@L.6", 1, "0@L.0"),
        ] {
            let mut client = Client::resume(&shown, &long(id)).await;
            let begins = format!("{} id={before}", reset(LOG, from));
            assert_eq!(client.brief().await, Some(begins), "{id}");
            let first = client.brief().await.expect("entries");
            assert!(
                first.starts_with(&format!("entry={from}@L")),
                "{id}: {first}"
            );
            drop(client);
            let mut tail = Client::tail(&shown, &long(id)).await;
            assert_eq!(tail.next().await, None, "lines end: {id}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_behind_is_given_time_to_get_there() {
    let shown = Shown::new(two());
    let mut client = Client::resume(&shown, &long("3@L.3")).await;
    assert_eq!(client.next().await.as_deref(), Some(": still here\n\n"));
    shown.replace(TestLog::of(&[&["1", "2", "3", "4"]]), |_| {});
    assert_eq!(client.brief().await.as_deref(), Some("id=3@L.3"));
    assert_eq!(client.brief().await.as_deref(), Some("entry=4@L.3"));
    drop(client);

    let mut client = Client::resume(&shown, &long("7@L.3")).await;
    assert_eq!(client.next().await.as_deref(), Some(": still here\n\n"));
    led_by(&shown, 5);
    let begins = format!("{} id=4@L.3", reset(LOG, 5));
    assert_eq!(client.brief().await, Some(begins));
}

#[tokio::test(start_paused = true)]
async fn a_stream_goes_on_after_a_reset_when_its_log_is_another_one() {
    let shown = Shown::new(four());
    led_by(&shown, 5);
    let mut client = Client::open(&shown, 2).await;
    let begins = client.brief().await;
    assert_eq!(begins.as_deref(), Some("id=1@L.3"));
    assert_eq!(client.brief().await.as_deref(), Some("entry=2@L.3"));
    assert_eq!(
        client.brief().await.as_deref(),
        Some("entry=3@L.5 entry=4@L.5")
    );
    // Rolled back after what the client has.
    shown.change(|s| s.generation += 1);
    let longer = TestLog::of_epochs(&[(3, &["1", "2"]), (5, &["3", "4", "5"])]);
    shown.replace(longer, |_| {});
    assert_eq!(client.brief().await.as_deref(), Some("entry=5@L.5"));
    // Rolled back in the middle of it.
    led_by(&shown, 6);
    let other = TestLog::of_epochs(&[(3, &["1", "2"]), (5, &["3"]), (6, &["x"])]);
    shown.replace(other, |s| s.generation += 1);
    let again = format!("{} id=3@L.5", reset(LOG, 4));
    assert_eq!(client.brief().await, Some(again));
    assert_eq!(client.brief().await.as_deref(), Some("entry=4@L.6"));
    // Further back than the newest epochs that it has seen.
    led_by(&shown, 7);
    shown.replace(TestLog::of_epochs(&[(3, &["1"])]), |s| s.generation += 1);
    let again = format!("{} id=1@L.3", reset(LOG, 2));
    assert_eq!(client.brief().await, Some(again));
    // Cleared.
    shown.replace(TestLog::default(), |s| {
        s.generation += 1;
        s.leadership.as_mut().expect("a history").log_id = OTHER;
    });
    let again = format!("{} id=0@O.0", reset(OTHER, 1));
    assert_eq!(client.brief().await, Some(again));
    shown.replace(two(), |_| {});
    assert_eq!(
        client.brief().await.as_deref(),
        Some("entry=1@O.3 entry=2@O.3")
    );
    shown.stop.cancel();
    assert_eq!(client.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_is_another_one_before_that_is_shown_is_not_read_on() {
    let shown = Shown::new(two());
    let mut client = Client::open(&shown, 1).await;
    assert_eq!(client.brief().await.as_deref(), Some("id=0@L.0"));
    assert_eq!(
        client.brief().await.as_deref(),
        Some("entry=1@L.3 entry=2@L.3")
    );
    // Entry 2 is another one already, and so is what follows it.
    shown.replace(TestLog::of_epochs(&[(3, &["1"]), (4, &["x", "3"])]), |_| {});
    let shows = async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        led_by(&shown, 4);
        shown.change(|s| s.generation += 1);
    };
    let (told, ()) = tokio::join!(client.brief(), shows);
    assert_eq!(told, Some(format!("{} id=1@L.3", reset(LOG, 2))));
    assert_eq!(
        client.brief().await.as_deref(),
        Some("entry=2@L.4 entry=3@L.4")
    );
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_is_filled_again_with_the_same_is_no_other_log() {
    let shown = Shown::new(two());
    let mut client = Client::open(&shown, 1).await;
    assert_eq!(client.brief().await.as_deref(), Some("id=0@L.0"));
    assert_eq!(
        client.brief().await.as_deref(),
        Some("entry=1@L.3 entry=2@L.3")
    );
    let leadership = shown.access().now().snapshot.leadership;
    shown.replace(TestLog::default(), |s| {
        s.generation += 1;
        s.leadership = None;
    });
    assert_eq!(client.next().await.as_deref(), Some(": still here\n\n"));
    shown.change(|s| s.leadership = leadership);
    shown.replace(TestLog::of(&[&["one"]]), |_| {});
    assert_eq!(client.next().await.as_deref(), Some(": still here\n\n"));
    shown.replace(TestLog::of(&[&["one", "two", "three"]]), |_| {});
    assert_eq!(client.brief().await.as_deref(), Some("entry=3@L.3"));
}

#[tokio::test(start_paused = true)]
async fn lines_come_as_entries_do_and_end_with_their_log() {
    let shown = Shown::new(two());
    let headers = [("accept", "application/x-ndjson")];
    let mut tail = Client::ask(&shown, Some(2), None, &headers).await;
    let line = tail.next().await.expect("a line");
    assert!(
        line.starts_with("{\"seq\":2,") && line.ends_with("}\n"),
        "{line}"
    );
    shown.replace(TestLog::of(&[&["one", "two"], &["3", "4"]]), |_| {});
    let lines = tail.next().await.expect("lines");
    let seqs: Vec<&str> = lines.lines().map(|line| &line[..8]).collect();
    assert_eq!(seqs, ["{\"seq\":3", "{\"seq\":4"]);
    shown.replace(TestLog::of_epochs(&[(3, &["one"]), (4, &["2"])]), |s| {
        s.generation += 1;
    });
    led_by(&shown, 4);
    assert_eq!(tail.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_at_once_with_the_program() {
    let large = "x".repeat(100_000);
    let shown = Shown::new(TestLog::of(&[&[&large], &[&large], &[&large]]));
    let mut client = Client::open(&shown, 1).await;
    assert_eq!(client.brief().await.as_deref(), Some("id=0@L.0"));
    assert_eq!(client.brief().await.as_deref(), Some("entry=1@L.3"));
    shown.stop.cancel();
    assert_eq!(client.next().await, None, "whatever there is still to send");
}

#[tokio::test(start_paused = true)]
async fn a_node_without_a_history_takes_its_first_one() {
    for (resumes, begins) in [
        (None, "id=0@L.0".to_owned()),
        (Some("1@L.3"), "id=1@L.3".to_owned()),
        (Some("1@O.3"), format!("{} id=0@L.0", reset(LOG, 1))),
    ] {
        let shown = Shown::new(TestLog::default());
        let leadership = shown.access().now().snapshot.leadership;
        shown.change(|s| s.leadership = None);
        let mut client = match resumes {
            None => Client::open(&shown, 1).await,
            Some(id) => Client::resume(&shown, &long(id)).await,
        };
        assert_eq!(client.next().await.as_deref(), Some(": still here\n\n"));
        shown.replace(two(), |s| {
            s.leadership = leadership;
            s.generation += 1;
        });
        assert_eq!(client.brief().await, Some(begins));
        let entries = client.brief().await.expect("entries");
        assert!(entries.ends_with("entry=2@L.3"), "{entries}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_is_committed_is_sent_to_who_asks_for_that() {
    let shown = Shown::new(two());
    let all = |seq| Committed::new([], Seq::ZERO, Seq(seq));
    let mut client = Client::ask(&shown, None, Some("all"), &[]).await;
    assert_eq!(client.brief().await.as_deref(), Some("id=0@L.0"));
    assert_eq!(client.next().await.as_deref(), Some(": still here\n\n"));
    // The node's task stores what it knows when it is asked to, and only then.
    let mut store = async |seq, expected: Option<&str>| {
        shown.change(|s| s.committed_soon = all(seq));
        let asked = async {
            shown.wants_committed.notified().await;
            shown.change(|s| s.committed = s.committed_soon.clone());
        };
        let ((), entries) = tokio::join!(asked, client.brief());
        assert_eq!(entries.as_deref(), expected);
    };
    store(1, Some("entry=1@L.3")).await;
    store(2, Some("entry=2@L.3")).await;
}

#[tokio::test]
async fn damage_is_said_before_a_stream_begins() {
    let shown = Shown::new(four().damaged(3));
    let resumed = async |id: &str| {
        let headers = map(&[("last-event-id", long(id).as_str())]);
        events(shown.access(), StreamParameters::default(), &headers).await
    };
    let problem = resumed("3@L.5").await.expect_err("it cannot be compared");
    assert_eq!(problem.reason(), "damaged");
    let mut client = Client::resume(&shown, "3").await;
    assert_eq!(client.brief().await.as_deref(), Some("id=3@L"));
    assert_eq!(client.brief().await.as_deref(), Some("entry=4@L.5"));
}

#[tokio::test]
async fn no_more_streams_than_there_may_be() {
    let shown = Shown::new(two());
    let access = shown.access();
    let open = async |access| events(access, StreamParameters::default(), &HeaderMap::new()).await;
    let first = open(access.clone()).await.expect("room for one");
    let problem = open(access.clone()).await.expect_err("no room for two");
    assert_eq!(problem.status(), 503);
    assert_eq!(problem.reason(), "too_many_streams");
    drop(first);
    assert!(open(access).await.is_ok());
}

#[tokio::test]
async fn what_is_no_id_or_no_form_is_refused() {
    let shown = Shown::new(two());
    let ask = async |name, value: &str| {
        let headers = map(&[(name, value)]);
        let answer = events(shown.access(), StreamParameters::default(), &headers).await;
        answer
            .map(|_| ())
            .map_err(|problem| problem.status().as_u16())
    };
    for wrong in ["-1", "x", "1.5", "7@", "7@x.3"] {
        assert_eq!(ask("last-event-id", wrong).await, Err(400), "{wrong}");
    }
    assert_eq!(ask("last-event-id", "").await, Ok(()));
    let mut twice = map(&[("last-event-id", "1")]);
    twice.append("last-event-id", "1".parse().unwrap());
    let answer = events(shown.access(), StreamParameters::default(), &twice).await;
    assert_eq!(answer.map(|_| ()).unwrap_err().status(), 400);
    for (accept, expected) in [
        ("text/event-stream", Ok(())),
        ("*/*", Ok(())),
        ("application/x-ndjson", Ok(())),
        ("application/json", Err(406)),
    ] {
        assert_eq!(ask("accept", accept).await, expected, "{accept}");
    }
}

#[tokio::test]
async fn the_header_names_the_history() {
    let shown = Shown::new(two());
    let theirs = LogId(uuid::Uuid::from_u128(9));
    shown.change(|s| s.diverged_from = Some(theirs));
    let response = events(
        shown.access(),
        StreamParameters::default(),
        &HeaderMap::new(),
    )
    .await;
    let response = response.expect("a stream");
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["replog-log-id"], &*LOG.to_string());
    let from = &response.headers()["replog-diverged-from"];
    assert_eq!(from, &*theirs.to_string());
}
