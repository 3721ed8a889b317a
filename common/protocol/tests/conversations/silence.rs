//! An answer that says nothing new is never answered at once, and a cluster with nothing to do says next to nothing.

use replog_protocol::ids::{Seq, Time};
use replog_protocol::wire::{Ack, Address};

use crate::support::cluster::{Cluster, Sent};
use crate::support::hand::{Master, serving};
use crate::support::process::Disk;
use crate::support::{at, cleared, epoch, hello, log, ms, node, position};

/// A master with five entries, of which the secondary holds three, by its own word.
fn master_of(upto: u64) -> Master {
    let mut master = serving(Some(&["a"]));
    (1..=5).for_each(|id| master.post(id, 1, at(1)));
    master.join("a", 9, upto, at(2));
    master
}

/// The same ACK a hundred times: after the first one nothing leaves before the deadline.
fn is_heard_in_silence(mut master: Master, ack: &Ack, what: &str) {
    let now = at(3);
    master.hear(ack.clone(), now);
    // Entries that are in flight may take all of the window.
    master.sent.clear();
    master.reads.clear();
    let until = master.deadline().expect("it goes on");
    let before = Time(until.0.saturating_sub(ms(1)));
    for now in [now, before.max(now)] {
        for _ in 0..100 {
            master.hear(ack.clone(), now);
        }
        assert!(master.sent.is_empty(), "{what}: {:?}", master.sent);
    }
}

#[test]
fn the_same_ack_again_is_not_answered() {
    let master = master_of(3);
    let follows = master.answer_of("a", 9, 3, 1);
    let cases: Vec<(&str, Ack)> = vec![
        ("it holds three", follows.clone()),
        ("it holds all", master.answer_of("a", 9, 5, 1)),
        ("less than before", master.answer_of("a", 9, 1, 1)),
        (
            "more than there is",
            Ack {
                upto: Seq(9),
                last: position(9, follows.epoch),
                ..follows.clone()
            },
        ),
        (
            "it holds back",
            Ack {
                held_from: Some(Seq(5)),
                ..follows.clone()
            },
        ),
        (
            "an error",
            Ack {
                error: Some("the disk is full".into()),
                ..follows.clone()
            },
        ),
        (
            "not shown yet",
            Ack {
                upto: Seq::ZERO,
                ..follows.clone()
            },
        ),
        (
            "an earlier epoch",
            Ack {
                epoch: epoch(0, 1),
                upto: Seq::ZERO,
                ..follows.clone()
            },
        ),
        (
            "a tail that contradicts",
            Ack {
                upto: Seq(2),
                last: position(4, epoch(0, 7)),
                ..follows.clone()
            },
        ),
        (
            "no history",
            Ack {
                log_id: None,
                epoch: epoch(0, 0),
                upto: Seq::ZERO,
                last: position(0, epoch(0, 0)),
                ..follows.clone()
            },
        ),
        (
            "another history",
            Ack {
                log_id: Some(log(77)),
                ..follows.clone()
            },
        ),
        ("another storage", master.position_of("a", 10, 3)),
        ("another storage that holds nothing", hello("a", 10)),
        (
            "goodbye",
            Ack {
                is_goodbye: true,
                ..follows
            },
        ),
    ];
    for (what, ack) in cases {
        is_heard_in_silence(master_of(3), &ack, what);
    }
}

/// What a clearing has left over is told at once that it may follow, and once.
#[test]
fn what_was_cleared_away_is_answered_once() {
    let mut master = master_of(3);
    let old = master.node.leadership();
    let clear = replog_protocol::leader::command::Command::Clear {
        log_id: log(77),
        waiter: crate::support::Client(9),
    };
    master.command(clear, at(3));
    let asleep = Ack {
        log_id: Some(old.log_id),
        epoch: old.epoch,
        upto: Seq(3),
        last: position(3, old.epoch),
        cleared: cleared(&[]),
        ..master.answer_of("a", 9, 0, 1)
    };
    is_heard_in_silence(master, &asleep, "cleared");
}

