//! A node that is told to stop: everybody who waits is told so, and nobody is told what is not true.

use replog_protocol::ids::Seq;
use replog_protocol::leader::command::{Answer, Command, Unavailable, WaitEnd};
use replog_protocol::leader::health::Status;
use replog_protocol::node::{End, Input};
use replog_protocol::wire::{AckOf, Address, Message};

use crate::support::cluster::Cluster;
use crate::support::hand::{Master, recovering_by, refused, secondary, serving};
use crate::support::journal::Journal;
use crate::support::process::Disk;
use crate::support::{
    Client, append, at, entries, leader_config, leadership, log, node, post, storage,
};

fn stop(master: &mut Master, now: u64) {
    master.step(Input::Stop, at(now));
}

#[test]
fn who_waits_for_a_recovery_is_told_at_once() {
    let mut master = recovering_by(leader_config(2, Some(&["a"])), Journal::default());
    master.link_up(at(0));
    master.post(1, 1, at(10));
    assert_eq!(master.answer(1), None);
    stop(&mut master, 20);
    assert_eq!(master.answer(1), Some(&refused(Unavailable::Stopping)));
    assert_eq!(master.end, Some(End::Stopped));
    assert_eq!(master.journal, Journal::default(), "it has written nothing");
}

#[test]
fn who_waits_for_others_is_told_at_once() {
    let mut master = serving(Some(&["a"]));
    master.post(1, 2, at(1));
    stop(&mut master, 2);
    let answer = master.answer(1);
    assert!(
        matches!(
            answer,
            Some(Answer::NotReplicated {
                acks: 1,
                because: WaitEnd::Stopping,
                ..
            })
        ),
        "{answer:?}"
    );
    assert_eq!(master.end, Some(End::Stopped));
    master.post(2, 1, at(3));
    assert_eq!(master.answer(2), Some(&refused(Unavailable::Stopping)));
}

/// In the log or not: the client is told once that is known.
#[test]
fn who_waits_for_the_disk_is_told_when_it_has_written() {
    let mut master = serving(Some(&["a"]));
    master.disk = Disk::Slow;
    master.post(1, 1, at(1));
    master.post(2, 2, at(1));
    stop(&mut master, 2);
    master.idle(at(2), at(1_900));
    assert_eq!(
        (master.answer(1), master.answer(2), &master.end),
        (None, None, &None)
    );
    // The first write is of the first entry; the second one follows.
    master.write_done(at(1_900));
    assert_eq!(master.replicated(1), Some(1));
    assert_eq!((master.answer(2), &master.end), (None, &None));
    master.write_done(at(1_950));
    let answer = master.answer(2);
    assert!(
        matches!(
            answer,
            Some(Answer::NotReplicated {
                because: WaitEnd::Stopping,
                ..
            })
        ),
        "{answer:?}"
    );
    assert_eq!(master.end, Some(End::Stopped));
}

/// A disk that hangs makes no stop hang.
#[test]
fn after_two_seconds_it_is_not_known_what_the_disk_does() {
    let mut master = serving(Some(&["a"]));
    master.disk = Disk::Slow;
    master.post(1, 1, at(1));
    let waiter = Client(9);
    let log_id = log(77);
    stop(&mut master, 100);
    master.command(Command::Clear { log_id, waiter }, at(100));
    assert_eq!(master.answer(9), Some(&refused(Unavailable::Stopping)));
    master.idle(at(100), at(2_099));
    assert_eq!((master.answer(1), &master.end), (None, &None));
    master.idle(at(2_099), at(2_100));
    let answer = master.answer(1);
    assert!(
        matches!(
            answer,
            Some(Answer::NotKnown {
                because: Unavailable::Stopping,
                ..
            })
        ),
        "{answer:?}"
    );
    assert_eq!(master.end, Some(End::Stopped));
}

/// The client of a clearing that is not durable must not believe that the log is empty now.
#[test]
fn a_clearing_that_the_disk_does_not_take_is_not_confirmed() {
    let mut master = serving(Some(&["a"]));
    master.post(1, 2, at(1));
    master.disk = Disk::Slow;
    let waiter = Client(9);
    let log_id = log(77);
    master.command(Command::Clear { log_id, waiter }, at(2));
    stop(&mut master, 100);
    master.idle(at(100), at(2_100));
    assert_eq!(master.answer(9), Some(&refused(Unavailable::Stopping)));
    assert_eq!(master.end, Some(End::Stopped));
    assert_eq!(master.journal.last(), Seq(1));
}

/// Nothing that it has fetched so far is its own.
#[test]
fn a_master_that_stops_while_it_recovers_writes_nothing() {
    let mut cluster = Cluster::settled("a", 3);
    drop(cluster.kill('1'));
    cluster.master('2', "a");
    cluster.set_disk('2', Disk::Slow);
    cluster.run("2a", 400);
    assert_eq!(cluster.journal('2'), &Journal::default());
    let client = cluster.append('2', 1);
    cluster.stop('2');
    cluster.run("2a", 3_000);
    assert_eq!(
        cluster.answer('2', client),
        Some(&refused(Unavailable::Stopping))
    );
    assert!(cluster.has_ended('2'));
    assert_eq!(cluster.journal('2'), &Journal::default());
    assert_eq!(cluster.master_mut('2').writing, None);
    // The next one finds everything as it was.
    cluster.master('3', "a");
    cluster.run("3a", 4_000);
    assert_eq!(cluster.journal('3').entries.len(), 3);
}

