//! A data directory made of a backup.

use std::fs::{self, File};
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

use super::{Checksum, END, End, FORMAT, MANIFEST, Manifest, name_of_entries};

/// So many epochs of the former history may have come after the backup, and nodes that followed them still give way: nobody
/// can know how many there were.
const LATER_EPOCHS: u64 = 1 << 20;
/// The largest file of a backup: what one entry may be, and then some.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// So much of what is wrong with a file of a backup is shown.
const MAX_SHOWN_CHARS: usize = 200;

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

/// What is to be made of a backup.
#[derive(Clone, Debug)]
pub struct Target<'a> {
    /// The data directory; it must not be there, or be empty.
    pub dir: &'a Path,
    /// The cluster that the master will be of.
    pub cluster: &'a str,
    /// Histories that are given up for what is restored, beside that of the backup.
    pub replaces: &'a [LogId],
}

/// Makes a data directory of a master from a backup, all of it or nothing. Its history is a new one, which has replaced that of
/// the backup, and others that are named, in whatever epoch they have come to since.
///
/// # Errors
/// Nothing was restored, and why.
pub fn restore(backup: impl Read, target: &Target<'_>) -> Result<Restored, RestoreError> {
    let dir = std::path::absolute(target.dir)?;
    let is_empty = match fs::read_dir(&dir) {
        Ok(mut names) => names.next().is_none(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(error.into()),
    };
    if !is_empty {
        return Err(RestoreError::NotEmpty(dir));
    }
    let (Some(parent), Some(name)) = (dir.parent(), dir.file_name()) else {
        return Err(RestoreError::NotEmpty(dir));
    };
    let mut unfinished = name.to_owned();
    unfinished.push(".restoring");
    let unfinished = parent.join(unfinished);
    if unfinished.try_exists()? {
        return Err(RestoreError::NotEmpty(unfinished));
    }
    let restored = write(backup, &unfinished, target);
    let restored = restored.and_then(|restored| {
        fs::rename(&unfinished, &dir)?;
        File::open(parent)?.sync_all()?;
        Ok(restored)
    });
    if restored.is_err() {
        // What is left of it says by its name what it is.
        let _ = fs::remove_dir_all(&unfinished);
    }
    restored
}

fn write(backup: impl Read, dir: &Path, target: &Target<'_>) -> Result<Restored, RestoreError> {
    let mut archive = Archive::new(backup);
    let mut files = Files {
        entries: archive.entries()?,
        checksum: Checksum::default(),
    };
    let manifest = manifest(&mut files)?;
    let Manifest {
        last_seq,
        hard_state: former,
        ..
    } = manifest;
    let replaces = former.log_id;
    let replaces = replaces.ok_or_else(|| incomplete("it names no history"))?;
    check_epochs(&former, last_seq)?;
    let hard_state = successor(&former, replaces, target.replaces)?;
    let epochs = EpochTable::new(former.epochs, last_seq);
    let options = DiskOptions {
        owner: Owner {
            role: Role::Master,
            node: None,
            cluster: target.cluster.to_owned(),
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
        let lines = files.next(&name_of_entries(next))?;
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
    let sha256 = files.checksum.digits();
    let end: End = parsed(&files.next(END)?)?;
    if end.entries != last_seq.0 || next != last_seq.next() {
        return Err(incomplete("its end is that of another one"));
    }
    if end.sha256 != sha256 {
        return Err(incomplete(
            "something in it has changed: its SHA-256 is another one",
        ));
    }
    Ok(Restored {
        log_id: hard_state.log_id.unwrap_or_default(),
        replaces,
        entries: last_seq.0,
    })
}

/// Whether the epochs can be those of a log that ends at `last`: a log that has others cannot be gone on with.
fn check_epochs(former: &HardState, last: Seq) -> Result<(), RestoreError> {
    let starts = &former.epochs;
    let rises = starts.is_sorted_by(|a, b| a.first < b.first && a.epoch < b.epoch);
    let begins = last == Seq::ZERO || starts.first().is_some_and(|start| start.first == Seq(1));
    let are_its = starts
        .iter()
        .all(|start| Epoch::ZERO < start.epoch && start.epoch <= former.epoch);
    match rises && begins && are_its && last <= Seq::MAX {
        true => Ok(()),
        false => Err(incomplete("its epochs are those of no log")),
    }
}

/// The hard state of the history that goes on with the entries of a former one.
fn successor(
    former: &HardState,
    replaces: LogId,
    others: &[LogId],
) -> Result<HardState, RestoreError> {
    let epoch = former.epoch.n.checked_add(LATER_EPOCHS);
    let epoch = epoch.and_then(|n| Epoch::new(n, former.epoch.master).ok());
    // A node that has seen no epoch yet would take it for a forged one, and never follow.
    let epoch = epoch.filter(|epoch| !epoch.is_forged_above(Epoch::ZERO));
    let epoch = epoch.ok_or_else(|| incomplete("its epoch is too high"))?;
    let mut cleared = former.cleared.clone();
    for log_id in others.iter().copied().chain([replaces]) {
        cleared.push(ClearedLog { log_id, epoch });
    }
    Ok(HardState {
        log_id: Some(LogId(uuid::Uuid::new_v4())),
        epoch,
        epochs: former.epochs.clone(),
        cleared,
        former: None,
        committed: Committed::default(),
        is_partial: false,
        chunk: None,
        moving: None,
    })
}

/// The first file of a backup.
fn manifest<R: Read>(files: &mut Files<'_, R>) -> Result<Manifest, RestoreError> {
    #[derive(serde::Deserialize)]
    struct Format {
        format: u32,
    }
    let text = files.next(MANIFEST)?;
    let Format { format } = parsed(&text)?;
    if format != FORMAT {
        let why = format!("its format is {format}, this program reads {FORMAT}");
        return Err(RestoreError::Backup(why));
    }
    parsed(&text)
}

/// The files of a backup, one after the other.
struct Files<'a, R: Read> {
    entries: Entries<'a, R>,
    /// Of all that was read.
    checksum: Checksum,
}

impl<R: Read> Files<'_, R> {
    /// The next file, which must have that name.
    fn next(&mut self, name: &str) -> Result<Bytes, RestoreError> {
        let next = self.entries.next();
        let next = next.ok_or_else(|| incomplete(&format!("it ends before {name}")))?;
        let broken = |error: io::Error| incomplete(&format!("at {name}: {error}"));
        let mut next: Entry<'_, R> = next.map_err(broken)?;
        let found = next.path().map_err(broken)?.display().to_string();
        if found != name {
            return Err(incomplete(&format!("{name} was expected, not {found}")));
        }
        if next.size() > MAX_FILE_BYTES {
            let why = format!("{name} is larger than {MAX_FILE_BYTES} bytes");
            return Err(RestoreError::Backup(why));
        }
        let mut content = Vec::new();
        next.read_to_end(&mut content).map_err(broken)?;
        if content.len() as u64 != next.size() {
            return Err(incomplete(&format!("it ends within {name}")));
        }
        self.checksum.add(&content);
        Ok(content.into())
    }
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
    serde_json::from_slice(text).map_err(|error| {
        // It may quote all that stands there.
        let why: String = error.to_string().chars().take(MAX_SHOWN_CHARS).collect();
        RestoreError::Backup(why)
    })
}

fn incomplete(why: &str) -> RestoreError {
    RestoreError::Backup(why.to_owned())
}
