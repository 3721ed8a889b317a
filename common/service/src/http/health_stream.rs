//! `GET /health/stream`: the health of a node as server-sent events, whole at first, then whole again at each change.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use super::accept::{self, Form};
use super::access::{LogAccess, StreamPermit};
use super::problem::Problem;
use super::stream::BUFFERING;

/// The health is looked at that often, at most, however many streams are open: so soon a change is seen.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// What has not changed is sent again after that time: two seconds are promised.
const SEND_EVERY: Duration = Duration::from_millis(1500);
/// Fields that change with every look, and mean no change.
const AGES: [&str; 2] = ["last_seen_ms", "master_last_seen_ms"];

/// The health of a node as all streams see it.
#[derive(Debug, Default)]
pub struct HealthFeed(Mutex<Option<Look>>);

/// The health at one moment.
#[derive(Clone, Debug)]
struct Look {
    at: Instant,
    /// As it is sent.
    event: Bytes,
    /// The same without ages.
    compared: Arc<Value>,
}

/// One client that watches.
struct Watcher<R> {
    access: LogAccess,
    feed: Arc<HealthFeed>,
    read: R,
    sent: Option<(Look, Instant)>,
    _permit: StreamPermit,
}

/// What `read` reads of the node's health, as an answer that ends when the program does.
///
/// # Errors
/// 406 where the client takes no server-sent events, 503 where as many streams are open as there may be; and what `read` is refused
/// with at first.
pub async fn events<R, F, H>(
    access: LogAccess,
    feed: Arc<HealthFeed>,
    headers: &HeaderMap,
    read: R,
) -> Result<Response, Problem>
where
    R: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = Result<H, Problem>> + Send,
    H: Serialize,
{
    let form = accept::form(headers, &[Form::Events])?;
    let permit = access.stream_permit()?;
    let first = feed.look(&read).await?;
    let mut watcher = Watcher {
        access,
        feed,
        read,
        sent: None,
        _permit: permit,
    };
    let first = watcher.send(first);
    let first = stream::once(std::future::ready(Ok::<_, io::Error>(first)));
    let rest = stream::unfold(watcher, |mut watcher| async move {
        let event = watcher.next().await?;
        Some((Ok(event), watcher))
    });
    let headers = [
        (CONTENT_TYPE, form.header()),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (BUFFERING, HeaderValue::from_static("no")),
    ];
    let events = futures_util::StreamExt::chain(first, rest);
    Ok((headers, Body::from_stream(events)).into_response())
}

impl HealthFeed {
    /// The health by now: another stream may have looked just before.
    async fn look<R, F, H>(&self, read: &R) -> Result<Look, Problem>
    where
        R: Fn() -> F,
        F: Future<Output = Result<H, Problem>>,
        H: Serialize,
    {
        let mut newest = self.0.lock().await;
        if let Some(look) = newest.as_ref()
            && look.at.elapsed() < LOOK_EVERY
        {
            return Ok(look.clone());
        }
        let look = Look::of(&read().await?)?;
        *newest = Some(look.clone());
        Ok(look)
    }
}

impl Look {
    fn of(health: &impl Serialize) -> Result<Self, Problem> {
        let failed = |error: serde_json::Error| Problem::internal(error.to_string());
        let text = serde_json::to_string(health).map_err(failed)?;
        let mut compared = serde_json::from_str(&text).map_err(failed)?;
        take_out_ages(&mut compared);
        Ok(Self {
            at: Instant::now(),
            event: format!("event: health\ndata: {text}\n\n").into(),
            compared: Arc::new(compared),
        })
    }
}

fn take_out_ages(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !AGES.contains(&name.as_str()));
            fields.values_mut().for_each(take_out_ages);
        }
        Value::Array(elements) => elements.iter_mut().for_each(take_out_ages),
        _ => {}
    }
}

impl<R, F, H> Watcher<R>
where
    R: Fn() -> F,
    F: Future<Output = Result<H, Problem>>,
    H: Serialize,
{
    /// The next event; `None` when the program stops.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let look = async {
                sleep(LOOK_EVERY).await;
                self.feed.look(&self.read).await.ok()
            };
            let look = tokio::select! {
                biased;
                () = self.access.stopping() => None,
                look = look => look,
            }?;
            if self.is_news(&look) {
                return Some(self.send(look));
            }
        }
    }

    fn is_news(&self, look: &Look) -> bool {
        self.sent
            .as_ref()
            .is_none_or(|(sent, at)| sent.compared != look.compared || at.elapsed() >= SEND_EVERY)
    }
}

