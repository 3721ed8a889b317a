//! Storage can come back with less than it acknowledged, and two processes can speak under one name.

use replog_protocol::event::Event;
use replog_protocol::follower::{Answer, Command};
use replog_protocol::ids::Seq;
use replog_protocol::leader::health::Status;
use replog_protocol::wire::{Ack, Address};

use crate::support::cluster::Cluster;
use crate::support::hand::{Master, serving};
use crate::support::journal::Journal;
use crate::support::{Client, at, node, post, storage};

/// A master with five entries, all of which storage 1 of the secondary holds.
fn master_of_five() -> Master {
    let mut master = serving(Some(&["a"]));
    (1..=5).for_each(|id| master.post(id, 1, at(1)));
    master.join("a", 1, 5, at(2));
    master
}

/// The last heartbeat to the secondary: the storage that it names, and its number.
fn asked(master: &Master) -> (u128, u64) {
    let last = master.heartbeats("a").pop().expect("it was asked");
    (last.storage.expect("it names one").0.as_u128(), last.round)
}

fn current(master: &Master) -> Option<u128> {
    let peer = master.node.peers().get(&node("a")).expect("it is known");
    peer.storage().map(|storage| storage.0.as_u128())
}

/// An older copy of the directory, step by step.
#[test]
fn a_storage_counts_once_it_has_answered_and_only_for_what_it_holds() {
    let mut master = master_of_five();
    assert_eq!(master.acks(5), 2);
    let late = master.answer_of("a", 1, 5, asked(&master).1);
    master.sent.clear();
    // It speaks up with three entries. That may be a late word of long ago: it has to answer first.
    master.hear(master.position_of("a", 2, 3), at(3));
    assert_eq!((current(&master), master.acks(3)), (Some(1), 2));
    let (named, round) = asked(&master);
    assert_eq!(named, 2);
    assert!(round > late.answers.round);
    // An answer to an earlier number is none; nor is an answer to another master.
    master.hear(master.answer_of("a", 2, 3, round - 1), at(4));
    let mut other = master.answer_of("a", 2, 3, round);
    other.answers.master = crate::support::master(99);
    master.hear(other, at(4));
    assert_eq!(current(&master), Some(1));
    // It answers: from now on only what it holds counts.
    master.sent.clear();
    master.hear(master.answer_of("a", 2, 3, round), at(5));
    assert_eq!(current(&master), Some(2));
    assert_eq!((master.acks(3), master.acks(4), master.acks(5)), (2, 1, 1));
    // A retry of an entry that it lost waits, until it holds it again.
    master.command(post(5, 2, 50), at(6));
    assert_eq!(master.answer(50), None);
    let filled = master
        .appends("a")
        .pop()
        .expect("it is filled again at once");
    assert_eq!((filled.prev.seq, filled.last()), (Seq(3), Seq(5)));
    // Old ACKs replayed do no harm, whichever they are.
    for upto in [5, 0, 4] {
        let replayed = Ack {
            upto: Seq(upto),
            ..late.clone()
        };
        master.hear(replayed, at(7));
        assert_eq!((master.acks(3), master.acks(5)), (2, 1));
    }
    assert_eq!(master.answer(50), None);
    master.hear(master.answer_of("a", 2, 5, round), at(8));
    assert_eq!(master.replicated(50), Some(2));
    assert_eq!(master.acks(5), 2);
}

/// Within one storage and epoch a position only rises.
#[test]
fn an_older_ack_of_the_same_storage_takes_nothing_back() {
    let mut master = master_of_five();
    let round = asked(&master).1;
    for upto in [2, 0, 4, 5] {
        master.hear(master.answer_of("a", 1, upto, round), at(3));
        assert_eq!(master.acks(5), 2);
    }
}

/// The first words of a storage that died before it could answer come after those of its successor.
#[test]
fn the_last_word_of_a_dead_storage_counts_for_nothing_however_late() {
    let mut master = master_of_five();
    let round = asked(&master).1;
    // This one answers, and the former one never counts again.
    master.hear(master.position_of("a", 2, 0), at(3));
    let next = asked(&master).1;
    assert!(next > round);
    master.hear(master.answer_of("a", 2, 0, next), at(4));
    for now in (500..=20_000).step_by(500) {
        master.tick(at(now));
        master.hear(master.answer_of("a", 1, 5, next + now), at(now));
        assert_eq!((current(&master), master.acks(5)), (Some(2), 1));
    }
}

