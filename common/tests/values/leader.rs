//! The leader alone: what it decides without anybody else.

#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use replog_common::message::Ack;
use replog_common::protocol::health::Status;
use replog_common::protocol::leader::{Leader, LeaderConfig};
use replog_common::protocol::outcome::{Draft, Outcome};
use replog_common::types::{Epoch, Seq};

use crate::made::{
    self, at, config, draft, hello, incarnation, instance, life, log, node, send_all,
};

fn leader(listed: Option<&[&str]>, read_only_without_quorum: bool) -> Leader<u32> {
    Leader::new(LeaderConfig {
        read_only_without_quorum,
        ..config(life(1, 1, 2), listed)
    })
}

#[test]
fn a_retry_of_what_is_held_is_answered_without_waiting_for_anybody() {
    let mut leader = leader(Some(&[]), false);
    leader.append(draft(7, 1), 1, at(0), |_| None).unwrap();
    let staged = leader.take_staged();
    leader.stored(Seq(1));
    leader.tick(at(0));
    assert_eq!(leader.poll_answer().map(|a| a.waiter), Some(1));

    let existing = |_| staged.first().cloned();
    let placed = leader.append(draft(7, 1), 2, at(1), existing).unwrap();
    assert!(placed.duplicate);
    leader.tick(at(1));
    let answer = leader.poll_answer().expect("nobody else will speak");
    assert_eq!(
        (answer.waiter, answer.outcome),
        (2, Outcome::Replicated { acks: 1 })
    );
}

#[test]
fn time_that_is_up_at_once_still_counts_what_is_held() {
    let mut leader = leader(Some(&["a"]), false);
    for (id, w) in [(1, 1), (2, 2)] {
        let draft = Draft {
            until: Some(at(0)),
            ..draft(id, w)
        };
        leader.append(draft, w, at(0), |_| None).unwrap();
    }
    drop(leader.take_staged());
    leader.stored(Seq(2));
    leader.tick(at(0));
    let outcomes: Vec<_> = std::iter::from_fn(|| leader.poll_answer())
        .map(|a| a.outcome)
        .collect();
    assert_eq!(
        outcomes,
        [
            Outcome::Replicated { acks: 1 },
            Outcome::TimedOut { acks: 1 }
        ]
    );
}

fn ack_of(storage: u128, upto: u64) -> Ack {
    Ack {
        incarnation: incarnation(storage),
        log_id: Some(log(1)),
        epoch: Epoch(1),
        instance: Some(instance(2)),
        upto: Seq(upto),
        ..hello("a")
    }
}

#[test]
fn a_storage_whose_clock_stepped_back_is_taken_once_the_newer_one_is_silent() {
    let mut leader = leader(Some(&["a"]), false);
    leader.link_up(at(0));
    leader.append(draft(1, 1), 1, at(0), |_| None).unwrap();
    drop(leader.take_staged());
    leader.stored(Seq(1));
    leader.ack(&ack_of(9, 0), at(10));
    // It starts again, empty, with a clock that went back: to the master it looks like an older storage.
    let mut counted = Vec::new();
    for ms in (1_000..=12_000).step_by(500) {
        leader.tick(at(ms));
        send_all(&mut leader, at(ms));
        leader.ack(&ack_of(5, 1), at(ms));
        counted.extend((leader.commit().acks(Seq(1)) == 2).then_some(ms));
    }
    assert_eq!(leader.status(&node("a"), at(12_000)), Status::Healthy);
    let first = *counted.first().expect("it counts in the end");
    assert!(first > 5_010, "the newer one was heard lately: {first}");
}

#[test]
fn the_last_word_of_a_dead_storage_counts_for_nothing_however_late() {
    let mut leader = leader(Some(&["a"]), false);
    leader.link_up(at(0));
    leader.append(draft(1, 1), 1, at(0), |_| None).unwrap();
    drop(leader.take_staged());
    leader.stored(Seq(1));
    leader.ack(&ack_of(9, 0), at(10));
    for ms in (500..=20_000).step_by(500) {
        leader.tick(at(ms));
        send_all(&mut leader, at(ms));
    }
    leader.ack(&ack_of(5, 1), at(20_000));
    assert_eq!(leader.commit().acks(Seq(1)), 1);
    leader.ack(&ack_of(9, 0), at(20_100));
    assert_eq!(leader.commit().acks(Seq(1)), 1);
}

