//! The HTTP server: a loop that accepts, and one task per connection.
//!
//! axum's own server has no header timeout, no connection cap, and no end to a graceful shutdown with one blocked request;
//! `axum-server` has no connection cap, no write timeout, and one timeout for idle and for slow clients. Here every resource
//! that a client can take is bounded: [`HttpLimits`].

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::addresses::Addresses;
use super::calls::Calls;
use super::connection::Connections;

/// After an error that will not go away by itself, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What one client, and all clients together, may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// For sending the headers of a request, counted from its first byte, or from the beginning of the connection; then 408,
    /// where a part of them has come.
    pub header_timeout: Duration,
    /// For sending the whole body of a request, counted from its headers; then 408.
    pub body_timeout: Duration,
    /// For reading on: a client that reads nothing of an answer for that time is cut off.
    pub write_timeout: Duration,
    /// Between an answer and the next request; then the connection is closed. Above the 60 s of common load balancers.
    pub idle_timeout: Duration,
    /// Headers of one request with its request line; more is 431. Below 8,192 a client may still have that much read before
    /// it is refused.
    pub max_header_bytes: usize,
    /// Body of one request; more is 413.
    pub max_body_bytes: usize,
    /// Connections at once, at least 1; further ones wait in the system's queue.
    pub max_connections: usize,
    /// Connections at once from one address, at least 1; each request on a further one is 429. `None` does not count them.
    pub max_connections_per_address: Option<usize>,
    /// Streams at once, see [`super::access::LogAccess`]; further ones are 503.
    pub max_streams: usize,
    /// How long a stop waits for requests that are being answered.
    pub shutdown_grace: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(15),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            max_header_bytes: 16 * 1024,
            max_body_bytes: 8 * 1024 * 1024,
            max_connections: 10_240,
            max_connections_per_address: None,
            max_streams: 1024,
            shutdown_grace: Duration::from_secs(5),
        }
    }
}

/// Where clients come in.
pub struct Listener {
    /// The socket.
    pub tcp: TcpListener,
    /// Speaks TLS with them; without it everything is in the clear.
    pub tls: Option<TlsAcceptor>,
}

impl From<TcpListener> for Listener {
    fn from(tcp: TcpListener) -> Self {
        Self { tcp, tls: None }
    }
}

/// Answers calls until `stop` is cancelled; then accepts no more, closes idle connections, lets each other one finish the
/// request that it is at, and returns when all have ended, or after the grace time, which drops the rest.
///
/// A handler is dropped when its client hangs up. A handler that panics is answered with 500.
pub async fn serve(
    listener: impl Into<Listener>,
    calls: impl Into<Calls>,
    limits: HttpLimits,
    stop: CancellationToken,
) {
    let Listener { tcp, tls } = listener.into();
    let max_connections = limits.max_connections.max(1);
    let grace = limits.shutdown_grace;
    let addresses = Addresses::new(limits.max_connections_per_address);
    let connections = Connections::new(calls.into(), limits, tls);
    let mut open = JoinSet::new();
    let mut had_room = true;
    loop {
        let has_room = open.len() < max_connections;
        if !has_room && had_room {
            connections.are_full();
        }
        had_room = has_room;
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(ended) = open.join_next(), if !open.is_empty() => log_end(ended),
            (stream, address) = accept(&tcp), if has_room => {
                let place = addresses.take(address.ip());
                open.spawn(connections.clone().run(stream, place, stop.child_token()));
            }
        }
    }
    drop(tcp);
    finish(open, grace).await;
}

/// The next connection; errors are waited out, because a server that ends on one serves nobody.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_about_one_client(&error) => {
                debug!(%error, "a client was gone before it was accepted")
            }
            Err(error) => {
                warn!(%error, "cannot accept connections");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_about_one_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

async fn finish(mut open: JoinSet<()>, grace: Duration) {
    let all_ended = async {
        while let Some(ended) = open.join_next().await {
            log_end(ended);
        }
    };
    if tokio::time::timeout(grace, all_ended).await.is_err() {
        warn!(
            connections = open.len(),
            "dropping connections that did not finish in time"
        );
        open.shutdown().await;
    }
}

fn log_end(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        warn!(%error, "a connection ended badly");
    }
}

#[cfg(test)]
mod tests;
