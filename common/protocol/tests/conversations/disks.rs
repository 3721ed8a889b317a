//! Disks that are slow, full, or fail.

use replog_protocol::follower::{self, Answer as FollowerAnswer};
use replog_protocol::ids::Seq;
use replog_protocol::leader::command::{Answer, Append, Command, Unavailable, WaitEnd};
use replog_protocol::node::{End, Input, WriteResult};
use replog_protocol::wire::Message;

use crate::support::cluster::Cluster;
use crate::support::hand::{refused, secondary, serving};
use crate::support::process::Disk;
use crate::support::{Client, append, at, entries, heartbeat, leadership, ms, post, storage};

#[test]
fn a_full_disk_refuses_what_was_placed_and_takes_appends_again_later() {
    let mut master = serving(Some(&["a"]));
    master.post(1, 2, at(1));
    master.disk = Disk::Slow;
    master.post(2, 1, at(2));
    // Placed while the disk wrote: that is refused with it.
    master.post(3, 2, at(2));
    assert!(master.replies.is_empty());
    master.end_write(WriteResult::DiskFull, at(3));
    for client in [2, 3] {
        assert_eq!(master.answer(client), Some(&refused(Unavailable::DiskFull)));
    }
    // What is there is read on, waited for, and found.
    assert_eq!(master.answer(1), None);
    assert_eq!(master.snapshot.clone().map(|s| s.last), Some(Seq(1)));
    master.command(post(1, 1, 10), at(4));
    assert_eq!(master.replicated(10), Some(1));
    master.post(4, 1, at(5));
    assert_eq!(master.answer(4), Some(&refused(Unavailable::DiskFull)));
    assert_eq!(master.node.log().last().seq, Seq(1));
    assert_eq!(master.writing, None);
    // After a second it is tried again.
    master.disk = Disk::Prompt;
    master.idle(at(5), at(1_003));
    master.post(5, 1, at(1_003));
    assert_eq!(master.replicated(5), Some(1));
    assert_eq!(master.journal.texts(), ["1", "5"]);
    // The first one was never lost.
    master.join("a", 9, 2, at(1_100));
    assert_eq!(master.replicated(1), Some(2));
}

fn with_timeout(command: Command<Client>, timeout: u64) -> Command<Client> {
    match command {
        Command::Append(append) => Command::Append(Append {
            timeout: Some(ms(timeout)),
            ..append
        }),
        other => other,
    }
}

/// What has left may be in the logs of others, so nothing else may ever get its place.
#[test]
fn what_was_sent_before_the_disk_was_full_stays_in_its_place() {
    let mut master = serving(Some(&["a"]));
    master.join("a", 1, 0, at(1));
    master.disk = Disk::Slow;
    master.post(1, 2, at(2));
    let sent = master.appends("a").pop().expect("while it is written");
    assert_eq!(sent.last(), Seq(1));
    let entry = sent.entries.clone();
    // Nobody waits for others here: it has not left when the disk turns out to be full.
    master.post(2, 1, at(2));
    master.hear(master.answer_of("a", 1, 1, 0), at(2));
    master.end_write(WriteResult::DiskFull, at(2));
    assert_eq!(master.answer(2), Some(&refused(Unavailable::DiskFull)));
    assert_eq!(master.answer(1), None, "neither refused nor replicated");
    assert_eq!(master.node.log().last().seq, Seq(1));
    master.post(3, 2, at(4));
    assert_eq!(master.answer(3), Some(&refused(Unavailable::DiskFull)));
    master.command(post(1, 2, 10), at(4));
    // Whose time is up is told that it is not known: the master may end before there is room.
    master.command(with_timeout(post(1, 2, 11), 100), at(4));
    master.idle(at(4), at(200));
    assert!(
        matches!(
            master.answer(11),
            Some(Answer::NotKnown {
                because: Unavailable::DiskFull,
                ..
            })
        ),
        "{:?}",
        master.answer(11)
    );
    // While it is tried again nothing more leaves early.
    master.idle(at(200), at(1_010));
    assert!(master.writing.is_some(), "tried again");
    master.post(4, 2, at(1_011));
    assert!(master.appends("a").iter().all(|a| a.last() <= Seq(1)));
    master.end_write(WriteResult::DiskFull, at(1_012));
    assert_eq!(master.answer(4), Some(&refused(Unavailable::DiskFull)));
    // Room at last: the very entry that was sent is written.
    master.disk = Disk::Prompt;
    master.idle(at(1_012), at(2_100));
    assert_eq!(
        (master.replicated(1), master.replicated(10)),
        (Some(2), Some(2))
    );
    assert_eq!(master.journal.texts(), ["1"]);
    assert!(entry.is_some_and(|batch| master.journal.holds(&batch)));
}