/// A storage that never answers is asked now and then, not with every word of it.
#[test]
fn a_storage_that_only_talks_costs_no_more_than_heartbeats() {
    let mut master = master_of(3);
    master.sent.clear();
    for now in 3..10_003 {
        master.hear(master.position_of("a", 9, 3), at(now));
        master.hear(master.position_of("a", 10, 3), at(now));
    }
    let asked = master.heartbeats("a").len();
    assert!((20..=45).contains(&asked), "{asked} in ten seconds");
}

/// Nor does it make a difference that somebody invents a new one each time.
#[test]
fn invented_storages_cost_no_more_than_heartbeats_and_shut_nobody_out() {
    let mut master = master_of(5);
    master.sent.clear();
    for now in 3..10_003u64 {
        master.hear(master.position_of("a", 1_000 + u128::from(now), 5), at(now));
        if now % 500 == 0 {
            master.hear(master.answer_of("a", 9, 5, 1), at(now));
        }
    }
    let asked = master.heartbeats("a").len();
    assert!((15..=45).contains(&asked), "{asked} in ten seconds");
    assert_eq!(master.acks(5), 2, "the one that counts goes on to count");
}

#[test]
fn an_idle_cluster_sends_heartbeats_and_their_acks_and_nothing_else() {
    let mut cluster = Cluster::settled("abc", 7);
    let from = cluster.now();
    cluster.run("1abc", 60_000);
    let (mut heartbeats, mut acks) = (0, 0);
    for sent in cluster.sent_since(from) {
        match &sent.out.to {
            Address::Heartbeat(_) => heartbeats += 1,
            Address::Ack(..) => acks += 1,
            other => panic!("{other:?} at {:?}", sent.at),
        }
    }
    assert_eq!(heartbeats, acks);
    assert!((3 * 119..=3 * 121).contains(&heartbeats), "{heartbeats}");
}

/// One that is dead costs a message for each backoff, and no event after the one that says so.
#[test]
fn a_cluster_with_a_member_that_is_away_is_as_quiet() {
    let mut cluster = Cluster::settled("abc", 7);
    drop(cluster.kill('a'));
    cluster.run("1bc", 10_000);
    let (from, events) = (cluster.now(), cluster.events('1').len());
    cluster.run("1bc", 60_000);
    let heartbeats = cluster
        .sent_since(from)
        .filter(|s| matches!(s.out.to, Address::Heartbeat(_)))
        .count();
    // The longest wait is 5 s, jitter halves it at most.
    assert!((240 + 11..=243 + 25).contains(&heartbeats), "{heartbeats}");
    assert_eq!(cluster.events('1').len(), events);
}

/// It is alive, and its disk is full: every answer says the same.
#[test]
fn entries_that_are_never_taken_are_sent_less_and_less_often() {
    let mut cluster = Cluster::settled("ab", 3);
    cluster.set_disk('a', Disk::Full);
    cluster.append('1', 3);
    cluster.run("1ab", 20_000);
    let from = cluster.now();
    cluster.run("1ab", 60_000);
    let is_append = |s: &&Sent| s.out.to == Address::Append(node("a"));
    let appends = cluster.sent_since(from).filter(is_append).count();
    // The longest wait is 5 s, jitter halves it at most.
    assert!((11..=25).contains(&appends), "{appends} in a minute");
    // And so it is where nothing of them arrives while the heartbeats do.
    let mut master = master_of(3);
    master.post(6, 2, at(3));
    master.sent.clear();
    for now in (500..=60_000).step_by(500) {
        master.idle(at(now - 500), at(now));
        let round = master.heartbeats("a").last().map_or(0, |h| h.round);
        master.hear(master.answer_of("a", 9, 3, round), at(now));
    }
    let appends = master.appends("a").len();
    assert!((11..=40).contains(&appends), "{appends} in a minute");
}
