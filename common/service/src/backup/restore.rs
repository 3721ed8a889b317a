//! A data directory made of a backup.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use replog_protocol::cleared_logs::ClearedLog;
use replog_protocol::committed::Committed;
use replog_protocol::entry::EntryBatch;
use replog_protocol::epochs::EpochTable;
use replog_protocol::hard_state::HardState;
use replog_protocol::ids::{Epoch, LogId, Seq};
use replog_protocol::node::{WriteJob, WriteResult};
use replog_storage::directory::{self, Owner, Role};
use replog_storage::disk::{DiskJournal, DiskOptions, Fsync, SegmentOptions};
use replog_storage::journal::{Begun, Journal};
use tar::{Archive, Entries, Entry};

use super::{END, End, FORMAT, MANIFEST, Manifest, name_of_entries};

/// So many epochs of the former history may have come after the backup, and nodes that followed them still give way: nobody
/// can know how many there were.
const LATER_EPOCHS: u64 = 1 << 20;
/// The largest file of a backup: what one entry may be, and then some.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// What was restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The history that begins with it.
    pub log_id: LogId,
    /// The history that it replaces.
    pub replaces: LogId,
    /// How many entries it has.
    pub entries: u64,
}

/// Why nothing was restored. Each is one line.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// There is something in the directory.
    #[error("{0} is there already: restore into a directory that is not there, or is empty")]
    NotEmpty(PathBuf),
    /// The file is no backup, or not all of one.
    #[error("this is no complete backup: {0}")]
    Backup(String),
    /// The disk refused, or the file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The directory cannot be used.
    #[error("the log cannot be written: {0}")]
    Journal(String),
}

