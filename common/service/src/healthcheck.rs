//! The `healthcheck` subcommand: images have no shell and no curl.

use std::io;
use std::time::Duration;

use clap::Args;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::settings::values::HttpAddr;

/// The time that the whole exchange may take.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The answer is read so far, in bytes: its status counts, the rest is shown.
const MAX_ANSWER_BYTES: u64 = 2048;

/// Why a node is not healthy.
#[derive(Debug, thiserror::Error)]
pub enum Unhealthy {
    /// Nobody listens, or the connection broke.
    #[error("no answer from http://{0}: {1}")]
    Unreachable(HttpAddr, #[source] io::Error),
    /// Nothing came within two seconds.
    #[error("no answer from http://{0} within 2s")]
    TimedOut(HttpAddr),
    /// The answer is not 200.
    #[error("http://{addr}{path} answers {answer}")]
    Refused {
        /// The node.
        addr: HttpAddr,
        /// What it was asked for.
        path: &'static str,
        /// What it says, as far as it was read.
        answer: String,
    },
}

/// The flags of the subcommand.
#[derive(Args, Clone, Copy, Debug)]
pub struct HealthcheckArgs {
    /// Ask whether it lives, not whether it is ready: an orchestrator that restarts what is not ready would empty a node in
    /// memory.
    #[arg(long)]
    live: bool,
}

impl HealthcheckArgs {
    /// What the node is to be asked.
    #[must_use]
    pub fn question(self) -> Question {
        match self.live {
            true => Question::Live,
            false => Question::Ready,
        }
    }
}

/// What a node is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Whether it can do what it is there for.
    Ready,
    /// Whether the program lives.
    Live,
}

impl Question {
    fn path(self) -> &'static str {
        match self {
            Self::Ready => "/readyz",
            Self::Live => "/livez",
        }
    }
}

/// Asks the node that listens on `addr`; a wildcard address is asked on the loopback.
///
/// # Errors
/// No answer, or one that is not 200.
pub async fn ask(addr: &HttpAddr, question: Question) -> Result<(), Unhealthy> {
    let (addr, path) = (addr.reachable(), question.path());
    match tokio::time::timeout(TIMEOUT, answer(&addr, path)).await {
        Err(_) => Err(Unhealthy::TimedOut(addr)),
        Ok(Err(error)) => Err(Unhealthy::Unreachable(addr, error)),
        Ok(Ok(answer)) if answer.split(' ').nth(1) == Some("200") => Ok(()),
        Ok(Ok(answer)) => {
            let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
            let status = head.lines().next().unwrap_or_default();
            let answer = format!("{status:?} {}", body.trim_end());
            let answer = answer.trim_end().to_owned();
            Err(Unhealthy::Refused { addr, path, answer })
        }
    }
}

async fn answer(addr: &HttpAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(addr.to_host_port()).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream
        .take(MAX_ANSWER_BYTES)
        .read_to_end(&mut answer)
        .await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Listens on every address, answers one request with that text.
    async fn node(answer: &'static str) -> io::Result<HttpAddr> {
        let listener = TcpListener::bind("0.0.0.0:0").await?;
        let addr = listener.local_addr()?;
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await?;
            let mut request = [0; 512];
            let n = stream.read(&mut request).await?;
            assert!(request[..n].starts_with(b"GET /readyz HTTP/1.1\r\n"));
            stream.write_all(answer.as_bytes()).await
        });
        Ok(addr.to_string().parse().unwrap())
    }

    #[tokio::test]
    async fn only_200_is_healthy() -> io::Result<()> {
        let ready = node("HTTP/1.1 200 OK\r\n\r\nok").await?;
        ask(&ready, Question::Ready).await.expect("it is ready");
        let sick = node("HTTP/1.1 503 Service Unavailable\r\nA: b\r\n\r\nfar behind\n").await?;
        let sick = ask(&sick, Question::Ready).await;
        let text = sick.expect_err("it is not").to_string();
        assert!(
            text.ends_with("/readyz answers \"HTTP/1.1 503 Service Unavailable\" far behind"),
            "{text}"
        );
        let silent = ask(&node("").await?, Question::Ready).await;
        assert!(matches!(silent, Err(Unhealthy::Refused { .. })));
        let nobody = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
        assert!(matches!(
            ask(&nobody.to_string().parse().unwrap(), Question::Live).await,
            Err(Unhealthy::Unreachable(..))
        ));
        Ok(())
    }
}
