//! A log of many small segments: sealed, indexed, cut off across several, and full at any step of that.

use replog_protocol::node::{WriteJob, WriteResult};
use replog_storage::disk::{DiskJournal, DiskOptions, SegmentOptions};
use replog_storage::journal::Journal;
use replog_storage::samples::{
    DONE, append, batch, disk_options, entries, epoch_of, everything, hard_state, log_id, range,
    run, shown, truncate_after, truncation,
};
use replog_storage::sim_disk::SimDisk;

use crate::made::find;

pub(crate) fn options(cache_bytes: usize, in_background: bool) -> DiskOptions {
    DiskOptions {
        segments: SegmentOptions {
            first_bytes: 4 << 10,
            max_bytes: 8 << 10,
            in_background,
        },
        deduplicate_contents: true,
        ..disk_options(cache_bytes)
    }
}

pub(crate) fn open(disk: &SimDisk) -> DiskJournal {
    disk.open(&options(0, false)).expect("it opens").0
}

/// Entries without the hard state, which would fill a segment by itself.
fn plain(journal: &mut DiskJournal, from: u64, to: u64) {
    let job = WriteJob {
        entries: entries(from..=to, 40),
        ..WriteJob::default()
    };
    assert_eq!(run(journal, job), DONE);
}

/// A log of 600 entries in some dozens of segments.
pub(crate) fn many_segments() -> (SimDisk, DiskJournal) {
    let disk = SimDisk::default();
    let mut journal = open(&disk);
    append(&mut journal, entries(1..=1, 40));
    for from in (2..600).step_by(7) {
        plain(&mut journal, from, (from + 6).min(600));
    }
    (disk, journal)
}

fn count(disk: &SimDisk, suffix: &str) -> usize {
    let image = disk.image();
    image.names().filter(|name| name.ends_with(suffix)).count()
}

#[test]
fn everything_is_read_and_found_in_whatever_segment_it_is() {
    let (disk, journal) = many_segments();
    let segments = count(&disk, ".segment");
    assert!(segments > 10, "{segments}");
    assert_eq!(count(&disk, ".index"), segments - 1, "all but the active");
    drop(journal);
    let journal = open(&disk);
    let reader = journal.reader();
    assert_eq!(everything(&*reader), Ok(shown(&entries(1..=600, 40))));
    for seq in 1..=600 {
        assert_eq!(find(&*reader, u128::from(seq), "?"), Ok(Some(seq)));
    }
    assert_eq!(find(&*reader, 601, "?"), Ok(None));
    assert_eq!(find(&*reader, 999, &"x".repeat(40)), Ok(Some(1)));
    // A page goes on over the ends of segments, and ends with its epoch.
    let page = reader.read(&range(1, 600, usize::MAX)).expect("readable");
    assert_eq!(page.expect("entries").last().0, 99);
}

#[test]
fn an_index_that_is_missing_or_wrong_is_made_anew() {
    let (disk, journal) = many_segments();
    drop(journal);
    let good = disk.image();
    let indexes: Vec<String> = (good.names().map(str::to_owned))
        .filter(|name| name.ends_with(".index"))
        .collect();
    for (i, wrong) in [&b""[..], b"nothing of an index", &[0; 9_000]]
        .iter()
        .enumerate()
    {
        let mut image = good.clone();
        for (at, name) in indexes.iter().enumerate() {
            match at % 2 {
                0 => image.remove(name),
                _ => *image.file(name) = wrong.to_vec(),
            }
        }
        // One that is right, but another segment's.
        let other = good.clone().file(&indexes[2]).clone();
        *image.file(&indexes[1]) = other;
        let disk = SimDisk::with_image(image);
        let mut journal = open(&disk);
        let reader = journal.reader();
        for seq in (1..=600).step_by(11) {
            let id = u128::from(seq);
            assert_eq!(find(&*reader, id, "?"), Ok(Some(seq)), "{i}");
        }
        assert_eq!(everything(&*reader), Ok(shown(&entries(1..=600, 40))));
        // They are on the disk again after the next write.
        plain(&mut journal, 601, 601);
        drop((journal, reader));
        for name in &indexes {
            let was = good.clone().file(name).clone();
            assert_eq!(disk.image().file(name).len(), was.len(), "{name}");
        }
    }
}

