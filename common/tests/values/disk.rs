//! The log on a disk: the contract, what is there again after a restart, and whose it is.

use replog_common::entry::{Content, Entry};
use replog_common::log::contract::{self, entry};
use replog_common::log::disk::{DiskLog, DiskOptions, Fsync, OpenError, Owner, open_directory};
use replog_common::log::tape::{Tape, replayed};
use replog_common::log::{Batch, LogStore, StoreError};
use replog_common::protocol::dedup::DeduplicateBy;
use replog_common::types::{MessageId, Seq};

use crate::made::node;
use crate::media::{entries, everything, open, options, owner, standing, written};

#[test]
fn keeps_the_contract() {
    for cache_bytes in [0, 1 << 30] {
        contract::check(|| open(&Tape::default(), cache_bytes).expect("it opens").0);
    }
    let dir = tempfile::tempdir().expect("a directory");
    let mut made = 0;
    let made = std::cell::RefCell::new(&mut made);
    contract::check(|| {
        **made.borrow_mut() += 1;
        let path = dir.path().join(made.borrow().to_string());
        let opened = open_directory(&path, Fsync::Always, &owner(), &options(4096));
        opened.expect("it opens").0
    });
}

#[test]
fn everything_is_there_again_and_old_messages_are_found() {
    let tape = Tape::default();
    drop(written(&tape, 250, 7));
    let (log, stands) = open(&tape, 1 << 20).expect("it opens again");
    assert_eq!(stands, standing());
    assert_eq!(everything(&log).expect("readable"), entries(1..=250));
    let content = Content::from_text("x");
    let id = |n: u128| MessageId(uuid::Uuid::from_u128(n));
    assert_eq!(log.find(id(7), &content).expect("readable"), Some(Seq(7)));
    assert_eq!(log.find(id(251), &content).expect("readable"), None);
    // What is put aside is not found any more.
    log.truncate(entry(99, 40).position()).expect("written");
    assert_eq!(log.find(id(100), &content).expect("readable"), None);
    assert_eq!(log.find(id(99), &content).expect("readable"), Some(Seq(99)));
}

#[test]
fn contents_are_found_also_where_the_log_was_written_without_their_index() {
    let tape = Tape::default();
    drop(written(&tape, 20, 20));
    let by_content = DiskOptions {
        deduplicate_by: DeduplicateBy::Content,
        ..options(0)
    };
    let reopen = || DiskLog::open(Box::new(tape.clone()), &owner(), &by_content);
    let (log, _) = reopen().expect("it opens");
    let new = Entry::new(
        Seq(21),
        entry(21, 1).epoch,
        entry(21, 1).message_id,
        "\"new\"",
    );
    log.append(std::slice::from_ref(&new)).expect("written");
    drop(log);
    let (log, _) = reopen().expect("it opens");
    let nobody = MessageId(uuid::Uuid::from_u128(999));
    let find = |text: &str| {
        log.find(nobody, &Content::from_text(text))
            .expect("readable")
    };
    assert!(find(&"x".repeat(40)).is_some());
    assert_eq!(find("new"), Some(Seq(21)));
    assert_eq!(find("other"), None);
}

/// What was appended by id, or cut, or cleared, is found by content from the next start on, and the first of the same wins.
#[test]
fn contents_are_found_whatever_happened_to_their_index() {
    let tape = Tape::default();
    let open = |deduplicate_by| {
        let options = DiskOptions {
            deduplicate_by,
            ..options(0)
        };
        DiskLog::open(Box::new(tape.clone()), &owner(), &options)
            .expect("it opens")
            .0
    };
    let put = |log: &dyn LogStore, seq: u64, content: &str| {
        let e = entry(seq, 1);
        let text = format!("\"{content}\"");
        let standing = standing();
        log.write(&Batch {
            entries: &[Entry::new(e.seq, e.epoch, e.message_id, &text)],
            standing: Some(&standing),
            ..Batch::default()
        })
        .expect("written");
    };
    let find = |log: &dyn LogStore, content: &str| {
        let nobody = MessageId(uuid::Uuid::from_u128(999));
        let found = log.find(nobody, &Content::from_text(content));
        found.expect("readable").map(|seq| seq.0)
    };
    let log = open(DeduplicateBy::Content);
    (1..=10).for_each(|seq| put(&log, seq, &format!("old {seq}")));
    drop(log.begin_anew(&standing()).expect("written"));
    drop(log);
    let log = open(DeduplicateBy::MessageId);
    (1..=5).for_each(|seq| put(&log, seq, ["a", "b"][usize::from(seq % 2 == 0)]));
    drop(log);
    let log = open(DeduplicateBy::Content);
    assert_eq!(
        ["a", "b", "old 3"].map(|c| find(&log, c)),
        [Some(1), Some(2), None]
    );
    (6..=8).for_each(|seq| put(&log, seq, &format!("new {seq}")));
    log.truncate(entry(6, 1).position()).expect("written");
    drop(log);
    let log = open(DeduplicateBy::MessageId);
    put(&log, 7, "again");
    drop(log);
    let log = open(DeduplicateBy::Content);
    assert_eq!(
        ["new 6", "new 7", "again"].map(|c| find(&log, c)),
        [Some(6), None, Some(7)]
    );
}

