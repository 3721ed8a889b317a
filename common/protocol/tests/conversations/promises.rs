//! Masters that begin, and what secondaries promise them.

use std::time::Duration;

use replog_protocol::epochs::LogPosition;
use replog_protocol::hard_state::HardState;
use replog_protocol::ids::{Epoch, Leadership, LogId, MasterId, Seq};
use replog_protocol::leader::command::{Answer, Unavailable, WaitEnd};
use replog_protocol::leader::recovery::{Recovery, RecoverySettings, Requires};
use replog_protocol::wire::{Ack, MasterAnnouncement, MasterState, Message, Prepare};

use super::clearing::cleared_once;
use crate::support::cluster::Cluster;
use crate::support::hand::{Secondary, secondary, secondary_by};
use crate::support::{at, cleared, epoch, heartbeat, leadership, log, post};

/// A secondary with an empty log that has promised epoch 6 of history 1.
fn promised() -> Secondary {
    let mut empty = secondary("c");
    let prepare = Prepare {
        leader: leadership(1, 6, 5),
        cleared: cleared(&[]),
    };
    empty.message(Message::Prepare(prepare), at(1));
    empty
}

#[test]
fn a_promise_to_one_that_died_does_not_fence_its_successors() {
    let mut cluster = cleared_once();
    drop(cluster.kill('1'));
    // This one hears only who slept through the clearing, and dies before it serves.
    cluster.master('2', "ab");
    cluster.run("2b", 3_200);
    assert_eq!(cluster.ack('b').epoch.master, crate::support::master(2));
    drop(cluster.kill('2'));
    cluster.master('3', "ab");
    cluster.run("3ab", 9_000);
    assert_eq!(cluster.unavailable('3'), None);
    assert_eq!(cluster.leadership('3').log_id, log(77));
    assert_eq!(
        cluster.journal('b').entries,
        cluster.journal('3').entries,
        "it came over by itself"
    );
}

#[test]
fn nobody_is_fenced_by_a_promise_to_itself() {
    let mut cluster = cleared_once();
    drop(cluster.kill('1'));
    cluster.master('2', "ab");
    cluster.run("2b", 400);
    // B's promises are lost, and B is given up; A speaks.
    let prepare = |cluster: &Cluster| {
        let mut sent = cluster.trace.iter().rev();
        sent.find_map(|s| match &s.out.message {
            Message::Prepare(prepare) if s.from == '2' => Some(prepare.clone()),
            _ => None,
        })
    };
    while cluster.now() < at(9_000 + 3_300) {
        cluster.run("2", 50);
        if let Some(prepare) = prepare(&cluster) {
            cluster.step('b', Message::Prepare(prepare));
        }
    }
    cluster.run("2a", 10_000);
    assert_eq!(cluster.leadership('2').log_id, log(77));
    let promised = cluster.ack('b');
    cluster.step('2', Message::Ack(promised));
    assert_eq!(cluster.unavailable('2'), None);
}

#[test]
fn a_master_that_ends_for_another_one_leaves_that_one_unfenced() {
    let mut cluster = cleared_once();
    cluster.master('2', "b");
    cluster.run("2b", 3_100);
    let lives = MasterAnnouncement {
        leader: cluster.leadership('1'),
        state: MasterState::Serving,
        overtakes: None,
        url: None,
    };
    if cluster.unavailable('2').is_some() {
        cluster.step('2', Message::Announcement(lives));
        assert!(cluster.has_ended('2'));
    }
    cluster.run("1ab", 3_000);
    assert_eq!(cluster.unavailable('1'), None);
}

/// Its log is empty because only somebody was heard who held nothing of the history.
#[test]
fn an_empty_log_gives_way_to_a_latecomer_of_the_same_history() {
    for c_has_promised in [true, false] {
        let mut cluster = Cluster::new("bc");
        cluster.master('1', "bc");
        cluster.run("1b", 5_000);
        for _ in 0..3 {
            cluster.append('1', 1);
        }
        cluster.run("1b", 1_000);
        if !c_has_promised {
            // C has heard of the history, and has no entries yet.
            let first = heartbeat(cluster.leadership('1'));
            cluster.step('c', Message::Append(first));
        }
        drop(cluster.kill('1'));
        cluster.master('2', "bc");
        if c_has_promised {
            // Both are heard in time; B falls silent before it was asked.
            cluster.run("2bc", 400);
        }
        cluster.run("2c", 14_000);
        assert_eq!(cluster.unavailable('2'), None);
        assert_eq!(cluster.journal('2').last(), Seq::ZERO);
        let position = cluster.ack('b');
        cluster.step('2', Message::Ack(position));
        cluster.run("2bc", 9_000);
        assert_eq!(cluster.unavailable('2'), None);
        assert_eq!(cluster.journal('2').last(), Seq(3));
        assert_eq!(
            cluster.journal('b').rolled_back(),
            0,
            "nothing that was acknowledged"
        );
        assert_eq!(cluster.journal('c').entries, cluster.journal('2').entries);
    }
}

