//! One HTTP connection that is kept: for thousands of requests, one after the other.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::Full;
use hyper::Method;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::answer::Answer;
use super::http::{self, DEADLINE};

/// An open connection. Dropping it closes it.
#[derive(Debug)]
pub struct Session {
    addr: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
    connection: JoinHandle<()>,
}

impl Session {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens at `addr`.
    pub async fn open(addr: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(addr).await.context("connect")?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .context("HTTP handshake")?;
        let connection = tokio::spawn(async move {
            // Its end shows as the request that gets no answer.
            let _closed = connection.await;
        });
        Ok(Self {
            addr,
            sender,
            connection,
        })
    }

    /// `POST path` with a JSON body.
    ///
    /// # Errors
    /// When no complete answer comes in time; any status is an answer.
    pub async fn post(&mut self, path: &str, body: &Value) -> Result<Answer> {
        let body = body.to_string().into();
        let request = http::request(self.addr, Method::POST, path, &[], body)?;
        let exchange = async {
            self.sender.ready().await.context("the connection ended")?;
            let response = self.sender.send_request(request).await;
            http::answer(response.context("no answer")?).await
        };
        timeout(DEADLINE, exchange)
            .await
            .with_context(|| format!("POST {path}: no answer within {DEADLINE:?}"))?
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.connection.abort();
    }
}
