//! The `healthcheck` subcommand: images have no shell and no curl.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::settings::values::HttpAddr;

/// The time that the whole exchange may take.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The answer is read so far, in bytes: its first line is all that counts.
const MAX_ANSWER_BYTES: u64 = 1024;

/// Why a node is not healthy.
#[derive(Debug, thiserror::Error)]
pub enum Unhealthy {
    /// Nobody listens, or the connection broke.
    #[error("no answer from http://{0}/livez: {1}")]
    Unreachable(HttpAddr, #[source] io::Error),
    /// Nothing came within two seconds.
    #[error("no answer from http://{0}/livez within 2s")]
    TimedOut(HttpAddr),
    /// The answer is not 200; its first line.
    #[error("http://{0}/livez answers {1:?}")]
    Refused(HttpAddr, String),
}

/// Asks the node that listens on `addr` whether it lives; a wildcard address is asked on the loopback.
///
/// # Errors
/// No answer, or one that is not 200.
pub async fn check(addr: &HttpAddr) -> Result<(), Unhealthy> {
    let addr = addr.reachable();
    match tokio::time::timeout(TIMEOUT, status_line(&addr)).await {
        Err(_) => Err(Unhealthy::TimedOut(addr)),
        Ok(Err(error)) => Err(Unhealthy::Unreachable(addr, error)),
        Ok(Ok(line)) if line.split(' ').nth(1) == Some("200") => Ok(()),
        Ok(Ok(line)) => Err(Unhealthy::Refused(addr, line)),
    }
}

async fn status_line(addr: &HttpAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(addr.to_host_port()).await?;
    let request = format!("GET /livez HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream
        .take(MAX_ANSWER_BYTES)
        .read_to_end(&mut answer)
        .await?;
    let line = answer.split(|b| *b == b'\r' || *b == b'\n').next();
    Ok(String::from_utf8_lossy(line.unwrap_or_default()).into_owned())
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
            assert!(request[..n].starts_with(b"GET /livez HTTP/1.1\r\n"));
            stream.write_all(answer.as_bytes()).await
        });
        Ok(addr.to_string().parse().unwrap())
    }

    #[tokio::test]
    async fn only_200_is_healthy() -> io::Result<()> {
        check(&node("HTTP/1.1 200 OK\r\n\r\nok").await?)
            .await
            .expect("it lives");
        let sick = check(&node("HTTP/1.1 503 Service Unavailable\r\n\r\n").await?).await;
        let text = sick.expect_err("it does not live").to_string();
        assert!(
            text.ends_with("/livez answers \"HTTP/1.1 503 Service Unavailable\""),
            "{text}"
        );
        assert!(matches!(
            check(&node("").await?).await,
            Err(Unhealthy::Refused(..))
        ));
        let nobody = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
        assert!(matches!(
            check(&nobody.to_string().parse().unwrap()).await,
            Err(Unhealthy::Unreachable(..))
        ));
        Ok(())
    }
}
