use replog_protocol::leader::health::Status;
use replog_protocol::node::{Purpose, Read};

use super::*;

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_or_replied_before_the_write_has_ended() {
    let mut world = World::start();
    let write = world.hold_next_write();
    world.put(7);
    assert_eq!(world.begun.recv().await, Some(1));
    // The task goes on meanwhile.
    world.settled().await;
    assert_eq!(world.effects.all(), ["write 1"]);
    assert_eq!(world.handle.views().borrow().snapshot.last, Seq::ZERO);
    write.send(done()).unwrap();
    assert_eq!(world.replies.recv().await, Some(7));
    world.settled().await;
    assert_eq!(
        world.effects.all(),
        ["write 1", "written", "sent to a", "reply 7"]
    );
    assert_eq!(world.handle.views().borrow().snapshot.last, Seq(1));
    let seen = world.seen_at_reply.lock().unwrap().clone();
    assert_eq!(seen, [Seq(1)], "who is answered can read it");
}

#[tokio::test(start_paused = true)]
async fn one_ready_is_carried_out_in_the_order_of_its_fields() {
    let mut world = World::start();
    let event = replog_protocol::event::Event::Healthy {
        node: node_id("a"),
        from: Status::Unknown,
    };
    world.hand_out(Ready {
        follow: None,
        end: Some(End::StorageFailed("on purpose".into())),
        events: vec![event],
        snapshot: Some(Snapshot {
            last: Seq(3),
            ..Snapshot::default()
        }),
        replies: vec![1, 2],
        messages: vec![heartbeat("a", 3), heartbeat("b", 3)],
        reads: vec![Read {
            purpose: Purpose::Duplicate(1),
            query: Query::Range {
                first: Seq(1),
                last: Seq(1),
                max_bytes: 1,
            },
        }],
        write: Some(WriteJob {
            entries: vec![batch(1, 3)],
            ..WriteJob::default()
        }),
    });
    let ended = world.ended().await.unwrap();
    assert_eq!(ended, Err(Failure::disk_failed("on purpose")));
    assert_eq!(
        world.effects.all(),
        [
            "write 3",
            "read now",
            "sent to a",
            "sent to b",
            "reply 1",
            "reply 2",
            "event healthy"
        ]
    );
    let mut inputs = Vec::new();
    while let Some(input) = world.inputs.recv().await {
        inputs.push(input);
    }
    assert_eq!(
        inputs,
        ["Client", &format!("{:?}", done()), "Page(Ok(false))"]
    );
}

#[tokio::test(start_paused = true)]
async fn what_comes_during_a_write_is_the_next_write() {
    let mut world = World::start();
    let write = world.hold_next_write();
    world.put(1);
    assert_eq!(world.begun.recv().await, Some(1));
    for n in 2..=50 {
        world.put(n);
    }
    world.settled().await;
    let second = world.hold_next_write();
    write.send(done()).unwrap();
    assert_eq!(world.begun.recv().await, Some(49));
    assert_eq!(world.replies.recv().await, Some(1));
    second.send(done()).unwrap();
    for n in 2..=50 {
        assert_eq!(world.replies.recv().await, Some(n));
    }
}

#[tokio::test(start_paused = true)]
async fn handlers_that_are_about_to_ask_get_into_the_same_batch_for_a_few_turns() {
    let mut world = World::start();
    world.settled().await;
    for n in 1..=30 {
        world.put(n);
        tokio::task::yield_now().await; // one turn of the task
    }
    let first = world.begun.recv().await.unwrap();
    assert!((8..=10).contains(&first), "{first} in the first batch");
    let mut written = first;
    while written < 30 {
        written += world.begun.recv().await.unwrap();
    }
    assert_eq!(written, 30);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_never_silent_keeps_nobody_waiting() {
    let mut world = World::start();
    let write = world.hold_next_write();
    world.put(1);
    world.begun.recv().await.unwrap();
    write.send(done()).unwrap();
    let at = world.clock.now() + Duration::from_millis(1);
    world.handle.try_command(Command::TickAt(at)).unwrap();
    world.settled().await;
    tokio::time::advance(Duration::from_millis(1)).await;
    // More than the task takes at one time.
    for _ in 0..5 * MAX_TAKEN {
        world.link.send(LinkEvent::Down).unwrap();
    }
    world.put(2);
    let (mut downs, mut others) = (0, Vec::new());
    while downs < 5 * MAX_TAKEN {
        match world.input().await {
            input if input == "Down" => downs += 1,
            input => others.push((input, downs / MAX_TAKEN)),
        }
    }
    for input in ["Tick", "Put(2)"] {
        let when = others.iter().find(|(other, _)| other == input);
        let (_, round) = when.unwrap_or_else(|| panic!("no {input} before the last event"));
        assert!(*round <= 1, "{input} in round {round}");
    }
}
