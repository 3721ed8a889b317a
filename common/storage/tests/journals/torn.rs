//! A log whose disk was cut off in the middle, or has changed.

use std::hash::{DefaultHasher, Hash, Hasher};

use replog_protocol::epochs::EpochStart;
use replog_protocol::hard_state::HardState;
use replog_protocol::ids::Seq;
use replog_protocol::node::{ReadError, WriteJob, WriteResult};
use replog_storage::disk::OpenError;
use replog_storage::journal::Journal;
use replog_storage::samples::{
    DONE, Shown, append, disk_options, entries, everything, job, others, range, run, shown,
    truncate_after, truncation,
};
use replog_storage::sim_disk::{DiskFault, DiskOp, Image, SimDisk, replayed};

use crate::made::{find, open, written};

const CUT_STRIDE: usize = 61;

/// What was done to a disk, and what had been answered after how many steps.
struct History {
    before: Image,
    ops: Vec<DiskOp>,
    /// Each with what was in the log then.
    answered: Vec<(usize, Vec<Shown>)>,
}

/// Writes of all kinds at the end of a log of several segments; some of them begin another segment.
fn history() -> History {
    let disk = SimDisk::default();
    let mut journal = written(&disk, 40, 10);
    let _ = disk.take_ops();
    let before = disk.image();
    let mut ops = Vec::new();
    let mut answered = vec![(0, shown(&entries(1..=40, 40)))];
    let mut done = |journal: &replog_storage::disk::DiskJournal| {
        ops.extend(disk.take_ops());
        let now = everything(&*journal.reader()).expect("readable");
        answered.push((ops.len(), now));
    };
    for last in [43, 46, 49, 52] {
        append(&mut journal, entries(last - 2..=last, 40));
        done(&journal);
    }
    // A part of the newest segment, and the end of an older one.
    for keep in [51, 45, 12] {
        run(&mut journal, truncation(truncate_after(keep)));
        done(&journal);
    }
    let (other, hard_state) = others(13, 15);
    let mut replaced = job(vec![other]);
    replaced.hard_state = Some(hard_state);
    run(&mut journal, replaced);
    done(&journal);
    run(&mut journal, truncation(truncate_after(0)));
    done(&journal);
    append(&mut journal, entries(1..=2, 40));
    done(&journal);
    drop(journal);
    History {
        before,
        ops,
        answered,
    }
}

/// The log on a disk that was cut off when so many steps had been done: it opens, nothing that was answered is missing, and it
/// can be written on. How many of the answered writes are in it.
fn check_cut(history: &History, image: Image, upto: usize, context: &str) -> usize {
    let disk = SimDisk::with_image(image);
    let (mut journal, restored) = open(&disk, 0).unwrap_or_else(|e| panic!("{context}: {e}"));
    let all = everything(&*journal.reader()).expect("readable");
    assert_eq!(restored.last.seq.0, all.len() as u64, "{context}");
    let answered = history.answered.iter().rposition(|(n, _)| *n <= upto);
    let answered = answered.expect("what was there before");
    let possible = &history.answered[answered..(answered + 2).min(history.answered.len())];
    let found = possible.iter().position(|(_, log)| *log == all);
    let found = found.unwrap_or_else(|| panic!("{context}: {} entries", all.len()));
    for (seq, (_, json)) in (1..).zip(&all) {
        let id = id_of(json);
        let at = find(&*journal.reader(), id, "").expect("readable");
        assert_eq!(at, Some(seq), "{context}");
    }
    // What follows is there after the next start, and nothing beside it.
    let next = all.len() as u64 + 1;
    let (more, _) = others(next, next);
    let starts = restored.hard_state.epochs.iter().copied();
    let mut epochs: Vec<EpochStart> = starts.filter(|s| s.first.0 < next).collect();
    epochs.push(EpochStart {
        first: more.first(),
        epoch: more.epoch(),
    });
    let more_job = WriteJob {
        entries: vec![more.clone()],
        hard_state: Some(HardState {
            epochs,
            ..restored.hard_state
        }),
        ..WriteJob::default()
    };
    assert_eq!(run(&mut journal, more_job), DONE, "{context}");
    drop(journal);
    let (journal, _) = open(&disk, 0).unwrap_or_else(|e| panic!("{context}, again: {e}"));
    let mut expected = all;
    expected.extend(shown(&[more]));
    assert_eq!(everything(&*journal.reader()), Ok(expected), "{context}");
    answered + found
}

/// The number that is the id of an entry of the samples.
fn id_of(json: &str) -> u128 {
    let (_, rest) = json.split_once("\"message_id\":\"").expect("an entry");
    uuid::Uuid::parse_str(&rest[..36]).expect("an id").as_u128()
}