#[test]
fn an_older_copy_put_back_is_filled_again() {
    let mut cluster = Cluster::settled("ab", 3);
    let copy = cluster.journal('a').clone();
    assert_eq!(copy.entries.len(), 3);
    let written: Vec<u32> = (0..4).map(|_| cluster.append('1', 3)).collect();
    cluster.run("1ab", 100);
    for client in &written {
        assert_eq!(cluster.replicated('1', *client), Some(3));
    }
    drop(cluster.kill('a'));
    cluster.run("1b", 200);
    cluster.start('a', copy);
    // Nobody reaches it yet. What it loses of its acknowledgements is not known before it speaks.
    let from = cluster.now();
    cluster.run("1ab", 2_000);
    assert_eq!(cluster.journal('a').entries, cluster.journal('1').entries);
    assert_eq!(cluster.master_of('1').acks(7), 3);
    assert_eq!(cluster.journal('a').rolled_back(), 0);
    // One exchange fills it; then there is silence again.
    let sent = cluster.sent_since(from);
    let to_a = |to: &Address| to.node() == Some(&node("a"));
    let talk = sent.filter(|s| to_a(&s.out.to)).count();
    assert!(talk <= 20, "{talk} messages");
}

/// The same while what was lost is asked for: nobody is told that two nodes hold it before they do.
#[test]
fn what_an_older_copy_has_lost_is_not_acknowledged_again() {
    let mut cluster = Cluster::settled("a", 3);
    let copy = cluster.journal('a').clone();
    cluster.append('1', 2);
    cluster.run("1a", 100);
    drop(cluster.kill('a'));
    cluster.start('a', copy);
    cluster.secondary_mut('a').disk = crate::support::process::Disk::Full;
    cluster.run("1a", 2_000);
    assert_eq!(cluster.journal('a').entries.len(), 3);
    assert_eq!(cluster.master_of('1').acks(4), 1);
    // A retry of the fourth entry with the write concern that was met once.
    cluster.command('1', post(4, 2, 90));
    cluster.run("1a", 2_000);
    assert_eq!(cluster.answer('1', 90), None);
    cluster.secondary_mut('a').disk = crate::support::process::Disk::Prompt;
    cluster.run("1a", 10_000);
    assert_eq!(cluster.replicated('1', 90), Some(2));
}

#[test]
fn a_secondary_that_comes_back_empty_is_filled_again() {
    let mut cluster = Cluster::settled("ab", 3);
    drop(cluster.kill('a'));
    cluster.start('a', Journal::default());
    cluster.run("1ab", 2_000);
    assert_eq!(cluster.journal('a').entries.len(), 3);
    // And so is one that an operator has cleared.
    let clear = Command::Clear {
        storage: storage(777),
        waiter: Client(1),
    };
    cluster.ask('a', clear);
    assert_eq!(cluster.journal('a').entries.len(), 0);
    let told = cluster.secondary_mut('a').replies.pop().map(|r| r.answer);
    assert_eq!(told, Some(Answer::Done { rolled_back: 0 }));
    cluster.run("1ab", 2_000);
    assert_eq!(cluster.journal('a').entries.len(), 3);
    assert_eq!(cluster.master_of('1').acks(3), 3);
}

/// Two processes under one name, on a copied directory: they were started while they could not reach each other.
fn two_of_one_name() -> Cluster {
    let mut cluster = Cluster::settled("ab", 3);
    let copy = cluster.journal('a').clone();
    cluster.append('1', 3);
    cluster.run("1ab", 100);
    cluster.start('A', copy);
    cluster.run("1ab", 1_500);
    assert!(!cluster.has_ended('A'));
    cluster
}

