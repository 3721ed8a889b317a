//! The line does what the other tests take for granted.

use bytes::Bytes;
use futures_util::FutureExt;
use replog_common::types::{NodeId, Seq};
use replog_nats::{AckOf, Delivered, Link, LinkEvent, Message, Payload, Subject, Subjects};
use replog_tests::line::{Fate, Hub, Line, Weather};
use tokio::time::Instant;

use crate::world::{assert_took, ms, timed};

fn node(name: &str) -> NodeId {
    name.parse().expect("a name")
}

fn append(to: &str, text: &str) -> Message {
    Message {
        to: Subject::Append(node(to)),
        reply: Some(Subject::Ack(node(to), AckOf::Seq(Seq(7)))),
        payload: Bytes::copy_from_slice(text.as_bytes()),
    }
}

fn pair(hub: &Hub) -> (Line, Line) {
    let subjects = Subjects::of("test");
    let mut master = hub.connect("master", subjects.of_master());
    let mut one = hub.connect("s1", subjects.of_secondary(&node("s1")));
    for line in [&mut master, &mut one] {
        assert!(matches!(now(line), Some(LinkEvent::Up { .. })));
    }
    (master, one)
}

fn now(line: &mut Line) -> Option<LinkEvent> {
    line.next().now_or_never()
}

fn text(event: Option<LinkEvent>) -> String {
    match event {
        Some(LinkEvent::Delivered(Delivered {
            payload: Payload::Line(line),
            ..
        })) => String::from_utf8_lossy(&line).into_owned(),
        other => panic!("no message: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn messages_reach_whoever_listens_and_nobody_else() {
    let hub = Hub::new("test", 1);
    let (mut master, mut one) = pair(&hub);
    assert!(master.send(append("s1", "a")));
    assert_eq!(text(now(&mut one)), "a");
    assert_eq!(now(&mut one), None, "once");
    let ack = |of| Message {
        to: Subject::Ack(node("s1"), of),
        reply: None,
        payload: "b".into(),
    };
    assert!(one.send(ack(AckOf::Hello)));
    assert_eq!(text(now(&mut master)), "b");
    assert_eq!(now(&mut one), None, "it listens to that itself: no echo");
}

#[tokio::test(start_paused = true)]
async fn the_broker_says_that_nobody_listens() {
    let hub = Hub::new("test", 1);
    let (mut master, one) = pair(&hub);
    assert!(master.send(append("s2", "a")));
    let told = LinkEvent::Delivered(Delivered {
        subject: Subject::Ack(node("s2"), AckOf::Seq(Seq(7))),
        payload: Payload::NoResponders,
    });
    assert_eq!(now(&mut master), Some(told));
    drop(one);
    assert!(master.send(append("s1", "a")));
    assert!(now(&mut master).is_some(), "s1 has gone");
    let nobody = hub.sent(|s| s.fate == Fate::Nobody);
    assert_eq!(nobody.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_line_that_is_down_takes_nothing_and_loses_what_is_on_the_way() {
    let hub = Hub::new("test", 1);
    let (mut master, mut one) = pair(&hub);
    hub.set_weather(Weather {
        delay_min: ms(10),
        delay_max: ms(10),
        ..Weather::CLEAR
    });
    assert!(master.send(append("s1", "lost")));
    hub.set_max_payload(3);
    hub.set_up(false);
    assert_eq!(now(&mut one), Some(LinkEvent::Down));
    assert_eq!(now(&mut master), Some(LinkEvent::Down));
    assert!(!master.send(append("s1", "no")));
    hub.set_up(true);
    for line in [&mut master, &mut one] {
        assert_eq!(now(line), Some(LinkEvent::Up { max_payload: 3 }));
    }
    assert!(!master.send(append("s1", "long")), "too large");
    assert!(master.send(append("s1", "yes")));
    let (took, event) = timed(one.next()).await;
    assert_eq!(text(Some(event)), "yes");
    assert_took(took, 10);
    hub.cut("s1");
    assert_eq!(now(&mut one), Some(LinkEvent::Down));
    assert_eq!(now(&mut master), None, "its line is there");
}

/// Sends numbers into a storm and hands out what comes of them, in order of arrival.
async fn storm(seed: u64) -> Vec<u64> {
    let hub = Hub::new("test", seed);
    let (mut master, mut one) = pair(&hub);
    hub.set_weather(Weather {
        loss: 0.2,
        duplication: 0.2,
        delay_max: ms(50),
        ..Weather::CLEAR
    });
    for i in 0..1000 {
        assert!(master.send(append("s1", &i.to_string())));
    }
    let (mut came, end) = (Vec::new(), Instant::now() + ms(51));
    while let Ok(event) = tokio::time::timeout_at(end, one.next()).await {
        came.push(text(Some(event)).parse().expect("a number"));
    }
    came
}

#[tokio::test(start_paused = true)]
async fn a_storm_loses_repeats_and_reorders_the_same_way_for_the_same_seed() {
    let came = storm(5).await;
    let mut kinds = came.clone();
    kinds.sort_unstable();
    assert_ne!(came, kinds, "out of order");
    kinds.dedup();
    assert!((750..850).contains(&kinds.len()), "{} of 1000", kinds.len());
    let repeats = came.len() - kinds.len();
    assert!((150..260).contains(&repeats), "{repeats} repeats");
    assert_eq!(came, storm(5).await);
    assert_ne!(came, storm(6).await);
}
