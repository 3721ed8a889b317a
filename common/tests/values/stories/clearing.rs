//! Logs that were cleared while somebody was away.

use replog_common::protocol::follower::Received;
use replog_common::protocol::outcome::ReadOnly;

use super::{cleared, settled};
use crate::cluster::Master;
use crate::made::{append, log};

#[test]
fn what_was_cleared_stays_cleared_when_the_one_who_said_so_falls_silent() {
    let (_, mut nodes) = cleared();
    let mut second = Master::start(2, &["a", "b", "c"]);
    for name in ["a", "b", "c"] {
        second.hear(&nodes.get(name).ack());
    }
    second.run(&mut nodes, &["b", "c"], 14_000);
    assert_eq!(second.life().log_id, log(77));
    // And so it is when that master too has gone.
    let mut third = Master::start(3, &["b", "c"]);
    third.run(&mut nodes, &["b", "c"], 9000);
    assert_eq!(third.life().log_id, log(77));
    third.hear(&nodes.get("a").ack());
    third.run(&mut nodes, &["a", "b", "c"], 9000);
    assert_eq!(third.stored.len(), 1, "nor is the new history lost");
}

/// The ordinary case: the old master's last words, and its secondaries' last ACKs, come late.
#[test]
fn late_words_of_a_cleared_history_fence_nobody() {
    let (mut first, mut nodes) = settled(&["a", "b"], 1);
    let late = [nodes.get("a").ack(), nodes.get("b").ack()];
    first.clear(77);
    late.iter().for_each(|ack| first.hear(ack));
    assert_eq!(first.read_only(), None);
    first.run(&mut nodes, &["a"], 1000);
    nodes.crash("b", 99);
    let mut second = Master::start(2, &["a", "b"]);
    second.run(&mut nodes, &["a", "b"], 4000);
    late.iter().for_each(|ack| second.hear(ack));
    assert_eq!((second.read_only(), second.life().log_id), (None, log(77)));
}

/// Two masters, each with a secondary of its own; then everybody reaches everybody.
#[test]
fn one_that_was_overtaken_learns_so_after_the_other_one_has_cleared_the_log() {
    let (mut first, mut nodes) = settled(&["a", "b"], 1);
    let mut second = Master::start(2, &["a", "b"]);
    second.run(&mut nodes, &["a", "b"], 2000);
    second.clear(77);
    second.run(&mut nodes, &["a", "b"], 1000);
    assert_eq!(first.read_only(), None, "it was cut off");
    first.hear(&nodes.get("a").ack());
    assert_eq!(first.read_only(), Some(ReadOnly::Fenced));
}

/// More clearings than are remembered: who slept through them holds another history, which is older for all that.
#[test]
fn what_was_cleared_long_ago_does_not_come_back() {
    let (mut first, mut nodes) = settled(&["a", "b"], 1);
    let entries = nodes.get("a").stored.clone();
    let old = first.life();
    for n in 0..13 {
        first.clear(100 + n);
        first.run(&mut nodes, &["a"], 1000);
    }
    let newest = first.life().log_id;
    // An old message comes again, to one that holds nothing.
    let late = nodes
        .get_mut("a")
        .follower
        .receive(append(old, &entries, 0, 1));
    assert_eq!(late, Received::OtherHistory);
    first.run(&mut nodes, &["a"], 1000);
    assert_eq!(nodes.get("a").follower.foreign(), None);
    let mut second = Master::start(2, &["a", "b"]);
    second.run(&mut nodes, &["a", "b"], 9000);
    assert_eq!((second.life().log_id, second.stored.len()), (newest, 0));
}

/// The one that clears had overtaken another master, and never saw what that one had acknowledged last.
#[test]
fn what_the_clearing_master_never_had_is_put_aside() {
    let (mut first, mut nodes) = settled(&["a", "b"], 1);
    let mut second = Master::start(2, &["a", "b"]);
    second.run(&mut nodes, &["a"], 9000);
    first.append(2);
    first.run(&mut nodes, &["b"], 1000);
    second.clear(77);
    second.run(&mut nodes, &["a", "b"], 9000);
    let (a, b) = (nodes.get("a"), nodes.get("b"));
    assert_eq!((a.stored.len(), a.aside.len()), (0, 0));
    assert_eq!((b.stored.len(), b.aside.len()), (0, 2));
}
