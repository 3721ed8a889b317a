//! Streams, read as a browser reads them: it comes back by itself with the last id that it has.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use replog_tests::harness::{Cluster, Node};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::support::{ALLOW_CLEAR, ALLOW_FAULTS, SOON, health, refused, wait_health};

/// An open `GET` whose body is read as it comes. Dropping it hangs up.
pub(crate) struct Stream {
    response: Response<Incoming>,
    connection: JoinHandle<()>,
    received: String,
}

impl Stream {
    pub(crate) async fn open(
        addr: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self> {
        let io = TokioIo::new(TcpStream::connect(addr).await?);
        let (mut sender, connection) = http1::handshake(io).await?;
        let connection = tokio::spawn(async move {
            let _closed = connection.await;
        });
        let mut request = Request::get(path).header("host", addr.to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Empty::<Bytes>::new())?;
        let response = timeout(SOON, sender.send_request(request)).await??;
        ensure!(response.status() == 200, "{}", response.status());
        Ok(Self {
            response,
            connection,
            received: String::new(),
        })
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// What comes up to `end`, without it; `None` at the end of the stream.
    pub(crate) async fn next(&mut self, end: &str) -> Result<Option<String>> {
        loop {
            if let Some((part, rest)) = self.received.split_once(end) {
                let part = part.to_owned();
                self.received = rest.to_owned();
                return Ok(Some(part));
            }
            let frame = timeout(SOON, self.response.body_mut().frame()).await;
            let Some(frame) = frame.context("nothing came")? else {
                ensure!(self.received.is_empty(), "cut: {}", self.received);
                return Ok(None);
            };
            let data = frame.context("the stream broke off")?.into_data();
            let data = data.map_err(|_| anyhow::anyhow!("trailers"))?;
            self.received.push_str(std::str::from_utf8(&data)?);
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// One event as a page gets it.
#[derive(Debug, PartialEq)]
struct Event {
    kind: String,
    data: Value,
    /// The last id that was said by then.
    id: String,
}

/// What a browser makes of a stream (WHATWG HTML, section 9.2), and the copy of the log that a page keeps by it.
struct EventSource {
    stream: Option<Stream>,
    path: String,
    last_id: String,
    copy: Vec<String>,
}

impl EventSource {
    async fn open(node: &Node, path: &str) -> Result<Self> {
        let mut source = Self {
            stream: None,
            path: path.to_owned(),
            last_id: String::new(),
            copy: Vec::new(),
        };
        source.connect(node).await?;
        Ok(source)
    }

    /// Connects, again with the last id that it has.
    async fn connect(&mut self, node: &Node) -> Result<()> {
        let mut headers = vec![("accept", "text/event-stream"), ("accept-encoding", "gzip")];
        if !self.last_id.is_empty() {
            headers.push(("last-event-id", &*self.last_id));
        }
        let stream = Stream::open(node.addr(), &self.path, &headers).await?;
        ensure!(stream.header("content-type") == Some("text/event-stream"));
        ensure!(stream.header("x-accel-buffering") == Some("no"));
        ensure!(stream.header("content-encoding").is_none());
        self.stream = Some(stream);
        Ok(())
    }

    fn disconnect(&mut self) {
        self.stream = None;
    }

    /// The next block: an event, or none for one that says an id alone or nothing.
    async fn block(&mut self) -> Result<Option<Event>> {
        let stream = self.stream.as_mut().context("not connected")?;
        let block = stream.next("\n\n").await?.context("the stream ended")?;
        let (mut kind, mut data) = ("message".to_owned(), Vec::new());
        for line in block.lines() {
            match line.split_once(": ").with_context(|| line.to_owned())? {
                ("", _) => {}
                ("event", value) => kind = value.to_owned(),
                ("data", value) => data.push(value.to_owned()),
                ("id", value) => self.last_id = value.to_owned(),
                (name, _) => bail!("field {name:?}"),
            }
        }
        if data.is_empty() {
            return Ok(None);
        }
        Ok(Some(Event {
            kind,
            data: serde_json::from_str(&data.join("\n"))?,
            id: self.last_id.clone(),
        }))
    }

    /// The next event, put into the copy as well.
    async fn event(&mut self) -> Result<Event> {
        loop {
            let Some(event) = self.block().await? else {
                continue;
            };
            match &*event.kind {
                "reset" => {
                    let from = event.data["from"].as_u64().context("from")?;
                    self.copy.truncate(usize::try_from(from)? - 1);
                }
                "message" => {
                    let seq = event.data["seq"].as_u64().context("seq")?;
                    ensure!(seq == self.copy.len() as u64 + 1, "{event:?}");
                    let content = event.data["content"].as_str().context("content")?;
                    self.copy.push(content.to_owned());
                    let epoch = &event.data["epoch"];
                    ensure!(event.id.starts_with(&format!("{seq}@")), "{event:?}");
                    ensure!(event.id.ends_with(&format!(".{epoch}")), "{event:?}");
                }
                kind => bail!("an event of kind {kind:?}"),
            }
            return Ok(event);
        }
    }

    /// Reads on until the copy says this.
    async fn until(&mut self, expected: &[&str]) -> Result<()> {
        while self.copy != expected {
            let event = self.event().await?;
            ensure!(self.copy.len() <= 100, "{event:?}");
        }
        Ok(())
    }

    /// The next event is a reset.
    async fn reset(&mut self, log_id: &Value, from: u64) -> Result<()> {
        let event = self.event().await?;
        ensure!(event.kind == "reset", "{event:?}");
        ensure!(
            event.data == json!({"log_id": log_id, "from": from}),
            "{event:?}"
        );
        Ok(())
    }
}

async fn clear(cluster: &Cluster) -> Result<Value> {
    let answer = cluster.master.http().post("/clear", &json!({})).await?;
    Ok(answer.expect(200)?.json()?["log_id"].clone())
}

/// Seen before: entries 1 to 10 of the new history were missed.
#[tokio::test]
async fn a_browser_that_comes_back_after_a_clear_sees_the_new_history_from_its_beginning() {
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .env(ALLOW_CLEAR.0, ALLOW_CLEAR.1)
        .run(async |cluster| {
            for content in ["old 1", "old 2", "old 3"] {
                cluster.post(content, 2).await?.expect(200)?;
            }
            let old = health(&cluster.master).await?["log_id"].clone();
            let mut away = Vec::new();
            for node in [&cluster.master, cluster.secondary(1)] {
                let mut source = EventSource::open(node, "/messages/stream").await?;
                source.until(&["old 1", "old 2", "old 3"]).await?;
                ensure!(source.last_id == format!("3@{}.1", old.as_str().unwrap_or("?")));
                source.disconnect();
                // Nothing has changed: no reset.
                source.connect(node).await?;
                ensure!(source.block().await?.is_none(), "an id alone");
                source.disconnect();
                away.push(source);
            }
            let mut there =
                EventSource::open(cluster.secondary(1), "/messages/stream?from=1").await?;
            there.until(&["old 1", "old 2", "old 3"]).await?;
            let lines = [("accept", "application/x-ndjson")];
            let addr = cluster.master.addr();
            let mut tail = Stream::open(addr, "/messages/stream?from=3", &lines).await?;
            let line: Value = serde_json::from_str(&tail.next("\n").await?.context("a line")?)?;
            ensure!(line["content"] == "old 3", "{line}");

            let new = clear(cluster).await?;
            ensure!(tail.next("\n").await?.is_none(), "lines end with their log");
            let contents: Vec<String> = (1..=5).map(|i| format!("new {i}")).collect();
            for content in &contents {
                cluster.post(content, 2).await?.expect(200)?;
            }
            let contents: Vec<&str> = contents.iter().map(|c| &**c).collect();
            there.reset(&new, 1).await?;
            there.until(&contents).await?;
            for (source, node) in away.iter_mut().zip([&cluster.master, cluster.secondary(1)]) {
                source.connect(node).await?;
                source.reset(&new, 1).await?;
                source.until(&contents).await?;
            }
            // Lines that were to go on after an entry of another log end at once.
            let id = format!("3@{}.1", old.as_str().unwrap_or("?"));
            let headers = [("accept", "application/x-ndjson"), ("last-event-id", &*id)];
            let mut tail = Stream::open(addr, "/messages/stream", &headers).await?;
            ensure!(tail.next("\n").await?.is_none());
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn a_browser_that_comes_back_before_the_first_entry_misses_none() {
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .env(ALLOW_CLEAR.0, ALLOW_CLEAR.1)
        .run(async |cluster| {
            wait_health(cluster.secondary(1), "status", "ok").await?;
            let node = cluster.secondary(1);
            let mut source = EventSource::open(node, "/messages/stream").await?;
            ensure!(source.block().await?.is_none(), "an id alone");
            ensure!(source.last_id.starts_with("0@") && source.last_id.ends_with(".0"));
            source.disconnect();
            cluster.post("one", 2).await?.expect(200)?;
            source.connect(node).await?;
            source.until(&["one"]).await?;
            source.disconnect();
            let new = clear(cluster).await?;
            cluster.post("new one", 2).await?.expect(200)?;
            source.connect(node).await?;
            source.reset(&new, 1).await?;
            source.until(&["new one"]).await
        })
        .await;
}

/// The master alone has entries 3 and 4, and dies: the others go on without them.
#[tokio::test]
async fn entries_that_went_with_a_master_are_taken_back() {
    let builder = Cluster::builder().secondaries(2).listed(true);
    builder
        .env(ALLOW_FAULTS.0, ALLOW_FAULTS.1)
        .run(async |cluster| {
            for content in ["1", "2"] {
                cluster.post(content, 3).await?.expect(200)?;
            }
            for i in [1, 2] {
                let loses = json!({"drop_rate": 1.0});
                let http = cluster.secondary(i).http();
                http.put("/faults", &loses).await?.expect(200)?;
            }
            for content in ["3 lost", "4 lost"] {
                cluster.post(content, 1).await?.expect(200)?;
            }
            let mut source = EventSource::open(&cluster.master, "/messages/stream").await?;
            source.until(&["1", "2", "3 lost", "4 lost"]).await?;
            let mut other = EventSource::open(cluster.secondary(1), "/messages/stream").await?;
            other.until(&["1", "2"]).await?;
            cluster.master.kill().await?;
            for i in [1, 2] {
                let http = cluster.secondary(i).http();
                http.put("/faults", &json!({"drop_rate": 0}))
                    .await?
                    .expect(200)?;
            }
            cluster.master.restart().await?;
            wait_health(&cluster.master, "status", "ok").await?;
            let log_id = health(&cluster.master).await?["log_id"].clone();
            // Before anything is appended: the log is shorter, and its master is another one.
            source.connect(&cluster.master).await?;
            source.reset(&log_id, 3).await?;
            cluster.post("3", 3).await?.expect(200)?;
            source.until(&["1", "2", "3"]).await?;
            // Nothing that this client has was taken back: its copy goes on without a reset.
            let event = other.event().await?;
            ensure!(event.data["content"] == "3", "{event:?}");
            source.disconnect();
            source.connect(cluster.secondary(2)).await?;
            cluster.post("4", 3).await?.expect(200)?;
            source.until(&["1", "2", "3", "4"]).await
        })
        .await;
}

/// A secondary sleeps with entries that only it and a master that dies have; a stream is open on it.
#[tokio::test]
async fn a_stream_on_a_node_that_is_rolled_back_is_told_from_where() {
    let builder = Cluster::builder().secondaries(2).listed(true);
    builder
        .env(ALLOW_FAULTS.0, ALLOW_FAULTS.1)
        .run(async |cluster| {
            for content in ["1", "2"] {
                cluster.post(content, 3).await?.expect(200)?;
            }
            let http = cluster.secondary(2).http();
            http.put("/faults", &json!({"drop_rate": 1.0}))
                .await?
                .expect(200)?;
            for content in ["3 lost", "4 lost"] {
                cluster.post(content, 2).await?.expect(200)?;
            }
            let node = cluster.secondary(1);
            let mut source = EventSource::open(node, "/messages/stream").await?;
            let lines = [("accept", "application/x-ndjson")];
            let mut tail = Stream::open(node.addr(), "/messages/stream?from=4", &lines).await?;
            source.until(&["1", "2", "3 lost", "4 lost"]).await?;
            ensure!(tail.next("\n").await?.is_some());
            node.stop().await?;
            cluster.master.kill().await?;
            http.put("/faults", &json!({"drop_rate": 0}))
                .await?
                .expect(200)?;
            cluster.master.restart().await?;
            wait_health(&cluster.master, "status", "ok").await?;
            cluster.post("3", 2).await?.expect(200)?;
            let log_id = health(&cluster.master).await?["log_id"].clone();
            cluster.secondary(1).resume()?;
            source.reset(&log_id, 3).await?;
            source.until(&["1", "2", "3"]).await?;
            ensure!(tail.next("\n").await?.is_none(), "lines end");
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn what_a_stream_is_asked_for_is_checked() {
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .run(async |cluster| {
            cluster.post("one", 2).await?.expect(200)?;
            for node in [&cluster.master, cluster.secondary(1)] {
                let ask = async |method, path: &str, headers: &[(&str, &str)]| {
                    node.http()
                        .request(method, path, headers, Bytes::new())
                        .await
                };
                let stream = "/messages/stream";
                for id in ["x", "1@", "1@x.1", "-1"] {
                    let answer = ask(Method::GET, stream, &[("last-event-id", id)]).await?;
                    refused(answer, 400)?;
                }
                for query in ["committed=0", "committed=most", "from=0", "limit=1"] {
                    let path = format!("{stream}?{query}");
                    refused(ask(Method::GET, &path, &[]).await?, 400)?;
                }
                let html = ask(Method::GET, stream, &[("accept", "text/html")]).await?;
                ensure!(refused(html, 406)?["reason"] == "not_acceptable");
                let head = ask(Method::HEAD, stream, &[]).await?.expect(200)?;
                ensure!(head.header("content-type") == Some("text/event-stream"));
                ensure!(head.header("replog-log-id").is_some() && head.body.is_empty());
            }
            Ok(())
        })
        .await;
}

/// A tail that is packed comes as soon as one that is not.
#[tokio::test]
async fn a_packed_tail_holds_nothing_back() {
    let builder = Cluster::builder().secondaries(0);
    builder
        .run(async |cluster| {
            let addr = cluster.master.addr();
            let headers = [
                ("accept", "application/x-ndjson"),
                ("accept-encoding", "gzip"),
            ];
            cluster.post("first", 1).await?.expect(200)?;
            let tail = Stream::open(addr, "/messages/stream", &headers).await?;
            ensure!(tail.header("content-encoding") == Some("gzip"));
            let mut unpacking = flate2::write::GzDecoder::new(Vec::new());
            let mut tail = tail;
            for content in ["first", "second", "third"] {
                while !String::from_utf8_lossy(unpacking.get_ref()).contains(content) {
                    let frame = timeout(SOON, tail.response.body_mut().frame()).await?;
                    let data = frame.context("the tail ended")??.into_data();
                    let data = data.map_err(|_| anyhow::anyhow!("trailers"))?;
                    std::io::Write::write_all(&mut unpacking, &data)?;
                    std::io::Write::flush(&mut unpacking)?;
                }
                let next = [("first", "second"), ("second", "third")];
                if let Some((_, next)) = next.iter().find(|(this, _)| *this == content) {
                    cluster.post(next, 1).await?.expect(200)?;
                }
            }
            Ok(())
        })
        .await;
}
