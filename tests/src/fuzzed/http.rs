//! Requests, to a master and to a secondary that each have a few entries: as in a `.http` file, with a line `###` between them.
//!
//! ```text
//! POST /messages?w=1
//! idempotency-key: a1
//!
//! {"content":"hello"}
//! ###
//! GET /messages/stream?from=2
//! last-event-id: 1
//! ```
//! A header `x-pieces: 7` is for the script: the body comes in pieces of seven bytes.

mod node;

use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, Method, Request};
use serde_json::Value;

use node::{Answer, World};

/// How `/readyz?verbose` answers.
const REPORT: &str = "text/plain; charset=utf-8";
/// So many requests of a script are made.
const MAX_REQUESTS: usize = 8;
/// The most bytes of a refusal: what was sent is not sent back at length.
const MAX_REFUSAL_BYTES: usize = 4096;
/// A node answers so many scripts before it is made anew: the bound on what they leave behind.
const MAX_SCRIPTS: usize = 200;
/// Nobody waits longer; virtual time.
const PATIENCE: Duration = Duration::from_secs(40);

thread_local! {
    /// The nodes, and how many scripts they have answered. With their thread they are left as they are: a runtime is not to be
    /// ended from there.
    static WORLD: RefCell<ManuallyDrop<Option<(World, usize)>>> =
        const { RefCell::new(ManuallyDrop::new(None)) };
}

/// Makes the requests, and looks at the answers.
///
/// # Panics
/// Where an answer is none that there may be, or a refusal has changed something.
pub fn run(bytes: &[u8]) {
    WORLD.with_borrow_mut(|kept| {
        // Kept only if all goes well: what comes after a failure is not to be blamed on it.
        let (mut world, scripts) = kept.take().unwrap_or_else(|| (World::start(), 0));
        world.begin();
        for part in super::parts(bytes, "###").take(MAX_REQUESTS) {
            for is_master in [true, false] {
                if let Some(request) = request(part) {
                    asked(&mut world, is_master, request);
                }
            }
        }
        world.end();
        **kept = (scripts < MAX_SCRIPTS).then_some((world, scripts + 1));
    });
}

/// The request that a part of a script is; `None` for what no server would hand on.
fn request(part: &[u8]) -> Option<Request<Body>> {
    let (head, body) = match memchr::memmem::find(part, b"\n\n") {
        Some(at) => (&part[..at], &part[at + 2..]),
        None => (part, &b""[..]),
    };
    let mut lines = head.split(|b| *b == b'\n');
    let first = std::str::from_utf8(lines.next()?).ok()?;
    let (method, target) = first.split_once(' ')?;
    let method: Method = method.parse().ok()?;
    if method == Method::CONNECT {
        return None;
    }
    let mut request = Request::builder().method(method).uri(target);
    let mut pieces = None;
    for line in lines {
        let at = memchr::memchr(b':', line)?;
        let value = line[at + 1..].trim_ascii();
        if line[..at].eq_ignore_ascii_case(b"x-pieces") {
            pieces = std::str::from_utf8(value).ok()?.parse::<usize>().ok();
            continue;
        }
        let name = HeaderName::from_bytes(&line[..at]).ok()?;
        request = request.header(name, HeaderValue::from_bytes(value).ok()?);
    }
    let body = match pieces {
        Some(bytes) => {
            let pieces = body.chunks(bytes.max(1)).map(Bytes::copy_from_slice);
            let pieces: Vec<_> = pieces.map(Ok::<_, std::io::Error>).collect();
            Body::from_stream(futures_util::stream::iter(pieces))
        }
        None => Body::from(body.to_vec()),
    };
    request.body(body).ok()
}

fn asked(world: &mut World, is_master: bool, request: Request<Body>) {
    let what = format!("{} {}", request.method(), request.uri());
    let is_get = request.method() == Method::GET;
    let is_head = request.method() == Method::HEAD;
    let changes = !matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    let before = world.shown(is_master);
    let answer = world.ask(is_master, request);
    let after = world.shown(is_master);
    let Some(answer) = answer else {
        // It waits as long as it takes: an append of which more nodes are to hold the entry than there are, or a stream.
        assert!(changes || before == after, "{what}");
        return;
    };
    let Answer { status, kind, body } = &answer;
    let shown = String::from_utf8_lossy(&body[..body.len().min(600)]);
    let problem: Option<Value> = match kind.as_deref() {
        Some("application/problem+json") if !is_head => {
            Some(serde_json::from_slice(body).expect("JSON"))
        }
        _ => None,
    };
    match status {
        200..=299 => {}
        304 => assert_eq!(before, after),
        400..=499 | 503 | 504 => {
            assert!(
                body.len() <= MAX_REFUSAL_BYTES,
                "{what}: {} bytes",
                body.len()
            );
            assert!(is_head || body.ends_with(b"\n"), "{what}: {shown}");
            // What is checked, line by line, is for people.
            let is_report = what.contains("/readyz") && kind.as_deref() == Some(REPORT);
            if !is_head && kind.is_some() && !is_report {
                let problem = problem.as_ref().expect("problem details");
                assert_eq!(problem["status"], *status, "{what}");
                assert!(problem["detail"].is_string() && problem["reason"].is_string());
            }
        }
        _ => panic!("{what} is answered {status}: {shown}"),
    }
    if !changes {
        assert_eq!(before, after, "{what} has changed the log");
    } else if (400..=499).contains(status) || *status == 503 {
        // A load stays as far as it came, and says so.
        let appended = problem.as_ref().and_then(|p| p["appended"].as_u64());
        let more = after.last_seq - before.last_seq.min(after.last_seq);
        assert_eq!(more, appended.unwrap_or(0), "{what}: {shown}");
        assert_eq!(before.log_id, after.log_id, "{what}: {shown}");
    }
    if kind.as_deref() == Some("application/json") && is_get {
        let read = serde_json::from_slice::<Value>(body);
        assert!(read.is_ok(), "{what}: {shown}");
    }
    if *status == 200 && is_master && what.starts_with("POST /messages") {
        let told: Value = serde_json::from_slice(body).expect("JSON");
        if let (Some(seq), Some(content)) = (told["seq"].as_u64(), told["content"].as_str()) {
            assert_eq!(
                world.content(seq).as_deref(),
                Some(content),
                "{what}: {shown}"
            );
        }
        let last = told["seq"].as_u64().or(told["last_seq"].as_u64());
        assert!(
            last.is_some_and(|last| last <= after.last_seq),
            "{what}: {shown}"
        );
    }
}
