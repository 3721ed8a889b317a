//! The secondary as a value: whatever order its master's messages come in, and however often.

use proptest::collection::vec;
use proptest::prelude::*;
use replog_common::entry::{Entry, Position};
use replog_common::log::contract::entry;
use replog_common::protocol::follower::{Change, Received};
use replog_common::types::{Epoch, Seq};

use crate::made::{append, follower, life, log, store};

proptest! {
    /// Twin: the set of entries that have come; held is its run from 1. Acknowledged is that run, never what is held back.
    #[test]
    fn any_order_and_any_number_of_times(
        frames in vec((0..12usize, 0..4usize), 0..40),
    ) {
        let log: Vec<Entry> = (1..=12).map(|seq| entry(seq, 5)).collect();
        let (mut follower, mut stored) = (follower("s1"), Vec::new());
        let mut came = [false; 12];
        for (from, len) in frames {
            let upto = (from + len).min(12);
            let received = follower.receive(append(life(1, 1, 1), &log, from, upto));
            let is_followed = matches!(received, Received::Followed { dropped: 0, .. });
            prop_assert!(is_followed);
            store(&mut follower, &mut stored);
            came[from..upto].fill(true);
            let run = came.iter().take_while(|c| **c).count();
            prop_assert_eq!(&stored[..], &log[..run]);
            let ack = follower.ack();
            prop_assert_eq!(ack.upto, Seq(run as u64));
            prop_assert_eq!(ack.last.seq, ack.upto);
            let beyond = (run..12).find(|i| came[*i]).map(|i| Seq(i as u64 + 1));
            prop_assert_eq!(ack.held_from, beyond);
        }
    }

    /// A master of a later life shows bit by bit what it shares: only that is acknowledged, and nothing is stored behind
    /// what is not shown to be the master's; where it differs is noticed.
    #[test]
    fn a_new_life_acknowledges_only_what_it_has_shown(
        mine in 1..10usize, shared in 0..10usize, theirs in 0..10usize,
        frames in vec((0..12usize, 0..4usize), 0..30),
    ) {
        let shared = shared.min(mine);
        let old: Vec<Entry> = (1..=mine as u64).map(|seq| entry(seq, 5)).collect();
        let mut new = old[..shared].to_vec();
        for seq in (shared + 1)..=(shared + theirs) {
            let e = entry(seq as u64, 9);
            new.push(Entry::new(e.seq, Epoch(7), e.message_id, e.content().json()));
        }
        let (mut follower, mut stored, mut aside) = (follower("s1"), Vec::new(), Vec::new());
        follower.receive(append(life(1, 1, 1), &old, 0, mine));
        store(&mut follower, &mut stored);
        prop_assert_eq!(&stored, &old);
        let whole = (0, new.len());
        for (from, len) in frames.into_iter().chain([whole]) {
            let from = from.min(new.len());
            let upto = (from + len).min(new.len());
            follower.receive(append(life(1, 7, 2), &new, from, upto));
            if let Some(Change::PutAside(_, keep)) = follower.take_change() {
                prop_assert!(keep.seq.0 as usize >= shared, "what is shared stays");
                let mut tail = stored.split_off(keep.seq.0 as usize);
                tail.append(&mut aside);
                aside = tail;
                prop_assert_eq!(keep, stored.last().map(Entry::position).unwrap_or_default());
            }
            store(&mut follower, &mut stored);
            let ack = follower.ack();
            let upto = ack.upto.0 as usize;
            prop_assert!(upto <= stored.len() && upto <= new.len());
            prop_assert_eq!(&stored[..upto], &new[..upto], "acknowledged is what the master has");
            if stored.len() > mine {
                prop_assert!(new.starts_with(&stored), "built on a foreign trunk");
            }
            // A master that was overtaken is not followed any more, and told so.
            let received = follower.receive(append(life(1, 1, 1), &old, 0, mine));
            prop_assert_eq!(received, Received::OtherMaster);
            prop_assert_eq!(follower.ack().epoch, Epoch(7));
        }
        prop_assert_eq!(&stored, &new, "it follows by itself");
        prop_assert_eq!(&aside, &old[shared..], "and nothing is lost");
    }

    /// Another history is not taken in while this one has entries, unless it says that it replaces it.
    #[test]
    fn another_history_is_kept_apart(mine in 0..4usize, held in any::<bool>(), replaces in any::<bool>()) {
        let old: Vec<Entry> = (1..=6).map(|seq| entry(seq, 5)).collect();
        let other: Vec<Entry> = (1..=6).map(|seq| entry(seq, 6)).collect();
        let (mut follower, mut stored) = (follower("s1"), Vec::new());
        follower.receive(append(life(1, 1, 1), &old, 0, mine));
        if held {
            follower.receive(append(life(1, 1, 1), &old, mine + 1, mine + 2));
        }
        store(&mut follower, &mut stored);
        let mut first = append(life(2, 2, 1), &other, 0, 1);
        if replaces {
            first.replaces.push(life(1, 1, 1));
        }
        let received = follower.receive(first.clone());
        match (mine > 0, replaces) {
            (true, false) => {
                prop_assert_eq!(received, Received::OtherHistory);
                prop_assert_eq!(follower.ack().log_id, Some(log(1)));
                prop_assert_eq!(follower.ack().upto, Seq(mine as u64));
                return Ok(());
            }
            (true, true) => {
                prop_assert_eq!(received, Received::Cleared);
                prop_assert_eq!(follower.take_change(), Some(Change::Cleared));
                stored.clear();
                prop_assert_eq!(follower.ack().last, Position::default());
                follower.receive(first);
            }
            (false, _) => {}
        }
        follower.receive(append(life(2, 2, 1), &other, 1, 6));
        store(&mut follower, &mut stored);
        prop_assert_eq!(&stored, &other, "nothing of the former history is left");
        prop_assert_eq!(follower.ack().upto, Seq(6));
    }
}

/// Whoever can publish can lie; what the real master says next heals it.
#[test]
fn a_false_heartbeat_does_no_lasting_harm() {
    let log: Vec<Entry> = (1..=3).map(|seq| entry(seq, 5)).collect();
    let (mut follower, mut stored) = (follower("s1"), Vec::new());
    follower.receive(append(life(1, 1, 1), &log, 0, 2));
    store(&mut follower, &mut stored);
    let mut lie = append(life(1, 1, 1), &log, 0, 0);
    lie.prev = Position {
        seq: Seq(1),
        epoch: Epoch(9),
        by: None,
    };
    (lie.tail, lie.commit) = (Seq(u64::MAX), Seq(u64::MAX));
    follower.receive(lie);
    assert_eq!(follower.take_change(), None, "what was acknowledged stays");
    follower.receive(append(life(1, 1, 1), &log, 2, 3));
    store(&mut follower, &mut stored);
    assert_eq!(stored, log);
    assert_eq!(
        (follower.master_tail(), follower.commit()),
        (Seq(3), Seq(0))
    );
}
