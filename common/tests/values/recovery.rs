//! What a master takes over, and what it must wait for.

use std::collections::BTreeSet;

use replog_common::entry::Position;
use replog_common::message::{Ack, Announce};
use replog_common::protocol::event::Event;
use replog_common::protocol::leader::{Leader, LeaderConfig};
use replog_common::protocol::outcome::ReadOnly;
use replog_common::protocol::recovery::{Found, Recovery, Take};
use replog_common::types::{Epoch, Seq};

use crate::made::{at, config, hello, incarnation, instance, life, log, node, recovery_settings};

/// A secondary that holds so many entries, the last one of that epoch.
fn holder(name: &str, seq: u64, epoch: u64) -> Ack {
    let last = Position {
        seq: Seq(seq),
        epoch: Epoch(epoch),
        by: Some(instance(epoch.into())),
    };
    Ack {
        node: node(name),
        incarnation: incarnation(1),
        log_id: Some(log(1)),
        epoch: Epoch(epoch),
        instance: last.by,
        upto: last.seq,
        last,
        held_from: None,
        damaged: None,
        replaced: Vec::new(),
        error: None,
    }
}

fn recovery(listed: Option<&[&str]>) -> Recovery {
    let listed = listed.map(|l| l.iter().map(|n| node(n)).collect::<BTreeSet<_>>());
    Recovery::new(recovery_settings(false), instance(99), listed, None)
}

/// Answers every question as those secondaries would, from `from` ms on, until it serves: what it has then, and what it found.
fn run(recovery: &mut Recovery, holders: &[Ack], have: Position, from: u64) -> (Position, Found) {
    let mut have = have;
    for ms in from..from + 10_000 {
        while let Some((node, fetch)) = recovery.poll_fetch(have, 1000, at(ms)) {
            recovery.asked(&node, at(ms));
            let Some(ack) = holders.iter().find(|a| a.node == node) else {
                continue; // it is silent
            };
            let promised = Ack {
                epoch: fetch.life.epoch,
                instance: Some(fetch.life.instance),
                ..ack.clone()
            };
            let prev = fetch.from.prev().min(ack.last.seq);
            // In these worlds all lives agree on nothing but the beginning.
            let prev = Position {
                seq: prev,
                ..ack.last
            };
            let prev = if prev.seq == Seq::ZERO {
                Position::default()
            } else {
                prev
            };
            match recovery.fetched(&promised, prev, have, at(ms)) {
                Take::Entries if fetch.max_bytes > 0 => have = ack.last,
                Take::Cut(_) => have = Position::default(),
                Take::Entries | Take::Nothing => {}
            }
        }
        if let Some(found) = recovery.tick(have, at(ms)) {
            return (have, found);
        }
    }
    panic!("it never serves: {recovery:?}");
}

#[test]
fn a_shorter_log_of_a_later_life_that_is_heard_late_is_the_better_one() {
    let (long, late) = (holder("s1", 5, 1), holder("s2", 4, 2));
    let mut recovery = recovery(None);
    recovery.link_up(at(0));
    recovery.heard(&long, at(10));
    assert_eq!(recovery.tick(Position::default(), at(3000)), None);
    // All of the longer one is here when the other one speaks.
    recovery.heard(&late, at(3001));
    let (have, found) = run(
        &mut recovery,
        &[long.clone(), late.clone()],
        long.last,
        3001,
    );
    assert_eq!(have, late.last);
    assert!(found.epoch > Epoch(2), "{found:?}");
}

#[test]
fn an_outage_does_not_make_everybody_silent() {
    let (short, long) = (holder("s1", 3, 1), holder("s2", 5, 1));
    let mut recovery = recovery(Some(&["s1", "s2"]));
    recovery.link_up(at(0));
    recovery.heard(&short, at(10));
    recovery.heard(&long, at(10));
    assert_eq!(recovery.tick(Position::default(), at(500)), None);
    recovery.link_down();
    recovery.link_up(at(10_000));
    let (have, found) = run(
        &mut recovery,
        &[short, long.clone()],
        Position::default(),
        10_000,
    );
    assert_eq!((have, found.heard.len()), (long.last, 2));
}

#[test]
fn a_latecomers_history_is_not_taken_before_the_others_were_heard() {
    let (short, long) = (holder("s1", 3, 1), holder("s2", 5, 1));
    let mut recovery = recovery(Some(&["s1", "s2"])).adopting(&short, at(10_000));
    for ms in 10_000..10_050 {
        assert_eq!(recovery.tick(Position::default(), at(ms)), None);
    }
    recovery.heard(&long, at(10_050));
    let (have, _) = run(
        &mut recovery,
        &[short, long.clone()],
        Position::default(),
        10_050,
    );
    assert_eq!(have, long.last);
}

#[test]
fn invented_names_do_not_shut_out_a_listed_member() {
    let long = holder("s1", 5, 1);
    let mut recovery = recovery(Some(&["s1"]));
    recovery.link_up(at(0));
    for n in 0..1000 {
        recovery.heard(&holder(&format!("x{n}"), 0, 0), at(1));
    }
    recovery.heard(&long, at(2));
    assert_eq!(recovery.tick(Position::default(), at(500)), None);
    let life = recovery.life();
    assert_eq!(life.map(|l| l.log_id), Some(log(1)));
}

