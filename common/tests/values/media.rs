//! Logs on a disk for tests.

use replog_common::entry::Entry;
use replog_common::log::contract::entry;
use replog_common::log::disk::{DiskLog, DiskOptions, OpenError, Owner, Role};
use replog_common::log::tape::Tape;
use replog_common::log::{Batch, LogStore, Standing, StoreError};
use replog_common::protocol::dedup::DeduplicateBy;
use replog_common::protocol::epochs::Run;
use replog_common::types::{Epoch, Seq};

use crate::made::{instance, log};

pub(crate) fn owner() -> Owner {
    Owner {
        role: Role::Master,
        node: None,
        cluster: "default".to_owned(),
    }
}

pub(crate) fn options(cache_bytes: usize) -> DiskOptions {
    DiskOptions {
        cache_bytes,
        deduplicate_by: DeduplicateBy::MessageId,
    }
}

pub(crate) fn open(tape: &Tape, cache_bytes: usize) -> Result<(DiskLog, Standing), OpenError> {
    DiskLog::open(Box::new(tape.clone()), &owner(), &options(cache_bytes))
}

/// Where a node stands whose entries are those of `replog_common::log::contract::entry`: a life for each hundred of them.
pub(crate) fn standing() -> Standing {
    let run = |n: u64| Run {
        first: Seq((100 * n).max(1)),
        epoch: Epoch(1 + n),
        by: Some(instance(1)),
    };
    Standing {
        log_id: Some(log(1)),
        epoch: Epoch(11),
        instance: Some(instance(1)),
        lives: (0..10).map(run).collect(),
        ..Standing::default()
    }
}

/// Everything a log shows, read in small pieces.
pub(crate) fn everything(log: &dyn LogStore) -> Result<Vec<Entry>, StoreError> {
    let mut all = Vec::new();
    while let from = Seq(all.len() as u64 + 1)
        && from <= log.last().seq
    {
        let chunk = log.read(from, Seq(u64::MAX), u64::MAX, 4096)?;
        all.extend(chunk.entries().expect("what is read is whole"));
    }
    Ok(all)
}

/// Those entries.
pub(crate) fn entries(seqs: std::ops::RangeInclusive<u64>) -> Vec<Entry> {
    seqs.map(|seq| entry(seq, 40)).collect()
}

/// A log with those entries, each batch of `step` a commit of its own.
pub(crate) fn written(tape: &Tape, upto: u64, step: usize) -> DiskLog {
    let (log, _) = open(tape, 1 << 20).expect("it opens");
    for batch in entries(1..=upto).chunks(step) {
        let standing = standing();
        log.write(&Batch {
            entries: batch,
            standing: Some(&standing),
            ..Batch::default()
        })
        .expect("it is written");
    }
    log
}
