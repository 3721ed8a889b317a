//! `committed`: only what so many nodes have held at one time, on every node, and never less than before.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use replog_tests::harness::{Cluster, HttpClient, Node, eventually};
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::streams::Stream;
use crate::support::{SOON, refused, wait_equal};

/// How often a node is asked that may be away.
const ASK_EVERY: Duration = Duration::from_millis(10);

async fn list(node: &Node, query: &str) -> Result<Value> {
    let answer = node.http().get(&format!("/messages?{query}")).await?;
    answer.expect(200)?.json()
}

/// How many entries a node shows as held by so many; they are the first ones, and so many are said to be committed.
async fn committed(node: &Node, by: &str) -> Result<u64> {
    let list = list(node, &format!("committed={by}")).await?;
    let messages = list["messages"].as_array().context("messages")?;
    let last = messages
        .last()
        .map_or(0, |one| one["seq"].as_u64().unwrap_or(0));
    ensure!(last == messages.len() as u64, "{list}");
    ensure!(list["committed_seq"] == last, "{list}");
    Ok(last)
}

async fn wait_committed(node: &Node, by: &str, expected: u64) -> Result<()> {
    let what = format!("{} to show {expected} entries as held by {by}", node.name());
    eventually(&what, SOON, async || {
        let shown = committed(node, by).await?;
        ensure!(shown == expected, "{shown}");
        Ok(())
    })
    .await
}

/// A poll that is on its way.
fn poll(node: &Node, path: &str) -> JoinHandle<Result<Value>> {
    let (http, path): (HttpClient, String) = (node.http(), path.to_owned());
    tokio::spawn(async move { http.get(&path).await?.expect(200)?.json() })
}

#[tokio::test]
async fn what_a_dead_node_lacks_is_committed_when_it_is_back() {
    let builder = Cluster::builder().secondaries(2).listed(true);
    builder
        .run(async |cluster| {
            for i in 1..=3 {
                cluster
                    .post(&format!("message {i}"), 3)
                    .await?
                    .expect(200)?;
            }
            for node in cluster.nodes() {
                for by in ["1", "2", "3", "majority", "all"] {
                    wait_committed(node, by, 3).await?;
                }
                ensure!(committed(node, "4").await? == 0);
            }
            cluster.kill_secondary(2).await?;
            for i in 4..=5 {
                cluster
                    .post(&format!("message {i}"), 2)
                    .await?
                    .expect(200)?;
            }
            let mut waiting = Vec::new();
            for node in [&cluster.master, cluster.secondary(1)] {
                for (by, expected) in [("1", 5), ("2", 5), ("majority", 5), ("3", 3), ("all", 3)] {
                    wait_committed(node, by, expected).await?;
                }
                let all = list(node, "committed=all").await?;
                ensure!(all["last_seq"] == 5 && all["committed_seq"] == 3, "{all}");
                // The entry is here, and is not shown; nothing more is waited for than the time.
                let least = "/messages?committed=all&min_seq=4&wait=100ms";
                let problem = refused(node.http().get(least).await?, 504)?;
                ensure!(
                    problem["last_seq"] == 5 && problem["committed_seq"] == 3,
                    "{problem}"
                );

                let polls = ["from=4&", "min_seq=5&from=4&"]
                    .map(|first| poll(node, &format!("/messages?{first}committed=all&wait=25s")));
                let path = "/messages/stream?from=3&committed=all";
                let lines = [("accept", "application/x-ndjson")];
                let events = Stream::open(node.addr(), path, &[]).await?;
                let mut lines = Stream::open(node.addr(), path, &lines).await?;
                ensure!(
                    lines
                        .next("\n")
                        .await?
                        .is_some_and(|line| line.contains("\"seq\":3,"))
                );
                ensure!(polls.iter().all(|poll| !poll.is_finished()));
                waiting.push((polls, events, lines));
            }
            // It comes back empty, and what was committed stays so meanwhile.
            cluster.start_secondary(2).await?;
            for (polls, mut events, mut lines) in waiting {
                for poll in polls {
                    let list = poll.await??;
                    ensure!(list["messages"][0]["seq"] == 4, "{list}");
                    let committed = list["committed_seq"].as_u64();
                    ensure!(committed.is_some_and(|seq| seq >= 4), "{list}");
                }
                for seq in 4..=5 {
                    let line = lines.next("\n").await?.context("a line")?;
                    ensure!(line.contains(&format!("\"seq\":{seq},")), "{line}");
                }
                let mut text = String::new();
                while !text.contains("\"seq\":5,") {
                    text.push_str(&events.next("\n\n").await?.context("an event")?);
                }
            }
            for node in cluster.nodes() {
                wait_committed(node, "all", 5).await?;
            }
            Ok(())
        })
        .await;
}