#[test]
fn a_truncation_across_segments_takes_their_files_away_and_nothing_comes_back() {
    for keep in [599, 560, 301, 300, 7, 1, 0] {
        let (disk, mut journal) = many_segments();
        let before = count(&disk, ".segment");
        let mut truncate = truncate_after(keep);
        truncate.rollback_of = Some(log_id(1));
        assert!(matches!(
            run(&mut journal, truncation(truncate)),
            WriteResult::Done {
                rolled_back: Some(_)
            }
        ));
        let kept = shown(&entries(1..=keep, 40));
        assert_eq!(everything(&*journal.reader()), Ok(kept.clone()));
        let after = count(&disk, ".segment");
        assert!(keep > 500 || after < before, "{keep}: {before} {after}");
        assert!(keep > 1 || after <= 3, "{keep}: {after}");
        drop(journal);
        let mut journal = open(&disk);
        assert_eq!(everything(&*journal.reader()), Ok(kept.clone()));
        let other = batch(keep + 1..=keep + 3, epoch_of(keep + 1), "other");
        let job = WriteJob {
            entries: vec![other.clone()],
            hard_state: Some(hard_state()),
            ..WriteJob::default()
        };
        let others_epoch_ends = epoch_of(keep + 3) != epoch_of(keep + 1);
        let expected = match others_epoch_ends {
            true => kept,
            false => {
                assert_eq!(run(&mut journal, job), DONE);
                [kept, shown(&[other])].concat()
            }
        };
        drop(journal);
        let journal = open(&disk);
        assert_eq!(everything(&*journal.reader()), Ok(expected), "{keep}");
        for gone in [keep + 1, keep + 3, 600] {
            assert_eq!(find(&*journal.reader(), u128::from(gone), "?"), Ok(None));
        }
    }
}

/// A damaged entry of an older segment is written again beside it, and goes with it.
#[test]
fn what_is_repaired_in_an_older_segment_stays_so() {
    let (disk, journal) = many_segments();
    drop(journal);
    let mut image = disk.image();
    let text = br#"{"seq":100,"#;
    for file in image.contents() {
        let found = file.windows(text.len()).position(|w| w == text);
        found.into_iter().for_each(|at| file[at + 9] ^= 1);
    }
    let disk = SimDisk::with_image(image);
    let mut journal = open(&disk);
    let damaged = replog_protocol::node::ReadError::Damaged(replog_protocol::ids::Seq(100));
    let read = |journal: &DiskJournal| journal.reader().read(&range(100, 100, 0));
    assert_eq!(read(&journal), Err(damaged));
    let repairs = WriteJob {
        repairs: entries(100..=100, 40),
        ..WriteJob::default()
    };
    assert_eq!(run(&mut journal, repairs), DONE);
    assert_eq!(count(&disk, ".repairs"), 1);
    plain(&mut journal, 601, 640);
    drop(journal);
    let mut journal = open(&disk);
    assert_eq!(read(&journal), Ok(entries(100..=100, 40).pop()));
    assert_eq!(journal.reader().damaged(), []);
    run(&mut journal, truncation(truncate_after(3)));
    assert_eq!(count(&disk, ".repairs"), 0);
}

