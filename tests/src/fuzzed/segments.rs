//! The files of a data directory, changed by whatever changes files.
//!
//! A script: a line a change of the files of a small log, which has entries of several epochs, a truncation, and a rollback
//! file. Then the log is opened, read and appended to.
//!
//! | line | is |
//! |---|---|
//! | `set FILE AT BYTES` | those bytes (hexadecimal) lie there |
//! | `text FILE AT TEXT` | the same as text |
//! | `cut FILE BYTES`, `grow FILE BYTES` | a shorter, a longer file |
//! | `drop FILE`, `copy FILE FILE`, `clear FILE` | |
//! | `head FILE FRAME FIELD NUMBER` | a number in the head of a frame, whose checksum fits afterwards |
//! | `file NAME` | another file with that name in the data directory, and the next lines up to a blank one in it |
//!
//! `FILE` is a number in the order of names, counted round and round.

mod heads;

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use replog_protocol::entry::{BatchBuilder, Content, EntryBatch};
use replog_protocol::epochs::EpochStart;
use replog_protocol::hard_state::HardState;
use replog_protocol::ids::{Epoch, LogId, MasterId, MessageId, Seq};
use replog_protocol::node::{Query, ReadError, Truncate, WriteJob, WriteResult};
use replog_storage::directory::{self, Owner, Role};
use replog_storage::disk::{DiskJournal, DiskOptions, Fsync, OpenError, SegmentOptions};
use replog_storage::journal::{Begun, Journal};
use uuid::Uuid;

/// So many changes are made.
const MAX_LINES: usize = 64;
/// The longest text of why a log is not opened.
const MAX_REASON_BYTES: usize = 512;
/// No file is made longer.
const MAX_FILE_BYTES: usize = 64 << 10;
/// Entries of the log that is changed.
const ENTRIES: u64 = 60;
/// So many entries are looked at from either end.
const LOOKED_AT: u64 = 80;

/// Opens what is left of the log.
///
/// # Panics
/// Where another entry is read than was written, or what is written afterwards is not read.
pub fn run(script: &[u8]) {
    let dir = tempfile::tempdir_in(super::scratch()).expect("a directory");
    let is_honest = change(script, dir.path());
    let opened = directory::open(dir.path(), &options());
    let (mut journal, restored) = match opened {
        Ok(opened) => opened,
        Err(error) => return is_short(&error),
    };
    let last = restored.last.seq;
    for flaw in journal.flaws() {
        assert!(flaw.len() <= MAX_REASON_BYTES);
    }
    look(&journal, last, is_honest);
    let _ = journal.reader().rollbacks();
    if !is_honest {
        return;
    }
    assert!(last.0 <= ENTRIES, "nothing is there that was not written");
    // A log goes on after what was found.
    let epoch = epoch_of(u64::MAX);
    let mut hard_state = restored.hard_state;
    hard_state.epoch = epoch;
    hard_state.epochs.retain(|start| start.first <= last);
    hard_state.epochs.push(EpochStart {
        first: last.next(),
        epoch,
    });
    let new = entries(last.next().0, last.next().0, epoch);
    let job = WriteJob {
        entries: vec![new.clone()],
        hard_state: Some(hard_state),
        ..WriteJob::default()
    };
    if let WriteResult::Done { .. } = write(&mut journal, job) {
        drop(journal);
        let (journal, restored) = directory::open(dir.path(), &options()).expect("it opens again");
        assert_eq!(restored.last, new.last_position());
        let read = journal.reader().read(&one(new.first()));
        assert_eq!(read, Ok(Some(new)), "what was written afterwards");
        look(&journal, last, is_honest);
    }
}

fn is_short(error: &OpenError) {
    let said = error.to_string();
    assert!(said.len() <= MAX_REASON_BYTES, "{said:.600}");
}

