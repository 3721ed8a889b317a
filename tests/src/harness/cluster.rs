//! A broker, a master and N secondaries, and the questions every test asks them.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::answer::Answer;
use super::builder::ClusterBuilder;
use super::eventually::eventually;
use super::http::Pending;
use super::nats_server::NatsServer;
use super::process::Node;

const SETTLE_WITHIN: Duration = Duration::from_secs(20);

/// A running cluster. Dropping it ends every process, and prints what they wrote if a test is failing.
#[derive(Debug)]
pub struct Cluster {
    /// The master.
    pub master: Node,
    pub(super) secondaries: Vec<Node>,
    /// The broker.
    pub broker: NatsServer,
    pub(super) dir: TempDir,
}

impl Cluster {
    /// An empty description: no secondary, open membership, in memory, fast deadlines.
    #[must_use]
    pub fn builder() -> ClusterBuilder {
        ClusterBuilder::default()
    }

    /// Secondary `i`, from 1.
    ///
    /// # Panics
    /// When the cluster has fewer.
    #[must_use]
    pub fn secondary(&self, i: usize) -> &Node {
        &self.secondaries[i - 1]
    }

    /// Secondary `i`, from 1, to be disturbed.
    ///
    /// # Panics
    /// When the cluster has fewer.
    pub fn secondary_mut(&mut self, i: usize) -> &mut Node {
        &mut self.secondaries[i - 1]
    }

    /// Every node, the master first.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        std::iter::once(&self.master).chain(&self.secondaries)
    }

    /// A directory that lives as long as the cluster.
    #[must_use]
    pub fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// Starts secondary `i`, from 1, for the first time or again, and waits until it is live.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start_secondary(&mut self, i: usize) -> Result<()> {
        self.secondary_mut(i).restart().await
    }

    /// Kills secondary `i`, from 1 (SIGKILL).
    ///
    /// # Errors
    /// When the operating system refuses.
    pub async fn kill_secondary(&mut self, i: usize) -> Result<()> {
        self.secondary_mut(i).kill().await
    }

    /// Kills every node at once, but not the broker.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub async fn kill_nodes(&mut self) -> Result<()> {
        for node in std::iter::once(&mut self.master).chain(&mut self.secondaries) {
            node.kill().await?;
        }
        Ok(())
    }

    /// Starts every node again, the master first.
    ///
    /// # Errors
    /// When one does not start.
    pub async fn start_nodes(&mut self) -> Result<()> {
        for node in std::iter::once(&mut self.master).chain(&mut self.secondaries) {
            node.restart().await?;
        }
        Ok(())
    }

    /// Waits until exactly `count` members are `healthy` on the master's `/health`.
    ///
    /// # Errors
    /// When that does not come true.
    pub async fn wait_healthy(&self, count: usize) -> Result<()> {
        wait_healthy(&self.master, count).await
    }

    /// Appends one message; the answer is whatever the master says, refusals too.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn post(&self, content: &str, w: impl Into<Value>) -> Result<Answer> {
        self.master
            .http()
            .post("/messages", &message(content, w))
            .await
    }

    /// Appends one message without waiting for the answer.
    #[must_use]
    pub fn post_pending(&self, content: &str, w: impl Into<Value>) -> Pending {
        self.master
            .http()
            .post_pending("/messages", &message(content, w))
    }

    /// The contents that a node shows, in its order.
    ///
    /// # Errors
    /// When it gives no list.
    pub async fn messages_of(&self, node: &Node) -> Result<Vec<String>> {
        messages_of(node).await
    }

    /// Waits until a node shows exactly these contents in this order.
    ///
    /// # Errors
    /// When that does not come true.
    pub async fn wait_messages(&self, node: &Node, expected: &[&str]) -> Result<()> {
        let what = format!("{} to show {expected:?}", node.name());
        eventually(&what, SETTLE_WITHIN, async || {
            let shown = messages_of(node).await?;
            ensure!(shown == expected, "{shown:?}");
            Ok(())
        })
        .await
    }
}

/// See [`Cluster::wait_healthy`].
///
/// # Errors
/// As there.
pub async fn wait_healthy(master: &Node, count: usize) -> Result<()> {
    let what = format!("{count} healthy members");
    eventually(&what, SETTLE_WITHIN, async || {
        let health = master.http().get("/health").await?.json()?;
        let members = health["members"]
            .as_array()
            .ok_or_else(|| anyhow!("no members: {health}"))?;
        let healthy = members
            .iter()
            .filter(|member| member["status"] == "healthy")
            .count();
        ensure!(healthy == count, "{healthy} are: {health}");
        Ok(())
    })
    .await
}

/// See [`Cluster::messages_of`].
///
/// # Errors
/// As there.
pub async fn messages_of(node: &Node) -> Result<Vec<String>> {
    let list = node.http().get("/messages").await?.expect(200)?.json()?;
    let messages = list["messages"]
        .as_array()
        .with_context(|| format!("no messages: {list}"))?;
    messages
        .iter()
        .map(|one| {
            one["content"]
                .as_str()
                .map(str::to_owned)
                .context("a content")
        })
        .collect()
}

fn message(content: &str, w: impl Into<Value>) -> Value {
    json!({"content": content, "w": w.into()})
}
