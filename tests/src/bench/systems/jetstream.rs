//! JetStream: three nats-servers in one cluster, a stream with three replicas in files.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use async_nats::Client;
use bytes::Bytes;
use futures_util::future::try_join_all;
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::timeout;

use super::{Process, System};
use crate::harness::ports::PortLease;
use crate::harness::{BrokerOptions, NatsServer, eventually};

const SERVERS: usize = 3;
const START_WITHIN: Duration = Duration::from_secs(30);
/// A question to JetStream that nobody is there to answer yet is asked again after so long.
const API_TIMEOUT: Duration = Duration::from_secs(2);
/// The name of the stream, and its only subject.
const LOG: &str = "log";

/// When the servers sync their files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// As they come: every two minutes.
    AsItComes,
    /// Before they answer.
    Always,
}

/// Three servers. Dropping it ends them.
#[derive(Debug)]
pub struct JetStream {
    /// The server that leads the stream, so that no request needs another step.
    leader: String,
    content: Bytes,
    servers: Vec<NatsServer>,
    /// For the servers among themselves.
    _routes: Vec<PortLease>,
    _store: TempDir,
}

impl JetStream {
    /// Starts them and makes the stream.
    ///
    /// # Errors
    /// A server does not start, or the stream cannot be made.
    pub async fn start(sync: Sync, content: &str) -> Result<Self> {
        let store = TempDir::with_prefix("replog-jetstream-").context("a directory")?;
        let ports = (0..SERVERS)
            .map(|_| PortLease::take())
            .collect::<Result<Vec<_>>>()?;
        let routes: Vec<String> = ports
            .iter()
            .map(|port| format!("\"nats://{}\"", port.addr()))
            .collect();
        let routes = routes.join(", ");
        let sync = match sync {
            Sync::AsItComes => "",
            Sync::Always => ", sync_interval: always",
        };
        let servers = ports.iter().enumerate().map(|(i, port)| {
            let home = store.path().join(format!("server{i}"));
            NatsServer::start(
                BrokerOptions::default()
                    .config(&format!("server_name: server{i}"))
                    .config(&format!(
                        "cluster {{ name: bench, listen: \"{}\", routes: [{routes}] }}",
                        port.addr()
                    ))
                    .config(&format!(
                        "jetstream {{ store_dir: \"{}\"{sync} }}",
                        home.display()
                    )),
            )
        });
        let servers = Box::pin(try_join_all(servers)).await?;
        let first = servers.first().context("a server")?.url();
        let leader = make_stream(&async_nats::connect(first).await?).await?;
        let leader = servers
            .get(leader)
            .with_context(|| format!("server{leader}"))?;
        Ok(Self {
            leader: leader.url(),
            content: content.to_owned().into(),
            servers,
            _routes: ports,
            _store: store,
        })
    }
}

/// Makes the stream, waits until all replicas follow, and says which server leads it.
async fn make_stream(client: &Client) -> Result<usize> {
    let config = json!({
        "name": LOG, "subjects": [LOG], "num_replicas": SERVERS, "storage": "file",
    });
    eventually("the stream to be made", START_WITHIN, async || {
        ask(client, "CREATE", &config).await.map(drop)
    })
    .await?;
    eventually(
        "the stream's replicas to follow",
        START_WITHIN,
        async || {
            let info = ask(client, "INFO", &Value::Null).await?;
            let cluster = &info["cluster"];
            let replicas = cluster["replicas"].as_array().context("no replicas")?;
            let current = replicas
                .iter()
                .filter(|replica| replica["current"] == true)
                .count();
            ensure!(current == SERVERS - 1, "{cluster}");
            let leader = cluster["leader"].as_str();
            leader
                .and_then(|name| name.strip_prefix("server")?.parse().ok())
                .with_context(|| format!("no leader: {cluster}"))
        },
    )
    .await
}

async fn ask(client: &Client, verb: &str, body: &Value) -> Result<Value> {
    let subject = format!("$JS.API.STREAM.{verb}.{LOG}");
    let body = if body.is_null() {
        Bytes::new()
    } else {
        body.to_string().into()
    };
    let answer = timeout(API_TIMEOUT, client.request(subject, body)).await??;
    let answer: Value = serde_json::from_slice(&answer.payload)?;
    match answer.get("error") {
        Some(error) => Err(anyhow!("{error}")),
        None => Ok(answer),
    }
}

impl System for JetStream {
    type Connection = Connection;

    async fn connect(&self) -> Result<Connection> {
        Ok(Connection {
            client: async_nats::connect(&self.leader).await?,
            content: self.content.clone(),
        })
    }

    async fn request(connection: &mut Connection) -> Result<()> {
        let content = connection.content.clone();
        let answer = connection.client.request(LOG, content).await?;
        match serde_json::from_slice::<PubAck>(&answer.payload) {
            Ok(PubAck { seq: 1.. }) => Ok(()),
            Ok(_) | Err(_) => bail!("{}", String::from_utf8_lossy(&answer.payload)),
        }
    }

    fn processes(&self) -> Vec<Process> {
        self.servers
            .iter()
            .map(|server| Process::new("nats-server", server.pid()))
            .collect()
    }
}

/// A client with a connection of its own.
#[derive(Debug)]
pub struct Connection {
    client: Client,
    content: Bytes,
}

/// What tells that a message is in the stream; an error has no `seq`.
#[derive(Debug, Deserialize)]
struct PubAck {
    seq: u64,
}
