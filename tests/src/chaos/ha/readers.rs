//! Readers that look at every node all the time: what has been shown once is never something else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::writers::Writers;
use crate::harness::{HttpClient, Node};

/// How often a node is asked.
const EVERY: Duration = Duration::from_millis(50);
/// How long it may take; a paused one does not answer.
const PATIENCE: Duration = Duration::from_millis(1000);
/// So many entries that were seen before are asked for again.
const OVERLAP: u64 = 50;
/// And so many at one time.
const LIMIT: u64 = 2000;

/// Each entry that any node has shown, by position.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Epoch, id and content, and which node showed it first.
    entries: BTreeMap<u64, (Value, String)>,
    compared: u64,
}

impl Seen {
    /// A node shows an entry.
    ///
    /// # Errors
    /// Another one was shown there before.
    pub(super) fn shown(&mut self, node: &str, entry: &Value) -> Result<()> {
        let seq = entry["seq"].as_u64().context("a seq")?;
        self.compared += 1;
        let first = || (entry.clone(), node.to_owned());
        let (before, by) = self.entries.entry(seq).or_insert_with(first);
        ensure!(
            before == entry,
            "{by} showed {before}, and {node} shows {entry}"
        );
        Ok(())
    }

    /// How many entries were looked at.
    pub(super) fn compared(&self) -> u64 {
        self.compared
    }

    /// The last position that was shown.
    pub(super) fn last(&self) -> u64 {
        self.entries.last_key_value().map_or(0, |(seq, _)| *seq)
    }
}

/// A node to look at.
#[derive(Debug)]
pub(super) struct Observed {
    name: String,
    http: HttpClient,
}

impl Observed {
    pub(super) fn of(node: &Node) -> Self {
        Self {
            name: node.name().to_owned(),
            http: node.http().with_deadline(PATIENCE),
        }
    }
}

/// Looks at one node until the writers are done.
pub(super) async fn read(
    node: Observed,
    seen: Arc<Mutex<Seen>>,
    writers: Arc<Writers>,
) -> Result<()> {
    let mut from = 1_u64;
    while !writers.ledger.has_ended() {
        let path = format!("/messages?from={from}&limit={LIMIT}");
        // None: it is dead, or paused, or has just started and reads the stream.
        if let Ok(answer) = node.http.get(&path).await
            && answer.status == 200
        {
            let list = answer.json()?;
            let entries = list["messages"].as_array().context("messages")?;
            let mut due = from;
            let mut seen = seen.lock().expect("nobody panics with it");
            for entry in entries {
                ensure!(entry["seq"] == due, "{} shows a gap: {list}", node.name);
                seen.shown(&node.name, entry)?;
                due += 1;
            }
            from = due.saturating_sub(OVERLAP).max(1);
        }
        tokio::time::sleep(EVERY).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn another_entry_at_a_position_is_an_error() {
        let mut seen = Seen::default();
        let entry =
            |epoch: u64, content: &str| json!({"seq": 1, "epoch": epoch, "content": content});
        seen.shown("a", &entry(1, "x")).expect("the first one");
        seen.shown("b", &entry(1, "x")).expect("the same");
        assert!(seen.shown("b", &entry(1, "y")).is_err());
        assert!(seen.shown("b", &entry(2, "x")).is_err());
        assert_eq!(seen.last(), 1);
    }
}
