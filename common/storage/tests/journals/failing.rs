//! A disk that fails under a log.

use replog_protocol::node::{ReadError, WriteJob, WriteResult};
use replog_storage::journal::Journal;
use replog_storage::samples::{append, entries, everything, job, range, run, shown};
use replog_storage::sim_disk::{DiskFault, SimDisk};

use crate::made::{open, written};

#[test]
fn after_a_failure_nothing_is_written_any_more() {
    for fault in [DiskFault::WriteFails, DiskFault::SyncFails] {
        let disk = SimDisk::default();
        let mut journal = written(&disk, 20, 5);
        let reader = journal.reader();
        assert_eq!(reader.check(), Ok(()));
        disk.fail(fault);
        let failed = run(&mut journal, job(entries(21..=21, 40)));
        let WriteResult::Failed(why) = failed else {
            panic!("{failed:?}");
        };
        assert_eq!(
            reader.read(&range(21, 21, 0)),
            Ok(None),
            "it does not count"
        );
        disk.fail(DiskFault::None);
        for again in [job(entries(21..=21, 40)), WriteJob::default()] {
            let refused = run(&mut journal, again);
            assert_eq!(refused, WriteResult::Failed(why.clone()), "for good");
        }
        assert_eq!(reader.check(), Err(why));
        drop((journal, reader));
        let (journal, restored) = open(&disk, 0).expect("it opens");
        let last = restored.last.seq.0;
        assert!((20..=21).contains(&last));
        let all = everything(&*journal.reader());
        assert_eq!(all, Ok(shown(&entries(1..=last, 40))));
    }
}

#[test]
fn a_read_that_fails_is_no_damage() {
    let disk = SimDisk::default();
    let mut journal = written(&disk, 20, 5);
    for seq in 21..=40 {
        append(&mut journal, entries(seq..=seq, 1 << 20));
    }
    drop(journal);
    let (journal, _) = open(&disk, 0).expect("it opens");
    let reader = journal.reader();
    let failed = (21..=40).find_map(|seq| {
        disk.fail_once(DiskFault::ReadFails, 0);
        match reader.read(&range(seq, seq, 0)) {
            Ok(read) => {
                assert_eq!(read, entries(seq..=seq, 1 << 20).pop());
                None
            }
            Err(error) => Some(error),
        }
    });
    let Some(ReadError::Failed(why)) = failed else {
        panic!("{failed:?}");
    };
    assert_eq!(reader.damaged(), []);
    assert_eq!(reader.check(), Err(why), "the program is to end");
}

/// The table of epochs tells the epoch of a stored entry: what it does not cover could not be read again.
#[test]
fn entries_that_the_hard_state_does_not_know_are_refused() {
    let disk = SimDisk::default();
    let mut journal = written(&disk, 20, 5);
    let mut unknown = job(entries(21..=110, 40));
    unknown.hard_state.as_mut().expect("one").epochs.truncate(1);
    let mut other = job(entries(21..=21, 40));
    other.hard_state.as_mut().expect("one").epochs.clear();
    for wrong in [unknown, other] {
        let refused = run(&mut journal, wrong);
        assert!(matches!(refused, WriteResult::Failed(_)), "{refused:?}");
    }
    drop(journal);
    let (mut journal, restored) = open(&disk, 0).expect("it opens");
    assert_eq!(restored.last.seq.0, 20);
    // Nothing was written, so nothing has failed.
    let more = WriteJob {
        hard_state: None,
        ..job(entries(21..=110, 40))
    };
    run(&mut journal, more);
    let all = everything(&*journal.reader());
    assert_eq!(all, Ok(shown(&entries(1..=110, 40))));
}
