//! A log whose disk was cut off in the middle, or has changed.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic;

use replog_protocol::node::{ReadError, WriteResult};
use replog_storage::disk::OpenError;
use replog_storage::journal::Journal;
use replog_storage::samples::{
    DONE, append, entries, everything, job, run, shown, truncate_after, truncation,
};
use replog_storage::sim_disk::{DiskOp, SimDisk, replayed};

use crate::made::{open, written};

const CUT_STRIDE: usize = 61;

/// Power fails at any byte of the last commits: there is a whole number of commits, and none that was answered is missing.
///
/// Each run takes one of each [`CUT_STRIDE`] bytes of a page; `REPLOG_CUTS` from 0 to 60 are all of them.
#[test]
fn cut_at_every_step_of_the_last_commits() {
    let part = std::env::var("REPLOG_CUTS").map_or(0, |n| n.parse().expect("a number"));
    assert!(
        part < CUT_STRIDE,
        "REPLOG_CUTS is from 0 to {}",
        CUT_STRIDE - 1
    );
    let disk = SimDisk::default();
    let mut journal = written(&disk, 40, 10);
    let _ = disk.take_ops();
    let before = disk.bytes();
    let mut committed = Vec::new();
    let mut ops = Vec::new();
    for last in [43, 46] {
        append(&mut journal, entries(last - 2..=last, 40));
        ops.extend(disk.take_ops());
        committed.push((ops.len(), last));
    }
    drop(journal);
    let mut seen = [0; 3];
    for upto in 0..=ops.len() {
        let cuts: Vec<usize> = match ops.get(upto) {
            // Each page at its beginning, at its end, and at some bytes between; small writes at every byte.
            Some(DiskOp::Write(_, data)) if data.len() > 600 => {
                let some = (part..data.len()).step_by(CUT_STRIDE);
                some.chain([0, 1, data.len() - 1]).collect()
            }
            Some(DiskOp::Write(_, data)) => (0..data.len()).collect(),
            _ => vec![0],
        };
        for extra in cuts {
            let ops = &ops[..upto + usize::from(extra > 0)];
            let disk = SimDisk::with_bytes(replayed(before.clone(), ops, extra));
            let opened = open(&disk, 0);
            let (mut journal, restored) =
                opened.unwrap_or_else(|e| panic!("cut at {upto}+{extra}: {e}"));
            let last = restored.last.seq.0;
            let answered = committed
                .iter()
                .filter(|(n, _)| *n <= upto)
                .map(|(_, seq)| *seq);
            assert!(
                last >= answered.max().unwrap_or(40),
                "cut at {upto}+{extra}: {last}"
            );
            assert!(
                [40, 43, 46].contains(&last),
                "cut at {upto}+{extra}: {last}"
            );
            seen[usize::try_from((last - 40) / 3).expect("small")] += 1;
            let all = everything(&*journal.reader());
            assert_eq!(all, Ok(shown(&entries(1..=last, 40))));
            append(&mut journal, entries(last + 1..=last + 1, 40));
            disk.wipe();
        }
    }
    assert!(seen.iter().all(|n| *n > 0), "{seen:?}");
}

/// Power fails, and of what was written since the last sync each sector is there or not: nothing that was answered is
/// missing, and nothing is there that was never written.
#[test]
fn of_what_was_not_synced_anything_may_be_missing() {
    let disk = SimDisk::default();
    let mut journal = written(&disk, 40, 10);
    let _ = disk.take_ops();
    let before = disk.bytes();
    let (mut ops, mut answered) = (Vec::new(), vec![(0, 40)]);
    for last in [43, 46, 49, 52] {
        append(&mut journal, entries(last - 2..=last, 40));
        ops.extend(disk.take_ops());
        answered.push((ops.len(), last));
    }
    run(&mut journal, truncation(truncate_after(45)));
    ops.extend(disk.take_ops());
    answered.push((ops.len(), 45));
    drop(journal);
    let is_there = |chance: (usize, u32, u64)| {
        let mut hasher = DefaultHasher::new();
        chance.hash(&mut hasher);
        hasher.finish() & 1 == 1
    };
    for upto in 0..=ops.len() {
        let is_sync = |op: &DiskOp| *op == DiskOp::Sync;
        let synced = ops[..upto].iter().rposition(is_sync).map_or(0, |at| at + 1);
        let at_least = answered
            .iter()
            .rfind(|(n, _)| *n <= upto)
            .expect("the first");
        for round in 0..20_u32 {
            let mut left = ops[..synced].to_vec();
            for op in &ops[synced..upto] {
                match op {
                    DiskOp::Write(at, data) => {
                        for (i, sector) in data.chunks(SECTOR).enumerate() {
                            let at = at + (SECTOR * i) as u64;
                            if round > 0 && is_there((upto, round, at)) {
                                left.push(DiskOp::Write(at, sector.to_vec()));
                            }
                        }
                    }
                    op => left.push(op.clone()),
                }
            }
            let disk = SimDisk::with_bytes(replayed(before.clone(), &left, 0));
            let (journal, restored) =
                open(&disk, 0).unwrap_or_else(|e| panic!("{upto} {round}: {e}"));
            let last = restored.last.seq.0;
            let is_possible =
                last == at_least.1 || answered.iter().any(|(n, l)| *n > upto && *l == last);
            assert!(is_possible, "{upto} {round}: {last}");
            let all = everything(&*journal.reader());
            assert_eq!(all, Ok(shown(&entries(1..=last, 40))));
            disk.wipe();
        }
    }
}