/// Else the former master could be the first one that it hears, and count it for what the new one never sees.
#[test]
fn one_that_holds_nothing_has_to_promise_too() {
    let (long, empty) = (holder("s1", 5, 1), hello("s2"));
    let mut recovery = recovery(Some(&["s1", "s2"]));
    recovery.link_up(at(0));
    recovery.heard(&long, at(10));
    recovery.heard(&empty, at(10));
    assert_eq!(recovery.tick(Position::default(), at(500)), None);
    let asked: BTreeSet<_> = std::iter::from_fn(|| {
        let (name, fetch) = recovery.poll_fetch(Position::default(), 1000, at(500))?;
        recovery.asked(&name, at(500));
        Some((name, fetch.max_bytes))
    })
    .collect();
    assert_eq!(asked, BTreeSet::from([(node("s1"), 0), (node("s2"), 0)]));
    let promised = |ack: &Ack| Ack {
        log_id: Some(log(1)),
        epoch: Epoch(2),
        instance: Some(instance(99)),
        ..ack.clone()
    };
    recovery.heard(&promised(&long), at(501));
    assert_eq!(recovery.tick(long.last, at(502)), None, "one has not");
    recovery.heard(&promised(&empty), at(503));
    let found = recovery.tick(long.last, at(504));
    assert_eq!(found.map(|f| f.heard.len()), Some(2));
}

#[test]
fn one_that_holds_nothing_is_no_holder() {
    let (long, empty) = (holder("s1", 5, 1), hello("s2"));
    let mut recovery = recovery(None);
    recovery.link_up(at(0));
    recovery.heard(&long, at(10));
    recovery.heard(&empty, at(10));
    assert_eq!(recovery.tick(Position::default(), at(3000)), None);
    // The only holder is silent for a while; it is waited for once more before its history is given up.
    let others = [empty];
    for ms in 3000..6500 {
        while let Some((name, fetch)) = recovery.poll_fetch(Position::default(), 1000, at(ms)) {
            recovery.asked(&name, at(ms));
            if let Some(ack) = others.iter().find(|a| a.node == name) {
                let promised = Ack {
                    log_id: Some(fetch.life.log_id),
                    epoch: fetch.life.epoch,
                    instance: Some(fetch.life.instance),
                    ..ack.clone()
                };
                recovery.fetched(&promised, Position::default(), Position::default(), at(ms));
            }
        }
        assert_eq!(recovery.tick(Position::default(), at(ms)), None, "{ms}");
    }
    let holders = [long.clone(), others[0].clone()];
    recovery.heard(&long, at(6500));
    let (have, _) = run(&mut recovery, &holders, Position::default(), 6500);
    assert_eq!(have, long.last);
}

/// There is no higher one to rise to: whoever says so is not waited for, and the rest is recovered.
#[test]
fn the_last_epoch_there_is_holds_up_nobody() {
    let (long, liar) = (holder("s1", 5, 1), holder("s2", 9, Epoch::MAX.0));
    let mut recovery = recovery(Some(&["s1", "s2"]));
    recovery.link_up(at(0));
    recovery.heard(&long, at(10));
    recovery.heard(&liar, at(10));
    assert_eq!(recovery.tick(Position::default(), at(3000)), None);
    let (have, found) = run(
        &mut recovery,
        std::slice::from_ref(&long),
        Position::default(),
        3000,
    );
    assert_eq!((have, found.not_heard), (long.last, vec![node("s2")]));
    assert_eq!(Epoch::MAX.next(), Epoch::MAX);
}

#[test]
fn who_is_overtaken_is_fenced_also_by_one_of_another_history() {
    let master = |n: u64, recovery| {
        let mut leader = Leader::<u32>::new(LeaderConfig {
            recovery,
            ..config(life(n.into(), 1, n.into()), Some(&["s1"]))
        });
        leader.link_up(at(0));
        leader
    };
    let (mut first, mut second) = (master(1, None), master(2, Some(recovery_settings(true))));
    let lives = Announce {
        life: *first.life(),
        is_serving: true,
        overtakes: None,
    };
    second.announced(&lives, at(10));
    // Nobody is heard: the second one begins a history of its own.
    for ms in (0..4000).step_by(100) {
        first.tick(at(ms));
        second.tick(at(ms));
    }
    let overtakes = std::iter::from_fn(|| second.poll_event()).find_map(|e| match e {
        Event::Serving { overtakes, .. } => Some(overtakes),
        _ => None,
    });
    assert_eq!(overtakes, Some(Some(instance(1))));
    let serves = Announce {
        life: *second.life(),
        is_serving: true,
        overtakes: Some(instance(1)),
    };
    first.announced(&serves, at(4000));
    assert_eq!(first.read_only(at(4000)), Some(ReadOnly::Fenced));
}
