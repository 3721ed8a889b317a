//! Entries that are taken out of a log and kept in a file beside it.

use std::fs::File;
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
    let (path, file) = new_file(dir, log_id, at_ms).map_err(|e| refused(&e))?;
    match write_all(file, log, keep.seq.next(), last).and_then(|()| sync(dir)) {
        Ok(()) => Ok(Some(path)),
        Err(error) => {
            std::fs::remove_file(&path).ok(); // nothing was taken out
            Err(error)
        }
    }
}

/// A file that was not there before.
fn new_file(dir: &Path, log_id: LogId, mut at_ms: u64) -> io::Result<(PathBuf, File)> {
    loop {
        let path = dir.join(format!("diverged-{log_id}-{at_ms}.ndjson"));
        match File::create_new(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => at_ms += 1,
            file => return Ok((path, file?)),
        }
    }
}

fn sync(dir: &Path) -> Result<(), StoreError> {
    let dir = File::open(dir).map_err(|e| refused(&e))?;
    dir.sync_all().map_err(|e| refused(&e))
}

fn write_all(file: File, log: &dyn LogStore, first: Seq, last: Seq) -> Result<(), StoreError> {
    let (mut file, mut next) = (BufWriter::new(file), first);
    while next <= last {
        next = write_some(&mut file, log, next, last)?;
    }
    let file = file.into_inner().map_err(|e| refused(e.error()))?;
    file.sync_all().map_err(|e| refused(&e))
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
