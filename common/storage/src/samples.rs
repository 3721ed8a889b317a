//! What tests of journals are made of: entries, hard states, writes.

use std::ops::RangeInclusive;

use replog_protocol::entry::{BatchBuilder, Content, EntryBatch};
use replog_protocol::epochs::EpochStart;
use replog_protocol::hard_state::HardState;
use replog_protocol::ids::{Epoch, LogId, MasterId, MessageId, Seq};
use replog_protocol::node::{Query, ReadError, Truncate, WriteJob, WriteResult};
use uuid::Uuid;

use crate::directory::{Owner, Role};
use crate::disk::{DiskOptions, Fsync, SegmentOptions};
use crate::journal::{Begun, Journal, LogReader};

/// What becomes of a write that rolls nothing back.
pub const DONE: WriteResult = WriteResult::Done { rolled_back: None };

/// Carries a write out on this thread.
pub fn run(journal: &mut (impl Journal + ?Sized), job: WriteJob) -> WriteResult {
    match journal.write(job) {
        Begun::Done(result) => result,
        Begun::Blocking(run) => run(),
    }
}

/// Appends entries of [`entries`], with the hard state that they need.
///
/// # Panics
/// If they are not written.
pub fn append(journal: &mut (impl Journal + ?Sized), entries: Vec<EntryBatch>) {
    assert_eq!(run(journal, job(entries)), DONE);
}

/// A write that appends entries of [`entries`], with the hard state that they need.
#[must_use]
pub fn job(entries: Vec<EntryBatch>) -> WriteJob {
    WriteJob {
        entries,
        hard_state: Some(hard_state()),
        ..WriteJob::default()
    }
}

/// A write that takes entries out, and nothing else.
#[must_use]
pub fn truncation(truncate: Truncate) -> WriteJob {
    WriteJob {
        truncate: Some(truncate),
        ..WriteJob::default()
    }
}

/// Everything after that position goes out, and is not kept.
#[must_use]
pub fn truncate_after(seq: u64) -> Truncate {
    Truncate {
        after: Seq(seq),
        rollback_of: None,
    }
}

/// Entries of those positions, each with a content of `size` bytes, in one batch for each epoch. The id of an entry is the
/// UUID with the number of its position.
#[must_use]
pub fn entries(seqs: RangeInclusive<u64>, size: usize) -> Vec<EntryBatch> {
    let content = Content::from_text(&"x".repeat(size));
    let mut batches = Vec::new();
    let mut next = *seqs.start();
    while next <= *seqs.end() {
        let mut builder = BatchBuilder::new(Seq(next), epoch_of(next));
        while next <= *seqs.end() && epoch_of(next) == epoch_of(builder.next().0) {
            builder.push(MessageId(Uuid::from_u128(u128::from(next))), &content);
            next += 1;
            if epoch_of(next) != epoch_of(next - 1) {
                break;
            }
        }
        batches.extend(builder.finish());
    }
    batches
}

/// An entry with that content, otherwise as those of [`entries`].
///
/// # Panics
/// Never.
#[must_use]
pub fn entry(seq: u64, text: &str) -> EntryBatch {
    let mut builder = BatchBuilder::new(Seq(seq), epoch_of(seq));
    let id = MessageId(Uuid::from_u128(u128::from(seq)));
    builder.push(id, &Content::from_text(text));
    builder.finish().expect("one entry")
}

/// The epoch of the entries of [`entries`]: another one for each hundred of them.
#[must_use]
pub fn epoch_of(seq: u64) -> Epoch {
    Epoch {
        n: 1 + seq / 100,
        master: MasterId(Uuid::from_u128(1)),
    }
}

/// A hard state with the epochs of [`entries`] up to position 999.
#[must_use]
pub fn hard_state() -> HardState {
    let start = |n: u64| EpochStart {
        first: Seq((100 * n).max(1)),
        epoch: epoch_of(100 * n),
    };
    HardState {
        log_id: Some(log_id(1)),
        epoch: epoch_of(999),
        epochs: (0..10).map(start).collect(),
        ..HardState::default()
    }
}

/// Entries of a later epoch than those of [`entries`], from `first` to `last`, and a hard state that goes with them.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn others(first: u64, last: u64) -> (EntryBatch, HardState) {
    let epoch = Epoch {
        n: 9_999,
        master: MasterId(Uuid::from_u128(2)),
    };
    let mut hard_state = hard_state();
    hard_state.epochs.retain(|start| start.first < Seq(first));
    hard_state.epochs.push(EpochStart {
        first: Seq(first),
        epoch,
    });
    hard_state.epoch = epoch;
    (batch(first..=last, epoch, "other"), hard_state)
}

/// Entries of that epoch, each with a content that begins with `text`. Their ids are not those of [`entries`].
///
/// # Panics
/// If there is none.
#[must_use]
pub fn batch(seqs: RangeInclusive<u64>, epoch: Epoch, text: &str) -> EntryBatch {
    let mut builder = BatchBuilder::new(Seq(*seqs.start()), epoch);
    for seq in seqs {
        let id = MessageId(Uuid::from_u128(1 << 64 | u128::from(seq)));
        builder.push(id, &Content::from_text(&format!("{text} {seq}")));
    }
    builder.finish().expect("entries")
}

/// The history with that number.
#[must_use]
pub fn log_id(n: u128) -> LogId {
    LogId(Uuid::from_u128(n))
}

/// Segments that are soon full, and nothing beside the writes.
const SEGMENTS: SegmentOptions = SegmentOptions {
    first_bytes: 4 << 10,
    max_bytes: 8 << 10,
    in_background: false,
};

/// How the tests keep a log on a disk.
#[must_use]
pub fn disk_options(cache_bytes: usize) -> DiskOptions {
    DiskOptions {
        owner: Owner {
            role: Role::Master,
            node: None,
            cluster: "default".to_owned(),
        },
        fsync: Fsync::Always,
        cache_bytes,
        deduplicate_contents: false,
        segments: SEGMENTS,
    }
}

/// Consecutive entries of one epoch.
#[must_use]
pub fn range(first: u64, last: u64, max_bytes: usize) -> Query {
    Query::Range {
        first: Seq(first),
        last: Seq(last),
        max_bytes,
    }
}

/// An entry as it is compared: its epoch, and its JSON.
pub type Shown = (Epoch, String);

/// Everything that a reader shows, read in small pages, wherever each of them is.
///
/// # Errors
/// What the reader says.
///
/// # Panics
/// If a page does not follow the one before.
pub fn everything(reader: &dyn LogReader) -> Result<Vec<Shown>, ReadError> {
    let mut all: Vec<Shown> = Vec::new();
    loop {
        let query = range(all.len() as u64 + 1, u64::MAX, 4096);
        let now = reader.read_now(&query);
        let Some(page) = now.unwrap_or_else(|| reader.read(&query))? else {
            return Ok(all);
        };
        assert_eq!(page.first(), Seq(all.len() as u64 + 1));
        all.extend(shown(&[page]));
    }
}

/// The entries of batches.
#[must_use]
pub fn shown(batches: &[EntryBatch]) -> Vec<Shown> {
    let of = |batch: &EntryBatch| -> Vec<Shown> {
        let entries = batch.iter();
        entries
            .map(|e| (batch.epoch(), e.json.to_owned()))
            .collect()
    };
    batches.iter().flat_map(of).collect()
}
