//! `GET /health/stream`: a node's health as it changes.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use replog_tests::harness::{Cluster, Node};
use rustix::process::Signal;
use serde_json::Value;

use crate::streams::Stream;
use crate::support::{AT_ONCE, SOON, ends_within, health};

/// An open stream of a node's health.
struct Watched(Stream);

impl Watched {
    async fn open(node: &Node) -> Result<Self> {
        let stream = Stream::open(node.addr(), "/health/stream", &[]).await?;
        let kind = stream.header("content-type");
        ensure!(kind == Some("text/event-stream"), "{kind:?}");
        ensure!(stream.header("x-accel-buffering") == Some("no"));
        Ok(Self(stream))
    }

    /// The next event; `None` at the end.
    async fn next(&mut self) -> Result<Option<Value>> {
        let Some(event) = self.0.next("\n\n").await? else {
            return Ok(None);
        };
        let data = event.strip_prefix("event: health\ndata: ");
        let data = data.with_context(|| event.clone())?;
        Ok(Some(serde_json::from_str(data)?))
    }

    /// The first event that is so.
    async fn until(&mut self, what: &str, mut is_so: impl FnMut(&Value) -> bool) -> Result<Value> {
        let began = Instant::now();
        while began.elapsed() < SOON {
            let health = self.next().await?.context("the stream has ended")?;
            if is_so(&health) {
                return Ok(health);
            }
        }
        anyhow::bail!("no {what}")
    }
}

#[tokio::test]
async fn it_begins_whole_and_is_sent_again_when_something_changes_or_two_seconds_have_passed() {
    let builder = Cluster::builder().secondaries(2).listed(true);
    builder
        .run(async |cluster| {
            cluster.post("one", 3).await?.expect(200)?;
            for node in cluster.nodes() {
                let mut watched = Watched::open(node).await?;
                let first = watched.next().await?.context("an event")?;
                let now = health(node).await?;
                let fields = |health: &Value| -> Vec<String> {
                    health
                        .as_object()
                        .into_iter()
                        .flatten()
                        .map(|(k, _)| k.clone())
                        .collect()
                };
                ensure!(fields(&first) == fields(&now), "{first} and {now}");
                let began = Instant::now();
                for _ in 0..3 {
                    watched.next().await?.context("an event")?;
                }
                ensure!(began.elapsed() < 3 * AT_ONCE, "{:?}", began.elapsed());
            }
            let mut of_master = Watched::open(&cluster.master).await?;
            let mut of_secondary = Watched::open(cluster.secondary(1)).await?;
            cluster.post("two", 3).await?.expect(200)?;
            for watched in [&mut of_master, &mut of_secondary] {
                watched.until("entry 2", |h| h["last_seq"] == 2).await?;
            }
            cluster.kill_secondary(2).await?;
            let is_away = |h: &Value| h["members"][1]["status"] == "unhealthy";
            of_master.until("secondary2 away", is_away).await?;
            cluster.start_secondary(2).await?;
            let is_back = |h: &Value| h["members"][1]["status"] == "healthy";
            of_master.until("secondary2 back", is_back).await?;
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn it_ends_at_a_stop_and_delays_none() {
    let builder = Cluster::builder().secondaries(1);
    builder
        .run(async |cluster| {
            cluster.wait_healthy(1).await?;
            let mut streams = Vec::new();
            for node in cluster.nodes() {
                let mut watched = Watched::open(node).await?;
                watched.next().await?.context("an event")?;
                streams.push(watched);
            }
            ends_within(cluster.secondary_mut(1), Signal::TERM, AT_ONCE).await?;
            ends_within(&mut cluster.master, Signal::TERM, AT_ONCE).await?;
            for watched in &mut streams {
                while watched.next().await?.is_some() {}
            }
            Ok(())
        })
        .await;
}
