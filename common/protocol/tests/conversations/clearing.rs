//! `POST /clear`: a history that replaces another one, what still speaks of the old, and logs that were cleared while
//! somebody was away.

use replog_protocol::follower::Command as FollowerCommand;
use replog_protocol::ids::{Leadership, Seq};
use replog_protocol::leader::command::{Answer, Command, Unavailable};
use replog_protocol::wire::{AppendEntries, Message, Prepare};

use crate::support::cluster::Cluster;
use crate::support::hand::{Secondary, secondary, secondary_by, serving};
use crate::support::journal::Journal;
use crate::support::process::Disk;
use crate::support::{
    Client, append, at, cleared, entries, epoch, heartbeat, leadership, log, storage,
};

/// The first word of a new history: the lives in `replaced` cleared those before it.
fn clearing(by: Leadership, replaced: &[Leadership]) -> AppendEntries {
    AppendEntries {
        cleared: cleared(replaced),
        ..heartbeat(by)
    }
}

/// A secondary that holds two entries which that master has placed.
fn holder(by: Leadership) -> Secondary {
    let mut holder = secondary("s1");
    holder.receive(append(by, &entries(1..=2, by.epoch), 0, 2), at(1));
    holder.sent.clear();
    holder
}

/// A and B hold three entries; B sleeps through the clearing; A holds one entry of the new history. The master is alive.
pub(super) fn cleared_once() -> Cluster {
    let mut cluster = Cluster::settled("ab", 3);
    assert_eq!(cluster.journal('b').last(), Seq(3));
    let client = cluster.clear('1', 77);
    assert!(matches!(
        cluster.answer('1', client),
        Some(Answer::Cleared(_))
    ));
    cluster.run("1a", 1_000);
    cluster.append('1', 1);
    cluster.run("1a", 1_000);
    assert_eq!(
        (cluster.journal('a').last(), cluster.journal('b').last()),
        (Seq(1), Seq(3))
    );
    cluster
}