/// Makes the data directory `dir` of a master of `cluster` from a backup, all of it or nothing. Its history is a new one, which
/// has replaced that of the backup in whatever epoch that has come to since.
///
/// # Errors
/// Nothing was restored, and why.
pub fn restore(backup: impl Read, dir: &Path, cluster: &str) -> Result<Restored, RestoreError> {
    let is_empty = match fs::read_dir(dir) {
        Ok(mut names) => names.next().is_none(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(error.into()),
    };
    if !is_empty {
        return Err(RestoreError::NotEmpty(dir.to_owned()));
    }
    let mut unfinished: OsString = dir.into();
    unfinished.push(".restoring");
    let unfinished = PathBuf::from(unfinished);
    if unfinished.try_exists()? {
        return Err(RestoreError::NotEmpty(unfinished));
    }
    let restored = write(backup, &unfinished, cluster);
    let restored = restored.and_then(|restored| {
        fs::rename(&unfinished, dir)?;
        Ok(restored)
    });
    if restored.is_err() {
        // What is left of it says by its name what it is.
        let _ = fs::remove_dir_all(&unfinished);
    }
    restored
}

fn write(backup: impl Read, dir: &Path, cluster: &str) -> Result<Restored, RestoreError> {
    let mut archive = Archive::new(backup);
    let mut files = archive.entries()?;
    let manifest = manifest(&mut files)?;
    let Manifest {
        last_seq,
        hard_state: former,
        ..
    } = manifest;
    let replaces = former.log_id;
    let replaces = replaces.ok_or_else(|| incomplete("it names no history"))?;
    let hard_state = successor(&former, replaces)?;
    let epochs = EpochTable::new(former.epochs, last_seq);
    let options = DiskOptions {
        owner: Owner {
            role: Role::Master,
            node: None,
            cluster: cluster.to_owned(),
        },
        fsync: Fsync::Always,
        cache_bytes: 0,
        deduplicate_contents: false,
        segments: SegmentOptions::default(),
    };
    let opened = directory::open(dir, &options);
    let (mut journal, _) = opened.map_err(|error| RestoreError::Journal(error.to_string()))?;
    let mut next = Seq(1);
    while next <= last_seq {
        let lines = file(&mut files, &name_of_entries(next))?;
        let entries = batches(&lines, next, &epochs)?;
        let last = entries.last().map_or(next, EntryBatch::last);
        let mut hard_state = hard_state.clone();
        hard_state.epochs.retain(|start| start.first <= last);
        store(&mut journal, entries, hard_state)?;
        next = last.next();
    }
    if last_seq == Seq::ZERO {
        store(&mut journal, Vec::new(), hard_state.clone())?;
    }
    let end: End = parsed(&file(&mut files, END)?)?;
    if end.entries != last_seq.0 || next != last_seq.next() {
        return Err(incomplete("its end is that of another one"));
    }
    Ok(Restored {
        log_id: hard_state.log_id.unwrap_or_default(),
        replaces,
        entries: last_seq.0,
    })
}

/// The hard state of the history that goes on with the entries of a former one.
fn successor(former: &HardState, replaces: LogId) -> Result<HardState, RestoreError> {
    let epoch = former.epoch.n.checked_add(LATER_EPOCHS);
    let epoch = epoch.and_then(|n| Epoch::new(n, former.epoch.master).ok());
    let epoch = epoch.ok_or_else(|| incomplete("its epoch is too high"))?;
    let mut cleared = former.cleared.clone();
    cleared.push(ClearedLog {
        log_id: replaces,
        epoch,
    });
    Ok(HardState {
        log_id: Some(LogId(uuid::Uuid::new_v4())),
        epoch,
        epochs: former.epochs.clone(),
        cleared,
        former: None,
        committed: Committed::default(),
        is_partial: false,
    })
}

/// The first file of a backup.
fn manifest<R: Read>(files: &mut Entries<'_, R>) -> Result<Manifest, RestoreError> {
    #[derive(serde::Deserialize)]
    struct Format {
        format: u32,
    }
    let text = file(files, MANIFEST)?;
    let Format { format } = parsed(&text)?;
    if format != FORMAT {
        let why = format!("its format is {format}, this program reads {FORMAT}");
        return Err(RestoreError::Backup(why));
    }
    parsed(&text)
}

/// The next file, which must have that name.
fn file<R: Read>(files: &mut Entries<'_, R>, name: &str) -> Result<Bytes, RestoreError> {
    let next = files.next();
    let next = next.ok_or_else(|| incomplete(&format!("it ends before {name}")))?;
    let broken = |error: io::Error| incomplete(&format!("at {name}: {error}"));
    let mut next: Entry<'_, R> = next.map_err(broken)?;
    let found = next.path().map_err(broken)?.display().to_string();
    if found != name {
        return Err(incomplete(&format!("{name} was expected, not {found}")));
    }
    if next.size() > MAX_FILE_BYTES {
        return Err(incomplete(&format!(
            "{name} is larger than {MAX_FILE_BYTES} bytes"
        )));
    }
    let mut content = Vec::new();
    next.read_to_end(&mut content).map_err(broken)?;
    if content.len() as u64 != next.size() {
        return Err(incomplete(&format!("it ends within {name}")));
    }
    Ok(content.into())
}

/// Lines that begin with the entry `first`, as entries of the epochs that placed them.
fn batches(
    lines: &Bytes,
    first: Seq,
    epochs: &EpochTable,
) -> Result<Vec<EntryBatch>, RestoreError> {
    let (mut batches, mut next, mut at) = (Vec::new(), first, 0);
    let wrong = |seq: Seq, why: &str| incomplete(&format!("entry {seq}: {why}"));
    while at < lines.len() {
        let position = epochs.at(next);
        let epoch = position
            .ok_or_else(|| wrong(next, "there are more than it says"))?
            .epoch;
        let wanted = epochs.end_of_epoch(next).after(next.prev());
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        let ends = memchr::memchr_iter(b'\n', &lines[at..]);
        let end = ends.take(wanted).last();
        let end = at + end.ok_or_else(|| wrong(next, "its line does not end"))?;
        let mut objects = lines[at..end].to_vec();
        for byte in objects.iter_mut().filter(|byte| **byte == b'\n') {
            *byte = b',';
        }
        let batch = EntryBatch::parse(objects.into(), epoch);
        let batch = batch.map_err(|error| wrong(next, &error.to_string()))?;
        if batch.first() != next {
            return Err(wrong(
                next,
                &format!("entry {} stands there", batch.first()),
            ));
        }
        next = batch.last().next();
        batches.push(batch);
        at = end + 1;
    }
    Ok(batches)
}

fn store(
    journal: &mut DiskJournal,
    entries: Vec<EntryBatch>,
    hard_state: HardState,
) -> Result<(), RestoreError> {
    let job = WriteJob {
        entries,
        hard_state: Some(hard_state),
        ..WriteJob::default()
    };
    let result = match journal.write(job) {
        Begun::Done(result) => result,
        Begun::Blocking(run) => run(),
    };
    match result {
        WriteResult::Done { .. } => Ok(()),
        WriteResult::DiskFull => Err(RestoreError::Journal("there is no room".to_owned())),
        WriteResult::Conflict => Err(RestoreError::Journal(
            "somebody else writes there".to_owned(),
        )),
        WriteResult::Failed(why) => Err(RestoreError::Journal(why)),
    }
}

fn parsed<'a, T: serde::Deserialize<'a>>(text: &'a [u8]) -> Result<T, RestoreError> {
    serde_json::from_slice(text).map_err(|error| RestoreError::Backup(error.to_string()))
}

fn incomplete(why: &str) -> RestoreError {
    RestoreError::Backup(why.to_owned())
}
