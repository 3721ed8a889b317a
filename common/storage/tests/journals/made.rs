//! Journals for tests.

use std::path::Path;

use replog_protocol::entry::Content;
use replog_protocol::ids::{MessageId, Seq};
use replog_protocol::node::{Query, ReadError, Restored};
use replog_storage::disk::{DiskJournal, OpenError};
use replog_storage::journal::LogReader;
use replog_storage::samples::{append, disk_options, entries};
use replog_storage::sim_disk::SimDisk;
use uuid::Uuid;

/// Opens what is on the disk; nothing of it is in memory before it is written again.
pub(crate) fn open(
    disk: &SimDisk,
    cache_bytes: usize,
) -> Result<(DiskJournal, Restored), OpenError> {
    disk.open(&disk_options(cache_bytes))
}

/// Opens what is in the directory.
pub(crate) fn open_directory(dir: &Path) -> Result<(DiskJournal, Restored), OpenError> {
    let mut options = disk_options(0);
    options.segments.first_bytes = 32 << 10;
    options.segments.max_bytes = 32 << 10;
    replog_storage::directory::open(dir, &options)
}

/// A journal with the entries up to `upto`, each `step` of them a write of its own.
pub(crate) fn written(disk: &SimDisk, upto: u64, step: usize) -> DiskJournal {
    let (mut journal, _) = open(disk, 1 << 20).expect("it opens");
    for from in (1..=upto).step_by(step) {
        let to = (from + step as u64 - 1).min(upto);
        append(&mut journal, entries(from..=to, 40));
    }
    journal
}

/// Where the message with that id is, or that content.
pub(crate) fn find(reader: &dyn LogReader, id: u128, text: &str) -> Result<Option<u64>, ReadError> {
    let found = reader.read(&Query::Find {
        message_id: MessageId(Uuid::from_u128(id)),
        content: Some(Content::from_text(text)),
    })?;
    Ok(found.map(|batch| batch.first().0))
}

/// Those positions.
pub(crate) fn seqs(seqs: &[u64]) -> Vec<Seq> {
    seqs.iter().map(|seq| Seq(*seq)).collect()
}
