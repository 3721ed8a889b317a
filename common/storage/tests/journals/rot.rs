//! A record that was good once and is not any more: reported, kept apart from what is good, and written again.

use replog_protocol::entry::EntryBatch;
use replog_protocol::epochs::LogPosition;
use replog_protocol::ids::Seq;
use replog_protocol::node::{ReadError, WriteJob, WriteResult};
use replog_storage::disk::{DiskJournal, DiskOptions};
use replog_storage::journal::Journal;
use replog_storage::samples::{
    DONE, append, disk_options, entry, epoch_of, everything, hard_state, log_id, others, range,
    run, shown, truncate_after, truncation,
};
use replog_storage::sim_disk::{DiskFault, SimDisk};

use crate::made::{find, open, seqs};

fn mark(seq: u64) -> String {
    format!("mark {seq:04}")
}

/// An entry whose content is nowhere else in a file.
fn marked(seq: u64) -> EntryBatch {
    entry(seq, &mark(seq))
}

fn all_marked(upto: u64) -> Vec<EntryBatch> {
    (1..=upto).map(marked).collect()
}

fn open_by(disk: &SimDisk, deduplicate_contents: bool) -> DiskJournal {
    let options = DiskOptions {
        deduplicate_contents,
        ..disk_options(0)
    };
    disk.open(&options).expect("it opens").0
}

/// A log of 50 such entries on a disk that has changed one byte of some.
fn rotten(deduplicate_contents: bool, damaged: &[u64]) -> (SimDisk, DiskJournal) {
    let disk = SimDisk::default();
    let mut journal = open_by(&disk, deduplicate_contents);
    append(&mut journal, all_marked(50));
    drop(journal);
    let mut image = disk.image();
    for seq in damaged {
        let mark = mark(*seq);
        let mut found = 0;
        for file in image.contents() {
            let is_here = |at: &usize| file[*at..].starts_with(mark.as_bytes());
            let places: Vec<usize> = (0..file.len()).filter(is_here).collect();
            places.iter().for_each(|at| file[*at] ^= 1);
            found += places.len();
        }
        assert_eq!(found, 1, "entry {seq} is somewhere");
    }
    let disk = SimDisk::with_image(image);
    let journal = open_by(&disk, deduplicate_contents);
    (disk, journal)
}

fn read(journal: &DiskJournal, first: u64, last: u64) -> Result<u64, ReadError> {
    let page = journal.reader().read(&range(first, last, usize::MAX))?;
    Ok(page.map_or(0, |page| page.count()))
}

fn repair(journal: &mut DiskJournal, repairs: Vec<EntryBatch>) -> WriteResult {
    let job = WriteJob {
        repairs,
        ..WriteJob::default()
    };
    run(journal, job)
}

#[test]
fn what_is_good_is_read_and_what_is_damaged_is_reported_until_it_is_repaired() {
    let (disk, mut journal) = rotten(false, &[20, 31]);
    let reader = journal.reader();
    assert_eq!(reader.damaged(), [], "nobody has looked");
    assert_eq!(read(&journal, 1, 50), Ok(19), "up to the damage");
    assert_eq!(read(&journal, 20, 50), Err(ReadError::Damaged(Seq(20))));
    assert_eq!(everything(&*reader), Err(ReadError::Damaged(Seq(20))));
    assert_eq!(read(&journal, 21, 50), Ok(10));
    assert_eq!(read(&journal, 31, 31), Err(ReadError::Damaged(Seq(31))));
    assert_eq!(find(&*reader, 31, ""), Err(ReadError::Damaged(Seq(31))));
    assert_eq!(reader.damaged(), seqs(&[20, 31]));
    assert_eq!(reader.check(), Ok(()), "it goes on");

    assert_eq!(repair(&mut journal, vec![marked(20), marked(31)]), DONE);
    assert_eq!(reader.damaged(), []);
    assert_eq!(everything(&*reader), Ok(shown(&all_marked(50))));
    drop((journal, reader));
    let (journal, _) = open(&disk, 0).expect("it opens");
    let reader = journal.reader();
    assert_eq!(
        everything(&*reader),
        Ok(shown(&all_marked(50))),
        "it stays so"
    );
    assert_eq!(find(&*reader, 20, ""), Ok(Some(20)));
}

#[test]
fn only_what_is_damaged_is_written_again_and_only_as_its_epoch_placed_it() {
    let (disk, mut journal) = rotten(false, &[20]);
    let (of_another_epoch, _) = others(20, 20);
    assert_eq!(read(&journal, 20, 20), Err(ReadError::Damaged(Seq(20))));
    let repairs = vec![entry(19, "another"), of_another_epoch, entry(51, "another")];
    assert_eq!(repair(&mut journal, repairs), DONE);
    assert_eq!(journal.reader().damaged(), seqs(&[20]));
    assert_eq!(read(&journal, 20, 20), Err(ReadError::Damaged(Seq(20))));
    drop(journal);
    let (journal, restored) = open(&disk, 0).expect("it opens");
    assert_eq!(restored.last.seq, Seq(50));
    let read = journal.reader().read(&range(19, 19, 0));
    assert_eq!(read, Ok(Some(marked(19))));
}

