//! Masters that share a journal in a JetStream stream, their secondaries, and the brokers that keep the stream.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::answer::Answer;
use super::eventually::eventually;
use super::http::HttpClient;
use super::nats_cluster::{ELECTED_WITHIN, NatsCluster};
use super::nats_server::BrokerOptions;
use super::process::Node;
use super::proxy::Proxy;
use super::spec::{NodeSpec, Role};

/// The stream of a cluster that was given no other name.
pub const STREAM: &str = "replog-default";
/// What is sent on to another master so often has nobody who leads.
const MAX_HOPS: usize = 20;

/// How long a whole log may take, of a node that answers at all.
const LIST_WITHIN: Duration = Duration::from_secs(5);

/// How often masters show that they live; a standby takes over after two of them. Long enough for a busy machine.
pub const HEARTBEAT: Duration = Duration::from_millis(500);

/// What the cluster should look like.
#[derive(Debug, Clone)]
pub struct HaClusterBuilder {
    brokers: usize,
    broker: BrokerOptions,
    masters: usize,
    absent_masters: usize,
    secondaries: usize,
    durable: bool,
    is_cuttable: bool,
    env: BTreeMap<String, String>,
}

/// A running cluster. Dropping it ends every process.
#[derive(Debug)]
pub struct HaCluster {
    /// The masters: `master1`, `master2`, …
    pub masters: Vec<Node>,
    /// The secondaries: `secondary1`, …
    pub secondaries: Vec<Node>,
    /// The brokers.
    pub brokers: NatsCluster,
    /// For each master: what stands between it and each broker, where that was asked for.
    pub networks: Vec<Network>,
    dir: TempDir,
}

/// What stands between one master and the brokers.
#[derive(Debug, Default)]
pub struct Network(Vec<Proxy>);

impl Network {
    /// The master hears nothing from here on, and is not heard.
    pub fn cut(&self) {
        self.0.iter().for_each(Proxy::cut);
    }

    /// It is connected again, and what was on its way arrives.
    pub fn heal(&self) {
        self.0.iter().for_each(Proxy::heal);
    }
}

impl HaCluster {
    /// Two masters and one broker, no secondary, logs in memory, one replica.
    #[must_use]
    pub fn builder() -> HaClusterBuilder {
        HaClusterBuilder {
            brokers: 1,
            broker: BrokerOptions::default(),
            masters: 2,
            absent_masters: 0,
            secondaries: 0,
            durable: false,
            is_cuttable: false,
            env: BTreeMap::new(),
        }
    }

    /// A directory that lives as long as the cluster: each node's log file is there, and `data-<name>` where they are durable.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Every node, the masters first.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.masters.iter().chain(&self.secondaries)
    }

    /// Waits until a master serves; which one, from 0.
    ///
    /// # Errors
    /// When none does in time.
    pub async fn active(&self) -> Result<usize> {
        active_of(&self.masters).await
    }

    /// The master that leads, and one that stands by and is there; waits for both.
    ///
    /// # Errors
    /// When that does not come true.
    pub async fn active_and_standby(&self) -> Result<(usize, usize)> {
        eventually("a master that stands by", ELECTED_WITHIN, async || {
            let active = self.active().await?;
            for (i, master) in self.masters.iter().enumerate() {
                let health = health(master).await.unwrap_or_default();
                // It knows who leads: it has read the stream, and heard the other one.
                if i != active && health["role"] == "standby" && !health["active"].is_null() {
                    return Ok((active, i));
                }
            }
            Err(anyhow!("none does"))
        })
        .await
    }

    /// Appends one message, wherever that is: asks the first master, and follows whom it names. The answer, refusals too.
    ///
    /// # Errors
    /// When nobody leads, or no answer comes.
    pub async fn post(&self, content: &str, w: impl Into<Value>) -> Result<Answer> {
        let body = json!({"content": content, "w": w.into()});
        let mut at = 0;
        for _ in 0..MAX_HOPS {
            let answer = self.masters[at].http().post("/messages", &body).await?;
            if !is_standby(&answer)? {
                return Ok(answer);
            }
            at = match self.named_by(&answer) {
                Some(named) => named,
                None => self.active().await?,
            };
        }
        Err(anyhow!("sent on {MAX_HOPS} times"))
    }

    /// The master that a standby names in `Location`, if it names one.
    #[must_use]
    pub fn named_by(&self, answer: &Answer) -> Option<usize> {
        let location = answer.header("location")?;
        let path = |node: &Node| format!("{}/messages", node.url());
        self.masters.iter().position(|m| path(m) == location)
    }

    /// Waits until every node that runs shows the same log as the one that leads, byte for byte; the list.
    ///
    /// # Errors
    /// When that does not come true.
    pub async fn wait_equal(&self) -> Result<Value> {
        self.wait_settled(ELECTED_WITHIN).await
    }

    /// The same, within another time.
    ///
    /// # Errors
    /// As there.
    pub async fn wait_settled(&self, within: Duration) -> Result<Value> {
        wait_equal(&self.masters, &self.secondaries, within).await
    }
}

