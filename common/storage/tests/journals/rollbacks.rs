//! Rolled-back entries in the files of a data directory.

use std::fs;
use std::path::Path;

use replog_protocol::ids::Seq;
use replog_protocol::node::{RolledBack, Truncate, WriteResult};
use replog_storage::directory;
use replog_storage::journal::Journal;
use replog_storage::samples::{
    DONE, append, entries, everything, log_id, run, shown, truncate_after, truncation,
};
use replog_storage::sim_disk::{DiskFault, SimDisk};

use crate::made::{open_directory, written};

fn rollback_after(seq: u64) -> Truncate {
    Truncate {
        rollback_of: Some(log_id(5)),
        ..truncate_after(seq)
    }
}

fn files(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).expect("readable");
    let mut names: Vec<String> = names
        .map(|e| e.expect("a name").file_name().into_string().expect("text"))
        .filter(|name| name != "log")
        .collect();
    names.sort();
    names
}

#[test]
fn they_are_listed_after_a_restart_and_foreign_files_are_left_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut journal, _) = open_directory(dir.path()).expect("it opens");
    append(&mut journal, entries(1..=110, 40));
    let what = RolledBack {
        log_id: log_id(5),
        first: Seq(96),
        last: Seq(110),
    };
    let rolled_back = Some(what);
    let done = run(&mut journal, truncation(rollback_after(95)));
    assert_eq!(done, WriteResult::Done { rolled_back });
    let name = files(dir.path()).pop().expect("a file");
    assert!(
        name.starts_with(&format!("diverged-{}-", log_id(5))),
        "{name}"
    );
    assert!(name.ends_with(".ndjson"), "{name}");
    let text = fs::read_to_string(dir.path().join(&name)).expect("readable");
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let expected: Vec<String> = (shown(&entries(96..=110, 40)).into_iter())
        .map(|(_, json)| json)
        .collect();
    assert_eq!(lines, expected, "an entry a line");

    // What a start that was killed has left goes; what somebody else has put there stays.
    let unfinished = format!("diverged-{}-1.ndjson.new", log_id(5));
    fs::write(dir.path().join(&unfinished), "{\"seq\":").expect("written");
    fs::write(dir.path().join("notes.ndjson"), "mine").expect("written");
    let empty = format!("diverged-{}-2.ndjson", log_id(5));
    fs::write(dir.path().join(&empty), "").expect("written");
    let before = journal.reader().rollbacks().expect("readable");
    drop(journal);
    let (journal, _) = open_directory(dir.path()).expect("it opens");
    let mut left = [empty, name.clone(), "notes.ndjson".to_owned()];
    left.sort();
    assert_eq!(files(dir.path()), left);
    let after = journal.reader().rollbacks().expect("readable");
    assert_eq!(after, before);
    assert_eq!(
        (after.len(), after[0].first, after[0].last),
        (1, Seq(96), Seq(110))
    );
    assert_eq!(after[0].file, Some(dir.path().join(name)));
}

/// The file is durable before the entries go out: where it cannot be written they stay.
#[test]
fn without_the_file_nothing_is_taken_out() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("data");
    let (mut journal, _) = open_directory(&path).expect("it opens");
    append(&mut journal, entries(1..=10, 40));
    let moved = dir.path().join("moved");
    fs::rename(&path, &moved).expect("renamed");
    let failed = run(&mut journal, truncation(rollback_after(4)));
    assert!(matches!(failed, WriteResult::Failed(_)), "{failed:?}");
    drop(journal);
    let (journal, _) = open_directory(&moved).expect("it opens");
    let all = everything(&*journal.reader());
    assert_eq!(all, Ok(shown(&entries(1..=10, 40))));
    assert_eq!(files(&moved), [""; 0]);
}

#[test]
fn two_at_one_time_have_files_of_their_own() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut journal, _) = open_directory(dir.path()).expect("it opens");
    for _ in 0..20 {
        append(&mut journal, entries(1..=2, 40));
        let done = run(&mut journal, truncation(rollback_after(0)));
        assert_ne!(done, DONE);
    }
    assert_eq!(files(dir.path()).len(), 20);
    assert_eq!(journal.reader().rollbacks().expect("readable").len(), 20);
    drop(journal);
    let options = replog_storage::samples::disk_options(0);
    directory::open(dir.path(), &options).expect("it opens");
}

/// Where the write found no room its entries are still in the log, and there is no file. Where it failed nobody knows:
/// the file may be the only copy.
#[test]
fn the_file_goes_when_the_entries_stay() {
    for (fault, left) in [(DiskFault::DiskFull, 0), (DiskFault::SyncFails, 1)] {
        let dir = tempfile::tempdir().expect("a directory");
        let disk = SimDisk::default();
        disk.keep_rollbacks_in(dir.path());
        let mut journal = written(&disk, 20, 5);
        disk.fail(fault);
        let refused = run(&mut journal, truncation(rollback_after(4)));
        match left {
            0 => assert_eq!(refused, WriteResult::DiskFull),
            _ => assert!(matches!(refused, WriteResult::Failed(_)), "{refused:?}"),
        }
        let kept = journal.reader().rollbacks().expect("readable");
        assert_eq!((files(dir.path()).len(), kept.len()), (left, left));
    }
}
