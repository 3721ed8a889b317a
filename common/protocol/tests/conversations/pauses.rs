//! The master's own pauses, and its idleness.

use replog_protocol::ids::{Seq, Time};
use replog_protocol::leader::LeaderConfig;
use replog_protocol::leader::command::Unavailable;
use replog_protocol::leader::health::Status;
use replog_protocol::leader::phase::Phase;
use replog_protocol::wire::Address;

use crate::support::cluster::Cluster;
use crate::support::hand::{Master, refused, serving, serving_by};
use crate::support::journal::Journal;
use crate::support::{at, leader_config, ms, node};

fn status(master: &Master, name: &str, now: Time) -> Status {
    let peer = master.node.peers().get(&node(name)).expect("it is known");
    peer.status(now)
}

/// What the secondary says that has heard the last heartbeat.
fn answer(master: &mut Master, name: &str, now: Time) {
    let round = master.heartbeats(name).last().map_or(0, |h| h.round);
    let upto = master.journal.last().0;
    master.hear(master.answer_of(name, 9, upto, round), now);
}

#[test]
fn a_master_with_only_dead_members_does_not_take_its_idleness_for_a_pause() {
    let mut config = leader_config(2, Some(&["s1"]));
    config.replication.retry_min = ms(4_000); // longer than `suspect_after`
    let mut master = serving_by(config, Journal::default());
    master.join("s1", 9, 0, at(1));
    master.idle(at(1), at(5_100));
    assert_eq!(status(&master, "s1", at(5_100)), Status::Unhealthy);
    assert!(matches!(master.node.phase(), Phase::Serving));
}

/// A busy machine is no suspended one.
#[test]
fn a_gap_of_less_than_suspect_after_is_no_pause() {
    let mut master = serving(Some(&["a"]));
    master.join("a", 9, 0, at(1));
    master.tick(at(801));
    assert_eq!(master.unavailable(at(801)), None);
    master.post(1, 1, at(1_600));
    assert_eq!(master.replicated(1), Some(1));
    // However short that is set, a pause is a second at least.
    let mut config = leader_config(2, Some(&["a"]));
    config.replication.heartbeat_interval = ms(20);
    config.replication.suspect_after = ms(60);
    let mut quick = serving_by(config, Journal::default());
    quick.join("a", 9, 0, at(1));
    quick.tick(at(801));
    assert_eq!(quick.unavailable(at(801)), None);
    quick.tick(at(1_900));
    assert_eq!(quick.unavailable(at(1_900)), Some(Unavailable::Recovering));
}

/// There is nobody who could have followed another master.
#[test]
fn with_nobody_known_a_pause_stops_nothing() {
    for link_is_up in [true, false] {
        let mut master = serving(None);
        master.tick(at(1));
        if !link_is_up {
            master.link_down(at(2));
        }
        master.post(1, 1, at(60_000));
        assert_eq!(master.replicated(1), Some(1));
    }
}

#[test]
fn after_a_pause_nothing_is_appended_before_a_round_of_heartbeats() {
    let mut master = serving(Some(&["a"]));
    master.join("a", 9, 0, at(1));
    master.post(1, 1, at(2));
    answer(&mut master, "a", at(3));
    // Stopped for a minute; the first thing that comes is a client. It waits until it is clear that this is the master.
    master.post(2, 1, at(60_000));
    assert_eq!(
        master.unavailable(at(60_000)),
        Some(Unavailable::Recovering)
    );
    assert_eq!(
        (master.answer(2), master.node.log().last().seq),
        (None, Seq(1))
    );
    // What is in the log already is answered all the same.
    master.command(crate::support::post(1, 1, 10), at(60_000));
    assert_eq!(master.replicated(10), Some(1).max(Some(2)));
    answer(&mut master, "a", at(60_001));
    master.tick(at(60_499));
    assert_eq!(master.answer(2), None, "the round is not through");
    master.idle(at(60_499), at(60_500));
    assert_eq!(master.unavailable(at(60_500)), None);
    assert_eq!(master.replicated(2), Some(1));
    // With a secondary that is alive and does not answer, the round takes as long as it may be late.
    master.sent.clear();
    master.post(3, 1, at(120_000));
    master.idle(at(120_000), at(121_499));
    assert_eq!(master.answer(3), None);
    master.idle(at(121_499), at(121_500));
    assert_eq!(master.replicated(3), Some(1));
    assert_eq!(status(&master, "a", at(121_500)), Status::Suspected);
}

