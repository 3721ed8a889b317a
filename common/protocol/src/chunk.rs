//! A write of a master to a journal that several masters share: one message of a stream, at one position of it.
//!
//! The log is what one gets by carrying out all chunks from the first one on. Whoever wants to lead writes a *claim*: a chunk
//! like any other, at the position after the last one it has carried out. The stream takes one chunk at each position and keeps
//! it for good, so of two masters that want the same position one gets it, and knows all that was written before. From its
//! claim on every chunk is its own, until another claim.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::cleared_logs::ClearedLogs;
use crate::committed::Committed;
use crate::entry::{EntryBatch, InvalidEntry};
use crate::epochs::LogPosition;
use crate::hard_state::HardState;
use crate::ids::{Epoch, LogId, MasterId, Seq};
use crate::node::{Truncate, WriteJob};
use crate::node_url::NodeUrl;

/// Version of the form of chunks. A chunk of another version is never carried out.
pub const CHUNK_VERSION: u32 = 1;
/// What a chunk needs beside its entries, at most, in bytes: its head, which says what each number of nodes has held, and what the
/// client library puts around it.
pub const CHUNK_HEAD_BYTES: usize = 32 << 10;
/// Batches of entries that one chunk has, at most: each is named in its head.
pub const MAX_CHUNK_BATCHES: usize = 64;

/// The position of a chunk (JetStream: stream sequence). The positions of two streams never meet: the first one of each is the
/// time at which the stream was made.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ChunkSeq(pub u64);

impl ChunkSeq {
    /// The position after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The position before this one.
    #[must_use]
    pub fn prev(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for ChunkSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whose chunk it is, and which of them: no two chunks are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChunkId {
    /// The start of the master.
    #[serde(rename = "instance")]
    pub master: MasterId,
    /// Counts the chunks of that start up, from 1.
    pub n: u64,
}

/// What makes a write a chunk.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChunkHead {
    /// The chunk takes the position after this one, or none. What is there was carried out by who writes it.
    pub after: ChunkSeq,
    /// Which one it is.
    pub id: ChunkId,
    /// Which one is there, as its writer has read or written it (Raft: the term of `prevLogIndex`); `None` where nothing is.
    pub prev: Option<ChunkId>,
    /// What for.
    pub kind: ChunkKind,
}

impl ChunkHead {
    /// Where the chunk is, if it is in the stream.
    #[must_use]
    pub fn seq(&self) -> ChunkSeq {
        self.after.next()
    }

    /// The entries that it moves into the stream, if it does.
    #[must_use]
    pub fn moved(&self) -> Option<&EntryBatch> {
        match &self.kind {
            ChunkKind::MoveIn { entries, .. } => entries.as_ref(),
            ChunkKind::Claim { .. } | ChunkKind::Write => None,
        }
    }
}

/// What a chunk is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ChunkKind {
    /// A master that did not lead leads from here on, in the epoch of the hard state, which is above all before.
    Claim {
        /// Where clients reach that master.
        url: Option<NodeUrl>,
        /// The last entry of the log that a standby claims: whoever carries the claim out has to have that one as the last, too.
        /// A master that leads already does not say.
        last: Option<LogPosition>,
    },
    /// The master that leads has something to write.
    Write,
    /// The master that leads moves a log into the stream which its own storage holds already.
    MoveIn {
        /// The next entries of that log; `None` where the move begins.
        entries: Option<EntryBatch>,
        /// Where that log ends: before the stream has it up to here, nobody else can go on with it.
        upto: Seq,
    },
}

/// A chunk as it is in the stream: a head of one line, and the bytes of its entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedChunk {
    /// JSON, all but the entries.
    pub head: String,
    /// The batches of entries, one a line: JSON objects with commas between.
    pub payload: Bytes,
}

