//! A data directory that somebody takes away while its log is open.

use std::fs;
use std::path::Path;

use replog_protocol::node::WriteResult;
use replog_storage::journal::Journal;
use replog_storage::samples::{append, entries, job, run};

use crate::made::open_directory;

/// What is taken away is noticed when somebody asks, and by the next write, which is not acknowledged.
fn is_noticed(take_away: impl Fn(&Path), expected: &str) {
    let under = tempfile::tempdir().expect("a directory");
    let dir = under.path().join("data");
    let (mut journal, _) = open_directory(&dir).expect("it opens");
    append(&mut journal, entries(1..=5, 40));
    let reader = journal.reader();
    assert_eq!(reader.check(), Ok(()));
    take_away(&dir);
    let why = reader.check().expect_err("it is not there");
    assert!(why.ends_with(expected), "{why}");
    let failed = run(&mut journal, job(entries(6..=6, 40)));
    assert_eq!(failed, WriteResult::Failed(why.clone()));
    let again = run(&mut journal, job(entries(6..=6, 40)));
    assert_eq!(again, WriteResult::Failed(why), "for good");
}

#[test]
fn the_directory_is_gone() {
    is_noticed(
        |dir| fs::remove_dir_all(dir).expect("removed"),
        "data is gone",
    );
}

#[test]
fn the_file_is_gone() {
    let file = |dir: &Path| dir.join("log/0000000001.segment");
    is_noticed(
        |dir| fs::remove_file(file(dir)).expect("removed"),
        "log/0000000001.segment is gone",
    );
}

#[test]
fn the_file_is_another_one() {
    let replace = |dir: &Path| {
        let file = dir.join("log/0000000001.segment");
        fs::copy(&file, dir.join("copy")).expect("copied");
        fs::rename(dir.join("copy"), file).expect("replaced");
    };
    is_noticed(
        replace,
        "log/0000000001.segment is another one than was opened",
    );
}

#[test]
fn the_directory_is_another_one() {
    let replace = |dir: &Path| {
        fs::rename(dir, dir.with_extension("former")).expect("moved away");
        fs::create_dir(dir).expect("made");
        drop(open_directory(dir).expect("a new one"));
    };
    is_noticed(replace, "data is another one than was opened");
}
