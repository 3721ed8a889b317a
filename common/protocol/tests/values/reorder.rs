//! What a secondary holds back, against a set of positions.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use replog_protocol::entry::{BatchBuilder, Content, EntryBatch};
use replog_protocol::follower::reorder::{HOLD_BACK_BYTES, Reorder};
use replog_protocol::ids::{Epoch, Seq};

use crate::support::{entries, epoch, message_id};

const LENGTH: u64 = 24;

fn batch(first: u64, count: u64, epoch: Epoch) -> EntryBatch {
    let all = entries(first..=(first + count - 1), epoch);
    EntryBatch::concat(&all).expect("entries")
}

proptest! {
    /// Twin: the set of positions that are held. Each entry is held once, and what is taken out is what was put in.
    #[test]
    fn reorder_is_a_set_of_entries(calls in vec((1..LENGTH, 1..6u64, any::<bool>()), 0..60)) {
        let epoch = epoch(1, 1);
        let (mut reorder, mut twin) = (Reorder::default(), [false; LENGTH as usize + 8]);
        for (seq, count, takes) in calls {
            if takes {
                let taken = reorder.take(Seq(seq));
                twin[..seq as usize].fill(false);
                prop_assert_eq!(taken.is_some(), twin[seq as usize]);
                if let Some(batch) = taken {
                    prop_assert_eq!(batch.first(), Seq(seq));
                    for entry in batch.iter() {
                        prop_assert!(std::mem::take(&mut twin[entry.seq.0 as usize]));
                        prop_assert_eq!(entry.message_id, message_id(entry.seq.0.into()));
                    }
                }
            } else {
                let range = seq as usize..(seq + count) as usize;
                let known = twin[range.clone()].iter().filter(|held| **held).count() as u64;
                let offered = reorder.offer(batch(seq, count, epoch));
                prop_assert_eq!((offered.duplicates, offered.dropped), (known, 0));
                twin[range].fill(true);
            }
            prop_assert_eq!(reorder.len(), twin.iter().filter(|held| **held).count() as u64);
            let first = twin.iter().position(|held| *held).map(|seq| Seq(seq as u64));
            prop_assert_eq!(reorder.first(), first);
            prop_assert_eq!(reorder.is_empty(), first.is_none());
        }
    }
}

/// Twin: a map from position to size. Later entries make way for earlier ones, and the first one always fits.
#[test]
fn what_does_not_fit_is_dropped_from_the_end() {
    const SIZES: [usize; 4] = [1, 9 << 20, 23 << 20, 70 << 20];
    let large = |seq: u64, size: usize| {
        let mut builder = BatchBuilder::new(Seq(seq), epoch(1, 1));
        builder.push(
            message_id(seq.into()),
            &Content::from_text(&"x".repeat(size)),
        );
        builder.finish().expect("an entry")
    };
    let (mut reorder, mut twin) = (Reorder::default(), BTreeMap::<u64, usize>::new());
    // A fixed row of positions and sizes, far from sorted.
    for i in 0..40u64 {
        let (seq, size) = (1 + i * 17 % 23, SIZES[(i * 7 % 11 % 4) as usize]);
        let batch = large(seq, size);
        let bytes = batch.bytes();
        let offered = reorder.offer(batch);
        if twin.contains_key(&seq) {
            assert_eq!((offered.duplicates, offered.dropped), (1, 0));
            continue;
        }
        let used = |twin: &BTreeMap<u64, usize>| twin.values().sum::<usize>();
        while used(&twin) + bytes > HOLD_BACK_BYTES
            && twin.last_key_value().is_some_and(|(last, _)| *last > seq)
        {
            twin.pop_last();
        }
        let fits = used(&twin) + bytes <= HOLD_BACK_BYTES || twin.is_empty();
        assert_eq!((offered.duplicates, offered.dropped), (0, u64::from(!fits)));
        if fits {
            twin.insert(seq, bytes);
        }
        assert_eq!(reorder.len(), twin.len() as u64);
        let first = twin.first_key_value().map(|(seq, _)| Seq(*seq));
        assert_eq!(reorder.first(), first);
    }
    assert!(twin.len() > 1, "some of it fits");
}