#[test]
fn a_clearing_is_confirmed_only_when_it_is_durable() {
    let mut master = serving(Some(&["a"]));
    master.join("a", 9, 0, at(1));
    master.post(1, 2, at(1));
    master.disk = Disk::Slow;
    master.sent.clear();
    let (log_id, waiter) = (log(77), Client(9));
    master.command(Command::Clear { log_id, waiter }, at(2));
    master.post(2, 1, at(3));
    master.idle(at(2), at(1_000));
    assert!(master.replies.is_empty(), "{:?}", master.replies);
    assert!(master.sent.is_empty(), "nobody hears of it");
    assert_eq!(master.snapshot.clone().map(|s| s.last), Some(Seq(1)));
    let shown = master.snapshot.clone().and_then(|s| s.leadership);
    assert_eq!(shown.map(|l| l.log_id), Some(log(1002)));
    master.write_done(at(1_000));
    assert!(matches!(
        master.answer(1),
        Some(Answer::ClearedMeanwhile(_))
    ));
    let new = leadership(77, 2, 2);
    assert_eq!(master.answer(9), Some(&Answer::Cleared(new)));
    let snapshot = master.snapshot.clone().expect("it is shown");
    assert_eq!((snapshot.leadership, snapshot.last), (Some(new), Seq::ZERO));
    assert!(
        snapshot.generation > 0,
        "who reads on across that would mix two"
    );
    let told = master.heartbeats("a").pop().expect("it is told");
    assert_eq!(told.cleared, cleared(&[leadership(1002, 1, 2)]));
    // What came after the clearing is the first entry of the new history.
    master.write_done(at(1_001));
    match master.answer(2) {
        Some(Answer::Replicated { appended, .. }) => {
            assert_eq!((appended.log_id, appended.first), (log(77), Seq(1)));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(master.journal.rolled_back(), 0);
}

/// With a full disk it is confirmed when there is room, and a second clearing replaces the first.
#[test]
fn a_clearing_waits_for_room() {
    let mut master = serving(Some(&["a"]));
    master.post(1, 1, at(1));
    master.disk = Disk::Full;
    let log_id = log(77);
    let waiter = Client(9);
    master.command(Command::Clear { log_id, waiter }, at(2));
    master.idle(at(2), at(5_000));
    assert_eq!((master.answer(9), master.journal.last()), (None, Seq(1)));
    master.disk = Disk::Prompt;
    master.idle(at(5_000), at(6_100));
    assert!(matches!(master.answer(9), Some(Answer::Cleared(_))));
    assert_eq!(master.journal.last(), Seq::ZERO);
}

#[test]
fn who_is_not_the_master_clears_nothing() {
    let (log_id, waiter) = (log(77), Client(9));
    let mut cluster = Cluster::settled("a", 3);
    cluster.master('2', "a");
    cluster.command('2', Command::Clear { log_id, waiter });
    let refused = crate::support::hand::refused(Unavailable::Recovering);
    assert_eq!(cluster.answer('2', 9), Some(&refused));
    cluster.run("2a", 5_000);
    cluster.run("1a", 3_000);
    cluster.command('1', Command::Clear { log_id, waiter });
    let refused = crate::support::hand::refused(Unavailable::Fenced);
    assert_eq!(cluster.answer('1', 9), Some(&refused));
    assert_eq!(cluster.journal('1').last(), Seq(3));
}

#[test]
fn what_was_cleared_does_not_come_back_with_a_late_append() {
    let (former, leader) = (leadership(1, 1, 1), leadership(2, 2, 1));
    let old = entries(1..=2, former.epoch);
    let mut secondary = holder(former);
    secondary.receive(clearing(leader, &[former]), at(2));
    assert_eq!(secondary.journal.last(), Seq::ZERO);
    assert_eq!(secondary.journal.rolled_back(), 0);
    let late = append(former, &old, 0, 2);
    secondary.receive(late.clone(), at(3));
    assert_eq!(secondary.node.position().log_id, Some(log(2)));
    // Nor after a `/clear` of its own, nor after a restart.
    let clear = FollowerCommand::Clear {
        storage: storage(20),
        waiter: Client(1),
    };
    secondary.step(replog_protocol::node::Input::Client(clear), at(4));
    secondary.receive(late.clone(), at(5));
    let mut again = crate::support::hand::secondary_by("s1", 21, secondary.journal.clone());
    again.receive(late, at(6));
    for process in [secondary, again] {
        assert_eq!(process.journal.last(), Seq::ZERO);
        assert_eq!(process.node.position().log_id, Some(log(2)));
        assert_eq!(
            process.node.foreign(),
            None,
            "no reason to ask for anybody's help"
        );
    }
}

/// Cleared twice by one that had been superseded and could not know it, the newest history is above the other master's
/// epoch; what the other master has acknowledged stays all the same.
#[test]
fn a_master_that_was_superseded_cannot_clear_the_log() {
    let mut secondary = holder(leadership(1, 2, 2));
    let (first, second) = (leadership(1, 1, 1), leadership(2, 2, 1));
    for by in [
        clearing(leadership(2, 2, 1), &[first]),
        clearing(leadership(3, 3, 1), &[first, second]),
        // Nor can one that believes to lead in the same epoch, if that is the lower one of the two.
        clearing(leadership(2, 3, 1), &[leadership(1, 2, 1)]),
    ] {
        secondary.receive(by, at(2));
        assert_eq!(secondary.node.position().upto, Seq(2));
        assert!(secondary.node.foreign().is_some());
    }
    let its_own = clearing(leadership(2, 3, 2), &[leadership(1, 2, 2)]);
    secondary.receive(its_own, at(3));
    assert_eq!(secondary.journal.last(), Seq::ZERO);
    assert_eq!(secondary.journal.rolled_back(), 0);
}

#[test]
fn it_learns_from_what_it_could_not_clear_that_it_was_superseded() {
    let mut master = serving(Some(&["s1", "s2"]));
    let first = master.node.leadership();
    for (client, history) in [(1, 2), (2, 3)] {
        let (log_id, waiter) = (log(history), Client(client));
        master.command(Command::Clear { log_id, waiter }, at(1));
        assert!(matches!(master.answer(client), Some(Answer::Cleared(_))));
    }
    let asleep = holder(first).node.position();
    master.hear(asleep, at(10));
    assert_eq!(master.unavailable(at(10)), None, "that one comes over");
    let later = Leadership {
        epoch: epoch(2, 9),
        ..first
    };
    let mut others = holder(later).node.position();
    others.node = crate::support::node("s2");
    master.hear(others, at(20));
    assert_eq!(master.unavailable(at(20)), Some(Unavailable::Fenced));
}

#[test]
fn a_history_that_went_on_is_found_although_somebody_believes_it_cleared() {
    for (n, history) in [(2, 1), (1, 2)] {
        // One believes that the first history was cleared in epoch 1; the other one holds an entry of epoch `n`.
        let mut believer = secondary("b");
        believer.receive(clearing(leadership(2, 2, 1), &[leadership(1, 1, 1)]), at(1));
        let holder = Journal::of(log(1), &[(2, epoch(n, n.into()))]);
        let mut cluster = Cluster::default();
        cluster.start('a', holder);
        cluster.start('b', believer.journal.clone());
        cluster.master('9', "ab");
        cluster.run("9ab", 5_000);
        assert_eq!(cluster.unavailable('9'), None);
        let chosen = cluster.leadership('9').log_id;
        assert_eq!(chosen, log(history), "cleared in epoch 1, gone on in {n}");
    }
}

#[test]
fn one_that_knows_a_history_to_be_cleared_says_so_and_rejoins() {
    let leader = leadership(3, 2, 7);
    let mut secondary = secondary("s1");
    secondary.receive(clearing(leader, &[leadership(1, 1, 7)]), at(1));
    secondary.receive(append(leader, &entries(1..=1, leader.epoch), 0, 1), at(1));
    assert_eq!(secondary.journal.last(), Seq(1));
    // A late word of the old master is no reason to ask for anybody's help.
    secondary.receive(heartbeat(leadership(1, 1, 7)), at(2));
    assert_eq!(secondary.node.foreign(), None);
    // A master has recovered the old history from one that slept through the clearing.
    let back = heartbeat(leadership(1, 2, 8));
    secondary.receive(back.clone(), at(3));
    assert_eq!(secondary.node.foreign(), Some(log(1)));
    let rejoin = FollowerCommand::Rejoin {
        storage: storage(20),
        waiter: Client(1),
    };
    secondary.step(replog_protocol::node::Input::Client(rejoin), at(4));
    secondary.receive(back, at(5));
    assert_eq!(secondary.node.position().log_id, Some(log(1)));
    assert_eq!(secondary.node.foreign(), None);
    assert_eq!(secondary.journal.rolled_back(), 1);
}

/// Emptied by its operator, it still follows nobody that its master has superseded.
#[test]
fn a_secondary_that_is_cleared_keeps_its_promise() {
    let leader = leadership(1, 2, 2);
    let mut secondary = holder(leader);
    let clear = FollowerCommand::Clear {
        storage: storage(20),
        waiter: Client(1),
    };
    secondary.step(replog_protocol::node::Input::Client(clear), at(2));
    let superseded = leadership(1, 1, 1);
    let log = entries(1..=2, superseded.epoch);
    secondary.receive(append(superseded, &log, 0, 2), at(3));
    assert_eq!(secondary.journal.last(), Seq::ZERO);
    secondary.receive(append(leader, &entries(1..=2, leader.epoch), 0, 2), at(4));
    assert_eq!(secondary.node.position().upto, Seq(2));
}

#[test]
fn who_slept_through_a_clearing_comes_over_by_itself() {
    let mut cluster = cleared_once();
    cluster.run("1ab", 3_000);
    assert_eq!(cluster.journal('b').entries, cluster.journal('1').entries);
    assert_eq!(
        cluster.journal('b').rolled_back(),
        0,
        "what was cleared is not kept"
    );
    assert_eq!(cluster.master_of('1').acks(1), 3);
}

#[test]
fn what_was_cleared_stays_cleared_when_the_one_who_said_so_falls_silent() {
    let mut cluster = cleared_once();
    drop(cluster.kill('1'));
    cluster.master('2', "abc");
    cluster.run("2abc", 400);
    cluster.run("2bc", 14_000);
    assert_eq!(cluster.leadership('2').log_id, log(77));
    // And so it is when that master too has gone.
    drop(cluster.kill('2'));
    cluster.master('3', "bc");
    cluster.run("3bc", 9_000);
    assert_eq!(cluster.leadership('3').log_id, log(77));
    cluster.run("3abc", 9_000);
    assert_eq!(
        cluster.journal('3').last(),
        Seq(1),
        "nor is the new history lost"
    );
}

/// Nobody has heard of the clearing when the master ends, and all that it finds is on its disk.
#[test]
fn what_was_cleared_does_not_come_back_to_the_master_that_has_cleared_it() {
    let mut cluster = Cluster::settled("ab", 3);
    cluster.run("1 ab", 10);
    let client = cluster.clear('1', 77);
    assert!(matches!(
        cluster.answer('1', client),
        Some(Answer::Cleared(_))
    ));
    let journal = cluster.kill('1');
    cluster.start_master('2', "ab", journal);
    assert_eq!(cluster.journal('a').last(), Seq(3), "it slept through it");
    cluster.run("2ab", 9_000);
    assert_eq!(cluster.leadership('2').log_id, log(77));
    for key in ['2', 'a', 'b'] {
        assert_eq!(cluster.journal(key).last(), Seq::ZERO, "{key}");
    }
}

/// The ordinary case: the old master's last words, and its secondaries' last ACKs, come late.
#[test]
fn late_words_of_a_cleared_history_fence_nobody() {
    let mut cluster = Cluster::settled("ab", 1);
    let late = ['a', 'b'].map(|key| Message::Ack(cluster.ack(key)));
    cluster.clear('1', 77);
    for ack in &late {
        cluster.step('1', ack.clone());
    }
    assert_eq!(cluster.unavailable('1'), None);
    cluster.run("1a", 1_000);
    drop(cluster.kill('b'));
    drop(cluster.kill('1'));
    cluster.start('b', Journal::default());
    cluster.master('2', "ab");
    cluster.run("2ab", 4_000);
    for ack in late {
        cluster.step('2', ack);
    }
    assert_eq!(cluster.unavailable('2'), None);
    assert_eq!(cluster.leadership('2').log_id, log(77));
}

/// Two masters, each with a secondary of its own; then everybody reaches everybody.
#[test]
fn one_that_was_superseded_learns_so_after_the_other_one_has_cleared_the_log() {
    let mut cluster = Cluster::settled("ab", 1);
    cluster.master('2', "ab");
    cluster.run("2ab", 2_000);
    cluster.clear('2', 77);
    cluster.run("2ab", 1_000);
    assert_eq!(cluster.unavailable('1'), None, "it was cut off");
    let ack = cluster.ack('a');
    cluster.step('1', Message::Ack(ack));
    assert_eq!(cluster.unavailable('1'), Some(Unavailable::Fenced));
}

/// More clearings than are remembered: who slept through them holds another history, which is older for all that.
#[test]
fn what_was_cleared_long_ago_does_not_come_back() {
    let mut cluster = Cluster::settled("ab", 1);
    let old = cluster.leadership('1');
    let entries = cluster.journal('a').entries.clone();
    for n in 0..13 {
        cluster.clear('1', 100 + n);
        cluster.run("1a", 1_000);
    }
    let newest = cluster.leadership('1').log_id;
    // An old message comes again, to one that holds nothing.
    let late = append(old, &entries, 0, 1);
    cluster.step('a', Message::Append(late));
    assert_eq!(cluster.journal('a').last(), Seq::ZERO);
    assert_eq!(cluster.follower('a').foreign(), Some(old.log_id));
    cluster.run("1a", 1_000);
    assert_eq!(cluster.follower('a').foreign(), None);
    drop(cluster.kill('1'));
    cluster.master('2', "ab");
    cluster.run("2ab", 9_000);
    assert_eq!(cluster.unavailable('2'), None);
    assert_eq!(cluster.leadership('2').log_id, newest);
    assert_eq!(cluster.journal('2').last(), Seq::ZERO);
}

/// The one that clears had superseded another master, and never saw what that one had acknowledged last.
#[test]
fn what_the_clearing_master_never_had_is_kept() {
    let mut cluster = Cluster::settled("ab", 1);
    cluster.master('2', "ab");
    cluster.run("2a", 9_000);
    cluster.append('1', 1);
    cluster.run("1b", 3_000);
    assert_eq!(cluster.journal('b').last(), Seq(2));
    cluster.clear('2', 77);
    cluster.run("2ab", 9_000);
    let (a, b) = (cluster.journal('a'), cluster.journal('b'));
    assert_eq!((a.last(), a.rolled_back()), (Seq::ZERO, 0));
    assert_eq!((b.last(), b.rolled_back()), (Seq::ZERO, 2));
}

/// Positions of two histories are the same numbers.
#[test]
fn who_holds_an_entry_is_told_of_its_own_history_only() {
    let mut cluster = Cluster::settled("ab", 3);
    let holders = |cluster: &Cluster, log_id, seq| {
        let leader = cluster.leader('1');
        let nodes: Vec<_> = leader.held_by(log_id, Seq(seq)).cloned().collect();
        crate::support::hand::names(&nodes).join("")
    };
    let old = cluster.leadership('1').log_id;
    assert_eq!(holders(&cluster, old, 2), "ab");
    cluster.clear('1', 77);
    assert_eq!(holders(&cluster, old, 2), "");
    for _ in 0..3 {
        cluster.append('1', 1);
    }
    cluster.run("1ab", 1_000);
    assert_eq!(holders(&cluster, log(77), 2), "ab");
    assert_eq!(holders(&cluster, old, 2), "", "of a history that is gone");
}

/// Who promised an epoch, but was never shown what is in it, may hold more than the one that clears knows of.
#[test]
fn what_was_not_shown_to_be_of_the_cleared_log_is_kept() {
    let former = leadership(1, 1, 1);
    for is_restarted in [false, true] {
        let mut process = holder(former);
        if is_restarted {
            process = secondary_by("s1", 21, process.journal.clone());
        }
        let prepare = Prepare {
            leader: leadership(1, 2, 2),
            cleared: cleared(&[]),
        };
        process.message(Message::Prepare(prepare), at(2));
        let by = clearing(leadership(2, 3, 2), &[leadership(1, 2, 2)]);
        process.receive(by, at(3));
        assert_eq!(process.node.position().log_id, Some(log(2)));
        assert_eq!(process.journal.last(), Seq::ZERO);
        assert_eq!(process.journal.rolled_back(), 2);
    }
}

/// A question goes to each process that runs under a name, whatever each of them knows.
#[test]
fn nobody_promises_to_follow_what_was_cleared_away() {
    let mut secondary = secondary("s1");
    let leader = leadership(2, 2, 1);
    secondary.receive(clearing(leader, &[leadership(1, 1, 1)]), at(1));
    secondary.sent.clear();
    for n in [1, 2, 5] {
        let prepare = Prepare {
            leader: leadership(1, n, 8),
            cleared: cleared(&[]),
        };
        secondary.message(Message::Prepare(prepare), at(2));
        let position = secondary.node.position();
        assert_eq!(
            (position.log_id, position.epoch),
            (Some(log(2)), leader.epoch)
        );
    }
}

/// Its directory is older than the clearing.
#[test]
fn a_master_that_comes_back_with_a_cleared_log_gives_it_up_and_keeps_it() {
    for reach in ["2a", "2ab"] {
        let mut cluster = Cluster::settled("ab", 3);
        let older = cluster.journal('1').clone();
        cluster.clear('1', 77);
        cluster.append('1', 1);
        cluster.run("1a", 1_000);
        drop(cluster.kill('1'));
        cluster.start_master('2', "ab", older);
        cluster.run(reach, 9_000);
        assert_eq!(cluster.unavailable('2'), None, "{reach}");
        assert_eq!(cluster.leadership('2').log_id, log(77), "{reach}");
        let own = cluster.journal('2');
        assert_eq!((own.last(), own.rolled_back()), (Seq(1), 3), "{reach}");
        assert_eq!(cluster.journal('a').rolled_back(), 0);
    }
}

/// What it was told of a clearing outlives its own pause, and the one who told it: it begins a new history, and adopts only
/// one that was not cleared away.
#[test]
fn a_master_that_was_told_of_a_clearing_never_adopts_what_was_cleared() {
    for is_stopped in [true, false] {
        let mut cluster = cleared_once();
        drop(cluster.kill('1'));
        cluster.master('3', "abc");
        if is_stopped {
            // Before anything is chosen: C is awaited.
            cluster.run("3a", 1_000);
            cluster.suspend('3');
            cluster.run("3", 10_000);
            cluster.resume('3');
        } else {
            // It was to take what A holds, and A falls silent.
            cluster.run("3a", 1_000);
        }
        cluster.run("3", 12_000);
        assert_eq!(cluster.unavailable('3'), None);
        let new = cluster.leadership('3').log_id;
        assert_eq!(new, log(1003));
        // B holds what was cleared.
        cluster.run("3b", 9_000);
        assert_eq!(cluster.leadership('3').log_id, new);
        assert_eq!(cluster.journal('3').last(), Seq::ZERO);
        let events = cluster.events('3').iter();
        let served = events.filter(|e| e.kind() == "serving").count();
        assert_eq!(served, 1, "nor does it ask again and again");
        // A holds what came after it, and B has slept through that.
        cluster.run("3ab", 12_000);
        assert_eq!(cluster.leadership('3').log_id, log(77));
        for key in ['3', 'a', 'b'] {
            assert_eq!(cluster.journal(key).last(), Seq(1));
            assert_eq!(cluster.journal(key).rolled_back(), 0);
        }
    }
}
