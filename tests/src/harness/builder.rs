//! Describes a cluster, and starts it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use futures_util::future::try_join_all;
use tempfile::TempDir;

use super::cluster::Cluster;
use super::nats_server::{BrokerOptions, NatsServer};
use super::process::Node;
use super::spec::{NodeSpec, Role};

/// Settings under which failures are noticed within a second. [`ClusterBuilder::env`] overrides them.
const FAST: [(&str, &str); 6] = [
    ("REPLOG_HEARTBEAT_INTERVAL", "100ms"),
    ("REPLOG_SUSPECT_AFTER", "300ms"),
    ("REPLOG_UNHEALTHY_AFTER", "1s"),
    ("REPLOG_RETRY_MIN", "20ms"),
    ("REPLOG_RETRY_MAX", "500ms"),
    ("REPLOG_RECOVERY_TIMEOUT", "1s"),
];

/// What the cluster should look like.
#[derive(Debug, Clone, Default)]
pub struct ClusterBuilder {
    secondaries: usize,
    absent: BTreeSet<usize>,
    listed: bool,
    durable: bool,
    broker: BrokerOptions,
    env: BTreeMap<String, String>,
    master_args: Vec<String>,
    secondary_args: BTreeMap<usize, Vec<String>>,
}

impl ClusterBuilder {
    /// How many secondaries: `secondary1`, `secondary2`, …
    #[must_use]
    pub fn secondaries(mut self, count: usize) -> Self {
        self.secondaries = count;
        self
    }

    /// Secondary `i` (from 1) is a member but is not started; see [`Cluster::start_secondary`].
    #[must_use]
    pub fn absent(mut self, i: usize) -> Self {
        self.absent.insert(i);
        self
    }

    /// Tell the master the members' names (`--secondaries`), else whoever joins is one.
    #[must_use]
    pub fn listed(mut self, listed: bool) -> Self {
        self.listed = listed;
        self
    }

    /// Each node keeps its log in a directory of its own, across restarts.
    #[must_use]
    pub fn durable(mut self, durable: bool) -> Self {
        self.durable = durable;
        self
    }

    /// An unusual broker.
    #[must_use]
    pub fn broker(mut self, options: BrokerOptions) -> Self {
        self.broker = options;
        self
    }

    /// A variable for every node.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// A flag with a value for the master.
    #[must_use]
    pub fn master_arg(self, flag: &str, value: &str) -> Self {
        self.master_args([flag, value])
    }

    /// Flags for the master.
    #[must_use]
    pub fn master_args<'a>(mut self, args: impl IntoIterator<Item = &'a str>) -> Self {
        self.master_args.extend(args.into_iter().map(str::to_owned));
        self
    }

    /// Flags for secondary `i` (from 1).
    #[must_use]
    pub fn secondary_args<'a>(mut self, i: usize, args: impl IntoIterator<Item = &'a str>) -> Self {
        self.secondary_args
            .entry(i)
            .or_default()
            .extend(args.into_iter().map(str::to_owned));
        self
    }

    /// Starts everything and waits until each node answers `/livez`, not until they know each other.
    ///
    /// # Errors
    /// When a process does not start.
    pub async fn start(self) -> Result<Cluster> {
        let dir = TempDir::with_prefix("replog-cluster-").context("a directory for the cluster")?;
        let broker = NatsServer::start(self.broker.clone()).await?;
        let nodes = try_join_all((0..=self.secondaries).map(async |i| {
            let spec = self.spec(i, &broker, &dir);
            if self.absent.contains(&i) {
                Node::reserve(spec)
            } else {
                Node::start(spec).await
            }
        }));
        let mut secondaries = Box::pin(nodes).await?;
        let master = secondaries.remove(0);
        Ok(Cluster {
            master,
            secondaries,
            broker,
            dir,
        })
    }

    /// Starts everything, runs `test`, and panics if it fails, while every node is still there to say what it wrote.
    ///
    /// # Panics
    /// When the cluster does not start or `test` returns an error.
    pub async fn run(self, test: impl AsyncFnOnce(&mut Cluster) -> Result<()>) {
        let mut cluster = Box::pin(self.start()).await.expect("the cluster starts");
        if let Err(error) = test(&mut cluster).await {
            panic!("{error:?}");
        }
    }

    /// Node 0 is the master.
    fn spec(&self, i: usize, broker: &NatsServer, dir: &TempDir) -> NodeSpec {
        let name = if i == 0 {
            "master".to_owned()
        } else {
            format!("secondary{i}")
        };
        let mut env: BTreeMap<String, String> =
            FAST.map(|(key, value)| (key.into(), value.into())).into();
        env.insert("NATS_URL".into(), broker.url());
        if self.durable {
            let data = dir.path().join(format!("data-{name}"));
            env.insert("REPLOG_DATA_DIR".into(), data.display().to_string());
        }
        if i == 0 && self.listed {
            let names: Vec<String> = (1..=self.secondaries)
                .map(|i| format!("secondary{i}"))
                .collect();
            env.insert("REPLOG_SECONDARIES".into(), names.join(","));
        }
        env.extend(self.env.clone());
        let args = if i == 0 {
            self.master_args.clone()
        } else {
            self.secondary_args.get(&i).cloned().unwrap_or_default()
        };
        let role = if i == 0 {
            Role::Master
        } else {
            Role::Secondary
        };
        let env = env.into_iter().collect();
        NodeSpec {
            role,
            name,
            args,
            env,
            inherit_settings: false,
            port: None,
            dir: dir.path().into(),
        }
    }
}
