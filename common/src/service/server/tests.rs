use std::sync::Arc;
use std::time::Instant;

use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use super::*;
use crate::service::body::JsonBody;
use crate::service::fallbacks::with_problem_fallbacks;

mod life;
mod limits;

/// Longer than anything here takes; what runs into it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Told when a handler begins, and when it is dropped.
#[derive(Clone, Default)]
struct Blocked {
    begun: Arc<Notify>,
    dropped: Arc<Notify>,
}

struct OnDrop(Arc<Notify>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

struct Server {
    addr: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    blocked: Blocked,
}

impl Server {
    async fn start(limits: HttpLimits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("a bound port");
        let blocked = Blocked::default();
        let signals = blocked.clone();
        let router = Router::new()
            .route("/", get(|| async { "hello" }))
            .route(
                "/echo",
                post(|JsonBody(v): JsonBody<String>| async move { v }),
            )
            .route("/raw", post(|body: String| async move { body }))
            .route("/panic", get(panics))
            .route("/blocked", get(move || blocks(signals.clone())));
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move { drop(stopped.await) };
        let task = tokio::spawn(serve(
            listener,
            with_problem_fallbacks(router),
            limits,
            shutdown,
        ));
        Self {
            addr,
            stop,
            task,
            blocked,
        }
    }

    async fn client(&self) -> TcpStream {
        TcpStream::connect(self.addr)
            .await
            .expect("the server listens")
    }

    /// Sends the text on a new connection and returns all that comes back until it is closed.
    async fn ask(&self, text: &str) -> String {
        let mut stream = self.client().await;
        stream
            .write_all(text.as_bytes())
            .await
            .expect("the server reads");
        rest(&mut stream).await
    }
}

async fn panics() {
    panic!("on purpose")
}

async fn blocks(signals: Blocked) {
    let _dropped = OnDrop(signals.dropped);
    signals.begun.notify_one();
    std::future::pending().await
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("in time")
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    within(stream.read_to_end(&mut answer))
        .await
        .expect("an end without a reset");
    String::from_utf8(answer).expect("text")
}

fn short() -> HttpLimits {
    let short = Duration::from_millis(250);
    HttpLimits {
        header_timeout: short,
        body_timeout: short,
        shutdown_grace: short,
        ..HttpLimits::default()
    }
}

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