#[test]
fn a_frame_of_which_nothing_is_left_is_so_many_damaged_entries_and_is_repaired() {
    let (disk, journal) = many_segments();
    drop(journal);
    let mut image = disk.image();
    let begin = br#"{"seq":100,"#;
    for file in image.contents() {
        let Some(at) = file.windows(begin.len()).position(|w| w == begin) else {
            continue;
        };
        // Both heads too: from the end of the frame before to the beginning of the next one.
        let magic = b"\xffFront\xff\xff";
        let fronts = || file.windows(8).enumerate().filter(|(_, w)| w == magic);
        let front = fronts().map(|(i, _)| i).rfind(|i| *i < at).expect("one");
        let next = fronts().map(|(i, _)| i).find(|i| *i > at).expect("one");
        file[front..next].fill(0x55);
    }
    let disk = SimDisk::with_image(image);
    let mut journal = open(&disk);
    let reader = journal.reader();
    let is_damaged = |seq: u64| {
        let read = reader.read(&range(seq, seq, 0));
        let damaged = replog_protocol::ids::Seq(seq);
        match read {
            Err(error) => {
                assert_eq!(error, replog_protocol::node::ReadError::Damaged(damaged));
                true
            }
            Ok(read) => {
                assert_eq!(read, entries(seq..=seq, 40).pop());
                false
            }
        }
    };
    let damaged: Vec<u64> = (1..=600).filter(|seq| is_damaged(*seq)).collect();
    assert_eq!(damaged, [100, 101, 102, 103, 104, 105, 106]);
    for seq in damaged {
        let repairs = WriteJob {
            repairs: entries(seq..=seq, 40),
            ..WriteJob::default()
        };
        assert_eq!(run(&mut journal, repairs), DONE);
    }
    assert_eq!(everything(&*reader), Ok(shown(&entries(1..=600, 40))));
}

/// Without it nobody knows what is in the log, or what the node has promised: that is no log to go on with.
#[test]
fn a_frame_that_took_entries_out_or_has_the_hard_state_must_be_readable() {
    let lose_second_last = |last_writes: [WriteJob; 3]| {
        let disk = SimDisk::default();
        let large = SegmentOptions {
            first_bytes: 64 << 10,
            max_bytes: 64 << 10,
            in_background: false,
        };
        let options = DiskOptions {
            segments: large,
            ..options(0, false)
        };
        let (mut journal, _) = disk.open(&options).expect("it opens");
        append(&mut journal, entries(1..=20, 40));
        for job in last_writes {
            assert_eq!(run(&mut journal, job), DONE);
        }
        drop(journal);
        let mut image = disk.image();
        let file = image.file("0000000001.segment");
        let is_front = |w: &[u8]| w == b"\xffFront\xff\xff";
        let fronts: Vec<usize> = (0..file.len() - 8)
            .filter(|at| is_front(&file[*at..*at + 8]))
            .collect();
        let [.., lost, next] = fronts[..] else {
            panic!("{fronts:?}");
        };
        file[lost..next].fill(0x55);
        disk_is_opened(&SimDisk::with_image(image), &options)
    };
    let appended = |seq| WriteJob {
        entries: entries(seq..=seq, 40),
        ..WriteJob::default()
    };
    let state = |mut job: WriteJob| {
        job.hard_state = Some(hard_state());
        job
    };
    let lost = lose_second_last([appended(21), appended(22), appended(23)]);
    assert_eq!(lost, Ok(23), "an entry that is damaged");
    let lost = lose_second_last([appended(21), state(appended(22)), state(appended(23))]);
    assert_eq!(lost, Ok(23), "there is another one");
    let lost = lose_second_last([appended(21), state(appended(22)), appended(23)]);
    assert!(lost.is_err_and(|why| why.contains("what the node promised last")));
    let cut = state(truncation(truncate_after(10)));
    let lost = lose_second_last([appended(21), cut, state(appended(11))]);
    assert!(lost.is_err_and(|why| why.contains("took entries out")));
}

/// Where the log ends, or why it does not open.
fn disk_is_opened(disk: &SimDisk, options: &DiskOptions) -> Result<u64, String> {
    let opened = disk.open(options).map_err(|error| error.to_string())?;
    Ok(opened.1.last.seq.0)
}

