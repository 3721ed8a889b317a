//! `GET /messages/stream`, as a reader of it sees it.

use std::sync::Arc;

use axum::body::Body;
use axum::http::HeaderMap;
use futures_util::{FutureExt, StreamExt};
use replog_common::log::contract::entry;
use replog_common::log::{LogStore, MemoryLog};
use replog_common::service::query::Query;
use replog_common::service::stream::events;
use replog_common::service::view::View;
use replog_common::types::Seq;
use tokio::sync::watch;

/// A log of so many entries, shown.
fn view(last: u64) -> View {
    let log = MemoryLog::new();
    let entries: Vec<_> = (1..=last).map(|seq| entry(seq, 1)).collect();
    log.append(&entries).expect("in order");
    View {
        log: Arc::new(log),
        last_seq: Seq(last),
        ..View::empty()
    }
}

/// The answer to one who has seen everything up to `seen`.
async fn after(views: &watch::Sender<View>, seen: &str) -> Body {
    let mut headers = HeaderMap::new();
    headers.insert("last-event-id", seen.parse().expect("a number"));
    let answer = events(views.subscribe(), &Query::default(), &headers).await;
    answer.expect("a stream").into_body()
}

#[tokio::test]
async fn beyond_the_end_it_waits_for_what_comes() {
    let (views, _) = watch::channel(view(2));
    let mut lines = after(&views, "9").await.into_data_stream();
    assert!(lines.next().now_or_never().is_none(), "nothing to say");
    views.send_replace(view(10));
    let line = lines.next().await.expect("a piece").expect("read");
    assert!(line.starts_with(b"event: message\nid: 10\n"), "{line:?}");
}

#[tokio::test]
async fn it_ends_where_the_end_of_the_log_was_put_aside() {
    let (views, _) = watch::channel(view(3));
    let mut lines = after(&views, "1").await.into_data_stream();
    let line = lines.next().await.expect("a piece").expect("read");
    assert!(line.starts_with(b"event: message\nid: 2\n"), "{line:?}");
    views.send_replace(view(2));
    let end = lines.next().now_or_never();
    assert!(matches!(end, Some(None)), "{end:?}");
}
