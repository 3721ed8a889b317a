//! One secondary per name: whoever starts asks first, and says nothing until it knows.

use replog_protocol::follower::Follower;
use replog_protocol::ids::Seq;
use replog_protocol::node::{End, Input};
use replog_protocol::wire::{AckOf, Address, Claim, Message};

use crate::support::cluster::Cluster;
use crate::support::hand::{Secondary, nobody_has_the_name, secondary, secondary_by};
use crate::support::journal::Journal;
use crate::support::process::Process;
use crate::support::{
    Client, append, at, entries, follower, heartbeat, hello, leadership, node, storage,
};

fn starting(start: u128) -> Secondary {
    let node: Follower<Client> = follower("a", start, Journal::default().restored());
    let mut process = Process::new(node, Journal::default());
    process.link_up(at(0));
    process
}

/// A copied data directory, or a typing error.
#[test]
fn the_one_that_came_later_ends() {
    let mut cluster = Cluster::settled("a", 3);
    let copy = cluster.journal('a').clone();
    let before = cluster.leader('1').peers().clone();
    cluster.start('A', copy);
    cluster.run("1aA", 100);
    let end = cluster.secondary_mut('A').end.clone();
    assert_eq!(end, Some(End::NameTaken(node("a"))));
    assert!(!cluster.has_ended('a'));
    // The master never heard of it.
    let storage = |peers: &replog_protocol::leader::peers::Peers| {
        peers.get(&node("a")).and_then(|peer| peer.storage())
    };
    assert_eq!(storage(&before), storage(cluster.leader('1').peers()));
}

#[test]
fn until_the_name_is_won_nothing_is_said_and_nobody_followed() {
    let leader = leadership(1, 1, 1);
    let log = entries(1..=2, leader.epoch);
    let mut process = starting(5);
    let asked = process.take_sent();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].to, Address::Claim(node("a")));
    process.receive(append(leader, &log, 0, 2), at(10));
    process.tick(at(999));
    assert!(process.take_sent().is_empty() && process.journal.entries.is_empty());
    // A second of silence means that nobody has it.
    process.idle(at(999), at(1_000));
    assert_eq!(process.last_ack().last.seq, Seq::ZERO);
    process.receive(append(leader, &log, 0, 2), at(1_001));
    assert_eq!(process.last_ack().upto, Seq(2));
}

#[test]
fn the_broker_knows_at_once_that_nobody_has_the_name() {
    let mut process = starting(5);
    process.sent.clear();
    nobody_has_the_name(&mut process, at(2));
    assert_eq!(process.last_ack().storage, storage(5));
    // Said of anything else it settles nothing.
    let mut other = starting(6);
    other.sent.clear();
    let to = Address::Ack(node("a"), AckOf::Seq(Seq(1)));
    other.step(Input::NoResponders(to), at(2));
    assert!(other.take_sent().is_empty());
}

#[test]
fn of_two_that_start_at_once_the_smaller_id_stays() {
    let (mut small, mut large) = (starting(5), starting(6));
    small.sent.clear();
    large.sent.clear();
    let claim = |start| {
        Message::Claim(Claim {
            node: node("a"),
            storage: storage(start),
        })
    };
    small.message(claim(6), at(1));
    large.message(claim(5), at(1));
    assert!(large.take_sent().is_empty(), "it has nothing to say");
    let answer = small.last_ack();
    large.message(Message::Ack(answer), at(2));
    assert_eq!(large.end, Some(End::NameTaken(node("a"))));
    assert_eq!(small.end, None);
    // What others say, or it itself, ends nobody.
    let own = hello("a", 5);
    small.message(Message::Ack(own), at(3));
    small.message(Message::Ack(hello("b", 7)), at(3));
    assert_eq!(small.end, None);
}

/// It says so whatever its disk does; but nothing of what is not durable.
#[test]
fn a_name_is_defended_while_the_disk_is_busy() {
    let leader = leadership(1, 1, 1);
    let log = entries(1..=2, leader.epoch);
    let mut process = secondary("a");
    process.disk = crate::support::process::Disk::Slow;
    process.receive(append(leader, &log, 0, 2), at(1));
    assert!(process.take_sent().is_empty());
    let claim = Claim {
        node: node("a"),
        storage: storage(77),
    };
    process.message(Message::Claim(claim), at(2));
    let ack = process.last_ack();
    assert_eq!(
        (ack.upto, ack.last.seq, ack.log_id),
        (Seq::ZERO, Seq::ZERO, None)
    );
    process.write_done(at(3));
    assert_eq!(process.last_ack().upto, Seq(2));
}

/// Who has won its name keeps it across reconnects, whoever claims it meanwhile.
#[test]
fn a_reconnect_is_no_new_claim() {
    let mut process = secondary_by("a", 5, Journal::default());
    process.link_down(at(10));
    process.link_up(at(20));
    let sent = process.take_sent();
    assert!(
        sent.iter()
            .all(|out| matches!(out.message, Message::Ack(_)))
    );
    assert_eq!(sent.len(), 1, "it says at once where it stands");
    process.message(Message::Ack(hello("a", 99)), at(21));
    assert_eq!(process.end, None);
}

#[test]
fn a_process_of_another_version_of_the_same_name_ends_it() {
    let mut process = starting(5);
    let from = Address::Ack(node("a"), AckOf::Hello);
    process.step(Input::OtherVersion(from.clone(), 1), at(1));
    assert_eq!(process.end, Some(End::OtherVersion(1)));
    // One that has its name, and follows a master, is not ended by anybody.
    let mut follows = secondary("a");
    follows.receive(heartbeat(leadership(1, 1, 1)), at(1));
    follows.step(Input::OtherVersion(from, 1), at(2));
    follows.step(Input::OtherVersion(Address::Heartbeat(node("a")), 1), at(2));
    assert_eq!(follows.end, None);
    // With no other master seen, one of another version is the only one there is.
    let mut alone = secondary("a");
    alone.step(Input::OtherVersion(Address::Heartbeat(node("a")), 3), at(2));
    assert_eq!(alone.end, Some(End::OtherVersion(3)));
    // One that starts sends no heartbeats as long as it hears this very node.
    for address in [
        Address::Prepare(node("a")),
        Address::Fetch(node("a")),
        Address::Announce,
    ] {
        let mut alone = secondary("a");
        alone.step(Input::OtherVersion(address, 3), at(2));
        assert_eq!(alone.end, Some(End::OtherVersion(3)));
    }
}