/// The first frame of a segment belongs to that segment, whether or not anything of it is left.
#[test]
fn a_lost_frame_is_repaired_in_its_own_segment() {
    let disk = SimDisk::default();
    let mut journal = open(&disk);
    append(&mut journal, entries(1..=1, 40));
    let active = |disk: &SimDisk| {
        let image = disk.image();
        let last = image
            .names()
            .filter(|name| name.ends_with(".segment"))
            .last();
        last.expect("one").to_owned()
    };
    let (first, mut last) = (active(&disk), 1);
    while active(&disk) == first {
        plain(&mut journal, last + 1, last + 1);
        last += 1;
    }
    plain(&mut journal, last + 1, last + 1);
    drop(journal);
    let mut image = disk.image();
    let file = image.file(&active(&disk));
    let fronts: Vec<usize> = (0..file.len() - 8)
        .filter(|at| file[*at..].starts_with(b"\xffFront\xff\xff"))
        .collect();
    file[fronts[1]..fronts[2]].fill(0x55);
    let disk = SimDisk::with_image(image);
    let mut journal = open(&disk);
    let read = |journal: &DiskJournal| journal.reader().read(&range(last, last, 0));
    let damaged = replog_protocol::ids::Seq(last);
    assert_eq!(
        read(&journal),
        Err(replog_protocol::node::ReadError::Damaged(damaged))
    );
    let repairs = WriteJob {
        repairs: entries(last..=last, 40),
        ..WriteJob::default()
    };
    assert_eq!(run(&mut journal, repairs), DONE);
    // Sealed, and opened again.
    for seq in last + 2..last + 60 {
        plain(&mut journal, seq, seq);
    }
    assert_eq!(read(&journal), Ok(entries(last..=last, 40).pop()));
    drop(journal);
    let journal = open(&disk);
    assert_eq!(read(&journal), Ok(entries(last..=last, 40).pop()));
    let all = everything(&*journal.reader());
    assert_eq!(all, Ok(shown(&entries(1..=last + 59, 40))));
}

#[test]
fn files_of_segments_that_are_not_in_the_log_any_more_are_taken_away_at_the_start() {
    let (disk, mut journal) = many_segments();
    let mut before = disk.image();
    run(&mut journal, truncation(truncate_after(50)));
    drop(journal);
    let (mut image, left) = (disk.image(), disk.image());
    let dead: Vec<String> = (before.names().map(str::to_owned))
        .filter(|name| left.names().all(|n| n != name))
        .collect();
    assert!(dead.len() > 10);
    for name in dead {
        image.insert(&name, before.file(&name).clone());
    }
    let disk = SimDisk::with_image(image);
    let journal = open(&disk);
    let expected = left.names().filter(|name| *name != "spare.new");
    assert!(disk.image().names().eq(expected));
    let all = everything(&*journal.reader());
    assert_eq!(all, Ok(shown(&entries(1..=50, 40))));
}

/// With indexes and spares made on a thread beside the writes, whichever of the two is faster.
#[test]
fn what_is_done_in_the_background_changes_nothing() {
    for _ in 0..30 {
        let disk = SimDisk::default();
        let (mut journal, _) = disk.open(&options(0, true)).expect("it opens");
        append(&mut journal, entries(1..=1, 40));
        for from in (2..900).step_by(9) {
            plain(&mut journal, from, from + 8);
            let reader = journal.reader();
            assert_eq!(find(&*reader, u128::from(from), "?"), Ok(Some(from)));
            let some = from / 2;
            let read = reader.read(&range(some, some, 0));
            assert_eq!(read, Ok(entries(some..=some, 40).pop()));
        }
        run(&mut journal, truncation(truncate_after(450)));
        plain(&mut journal, 451, 460);
        drop(journal);
        let journal = open(&disk);
        let all = everything(&*journal.reader());
        assert_eq!(all, Ok(shown(&entries(1..=460, 40))));
    }
}
