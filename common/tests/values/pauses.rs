//! The master's own pauses, and its idleness, in short conversations.

use std::time::Duration;

use replog_common::protocol::health::Status;
use replog_common::protocol::leader::{Leader, LeaderConfig};
use replog_common::protocol::outcome::{Outcome, ReadOnly, Refusal};
use replog_common::protocol::settings::Replication;
use replog_common::types::{Seq, Time};

use crate::made::{self, at, config, draft, hello, life, node, send_all};

fn leader(replication: Replication) -> Leader<u32> {
    Leader::new(LeaderConfig {
        replication,
        ..config(life(1, 1, 2), Some(&["s1"]))
    })
}

#[test]
fn a_retry_of_what_is_replicated_is_answered_at_once() {
    let mut leader = leader(Replication::default());
    leader
        .append(draft(3, 1), 1, at(1), |_| None)
        .expect("it is taken");
    let staged = leader.take_staged();
    leader.stored(Seq(1));
    assert!(leader.poll_answer().is_some(), "the first one");
    let entry = staged[0].clone();
    let retry = leader.append(draft(3, 1), 2, at(2), |_| Some(entry.clone()));
    assert!(retry.expect("it joins").duplicate);
    // Nothing else happens: no ACK ever comes.
    let answer = leader.poll_answer().expect("it is answered");
    assert_eq!(
        (answer.waiter, answer.outcome),
        (2, Outcome::Replicated { acks: 1 })
    );
}

/// Follows the leader's own deadlines, with nothing heard, up to `end`.
fn idle(leader: &mut Leader<u32>, from: Time, end: Time) {
    let mut now = from;
    while now <= end {
        leader.tick(now);
        while let Some((node, _)) = leader.poll_transmit() {
            leader.sent(&node, None, now);
        }
        now = leader.deadline(now).expect("a member is waited for");
    }
}

#[test]
fn a_master_with_only_dead_members_does_not_take_its_idleness_for_a_pause() {
    let mut leader = leader(Replication {
        retry_min: Duration::from_secs(4), // longer than `suspect_after`
        ..Replication::default()
    });
    leader.link_up(at(1));
    leader.ack(&hello("s1"), at(1));
    idle(&mut leader, at(1), at(5100));
    assert_eq!(leader.status(&node("s1"), at(5100)), Status::Unhealthy);
}

#[test]
fn an_ack_read_before_a_pause_is_noticed_is_not_put_into_the_future() {
    let mut leader = leader(Replication::default());
    leader.link_up(at(1));
    leader.ack(&hello("s1"), at(1));
    leader.tick(at(1));
    // Stopped for a minute; the ACK that lay in the socket is read first.
    leader.ack(&hello("s1"), at(60_000));
    leader.tick(at(60_000));
    assert!(
        !leader.has_quorum(at(60_000)),
        "not before it is heard again"
    );
    let s1 = node("s1");
    assert_eq!(leader.status(&s1, at(61_000)), Status::Healthy);
    assert_eq!(leader.status(&s1, at(62_000)), Status::Suspected);
    let (node, _) = leader.poll_transmit().expect("it asks at once");
    leader.sent(&node, None, at(60_000));
    // This one may have been on its way before; the answer to the next heartbeat cannot.
    leader.ack(&hello("s1"), at(60_010));
    assert!(!leader.has_quorum(at(60_010)));
    leader.tick(at(60_500));
    leader.sent(&node, None, at(60_500));
    leader.ack(&hello("s1"), at(60_510));
    assert!(leader.has_quorum(at(60_510)));
}

#[test]
fn without_a_broker_silence_is_not_held_against_a_secondary() {
    let mut leader = leader(Replication::default());
    leader.link_up(at(1));
    leader.ack(&hello("s1"), at(1));
    leader.link_down(at(100));
    assert_eq!(leader.status(&node("s1"), at(600_000)), Status::Healthy);
    assert!(!leader.has_quorum(at(600_000)), "and yet nobody is reached");
    leader.link_up(at(600_000));
    assert_eq!(leader.status(&node("s1"), at(600_100)), Status::Healthy);
    assert_eq!(leader.status(&node("s1"), at(606_000)), Status::Unhealthy);
}

