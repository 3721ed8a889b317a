use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;
use crate::http::body::read;
use crate::http::fallbacks::with_problem_fallbacks;
use crate::http::problem::Problem;

/// Longer than anything here takes; what runs into it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Notified when a handler begins, and when it is dropped; and what lets it go on.
#[derive(Clone, Default)]
struct Blocked {
    begun: Arc<Notify>,
    dropped: Arc<Notify>,
    go_on: Arc<Notify>,
}

struct OnDrop(Arc<Notify>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

struct Server {
    addr: std::net::SocketAddr,
    stop: CancellationToken,
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
            .route("/echo", post(echo))
            .route("/panic", get(panics))
            .route("/endless", get(endless))
            .route("/blocked", get(move || blocks(signals.clone())));
        let stop = CancellationToken::new();
        let router = with_problem_fallbacks(router);
        let task = tokio::spawn(serve(listener, router, limits, stop.clone()));
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

    /// A client that has sent that text.
    async fn sent(&self, text: &str) -> TcpStream {
        let mut stream = self.client().await;
        stream.write_all(text.as_bytes()).await.expect("sent");
        stream
    }

    /// Sends the text on a new connection and returns all that comes back until it is closed.
    async fn ask(&self, text: &str) -> String {
        rest(&mut self.sent(text).await).await
    }
}

async fn echo(headers: HeaderMap, body: Body) -> Result<Vec<u8>, Problem> {
    Ok(read(&headers, body).await?.to_vec())
}

async fn panics() {
    panic!("on purpose")
}

async fn endless() -> Body {
    let piece = [7; 64 << 10];
    let piece = axum::body::Bytes::copy_from_slice(&piece);
    let pieces = futures_util::stream::repeat_with(move || Ok::<_, io::Error>(piece.clone()));
    Body::from_stream(pieces)
}

async fn blocks(signals: Blocked) -> &'static str {
    let _dropped = OnDrop(signals.dropped);
    signals.begun.notify_one();
    signals.go_on.notified().await;
    "went on"
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

/// Reads up to the end of the body "hello".
async fn hello(stream: &mut TcpStream) {
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello") {
        within(stream.read_buf(&mut answer))
            .await
            .expect("answered");
    }
}

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
const GET_AND_STAY: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const BLOCKED: &str = "GET /blocked HTTP/1.1\r\nHost: x\r\n\r\n";
const SHORT: Duration = Duration::from_millis(250);

#[tokio::test]
async fn a_panic_is_500_and_nothing_worse() {
    let server = Server::start(HttpLimits::default()).await;
    let text = "GET /panic HTTP/1.1\r\nHost: x\r\n\r\nGET /panic HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert_eq!(server.ask(text).await.matches("HTTP/1.1 500").count(), 2);
    assert!(server.ask(GET).await.ends_with("hello"));
}

#[tokio::test]
async fn a_client_that_hangs_up_drops_its_handler() {
    let server = Server::start(HttpLimits::default()).await;
    let client = server.sent(BLOCKED).await;
    within(server.blocked.begun.notified()).await;
    drop(client);
    within(server.blocked.dropped.notified()).await;
}

/// Also with more behind its request, which is not read before the request is answered.
#[tokio::test]
async fn a_client_that_hangs_up_with_more_sent_is_noticed_too() {
    for more in [1, 100, 30_000] {
        let server = Server::start(HttpLimits {
            header_timeout: SHORT,
            ..HttpLimits::default()
        })
        .await;
        let mut client = server.sent(BLOCKED).await;
        within(server.blocked.begun.notified()).await;
        client.write_all(&vec![b'G'; more]).await.expect("sent");
        drop(client);
        within(server.blocked.dropped.notified()).await;
    }
}

#[tokio::test]
async fn a_stop_closes_idle_connections_and_waits_for_the_others_only_so_long() {
    let server = Server::start(HttpLimits {
        shutdown_grace: SHORT,
        ..HttpLimits::default()
    })
    .await;
    let mut idle = server.sent(GET_AND_STAY).await;
    hello(&mut idle).await;
    let _busy = server.sent(BLOCKED).await;
    within(server.blocked.begun.notified()).await;

    let asked = Instant::now();
    server.stop.cancel();
    assert_eq!(rest(&mut idle).await, "");
    within(server.task).await.expect("no panic");
    assert!(asked.elapsed() >= SHORT, "the busy one was not waited for");
    within(server.blocked.dropped.notified()).await;
    let refused = TcpStream::connect(server.addr).await;
    assert!(refused.is_err(), "still listening");
}

#[tokio::test]
async fn a_stop_lets_a_request_finish_and_takes_no_longer() {
    let server = Server::start(HttpLimits {
        shutdown_grace: PATIENCE * 2,
        header_timeout: PATIENCE * 2,
        ..HttpLimits::default()
    })
    .await;
    let silent = server.client().await;
    let mut busy = server.sent(BLOCKED).await;
    within(server.blocked.begun.notified()).await;
    server.stop.cancel();
    server.blocked.go_on.notify_one();
    let answer = rest(&mut busy).await;
    assert!(answer.ends_with("went on"), "{answer}");
    within(server.task).await.expect("no panic");
    drop(silent);
}

