//! A disk that hangs under a log: who reads does not wait for it.

use replog_protocol::node::{WriteJob, WriteResult};
use replog_storage::disk::DiskJournal;
use replog_storage::journal::{Begun, Journal};
use replog_storage::samples::{
    DONE, append, entries, everything, job, range, shown, truncate_after, truncation,
};
use replog_storage::sim_disk::SimDisk;

use crate::made::{open, written};

#[test]
fn what_is_there_is_read_while_a_write_hangs() {
    let disk = SimDisk::default();
    drop(written(&disk, 20, 5));
    let (mut journal, _) = open(&disk, 1 << 20).expect("it opens");
    append(&mut journal, entries(21..=30, 40));
    let reader = journal.reader();
    let write = begun(&mut journal, job(entries(31..=40, 40)));
    disk.hang();
    std::thread::scope(|scope| {
        let writing = scope.spawn(write);
        disk.wait_until_it_hangs();
        assert!(reader.read_now(&range(25, 25, 0)).is_some());
        assert!(reader.read_now(&range(5, 5, 0)).is_none());
        let all = everything(&*reader);
        assert_eq!(all, Ok(shown(&entries(1..=30, 40))), "not yet");
        assert_eq!(reader.check(), Ok(()));
        disk.go_on();
        assert_eq!(writing.join().expect("no panic"), DONE);
    });
    assert_eq!(everything(&*reader), Ok(shown(&entries(1..=40, 40))));
}

/// What is on the disk of an end that is being taken out is not shown as the end that was there.
#[test]
fn who_reads_during_a_truncation_waits_for_its_end() {
    let disk = SimDisk::default();
    drop(written(&disk, 20, 5));
    let (mut journal, _) = open(&disk, 0).expect("it opens");
    let reader = journal.reader();
    let write = begun(&mut journal, truncation(truncate_after(10)));
    disk.hang();
    std::thread::scope(|scope| {
        let writing = scope.spawn(write);
        disk.wait_until_it_hangs();
        let reading = scope.spawn(|| everything(&*reader));
        disk.go_on();
        assert_eq!(writing.join().expect("no panic"), DONE);
        let read = reading.join().expect("no panic");
        assert_eq!(read, Ok(shown(&entries(1..=10, 40))));
    });
    append(&mut journal, entries(11..=12, 7));
    let mut expected = shown(&entries(1..=10, 40));
    expected.extend(shown(&entries(11..=12, 7)));
    assert_eq!(everything(&*reader), Ok(expected));
}

/// A write that waits for its disk.
fn begun(journal: &mut DiskJournal, job: WriteJob) -> Box<dyn FnOnce() -> WriteResult + Send> {
    match journal.write(job) {
        Begun::Blocking(write) => write,
        Begun::Done(result) => panic!("a disk is waited for: {result:?}"),
    }
}