#[test]
fn nobody_waits_longer_than_five_seconds_for_that() {
    let mut master = serving(Some(&["a"]));
    master.join("a", 9, 0, at(1));
    master.link_down(at(2));
    master.post(1, 1, at(60_000));
    master.idle(at(60_000), at(64_999));
    assert_eq!(master.answer(1), None);
    master.idle(at(64_999), at(65_000));
    assert_eq!(master.answer(1), Some(&refused(Unavailable::Recovering)));
    assert_eq!(master.node.log().last().seq, Seq::ZERO);
}

#[test]
fn an_ack_read_before_a_pause_is_noticed_is_not_put_into_the_future() {
    let mut master = serving(Some(&["s1"]));
    master.join("s1", 9, 0, at(1));
    // Stopped for a minute; the ACK that lay in the socket is read first.
    let late = master.answer_of("s1", 9, 0, 1);
    master.sent.clear();
    master.hear(late.clone(), at(60_000));
    assert!(
        !master.node.has_quorum(at(60_000)),
        "not before it is heard again"
    );
    assert_eq!(status(&master, "s1", at(61_000)), Status::Healthy);
    assert_eq!(status(&master, "s1", at(62_000)), Status::Suspected);
    assert_eq!(master.heartbeats("s1").len(), 1, "it asks at once");
    // This one may have been on its way before; the answer to the next heartbeat cannot.
    master.hear(late, at(60_010));
    assert!(!master.node.has_quorum(at(60_010)));
    answer(&mut master, "s1", at(60_020));
    assert!(master.node.has_quorum(at(60_020)));
}

#[test]
fn without_a_broker_silence_is_not_held_against_a_secondary() {
    let mut master = serving(Some(&["s1"]));
    master.join("s1", 9, 0, at(1));
    master.link_down(at(100));
    master.idle(at(100), at(60_000));
    assert_eq!(status(&master, "s1", at(60_000)), Status::Healthy);
    assert!(
        !master.node.has_quorum(at(60_000)),
        "and yet nobody is reached"
    );
    master.link_up(at(60_000));
    assert_eq!(status(&master, "s1", at(60_100)), Status::Healthy);
    master.idle(at(60_000), at(66_000));
    assert_eq!(status(&master, "s1", at(66_000)), Status::Unhealthy);
}

/// The first thing it notices may be that its link broke meanwhile; and then it knows even less.
#[test]
fn a_master_that_was_stopped_and_lost_its_link_takes_nothing_before_it_has_asked() {
    let mut master = serving(Some(&["s1"]));
    master.join("s1", 9, 0, at(1));
    master.post(1, 1, at(2));
    master.link_down(at(10_000));
    // However long the broker stays away.
    for (client, now) in (20..).zip((10_001..30_000).step_by(1_000)) {
        master.post(client, 1, at(now));
        master.idle(at(now), at(now + 999));
    }
    master.idle(at(30_000), at(40_000));
    assert!((20..40).all(|c| master.answer(c) == Some(&refused(Unavailable::Recovering))));
    master.link_up(at(40_000));
    master.post(50, 1, at(40_001));
    assert_eq!(
        master.unavailable(at(40_001)),
        Some(Unavailable::Recovering)
    );
    master.idle(at(40_001), at(42_000));
    assert_eq!(
        master.replicated(50),
        Some(1),
        "nobody has said that there is another one"
    );
}

