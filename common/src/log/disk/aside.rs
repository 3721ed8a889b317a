//! Entries that are taken out of a log and kept in a file beside it.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::entry::Position;
use crate::log::{LogStore, StoreError};
use crate::types::{LogId, Seq};

/// Read at one time.
const PIECE_BYTES: usize = 1 << 20;

/// Writes what lies behind `keep` to `diverged-<log_id>-<at_ms>.ndjson` in `dir`, an entry a line, and hands out the file;
/// `None` if nothing lies there. Synced when it returns.
///
/// # Errors
/// The log cannot be read, or the file not be written.
pub fn put_aside(
    dir: &Path,
    log: &dyn LogStore,
    log_id: LogId,
    keep: Position,
    at_ms: u64,
) -> Result<Option<PathBuf>, StoreError> {
    let last = log.last().seq;
    if keep.seq >= last {
        return Ok(None);
    }
    let path = dir.join(format!("diverged-{log_id}-{at_ms}.ndjson"));
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(&path)
        .map(BufWriter::new)
        .map_err(|e| refused(&e))?;
    let mut next = keep.seq.next();
    while next <= last {
        next = write_some(&mut file, log, next, last)?;
    }
    let file = file.into_inner().map_err(|e| refused(e.error()))?;
    file.sync_all().map_err(|e| refused(&e))?;
    let dir = File::open(dir).map_err(|e| refused(&e))?;
    dir.sync_all().map_err(|e| refused(&e))?;
    Ok(Some(path))
}

/// Writes entries from `next` on; hands out the one after them. What is damaged is said to be.
fn write_some(
    file: &mut impl Write,
    log: &dyn LogStore,
    next: Seq,
    last: Seq,
) -> Result<Seq, StoreError> {
    let chunk = match log.read(next, last, u64::MAX, PIECE_BYTES) {
        Ok(chunk) if chunk.count == 0 => return Ok(last.next()),
        Err(StoreError::Damaged { seq }) if seq == next => {
            writeln!(file, "{{\"seq\":{seq},\"damaged\":true}}").map_err(|e| refused(&e))?;
            return Ok(seq.next());
        }
        read => read?,
    };
    let damaged = |_| StoreError::Damaged { seq: next };
    for entry in chunk.entries().map_err(damaged)? {
        file.write_all(entry.json()).map_err(|e| refused(&e))?;
        file.write_all(b"\n").map_err(|e| refused(&e))?;
    }
    Ok(chunk.last().next())
}

fn refused(error: &io::Error) -> StoreError {
    super::error::refused_io(error)
}