/// Power fails at any byte of the last writes: there is a whole number of writes, and none that was answered is missing.
///
/// Each run takes one of each [`CUT_STRIDE`] bytes of a large write; `REPLOG_CUTS` from 0 to 60 are all of them.
#[test]
fn cut_at_every_step_of_the_last_writes() {
    let part = std::env::var("REPLOG_CUTS").map_or(0, |n| n.parse().expect("a number"));
    assert!(
        part < CUT_STRIDE,
        "REPLOG_CUTS is from 0 to {}",
        CUT_STRIDE - 1
    );
    let history = history();
    let ops = &history.ops;
    let mut seen = vec![0; history.answered.len()];
    for upto in 0..=ops.len() {
        let cuts: Vec<usize> = match ops.get(upto) {
            // Zeros into a file without a name.
            Some(DiskOp::Write(_, _, data)) if data.iter().all(|b| *b == 0) => vec![0, 1],
            Some(DiskOp::Write(_, _, data)) => {
                let some = (part..data.len()).step_by(CUT_STRIDE);
                some.chain([0, 1, data.len() - 8, data.len() - 1]).collect()
            }
            _ => vec![0],
        };
        for extra in cuts {
            let done = &ops[..upto + usize::from(extra > 0)];
            let image = replayed(history.before.clone(), done, extra);
            let found = check_cut(&history, image, upto, &format!("cut at {upto}+{extra}"));
            seen[found] += 1;
        }
    }
    assert!(seen.iter().all(|n| *n > 0), "{seen:?}");
    for pair in ops.windows(2) {
        let begins_segment = matches!(&pair[0], DiskOp::Rename(_, to) if to.ends_with(".segment"));
        assert!(!begins_segment || pair[1] == DiskOp::SyncNames, "at once");
    }
    let renamed = |op: &&DiskOp| matches!(op, DiskOp::Rename(..));
    assert!(
        ops.iter().filter(renamed).count() >= 4,
        "segments, and indexes"
    );
}

/// What a disk writes at one time, or not.
const SECTOR: usize = 512;

/// Power fails, and of what was written to a file since its last sync each sector is there or not, and of the names that were
/// changed since the last sync some of the first: nothing that was answered is missing, and nothing is there that was never
/// written.
#[test]
fn of_what_was_not_synced_anything_may_be_missing() {
    let history = history();
    for upto in 0..=history.ops.len() {
        for round in 0..12_u32 {
            let image = left_after_power_failed(&history, upto, round);
            check_cut(&history, image, upto, &format!("{upto}, round {round}"));
        }
    }
}

fn is_there(chance: (usize, u32, usize, usize)) -> bool {
    let mut hasher = DefaultHasher::new();
    chance.hash(&mut hasher);
    hasher.finish() & 1 == 1
}

fn left_after_power_failed(history: &History, upto: usize, round: u32) -> Image {
    let ops = &history.ops[..upto];
    let is_synced = |at: usize, number: u64| ops[at..].contains(&DiskOp::Sync(number));
    let are_names_synced = |at: usize| ops[at..].contains(&DiskOp::SyncNames);
    let mut image = history.before.clone();
    let mut names_are_lost = false;
    for (at, op) in ops.iter().enumerate() {
        match op {
            DiskOp::Write(number, _, _) | DiskOp::Cut(number, _) if is_synced(at, *number) => {
                image.apply(op);
            }
            DiskOp::Write(number, offset, data) => {
                let mut at_byte = 0;
                while round > 0 && at_byte < data.len() {
                    let offset = offset + at_byte as u64;
                    let rest = SECTOR - usize::try_from(offset).expect("small") % SECTOR;
                    let sector = &data[at_byte..(at_byte + rest).min(data.len())];
                    if is_there((upto, round, at, at_byte)) {
                        image.apply(&DiskOp::Write(*number, offset, sector.to_vec()));
                    }
                    at_byte += sector.len();
                }
            }
            DiskOp::Create(..) | DiskOp::Rename(..) | DiskOp::Remove(_) => {
                names_are_lost |= !are_names_synced(at) && !is_there((upto, round, at, 0));
                if !names_are_lost {
                    image.apply(op);
                }
            }
            _ => {}
        }
    }
    image
}

