//! `POST /clear`: a history that replaces another one, and what still speaks of the old.

use replog_common::entry::Entry;
use replog_common::log::contract::entry;
use replog_common::message::{Append, Life};
use replog_common::protocol::follower::{Follower, Received};
use replog_common::protocol::outcome::ReadOnly;
use replog_common::protocol::recovery::Recovery;
use replog_common::types::Seq;

use crate::made::{
    append, at, follower, incarnation, instance, leader, life, log, recovery_settings, store,
};

/// The first word of a new history: the lives in `replaces` cleared those before it.
fn clearing(by: Life, replaces: &[Life]) -> Append<Vec<Entry>> {
    Append {
        replaces: replaces.to_vec(),
        ..append(by, &[], 0, 0)
    }
}

/// A secondary that holds two entries which that life has placed.
fn holder(name: &str, by: Life) -> Follower {
    let placed = |seq| {
        let one = entry(seq, 5);
        Entry::new(one.seq, by.epoch, one.message_id, one.content().json())
    };
    let mut follower = follower(name);
    follower.receive(Append {
        by: Some(by.instance),
        ..append(by, &[placed(1), placed(2)], 0, 2)
    });
    store(&mut follower, &mut Vec::new());
    follower
}

#[test]
fn what_was_cleared_does_not_come_back_with_a_late_append() {
    let old: Vec<Entry> = (1..=2).map(|seq| entry(seq, 5)).collect();
    let (mut follower, mut stored) = (follower("s1"), Vec::new());
    follower.receive(append(life(1, 1, 1), &old, 0, 1));
    store(&mut follower, &mut stored);
    let cleared = Append {
        replaces: vec![life(1, 1, 1)],
        ..append(life(2, 2, 1), &[], 0, 0)
    };
    assert_eq!(follower.receive(cleared), Received::Cleared);
    let late = append(life(1, 1, 1), &old, 0, 2);
    assert_eq!(follower.receive(late.clone()), Received::OtherMaster);
    // Nor after a `/clear` of its own.
    follower.clear(incarnation(20));
    assert_eq!(follower.receive(late), Received::OtherMaster);
    assert!(follower.take_ready().is_empty());
}

/// Cleared twice by one that had been overtaken and could not know it, the newest history is above the other master's
/// life; what the other master has acknowledged stays all the same.
#[test]
fn a_master_that_was_overtaken_cannot_clear_the_log() {
    let mut follower = holder("s1", life(1, 2, 2));
    let (first, second) = (life(1, 1, 1), life(2, 2, 1));
    for by in [
        clearing(life(2, 2, 1), &[first]),
        clearing(life(3, 3, 1), &[first, second]),
    ] {
        assert_eq!(follower.receive(by), Received::OtherHistory);
        assert_eq!(follower.ack().upto, Seq(2));
    }
    // Nor can one that believes in the same epoch.
    let twin = clearing(life(2, 3, 3), &[life(1, 2, 3)]);
    assert_eq!(follower.receive(twin), Received::OtherHistory);
    let its_own = clearing(life(2, 3, 2), &[life(1, 2, 2)]);
    assert_eq!(follower.receive(its_own), Received::Cleared);
}

#[test]
fn it_learns_from_what_it_could_not_clear_that_it_was_overtaken() {
    let mut first = leader(life(1, 1, 1), None);
    first.link_up(at(0));
    for (n, history) in [(1, 2), (2, 3)] {
        let cleared = first.clear(log(history), at(n));
        cleared.expect("it has heard of nobody");
    }
    let asleep = holder("s1", life(1, 1, 1));
    first.ack(&asleep.ack(), at(10));
    assert_eq!(first.read_only(at(10)), None, "that one comes over");
    let others = holder("s2", life(1, 2, 2));
    first.ack(&others.ack(), at(20));
    assert_eq!(first.read_only(at(20)), Some(ReadOnly::Fenced));
}

#[test]
fn a_history_that_went_on_is_found_although_somebody_believes_it_cleared() {
    let mut believer = follower("s2");
    believer.receive(clearing(life(2, 2, 1), &[life(1, 1, 1)]));
    for (epoch, history) in [(2, 1), (1, 2)] {
        let holder = holder("s1", life(1, epoch, epoch.into()));
        let mut recovery = Recovery::new(recovery_settings(false), instance(99), None, None);
        recovery.link_up(at(0));
        recovery.heard(&holder.ack(), at(1));
        recovery.heard(&believer.ack(), at(1));
        assert_eq!(recovery.tick(Default::default(), at(3000)), None);
        let chosen = recovery.life().map(|life| life.log_id);
        assert_eq!(
            chosen,
            Some(log(history)),
            "cleared in epoch 1, gone on in {epoch}"
        );
    }
}

#[test]
fn one_that_knows_a_history_to_be_cleared_says_so_and_rejoins() {
    let entries = [entry(1, 2)];
    let mut follower = follower("s1");
    follower.receive(Append {
        replaces: vec![life(1, 1, 7)],
        ..append(life(3, 2, 7), &entries, 0, 1)
    });
    store(&mut follower, &mut Vec::new());
    // A late word of the old master is no reason to ask for anybody's help.
    let late = append(life(1, 1, 7), &[], 0, 0);
    assert_eq!(follower.receive(late), Received::OtherMaster);
    assert_eq!(follower.foreign(), None);
    // A master has recovered the old history from one that slept through the clearing.
    let back = append(life(1, 2, 8), &[], 0, 0);
    assert_eq!(follower.receive(back.clone()), Received::OtherHistory);
    assert_eq!(follower.foreign(), Some(log(1)));
    follower.rejoin(incarnation(20));
    follower.receive(back);
    let now = (follower.log_id(), follower.foreign());
    assert_eq!(now, (Some(log(1)), None));
}

/// Emptied by its operator, it still follows nobody that its master has overtaken.
#[test]
fn a_secondary_that_is_cleared_keeps_its_promise() {
    let mut follower = holder("s1", life(1, 2, 2));
    follower.clear(incarnation(20));
    let entries = [entry(1, 5), entry(2, 5)];
    let overtaken = append(life(1, 1, 1), &entries, 0, 2);
    assert_eq!(follower.receive(overtaken), Received::OtherMaster);
    follower.receive(append(life(1, 2, 2), &entries, 0, 2));
    store(&mut follower, &mut Vec::new());
    assert_eq!(follower.ack().upto, Seq(2));
}
