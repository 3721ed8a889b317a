//! A log whose disk was cut off in the middle, or has changed.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic;

use replog_common::log::contract;
use replog_common::log::disk::OpenError;
use replog_common::log::tape::{Did, Tape, replayed};
use replog_common::log::{LogStore, StoreError};
use replog_common::types::Seq;

use crate::media::{entries, everything, open, written};

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
    let tape = Tape::default();
    let log = written(&tape, 40, 10);
    let _ = tape.take_did();
    let before = tape.bytes();
    let mut committed = Vec::new();
    let mut did = Vec::new();
    for batch in entries(41..=46).chunks(3) {
        log.append(batch).expect("written");
        did.extend(tape.take_did());
        committed.push((did.len(), batch[2].seq.0));
    }
    drop(log);
    let mut seen = [0; 3];
    for upto in 0..=did.len() {
        let cuts: Vec<usize> = match did.get(upto) {
            // Each page at its beginning, at its end, and at some bytes between; small writes at every byte.
            Some(Did::Write(_, data)) if data.len() > 600 => {
                let some = (part..data.len()).step_by(CUT_STRIDE);
                some.chain([0, 1, data.len() - 1]).collect()
            }
            Some(Did::Write(_, data)) => (0..data.len()).collect(),
            _ => vec![0],
        };
        for extra in cuts {
            let steps = &did[..upto + usize::from(extra > 0)];
            let disk = Tape::of(replayed(before.clone(), steps, extra));
            let (log, _) = open(&disk, 0).unwrap_or_else(|e| panic!("cut at {upto}+{extra}: {e}"));
            let last = log.last().seq.0;
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
            assert_eq!(everything(&log).expect("readable"), entries(1..=last));
            log.append(&entries(last + 1..=last + 1))
                .expect("it goes on");
        }
    }
    assert!(seen.iter().all(|n| *n > 0), "{seen:?}");
}

/// Power fails, and of what was written since the last sync each sector is there or not: nothing that was answered is
/// missing, and nothing is there that was never written.
#[test]
fn of_what_was_not_synced_anything_may_be_missing() {
    let tape = Tape::default();
    let log = written(&tape, 40, 10);
    let _ = tape.take_did();
    let before = tape.bytes();
    let (mut did, mut answered) = (Vec::new(), vec![(0, 40)]);
    for batch in entries(41..=52).chunks(3) {
        log.append(batch).expect("written");
        did.extend(tape.take_did());
        answered.push((did.len(), batch[2].seq.0));
    }
    log.truncate(contract::entry(45, 40).position())
        .expect("written");
    did.extend(tape.take_did());
    answered.push((did.len(), 45));
    drop(log);
    let is_there = |chance: (usize, u32, u64)| {
        let mut hasher = DefaultHasher::new();
        chance.hash(&mut hasher);
        hasher.finish() & 1 == 1
    };
    for upto in 0..=did.len() {
        let is_sync = |step: &Did| *step == Did::Sync;
        let synced = did[..upto].iter().rposition(is_sync).map_or(0, |at| at + 1);
        let at_least = answered
            .iter()
            .rfind(|(n, _)| *n <= upto)
            .expect("the first");
        for round in 0..20_u32 {
            let mut steps = did[..synced].to_vec();
            for step in &did[synced..upto] {
                match step {
                    Did::Write(at, data) => {
                        for (i, sector) in data.chunks(SECTOR).enumerate() {
                            let at = at + (SECTOR * i) as u64;
                            if round > 0 && is_there((upto, round, at)) {
                                steps.push(Did::Write(at, sector.to_vec()));
                            }
                        }
                    }
                    step => steps.push(step.clone()),
                }
            }
            let disk = Tape::of(replayed(before.clone(), &steps, 0));
            let (log, _) = open(&disk, 0).unwrap_or_else(|e| panic!("{upto} {round}: {e}"));
            let last = log.last().seq.0;
            let is_possible =
                last == at_least.1 || answered.iter().any(|(n, l)| *n > upto && *l == last);
            assert!(is_possible, "{upto} {round}: {last}");
            assert_eq!(everything(&log).expect("readable"), entries(1..=last));
        }
    }
}

/// What a disk writes at one time, or not.
const SECTOR: usize = 512;
const STRIDE: usize = 29;

/// Any bit changed: it is told, or changes nothing; never other entries, and never fewer than the commit before the last.
///
/// Each run takes one bit of each [`STRIDE`]th byte; `REPLOG_FLIPS` from 0 to 231 are all of them.
#[test]
fn any_bit_flipped() {
    let tape = Tape::default();
    drop(written(&tape, 12, 4));
    let good = tape.bytes();
    let part = std::env::var("REPLOG_FLIPS").map_or(0, |n| n.parse().expect("a number"));
    let (offset, bit) = (part % STRIDE, part / STRIDE);
    assert!(bit < 8, "REPLOG_FLIPS is from 0 to {}", 8 * STRIDE - 1);
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
    for at in used.skip(offset).step_by(STRIDE) {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << bit;
        let tape = Tape::of(bytes);
        let outcome = open(&tape, 0).map(|(log, _)| {
            let all = everything(&log);
            let last = log.last().seq;
            // It may be written on, or refuse that; it must not write over what is there.
            let more = log.append(&entries(last.0 + 1..=last.0 + 1)).is_ok();
            if let (Ok(all), Ok(now)) = (&all, everything(&log)) {
                let grown = usize::from(more);
                assert!(
                    now.starts_with(all) && now.len() == all.len() + grown,
                    "byte {at}"
                );
            }
            (last, all)
        });
        tape.wipe();
        match outcome {
            Err(OpenError::Damaged(_) | OpenError::Format { .. } | OpenError::Io(_)) => {
                refused += 1
            }
            Ok((_, Err(StoreError::Damaged { .. } | StoreError::Failed(_)))) => damaged += 1,
            Ok((Seq(12), Ok(all))) if all == entries(1..=12) => same += 1,
            // The last commit is no more there than if the power had failed before it.
            Ok((Seq(8), Ok(all))) if all == entries(1..=8) => shorter += 1,
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
