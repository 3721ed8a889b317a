//! What is on a disk is there again, and found, whatever is in memory.

use replog_storage::disk::{DiskJournal, DiskOptions, Fsync, SegmentOptions};
use replog_storage::journal::{Journal, StorageKind};
use replog_storage::samples::{
    append, disk_options, entries, entry, everything, hard_state, range, run, shown,
    truncate_after, truncation,
};
use replog_storage::sim_disk::{DiskOp, SimDisk};

use crate::made::{find, open, written};

#[test]
fn everything_is_there_again_and_old_messages_are_found() {
    let disk = SimDisk::default();
    drop(written(&disk, 250, 7));
    let (mut journal, restored) = open(&disk, 1 << 20).expect("it opens again");
    assert_eq!(restored.hard_state, hard_state());
    let reader = journal.reader();
    assert_eq!(everything(&*reader), Ok(shown(&entries(1..=250, 40))));
    let find = |id| find(&*reader, id, "x").expect("readable");
    assert_eq!([find(7), find(251)], [Some(7), None]);
    // What is taken out is not found any more.
    run(&mut journal, truncation(truncate_after(99)));
    assert_eq!([find(99), find(100)], [Some(99), None]);
}

#[test]
fn only_the_newest_stay_in_memory() {
    let (mut journal, _) = open(&SimDisk::default(), 3 << 20).expect("it opens");
    for from in (1..=900).step_by(10) {
        append(&mut journal, entries(from..=from + 9, 10_000));
    }
    let reader = journal.reader();
    let now = |seq| reader.read_now(&range(seq, seq, 0));
    let in_memory: Vec<u64> = (1..=900).filter(|seq| now(*seq).is_some()).collect();
    let from = in_memory[0];
    assert!(
        (590..=800).contains(&from),
        "about 3 MiB of 9 MB, not from {from} on"
    );
    assert_eq!(in_memory, (from..=900).collect::<Vec<u64>>());
    for seq in [1, from - 1, from, 900] {
        let read = reader.read(&range(seq, seq, 0)).expect("readable");
        assert_eq!(read, entries(seq..=seq, 10_000).pop());
    }
    // What goes out of the log goes out of memory.
    run(&mut journal, truncation(truncate_after(700)));
    assert_eq!(everything(&*reader), Ok(shown(&entries(1..=700, 10_000))));
}

/// The page of a disk has as many entries as fit.
#[test]
fn a_page_from_the_disk_is_full() {
    let disk = SimDisk::default();
    let mut options = disk_options(0);
    (options.segments.first_bytes, options.segments.max_bytes) = (64 << 10, 64 << 10);
    let (mut journal, _) = disk.open(&options).expect("it opens");
    for from in (1..=90).step_by(10) {
        append(&mut journal, entries(from..=from + 9, 40));
    }
    let one = entries(10..=10, 40)[0].bytes();
    let count = |max_bytes| {
        let page = journal.reader().read(&range(10, 60, max_bytes));
        page.expect("readable").expect("entries").count()
    };
    assert_eq!([count(0), count(2 * one), count(2 * one + 1)], [1, 1, 2]);
    assert_eq!(count(usize::MAX), 51);
}

fn open_by(disk: &SimDisk, deduplicate_contents: bool) -> DiskJournal {
    let options = DiskOptions {
        deduplicate_contents,
        ..disk_options(0)
    };
    disk.open(&options).expect("it opens").0
}

/// What was appended by id, or taken out, or cleared, is found by content from the next start on, and the first of the same
/// content wins.
#[test]
fn contents_are_found_whatever_happened_to_their_index() {
    let disk = SimDisk::default();
    let put = |journal: &mut DiskJournal, seq: u64, text: &str| {
        append(journal, vec![entry(seq, text)]);
    };
    let find =
        |journal: &DiskJournal, text: &str| find(&*journal.reader(), 999, text).expect("readable");
    let mut journal = open_by(&disk, true);
    (1..=10).for_each(|seq| put(&mut journal, seq, &format!("old {seq}")));
    run(&mut journal, truncation(truncate_after(0)));
    drop(journal);
    let mut journal = open_by(&disk, false);
    (1..=5).for_each(|seq| put(&mut journal, seq, ["a", "b"][usize::from(seq % 2 == 0)]));
    assert_eq!(find(&journal, "a"), None, "contents are not asked for");
    drop(journal);
    let mut journal = open_by(&disk, true);
    assert_eq!(
        ["a", "b", "old 3"].map(|text| find(&journal, text)),
        [Some(1), Some(2), None]
    );
    (6..=8).for_each(|seq| put(&mut journal, seq, &format!("new {seq}")));
    run(&mut journal, truncation(truncate_after(6)));
    drop(journal);
    let mut journal = open_by(&disk, false);
    put(&mut journal, 7, "again");
    drop(journal);
    let journal = open_by(&disk, true);
    assert_eq!(
        ["new 6", "new 7", "again"].map(|text| find(&journal, text)),
        [Some(6), None, Some(7)]
    );
}

/// Without syncs a log survives the end of the process all the same.
#[test]
fn what_is_never_synced_is_there_again_too() {
    let disk = SimDisk::default();
    let options = DiskOptions {
        fsync: Fsync::Never,
        segments: SegmentOptions {
            first_bytes: 8 << 10,
            ..disk_options(0).segments
        },
        ..disk_options(0)
    };
    let (mut journal, _) = disk.open(&options).expect("it opens");
    let _ = disk.take_ops();
    append(&mut journal, entries(1..=3, 40));
    let is_sync = |op: &DiskOp| matches!(op, DiskOp::Sync(_) | DiskOp::SyncNames);
    assert!(!disk.take_ops().iter().any(is_sync));
    // What has left a segment behind is durable.
    append(&mut journal, entries(4..=30, 40));
    assert!(disk.take_ops().iter().any(is_sync));
    assert_eq!(journal.reader().kind(), StorageKind::Disk { synced: false });
    drop(journal);
    let (journal, _) = open(&disk, 0).expect("it opens");
    assert_eq!(journal.reader().kind(), StorageKind::Disk { synced: true });
    let all = everything(&*journal.reader());
    assert_eq!(all, Ok(shown(&entries(1..=30, 40))));
}
