//! The `healthcheck` subcommand: images have no shell and no curl.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::http::tls::KnownNode;
use crate::settings::values::HttpAddr;

/// The time that the whole exchange may take.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The answer is read so far, in bytes: its status counts, the rest is shown.
const MAX_ANSWER_BYTES: u64 = 2048;

/// Why a node is not healthy.
#[derive(Debug, thiserror::Error)]
pub enum Unhealthy {
    /// The certificate that the node would show cannot be read.
    #[error("{0}: expected the node's certificate in PEM ({1})")]
    Certificate(PathBuf, #[source] io::Error),
    /// Nobody listens, the connection broke, or the node shows another certificate.
    #[error("no answer from {0}: {1}")]
    Unreachable(Node, #[source] io::Error),
    /// Nothing came within two seconds.
    #[error("no answer from {0} within 2s")]
    TimedOut(Node),
    /// The answer is not 200.
    #[error("{node}{path} answers {answer}")]
    Refused {
        /// The node.
        node: Node,
        /// What it was asked for.
        path: &'static str,
        /// What it says, as far as it was read.
        answer: String,
    },
}

/// Who is asked: shown as the beginning of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    addr: HttpAddr,
    speaks_tls: bool,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.speaks_tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.addr)
    }
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

/// Asks the node that listens on `addr`; a wildcard address is asked on the loopback. Over TLS where there is a file for the node's
/// `certificate`, which need not be read on this machine; elsewhere the certificate in it is trusted, and no other.
///
/// # Errors
/// A file without a certificate, no answer, or one that is not 200.
pub async fn ask(
    addr: &HttpAddr,
    certificate: Option<&Path>,
    question: Question,
) -> Result<(), Unhealthy> {
    let addr = addr.reachable();
    let tls = match certificate {
        None => None,
        Some(file) if addr.is_loopback() => {
            let tls = KnownNode::on_this_machine();
            Some(tls.map_err(|error| Unhealthy::Certificate(file.to_owned(), error))?)
        }
        Some(file) => {
            let tls = std::fs::read(file).and_then(|pem| KnownNode::new(&pem));
            Some(tls.map_err(|error| Unhealthy::Certificate(file.to_owned(), error))?)
        }
    };
    let node = Node {
        addr,
        speaks_tls: tls.is_some(),
    };
    let path = question.path();
    match tokio::time::timeout(TIMEOUT, answer(&node.addr, tls, path)).await {
        Err(_) => Err(Unhealthy::TimedOut(node)),
        Ok(Err(error)) => Err(Unhealthy::Unreachable(node, error)),
        Ok(Ok(answer)) if answer.split(' ').nth(1) == Some("200") => Ok(()),
        Ok(Ok(answer)) => {
            let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
            let status = head.lines().next().unwrap_or_default();
            let answer = format!("{status:?} {}", body.trim_end());
            let answer = answer.trim_end().to_owned();
            Err(Unhealthy::Refused { node, path, answer })
        }
    }
}

async fn answer(addr: &HttpAddr, tls: Option<KnownNode>, path: &str) -> io::Result<String> {
    let stream = TcpStream::connect(addr.to_host_port()).await?;
    match tls {
        None => exchange(stream, addr, path).await,
        Some(tls) => exchange(tls.connect(stream).await?, addr, path).await,
    }
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    addr: &HttpAddr,
    path: &str,
) -> io::Result<String> {
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
        ask(&ready, None, Question::Ready)
            .await
            .expect("it is ready");
        let sick = node("HTTP/1.1 503 Service Unavailable\r\nA: b\r\n\r\nfar behind\n").await?;
        let sick = ask(&sick, None, Question::Ready).await;
        let text = sick.expect_err("it is not").to_string();
        assert!(
            text.ends_with("/readyz answers \"HTTP/1.1 503 Service Unavailable\" far behind"),
            "{text}"
        );
        let silent = ask(&node("").await?, None, Question::Ready).await;
        assert!(matches!(silent, Err(Unhealthy::Refused { .. })));
        let nobody = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
        assert!(matches!(
            ask(&nobody.to_string().parse().unwrap(), None, Question::Live).await,
            Err(Unhealthy::Unreachable(..))
        ));
        Ok(())
    }
}