#[test]
fn a_disk_that_stays_full_is_asked_once_a_second() {
    let mut master = serving(Some(&["a"]));
    master.disk = Disk::Full;
    let mut refusals = 0;
    for (id, now) in (1..).zip((1..10_001).step_by(100)) {
        master.post(id, 1, at(now));
        master.idle(at(now), at(now + 99));
        refusals += u32::from(master.answer(id) == Some(&refused(Unavailable::DiskFull)));
    }
    assert_eq!(refusals, 100);
    assert_eq!(master.journal.last(), Seq::ZERO);
    master.disk = Disk::Prompt;
    master.idle(at(10_001), at(12_000));
    master.post(500, 1, at(12_000));
    assert_eq!(master.replicated(500), Some(1));
}

/// Nobody knows what is on it: a retry with the same id is safe, and the program ends.
#[test]
fn after_a_write_that_failed_it_is_not_known_what_is_in_the_log() {
    let mut master = serving(Some(&["a"]));
    master.post(1, 2, at(1));
    master.disk = Disk::Slow;
    master.post(2, 1, at(2));
    master.post(3, 2, at(2));
    master.end_write(WriteResult::Failed("an I/O error".into()), at(3));
    for client in [2, 3] {
        let answer = master.answer(client);
        assert!(
            matches!(
                answer,
                Some(Answer::NotKnown {
                    because: Unavailable::DiskFailed,
                    ..
                })
            ),
            "{answer:?}"
        );
    }
    assert_eq!(master.end, Some(End::StorageFailed("an I/O error".into())));
    assert_eq!(master.unavailable(at(4)), Some(Unavailable::DiskFailed));
    // What was durable before is known.
    let answer = master.answer(1);
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
}

#[test]
fn a_slow_disk_stops_no_heartbeat() {
    let mut cluster = Cluster::settled("ab", 3);
    cluster.set_disk('1', Disk::Slow);
    cluster.set_disk('a', Disk::Slow);
    let client = cluster.append('1', 2);
    cluster.run("1ab", 20_000);
    let status = |cluster: &Cluster, name| {
        let peer = cluster.leader('1').peers().get(&crate::support::node(name));
        peer.expect("known").status(cluster.now()).as_str()
    };
    assert_eq!(
        (status(&cluster, "a"), status(&cluster, "b")),
        ("healthy", "healthy")
    );
    assert_eq!(cluster.unavailable('1'), None);
    let now = cluster.now();
    cluster.set_disk('1', Disk::Prompt);
    cluster.master_mut('1').write_done(now);
    cluster.run("1ab", 20_000);
    // A writes and writes, and is alive; B was enough.
    assert_eq!(cluster.replicated('1', client), Some(2));
    assert_eq!(
        (status(&cluster, "a"), status(&cluster, "b")),
        ("healthy", "healthy")
    );
    assert_eq!(cluster.master_of('1').acks(4), 2);
    let now = cluster.now();
    cluster.secondary_mut('a').write_done(now);
    cluster.run("1ab", 1_000);
    assert_eq!(cluster.master_of('1').acks(4), 3);
}