/// Whether a master has refused because it stands by.
///
/// # Errors
/// When a refusal is no JSON.
pub fn is_standby(answer: &Answer) -> Result<bool> {
    Ok(answer.status == 503 && answer.json()?["reason"] == "standby")
}

/// A node's `/health`, asked for a second at most: a paused one does not answer.
///
/// # Errors
/// When it does not answer in time.
pub async fn health(node: &Node) -> Result<Value> {
    let http = node.http().with_deadline(Duration::from_secs(1));
    http.get("/health").await?.expect(200)?.json()
}

/// See [`HaCluster::active`].
///
/// # Errors
/// As there.
pub async fn active_of(masters: &[Node]) -> Result<usize> {
    eventually("a master that serves", ELECTED_WITHIN, async || {
        let asked = masters.iter().map(async |master| health(master).await.ok());
        let said = futures_util::future::join_all(asked).await;
        let leads = |said: &Option<Value>| {
            let said = said.as_ref()?;
            let serves = said["role"] == "master" && said["status"] == "ok";
            serves.then(|| said["epoch"].as_u64())?
        };
        // One that was paused does not know yet that another one has taken over: the higher epoch leads.
        let epochs = said
            .iter()
            .enumerate()
            .filter_map(|(i, s)| Some((leads(s)?, i)));
        let found = epochs.max().map(|(_, i)| i);
        found.with_context(|| format!("{said:?}"))
    })
    .await
}

async fn wait_equal(masters: &[Node], secondaries: &[Node], within: Duration) -> Result<Value> {
    eventually("every node to show the same log", within, async || {
        let active = active_of(masters).await?;
        let ours = list(&masters[active].http()).await?;
        for node in masters.iter().chain(secondaries) {
            if node.pid().is_none() {
                continue;
            }
            let theirs = list(&node.http()).await?;
            ensure!(
                theirs.body == ours.body,
                "{} shows {} bytes, {} shows {}",
                node.name(),
                theirs.body.len(),
                masters[active].name(),
                ours.body.len()
            );
        }
        ours.json()
    })
    .await
}

async fn list(http: &HttpClient) -> Result<Answer> {
    let http = http.with_deadline(LIST_WITHIN);
    http.get("/messages").await?.expect(200)
}

impl HaClusterBuilder {
    /// How many brokers, 1 or 3; so many replicas has the stream.
    #[must_use]
    pub fn brokers(mut self, count: usize) -> Self {
        self.brokers = count;
        self
    }

    /// Something unusual about the brokers.
    #[must_use]
    pub fn broker(mut self, options: BrokerOptions) -> Self {
        self.broker = options;
        self
    }

    /// How many masters.
    #[must_use]
    pub fn masters(mut self, count: usize) -> Self {
        self.masters = count;
        self
    }

    /// The last so many masters have a port but are not started.
    #[must_use]
    pub fn absent_masters(mut self, count: usize) -> Self {
        self.absent_masters = count;
        self
    }

    /// How many secondaries, all of them listed.
    #[must_use]
    pub fn secondaries(mut self, count: usize) -> Self {
        self.secondaries = count;
        self
    }

    /// Each node keeps its log, and a master its copy of the stream, in a directory of its own.
    #[must_use]
    pub fn durable(mut self, durable: bool) -> Self {
        self.durable = durable;
        self
    }