#[test]
fn a_repair_and_new_entries_are_one_write() {
    let (disk, mut journal) = rotten(false, &[20, 50]);
    let job = WriteJob {
        entries: vec![marked(51)],
        hard_state: Some(hard_state()),
        repairs: vec![marked(20), marked(50)],
        ..WriteJob::default()
    };
    assert_eq!(run(&mut journal, job), DONE);
    drop(journal);
    let (journal, _) = open(&disk, 0).expect("it opens");
    assert_eq!(everything(&*journal.reader()), Ok(shown(&all_marked(51))));
}

#[test]
fn what_is_damaged_is_written_down_with_the_rest_that_is_rolled_back() {
    let (_, mut journal) = rotten(false, &[20, 31]);
    assert_eq!(read(&journal, 31, 31), Err(ReadError::Damaged(Seq(31))));
    assert_eq!(read(&journal, 20, 20), Err(ReadError::Damaged(Seq(20))));
    let mut truncate = truncate_after(25);
    truncate.rollback_of = Some(log_id(1));
    run(&mut journal, truncation(truncate));
    let reader = journal.reader();
    let kept = reader.rollbacks().expect("readable").pop().expect("one");
    assert_eq!((kept.first, kept.last), (Seq(26), Seq(50)));
    let text = format!(
        "[{}]",
        String::from_utf8(kept.entries.to_vec()).expect("text")
    );
    let list: Vec<serde_json::Value> = serde_json::from_str(&text).expect("JSON");
    assert_eq!(list.len(), 25);
    assert_eq!(list[5], serde_json::json!({"seq": 31, "damaged": true}));
    assert_eq!(list[6]["content"], mark(32));
    assert_eq!(reader.damaged(), seqs(&[20]));
}

/// What is torn is undone: what else is wrong at the end was right once, and may be nowhere else.
#[test]
fn the_last_one_is_as_any_other() {
    let (disk, mut journal) = rotten(false, &[50]);
    assert_eq!(journal.reader().damaged(), seqs(&[50]), "seen at the start");
    drop(journal);
    let restored;
    (journal, restored) = open(&disk, 0).expect("it opens");
    let last = LogPosition {
        seq: Seq(50),
        epoch: epoch_of(50),
    };
    assert_eq!(restored.last, last);
    assert_eq!(read(&journal, 50, 50), Err(ReadError::Damaged(Seq(50))));
    assert_eq!(read(&journal, 49, 49), Ok(1));
    append(&mut journal, vec![marked(51)]);
    assert_eq!(repair(&mut journal, vec![marked(50)]), DONE);
    drop(journal);
    let (journal, _) = open(&disk, 0).expect("it opens");
    assert_eq!(everything(&*journal.reader()), Ok(shown(&all_marked(51))));
}

#[test]
fn what_could_not_be_repaired_is_reported_on() {
    let (disk, mut journal) = rotten(false, &[20]);
    assert_eq!(read(&journal, 20, 20), Err(ReadError::Damaged(Seq(20))));
    disk.fail(DiskFault::DiskFull);
    let full = repair(&mut journal, vec![marked(20)]);
    assert_eq!(full, WriteResult::DiskFull);
    assert_eq!(journal.reader().damaged(), seqs(&[20]));
    disk.fail(DiskFault::None);
    assert_eq!(repair(&mut journal, vec![marked(20)]), DONE);
    assert_eq!(read(&journal, 20, 20), Ok(1));
}

/// Nobody can read which id and which content it had.
#[test]
fn what_was_damaged_and_taken_out_is_found_no_more() {
    let (_, mut journal) = rotten(true, &[45]);
    run(&mut journal, truncation(truncate_after(44)));
    let other = |seq: u64, text: &str| {
        let (mut builder, content) = (
            replog_protocol::entry::BatchBuilder::new(Seq(seq), epoch_of(seq)),
            replog_protocol::entry::Content::from_text(text),
        );
        let id = uuid::Uuid::from_u128(1_000 + u128::from(seq));
        builder.push(replog_protocol::ids::MessageId(id), &content);
        builder.finish().expect("one")
    };
    append(
        &mut journal,
        vec![other(45, &mark(99)), other(46, &mark(45))],
    );
    let reader = journal.reader();
    let find = |id: u128, seq: u64| find(&*reader, id, &mark(seq)).expect("readable");
    assert_eq!(find(7_777, 45), Some(46));
    assert_eq!(find(1_046, 45), Some(46));
    assert_eq!(find(7_777, 99), Some(45));
    assert_eq!(find(45, 7_777), None, "the id that was taken out");
}
