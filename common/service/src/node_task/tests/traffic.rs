use crate::broker::BrokerState;

use super::*;

fn entries_for(node: &str, tail: u64, entries: &EntryBatch) -> Outbound {
    Outbound {
        to: Address::Append(node_id(node)),
        reply_to: None,
        message: append(tail, Some(entries.clone())),
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_entries_are_encoded_once() {
    let mut world = World::start();
    let (one, other) = (batch(1, 3), batch(1, 3));
    let part = one.range(Seq(1), Seq(2)).unwrap();
    world.hand_out(Ready {
        messages: vec![
            entries_for("a", 3, &one),
            entries_for("b", 3, &one),
            entries_for("c", 4, &one),
            entries_for("d", 4, &part),
            entries_for("e", 4, &other),
            heartbeat("f", 4),
            heartbeat("g", 4),
        ],
        ..Ready::default()
    });
    let mut payloads = Vec::new();
    for name in ["a", "b", "c", "d", "e", "f", "g"] {
        let sent = world.sent.recv().await.unwrap();
        assert_eq!(sent.to.node(), Some(&node_id(name)));
        let read = Message::decode(&sent.to, &sent.payload).unwrap();
        let Message::Append(read) = read else {
            panic!("{read:?}");
        };
        let expected = match name {
            "f" | "g" => None,
            "d" => Some(2),
            _ => Some(3),
        };
        assert_eq!(read.entries.map(|e| e.count()), expected);
        assert_eq!(read.tail, Seq(if name < "c" { 3 } else { 4 }));
        payloads.push(sent.payload);
    }
    let is_shared = |pair: &[Bytes]| pair[0].as_ptr() == pair[1].as_ptr();
    let shared: Vec<bool> = payloads.windows(2).map(is_shared).collect();
    assert_eq!(shared, [true, false, false, false, false, false]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_counted_and_goes_no_further() {
    let mut world = World::start();
    let address = Address::Heartbeat(node_id("a"));
    for frame in ["", "{}", "not JSON", r#"{"kind":"claim","v":2}"#] {
        world.link.send(delivered(address.clone(), frame)).unwrap();
    }
    let good = append(5, None);
    world
        .link
        .send(delivered(address.clone(), good.encode(1)))
        .unwrap();
    assert_eq!(world.input().await, format!("Message({good:?})"));
    assert_eq!(world.handle.metrics().undecodable(), 4);

    // Another version is no such thing: it is a sign of life.
    let foreign = r#"{"kind":"heartbeat","v":9}"#;
    world
        .link
        .send(delivered(address.clone(), foreign))
        .unwrap();
    let expected = format!("OtherVersion({address:?}, 9)");
    assert_eq!(world.input().await, expected);
    let nobody = LinkEvent::Delivered {
        address: address.clone(),
        payload: Payload::NoResponders,
    };
    world.link.send(nobody).unwrap();
    let expected = format!("NoResponders({address:?})");
    assert_eq!(world.input().await, expected);
    assert_eq!(world.handle.metrics().undecodable(), 4);
}

#[tokio::test(start_paused = true)]
async fn ticks_come_when_they_are_due() {
    let mut world = World::start();
    world.settled().await;
    let began = world.clock.now();
    let at = began + Duration::from_millis(750);
    world.handle.try_command(Command::TickAt(at)).unwrap();
    world.given("Tick").await;
    let late = world.clock.now().since(at);
    assert!(
        world.clock.now() >= at && late <= Duration::from_millis(1),
        "{late:?}"
    );
    // And none without a deadline.
    tokio::time::sleep(Duration::from_secs(60)).await;
    world.settled().await;
    assert!(world.inputs.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn the_link_is_told_and_asked_in_one_go() {
    let mut world = World::start();
    world.link.send(LinkEvent::Down).unwrap();
    world.link.send(LinkEvent::Up { max_payload: 1 }).unwrap();
    assert_eq!(world.input().await, "Down");
    assert_eq!(world.input().await, "Up { max_payload: 1 }");
}

#[tokio::test(start_paused = true)]
async fn what_the_broker_refuses_shows_until_it_is_granted() {
    let mut world = World::start();
    let denial = replog_nats::Denial::Subscribe("replog.default.append.a".into());
    let up = || LinkEvent::Up { max_payload: 1 };
    assert_eq!(world.handle.broker(), BrokerState::Disconnected);
    for (event, state) in [
        (up(), BrokerState::Connected),
        (LinkEvent::Denied(denial.clone()), BrokerState::Denied),
        (LinkEvent::Granted, BrokerState::Connected),
        (LinkEvent::Down, BrokerState::Disconnected),
        (
            LinkEvent::Denied(replog_nats::Denial::User),
            BrokerState::Denied,
        ),
        (up(), BrokerState::Denied),
        (LinkEvent::Granted, BrokerState::Connected),
    ] {
        world.link.send(event.clone()).unwrap();
        world.settled().await;
        assert_eq!(world.handle.broker(), state, "after {event:?}");
    }
    assert_eq!(world.input().await, "Up { max_payload: 1 }");
}