/// The same with its own log on its disk, which it shows meanwhile.
#[test]
fn a_master_that_stops_while_it_recovers_leaves_its_disk_as_it_is() {
    let mut cluster = Cluster::settled("a", 3);
    let journal = cluster.kill('1');
    cluster.start_master('2', "a", journal.clone());
    cluster.run("2a", 300);
    assert_eq!(cluster.unavailable('2'), Some(Unavailable::Recovering));
    let shown = cluster
        .master_of('2')
        .snapshot
        .clone()
        .expect("it is shown");
    assert_eq!((shown.last, shown.is_readable), (Seq(3), true));
    cluster.stop('2');
    cluster.run("2a", 3_000);
    assert_eq!(cluster.journal('2'), &journal);
}

#[test]
fn a_secondary_that_says_goodbye_is_unhealthy_at_once_and_stays_a_member() {
    let mut cluster = Cluster::settled("ab", 3);
    cluster.stop('a');
    let goodbyes = |cluster: &Cluster| {
        let is_goodbye =
            |to: &Address| matches!(to, Address::Ack(a, AckOf::Goodbye) if *a == node("a"));
        cluster
            .trace
            .iter()
            .filter(|s| is_goodbye(&s.out.to))
            .count()
    };
    assert_eq!(goodbyes(&cluster), 1);
    assert!(cluster.has_ended('a'));
    cluster.run("1ab", 0);
    let status = |cluster: &Cluster, name| {
        let peer = cluster.leader('1').peers().get(&node(name)).expect("known");
        peer.status(cluster.now())
    };
    assert_eq!(status(&cluster, "a"), Status::Unhealthy);
    assert_eq!(status(&cluster, "b"), Status::Healthy);
    assert!(cluster.events('1').iter().any(|e| e.kind() == "unhealthy"));
    // What needs all of the three waits for it; and it is no stranger when it comes back.
    let client = cluster.append('1', 3);
    cluster.run("1ab", 3_000);
    assert_eq!(cluster.answer('1', client), None);
    cluster.restart('a');
    cluster.run("1ab", 1_500);
    assert_eq!(cluster.replicated('1', client), Some(3));
    assert_eq!(status(&cluster, "a"), Status::Healthy);
    assert_eq!(goodbyes(&cluster), 1);
}

#[test]
fn the_goodbye_waits_for_the_disk_and_says_what_is_on_it() {
    let leader = leadership(1, 1, 1);
    let log = entries(1..=2, leader.epoch);
    let mut process = secondary("a");
    process.disk = Disk::Slow;
    process.receive(append(leader, &log, 0, 2), at(1));
    process.step(Input::Stop, at(2));
    assert!(process.take_sent().is_empty() && process.end.is_none());
    process.write_done(at(3));
    let acks = process.take_acks();
    assert_eq!(
        acks.last().map(|a| (a.is_goodbye, a.upto)),
        Some((true, Seq(2)))
    );
    assert_eq!(process.end, Some(End::Stopped));
    // And not for ever; then it says nothing.
    let mut hangs = secondary("a");
    hangs.disk = Disk::Slow;
    hangs.receive(append(leader, &log, 0, 2), at(1));
    let clear = replog_protocol::follower::Command::Clear {
        storage: storage(7),
        waiter: Client(1),
    };
    hangs.step(Input::Client(clear), at(2));
    hangs.step(Input::Stop, at(2));
    hangs.idle(at(2), at(2_002));
    assert!(hangs.take_acks().iter().all(|ack| !ack.is_goodbye));
    assert_eq!(hangs.end, Some(End::Stopped));
    let told = hangs.replies.pop().map(|r| r.answer);
    assert_eq!(told, Some(replog_protocol::follower::Answer::Stopping));
}

/// Who has not won its name says no goodbye under it: the master would take it for the other one's.
#[test]
fn only_one_that_has_its_name_says_goodbye() {
    let mut cluster = Cluster::settled("a", 1);
    let copy = cluster.journal('a').clone();
    cluster.start('A', copy);
    cluster.stop('A');
    cluster.run("1aA", 100);
    assert!(cluster.has_ended('A'));
    let from_copy = cluster.trace.iter().filter(|s| s.from == 'A');
    let mut said = from_copy.map(|s| &s.out.message);
    assert!(said.all(|m| matches!(m, Message::Claim(_))));
    assert_eq!(cluster.master_of('1').acks(1), 2);
}

/// A master that is fenced answers its clients before; there is nothing left to say.
#[test]
fn a_fenced_master_stops_at_once() {
    let mut cluster = Cluster::settled("a", 1);
    cluster.master('2', "a");
    cluster.run("2a", 5_000);
    cluster.run("1a", 3_000);
    assert_eq!(cluster.unavailable('1'), Some(Unavailable::Fenced));
    let now = cluster.now();
    cluster.stop('1');
    assert!(cluster.has_ended('1'));
    assert_eq!(cluster.now(), now);
    cluster.command('2', post(70, 2, 70));
    cluster.run("2a", 3_000);
    assert_eq!(cluster.replicated('2', 70), Some(2));
}
