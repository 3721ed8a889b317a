//! What appends are compared with: axum that reads the same body and answers the same JSON, and does nothing else.

use std::io::Read;
use std::net::SocketAddr;
use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures_util::FutureExt;
use replog_protocol::entry::Content;
use replog_service::http::body;
use replog_service::http::fallbacks::with_problem_fallbacks;
use replog_service::http::problem::Problem;
use replog_service::http::server::{HttpLimits, serve};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The first argument of the child.
const BARE: &str = "bare-server";

/// The bare server, a process of its own like the master. Dropping it ends it.
#[derive(Debug)]
pub struct Bare {
    /// Where it listens.
    pub addr: SocketAddr,
    child: Child,
}

impl Bare {
    /// Starts it.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub async fn start() -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(BARE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("start the bare server")?;
        let stdout = child.stdout.take().context("its output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).await?;
        let addr = line.trim().parse().context("the bare server's address")?;
        Ok(Self { addr, child })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        self.child.id().map(u32::cast_signed)
    }
}

/// Plays the bare server if the arguments say so.
#[must_use]
pub fn run_if_child() -> Option<ExitCode> {
    (std::env::args_os().nth(1)? == *BARE).then(|| match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    })
}

fn run() -> Result<()> {
    // As the nodes by default: one thread.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        let router = with_problem_fallbacks(Router::new().route("/messages", post(echo)));
        // The parent writes nothing: when the pipe ends, it has ended.
        let stop = CancellationToken::new();
        let parent_is_gone = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0]));
        tokio::spawn(parent_is_gone.map({
            let stop = stop.clone();
            move |_| stop.cancel()
        }));
        serve(listener, router, HttpLimits::default(), stop).await;
        Ok(())
    })
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
