//! Backups: a tar of a log as it is at one moment, and a data directory made of one.
//!
//! ```text
//!   manifest.json              the history, its epochs and its end; what `Manifest` says
//!   entries/0000000001.jsonl   entries from that position on, one JSON object a line, as `GET /messages` shows them
//!   entries/…
//!   end.json                   that the backup is complete, and the SHA-256 of all that stands before
//! ```
//! It holds entries and not the files of the disk, so it can be made of a log in memory too, and be read by whatever comes after
//! this release. A log that is restored is a history of its own, which names the one that it replaces: nodes that have gone on
//! with the former history since give it up by themselves, and keep what they had in rollback files.

mod restore;
mod stream;

use replog_protocol::hard_state::HardState;
use replog_protocol::ids::Seq;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use restore::{RestoreError, Restored, Target, restore};
pub use stream::backup;

/// The format of what is written.
const FORMAT: u32 = 1;
const MANIFEST: &str = "manifest.json";
const END: &str = "end.json";
/// Files of entries hold about so much.
const FILE_BYTES: usize = 4 << 20;

/// What a backup is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    format: u32,
    /// The cluster that the log is of.
    cluster: String,
    /// The last entry.
    last_seq: Seq,
    /// The history, its epochs, and what it has replaced.
    hard_state: HardState,
}

impl Manifest {
    /// Of a log with that hard state, up to `last_seq`.
    #[must_use]
    pub fn new(cluster: String, hard_state: HardState, last_seq: Seq) -> Self {
        Self {
            format: FORMAT,
            cluster,
            last_seq,
            hard_state,
        }
    }

    /// What the hard state is.
    #[must_use]
    pub fn hard_state(&self) -> &HardState {
        &self.hard_state
    }
}

/// Says that nothing is missing, and that nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct End {
    entries: u64,
    /// Of the contents of all files before this one, one after the other; in hexadecimal digits.
    sha256: String,
}

/// What the files of a backup are proved by.
#[derive(Clone, Debug, Default)]
struct Checksum(Sha256);

impl Checksum {
    fn add(&mut self, content: &[u8]) {
        self.0.update(content);
    }

    fn digits(&self) -> String {
        let bytes = self.0.clone().finalize();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn name_of_entries(first: Seq) -> String {
    format!("entries/{:010}.jsonl", first.0)
}