#[tokio::test]
async fn silent_and_slow_clients_are_cut_after_the_header_timeout() {
    let server = Server::start(HttpLimits {
        header_timeout: SHORT,
        ..HttpLimits::default()
    })
    .await;
    let begun = Instant::now();
    // Who has sent nothing may have opened the connection for later: nothing is said that could be taken for an answer.
    let mut silent = server.client().await;
    let mut answer = Vec::new();
    let _ = within(silent.read_to_end(&mut answer)).await;
    assert!(answer.is_empty());
    let is_late = |answer: &str| {
        answer.starts_with("HTTP/1.1 408 Request Timeout\r\n")
            && answer.contains("\r\ncontent-type: application/problem+json\r\n")
            && answer.ends_with("\"reason\":\"request_timeout\"}\n")
    };
    let answer = server.ask("GET / HTTP/1.1\r\nHo").await;
    assert!(is_late(&answer), "{answer}");
    // Also where the slow request is the second one.
    let mut client = server.sent(GET_AND_STAY).await;
    hello(&mut client).await;
    client.write_all(b"GET / HTT").await.expect("sent");
    let answer = rest(&mut client).await;
    assert!(is_late(&answer), "{answer}");
    assert!(begun.elapsed() >= 3 * SHORT);
}

#[tokio::test]
async fn idle_connections_stay_for_the_idle_timeout() {
    let server = Server::start(HttpLimits {
        header_timeout: SHORT,
        idle_timeout: SHORT * 3,
        ..HttpLimits::default()
    })
    .await;
    let mut client = server.sent(GET_AND_STAY).await;
    hello(&mut client).await;
    let idle = Instant::now();
    let early = tokio::time::timeout(SHORT * 2, client.read(&mut [0])).await;
    assert!(early.is_err(), "closed as if it were slow");
    client
        .write_all(GET_AND_STAY.as_bytes())
        .await
        .expect("sent");
    hello(&mut client).await;
    let _ = within(client.read(&mut [0])).await;
    assert!(idle.elapsed() >= SHORT * 5, "the second pause counts anew");
}

#[tokio::test]
async fn a_request_that_waits_is_not_cut() {
    let server = Server::start(HttpLimits {
        header_timeout: SHORT,
        idle_timeout: SHORT,
        body_timeout: SHORT,
        write_timeout: SHORT,
        ..HttpLimits::default()
    })
    .await;
    let mut client = server.sent(BLOCKED).await;
    within(server.blocked.begun.notified()).await;
    let early = tokio::time::timeout(SHORT * 3, client.read(&mut [0])).await;
    assert!(early.is_err(), "cut while it waited");
    server.blocked.go_on.notify_one();
    let mut answer = Vec::new();
    while !answer.ends_with(b"went on") {
        within(client.read_buf(&mut answer))
            .await
            .expect("answered");
    }
}

