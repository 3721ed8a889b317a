//! Secondaries that come late, come back, and come back empty.

use replog_secondary::faults::Faults;
use tokio::time::sleep;

use crate::world::{Setup, World, acks, assert_took, ms, secs, timed};

#[tokio::test(start_paused = true)]
async fn whoever_joins_late_gets_everything_at_once() {
    let mut world = World::new(Setup::listed(&["s1", "s2"]));
    world.start("s1").await;
    for i in 1..=500 {
        world.master.append(&format!("Msg{i}"), 2).await;
    }
    let mut waits = world.master.post("the last", 3, None);
    sleep(secs(100)).await;
    assert!(waits.try_recv().is_err(), "w=3 waits for the third node");
    world.hub.forget_sent();
    world.start("s2").await;
    let (took, told) = timed(waits).await;
    assert_took(took, 0);
    assert_eq!(acks(told.expect("an answer")), 3);
    let shown = world.secondary("s2").contents();
    assert_eq!(shown, world.master.contents());
    assert_eq!((shown.len(), shown[0].as_str()), (501, "Msg1"));
    let appends = world.hub.sent(|s| s.is_about("append", "s2")).len();
    assert!(appends <= 3, "{appends} messages: batches, and none twice");
}

#[tokio::test(start_paused = true)]
async fn the_acceptance_check() {
    let mut world = World::new(Setup::listed(&["s1", "s2"]));
    world.start("s1").await;
    assert_eq!(world.master.append("Msg1", 1).await, 1);
    assert_eq!(world.master.append("Msg2", 2).await, 2);
    let mut third = world.master.post("Msg3", 3, None);
    assert_eq!(world.master.append("Msg4", 1).await, 1);
    sleep(secs(20)).await;
    assert!(third.try_recv().is_err());
    world.start("s2").await;
    assert_eq!(acks(third.await.expect("an answer")), 3);
    sleep(ms(5)).await;
    let all = ["Msg1", "Msg2", "Msg3", "Msg4"];
    assert_eq!(world.secondary("s2").contents(), all);
    assert_eq!(world.secondary("s1").contents(), all);
}

#[tokio::test(start_paused = true)]
async fn a_secondary_that_comes_back_empty_counts_only_for_what_it_was_sent_again() {
    let mut world = World::of(&["s1", "s2"]).await;
    assert_eq!(world.master.append("before", 3).await, 3);
    assert_eq!(world.master.holders(1).await, ["master", "s1", "s2"]);
    world.kill("s2").await;
    let mut waits = world.master.post("meanwhile", 3, None);
    sleep(secs(30)).await;
    assert!(waits.try_recv().is_err());
    let slow = Faults {
        delay: secs(5),
        ..Faults::default()
    };
    world.start_with("s2", slow).await;
    sleep(secs(1)).await;
    assert_eq!(world.secondary("s2").last_seq(), 0);
    let holders = world.master.holders(1).await;
    assert_eq!(holders, ["master", "s1"], "it has lost what it held");
    assert!(waits.try_recv().is_err());
    let (took, told) = timed(waits).await;
    assert_took(took, 4000);
    assert_eq!(acks(told.expect("an answer")), 3);
    assert_eq!(world.secondary("s2").contents(), ["before", "meanwhile"]);
}

#[tokio::test(start_paused = true)]
async fn a_secondary_that_is_cleared_is_filled_again() {
    let world = World::of(&["s1"]).await;
    for i in 1..=20 {
        world.master.append(&format!("Msg{i}"), 2).await;
    }
    world.hub.forget_sent();
    assert_eq!(world.secondary("s1").clear().await, Ok(()));
    world.converge(secs(2)).await;
    let sent = world.hub.sent(|s| s.is_about("append", "s1"));
    let text = String::from_utf8_lossy(&sent[0].payload).into_owned();
    assert!(
        text.contains("\"Msg1\"") && text.contains("\"Msg20\""),
        "{text}"
    );
    assert_eq!(world.master.append("after", 2).await, 2);
}

#[tokio::test(start_paused = true)]
async fn whoever_is_not_listed_is_filled_and_does_not_count() {
    let mut world = World::of(&["s1"]).await;
    world.start("guest").await;
    sleep(ms(50)).await;
    world.kill("s1").await;
    let mut waits = world.master.post("for members", 2, None);
    sleep(secs(10)).await;
    assert!(
        waits.try_recv().is_err(),
        "the guest holds it and does not count"
    );
    assert_eq!(world.secondary("guest").contents(), ["for members"]);
    world.start("s1").await;
    assert_eq!(acks(waits.await.expect("an answer")), 2);
    let health = world.master.health().await;
    assert_eq!(health["observers"][0]["id"], "guest");
}