/// The first thing it notices may be that its link broke meanwhile; and then it knows even less.
#[test]
fn a_master_that_was_stopped_and_lost_its_link_takes_nothing_before_it_has_asked() {
    let mut leader = leader(Replication::default());
    leader.link_up(at(0));
    leader.ack(&hello("s1"), at(1));
    let append = |leader: &mut Leader<u32>, id: u128, now: Time| {
        leader
            .append(draft(id, 1), 1, now, |_| None)
            .map_err(|(r, _)| r)
    };
    append(&mut leader, 1, at(2)).expect("it is the master");
    leader.link_down(at(10_000));
    let recovering = Err(Refusal::ReadOnly(ReadOnly::Recovering));
    assert_eq!(append(&mut leader, 2, at(10_001)), recovering, "at once");
    // However long the broker stays away.
    let mut now = at(10_001);
    while now < at(60_000) {
        leader.tick(now);
        assert_eq!(append(&mut leader, 2, now), recovering);
        now = leader.deadline(now).expect("it looks at the clock");
    }
    leader.link_up(at(60_000));
    assert_eq!(append(&mut leader, 2, at(60_001)), recovering);
    for ms in (60_000..62_000).step_by(100) {
        leader.tick(at(ms));
    }
    append(&mut leader, 2, at(62_000)).expect("nobody has said that there is another one");
}

/// That is another thing than a broker that is away while the master looks on.
#[test]
fn without_a_broker_it_goes_on_alone() {
    let mut leader = leader(Replication::default());
    leader.link_up(at(0));
    leader.ack(&hello("s1"), at(1));
    leader.link_down(at(100));
    let mut now = at(100);
    while now < at(60_000) {
        leader.tick(now);
        assert_eq!(leader.read_only(now), None);
        now = leader.deadline(now).expect("it looks at the clock");
    }
}

#[test]
fn after_its_own_pause_it_trusts_no_quorum_until_it_hears() {
    let mut leader = Leader::<u32>::new(LeaderConfig {
        read_only_without_quorum: true,
        ..config(life(1, 1, 2), Some(&["a", "b"]))
    });
    leader.link_up(at(0));
    send_all(&mut leader, at(0));
    for name in ["a", "b"] {
        leader.ack(&hello(name), at(10));
    }
    let placed = leader.append(draft(1, 1), 1, at(20), |_| None);
    placed.expect("everybody lives");
    // Stopped for a minute; the first thing that comes is a client.
    let (refusal, _) = leader
        .append(draft(2, 1), 2, at(60_000), |_| None)
        .expect_err("it was stopped");
    assert_eq!(refusal, Refusal::ReadOnly(ReadOnly::Recovering));
    let status = leader.status(&node("a"), at(60_000));
    assert_eq!(status, Status::Healthy, "the silence was the master's own");
    leader.ack(&hello("a"), at(60_001));
    leader
        .append(draft(2, 1), 2, at(60_001), |_| None)
        .expect_err("that may have lain in the socket all the time");
    leader.tick(at(60_001));
    send_all(&mut leader, at(60_001));
    leader.ack(&hello("a"), at(60_002));
    leader
        .append(draft(2, 1), 2, at(60_002), |_| None)
        .expect_err("and so may this, read after the question and sent before it");
    leader.tick(at(60_501));
    send_all(&mut leader, at(60_501));
    leader.ack(&hello("a"), at(60_502));
    leader
        .append(draft(2, 1), 2, at(60_502), |_| None)
        .expect_err("the other one may answer that somebody else is the master");
    for ms in (60_600..=61_501).step_by(100) {
        leader.tick(at(ms));
    }
    let placed = leader.append(draft(2, 1), 2, at(61_501), |_| None);
    placed.expect("the round is through, and a majority was heard");
}

#[test]
fn a_quiet_master_does_not_credit_a_newcomer_with_its_own_silence() {
    let mut leader = made::leader(life(1, 1, 2), None);
    leader.link_up(at(0));
    leader.tick(at(1));
    // Nobody is there for ten minutes, so nothing has to be done; then one joins and dies.
    leader.ack(&hello("a"), at(600_000));
    leader.tick(at(600_000));
    assert_eq!(leader.status(&node("a"), at(600_100)), Status::Healthy);
    assert_eq!(leader.status(&node("a"), at(606_000)), Status::Unhealthy);
}

#[test]
fn the_long_waits_of_a_dead_secondary_are_no_pause_of_the_master() {
    let mut leader = made::leader(life(1, 1, 2), None);
    leader.link_up(at(0));
    leader.ack(&hello("a"), at(10));
    let (mut now, mut heartbeats) = (at(10), 0);
    while now < at(600_000) {
        leader.tick(now);
        heartbeats += send_all(&mut leader, now);
        now = leader.deadline(now).expect("it asks for ever");
        if now > at(5_100) {
            assert_eq!(leader.status(&node("a"), now), Status::Unhealthy, "{now:?}");
        }
    }
    // The longest wait is 5 s, jitter halves it at most.
    assert!((120..=260).contains(&heartbeats), "{heartbeats}");
}
