//! Clients that wait, as long as they like, in nobody's way.

use replog_protocol::leader::command::{Answer, AppendError, Unavailable, WaitEnd};
use tokio::time::{Instant, sleep, timeout};

use crate::world::{Setup, World, ms, secs};

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_dead_node_holds_up_nobody() {
    let mut world = World::new(Setup::listed(&["s1", "s2"])).await;
    world.start("s1");
    world.must_post("first", 2).await;
    let waits: Vec<_> = (0..300)
        .map(|i| world.post(&format!("waits {i}"), 3, None))
        .collect();
    for i in 0..100 {
        world.must_post(&format!("Msg{i}"), 2).await;
    }
    world.start("s2");
    for wait in waits {
        let answer = timeout(secs(60), wait).await.expect("released").unwrap();
        assert!(
            matches!(answer, Answer::Replicated { acks: 3, .. }),
            "{answer:?}"
        );
    }
    world.all_alike().await;
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_when_its_time_is_up_and_the_entry_stays() {
    let mut world = World::new(Setup::listed(&["s1"])).await;
    world.must_post("first", 1).await;
    let begun = Instant::now();
    let answer = world.post("late", 2, Some(ms(700))).await.unwrap();
    assert_eq!(begun.elapsed().as_millis(), 700);
    let because = match answer {
        Answer::NotReplicated {
            because, acks: 1, ..
        } => because,
        other => panic!("{other:?}"),
    };
    assert_eq!(because, WaitEnd::Timeout);
    world.start("s1");
    world.secondaries["s1"].shows(2).await;
}

#[tokio::test(start_paused = true)]
async fn a_full_waiting_room_refuses_and_clients_that_left_make_room() {
    let mut setup = Setup::listed(&["s1"]);
    setup.replication.max_waiting = 10;
    let mut world = World::new(setup).await;
    world.must_post("first", 1).await;
    let waits: Vec<_> = (0..10)
        .map(|i| world.post(&format!("{i}"), 2, None))
        .collect();
    let refused = world.post("one too many", 2, None).await.unwrap();
    let full = AppendError::Unavailable(Unavailable::TooManyWaiting);
    assert_eq!(refused, Answer::Refused(full));
    world.must_post("needs nobody else", 1).await;
    drop(waits); // they hang up
    let mut room = world.post("takes a place", 2, None);
    sleep(secs(1)).await;
    assert!(room.try_recv().is_err(), "it waits");
}
