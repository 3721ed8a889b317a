//! The table of epochs against the epoch of each entry in a list.

use proptest::collection::vec;
use proptest::prelude::*;
use replog_protocol::epochs::{EpochTable, LogPosition};
use replog_protocol::ids::{Epoch, Seq};

use crate::support::{epoch, position};

/// Epochs that two masters may have had, in ascending order: with one number there are two of them.
fn nth(i: usize) -> Epoch {
    epoch(1 + i as u64 / 2, 1 + i as u128 % 2)
}

fn table(epochs: &[usize]) -> EpochTable {
    let mut table = EpochTable::default();
    for (i, n) in epochs.iter().enumerate() {
        table.append(nth(*n), Seq(i as u64 + 1));
    }
    table
}

proptest! {
    #[test]
    fn a_table_is_a_list(steps in vec((0..3usize, 1..4u64, proptest::option::weighted(0.1, 0..30u64)), 0..40)) {
        let (mut table, mut twin) = (EpochTable::default(), Vec::<usize>::new());
        for (more, count, cut) in steps {
            let next = twin.last().copied().unwrap_or(0) + more / 2;
            twin.extend(std::iter::repeat_n(next, count as usize));
            table.append(nth(next), Seq(twin.len() as u64));
            if let Some(cut) = cut {
                table.truncate_after(Seq(cut));
                twin.truncate(cut as usize);
            }
            let len = twin.len();
            let at = |seq: usize| match seq {
                0 => Some(LogPosition::default()),
                _ => twin.get(seq - 1).map(|n| position(seq as u64, nth(*n))),
            };
            prop_assert_eq!(Some(table.last()), at(len));
            let again = EpochTable::new(table.starts().to_vec(), Seq(len as u64));
            prop_assert_eq!(&again, &table, "what is stored of it is all of it");
            for seq in 0..=len + 2 {
                prop_assert_eq!(table.at(Seq(seq as u64)), at(seq));
                let same = |i: &usize| twin.get(*i) == twin.get(seq.wrapping_sub(1));
                let end = match seq {
                    0 => 0,
                    _ => (seq..len).take_while(same).last().map_or(seq, |i| i + 1),
                };
                if (1..=len).contains(&seq) {
                    prop_assert_eq!(table.end_of_epoch(Seq(seq as u64)), Seq(end as u64));
                }
                for n in 0..12 {
                    let other = position(seq as u64, nth(n));
                    prop_assert_eq!(table.matches(other), at(seq) == Some(other));
                    let last = (1..=seq.min(len)).rev().find(|i| twin[i - 1] <= n).unwrap_or(0);
                    prop_assert_eq!(Some(table.last_common(other)), at(last));
                }
            }
        }
    }

    /// Two logs that have grown from one: asked entry by entry what they share, they find the fork, and never less.
    #[test]
    fn two_logs_find_where_they_part(
        common in vec(0..3usize, 0..12), mine in vec(0..3usize, 0..12), theirs in vec(0..3usize, 0..12),
        who in any::<bool>(),
    ) {
        let mut next = 0;
        let mut grow = |steps: &[usize]| -> Vec<usize> {
            steps.iter().map(|more| { next += more / 2; next }).collect()
        };
        let common = grow(&common);
        // Each side has epochs of its own from there on: even ones or odd ones.
        let fork = common.last().copied().unwrap_or(0) + 2;
        let side = |steps: &[usize], odd: usize| {
            let mut own = 0;
            let epochs: Vec<usize> = steps.iter().map(|more| { own += more / 2; fork + 2 * own + odd }).collect();
            [common.clone(), epochs].concat()
        };
        let (mine, theirs) = (side(&mine, usize::from(who)), side(&theirs, usize::from(!who)));
        let (mine, other) = (table(&mine), table(&theirs));
        let mut asked = other.last();
        for _ in 0..=theirs.len() {
            let shared = mine.shared_with(asked);
            prop_assert!(shared >= Seq(common.len() as u64).min(asked.seq), "what is shared stays");
            prop_assert!(shared <= asked.seq);
            if mine.matches(asked) {
                prop_assert_eq!(shared, asked.seq);
                break;
            }
            prop_assert!(shared < asked.seq, "each question brings them nearer");
            asked = other.at(shared).expect("before what was asked");
        }
        prop_assert!(mine.matches(asked));
        prop_assert_eq!(asked.seq, Seq(common.len() as u64).min(other.last().seq));
    }
}

/// A master that could not hear everybody took the number of an epoch that another one has had.
#[test]
fn two_epochs_of_one_number_agree_on_nothing_that_either_placed() {
    let log = |second: u128| {
        let mut table = EpochTable::default();
        table.append(epoch(1, 1), Seq(2));
        table.append(epoch(2, second), Seq(4));
        table
    };
    let (mine, theirs) = (log(2), log(3));
    assert!(!mine.matches(theirs.last()));
    assert_eq!(mine.shared_with(theirs.last()), Seq(3).min(mine.last().seq));
    assert_eq!(theirs.shared_with(mine.last()), Seq(2));
    assert_eq!(mine.shared_with(log(2).last()), Seq(4));
    assert_eq!(mine.end_of_epoch(Seq(1)), Seq(2));
    assert_eq!(mine.end_of_epoch(Seq(3)), Seq(4));
}