/// Else `w` would be counted from what a former life of the master was told, of entries that this one may not even have.
#[test]
fn an_ack_of_a_former_life_counts_for_nothing() {
    let mut leader = made::leader(life(1, 2, 2), Some(&["a"]));
    leader.link_up(at(0));
    leader.append(draft(1, 2), 7, at(0), |_| None).unwrap();
    let staged = leader.take_staged();
    leader.stored(staged[0].seq);
    let of_life = |epoch, start| Ack {
        epoch: Epoch(epoch),
        instance: Some(instance(start)),
        ..ack_of(9, 1)
    };
    leader.ack(&of_life(1, 1), at(1));
    assert_eq!(leader.poll_answer().map(|a| a.waiter), None);
    leader.ack(&of_life(2, 2), at(2));
    assert_eq!(leader.poll_answer().map(|a| a.waiter), Some(7));
}

#[test]
fn two_masters_without_entries_do_not_outshout_each_other() {
    let mut leader = leader(Some(&["a"]), false);
    leader.link_up(at(0));
    leader.tick(at(0));
    send_all(&mut leader, at(0));
    let mut sent = 0;
    for ms in 1..=1_000 {
        // It holds nothing, and has just been told of the other one's history.
        let ack = Ack {
            log_id: Some(log(77)),
            ..ack_of(9, 0)
        };
        leader.ack(&ack, at(ms));
        leader.tick(at(ms));
        sent += send_all(&mut leader, at(ms));
    }
    assert!(sent <= 20, "{sent} heartbeats in a second");
}

#[test]
fn whoever_asks_again_while_the_master_is_fenced_or_stops_does_not_wait_for_ever() {
    let overtaken = |leader: &mut Leader<u32>| {
        leader.ack(
            &Ack {
                epoch: Epoch(2),
                ..ack_of(9, 0)
            },
            at(1),
        );
    };
    for (end, expected) in [
        (
            &overtaken as &dyn Fn(&mut Leader<u32>),
            Outcome::Fenced { acks: 1 },
        ),
        (&|leader| leader.stop(), Outcome::Stopping { acks: 1 }),
    ] {
        let mut leader = leader(Some(&["a"]), false);
        leader.link_up(at(0));
        leader.append(draft(1, 1), 1, at(0), |_| None).unwrap();
        let staged = leader.take_staged();
        leader.stored(Seq(1));
        assert!(leader.poll_answer().is_some());
        end(&mut leader);
        let existing = |_| staged.first().cloned();
        leader
            .append(draft(1, 1), 2, at(2), existing)
            .expect("held");
        let held = leader.poll_answer().expect("held by as many as it asks");
        assert_eq!(held.outcome, Outcome::Replicated { acks: 1 });
        leader
            .append(draft(1, 2), 3, at(3), existing)
            .expect("in the log");
        let told = leader.poll_answer().expect("no ACK will ever count");
        assert_eq!(told.outcome, expected);
        assert!(leader.append(draft(2, 1), 4, at(4), existing).is_err());
    }
}

#[test]
fn a_quorum_that_is_lost_and_found_is_told_once_each() {
    let mut leader = leader(Some(&["a", "b"]), true);
    leader.link_up(at(0));
    for ms in (0..=20_000).step_by(100) {
        if !(5_000..12_000).contains(&ms) {
            leader.ack(&ack_of(9, 0), at(ms));
        }
        leader.tick(at(ms));
        send_all(&mut leader, at(ms));
    }
    let kinds: Vec<_> = std::iter::from_fn(|| leader.poll_event())
        .map(|e| e.kind())
        .filter(|kind| kind.starts_with("read_only"))
        .collect();
    // At its start it has not heard anybody yet.
    let twice = [["read_only_on", "read_only_off"]; 2];
    assert_eq!(kinds, twice.concat());
}

#[test]
fn names_beyond_all_bounds_are_ignored_and_that_is_told_once() {
    let mut leader = leader(None, false);
    leader.link_up(at(0));
    for i in 0..400 {
        let ack = hello(&format!("n{i}"));
        leader.ack(&ack, at(i));
    }
    assert_eq!(leader.members().count(), 256);
    let kinds = std::iter::from_fn(|| leader.poll_event()).map(|e| e.kind());
    assert_eq!(kinds.filter(|kind| *kind == "ignored").count(), 1);
}