/// Reads a log that ends at `last`, or its beginning and its end.
fn look(journal: &DiskJournal, last: Seq, is_honest: bool) {
    let reader = journal.reader();
    let end = last.0.saturating_sub(LOOKED_AT).max(LOOKED_AT);
    for seq in (1..=last.0.min(LOOKED_AT)).chain(end + 1..=last.0.min(end + LOOKED_AT)) {
        match reader.read(&one(Seq(seq))) {
            Ok(Some(batch)) if is_honest => {
                assert_eq!(Some(&batch), written(seq).as_ref(), "entry {seq}");
            }
            Ok(None) if is_honest => panic!("entry {seq} of {last} is neither there nor damaged"),
            Ok(_) | Err(ReadError::Damaged(_) | ReadError::Failed(_)) => {}
            Err(ReadError::Gone) => panic!("nobody has cleared it"),
        }
        if reader.check().is_err() {
            return; // it is used no more
        }
        let found = reader.read(&Query::Find {
            message_id: MessageId(Uuid::from_u128(seq.into())),
            content: None,
        });
        if let (Ok(Some(batch)), true) = (found, is_honest) {
            assert_eq!(batch.first(), Seq(seq), "the message with that id");
        }
    }
    let all = Query::Range {
        first: Seq(1),
        last,
        max_bytes: 1 << 20,
    };
    let _ = reader.read(&all);
}

/// The changes of a script, made to a copy of the log in `dir`; whether no checksum was made to fit.
fn change(script: &[u8], dir: &Path) -> bool {
    fs::create_dir_all(dir.join("log")).expect("made");
    let mut files = sample().clone();
    let mut is_honest = true;
    let mut lines = super::lines(script).take(MAX_LINES);
    while let Some(line) = lines.next() {
        let (word, rest) = first_word(line);
        let (which, rest) = first_word(rest);
        let count = files.len();
        let index = number(which).map(|n| n as usize % count.max(1));
        if word == b"file" {
            let name = String::from_utf8_lossy(which).replace(['/', '\0'], "_");
            let text: Vec<&[u8]> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
            if !name.is_empty() && name != "." && name != ".." && name.len() < 200 {
                let _ = fs::write(dir.join(name), text.join(&b'\n'));
            }
            continue;
        }
        let Some(index) = index.filter(|_| count > 0) else {
            continue;
        };
        let (at, value) = first_word(rest);
        let at = number(at).unwrap_or(0) as usize;
        let file = &mut files[index].1;
        match word {
            b"set" | b"text" => {
                let bytes = if word == b"set" {
                    unhex(value)
                } else {
                    value.to_vec()
                };
                let at = at.min(file.len());
                let end = (at + bytes.len()).min(MAX_FILE_BYTES);
                if end > at {
                    file.resize(file.len().max(end), 0);
                    file[at..end].copy_from_slice(&bytes[..end - at]);
                }
            }
            b"cut" => file.truncate(at),
            b"grow" => file.resize(at.min(MAX_FILE_BYTES).max(file.len()), 0),
            b"clear" => file.fill(0),
            b"drop" => drop(files.remove(index)),
            b"copy" => {
                files[at % count].1 = files[index].1.clone();
            }
            b"head" => {
                let (field, value) = first_word(value);
                let field = number(field).unwrap_or(0) as usize;
                heads::change(file, at, field, number(value).unwrap_or(0));
                is_honest = false;
            }
            _ => {}
        }
    }
    for (name, bytes) in files {
        fs::write(dir.join(name), bytes).expect("written");
    }
    is_honest
}

fn first_word(line: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b' ', line) {
        Some(at) => (&line[..at], &line[at + 1..]),
        None => (line, b""),
    }
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn unhex(text: &[u8]) -> Vec<u8> {
    let digit = |b: u8| char::from(b).to_digit(16).unwrap_or(0) as u8;
    text.chunks(2)
        .map(|pair| digit(pair[0]) << 4 | digit(*pair.get(1).unwrap_or(&b'0')))
        .collect()
}

