//! What must be so in the end.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Report;
use super::readers::Seen;
use crate::chaos::ledger::{Known, Ledger};
use crate::harness::HaCluster;

/// An election that takes so long is told to the clients, and not waited out in silence.
const TOLD_AFTER: Duration = Duration::from_secs(3);

/// Everything that was acknowledged is in `list`, which every node shows, once, at its position; nothing that was refused is;
/// and nobody has ever shown something else.
pub(super) async fn the_end(
    cluster: &HaCluster,
    list: &Value,
    ledger: &Ledger,
    seen: &Mutex<Seen>,
) -> Result<()> {
    let entries = list["messages"].as_array().context("messages")?;
    let mut at = BTreeMap::new();
    {
        let mut seen = seen.lock().expect("nobody panics with it");
        let last = seen.last();
        ensure!(
            last <= entries.len() as u64,
            "{last} was shown, and the log ends at {}",
            entries.len()
        );
        for (before, entry) in entries.iter().enumerate() {
            ensure!(entry["seq"] == before + 1, "a gap: {entry}");
            seen.shown("the end", entry)?;
            let content = entry["content"].as_str().context("content")?;
            let twice = at.insert(content, before as u64 + 1);
            ensure!(
                twice.is_none(),
                "{content} is there twice: {twice:?}, {entry}"
            );
        }
    }
    let messages = ledger.messages().clone();
    for (content, message) in &messages {
        let is_at = at.get(content.as_str()).copied();
        match message.known {
            Known::Acknowledged { seq, w } => ensure!(
                is_at == Some(seq),
                "{content}, acknowledged by {w} at {seq}, is at {is_at:?}"
            ),
            Known::InLog { seq } => ensure!(
                is_at == Some(seq),
                "{content}, said to be in the log at {seq}, is at {is_at:?}"
            ),
            Known::Refused => ensure!(
                is_at.is_none(),
                "{content} was refused, and is at {is_at:?}"
            ),
            Known::Unknown => {}
        }
    }
    let stranger = at
        .keys()
        .find(|c| **c != "the first" && !messages.contains_key(**c));
    ensure!(stranger.is_none(), "nobody sent {stranger:?}");
    // What leaves the master is in the stream: nobody ever has to give up an entry.
    for node in cluster.nodes() {
        let diverged = node.http().get("/diverged").await?.expect(200)?.json()?;
        let health = node.http().get("/health").await?.expect(200)?.json()?;
        ensure!(
            health["put_aside"].as_u64().unwrap_or(0) == 0,
            "{} gave up entries: {diverged}",
            node.name()
        );
    }
    Ok(())
}

/// A run in which nothing was disturbed shows nothing.
pub(super) fn something_happened(report: &Report) -> Result<()> {
    let takeovers = report.takeovers.len() + report.takeovers_in_elections;
    ensure!(
        takeovers >= 3 && !report.elections.is_empty() && report.followers_killed > 0,
        "too little has happened: {report}"
    );
    let is_long = report.elections.iter().any(|took| *took > TOLD_AFTER);
    ensure!(
        !is_long || report.reasons.contains_key("503 journal"),
        "nobody was told that the journal does not answer: {report}"
    );
    Ok(())
}