#[test]
fn only_the_newest_stay_in_memory() {
    let (log, _) = open(&Tape::default(), 3 << 20).expect("it opens");
    for seq in 1..=2000 {
        log.append(&[entry(seq, 10_000)]).expect("written");
    }
    assert!(log.memory_bytes() < 5 << 20, "{}", log.memory_bytes());
    let from = log.recent_from();
    assert!(from > Seq(1000), "{from}");
    for seq in [1, from.0 - 1, from.0, 2000] {
        let found = log.get(Seq(seq)).expect("readable");
        assert_eq!(found, Some(entry(seq, 10_000)));
    }
}

#[test]
fn who_still_reads_a_cleared_log_is_told() {
    let log = written(&Tape::default(), 10, 5);
    let new = log.begin_anew(&standing()).expect("written");
    let old = log.read(Seq(1), Seq(9), 9, 999);
    assert!(matches!(old, Err(StoreError::Gone)), "{old:?}");
    assert!(matches!(
        log.append(&entries(11..=11)),
        Err(StoreError::Gone)
    ));
    new.append(&entries(1..=3)).expect("it goes on");
    assert_eq!(everything(&*new).expect("readable"), entries(1..=3));
}

#[test]
fn a_directory_belongs_to_one_node_and_one_process() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("master");
    let open_as = |owner: &Owner| open_directory(&path, Fsync::Never, owner, &options(0));
    let (first, _) = open_as(&owner()).expect("it is new");
    let second = open_as(&owner()).expect_err("it is in use");
    assert!(matches!(second, OpenError::Locked), "{second}");
    drop(first);
    let other = Owner {
        role: replog_common::log::disk::Role::Secondary,
        node: Some(node("s1")),
        ..owner()
    };
    let refused = open_as(&other).expect_err("it is the master's").to_string();
    assert!(
        refused.contains("the master of cluster default"),
        "{refused}"
    );
    assert!(refused.contains("the secondary s1"), "{refused}");
    open_as(&owner()).expect("its owner may");
}

#[test]
fn a_first_start_that_was_killed_is_in_nobodys_way() {
    let tape = Tape::default();
    drop(open(&tape, 0).expect("it opens"));
    let did = tape.take_did();
    let dir = tempfile::tempdir().expect("a directory");
    for upto in 0..=did.len() {
        let path = dir.path().join(upto.to_string());
        std::fs::create_dir(&path).expect("made");
        let left = replayed(Vec::new(), &did[..upto], 0);
        std::fs::write(path.join("log.redb.new"), left).expect("written");
        let opened = open_directory(&path, Fsync::Always, &owner(), &options(0));
        let (log, _) = opened.unwrap_or_else(|e| panic!("killed after step {upto}: {e}"));
        let standing = standing();
        log.write(&Batch {
            entries: &entries(1..=3),
            standing: Some(&standing),
            ..Batch::default()
        })
        .expect("written");
        let names = std::fs::read_dir(&path).expect("readable");
        let names: Vec<_> = names.map(|e| e.expect("a name").file_name()).collect();
        assert_eq!(names, ["log.redb"]);
    }
}

#[test]
fn what_is_no_directory_or_no_log_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = |path: &std::path::Path| open_directory(path, Fsync::Always, &owner(), &options(0));
    let missing = at(&dir.path().join("a/b")).expect_err("its parent is missing");
    assert!(matches!(missing, OpenError::Io(_)), "{missing}");
    let file = dir.path().join("file");
    std::fs::write(&file, "x").expect("written");
    assert!(matches!(at(&file), Err(OpenError::Io(_))));
    let other = dir.path().join("other");
    std::fs::create_dir(&other).expect("made");
    std::fs::write(other.join("log.redb"), "something else entirely").expect("written");
    for cut_off in [0, 4, 100, 5_000] {
        let whole = dir.path().join(format!("cut at {cut_off}"));
        drop(at(&whole).expect("it is new"));
        let file = whole.join("log.redb");
        let text = std::fs::read(&file).expect("readable");
        std::fs::write(&file, &text[..cut_off]).expect("written");
        let no_log = at(&whole).expect_err("it is cut off");
        assert!(
            matches!(no_log, OpenError::Damaged(_)),
            "{cut_off}: {no_log:?}"
        );
    }
    let no_log = at(&other).expect_err("it is no log");
    assert!(matches!(no_log, OpenError::Damaged(_)), "{no_log:?}");
}
