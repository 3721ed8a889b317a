//! A disk that is full under a log.

use std::ops::RangeInclusive;

use replog_protocol::entry::EntryBatch;
use replog_protocol::node::{WriteJob, WriteResult};
use replog_storage::journal::Journal;
use replog_storage::samples::{
    DONE, append, entries, everything, job, others, run, shown, truncate_after, truncation,
};
use replog_storage::sim_disk::{DiskFault, SimDisk};

use crate::made::{open, written};

#[test]
fn it_refuses_and_goes_on_when_there_is_room() {
    let disk = SimDisk::default();
    let mut journal = written(&disk, 20, 5);
    disk.fail(DiskFault::DiskFull);
    let large = entries(21..=60, 100_000);
    assert_eq!(run(&mut journal, job(large.clone())), WriteResult::DiskFull);
    let all = everything(&*journal.reader());
    assert_eq!(all, Ok(shown(&entries(1..=20, 40))), "it reads on");
    assert_eq!(journal.reader().check(), Ok(()));
    disk.fail(DiskFault::None);
    append(&mut journal, large);
    drop(journal);
    let (_, restored) = open(&disk, 0).expect("it opens");
    assert_eq!(restored.last.seq.0, 60);
}

/// What was to replace the end of the log is as long as the end that is still there: that is not the new one.
#[test]
fn what_was_to_replace_the_end_has_not_done_so() {
    let disk = SimDisk::default();
    let mut journal = written(&disk, 20, 5);
    disk.fail(DiskFault::DiskFull);
    let (other, hard_state) = others(16, 20);
    let full = run(
        &mut journal,
        WriteJob {
            truncate: Some(truncate_after(15)),
            entries: vec![other],
            hard_state: Some(hard_state),
            ..WriteJob::default()
        },
    );
    assert_eq!(full, WriteResult::DiskFull);
    disk.fail(DiskFault::None);
    let all = everything(&*journal.reader());
    assert_eq!(all, Ok(shown(&entries(1..=20, 40))));
}

/// Some file systems find out only then (quotas, delayed allocation): the pages may be gone all the same.
#[test]
fn a_sync_that_finds_no_room_is_a_failure() {
    let mut synced = 0;
    loop {
        let disk = SimDisk::default();
        let mut journal = written(&disk, 20, 5);
        disk.fail_once(DiskFault::DiskFullOnSync, synced);
        let failed = run(&mut journal, job(entries(21..=21, 40)));
        if !disk.is_well() {
            break;
        }
        assert!(matches!(failed, WriteResult::Failed(_)), "{failed:?}");
        synced += 1;
    }
    assert!(synced >= 1, "{synced}");
}

/// Nothing is shown that was not written, and it goes on when there is room again: at whatever step there was none.
#[test]
fn no_room_at_any_step_of_a_write() {
    let large = |seqs: RangeInclusive<u64>| -> Vec<EntryBatch> { entries(seqs, 300_000) };
    let writes = [
        (job(large(21..=22)), 22),
        (truncation(truncate_after(3)), 3),
        (truncation(truncate_after(0)), 0),
    ];
    for (write, last) in writes {
        for (fault, for_good) in [
            (DiskFault::DiskFullOnGrow, false),
            (DiskFault::DiskFullOnWrite, false),
            (DiskFault::DiskFullOnWrite, true),
            (DiskFault::DiskFull, true),
        ] {
            let mut passed = 0;
            loop {
                let disk = SimDisk::default();
                let mut journal = written(&disk, 20, 5);
                disk.fail_once(fault, passed);
                if for_good {
                    disk.fail(fault);
                }
                let full = run(&mut journal, write.clone());
                let has_failed = disk.is_well() || for_good;
                disk.fail(DiskFault::None);
                // What can be done later may have found no room too.
                if full != DONE {
                    assert!(has_failed);
                    assert_eq!(full, WriteResult::DiskFull, "{fault:?} {passed}");
                    let all = everything(&*journal.reader());
                    assert_eq!(all, Ok(shown(&entries(1..=20, 40))), "it reads on");
                    assert_eq!(run(&mut journal, write.clone()), DONE, "there is room");
                }
                drop(journal);
                let (journal, restored) = open(&disk, 0).expect("it opens");
                assert_eq!(restored.last.seq.0, last);
                let mut there = shown(&entries(1..=last.min(20), 40));
                there.extend(shown(&large(21..=last)));
                assert_eq!(everything(&*journal.reader()), Ok(there));
                if for_good || !has_failed {
                    assert!(passed > 0 || for_good || full == DONE);
                    break;
                }
                passed += 1;
            }
        }
    }
}
