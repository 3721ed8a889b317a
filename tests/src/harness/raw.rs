//! A bare TCP connection to a node: for clients that are slow, silent, or cut off.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use super::http::DEADLINE;

/// An open connection on which the test writes every byte itself. Dropping it closes it.
#[derive(Debug)]
pub struct RawConnection {
    addr: SocketAddr,
    stream: TcpStream,
    received: Vec<u8>,
}

impl RawConnection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens at `addr`.
    pub async fn open(addr: SocketAddr) -> Result<Self> {
        let stream = timeout(DEADLINE, TcpStream::connect(addr)).await;
        Self::over(addr, stream.context("no connection in time")??)
    }

    /// Connects with a receive buffer of a few KiB: the kernel takes hardly anything that the test does not read.
    ///
    /// # Errors
    /// When nobody listens at `addr`.
    pub async fn open_narrow(addr: SocketAddr) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        // Below a segment of the loopback device the kernel would not even tell that the other end is gone.
        socket.set_recv_buffer_size(128 << 10)?;
        let stream = timeout(DEADLINE, socket.connect(addr)).await;
        Self::over(addr, stream.context("no connection in time")??)
    }

    fn over(addr: SocketAddr, stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self {
            addr,
            stream,
            received: Vec::new(),
        })
    }

    /// Sends these bytes as they are.
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn send(&mut self, bytes: &str) -> Result<()> {
        self.stream.write_all(bytes.as_bytes()).await?;
        Ok(())
    }

    /// Sends `GET path` with the headers that every request has, and reads nothing.
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn get(&mut self, path: &str) -> Result<()> {
        let addr = self.addr;
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\n\r\n"))
            .await
    }

    /// Reads until `part` was received; everything that was received and not handed out before.
    ///
    /// # Errors
    /// When the connection ends before, or the part does not come in time.
    pub async fn read_until(&mut self, part: &str) -> Result<String> {
        let read = async {
            while !contains(&self.received, part.as_bytes()) {
                if self.stream.read_buf(&mut self.received).await? == 0 {
                    bail!("the connection ended");
                }
            }
            Ok(())
        };
        let read = timeout(DEADLINE, read).await;
        read.unwrap_or_else(|_| bail!("no {part:?} within {DEADLINE:?}"))
            .with_context(|| format!("received: {}", shortened(&self.received)))?;
        Ok(text(std::mem::take(&mut self.received)))
    }

    /// Reads so many bytes at a time, with a pause before each, until the connection ends, be it by a reset; the last bytes.
    ///
    /// # Errors
    /// When it is still open after the usual deadline.
    pub async fn read_slowly(&mut self, bytes: usize, pause: Duration) -> Result<String> {
        let mut buffer = vec![0; bytes];
        let read = async {
            loop {
                sleep(pause).await;
                match self.stream.read(&mut buffer).await {
                    Ok(0) | Err(_) => break,
                    Ok(n) => self.received.extend_from_slice(&buffer[..n]),
                }
                let kept = self.received.len().saturating_sub(100);
                self.received.drain(..kept);
            }
        };
        let read = timeout(DEADLINE, read).await;
        read.with_context(|| format!("open after {DEADLINE:?}"))?;
        Ok(text(std::mem::take(&mut self.received)))
    }

    /// Waits, and reads nothing, until the server has reset the connection; however long that takes.
    ///
    /// # Errors
    /// When the system does not say.
    pub async fn reset(&self) -> Result<()> {
        self.stream.ready(Interest::ERROR).await?;
        Ok(())
    }

    /// Reads until the server closes the connection; everything that was received and not handed out before. A connection
    /// that is reset has ended too.
    ///
    /// # Errors
    /// When it is still open after the usual deadline.
    pub async fn read_to_end(&mut self) -> Result<String> {
        let read = async {
            while self
                .stream
                .read_buf(&mut self.received)
                .await
                .is_ok_and(|n| n > 0)
            {}
        };
        timeout(DEADLINE, read)
            .await
            .with_context(|| format!("open after {DEADLINE:?}: {}", shortened(&self.received)))?;
        Ok(text(std::mem::take(&mut self.received)))
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

fn shortened(bytes: &[u8]) -> String {
    text(bytes[..bytes.len().min(500)].to_vec())
}
