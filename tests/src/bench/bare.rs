//! What appends are compared with: axum that reads the same body and answers the same JSON, and does nothing else.

use std::io::Read;
use std::net::SocketAddr;
use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures_util::FutureExt;
use replog_common::entry::Content;
use replog_common::service::body::{parse_json, read_body};
use replog_common::service::fallbacks::with_problem_fallbacks;
use replog_common::service::problem::Problem;
use replog_common::service::server::{HttpLimits, serve};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

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
        let parent_is_gone = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0]));
        let stop = parent_is_gone.map(drop);
        serve(listener, router, HttpLimits::default(), stop).await;
        Ok(())
    })
}

/// The body of `POST /messages`, as the master reads it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AppendBody {
    content: Option<Box<RawValue>>,
    w: Value,
    message_id: Value,
    timeout_ms: Value,
    expected_seq: Value,
}

async fn echo(body: Body) -> Result<Response, Problem> {
    let body: AppendBody = parse_json(&read_body(body).await?)?;
    let fields = [body.message_id, body.timeout_ms, body.expected_seq];
    let content = body.content.filter(|_| fields.iter().all(Value::is_null));
    let content = content.ok_or_else(|| Problem::bad_request("content and w, nothing else"))?;
    let content = Content::from_json(&content).map_err(|e| Problem::bad_request(e.to_string()))?;
    let (content, w, id) = (content.json(), body.w, uuid::Uuid::now_v7());
    let answer = format!(
        r#"{{"status":"replicated","seq":1,"message_id":"{id}","content":{content},"w":{w},"acks":{w},"log_id":"{id}","epoch":1,"duplicate":false}}"#
    );
    Ok(([(CONTENT_TYPE, "application/json")], answer).into_response())
}
