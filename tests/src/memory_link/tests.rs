//! The broker in memory does what the tests that use it take for granted.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use replog_nats::{Link, LinkError, LinkEvent, Payload, Subjects};
use replog_protocol::ids::{NodeId, Seq};
use replog_protocol::wire::{AckOf, Address};
use tokio::time::{Instant, timeout_at};

use super::{Fate, Faults, MemoryBroker, MemoryLink};

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn node(name: &str) -> NodeId {
    name.parse().expect("valid")
}

fn ack_of(name: &str, seq: u64) -> Address {
    Address::Ack(node(name), AckOf::Seq(Seq(seq)))
}

fn send_append(link: &mut MemoryLink, to: &str, text: &str) -> bool {
    let payload = Bytes::copy_from_slice(text.as_bytes());
    link.send(&Address::Append(node(to)), Some(&ack_of(to, 7)), payload)
}

fn pair(broker: &MemoryBroker) -> (MemoryLink, MemoryLink) {
    let subjects = Subjects::of("test");
    let mut master = broker.connect("master", subjects.of_master());
    let mut secondary = broker.connect("s1", subjects.of_secondary(&node("s1")));
    for link in [&mut master, &mut secondary] {
        assert!(matches!(now(link), Some(LinkEvent::Up { .. })));
    }
    (master, secondary)
}

fn now(link: &mut MemoryLink) -> Option<LinkEvent> {
    link.next().now_or_never()
}

fn text(event: Option<LinkEvent>) -> String {
    match event {
        Some(LinkEvent::Delivered {
            payload: Payload::Frame(frame),
            ..
        }) => String::from_utf8(frame.to_vec()).expect("valid"),
        other => panic!("no message: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn messages_reach_whoever_listens_and_nobody_else() {
    let broker = MemoryBroker::new("test", 1);
    let (mut master, mut secondary) = pair(&broker);
    assert!(send_append(&mut master, "s1", "a"));
    assert_eq!(text(now(&mut secondary)), "a");
    assert_eq!(now(&mut secondary), None, "once");
    let hello = Address::Ack(node("s1"), AckOf::Hello);
    assert!(secondary.send(&hello, None, "b".into()));
    assert_eq!(text(now(&mut master)), "b");
    assert_eq!(now(&mut secondary), None, "it listens there, too: no echo");
    let mut other_start = broker.connect("s1-copy", Subjects::of("test").of_secondary(&node("s1")));
    assert!(now(&mut other_start).is_some(), "up");
    assert!(master.send(&Address::Announce, None, "c".into()));
    assert_eq!(text(now(&mut secondary)), "c");
    assert_eq!(text(now(&mut other_start)), "c");
    let to_two = broker.sent(|s| s.is_kind("announce"));
    assert_eq!(to_two[0].fate, Fate::Carried { copies: 2 });
    assert_eq!(broker.sent(|s| s.is_about("append", "s1")).len(), 1);
    broker.forget_sent();
    assert!(broker.sent(|_| true).is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_broker_says_that_nobody_listens() {
    let broker = MemoryBroker::new("test", 1);
    let (mut master, secondary) = pair(&broker);
    assert!(send_append(&mut master, "s2", "a"));
    let answer = LinkEvent::Delivered {
        address: ack_of("s2", 7),
        payload: Payload::NoResponders,
    };
    assert_eq!(now(&mut master), Some(answer));
    assert!(master.send(&Address::Append(node("s2")), None, "a".into()));
    assert_eq!(now(&mut master), None, "nobody waits for an answer");
    drop(secondary);
    assert!(send_append(&mut master, "s1", "a"));
    assert!(now(&mut master).is_some(), "s1 has gone");
    let unanswered = broker.sent(|s| s.fate == Fate::NoResponders);
    assert_eq!(unanswered.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_down_takes_nothing_and_loses_what_is_on_the_way() {
    let broker = MemoryBroker::new("test", 1);
    let (mut master, mut secondary) = pair(&broker);
    broker.set_faults(Faults {
        delay_min: ms(10),
        delay_max: ms(10),
        ..Faults::NONE
    });
    assert!(send_append(&mut master, "s1", "lost"));
    broker.set_max_payload(3);
    broker.set_up(false);
    assert_eq!(now(&mut secondary), Some(LinkEvent::Down));
    assert_eq!(now(&mut master), Some(LinkEvent::Down));
    assert!(!send_append(&mut master, "s1", "no"));
    broker.set_up(true);
    for link in [&mut master, &mut secondary] {
        assert_eq!(now(link), Some(LinkEvent::Up { max_payload: 3 }));
    }
    assert!(!send_append(&mut master, "s1", "long"), "too large");
    assert!(send_append(&mut master, "s1", "yes"));
    let before = Instant::now();
    assert_eq!(text(Some(secondary.next().await)), "yes");
    assert!((ms(10)..ms(12)).contains(&before.elapsed()));
    broker.cut_off("s1");
    assert_eq!(now(&mut secondary), Some(LinkEvent::Down));
    assert_eq!(now(&mut master), None, "its own link is up");
    broker.reconnect("s1");
    assert!(matches!(now(&mut secondary), Some(LinkEvent::Up { .. })));
}

#[tokio::test(start_paused = true)]
async fn faults_of_one_node_leave_the_others_alone() {
    let broker = MemoryBroker::new("test", 1);
    let (mut master, mut secondary) = pair(&broker);
    broker.set_faults_of("s1", Some(Faults::SILENCE));
    assert!(send_append(&mut master, "s1", "lost"));
    assert!(secondary.send(&ack_of("s1", 1), None, "lost".into()));
    assert!(send_append(&mut master, "s2", "a"));
    assert!(now(&mut master).is_some(), "nobody listens");
    assert_eq!((now(&mut master), now(&mut secondary)), (None, None));
    broker.set_faults_of("s1", None);
    assert!(send_append(&mut master, "s1", "there"));
    assert_eq!(text(now(&mut secondary)), "there");
    broker.refuse("s1", "no permission");
    let error = LinkError::Permission("no permission".into());
    assert_eq!(now(&mut secondary), Some(LinkEvent::Fatal(error)));
}

/// Sends numbers through a bad network and hands out what arrives, in order of arrival.
async fn through_faults(seed: u64) -> Vec<u64> {
    let broker = MemoryBroker::new("test", seed);
    let (mut master, mut secondary) = pair(&broker);
    broker.set_faults(Faults {
        loss: 0.2,
        duplication: 0.2,
        delay_max: ms(50),
        ..Faults::NONE
    });
    for i in 0..1000 {
        assert!(send_append(&mut master, "s1", &i.to_string()));
    }
    let (mut arrived, end) = (Vec::new(), Instant::now() + ms(51));
    while let Ok(event) = timeout_at(end, secondary.next()).await {
        arrived.push(text(Some(event)).parse().expect("valid"));
    }
    arrived
}

#[tokio::test(start_paused = true)]
async fn faults_lose_repeat_and_reorder_the_same_way_for_the_same_seed() {
    let arrived = through_faults(5).await;
    let mut kinds = arrived.clone();
    kinds.sort_unstable();
    assert_ne!(arrived, kinds, "out of order");
    kinds.dedup();
    assert!((750..850).contains(&kinds.len()), "{} of 1000", kinds.len());
    let repeats = arrived.len() - kinds.len();
    assert!((150..260).contains(&repeats), "{repeats} repeats");
    assert_eq!(arrived, through_faults(5).await);
    assert_ne!(arrived, through_faults(6).await);
}