#[test]
fn a_secondary_without_room_says_so_and_goes_on_when_there_is_some() {
    let leader = leadership(1, 1, 1);
    let log = entries(1..=4, leader.epoch);
    let mut process = secondary("a");
    process.receive(append(leader, &log, 0, 1), at(1));
    process.disk = Disk::Full;
    process.sent.clear();
    process.receive(append(leader, &log, 1, 3), at(2));
    let ack = process.last_ack();
    assert_eq!((ack.upto, ack.last.seq), (Seq(1), Seq(1)));
    assert!(ack.error.is_some_and(|why| why.contains("full")));
    // It answers heartbeats, and keeps what it could not write.
    process.receive(heartbeat(leader), at(500));
    assert_eq!(process.last_ack().upto, Seq(1));
    process.receive(append(leader, &log, 3, 4), at(600));
    process.disk = Disk::Prompt;
    process.idle(at(600), at(1_002));
    let ack = process.last_ack();
    assert_eq!((ack.upto, ack.error), (Seq(4), None));
    assert_eq!(process.journal.entries, log);
}

/// Nothing was ever written, so there is nothing to take out; and yet its operator is answered.
#[test]
fn a_secondary_without_room_is_cleared() {
    let leader = leadership(1, 1, 1);
    let log = entries(1..=2, leader.epoch);
    let clear = |n: u128, client| {
        Input::Client(follower::Command::Clear {
            storage: storage(n),
            waiter: Client(client),
        })
    };
    let mut process = secondary("a");
    process.receive(heartbeat(leader), at(1));
    process.disk = Disk::Full;
    process.receive(append(leader, &log, 0, 2), at(2));
    process.step(clear(20, 1), at(3));
    process.idle(at(3), at(1_100));
    let done = FollowerAnswer::Done { rolled_back: 0 };
    assert_eq!(process.replies.pop().map(|r| r.answer), Some(done));
    // With something to take out it takes room, and is done when there is some.
    let mut process = secondary("a");
    process.receive(append(leader, &log, 0, 2), at(1));
    process.disk = Disk::Full;
    process.step(clear(20, 1), at(3));
    let told = process.replies.pop().map(|r| r.answer);
    assert_eq!(told, Some(FollowerAnswer::DiskFull));
    process.disk = Disk::Prompt;
    process.idle(at(3), at(1_100));
    assert_eq!(process.journal.last(), Seq::ZERO);
}

#[test]
fn a_secondary_whose_disk_fails_ends_and_acknowledges_nothing() {
    let leader = leadership(1, 1, 1);
    let log = entries(1..=2, leader.epoch);
    for result in [
        WriteResult::Failed("an I/O error".into()),
        WriteResult::Conflict,
    ] {
        let mut process = secondary("a");
        process.disk = Disk::Slow;
        process.receive(append(leader, &log, 0, 2), at(1));
        process.end_write(result, at(2));
        assert!(matches!(process.end, Some(End::StorageFailed(_))));
        let sent = process.take_sent();
        assert!(
            !sent
                .iter()
                .any(|out| matches!(out.message, Message::Ack(_))),
            "{sent:?}"
        );
    }
}

/// What it has promised is on its disk, or it has not promised it.
#[test]
fn a_master_that_cannot_store_what_it_fetches_waits_for_room() {
    let mut cluster = Cluster::settled("a", 3);
    drop(cluster.kill('1'));
    cluster.master('2', "a");
    cluster.set_disk('2', Disk::Full);
    cluster.run("2a", 10_000);
    assert_eq!(cluster.unavailable('2'), Some(Unavailable::Recovering));
    cluster.set_disk('2', Disk::Prompt);
    cluster.run("2a", 3_000);
    assert_eq!(cluster.unavailable('2'), None);
    assert_eq!(cluster.journal('2').last(), Seq(3));
}