impl<R> Watcher<R> {
    fn send(&mut self, look: Look) -> Bytes {
        let event = look.event.clone();
        self.sent = Some((look, Instant::now()));
        event
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use http_body_util::BodyExt;
    use serde_json::json;

    use super::*;
    use crate::http::test_log::{Shown, TestLog};

    /// A node whose health is a number and an age.
    #[derive(Clone, Default)]
    struct TestNode(Arc<(AtomicU64, AtomicU64)>);

    impl TestNode {
        fn change(&self) {
            self.0.0.fetch_add(1, Ordering::Relaxed);
        }

        fn looks(&self) -> u64 {
            self.0.1.load(Ordering::Relaxed)
        }

        async fn health(self) -> Result<Value, Problem> {
            let (number, looks) = &*self.0;
            let age = looks.fetch_add(1, Ordering::Relaxed);
            let number = number.load(Ordering::Relaxed);
            Ok(json!({"number": number, "members": [{"id": "a", "last_seen_ms": age}]}))
        }

        async fn watch(&self, access: LogAccess, feed: &Arc<HealthFeed>) -> Result<Body, Problem> {
            let node = self.clone();
            let read = move || node.clone().health();
            let answer = events(access, Arc::clone(feed), &HeaderMap::new(), read).await?;
            assert_eq!(answer.headers()[CONTENT_TYPE], "text/event-stream");
            Ok(answer.into_body())
        }
    }

    /// The number of the next event; `None` at the end.
    async fn next(body: &mut Body) -> Option<u64> {
        let data = body.frame().await?.unwrap().into_data().unwrap();
        let text = std::str::from_utf8(&data).unwrap();
        let json = text.strip_prefix("event: health\ndata: ").unwrap();
        let health: Value = serde_json::from_str(json.strip_suffix("\n\n").unwrap()).unwrap();
        assert!(health["members"][0]["last_seen_ms"].is_u64(), "{health}");
        health["number"].as_u64()
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_sent_whole_at_first_at_each_change_and_every_two_seconds() {
        let (shown, node) = (Shown::new(TestLog::default()), TestNode::default());
        let feed = Arc::default();
        let mut body = node.watch(shown.access(), &feed).await.unwrap();
        let began = Instant::now();
        assert_eq!(next(&mut body).await, Some(0));
        assert_eq!(began.elapsed(), Duration::ZERO);
        for _ in 0..3 {
            let before = Instant::now();
            assert_eq!(next(&mut body).await, Some(0));
            let took = before.elapsed();
            let second = Duration::from_secs(1);
            assert!(
                took > second && took < 2 * second,
                "{took:?}: an age is no change"
            );
        }
        node.change();
        let before = Instant::now();
        assert_eq!(next(&mut body).await, Some(1));
        assert!(before.elapsed() <= 2 * LOOK_EVERY, "{:?}", before.elapsed());
        let before = Instant::now();
        shown.stop.cancel();
        assert_eq!(next(&mut body).await, None);
        assert_eq!(before.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn many_streams_look_as_often_as_one() {
        let (shown, node) = (Shown::new(TestLog::default()), TestNode::default());
        let feed = Arc::default();
        let mut bodies = Vec::new();
        for _ in 0..50 {
            bodies.push(node.watch(shown.access(), &feed).await.unwrap());
        }
        let began = Instant::now();
        for body in &mut bodies {
            assert_eq!(next(body).await, Some(0));
        }
        let all = bodies.iter_mut().map(next);
        futures_util::future::join_all(all).await;
        let took = began.elapsed().as_millis() / LOOK_EVERY.as_millis();
        let looks = u128::from(node.looks());
        assert!(
            looks <= took + 1,
            "{looks} looks in {took} tenths of a second"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn streams_of_health_are_among_the_streams_that_there_may_be() {
        let (shown, node) = (Shown::new(TestLog::default()), TestNode::default());
        let (access, feed) = (shown.access(), Arc::default());
        let first = node.watch(access.clone(), &feed).await.unwrap();
        let refused = node.watch(access.clone(), &feed).await.unwrap_err();
        assert_eq!(refused.status(), 503);
        drop(first);
        let _open = node.watch(access, &feed).await.unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("accept", HeaderValue::from_static("application/json"));
        let read = move || node.clone().health();
        let refused = events(shown.access(), feed, &headers, read).await;
        assert_eq!(refused.unwrap_err().status(), 406);
    }
}
