//! The master: what it decides by itself, and what it believes of what it hears.

use replog_protocol::committed::Committed;
use replog_protocol::event::Event;
use replog_protocol::ids::Seq;
use replog_protocol::leader::LeaderConfig;
use replog_protocol::leader::command::{Answer, Append, Command, Unavailable, WaitEnd};
use replog_protocol::leader::health::Status;
use replog_protocol::leader::settings::MAX_NODES;
use replog_protocol::wire::Ack;
use replog_protocol::write_concern::WriteConcern;

use crate::support::hand::{Master, at_once, recovering_by, refused, serving, serving_by};
use crate::support::journal::Journal;
use crate::support::process::Disk;
use crate::support::{
    at, epoch, hello, leader_config, leadership, log, ms, node, position, post, request,
};

fn not_replicated(master: &Master, client: u32) -> (u32, WaitEnd) {
    match master.answer(client) {
        Some(Answer::NotReplicated { acks, because, .. }) => (*acks, *because),
        other => panic!("client {client} is told {other:?}"),
    }
}

#[test]
fn a_retry_of_what_is_held_is_answered_without_waiting_for_anybody() {
    let mut master = serving(Some(&["a"]));
    master.post(7, 1, at(0));
    assert_eq!(master.replicated(7), Some(1));
    // Nothing else happens: no ACK ever comes.
    master.command(post(7, 1, 8), at(1));
    match master.answer(8) {
        Some(Answer::Replicated { appended, acks: 1 }) => {
            assert!(appended.duplicate);
            assert_eq!((appended.first, appended.last), (Seq(1), Seq(1)));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn time_that_is_up_at_once_still_counts_what_is_held() {
    let mut master = serving(Some(&["a"]));
    for (id, w) in [(1, 1), (2, 2)] {
        let append = Append {
            timeout: Some(ms(0)),
            ..request(id.into(), w, id)
        };
        master.command(Command::Append(append), at(0));
    }
    assert_eq!(master.replicated(1), Some(1));
    assert_eq!(not_replicated(&master, 2), (1, WaitEnd::Timeout));
}

/// An acknowledged entry is always on the master's own disk, and nobody else has it before.
#[test]
fn entries_leave_while_they_are_written_and_nobody_is_answered_before() {
    let mut master = serving(Some(&["a"]));
    master.join("a", 1, 0, at(1));
    master.disk = Disk::Slow;
    master.post(1, 1, at(2));
    master.post(2, 2, at(2));
    let sent = master.appends("a");
    let last = sent.last().expect("somebody waits for it");
    assert_eq!(
        (last.last(), last.tail, &last.committed),
        (Seq(2), Seq(2), &Committed::default())
    );
    // The secondary is faster than the master's own disk: that counts for nobody yet.
    master.hear(master.answer_of("a", 1, 2, 0), at(3));
    assert!(master.replies.is_empty());
    assert_eq!(master.node.committed(), &Committed::default());
    assert_eq!(master.snapshot.clone().map(|s| s.last), Some(Seq::ZERO));
    // What comes while the disk writes is written in one go afterwards.
    master.post(3, 1, at(400));
    master.write_done(at(401));
    assert_eq!(
        (master.replicated(1), master.replicated(2)),
        (Some(2), None)
    );
    let job = master.writing.as_ref().expect("the next write");
    assert_eq!(job.entries.iter().map(|b| b.count()).sum::<u64>(), 2);
    master.write_done(at(402));
    assert_eq!(master.replicated(2), Some(2));
    let committed = Committed::new([Seq(3), Seq(2)], Seq(2), Seq(2));
    assert_eq!(master.node.committed(), &committed);
}

/// A journal that another master may have written to first.
/// Nobody waits for such an entry, and a busy moment brings others along.
#[test]
fn what_nobody_waits_for_is_sent_a_little_later_and_together() {
    let mut master = serving(Some(&["a"]));
    master.join("a", 1, 0, at(1));
    (1..=3).for_each(|id| master.post(id, 1, at(2)));
    assert!(master.appends("a").is_empty());
    master.idle(at(2), at(4));
    let sent = master.appends("a");
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].last(), Seq(3));
    // With somebody waiting they leave at once, and those before go along.
    master.post(4, 1, at(5));
    master.post(5, 2, at(5));
    let last = master.appends("a").pop().map(|frame| frame.last());
    assert_eq!(last, Some(Seq(5)));
}

#[test]
fn an_ack_of_a_former_epoch_counts_for_nothing() {
    let mut master = serving(Some(&["a"]));
    master.join("a", 9, 0, at(1));
    master.post(1, 2, at(1));
    let current = master.answer_of("a", 9, 1, 0);
    let former = Ack {
        epoch: epoch(0, 1),
        ..current.clone()
    };
    master.hear(former, at(2));
    assert_eq!(master.answer(1), None);
    // Nor does one of another master's epoch of the same number, if it is the lower one of the two.
    let twin = Ack {
        epoch: epoch(1, 1),
        ..current.clone()
    };
    master.hear(twin, at(2));
    assert_eq!(master.answer(1), None);
    master.hear(current, at(3));
    assert_eq!(master.replicated(1), Some(2));
}

#[test]
fn nobody_holds_what_was_never_sent() {
    let mut master = serving(Some(&["a"]));
    master.join("a", 9, 0, at(1));
    master.post(1, 1, at(1));
    master.hear(master.answer_of("a", 9, 7, 0), at(2));
    assert_eq!((master.acks(1), master.acks(7)), (1, 0));
    // Held back is not held.
    let hole = Ack {
        held_from: Some(Seq(1)),
        ..master.answer_of("a", 9, 0, 0)
    };
    master.hear(hole, at(3));
    assert_eq!(master.acks(1), 1);
}

/// Observers replicate, and never count.
#[test]
fn who_is_not_listed_counts_for_nothing() {
    let mut master = serving(Some(&["a"]));
    master.join("x", 5, 0, at(1));
    master.post(1, 2, at(1));
    assert_eq!(master.appends("x").len(), 1);
    master.hear(master.answer_of("x", 5, 1, 0), at(2));
    assert_eq!((master.acks(1), master.answer(1)), (1, None));
    let joined = master.events.iter().find_map(|e| match e {
        Event::Joined { node: x, member } if *x == node("x") => Some(*member),
        _ => None,
    });
    assert_eq!(joined, Some(false));
}

#[test]
fn more_nodes_than_there_are_is_refused_before_the_append() {
    let mut master = serving(Some(&["a"]));
    master.post(1, 3, at(1));
    let Some(Answer::Refused(error)) = master.answer(1) else {
        panic!("{:?}", master.answer(1));
    };
    assert!(error.to_string().contains("from 1 to 2"), "{error}");
    assert_eq!(master.node.log().last().seq, Seq::ZERO);
    // With open membership a number is waited for, however high.
    let mut open = serving(None);
    open.post(1, 3, at(1));
    assert_eq!((open.answer(1), open.node.waiting()), (None, 1));
    let all = Append {
        w: WriteConcern::All,
        ..request(2, 1, 2)
    };
    open.command(Command::Append(all), at(2));
    assert_eq!(open.replicated(2), Some(1), "nobody else is there");
}

#[test]
fn two_masters_without_entries_do_not_outshout_each_other() {
    let mut master = serving(Some(&["a"]));
    master.join("a", 9, 0, at(1));
    master.sent.clear();
    for now in 2..=1_000 {
        // It holds nothing, and has just been told of the other one's history.
        let ack = Ack {
            log_id: Some(log(77)),
            ..master.answer_of("a", 9, 0, 0)
        };
        master.hear(ack, at(now));
    }
    let heartbeats = master.heartbeats("a").len();
    assert!((1..=20).contains(&heartbeats), "{heartbeats} in a second");
}

#[test]
fn whoever_asks_again_while_the_master_is_fenced_does_not_wait_for_ever() {
    let mut master = serving(Some(&["a"]));
    master.join("a", 9, 0, at(1));
    master.post(1, 1, at(1));
    master.post(2, 2, at(1));
    let other = Ack {
        epoch: epoch(2, 1),
        ..master.position_of("a", 9, 0)
    };
    master.hear(other, at(2));
    assert_eq!(master.unavailable(at(2)), Some(Unavailable::Fenced));
    let by = (2, Some(node("a")));
    assert!(master.events.iter().any(
        |e| matches!(e, Event::Fenced { by_epoch, heard_from } if (*by_epoch, heard_from.clone()) == by)
    ));
    assert_eq!(not_replicated(&master, 2), (1, WaitEnd::Fenced));
    master.command(post(1, 1, 3), at(3));
    assert_eq!(master.replicated(3), Some(1), "held by as many as it asks");
    master.command(post(1, 2, 4), at(3));
    assert_eq!(not_replicated(&master, 4), (1, WaitEnd::Fenced));
    master.post(5, 1, at(4));
    assert_eq!(master.answer(5), Some(&refused(Unavailable::Fenced)));
    // And nobody is to follow it any more.
    master.sent.clear();
    master.events.clear();
    master.idle(at(4), at(20_000));
    assert!(master.sent.is_empty(), "{:?}", master.sent);
    assert!(master.events.is_empty(), "{:?}", master.events);
}

#[test]
fn a_quorum_that_is_lost_and_found_is_told_once_each() {
    let config = LeaderConfig {
        read_only_without_quorum: true,
        ..leader_config(2, Some(&["a", "b"]))
    };
    let mut master = recovering_by(at_once(config), Journal::default());
    master.link_up(at(0));
    for now in (0..=20_000).step_by(100) {
        master.tick(at(now));
        if !(5_000..12_000).contains(&now) {
            let round = master.heartbeats("a").last().map_or(0, |h| h.round);
            master.hear(master.answer_of("a", 9, 0, round), at(now));
        }
    }
    let told = master.events.iter().map(Event::kind);
    let told: Vec<&str> = told.filter(|kind| kind.starts_with("read_only")).collect();
    // At its start it has not heard anybody yet.
    assert_eq!(told, [["read_only_on", "read_only_off"]; 2].concat());
}

#[test]
fn names_beyond_all_bounds_are_ignored_and_counted() {
    let mut master = serving(None);
    for i in 0..1100 {
        master.hear(hello(&format!("n{i}"), 9), at(i));
    }
    assert_eq!(master.node.peers().iter().count(), MAX_NODES);
    assert_eq!(master.node.peers().ignored(), 1100 - MAX_NODES as u64);
    assert!(master.node.peers().get(&node("n1099")).is_none());
}

#[test]
fn a_full_waiting_room_refuses_only_who_has_to_wait() {
    let mut config = leader_config(2, Some(&["a"]));
    config.replication.max_waiting = 2;
    let mut master = serving_by(config, Journal::default());
    for id in 1..=3 {
        master.post(id, 2, at(1));
    }
    assert_eq!(
        master.answer(3),
        Some(&refused(Unavailable::TooManyWaiting))
    );
    master.post(4, 1, at(2));
    assert_eq!(master.replicated(4), Some(1), "it waits for nobody");
    // A place is free again when somebody was answered.
    master.join("a", 9, 0, at(3));
    master.hear(master.answer_of("a", 9, 1, 0), at(4));
    assert_eq!(master.replicated(1), Some(2));
    master.post(5, 2, at(5));
    assert_eq!(master.answer(5), None);
}

/// Alive, with other entries under another history: it counts for nothing and is told so to operators.
#[test]
fn another_history_is_diverged_until_it_gives_way() {
    let mut master = serving(Some(&["a"]));
    master.post(1, 1, at(0));
    let other = Ack {
        log_id: Some(log(77)),
        epoch: leadership(77, 3, 3).epoch,
        upto: Seq(4),
        last: position(4, epoch(3, 3)),
        ..hello("a", 9)
    };
    master.hear(other.clone(), at(1));
    let round = master.heartbeats("a").pop().expect("it is asked").round;
    let answers = master.answer_of("a", 9, 0, round).answers;
    master.hear(Ack { answers, ..other }, at(2));
    let status = |master: &Master| {
        let peer = master.node.peers().get(&node("a")).expect("known");
        (peer.status(at(2)), peer.other_history())
    };
    assert_eq!(status(&master), (Status::Diverged, Some(log(77))));
    assert_eq!(master.acks(1), 1);
    assert!(master.events.iter().any(|e| e.kind() == "diverged"));
    master.hear(master.answer_of("a", 9, 1, round), at(3));
    assert_eq!(status(&master), (Status::Healthy, None));
    assert_eq!(master.acks(1), 2);
}
