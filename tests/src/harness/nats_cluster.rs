//! Brokers with JetStream: one, or several that form a NATS cluster and keep each stream together.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::Value;
use tokio::time::timeout;

use super::eventually::eventually;
use super::nats_server::{BrokerOptions, NatsServer};
use super::ports::PortLease;

/// How long servers may take to choose a leader among them: nats-server's own timeouts are 4 to 9 s, and a busy machine has more
/// than one election.
pub const ELECTED_WITHIN: Duration = Duration::from_secs(60);
/// One request; it is asked again.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// `nats-server` processes with JetStream, each with a store of its own. Dropping them kills them.
#[derive(Debug)]
pub struct NatsCluster {
    servers: Vec<NatsServer>,
    /// The ports of their routes, held for as long as they may start again.
    _routes: Vec<PortLease>,
}

/// What the server that leads a stream says of it.
#[derive(Clone, Debug)]
pub struct StreamInfo {
    /// `STREAM.INFO` as it is.
    pub json: Value,
}

impl NatsCluster {
    /// Starts `count` servers, named `n1`, `n2`, …, and waits until their JetStream answers. With `options` besides, which are
    /// the same for each of them.
    ///
    /// # Errors
    /// When one does not start, or they do not find each other.
    pub async fn start(count: usize, options: &BrokerOptions) -> Result<Self> {
        let routes: Vec<PortLease> = (0..count)
            .map(|_| PortLease::take())
            .collect::<Result<_>>()?;
        let urls: Vec<String> = routes
            .iter()
            .map(|lease| format!("\"nats://{}\"", lease.addr()))
            .collect();
        let mut servers = Vec::with_capacity(count);
        for (i, lease) in routes.iter().enumerate() {
            // Both paths are in the server's own directory, which outlives the process. What is reserved is never used up.
            let mut options = options
                .clone()
                .config(&format!("server_name: n{}", i + 1))
                .config("jetstream { store_dir: jetstream, max_memory_store: 64MB, max_file_store: 1GB }");
            if count > 1 {
                options = options.config(&format!(
                    "cluster {{ name: test, listen: \"{}\", no_advertise: true, routes: [{}] }}",
                    lease.addr(),
                    urls.join(", ")
                ));
            }
            servers.push(NatsServer::start(options).await?);
        }
        Ok(Self {
            servers,
            _routes: routes,
        })
    }

    /// What a client that may use any of them connects to.
    #[must_use]
    pub fn urls(&self) -> String {
        let urls: Vec<String> = self.servers.iter().map(NatsServer::url).collect();
        urls.join(",")
    }

    /// The servers.
    #[must_use]
    pub fn servers(&self) -> &[NatsServer] {
        &self.servers
    }

    /// The servers, to be disturbed.
    pub fn servers_mut(&mut self) -> &mut [NatsServer] {
        &mut self.servers
    }

    /// Waits until JetStream takes requests: of several servers, that one of them leads.
    ///
    /// # Errors
    /// When that does not come true.
    pub async fn wait_ready(&self) -> Result<()> {
        eventually("JetStream to answer", ELECTED_WITHIN, async || {
            let info = self.ask("$JS.API.INFO", "").await?;
            ensure!(info.get("error").is_none(), "{info}");
            if self.servers.len() > 1 {
                // A stream of three replicas is made only when each server is known to the one that leads.
                let probe = self.ask("$JS.API.STREAM.NAMES", "").await?;
                ensure!(probe.get("error").is_none(), "{probe}");
            }
            Ok(())
        })
        .await
    }

    /// A request to whichever server answers first; the answer as JSON.
    ///
    /// # Errors
    /// When none answers in time, or with something else.
    pub async fn ask(&self, subject: &str, body: &str) -> Result<Value> {
        let mut last = anyhow!("no server runs");
        for server in &self.servers {
            match timeout(ANSWER_WITHIN, ask(&server.url(), subject, body)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => last = error,
                Err(_elapsed) => last = anyhow!("{subject}: no answer within {ANSWER_WITHIN:?}"),
            }
        }
        Err(last)
    }

    /// What is known of a stream.
    ///
    /// # Errors
    /// There is none of that name, or no server that leads it.
    pub async fn stream(&self, name: &str) -> Result<StreamInfo> {
        let json = self.ask(&format!("$JS.API.STREAM.INFO.{name}"), "").await?;
        ensure!(json.get("error").is_none(), "{json}");
        Ok(StreamInfo { json })
    }

    /// Which of the servers, from 0, leads a stream; waits for an election.
    ///
    /// # Errors
    /// When none does in time.
    pub async fn leader_of(&self, stream: &str) -> Result<usize> {
        eventually("a leader of the stream", ELECTED_WITHIN, async || {
            let info = self.stream(stream).await?;
            let name = info.leader().with_context(|| format!("{}", info.json))?;
            let number = name.strip_prefix('n').and_then(|n| n.parse::<usize>().ok());
            Ok::<_, anyhow::Error>(number.context("another server")? - 1)
        })
        .await
    }

    /// Waits until each replica of a stream is up to date.
    ///
    /// # Errors
    /// When that does not come true.
    pub async fn wait_current(&self, stream: &str) -> Result<()> {
        eventually("all replicas to be current", ELECTED_WITHIN, async || {
            let info = self.stream(stream).await?;
            ensure!(info.current() == self.servers.len(), "{}", info.json);
            Ok(())
        })
        .await
    }
}

impl StreamInfo {
    /// The server that leads, where the servers form a cluster.
    #[must_use]
    pub fn leader(&self) -> Option<&str> {
        self.json["cluster"]["leader"].as_str()
    }

    /// How many replicas are up to date, the leader among them.
    #[must_use]
    pub fn current(&self) -> usize {
        let replicas = self.json["cluster"]["replicas"].as_array();
        let is_current = |r: &&Value| r["current"] == true && r["offline"] != true;
        1 + replicas.map_or(0, |all| all.iter().filter(is_current).count())
    }

    /// The position of the last message.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.json["state"]["last_seq"].as_u64().unwrap_or(0)
    }
}

async fn ask(url: &str, subject: &str, body: &str) -> Result<Value> {
    let client = async_nats::connect(url).await?;
    let answer = client
        .request(subject.to_owned(), body.to_owned().into())
        .await?;
    serde_json::from_slice(&answer.payload).with_context(|| format!("{subject}: not JSON"))
}
