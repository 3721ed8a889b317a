//! Older segments that are not what was written: told at the start, read as far as that goes, and written again.

use replog_protocol::ids::Seq;
use replog_protocol::node::{ReadError, WriteJob};
use replog_storage::disk::DiskJournal;
use replog_storage::journal::Journal;
use replog_storage::samples::{DONE, entries, everything, range, run, shown};
use replog_storage::sim_disk::{Image, SimDisk};

use crate::segmented::{many_segments, open};

const LAST: u64 = 600;
/// One in the middle of the log.
const NUMBER: u64 = 5;

fn name(kind: &str) -> String {
    format!("{NUMBER:010}.{kind}")
}

/// A log of several segments.
fn good() -> Image {
    let (disk, journal) = many_segments();
    drop(journal);
    assert!(open(&disk).flaws().is_empty());
    disk.image()
}

/// The entries that cannot be read, found by reading each of them.
fn unreadable(journal: &DiskJournal) -> Vec<Seq> {
    let reader = journal.reader();
    let is_damaged = |seq: &u64| match reader.read(&range(*seq, *seq, 0)) {
        Ok(Some(_)) => false,
        Err(ReadError::Damaged(damaged)) => {
            assert_eq!(damaged, Seq(*seq));
            true
        }
        other => panic!("{other:?}"),
    };
    (1..=LAST).filter(is_damaged).map(Seq).collect()
}

/// Writes again what is known to be damaged, until everything can be read.
fn repair_all(journal: &mut DiskJournal) {
    let reader = journal.reader();
    for _ in 0..20 {
        let Err(error) = everything(&*reader) else {
            break;
        };
        let damaged = reader.damaged();
        assert!(!damaged.is_empty(), "{error:?}");
        let one = |seq: &Seq| entries(seq.0..=seq.0, 40);
        let job = WriteJob {
            repairs: damaged.iter().flat_map(one).collect(),
            ..WriteJob::default()
        };
        assert_eq!(run(journal, job), DONE);
    }
    assert_eq!(everything(&*reader), Ok(shown(&entries(1..=LAST, 40))));
}

#[test]
fn a_header_that_has_rotted_is_told_and_the_entries_are_read() {
    let mut image = good();
    image.file(&name("segment"))[12] ^= 1;
    let journal = open(&SimDisk::with_image(image));
    let told = format!("the header of {} is damaged", name("segment"));
    assert_eq!(journal.flaws(), [told]);
    let all = everything(&*journal.reader());
    assert_eq!(all, Ok(shown(&entries(1..=LAST, 40))));
    assert_eq!(journal.reader().damaged(), []);
}

#[test]
fn another_segment_in_its_place_is_told_and_what_is_lost_is_written_again() {
    let mut image = good();
    let other = image.file("0000000003.segment").clone();
    *image.file(&name("segment")) = other;
    let mut journal = open(&SimDisk::with_image(image));
    let told = format!(
        "{} is another file: segment 3 of the master of cluster default",
        name("segment")
    );
    assert_eq!(journal.flaws(), [told]);
    assert_ne!(journal.reader().damaged(), []);
    repair_all(&mut journal);
}

/// Wherever it ends now: as many entries as are lost are known to be, and where none is it is no matter. With its index, and
/// without.
#[test]
fn one_that_is_cut_off_is_told_and_what_is_lost_is_written_again() {
    let good = good();
    let whole = good.clone().file(&name("segment")).len();
    let [mut told, mut no_matter] = [0; 2];
    for (cut, has_index) in (0..whole).step_by(61).flat_map(|c| [(c, true), (c, false)]) {
        let mut image = good.clone();
        image.file(&name("segment")).truncate(cut);
        if !has_index {
            image.remove(&name("index"));
        }
        let disk = SimDisk::with_image(image);
        let mut journal = open(&disk);
        let (flaws, known) = (journal.flaws().join("\n"), journal.reader().damaged());
        let lost = unreadable(&journal);
        assert_eq!(known, lost, "cut at {cut}, seen at the start");
        let says = format!("{} is cut off after {cut} bytes", name("segment"));
        assert_eq!(flaws.contains(&says), !lost.is_empty(), "{cut}: {flaws}");
        match lost.is_empty() {
            true => no_matter += 1,
            false => told += 1,
        }
        repair_all(&mut journal);
        drop(journal);
        let all = everything(&*open(&disk).reader());
        assert_eq!(all, Ok(shown(&entries(1..=LAST, 40))), "cut at {cut}");
    }
    assert!(told > 0 && no_matter > 0, "{told} {no_matter}");
}

/// A frame whose entries are all lost: who asks for one of them finds all.
#[test]
fn one_failed_read_finds_the_whole_stretch() {
    let good = good();
    let len = good.clone().file(&name("segment")).len();
    let mut longest = 0;
    for from in (1024..len - 512).step_by(512) {
        let mut image = good.clone();
        image.file(&name("segment"))[from..from + 512].fill(0xaa);
        let disk = SimDisk::with_image(image);
        let lost = unreadable(&open(&disk));
        let stretches = lost.chunk_by(|a, b| a.next() == *b);
        for stretch in stretches {
            longest = longest.max(stretch.len());
            for seq in stretch {
                let journal = open(&disk);
                let reader = journal.reader();
                assert_eq!(
                    reader.read(&range(seq.0, seq.0, 0)),
                    Err(ReadError::Damaged(*seq))
                );
                let known = reader.damaged();
                assert!(stretch.iter().all(|s| known.contains(s)), "{from}: {seq}");
                assert!(known.iter().all(|s| lost.contains(s)), "{from}: {seq}");
            }
        }
    }
    assert!(longest > 2, "{longest}");
}
