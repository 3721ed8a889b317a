//! A disk that is full, or fails, under a log.

use replog_common::entry::Entry;
use replog_common::log::contract::entry;
use replog_common::log::disk::DiskLog;
use replog_common::log::tape::{Refuses, Tape};
use replog_common::log::{Batch, LogStore, StoreError};
use replog_common::types::Seq;

use crate::media::{entries, everything, open, standing, written};

#[test]
fn a_full_disk_refuses_and_goes_on_when_there_is_room() {
    let tape = Tape::default();
    let log = written(&tape, 20, 5);
    tape.refuse(Refuses::ToGrow);
    let large: Vec<Entry> = (21..=60).map(|seq| entry(seq, 100_000)).collect();
    let full = log.append(&large);
    assert!(matches!(full, Err(StoreError::Full)), "{full:?}");
    assert_eq!(everything(&log).expect("it reads on"), entries(1..=20));
    tape.refuse(Refuses::Nothing);
    log.append(&large).expect("there is room");
    drop(log);
    let (log, _) = open(&tape, 0).expect("it opens");
    assert_eq!(log.last().seq, Seq(60));
}

/// What was to replace the end of the log is as long as the end that is still there: that is not the new one.
#[test]
fn a_full_disk_that_was_to_replace_the_end_has_not_done_so() {
    let tape = Tape::default();
    let log = written(&tape, 20, 5);
    tape.refuse(Refuses::ToGrow);
    let other: Vec<Entry> = (16..=20).map(|seq| entry(seq, 1_000_000)).collect();
    let full = log.write(&Batch {
        keep: Some(entry(15, 40).position()),
        entries: &other,
        standing: None,
    });
    assert!(matches!(full, Err(StoreError::Full)), "{full:?}");
    assert_eq!(everything(&log).expect("readable"), entries(1..=20));
}

/// Some file systems find out only then (quotas, delayed allocation): the pages may be gone all the same.
#[test]
fn a_sync_that_finds_no_room_is_not_believed() {
    let mut synced = 0;
    while let tape = Tape::default()
        && let log = written(&tape, 20, 5)
    {
        tape.refuse_once(Refuses::RoomToSync, synced);
        let failed = log.append(&entries(21..=21));
        if !tape.has_refused() {
            break;
        }
        assert!(matches!(failed, Err(StoreError::Failed(_))), "{failed:?}");
        synced += 1;
    }
    assert!(synced >= 2, "a commit syncs twice: {synced}");
}

/// Nothing is shown that was not written, and it goes on when there is room again: at whatever step there was none.
#[test]
fn no_room_at_any_step_of_a_write() {
    type Write = fn(&DiskLog) -> Result<(), StoreError>;
    let large = |seqs: std::ops::RangeInclusive<u64>| -> Vec<Entry> {
        seqs.map(|seq| entry(seq, 300_000)).collect()
    };
    let writes: [(Write, u64); 3] = [
        (
            |log| log.append(&[21, 22].map(|seq| entry(seq, 300_000))),
            22,
        ),
        (|log| log.truncate(entry(3, 40).position()), 3),
        (|log| log.begin_anew(&standing()).map(drop), 0),
    ];
    for (write, last) in writes {
        for (refuses, for_good) in [
            (Refuses::ToGrow, false),
            (Refuses::RoomToWrite, false),
            (Refuses::RoomToWrite, true),
            (Refuses::AnyRoom, true),
        ] {
            let mut passed = 0;
            loop {
                let tape = Tape::default();
                let log = written(&tape, 20, 5);
                tape.refuse_once(refuses, passed);
                if for_good {
                    tape.refuse(refuses);
                }
                let full = write(&log);
                if tape.has_refused() || for_good {
                    tape.refuse(Refuses::Nothing);
                    assert!(
                        matches!(full, Err(StoreError::Full)),
                        "{refuses:?} {passed}: {full:?}"
                    );
                    assert_eq!(everything(&log).expect("it reads on"), entries(1..=20));
                    write(&log).expect("there is room");
                }
                drop(log);
                let (log, _) = open(&tape, 0).expect("it opens");
                assert_eq!(log.last().seq, Seq(last));
                let mut there = entries(1..=last.min(20));
                there.extend(large(21..=last));
                assert_eq!(everything(&log).expect("readable"), there);
                if for_good || !tape.has_refused() {
                    break;
                }
                passed += 1;
            }
        }
    }
}

#[test]
fn a_disk_that_fails_is_not_believed() {
    for refuses in [Refuses::ToWrite, Refuses::ToSync] {
        let tape = Tape::default();
        let log = written(&tape, 20, 5);
        tape.refuse(refuses);
        let failed = log.append(&entries(21..=21));
        assert!(matches!(failed, Err(StoreError::Failed(_))), "{failed:?}");
        assert_eq!(log.last().seq, Seq(20));
        tape.refuse(Refuses::Nothing);
        let again = log.append(&entries(21..=21));
        assert!(again.is_err(), "no retry after a failed sync");
        drop(log);
        let (log, _) = open(&tape, 0).expect("it opens");
        let last = log.last().seq.0;
        assert!((20..=21).contains(&last));
        assert_eq!(everything(&log).expect("readable"), entries(1..=last));
    }
}