#[test]
fn who_holds_only_what_was_cleared_has_to_promise() {
    let mut cluster = cleared_once();
    // B has still not heard of the clearing when both are asked.
    cluster.master('2', "ab");
    cluster.run("2ab", 550);
    cluster.run("2a", 1_000);
    assert_eq!(cluster.unavailable('2'), None);
    // The former one goes on without knowing; B hears it before any heartbeat of the new one.
    cluster.command('1', post(70, 2, 70));
    cluster.run("1b", 6_000);
    let told = cluster.answer('1', 70);
    assert!(
        matches!(
            told,
            Some(Answer::NotReplicated {
                acks: 1,
                because: WaitEnd::Fenced,
                ..
            })
        ),
        "{told:?}"
    );
    assert_eq!(cluster.unavailable('1'), Some(Unavailable::Fenced));
}

/// What it heard before it was stopped, and what it was promised, may not be so any more.
#[test]
fn a_master_that_was_stopped_while_it_recovered_begins_again() {
    let mut cluster = Cluster::settled("a", 3);
    drop(cluster.kill('1'));
    // While it listened: the answers lie in its socket.
    cluster.master('2', "a");
    cluster.run("2a", 50);
    cluster.suspend('2');
    cluster.run("2a", 10_000);
    cluster.resume('2');
    cluster.run("2", 400);
    assert_eq!(cluster.unavailable('2'), Some(Unavailable::Recovering));
    drop(cluster.kill('2'));
    // While it asked for promises: somebody else was promised more meanwhile, and serves.
    cluster.master('3', "ab");
    cluster.run("3a", 2_990);
    cluster.suspend('3');
    cluster.master('4', "a");
    cluster.run("4a", 3_000);
    assert_eq!(cluster.unavailable('4'), None);
    let written = cluster.append('4', 2);
    cluster.run("4a", 100);
    assert_eq!(cluster.replicated('4', written), Some(2));
    cluster.resume('3');
    cluster.run("3a", 400);
    assert_eq!(cluster.unavailable('3'), Some(Unavailable::Recovering));
    // It finds the living one and ends; nothing that was acknowledged is touched.
    cluster.run("34a", 1_000);
    assert!(cluster.has_ended('3'));
    assert_eq!(cluster.unavailable('4'), None);
    assert_eq!(cluster.journal('a').last(), Seq(4));
}

#[test]
fn an_empty_secondary_that_has_promised_does_not_follow_the_former_master() {
    let mut cluster = Cluster::settled("ab", 3);
    cluster.run("1ab", 100);
    // C holds nothing of it, and is asked by the second master.
    cluster.master('2', "abc");
    cluster.run("2abc", 5_000);
    assert_eq!(cluster.unavailable('2'), None);
    cluster.restart('c');
    let refused = cluster.append('1', 2);
    cluster.run("1c", 3_000);
    assert_eq!(cluster.ack('c').epoch.master, crate::support::master(2));
    assert!(!matches!(
        cluster.answer('1', refused),
        Some(Answer::Replicated { .. })
    ));
}

#[test]
fn one_word_of_another_history_does_not_undo_a_promise() {
    let mut empty = secondary("c");
    let prepare = Prepare {
        leader: leadership(1, 6, 5),
        cleared: cleared(&[]),
    };
    empty.message(Message::Prepare(prepare), at(1));
    let former = heartbeat(leadership(1, 5, 4));
    empty.receive(former.clone(), at(2));
    assert_eq!(empty.node.position().epoch, epoch(6, 5));
    empty.receive(heartbeat(leadership(9, 1, 9)), at(3));
    assert_eq!(empty.node.position().log_id, Some(log(9)));
    empty.receive(former.clone(), at(4));
    assert_eq!(
        empty.node.position().log_id,
        Some(log(9)),
        "nor by way of another one"
    );
    // The promise is on its disk, too.
    let mut again = secondary_by("c", 10, empty.journal.clone());
    again.receive(former, at(5));
    assert_eq!(again.node.position().log_id, Some(log(9)));
    empty.receive(heartbeat(leadership(1, 6, 5)), at(6));
    assert_eq!(empty.node.position().epoch, epoch(6, 5));
}

#[test]
fn words_of_two_other_histories_do_not_undo_a_promise() {
    let mut empty = promised();
    empty.receive(heartbeat(leadership(9, 1, 9)), at(2));
    empty.receive(heartbeat(leadership(8, 2, 8)), at(3));
    assert_eq!(empty.node.position().log_id, Some(log(8)));
    let former = heartbeat(leadership(1, 5, 4));
    empty.receive(former.clone(), at(4));
    assert_eq!(empty.node.position().log_id, Some(log(8)));
    let mut again = secondary_by("c", 10, empty.journal.clone());
    again.receive(former, at(5));
    assert_eq!(again.node.position().log_id, Some(log(8)));
    // Back where it was promised, and away again: the other two are not forgotten either.
    empty.receive(heartbeat(leadership(1, 7, 7)), at(6));
    assert_eq!(empty.node.position().epoch, epoch(7, 7));
    empty.receive(heartbeat(leadership(8, 1, 3)), at(7));
    assert_eq!(empty.node.position().log_id, Some(log(1)));
}