/// CASES A3.
#[tokio::test]
async fn clients_that_do_not_read_make_room_for_others() {
    let server = Server::start(HttpLimits {
        max_connections: 3,
        write_timeout: SHORT,
        ..HttpLimits::default()
    })
    .await;
    let mut deaf = Vec::new();
    for _ in 0..3 {
        deaf.push(
            server
                .sent("GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
                .await,
        );
    }
    assert!(server.ask(GET).await.ends_with("hello"));
    // Who reads on, slowly, stays.
    let mut slow = server
        .sent("GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    let begun = Instant::now();
    let mut some = vec![0; 1 << 20];
    while begun.elapsed() < SHORT * 4 {
        within(slow.read_exact(&mut some)).await.expect("not cut");
        tokio::time::sleep(SHORT / 10).await;
    }
}

#[tokio::test]
async fn large_headers_are_431() {
    let limits = HttpLimits {
        max_header_bytes: 16 * 1024,
        ..HttpLimits::default()
    };
    let server = Server::start(limits).await;
    let headers = |bytes| {
        let long = "x".repeat(bytes);
        format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: {long}\r\n\r\n")
    };
    let status = async |text: String| server.ask(&text).await.chars().take(12).collect::<String>();
    assert_eq!(status(headers(15_000)).await, "HTTP/1.1 200");
    for bytes in [17_000, 200_000] {
        assert_eq!(status(headers(bytes)).await, "HTTP/1.1 431");
    }
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(101));
    assert_eq!(status(many).await, "HTTP/1.1 431");
}

#[tokio::test]
async fn bodies_are_bounded_in_size_and_time() {
    let server = Server::start(HttpLimits {
        max_body_bytes: 1024,
        ..HttpLimits::default()
    })
    .await;
    let sized = |declared, body: &str| {
        format!(
            "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {declared}\r\n\r\n{body}"
        )
    };
    let answer = server.ask(&sized(5, "hello")).await;
    assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
    // Also while the client still sends.
    let answer = server.ask(&sized(3_000_000, &"x".repeat(3_000_000))).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let is_problem = answer.contains("application/problem+json") && answer.contains("1024 bytes");
    assert!(is_problem, "{answer}");
    let chunk = format!("800\r\n{}\r\n", "x".repeat(0x800));
    let chunked = "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    let answer = server.ask(&format!("{chunked}{chunk}")).await;
    assert!(
        answer.starts_with("HTTP/1.1 413") && answer.contains("problem+json"),
        "{answer}"
    );
    let server = Server::start(HttpLimits {
        body_timeout: SHORT,
        ..HttpLimits::default()
    })
    .await;
    let answer = server.ask(&sized(7, "hel")).await;
    assert!(
        answer.starts_with("HTTP/1.1 408") && answer.contains("problem+json"),
        "{answer}"
    );
}

#[tokio::test]
async fn connections_above_the_cap_wait_until_one_ends() {
    let server = Server::start(HttpLimits {
        max_connections: 1,
        ..HttpLimits::default()
    })
    .await;
    let first = server.sent(BLOCKED).await;
    within(server.blocked.begun.notified()).await;
    let mut second = server.sent(GET).await;
    let early = tokio::time::timeout(SHORT, second.read(&mut [0])).await;
    assert!(early.is_err(), "answered above the cap");
    drop(first);
    assert!(rest(&mut second).await.ends_with("hello"));
}

#[tokio::test]
async fn more_connections_than_an_address_may_have_are_429() {
    let server = Server::start(HttpLimits {
        max_connections_per_address: Some(2),
        ..HttpLimits::default()
    })
    .await;
    let (mut one, mut two) = (
        server.sent(GET_AND_STAY).await,
        server.sent(GET_AND_STAY).await,
    );
    hello(&mut one).await;
    hello(&mut two).await;
    let refused = server.ask(GET).await;
    assert!(refused.starts_with("HTTP/1.1 429"), "{refused}");
    assert!(refused.contains(r#""reason":"too_many_connections""#));
    // Who sends nothing is not waited for as long as others are.
    let mut silent = server.client().await;
    let ended = within(silent.read(&mut [0])).await;
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    drop(one);
    let again = async { while !server.ask(GET).await.ends_with("hello") {} };
    within(again).await;
}

/// Of several things that are wrong the first one is told: who asks, then what for, then how much it is.
#[tokio::test]
async fn whether_a_request_may_be_made_is_looked_at_first() {
    let server = Server::start(HttpLimits {
        max_body_bytes: 1024,
        ..HttpLimits::default()
    })
    .await;
    for (request, headers, status) in [
        ("POST /echo", "", "400"),
        ("POST /echo", "Host: x\r\nHost: x\r\n", "400"),
        (
            "POST /echo",
            "Host: evil.example\r\nOrigin: null\r\n",
            "421",
        ),
        ("POST /echo", "Host: x\r\nOrigin: null\r\n", "403"),
        ("POST /nothing", "Host: x\r\n", "404"),
        ("PUT /echo", "Host: x\r\n", "405"),
        ("POST /echo", "Host: x\r\nContent-Encoding: br\r\n", "415"),
        ("POST /echo", "Host: x\r\n", "413"),
    ] {
        let request = format!(
            "{request} HTTP/1.1\r\n{headers}Content-Length: 5000\r\nConnection: close\r\n\r\n"
        );
        let answer = server.ask(&request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request}: {answer}"
        );
        assert!(answer.contains("problem+json"), "{answer}");
    }
}

#[tokio::test]
async fn every_answer_has_the_id_of_its_request_and_says_nothing_of_the_server() {
    let server = Server::start(HttpLimits {
        max_body_bytes: 10,
        ..HttpLimits::default()
    })
    .await;
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: x\r\n", "200"),
        ("GET / HTTP/1.1\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: evil.example\r\n", "421"),
        ("GET /nothing HTTP/1.1\r\nHost: x\r\n", "404"),
        ("GET /panic HTTP/1.1\r\nHost: x\r\n", "500"),
        (
            "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n",
            "413",
        ),
    ] {
        let request = format!("{request}Connection: close\r\nX-Request-Id: a/1\r\n\r\n");
        let answer = server.ask(&request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
        let ids = answer.matches("\r\nx-request-id: a/1\r\n").count();
        assert_eq!(ids, 1, "{answer}");
        assert!(!answer.contains("\r\nserver:"), "{answer}");
    }
    let mut client = server.sent(&[GET_AND_STAY, GET].concat()).await;
    let answers = rest(&mut client).await;
    let made = answers
        .lines()
        .filter(|line| line.starts_with("x-request-id: "));
    let made: std::collections::BTreeSet<&str> = made.collect();
    assert_eq!(made.len(), 2, "{answers}");
}