    /// Each master reaches the brokers through a network that can be cut.
    #[must_use]
    pub fn cuttable(mut self) -> Self {
        self.is_cuttable = true;
        self
    }

    /// A variable for every node.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Starts everything and waits until each node answers `/livez`, not until one of the masters leads.
    ///
    /// # Errors
    /// When a process does not start.
    pub async fn start(self) -> Result<HaCluster> {
        let dir = TempDir::with_prefix("replog-ha-").context("a directory for the cluster")?;
        let brokers = NatsCluster::start(self.brokers, &self.broker).await?;
        brokers.wait_ready().await?;
        let (mut networks, mut specs) = (Vec::new(), Vec::new());
        for i in 1..=self.masters {
            let mut urls = brokers.urls();
            if self.is_cuttable {
                let (network, through) = network(&brokers).await?;
                networks.push(network);
                urls = through;
            }
            let spec = self.spec(Role::Master, format!("master{i}"), &urls, &dir);
            specs.push((spec, i <= self.masters - self.absent_masters));
        }
        for i in 1..=self.secondaries {
            let name = format!("secondary{i}");
            specs.push((
                self.spec(Role::Secondary, name, &brokers.urls(), &dir),
                true,
            ));
        }
        let nodes = try_join_all(specs.into_iter().map(async |(spec, is_started)| {
            if is_started {
                Node::start(spec).await
            } else {
                Node::reserve(spec)
            }
        }));
        let mut masters = Box::pin(nodes).await?;
        let secondaries = masters.split_off(self.masters);
        Ok(HaCluster {
            masters,
            secondaries,
            brokers,
            networks,
            dir,
        })
    }

    /// Starts everything, runs `test`, and panics if it fails, with the last words of each node.
    ///
    /// # Panics
    /// When the cluster does not start or `test` returns an error.
    pub async fn run(self, test: impl AsyncFnOnce(&mut HaCluster) -> Result<()>) {
        let mut cluster = Box::pin(self.start()).await.expect("the cluster starts");
        if let Err(error) = Box::pin(test(&mut cluster)).await {
            for node in cluster.nodes() {
                eprintln!("--- {}\n{}", node.name(), node.log_tail(40));
            }
            panic!("{error:?}");
        }
    }

    fn spec(&self, role: Role, name: String, brokers: &str, dir: &TempDir) -> NodeSpec {
        let mut env: BTreeMap<String, String> = BTreeMap::new();
        let mut set = |key: &str, value: String| env.insert(key.to_owned(), value);
        set("NATS_URL", brokers.to_owned());
        set(
            "REPLOG_HEARTBEAT_INTERVAL",
            format!("{}ms", HEARTBEAT.as_millis()),
        );
        set("REPLOG_RETRY_MIN", "20ms".into());
        set("REPLOG_RETRY_MAX", "500ms".into());
        if self.durable {
            let data = dir.path().join(format!("data-{name}"));
            set("REPLOG_DATA_DIR", data.display().to_string());
        }
        if role == Role::Master {
            set("REPLOG_STORE", "jetstream".into());
            set("REPLOG_JOURNAL_REPLICAS", self.brokers.to_string());
            if self.secondaries > 0 {
                let names: Vec<String> = (1..=self.secondaries)
                    .map(|i| format!("secondary{i}"))
                    .collect();
                set("REPLOG_SECONDARIES", names.join(","));
            }
        }
        env.extend(self.env.clone());
        NodeSpec {
            role,
            name,
            args: Vec::new(),
            env: env.into_iter().collect(),
            inherit_settings: false,
            port: None,
            dir: dir.path().into(),
        }
    }
}

/// A way to each broker that can be cut, and its URLs.
async fn network(brokers: &NatsCluster) -> Result<(Network, String)> {
    let (mut proxies, mut urls) = (Vec::new(), Vec::new());
    for broker in brokers.servers() {
        let proxy = Proxy::start(([127, 0, 0, 1], broker.port()).into()).await?;
        urls.push(format!("nats://{}", proxy.addr()));
        proxies.push(proxy);
    }
    Ok((Network(proxies), urls.join(",")))
}
