//! One secondary a name: how a newcomer finds out.

use replog_common::service::exit::Exit;
use replog_common::service::storage::Storage;
use replog_common::types::NodeId;
use replog_nats::Subjects;
use replog_secondary::faults::Faults;
use replog_tests::line::Sent;
use tokio::time::{Instant, sleep};

use crate::world::{CLUSTER, Secondary, Setup, World, assert_took, ms, secs};

fn is_hello(sent: &Sent) -> bool {
    sent.subject == format!("replog.{CLUSTER}.ack.s1.hello")
}

#[tokio::test(start_paused = true)]
async fn a_free_name_is_taken_at_the_brokers_word() {
    let mut world = World::new(Setup::listed(&["s1"]));
    let began = Instant::now();
    world.start("s1").await;
    sleep(ms(5)).await;
    let hellos = world.hub.sent(is_hello);
    assert_eq!(hellos[0].at, began, "no wait");
    assert_eq!(world.master.healthy().await, 1);
}

#[tokio::test(start_paused = true)]
async fn silence_is_an_answer_after_a_second() {
    let mut world = World::new(Setup::listed(&["s1"]));
    // Somebody listens, so the broker says nothing; but nobody answers, as of a name whose last holder is stopped.
    let node: NodeId = "s1".parse().expect("a name");
    let _deaf = world
        .hub
        .connect("deaf", Subjects::of(CLUSTER).of_secondary(&node));
    let began = Instant::now();
    world.start("s1").await;
    sleep(secs(2)).await;
    let hellos = world.hub.sent(is_hello);
    assert_took(hellos[0].at - began, 1000);
    assert_eq!(world.master.append("hello", 2).await, 2);
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_second_ends_and_the_first_goes_on() {
    let world = World::of(&["s1"]).await;
    world.master.append("before", 2).await;
    let mut second = Secondary::start(&world.hub, "s1", Storage::memory(), Faults::default(), 9);
    let failure = second.ended().await.expect_err("the name is taken");
    assert_eq!(failure.exit, Exit::CannotStart);
    assert!(failure.why.contains("--node-id"), "{}", failure.why);
    assert!(world.secondary("s1").is_running());
    assert_eq!(world.master.append("after", 2).await, 2);
    assert_eq!(world.secondary("s1").contents(), ["before", "after"]);
}

#[tokio::test(start_paused = true)]
async fn of_two_that_start_together_one_stays() {
    let world = World::new(Setup::listed(&["s1"]));
    let one = Secondary::start(&world.hub, "s1", Storage::memory(), Faults::default(), 1);
    let other = Secondary::start(&world.hub, "s1", Storage::memory(), Faults::default(), 2);
    sleep(secs(3)).await;
    assert_ne!(one.is_running(), other.is_running());
    assert_eq!(world.master.append("hello", 2).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_breaks_while_the_name_is_asked_for_asks_again() {
    let mut world = World::new(Setup::listed(&["s1"]));
    world.hub.cut("s1");
    world.start("s1").await;
    sleep(secs(10)).await;
    assert!(world.hub.sent(|s| &*s.from == "s1").is_empty());
    world.hub.mend("s1");
    sleep(ms(5)).await;
    assert_eq!(world.master.healthy().await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_refuses_ends_the_program() {
    let mut world = World::of(&["s1"]).await;
    world.hub.refuse("s1", "no permission for replog.test.ack");
    let mut refused = world.secondaries.remove("s1").expect("it was started");
    let failure = refused.ended().await.expect_err("refused");
    assert_eq!(failure.exit, Exit::CannotStart);
    world.hub.refuse("master", "no permission");
    sleep(ms(5)).await;
    assert!(world.master.has_ended());
}
