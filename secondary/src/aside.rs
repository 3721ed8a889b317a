//! Entries that were taken out of the log because the master has others there: kept, and shown, never deleted.

use std::sync::Arc;

use replog_common::entry::Chunk;
use replog_common::types::{LogId, Seq};
use serde_json::value::RawValue;

/// The end of a log that was put aside at one time.
#[derive(Clone, Debug)]
pub struct Tail {
    /// The history it was the end of.
    pub log_id: LogId,
    /// What it consisted of.
    pub entries: Chunk,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
}

/// Everything that was put aside since the start, the oldest first. It grows by what the log shrinks by.
#[derive(Clone, Debug, Default)]
pub struct Aside {
    tails: Vec<Arc<Tail>>,
}

impl Aside {
    /// One more.
    pub fn push(&mut self, tail: Tail) {
        self.tails.push(Arc::new(tail));
    }

    /// How many entries.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.tails.iter().map(|t| t.entries.count).sum()
    }

    /// The body of `GET /diverged`.
    ///
    /// # Errors
    /// Never, as the entries are JSON.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        #[derive(serde::Serialize)]
        struct Shown {
            log_id: LogId,
            first_seq: Seq,
            last_seq: Seq,
            at_ms: u64,
            entries: Box<RawValue>,
        }
        let shown = |tail: &Arc<Tail>| {
            let text = String::from_utf8_lossy(&tail.entries.text);
            Ok(Shown {
                log_id: tail.log_id,
                first_seq: tail.entries.first,
                last_seq: tail.entries.last(),
                at_ms: tail.at_ms,
                entries: RawValue::from_string(format!("[{text}]"))?,
            })
        };
        let tails: Result<Vec<Shown>, serde_json::Error> = self.tails.iter().map(shown).collect();
        serde_json::to_string(&serde_json::json!({"tails": tails?}))
    }
}
