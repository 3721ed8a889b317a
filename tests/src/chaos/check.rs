//! What must be so, whatever has happened.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};

use super::ledger::{Known, Ledger, Message};
use crate::harness::{Cluster, Node};

/// The contents that a node shows, from position 1 on without a gap.
async fn shown(node: &Node) -> Result<Vec<String>> {
    let list = node.http().get("/messages").await?.expect(200)?.json()?;
    let messages = list["messages"].as_array().context("messages")?;
    let mut contents = Vec::with_capacity(messages.len());
    for (before, message) in messages.iter().enumerate() {
        let name = node.name();
        ensure!(
            message["seq"] == before + 1,
            "{name} shows a gap: {message}"
        );
        contents.push(message["content"].as_str().context("content")?.to_owned());
    }
    Ok(contents)
}

fn is_at(list: &[String], seq: u64, content: &str) -> bool {
    let at = usize::try_from(seq)
        .ok()
        .and_then(|seq| list.get(seq.checked_sub(1)?));
    at.is_some_and(|there| there == content)
}

/// Before the nodes hear of each other: whoever was told `w` was told the truth.
pub(super) async fn what_the_disks_hold(
    cluster: &Cluster,
    told: &BTreeMap<String, Message>,
) -> Result<()> {
    let mut lists = Vec::new();
    for node in cluster.nodes() {
        lists.push(shown(node).await?);
    }
    for (content, message) in told.iter().filter(|(_, m)| !m.is_old) {
        let Known::Acknowledged { seq, w } = message.known else {
            continue;
        };
        let holders = lists.iter().filter(|l| is_at(l, seq, content)).count();
        ensure!(
            holders >= w,
            "{content} at {seq}: told {w}, on {holders} disks"
        );
    }
    Ok(())
}

/// In the end every node has everything that was acknowledged, where it was said to be, once, and nothing that was refused.
pub(super) async fn the_end(cluster: &Cluster, ledger: &Ledger) -> Result<()> {
    let list = shown(&cluster.master).await?;
    for node in cluster.nodes().skip(1) {
        ensure!(
            shown(node).await? == list,
            "{} shows another log",
            node.name()
        );
    }
    let different: BTreeSet<&String> = list.iter().collect();
    ensure!(different.len() == list.len(), "a message is there twice");
    let messages = ledger.messages();
    for (content, message) in &*messages {
        match message.known {
            Known::Acknowledged { seq, w } => {
                ensure!(
                    is_at(&list, seq, content),
                    "{content}, acknowledged by {w} at {seq}, is not there"
                );
            }
            Known::Refused => ensure!(
                !different.contains(content),
                "{content} was refused, and is there"
            ),
            Known::InLog { .. } | Known::Unknown => {}
        }
    }
    let stranger = list.iter().find(|content| !messages.contains_key(*content));
    ensure!(stranger.is_none(), "nobody sent {stranger:?}");
    Ok(())
}