/// The files of the log that is changed, by their names below the data directory.
fn sample() -> &'static Vec<(String, Vec<u8>)> {
    static SAMPLE: OnceLock<Vec<(String, Vec<u8>)>> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let dir = tempfile::tempdir_in(super::scratch()).expect("a directory");
        let (mut journal, _) = directory::open(dir.path(), &options()).expect("it opens");
        let last_epoch = epoch_of(ENTRIES);
        for first in (1..=ENTRIES + 5).step_by(5) {
            let job = WriteJob {
                entries: (first..first + 5)
                    .filter_map(|seq| match seq {
                        1..=ENTRIES => written(seq),
                        seq => Some(entries(seq, seq, last_epoch)),
                    })
                    .collect(),
                hard_state: Some(hard_state(first + 4)),
                ..WriteJob::default()
            };
            assert_eq!(
                write(&mut journal, job),
                WriteResult::Done { rolled_back: None }
            );
        }
        // The end of it is rolled back.
        let job = WriteJob {
            truncate: Some(Truncate {
                after: Seq(ENTRIES),
                rollback_of: Some(LogId(Uuid::from_u128(1))),
            }),
            hard_state: Some(hard_state(ENTRIES)),
            ..WriteJob::default()
        };
        let done = write(&mut journal, job);
        assert!(matches!(done, WriteResult::Done { .. }), "{done:?}");
        drop(journal);
        let mut files = Vec::new();
        for folder in ["", "log"] {
            for found in fs::read_dir(dir.path().join(folder)).expect("readable") {
                let found = found.expect("a name");
                if found.file_type().expect("known").is_file() {
                    let name = found.file_name().into_string().expect("text");
                    let bytes = fs::read(found.path()).expect("readable");
                    files.push((Path::new(folder).join(name).display().to_string(), bytes));
                }
            }
        }
        files.sort();
        files
    })
}

fn options() -> DiskOptions {
    DiskOptions {
        owner: Owner {
            role: Role::Master,
            node: None,
            cluster: "default".to_owned(),
        },
        fsync: Fsync::Always,
        cache_bytes: 0,
        deduplicate_contents: false,
        segments: SegmentOptions {
            first_bytes: 4 << 10,
            max_bytes: 8 << 10,
            in_background: false,
        },
    }
}

fn write(journal: &mut DiskJournal, job: WriteJob) -> WriteResult {
    match journal.write(job) {
        Begun::Done(result) => result,
        Begun::Blocking(run) => run(),
    }
}

fn one(seq: Seq) -> Query {
    Query::Range {
        first: seq,
        last: seq,
        max_bytes: usize::MAX,
    }
}

/// Another epoch for each twenty entries.
fn epoch_of(seq: u64) -> Epoch {
    Epoch {
        n: 1 + seq.min(1000) / 20,
        master: MasterId(Uuid::from_u128(1)),
    }
}

fn hard_state(last: u64) -> HardState {
    let starts = (0..=last.min(ENTRIES) / 20).map(|n| EpochStart {
        first: Seq((20 * n).max(1)),
        epoch: epoch_of(20 * n),
    });
    HardState {
        log_id: Some(LogId(Uuid::from_u128(1))),
        epoch: epoch_of(last.min(ENTRIES)),
        epochs: starts.collect(),
        ..HardState::default()
    }
}

/// The entry that was written at that position.
fn written(seq: u64) -> Option<EntryBatch> {
    (1..=ENTRIES)
        .contains(&seq)
        .then(|| entries(seq, seq, epoch_of(seq)))
}

fn entries(first: u64, last: u64, epoch: Epoch) -> EntryBatch {
    let mut builder = BatchBuilder::new(Seq(first), epoch);
    for seq in first..=last {
        let content = Content::from_text(&format!("entry {seq} {}", "x".repeat(40)));
        builder.push(MessageId(Uuid::from_u128(seq.into())), &content);
    }
    builder.finish().expect("entries")
}
