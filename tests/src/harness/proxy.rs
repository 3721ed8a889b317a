//! A network that can be cut: connections go through, or stand still and are delivered late.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// Bytes that are moved at one time.
const BUFFER: usize = 64 << 10;

/// A listener that passes connections on to another address. While it is cut, nothing passes, in either direction, and nobody is
/// told: what was sent before is delivered when it is healed, as a network does. Dropping it closes every connection.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    is_cut: Arc<watch::Sender<bool>>,
    task: AbortHandle,
}

impl Proxy {
    /// Listens on any port of 127.0.0.1, in front of `target`.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.context("a port for the proxy")?;
        let addr = listener.local_addr()?;
        let is_cut = Arc::new(watch::channel(false).0);
        let task = tokio::spawn(listen(listener, target, Arc::clone(&is_cut))).abort_handle();
        Ok(Self { addr, is_cut, task })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Nothing passes from here on.
    pub fn cut(&self) {
        self.is_cut.send_replace(true);
    }

    /// Everything passes again.
    pub fn heal(&self) {
        self.is_cut.send_replace(false);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(listener: TcpListener, target: SocketAddr, is_cut: Arc<watch::Sender<bool>>) {
    // Dropped with this task, and every connection with it.
    let mut connections = JoinSet::new();
    loop {
        healed(&is_cut).await;
        tokio::select! {
            Ok((client, _)) = listener.accept() => {
                connections.spawn(pass_on(client, target, Arc::clone(&is_cut)));
            }
            Some(_ended) = connections.join_next() => {}
        }
    }
}

/// One connection, until either side closes it.
async fn pass_on(client: TcpStream, target: SocketAddr, is_cut: Arc<watch::Sender<bool>>) {
    healed(&is_cut).await;
    let Ok(server) = TcpStream::connect(target).await else {
        return; // nobody there: the client sees its connection closed
    };
    let _slower = (client.set_nodelay(true), server.set_nodelay(true));
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    tokio::join!(
        copy(client_read, server_write, &is_cut),
        copy(server_read, client_write, &is_cut)
    );
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, is_cut: &watch::Sender<bool>) {
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        healed(is_cut).await;
        if read == 0 || to.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
    let _closed_already = to.shutdown().await;
}

/// Returns once nothing is cut.
async fn healed(is_cut: &watch::Sender<bool>) {
    // It fails only when the sender is gone, and here it is.
    let mut changes = is_cut.subscribe();
    let _sender_is_here = changes.wait_for(|is_cut| !is_cut).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    #[tokio::test]
    async fn what_is_sent_while_it_is_cut_comes_late_and_complete() -> Result<()> {
        let server = TcpListener::bind(("127.0.0.1", 0)).await?;
        let proxy = Proxy::start(server.local_addr()?).await?;
        let mut client = TcpStream::connect(proxy.addr()).await?;
        let (mut inner, _) = server.accept().await?;
        client.write_all(b"one").await?;
        let mut received = [0; 3];
        inner.read_exact(&mut received).await?;
        assert_eq!(&received, b"one");
        proxy.cut();
        client.write_all(b"two").await?;
        let early = timeout(Duration::from_millis(100), inner.read_exact(&mut received)).await;
        assert!(early.is_err(), "it passes although it is cut");
        proxy.heal();
        inner.read_exact(&mut received).await?;
        assert_eq!(&received, b"two");
        Ok(())
    }

    #[tokio::test]
    async fn an_end_passes_too() -> Result<()> {
        let server = TcpListener::bind(("127.0.0.1", 0)).await?;
        let proxy = Proxy::start(server.local_addr()?).await?;
        let mut client = TcpStream::connect(proxy.addr()).await?;
        let (inner, _) = server.accept().await?;
        drop(inner);
        assert_eq!(client.read(&mut [0]).await?, 0);
        Ok(())
    }
}