#[test]
fn words_of_many_other_histories_do_not_undo_a_promise() {
    let mut empty = promised();
    for other in 100..140 {
        empty.receive(heartbeat(leadership(other, 7, 9)), at(2));
        assert_eq!(empty.node.position().log_id, Some(log(other)));
    }
    empty.receive(heartbeat(leadership(1, 5, 4)), at(3));
    assert_eq!(empty.node.position().log_id, Some(log(139)));
    // What is forgotten by now cannot be told from what never was: neither is followed, and whoever asks is told why not.
    empty.receive(heartbeat(leadership(200, 5, 4)), at(4));
    assert_eq!(empty.node.position().log_id, Some(log(139)));
    assert_eq!(empty.node.foreign(), Some(log(200)));
    empty.receive(heartbeat(leadership(201, 7, 9)), at(5));
    assert_eq!(empty.node.position().log_id, Some(log(201)));
}

/// Who says nothing of a clearing must not bring back what was cleared.
#[test]
fn a_history_that_was_cleared_does_not_come_back_by_way_of_another_one() {
    let mut empty = promised();
    let mut clearing = heartbeat(leadership(2, 7, 5));
    clearing.cleared = cleared(&[leadership(1, 6, 5)]);
    empty.receive(clearing, at(2));
    assert_eq!(empty.node.position().log_id, Some(log(2)));
    empty.receive(heartbeat(leadership(9, 1, 9)), at(3));
    assert_eq!(empty.node.position().log_id, Some(log(9)));
    for late in [leadership(1, 5, 4), leadership(1, 6, 5)] {
        empty.receive(heartbeat(late), at(4));
        assert_eq!(empty.node.position().log_id, Some(log(9)), "{late:?}");
    }
    // Somebody who could not know of the clearing goes on with it.
    empty.receive(heartbeat(leadership(1, 7, 7)), at(5));
    assert_eq!(empty.node.position().log_id, Some(log(1)));
}

/// The first releases remembered one history only.
#[test]
fn a_promise_that_was_stored_alone_is_read_as_the_first_of_several() {
    let one = leadership(1, 6, 5);
    let stored = HardState {
        log_id: Some(log(9)),
        epoch: epoch(1, 9),
        ..HardState::default()
    };
    let mut json = serde_json::to_value(&stored).expect("JSON");
    json["former"] = serde_json::to_value(one).expect("JSON");
    let read: HardState = serde_json::from_value(json).expect("today's form");
    assert_eq!(
        read.former.as_ref().and_then(|f| f.epoch_of(log(1))),
        Some(one.epoch)
    );
    let again = serde_json::to_string(&read).expect("JSON");
    assert_eq!(serde_json::from_str::<HardState>(&again).ok(), Some(read));
}

/// The first answer was a late word of who holds less by now, and then the history was cleared away.
#[test]
fn a_history_is_dropped_once_its_only_holder_has_left_it() {
    let said = |log_id: LogId, epoch: Epoch, last: LogPosition, replaced: &[Leadership]| Ack {
        log_id: Some(log_id),
        epoch,
        last,
        cleared: cleared(replaced),
        ..secondary("c").node.position()
    };
    let first = epoch(1, 1);
    let (empty, entry) = (
        LogPosition::default(),
        LogPosition {
            seq: Seq(1),
            epoch: first,
        },
    );
    let settings = RecoverySettings {
        timeout: Duration::from_secs(10),
        listen: Duration::ZERO,
        retry: Duration::from_secs(1),
        takeover: false,
        requires: Requires::Any,
    };
    let listed = [secondary("c").node.node().clone()].into();
    let mut recovery = Recovery::new(settings, MasterId::default(), Some(listed), None);
    recovery.link_up(at(0));
    recovery.ack(&said(log(1), first, entry, &[]), at(1));
    assert_eq!(recovery.tick(empty, at(1)), None);
    recovery.ack(&said(log(1), first, empty, &[]), at(2));
    assert_eq!(recovery.tick(empty, at(2)), None);
    assert_eq!(recovery.taking().map(|l| l.log_id), Some(log(1)));
    recovery.ack(
        &said(log(2), epoch(2, 1), empty, &[leadership(1, 1, 1)]),
        at(3),
    );
    assert_eq!(recovery.tick(empty, at(3)), None, "it was cleared away");
    assert_eq!(recovery.taking().map(|l| l.log_id), Some(log(2)));
}