/// Where half of a write was, and another one is torn after that, nothing may look as if it had been written.
#[test]
fn what_a_full_disk_has_left_is_not_taken_for_a_part_of_the_next_write() {
    let mut options = disk_options(0);
    (options.segments.first_bytes, options.segments.max_bytes) = (64 << 10, 64 << 10);
    let disk = SimDisk::default();
    let (mut journal, _) = disk.open(&options).expect("it opens");
    append(&mut journal, entries(1..=10, 40));
    disk.fail(DiskFault::DiskFullOnWrite);
    let full = run(&mut journal, job(entries(11..=40, 500)));
    assert_eq!(full, WriteResult::DiskFull);
    disk.fail(DiskFault::None);
    append(&mut journal, entries(11..=12, 40));
    let (_, before) = (disk.take_ops(), disk.image());
    append(&mut journal, entries(13..=30, 100));
    let ops = disk.take_ops();
    let [DiskOp::Write(number, offset, data), DiskOp::Sync(_)] = &ops[..] else {
        panic!("one write and one sync: {}", ops.len());
    };
    let mut at = SECTOR - usize::try_from(*offset).expect("small") % SECTOR;
    while at + SECTOR < data.len() {
        let mut image = before.clone();
        image.apply(&DiskOp::Write(*number, *offset, data[..at].to_vec()));
        let (from, rest) = (at + SECTOR, data[at + SECTOR..].to_vec());
        image.apply(&DiskOp::Write(*number, offset + from as u64, rest));
        let (journal, _) = SimDisk::with_image(image).open(&options).expect("it opens");
        let all = everything(&*journal.reader());
        assert_eq!(
            all,
            Ok(shown(&entries(1..=12, 40))),
            "without the one at {at}"
        );
        at += SECTOR;
    }
}

const FLIP_STRIDE: usize = 29;

/// Any bit changed in any file: it is reported, or changes nothing; never other entries, and never fewer.
///
/// Each run takes one bit of each [`FLIP_STRIDE`]th byte; `REPLOG_FLIPS` from 0 to 231 are all of them.
#[test]
fn any_bit_flipped() {
    let disk = SimDisk::default();
    drop(written(&disk, 12, 4));
    let good = disk.image();
    let part = std::env::var("REPLOG_FLIPS").map_or(0, |n| n.parse().expect("a number"));
    let (offset, bit) = (part % FLIP_STRIDE, part / FLIP_STRIDE);
    assert!(bit < 8, "REPLOG_FLIPS is from 0 to {}", 8 * FLIP_STRIDE - 1);
    let [mut refused, mut damaged, mut same] = [0; 3];
    let mut wrong = Vec::new();
    let names: Vec<String> = good.names().map(str::to_owned).collect();
    assert!(names.iter().any(|name| name.ends_with(".index")));
    for name in names {
        let bytes = good.clone().file(&name).clone();
        // Of what was never written only a little.
        let is_used = |at: &usize| bytes[*at] != 0 || at.is_multiple_of(61);
        let used = (0..bytes.len()).filter(is_used);
        for at in used.skip(offset).step_by(FLIP_STRIDE) {
            let mut image = good.clone();
            image.file(&name)[at] ^= 1 << bit;
            let disk = SimDisk::with_image(image);
            let outcome = open(&disk, 0).map(|(mut journal, restored)| {
                let all = everything(&*journal.reader());
                let last = restored.last.seq.0;
                for seq in 1..=last {
                    match find(&*journal.reader(), u128::from(seq), "") {
                        // An id that has rotted before the index was written names no message.
                        Ok(None) => {
                            let read = journal.reader().read(&range(seq, seq, 0));
                            assert_eq!(
                                read,
                                Err(ReadError::Damaged(Seq(seq))),
                                "{name}, byte {at}"
                            );
                        }
                        Ok(found) => assert_eq!(found, Some(seq), "{name}, byte {at}"),
                        Err(error) => assert_eq!(error, ReadError::Damaged(Seq(seq))),
                    }
                }
                // It may be written on, or refuse that; it must not write over what is there.
                let more = run(&mut journal, job(entries(last + 1..=last + 1, 40)));
                if let (Ok(all), Ok(now)) = (&all, everything(&*journal.reader())) {
                    let grown = usize::from(more == DONE);
                    assert!(
                        now.starts_with(all) && now.len() == all.len() + grown,
                        "{name}, byte {at}"
                    );
                }
                assert_ne!(more, WriteResult::DiskFull);
                (last, all)
            });
            match outcome {
                Err(OpenError::Damaged(_)) => refused += 1,
                Ok((12, Err(ReadError::Damaged(_)))) => damaged += 1,
                Ok((12, Ok(all))) if all == shown(&entries(1..=12, 40)) => same += 1,
                other => wrong.push(format!("{name}, byte {at}: {other:?}")),
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
    assert!(
        refused > 0 && damaged > 0 && same > 0,
        "{refused} {damaged} {same}"
    );
    println!("refused {refused}, damaged {damaged}, no matter {same}");
}
