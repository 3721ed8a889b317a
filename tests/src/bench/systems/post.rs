//! A connection that POSTs the same body again and again.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// What is posted, and what the answer must be.
#[derive(Clone, Debug)]
pub struct Post {
    /// Who is asked.
    pub addr: SocketAddr,
    /// `/messages`, …
    pub path: &'static str,
    /// Of the body.
    pub content_type: &'static str,
    /// As it is sent.
    pub body: Bytes,
    /// Every answer has it.
    pub status: StatusCode,
}

impl Post {
    /// `POST /messages` with a JSON body, answered by 200.
    #[must_use]
    pub fn message(addr: SocketAddr, body: Bytes) -> Self {
        Self {
            addr,
            path: "/messages",
            content_type: "application/json",
            body,
            status: StatusCode::OK,
        }
    }

    /// Opens a connection for it.
    ///
    /// # Errors
    /// Nobody listens there.
    pub async fn connect(&self) -> Result<Poster> {
        let stream = TcpStream::connect(self.addr).await.context("connect")?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection); // it ends with its sender
        Ok(Poster {
            sender,
            uri: Uri::from_static(self.path),
            host: HeaderValue::from_str(&self.addr.to_string())?,
            post: self.clone(),
        })
    }
}

/// An open connection and what is posted on it.
#[derive(Debug)]
pub struct Poster {
    sender: SendRequest<Full<Bytes>>,
    uri: Uri,
    host: HeaderValue,
    post: Post,
}

impl Poster {
    /// Posts once more and reads the answer to its end.
    ///
    /// # Errors
    /// The connection breaks, or the answer has another status.
    pub async fn post(&mut self) -> Result<()> {
        let request = Request::post(self.uri.clone())
            .header(HOST, self.host.clone())
            .header(
                CONTENT_TYPE,
                HeaderValue::from_static(self.post.content_type),
            )
            .body(Full::new(self.post.body.clone()))?;
        self.sender.ready().await.context("the connection broke")?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        ensure!(
            status == self.post.status,
            "{status}: {}",
            String::from_utf8_lossy(&body)
        );
        Ok(())
    }
}