/// Why a message of the stream is no chunk. Each is one line.
#[derive(Debug, thiserror::Error)]
pub enum ChunkError {
    /// The head is not what it should be.
    #[error("its head is not that of a chunk: {0}")]
    Head(#[from] serde_json::Error),
    /// Another version.
    #[error("it is of version {0}, this program reads {CHUNK_VERSION}")]
    Version(u32),
    /// Another cluster's.
    #[error("it is of the cluster {0:?}")]
    Cluster(String),
    /// The entries are not what the head says.
    #[error("its entries: {0}")]
    Entries(#[from] InvalidEntry),
    /// The payload is longer or shorter than the head says.
    #[error("its payload has another length than its head says")]
    Length,
}

/// The head as it is written.
#[derive(Serialize, Deserialize)]
struct Head {
    kind: Kind,
    v: u32,
    cluster: String,
    #[serde(flatten)]
    id: ChunkId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prev: Option<ChunkId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    upto: Option<Seq>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last: Option<LogPosition>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    truncate: Option<Cut>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hard_state: Option<State>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    batches: Vec<Batch>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Claim,
    Write,
    MoveIn,
}

#[derive(Serialize, Deserialize)]
struct Cut {
    after: Seq,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rollback_of: Option<LogId>,
}

/// The hard state, without the table of epochs, which the entries tell.
#[derive(Serialize, Deserialize)]
struct State {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    log_id: Option<LogId>,
    #[serde(flatten)]
    epoch: Epoch,
    #[serde(default, skip_serializing_if = "ClearedLogs::is_empty")]
    cleared: ClearedLogs,
    #[serde(default)]
    committed: Committed,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_partial: bool,
}

#[derive(Serialize, Deserialize)]
struct Batch {
    first: Seq,
    last: Seq,
    #[serde(flatten)]
    epoch: Epoch,
    bytes: usize,
}

impl EncodedChunk {
    /// The chunk that a write is, in the stream of that cluster; `None` for a write that is none.
    ///
    /// # Panics
    /// Never: a head is always JSON.
    #[must_use]
    pub fn of(job: &WriteJob, cluster: &str) -> Option<Self> {
        let chunk = job.chunk.as_ref()?;
        let (kind, upto) = match &chunk.kind {
            ChunkKind::Claim { .. } => (Kind::Claim, None),
            ChunkKind::Write => (Kind::Write, None),
            ChunkKind::MoveIn { upto, .. } => (Kind::MoveIn, Some(*upto)),
        };
        let (url, last) = match &chunk.kind {
            ChunkKind::Claim { url, last } => (url.as_ref(), *last),
            _ => (None, None),
        };
        let entries: Vec<&EntryBatch> = job.entries.iter().chain(chunk.moved()).collect();
        let head = Head {
            kind,
            v: CHUNK_VERSION,
            cluster: cluster.to_owned(),
            id: chunk.id,
            prev: chunk.prev,
            upto,
            url: url.map(ToString::to_string),
            last,
            truncate: job.truncate.map(|t| Cut {
                after: t.after,
                rollback_of: t.rollback_of,
            }),
            hard_state: job.hard_state.as_ref().map(|state| State {
                log_id: state.log_id,
                epoch: state.epoch,
                cleared: state.cleared.clone(),
                committed: state.committed.clone(),
                is_partial: state.is_partial,
            }),
            batches: entries
                .iter()
                .map(|batch| Batch {
                    first: batch.first(),
                    last: batch.last(),
                    epoch: batch.epoch(),
                    bytes: batch.bytes(),
                })
                .collect(),
        };
        let payload = match &entries[..] {
            [] => Bytes::new(),
            [batch] => batch.text().clone(),
            all => {
                let texts: Vec<&[u8]> = all.iter().map(|batch| &batch.text()[..]).collect();
                texts.join(&b'\n').into()
            }
        };
        Some(Self {
            head: serde_json::to_string(&head).expect("a head is always JSON"),
            payload,
        })
    }

    /// The write that the chunk at `seq` is, in a stream that is to be that of `cluster`. Its hard state has no table of epochs:
    /// the entries tell it.
    ///
    /// # Errors
    /// It is no chunk of that cluster, or one that this program does not understand.
    pub fn decode(&self, seq: ChunkSeq, cluster: &str) -> Result<WriteJob, ChunkError> {
        #[derive(Deserialize)]
        struct Version {
            v: u32,
        }
        let Version { v } = serde_json::from_str(&self.head)?;
        if v != CHUNK_VERSION {
            return Err(ChunkError::Version(v));
        }
        let head: Head = serde_json::from_str(&self.head)?;
        if head.cluster != cluster {
            return Err(ChunkError::Cluster(head.cluster.chars().take(64).collect()));
        }
        let mut entries = entries(&head.batches, &self.payload)?;
        let kind = match head.kind {
            Kind::Claim => ChunkKind::Claim {
                url: head.url.as_deref().and_then(NodeUrl::new),
                last: head.last,
            },
            Kind::Write => ChunkKind::Write,
            Kind::MoveIn => ChunkKind::MoveIn {
                entries: entries.pop(),
                upto: head.upto.unwrap_or_default(),
            },
        };
        Ok(WriteJob {
            truncate: head.truncate.map(|cut| Truncate {
                after: cut.after,
                rollback_of: cut.rollback_of,
            }),
            entries,
            hard_state: head.hard_state.map(|state| HardState {
                log_id: state.log_id,
                epoch: state.epoch,
                cleared: state.cleared,
                committed: state.committed,
                is_partial: state.is_partial,
                ..HardState::default()
            }),
            repairs: Vec::new(),
            chunk: Some(ChunkHead {
                after: seq.prev(),
                id: head.id,
                prev: head.prev,
                kind,
            }),
        })
    }

    /// Which chunk it is, if it is one.
    #[must_use]
    pub fn id(&self) -> Option<ChunkId> {
        serde_json::from_str(&self.head).ok()
    }
}

/// The batches that a head speaks of.
fn entries(batches: &[Batch], payload: &Bytes) -> Result<Vec<EntryBatch>, ChunkError> {
    let (mut all, mut begin) = (Vec::with_capacity(batches.len().min(1024)), 0usize);
    for (i, batch) in batches.iter().enumerate() {
        begin += usize::from(i > 0); // the line break
        let end = begin.checked_add(batch.bytes).ok_or(ChunkError::Length)?;
        if end > payload.len() {
            return Err(ChunkError::Length);
        }
        let parsed = EntryBatch::parse(payload.slice(begin..end), batch.epoch)?;
        if parsed.first() != batch.first {
            return Err(InvalidEntry::Order {
                expected: batch.first,
                found: parsed.first(),
            }
            .into());
        }
        all.push(parsed);
        begin = end;
    }
    match begin == payload.len() {
        true => Ok(all),
        false => Err(ChunkError::Length),
    }
}