/// What a disk writes at one time, or not.
const SECTOR: usize = 512;
const FLIP_STRIDE: usize = 29;

/// Any bit changed: it is reported, or changes nothing; never other entries, and never fewer than the commit before the last.
///
/// Each run takes one bit of each [`FLIP_STRIDE`]th byte; `REPLOG_FLIPS` from 0 to 231 are all of them.
#[test]
fn any_bit_flipped() {
    let disk = SimDisk::default();
    drop(written(&disk, 12, 4));
    let good = disk.bytes();
    let part = std::env::var("REPLOG_FLIPS").map_or(0, |n| n.parse().expect("a number"));
    let (offset, bit) = (part % FLIP_STRIDE, part / FLIP_STRIDE);
    assert!(bit < 8, "REPLOG_FLIPS is from 0 to {}", 8 * FLIP_STRIDE - 1);
    // The database may panic; that is caught, and not worth a thousand lines.
    let (loud, here) = (panic::take_hook(), std::thread::current().id());
    panic::set_hook(Box::new(move |info| {
        if std::thread::current().id() != here {
            loud(info);
        }
    }));
    // Of what was never written only a little.
    let is_used = |at: &usize| good[*at] != 0 || at.is_multiple_of(61);
    let used = (0..good.len()).filter(is_used);
    let [mut refused, mut damaged, mut same, mut shorter] = [0; 4];
    let mut wrong = Vec::new();
    for at in used.skip(offset).step_by(FLIP_STRIDE) {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << bit;
        let disk = SimDisk::with_bytes(bytes);
        let outcome = open(&disk, 0).map(|(mut journal, restored)| {
            let all = everything(&*journal.reader());
            let last = restored.last.seq.0;
            // It may be written on, or refuse that; it must not write over what is there.
            let more = run(&mut journal, job(entries(last + 1..=last + 1, 40)));
            if let (Ok(all), Ok(now)) = (&all, everything(&*journal.reader())) {
                let grown = usize::from(more == DONE);
                assert!(
                    now.starts_with(all) && now.len() == all.len() + grown,
                    "byte {at}"
                );
            }
            assert_ne!(more, WriteResult::DiskFull);
            (last, all)
        });
        disk.wipe();
        match outcome {
            Err(OpenError::Damaged(_) | OpenError::Format { .. } | OpenError::Io(_)) => {
                refused += 1;
            }
            Ok((_, Err(ReadError::Damaged(_) | ReadError::Failed(_)))) => damaged += 1,
            Ok((12, Ok(all))) if all == shown(&entries(1..=12, 40)) => same += 1,
            // The last commit is no more there than if the power had failed before it.
            Ok((8, Ok(all))) if all == shown(&entries(1..=8, 40)) => shorter += 1,
            other => wrong.push(format!("byte {at}: {other:?}")),
        }
    }
    drop(panic::take_hook());
    assert_eq!(wrong, [""; 0]);
    assert!(
        refused > 0 && damaged > 0 && same > 0,
        "{refused} {damaged} {same} {shorter}"
    );
    println!(
        "refused {refused}, damaged {damaged}, no matter {same}, without the last commit {shorter}"
    );
}