/// That is another thing than a broker that is away while the master looks on.
#[test]
fn without_a_broker_it_goes_on_alone() {
    let mut master = serving(Some(&["s1"]));
    master.join("s1", 9, 0, at(1));
    master.link_down(at(100));
    for (client, now) in (1..).zip((100..60_000).step_by(500)) {
        master.idle(at(now), at(now + 499));
        master.post(client, 1, at(now + 499));
        assert_eq!(master.replicated(client), Some(1));
    }
}

#[test]
fn after_its_own_pause_it_trusts_no_quorum_until_it_hears() {
    let config = LeaderConfig {
        read_only_without_quorum: true,
        ..leader_config(2, Some(&["a", "b"]))
    };
    let mut master = crate::support::hand::recovering_by(
        crate::support::hand::at_once(config),
        Journal::default(),
    );
    master.link_up(at(0));
    for name in ["a", "b"] {
        master.join(name, 9, 0, at(10));
    }
    master.post(1, 1, at(20));
    assert_eq!(master.replicated(1), Some(1), "everybody lives");
    let late = master.answer_of("a", 9, 1, 1);
    master.sent.clear();
    // Stopped for a minute. What lay in the socket all the time says nothing of now.
    master.hear(late.clone(), at(60_000));
    master.idle(at(60_000), at(61_400));
    master.hear(late, at(61_401));
    master.idle(at(61_401), at(61_500));
    assert_eq!(status(&master, "a", at(61_500)), Status::Healthy);
    assert_eq!(master.unavailable(at(61_500)), Some(Unavailable::NoQuorum));
    master.post(2, 1, at(61_500));
    assert_eq!(master.answer(2), Some(&refused(Unavailable::NoQuorum)));
    answer(&mut master, "a", at(61_501));
    master.post(3, 1, at(61_502));
    assert_eq!(master.replicated(3), Some(1));
}

#[test]
fn a_quiet_master_does_not_credit_a_newcomer_with_its_own_silence() {
    let mut master = serving(None);
    // Nobody is there for ten minutes, so nothing has to be done; then one joins and dies.
    master.idle(at(1), at(600_000));
    master.join("a", 9, 0, at(600_000));
    assert_eq!(status(&master, "a", at(600_100)), Status::Healthy);
    assert_eq!(status(&master, "a", at(606_000)), Status::Unhealthy);
}

#[test]
fn the_long_waits_of_a_dead_secondary_are_no_pause_of_the_master() {
    let mut master = serving(None);
    master.join("a", 9, 0, at(10));
    master.sent.clear();
    for now in (10..600_000).step_by(10_000) {
        master.idle(at(now), at(now + 10_000));
        assert_eq!(status(&master, "a", at(now + 10_000)), Status::Unhealthy);
        assert_eq!(master.unavailable(at(now + 10_000)), None);
    }
    // The longest wait is 5 s, jitter halves it at most.
    let heartbeats = master.heartbeats("a").len();
    assert!((120..=260).contains(&heartbeats), "{heartbeats}");
}

/// Another master took over while the first one was stopped; its secondaries say so before it acknowledges anything.
#[test]
fn a_master_that_was_stopped_while_another_one_took_over_appends_nothing() {
    let mut cluster = Cluster::settled("ab", 3);
    cluster.suspend('1');
    cluster.master('2', "ab");
    cluster.run("2ab", 5_000);
    assert_eq!(cluster.unavailable('2'), None);
    let from = cluster.now();
    cluster.resume('1');
    let client = cluster.append('1', 1);
    cluster.run("12ab", 5_000);
    assert_eq!(cluster.unavailable('1'), Some(Unavailable::Fenced));
    assert_eq!(
        cluster.answer('1', client),
        Some(&refused(Unavailable::Fenced))
    );
    assert_eq!(cluster.journal('1').last(), Seq(3));
    let sent = cluster.sent_since(from).filter(|s| s.from == '1');
    let appends = sent.filter(|s| matches!(s.out.to, Address::Append(_)));
    assert_eq!(appends.count(), 0);
}
