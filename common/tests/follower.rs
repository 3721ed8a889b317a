//! The secondary as a value: whatever order its master's messages come in, and however often.

use proptest::collection::vec;
use proptest::prelude::*;
use replog_common::entry::{Entry, Position};
use replog_common::log::contract::entry;
use replog_common::message::{Append, Life};
use replog_common::protocol::follower::{Follower, Received};
use replog_common::types::{Epoch, Incarnation, Instance, LogId, Seq};
use uuid::Uuid;

fn life(log: u128, epoch: u64, instance: u128) -> Life {
    Life {
        log_id: LogId(Uuid::from_u128(log)),
        epoch: Epoch(epoch),
        instance: Instance(Uuid::from_u128(instance)),
    }
}

fn append(life: Life, log: &[Entry], from: usize, upto: usize) -> Append<Vec<Entry>> {
    let prev = from
        .checked_sub(1)
        .map_or_else(Position::default, |i| log[i].position());
    Append {
        life,
        prev,
        tail: Seq(log.len() as u64),
        commit: Seq::ZERO,
        replaces: Vec::new(),
        by: None,
        entries: log[from..upto].to_vec(),
    }
}

fn follower() -> Follower {
    Follower::new(
        "s1".parse().expect("a name"),
        Incarnation(Uuid::from_u128(1)),
    )
}

fn store(follower: &mut Follower, stored: &mut Vec<Entry>) {
    let ready = follower.take_ready();
    stored.extend(ready.iter().cloned());
    follower.stored(&ready);
}

proptest! {
    /// Twin: the set of entries that have come; held is its run from 1. Acknowledged is that run, never what is held back.
    #[test]
    fn any_order_and_any_number_of_times(
        frames in vec((0..12usize, 0..4usize), 0..40),
    ) {
        let log: Vec<Entry> = (1..=12).map(|seq| entry(seq, 5)).collect();
        let (mut follower, mut stored) = (follower(), Vec::new());
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
        let (mut follower, mut stored, mut aside) = (follower(), Vec::new(), Vec::new());
        follower.receive(append(life(1, 1, 1), &old, 0, mine));
        store(&mut follower, &mut stored);
        prop_assert_eq!(&stored, &old);
        let whole = (0, new.len());
        for (from, len) in frames.into_iter().chain([whole]) {
            let from = from.min(new.len());
            let upto = (from + len).min(new.len());
            follower.receive(append(life(1, 7, 2), &new, from, upto));
            if let Some(keep) = follower.take_aside() {
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
        let log: Vec<Entry> = (1..=6).map(|seq| entry(seq, 5)).collect();
        let other: Vec<Entry> = (1..=6).map(|seq| entry(seq, 6)).collect();
        let (mut follower, mut stored) = (follower(), Vec::new());
        follower.receive(append(life(1, 1, 1), &log, 0, mine));
        if held {
            follower.receive(append(life(1, 1, 1), &log, mine + 1, mine + 2));
        }
        store(&mut follower, &mut stored);
        let mut first = append(life(2, 2, 1), &other, 0, 1);
        if replaces {
            first.replaces.push(LogId(Uuid::from_u128(1)));
        }
        let received = follower.receive(first.clone());
        match (mine > 0, replaces) {
            (true, false) => {
                prop_assert_eq!(received, Received::OtherHistory);
                prop_assert_eq!(follower.ack().log_id, Some(LogId(Uuid::from_u128(1))));
                prop_assert_eq!(follower.ack().upto, Seq(mine as u64));
                return Ok(());
            }
            (true, true) => {
                prop_assert_eq!(received, Received::Cleared);
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

#[test]
fn what_was_cleared_does_not_come_back_with_a_late_append() {
    let old: Vec<Entry> = (1..=2).map(|seq| entry(seq, 5)).collect();
    let (mut follower, mut stored) = (follower(), Vec::new());
    follower.receive(append(life(1, 1, 1), &old, 0, 1));
    store(&mut follower, &mut stored);
    let cleared = Append {
        replaces: vec![LogId(Uuid::from_u128(1))],
        ..append(life(2, 2, 1), &[], 0, 0)
    };
    assert_eq!(follower.receive(cleared), Received::Cleared);
    let late = append(life(1, 1, 1), &old, 0, 2);
    assert_eq!(follower.receive(late.clone()), Received::OtherMaster);
    // Nor after a `/clear` of its own.
    follower.clear(Incarnation(Uuid::from_u128(2)));
    assert_eq!(follower.receive(late), Received::OtherMaster);
    assert!(follower.take_ready().is_empty());
}

#[test]
fn a_master_that_was_overtaken_cannot_clear_the_log() {
    let log: Vec<Entry> = (1..=2).map(|seq| entry(seq, 5)).collect();
    let (mut follower, mut stored) = (follower(), Vec::new());
    follower.receive(append(life(1, 7, 1), &log, 0, 2));
    store(&mut follower, &mut stored);
    let cleared = |epoch| Append {
        replaces: vec![LogId(Uuid::from_u128(1))],
        ..append(life(2, epoch, 2), &[], 0, 0)
    };
    for epoch in [2, 7] {
        assert_eq!(follower.receive(cleared(epoch)), Received::OtherHistory);
        assert_eq!(follower.ack().upto, Seq(2));
    }
    assert_eq!(follower.receive(cleared(8)), Received::Cleared);
}

/// Whoever can publish can lie; what the real master says next heals it.
#[test]
fn a_false_heartbeat_does_no_lasting_harm() {
    let log: Vec<Entry> = (1..=3).map(|seq| entry(seq, 5)).collect();
    let (mut follower, mut stored) = (follower(), Vec::new());
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
    assert_eq!(follower.take_aside(), None, "what was acknowledged stays");
    follower.receive(append(life(1, 1, 1), &log, 2, 3));
    store(&mut follower, &mut stored);
    assert_eq!(stored, log);
    assert_eq!(
        (follower.master_tail(), follower.commit()),
        (Seq(3), Seq(0))
    );
}