/// Asks a node again and again, also while it is away, and fails where it shows less than before.
fn watch(node: &Node, by: &'static str, is_over: Arc<AtomicBool>) -> JoinHandle<Result<u64>> {
    let http = node.http().with_deadline(Duration::from_secs(5));
    let name = node.name().to_owned();
    tokio::spawn(async move {
        let path = format!("/messages?limit=1&committed={by}");
        let (mut highest, mut answers) = (0, 0);
        while !is_over.load(Ordering::Relaxed) {
            tokio::time::sleep(ASK_EVERY).await;
            let Ok(answer) = http.get(&path).await else {
                continue;
            };
            if answer.status != 200 {
                continue;
            }
            let shown = answer.json()?["committed_seq"]
                .as_u64()
                .context("committed_seq")?;
            ensure!(
                shown >= highest,
                "{name} shows {shown} after {highest}, {by}"
            );
            (highest, answers) = (shown, answers + 1);
        }
        ensure!(answers > 0, "{name} never answered");
        Ok(highest)
    })
}

#[tokio::test]
async fn it_never_goes_back_over_a_start_of_nodes_on_disks() {
    let builder = Cluster::builder().secondaries(2).listed(true).durable(true);
    builder
        .run(async |cluster| {
            let is_over = Arc::new(AtomicBool::new(false));
            let mut watches = Vec::new();
            for node in cluster.nodes() {
                for by in ["majority", "all"] {
                    watches.push(watch(node, by, Arc::clone(&is_over)));
                }
            }
            for i in 1..=10 {
                cluster
                    .post(&format!("message {i}"), 3)
                    .await?
                    .expect(200)?;
            }
            for node in cluster.nodes() {
                wait_committed(node, "all", 10).await?;
            }
            // Killed, all at once: each one shows what it has shown, by itself.
            cluster.kill_nodes().await?;
            cluster.start_secondary(1).await?;
            for by in ["2", "3", "majority", "all"] {
                ensure!(committed(cluster.secondary(1), by).await? == 10, "{by}");
            }
            cluster.start_secondary(2).await?;
            ensure!(committed(cluster.secondary(2), "all").await? == 10);
            cluster.master.restart().await?;
            wait_committed(&cluster.master, "all", 10).await?;
            for i in 11..=15 {
                cluster
                    .post(&format!("message {i}"), 3)
                    .await?
                    .expect(200)?;
            }
            ensure!(cluster.secondary_mut(1).terminate().await? == 0);
            cluster.post("message 16", 2).await?.expect(200)?;
            ensure!(cluster.master.terminate().await? == 0);
            cluster.master.restart().await?;
            cluster.start_secondary(1).await?;
            cluster.post("message 17", 3).await?.expect(200)?;
            for node in cluster.nodes() {
                wait_committed(node, "all", 17).await?;
            }
            is_over.store(true, Ordering::Relaxed);
            for watch in watches {
                watch.await??;
            }
            ensure!(wait_equal(cluster).await?.len() == 17);
            Ok(())
        })
        .await;
}
