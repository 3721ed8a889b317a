//! Entries that were taken out of the log because the master has others there: kept, and shown, never deleted.

use std::path::PathBuf;
use std::sync::Arc;

use replog_common::entry::Chunk;
use replog_common::types::{LogId, Seq};
use serde_json::value::RawValue;

/// The end of a log that was put aside at one time.
#[derive(Clone, Debug)]
pub struct Tail {
    /// The history it was the end of.
    pub log_id: LogId,
    /// Its first entry.
    pub first: Seq,
    /// Its last one.
    pub last: Seq,
    /// What it consisted of, in memory.
    pub entries: Chunk,
    /// Or the file that holds it.
    pub file: Option<PathBuf>,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
}

impl Tail {
    /// It is still in the log.
    pub(crate) fn discard(self) {
        if let Some(file) = self.file {
            std::fs::remove_file(file).ok();
        }
    }
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
        self.tails.iter().map(|t| t.last.0 - t.first.0 + 1).sum()
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
            #[serde(skip_serializing_if = "Option::is_none")]
            file: Option<PathBuf>,
            #[serde(skip_serializing_if = "Option::is_none")]
            entries: Option<Box<RawValue>>,
        }
        let shown = |tail: &Arc<Tail>| {
            let text = String::from_utf8_lossy(&tail.entries.text);
            Ok(Shown {
                log_id: tail.log_id,
                first_seq: tail.first,
                last_seq: tail.last,
                at_ms: tail.at_ms,
                entries: match tail.file {
                    None => Some(RawValue::from_string(format!("[{text}]"))?),
                    Some(_) => None,
                },
                file: tail.file.clone(),
            })
        };
        let tails: Result<Vec<Shown>, serde_json::Error> = self.tails.iter().map(shown).collect();
        serde_json::to_string(&serde_json::json!({"tails": tails?}))
    }
}
