//! What appends are compared with: axum that reads the same body and answers the same JSON, and does nothing else.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use replog_protocol::entry::Content;
use replog_service::http::calls::Calls;
use replog_service::http::fallbacks::with_problem_fallbacks;
use replog_service::http::lines::Lines;
use replog_service::http::problem::Problem;
use replog_service::http::server::{HttpLimits, serve};
use replog_service::http::{answer, body};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::post::{Post, Poster};
use super::{Process, System};
use crate::bench::child::Child;

/// The first argument of the server's process.
pub const SERVER: &str = "bare-server";
/// Where it takes batches.
pub const BATCH: &str = "/batch";
/// Where it takes a message a line.
pub const LINES: &str = "/lines";

/// The bare server, a process of its own like the master. Dropping it ends it.
#[derive(Debug)]
pub struct Bare {
    post: Post,
    child: Arc<Child>,
}

impl Bare {
    /// Starts it.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub async fn start(content: &str) -> Result<Self> {
        let (child, addr) = Child::start(&[SERVER]).await?;
        let addr = addr.parse().context("the bare server's address")?;
        let body = json!({"content": content, "w": 1}).to_string();
        Ok(Self {
            post: Post::message(addr, body.into()),
            child: Arc::new(child),
        })
    }

    /// The same server, asked something else.
    #[must_use]
    pub fn with(&self, post: impl FnOnce(SocketAddr) -> Post) -> Self {
        Self {
            post: post(self.post.addr),
            child: Arc::clone(&self.child),
        }
    }
}

impl System for Bare {
    type Connection = Poster;

    async fn connect(&self) -> Result<Poster> {
        self.post.connect().await
    }

    async fn request(connection: &mut Poster) -> Result<()> {
        connection.post().await
    }

    fn processes(&self) -> Vec<Process> {
        vec![Process::new("bare", self.child.pid())]
    }
}

/// The program of the server: prints its address and serves.
///
/// # Errors
/// It cannot listen.
pub async fn serve_echo() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    std::io::stdout().flush()?;
    let router = Router::new()
        .route("/messages", post(echo))
        .route(BATCH, post(batch))
        .route(LINES, post(lines));
    let calls = Calls::from(with_problem_fallbacks(router))
        .with_endless_bodies(|head| head.uri.path() == LINES);
    let never = CancellationToken::new();
    serve(listener, calls, HttpLimits::default(), never).await;
    Ok(())
}

/// The body of `POST /messages`, as the master reads it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AppendBody<'a> {
    #[serde(borrow)]
    content: &'a RawValue,
    w: u32,
}

/// What the master answers.
#[derive(Debug, Serialize)]
struct Appended<'a> {
    status: &'static str,
    seq: u64,
    message_id: Uuid,
    content: &'a RawValue,
    w: u32,
    acks: u32,
    log_id: Uuid,
    epoch: u64,
    duplicate: bool,
}

/// A message of a batch or of a load, as the master reads it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Message<'a> {
    #[serde(borrow)]
    content: &'a RawValue,
}

impl Message<'_> {
    fn check(&self) -> Result<(), Problem> {
        let content = Content::from_json(self.content);
        content.map_err(|e| Problem::bad_request(e.to_string()))?;
        Ok(())
    }
}

/// What the master answers to many messages, in short.
#[derive(Debug, Serialize)]
struct Taken {
    status: &'static str,
    count: usize,
}

impl Taken {
    fn answer(count: usize) -> Response {
        let status = "replicated";
        answer::json(&Self { status, count })
    }
}

async fn batch(headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    let bytes = body::read(&headers, body).await?;
    let messages: Vec<Message<'_>> =
        serde_json::from_slice(&bytes).map_err(|e| Problem::bad_request(e.to_string()))?;
    messages.iter().try_for_each(Message::check)?;
    Ok(Taken::answer(messages.len()))
}

async fn lines(body: Body) -> Result<Response, Problem> {
    let mut lines = Lines::new(body, 1 << 20);
    let mut count = 0;
    while let Some(line) = lines.next().await? {
        let message: Message<'_> = body::object(&line.text, r#"{"content":"hello"}"#)?;
        message.check()?;
        count += 1;
    }
    Ok(Taken::answer(count))
}

async fn echo(headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    let bytes = body::read(&headers, body).await?;
    let AppendBody { content, w } = body::object(&bytes, r#"{"content":"hello","w":2}"#)?;
    Content::from_json(content).map_err(|e| Problem::bad_request(e.to_string()))?;
    let id = Uuid::now_v7();
    let answer = Appended {
        status: "replicated",
        seq: 1,
        message_id: id,
        content,
        w,
        acks: w,
        log_id: id,
        epoch: 1,
        duplicate: false,
    };
    let answer = serde_json::to_vec(&answer).map_err(|e| Problem::internal(e.to_string()))?;
    Ok(([(CONTENT_TYPE, "application/json")], answer).into_response())
}