#[test]
fn two_storages_of_one_name_converge_on_one() {
    let mut cluster = two_of_one_name();
    let from = cluster.now();
    cluster.run("1aAb", 10_000);
    // The newer start counts, and the clash is shown.
    let ids = |cluster: &Cluster| {
        let peer = cluster.leader('1').peers().get(&node("a")).expect("known");
        (peer.storage(), peer.has_clash(cluster.now()))
    };
    let newer = cluster.ack('A').storage;
    assert_eq!(ids(&cluster), (Some(newer), true));
    let clashes = |cluster: &Cluster, by: char| {
        let is_clash = |e: &&Event| matches!(e, Event::Clash { node: a } if *a == node("a"));
        cluster.events(by).iter().filter(is_clash).count()
    };
    assert_eq!(clashes(&cluster, '1'), 1, "said once");
    assert_eq!(
        clashes(&cluster, 'a'),
        1,
        "so does the one that counts no more"
    );
    assert_eq!(clashes(&cluster, 'A'), 0, "the one that counts");
    assert_eq!(cluster.journal('A').entries, cluster.journal('1').entries);
    assert_eq!(cluster.master_of('1').acks(4), 3, "one name is one node");
    // No ping-pong: each heartbeat gets an answer of either, and that is all.
    let about_a = |to: &Address| to.node() == Some(&node("a"));
    let talk = cluster.sent_since(from).filter(|s| about_a(&s.out.to));
    let talk = talk.count();
    assert!(talk <= 3 * 21 + 15, "{talk} messages in ten seconds");
    // So it stays.
    let from = cluster.now();
    cluster.run("1aAb", 60_000);
    assert_eq!(ids(&cluster), (Some(newer), true));
    let talk = cluster.sent_since(from).filter(|s| about_a(&s.out.to));
    let talk = talk.count();
    assert!(talk <= 3 * 121, "{talk} messages in a minute");
    assert_eq!((clashes(&cluster, 'a'), clashes(&cluster, 'A')), (1, 0));
    // With the newer one gone the former one does not count again: it may have been anywhere meanwhile.
    drop(cluster.kill('A'));
    cluster.run("1ab", 10_000);
    let status = |cluster: &Cluster| {
        let peer = cluster.leader('1').peers().get(&node("a")).expect("known");
        peer.status(cluster.now())
    };
    assert_eq!(status(&cluster), Status::Unhealthy);
    // After a restart it is a storage like any other.
    cluster.restart('a');
    cluster.run("1ab", 3_000);
    assert_eq!(status(&cluster), Status::Healthy);
    cluster.run("1ab", 10_000);
    let peer = cluster.leader('1').peers().get(&node("a")).expect("known");
    assert!(!peer.has_clash(cluster.now()));
}

/// Every entry that was acknowledged by the two of them is held by as many nodes as was said.
#[test]
fn appends_go_on_while_two_speak_under_one_name() {
    let mut cluster = two_of_one_name();
    for _ in 0..20 {
        let client = cluster.append('1', 3);
        cluster.run("1aAb", 150);
        assert_eq!(cluster.replicated('1', client), Some(3));
        let newest = cluster.journal('1').last();
        assert_eq!(cluster.journal('A').last(), newest, "the one that counts");
    }
}

/// Two starts of one name are asked at one time. Whoever answers late may have died before the other one began to count.
#[test]
fn an_answer_given_before_another_storage_counted_is_none() {
    let mut master = master_of_five();
    master.hear(master.position_of("a", 2, 5), at(3));
    let (named, first) = asked(&master);
    assert_eq!(named, 2);
    master.hear(master.position_of("a", 3, 4), at(4));
    master.idle(at(4), at(1_500));
    let (named, second) = asked(&master);
    assert_eq!(named, 3);
    let late = master.answer_of("a", 2, 5, first.max(second));
    master.hear(master.answer_of("a", 3, 4, second), at(1_500));
    assert_eq!((current(&master), master.acks(5)), (Some(3), 1));
    for _ in 0..3 {
        master.hear(late.clone(), at(1_501));
        assert_eq!((current(&master), master.acks(5)), (Some(3), 1));
    }
    // It lives after all, if it answers what was asked since.
    master.idle(at(1_501), at(2_500));
    let of_second = |h: &replog_protocol::wire::AppendEntries| h.storage == Some(storage(2));
    let again = master.heartbeats("a").into_iter().rfind(of_second);
    let again = again.expect("it is asked again").round;
    assert!(again > second);
    master.hear(master.answer_of("a", 2, 5, again), at(2_500));
    assert_eq!((current(&master), master.acks(5)), (Some(2), 2));
}

/// Messages of either come late and in any order: at most one change to each storage.
#[test]
fn storages_that_alternate_take_turns_once() {
    let mut master = master_of_five();
    let mut changes = 0;
    let mut before = current(&master);
    for now in 3..4_000u64 {
        master.tick(at(now));
        let (named, round) = asked(&master);
        // Each of three processes answers what names it, and talks besides.
        for start in [1, 2, 3] {
            let ack = match named == start {
                true => master.answer_of("a", start, 5, round),
                false => master.position_of("a", start, 5),
            };
            master.hear(ack, at(now));
        }
        changes += u32::from(current(&master) != before);
        before = current(&master);
    }
    assert_eq!(changes, 2, "to the second one, and to the third");
    assert_eq!(master.acks(5), 2);
    let heartbeats = master.heartbeats("a").len();
    assert!(heartbeats <= 20, "{heartbeats} in four seconds");
}
