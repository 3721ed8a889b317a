//! Links and brokers that go and come back.

use replog_tests::memory_link::Faults;
use tokio::time::{sleep, timeout};

use crate::world::{Setup, World, ms, secs};

#[tokio::test(start_paused = true)]
async fn without_a_broker_one_node_is_enough_for_w_1_and_the_rest_follows() {
    let mut world = World::whole(Setup::listed(&["s1", "s2"])).await;
    world.must_post("before", 3).await;
    world.broker.set_up(false);
    world.must_post("alone", 1).await;
    let mut waits = world.post("waits", 2, None);
    sleep(secs(30)).await;
    assert!(waits.try_recv().is_err(), "nobody else can hold it");
    world.broker.set_up(true);
    timeout(secs(10), waits).await.expect("released").unwrap();
    world.all_alike().await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_cut_off_catches_up_at_its_first_sign_of_life() {
    let mut world = World::whole(Setup::listed(&["s1", "s2"])).await;
    world.must_post("before", 3).await;
    world.broker.cut_off("s2");
    for i in 0..100 {
        world.must_post(&format!("Msg{i}"), 2).await;
    }
    sleep(secs(60)).await; // the backoff is at its longest by now
    world.broker.reconnect("s2");
    world.must_post("after", 3).await;
    world.all_alike().await;
}

#[tokio::test(start_paused = true)]
async fn a_dead_node_costs_one_small_message_per_backoff() {
    let mut world = World::whole(Setup::listed(&["s1", "s2"])).await;
    world.must_post("before", 3).await;
    world.broker.set_faults_of("s2", Some(Faults::SILENCE));
    for i in 0..50 {
        world.must_post(&format!("Msg{i}"), 2).await;
    }
    sleep(secs(30)).await;
    let sent = || world.broker.sent(|s| s.subject.ends_with(".s2")).len();
    let before = sent();
    sleep(secs(60)).await;
    let more = sent() - before;
    assert!(
        (6..=30).contains(&more),
        "{more} messages a minute to a dead node"
    );
}

#[tokio::test(start_paused = true)]
async fn a_slow_link_delays_and_loses_nothing() {
    let mut world = World::whole(Setup::listed(&["s1", "s2"])).await;
    world.broker.set_faults(Faults {
        delay_min: ms(100),
        delay_max: ms(400),
        ..Faults::NONE
    });
    for i in 0..30 {
        world.must_post(&format!("Msg{i}"), 3).await;
    }
    world.all_alike().await;
}
