//! A data directory of the first edition, made by that edition: see `fixtures/README.md`.

use std::path::Path;

use replog_protocol::cleared_logs::{ClearedLog, ClearedLogs};
use replog_protocol::entry::EntryBatch;
use replog_protocol::epochs::{EpochStart, LogPosition};
use replog_protocol::hard_state::HardState;
use replog_protocol::ids::{Epoch, MasterId, Seq};
use replog_protocol::node::Restored;
use replog_storage::directory::{self, Owner, Role};
use replog_storage::disk::{DiskJournal, DiskOptions, OpenError};
use replog_storage::journal::Journal;
use replog_storage::samples::{DONE, disk_options, everything, log_id, range, run};
use replog_storage::sim_disk::{DiskOp, SimDisk, replayed};
use uuid::Uuid;

use crate::made::find;

const PAGES: &[u8] = include_bytes!("../fixtures/first_edition.pages");
const PAGE_BYTES: usize = 4096;
const PAGE_COUNT: usize = 258;

/// The file that the first edition has written.
fn file() -> Vec<u8> {
    let mut file = vec![0; PAGE_COUNT * PAGE_BYTES];
    for record in PAGES.chunks_exact(8 + PAGE_BYTES) {
        let (number, page) = record.split_at(8);
        let number = u64::from_le_bytes(number.try_into().expect("8 bytes"));
        let at = usize::try_from(number).expect("small") * PAGE_BYTES;
        file[at..at + PAGE_BYTES].copy_from_slice(page);
    }
    file
}

fn options(node: &str, deduplicate_contents: bool) -> DiskOptions {
    DiskOptions {
        owner: Owner {
            role: Role::Secondary,
            node: Some(node.parse().expect("a name")),
            cluster: "default".to_owned(),
        },
        deduplicate_contents,
        ..disk_options(0)
    }
}

fn epoch(n: u64, master: u128) -> Epoch {
    Epoch {
        n,
        master: MasterId(Uuid::from_u128(master)),
    }
}

/// What the first edition had stored there.
fn expected() -> Restored {
    let start = |first, epoch| EpochStart {
        first: Seq(first),
        epoch,
    };
    let cleared = |n, epoch| ClearedLog {
        log_id: log_id(n),
        epoch,
    };
    let cleared = vec![cleared(2, epoch(3, 23)), cleared(3, epoch(7, 27))];
    Restored {
        hard_state: HardState {
            log_id: Some(log_id(1)),
            epoch: epoch(5, 25),
            epochs: vec![
                start(1, epoch(1, 0)),
                start(3, epoch(2, 22)),
                start(6, epoch(4, 24)),
            ],
            cleared: ClearedLogs::new(cleared).expect("two"),
            former: None,
            is_partial: true,
        },
        last: LogPosition {
            seq: Seq(7),
            epoch: epoch(4, 24),
        },
    }
}

const TEXTS: [&str; 7] = [
    "hello",
    "Grüße",
    "a \"quoted\" one\n",
    "",
    "😀",
    "six",
    "seven",
];

fn check_entries(journal: &DiskJournal) {
    let reader = journal.reader();
    let mut next = 1;
    while let Some(page) = reader.read(&range(next, 99, 1 << 20)).expect("readable") {
        for entry in page.iter() {
            let at = usize::try_from(next - 1).expect("small");
            assert_eq!(entry.text(), TEXTS[at]);
            assert_eq!(entry.message_id.0.as_u128(), 100 + u128::from(next));
            next += 1;
        }
    }
    assert_eq!(next, 8);
    for (seq, text) in (1..).zip(TEXTS) {
        assert_eq!(find(&*reader, 100 + u128::from(seq), "?"), Ok(Some(seq)));
        assert_eq!(find(&*reader, 999, text), Ok(Some(seq)));
    }
    assert_eq!(find(&*reader, 108, "eight"), Ok(None));
}

#[test]
fn it_is_converted_and_goes_on() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("log.redb"), file()).expect("written");
    let open = || directory::open(dir.path(), &options("s1", true));
    let (mut journal, restored) = open().expect("it is converted");
    assert_eq!(restored, expected());
    check_entries(&journal);
    // It goes on in a later epoch, and is what it was at the next start.
    let mut hard_state = restored.hard_state;
    hard_state.epochs.push(EpochStart {
        first: Seq(8),
        epoch: epoch(6, 66),
    });
    let json =
        r#"{"seq":8,"epoch":6,"message_id":"00000000-0000-0000-0000-000000000001","content":"8"}"#;
    let more = replog_protocol::node::WriteJob {
        entries: vec![EntryBatch::parse(json.into(), epoch(6, 66)).expect("an entry")],
        hard_state: Some(hard_state.clone()),
        ..Default::default()
    };
    assert_eq!(run(&mut journal, more), DONE);
    drop(journal);
    let (journal, restored) = open().expect("it opens");
    assert_eq!(restored.hard_state, hard_state);
    assert_eq!(restored.last.seq, Seq(8));
    assert_eq!(everything(&*journal.reader()).expect("readable").len(), 8);
}

#[test]
fn it_stays_the_one_of_its_node() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("log.redb");
    std::fs::write(&path, file()).expect("written");
    let refused = directory::open(dir.path(), &options("s2", true)).expect_err("it is of s1");
    assert!(matches!(refused, OpenError::OtherOwner { .. }), "{refused}");
    let (_, restored) = directory::open(dir.path(), &options("s1", false)).expect("it is its own");
    assert_eq!(restored, expected());
}

/// A start that is killed in the middle leaves the one or the other, and the next start goes on.
#[test]
fn it_may_be_interrupted_at_any_step() {
    let options = options("s1", true);
    let disk = SimDisk::with_bytes(file());
    drop(disk.open(&options).expect("it is converted"));
    let ops = disk.take_ops();
    assert!(ops.contains(&DiskOp::Sync));
    for upto in 0..=ops.len() {
        let length = match ops.get(upto) {
            Some(DiskOp::Write(_, data)) => data.len(),
            _ => 1,
        };
        for extra in [0, length / 3, length - 1] {
            let ops = &ops[..upto + usize::from(extra > 0)];
            let disk = SimDisk::with_bytes(replayed(file(), ops, extra));
            let opened = disk.open(&options);
            let (journal, restored) =
                opened.unwrap_or_else(|e| panic!("killed at {upto}+{extra}: {e}"));
            assert_eq!(restored, expected());
            check_entries(&journal);
            disk.wipe();
        }
    }
}

/// The old rollback file is one of the new: its name and its lines are the same.
#[test]
fn its_rollback_files_are_listed() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("log.redb"), file()).expect("written");
    let line = r#"{"seq":8,"epoch":4,"message_id":"00000000-0000-0000-0000-00000000006c","content":"eight"}"#;
    let name = "diverged-00000000-0000-0000-0000-000000000001-1700000000000.ndjson";
    let path: &Path = &dir.path().join(name);
    std::fs::write(path, format!("{line}\n")).expect("written");
    let (journal, _) = directory::open(dir.path(), &options("s1", true)).expect("it is converted");
    let kept = journal.reader().rollbacks().expect("readable");
    assert_eq!(kept.len(), 1);
    assert_eq!(
        (kept[0].log_id, kept[0].at_ms),
        (log_id(1), 1_700_000_000_000)
    );
    assert_eq!((kept[0].first, kept[0].last), (Seq(8), Seq(8)));
    assert_eq!(kept[0].file.as_deref(), Some(path));
}
