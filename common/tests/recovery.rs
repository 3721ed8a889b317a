//! What a master takes over, and what it must wait for.

use std::collections::BTreeSet;
use std::time::Duration;

use replog_common::entry::Position;
use replog_common::log::contract::entry;
use replog_common::message::{Ack, Announce, Append, Life};
use replog_common::protocol::event::Event;
use replog_common::protocol::follower::{Follower, Received};
use replog_common::protocol::leader::{Leader, LeaderConfig};
use replog_common::protocol::outcome::ReadOnly;
use replog_common::protocol::recovery::{Found, Recovery, RecoverySettings, Take};
use replog_common::types::{Epoch, Incarnation, Instance, LogId, NodeId, Seq, Time};
use uuid::Uuid;

fn log(n: u128) -> LogId {
    LogId(Uuid::from_u128(n))
}

fn instance(n: u128) -> Instance {
    Instance(Uuid::from_u128(n))
}

fn at(ms: u64) -> Time {
    Time::ZERO + Duration::from_millis(ms)
}

fn name(node: &str) -> NodeId {
    node.parse().expect("a name")
}

/// A secondary that holds so many entries, the last one of that epoch.
fn holder(node: &str, seq: u64, epoch: u64) -> Ack {
    let last = Position {
        seq: Seq(seq),
        epoch: Epoch(epoch),
        by: Some(instance(epoch.into())),
    };
    Ack {
        node: name(node),
        incarnation: Incarnation(Uuid::from_u128(1)),
        log_id: Some(log(1)),
        epoch: Epoch(epoch),
        instance: last.by,
        upto: last.seq,
        last,
        held_from: None,
        replaced: Vec::new(),
        error: None,
    }
}

fn settings(takeover: bool) -> RecoverySettings {
    RecoverySettings {
        timeout: Duration::from_secs(3),
        listen: Duration::from_millis(500),
        retry: Duration::from_millis(500),
        takeover,
    }
}

fn recovery(listed: Option<&[&str]>) -> Recovery {
    let listed = listed.map(|l| l.iter().map(|n| name(n)).collect::<BTreeSet<_>>());
    Recovery::new(settings(false), instance(99), listed)
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
                Take::FromTheBeginning => have = Position::default(),
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

#[test]
fn one_that_knows_a_history_to_be_cleared_says_so_and_rejoins() {
    let append = |history, epoch, replaces, entries: Vec<_>| Append {
        life: Life {
            log_id: log(history),
            epoch: Epoch(epoch),
            instance: instance(7),
        },
        prev: Position::default(),
        tail: Seq(entries.len() as u64),
        commit: Seq(0),
        replaces,
        by: Some(instance(7)),
        entries,
    };
    let mut follower = Follower::new(name("s1"), Incarnation(Uuid::from_u128(1)));
    follower.receive(append(3, 2, vec![log(1)], vec![entry(1, 2)]));
    let ready = follower.take_ready();
    follower.stored(&ready);
    // A late word of the old master is no reason to ask for anybody's help.
    assert_eq!(
        follower.receive(append(1, 1, vec![], vec![])),
        Received::OtherMaster
    );
    assert_eq!(follower.foreign(), None);
    // A master has recovered the old history from one that slept through the clearing.
    assert_eq!(
        follower.receive(append(1, 5, vec![], vec![])),
        Received::OtherHistory
    );
    assert_eq!(follower.foreign(), Some(log(1)));
    follower.rejoin(Incarnation(Uuid::from_u128(2)));
    follower.receive(append(1, 5, vec![], vec![]));
    assert_eq!(
        (follower.log_id(), follower.foreign()),
        (Some(log(1)), None)
    );
}

#[test]
fn who_is_overtaken_is_fenced_also_by_one_of_another_history() {
    let master = |n: u64, recovery| {
        let mut leader = Leader::<u32>::new(LeaderConfig {
            life: Life {
                log_id: log(n.into()),
                epoch: Epoch(1),
                instance: instance(n.into()),
            },
            recovery,
            listed: Some(vec![name("s1")]),
            deduplicate_by: Default::default(),
            read_only_without_quorum: false,
            replication: Default::default(),
        });
        leader.link_up(at(0));
        leader
    };
    let (mut first, mut second) = (master(1, None), master(2, Some(settings(true))));
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
