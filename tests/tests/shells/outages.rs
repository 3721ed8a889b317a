//! Links that break, nodes that are gone, and what they cost.

use replog_tests::line::{Fate, Hub, Sent, Weather};
use tokio::time::{Instant, sleep};

use crate::world::{Setup, World, acks, assert_took, ms, secs, timed};

/// What the master wanted to send to secondaries.
fn to_secondaries(hub: &Hub) -> Vec<Sent> {
    hub.sent(|s| s.is_kind("append") || s.is_kind("heartbeat"))
}

#[tokio::test(start_paused = true)]
async fn without_a_broker_nothing_is_sent_and_everything_goes_on_when_it_is_back() {
    let world = World::of(&["s1", "s2"]).await;
    world.hub.set_up(false);
    sleep(ms(5)).await;
    world.hub.forget_sent();
    assert_eq!(world.master.health().await["broker"], "disconnected");
    assert_eq!(world.master.append("one", 1).await, 1);
    let waits: Vec<_> = (0..50)
        .map(|i| world.master.post(&format!("three {i}"), 3, None))
        .collect();
    sleep(secs(300)).await;
    let tried = to_secondaries(&world.hub);
    assert!(tried.is_empty(), "not even tried: {tried:?}");
    let refused = world.hub.sent(|s| s.fate == Fate::Refused);
    assert!(refused.is_empty(), "{refused:?}");
    assert_eq!(
        world.master.statuses().await,
        ["healthy", "healthy"],
        "it is the broker that is gone, not they"
    );
    world.hub.set_up(true);
    let up = Instant::now();
    for wait in waits {
        assert_eq!(acks(wait.await.expect("an answer")), 3);
    }
    assert_took(up.elapsed(), 0);
    assert_eq!(world.secondary("s1").contents(), world.master.contents());
    // All of them in a few messages: what waited for the line does not burst.
    let sent = to_secondaries(&world.hub).len();
    assert!(sent <= 8, "{sent} messages");
}

#[tokio::test(start_paused = true)]
async fn a_secondary_whose_line_breaks_goes_on_where_it_was() {
    let world = World::of(&["s1", "s2"]).await;
    assert_eq!(world.master.append("before", 3).await, 3);
    world.hub.cut("s2");
    assert_eq!(world.master.append("meanwhile", 2).await, 2);
    let waits = world.master.post("for all", 3, None);
    sleep(secs(60)).await;
    assert_eq!(world.master.statuses().await, ["healthy", "unhealthy"]);
    world.hub.forget_sent();
    world.hub.mend("s2");
    let (took, told) = timed(waits).await;
    assert_took(took, 0);
    assert_eq!(acks(told.expect("an answer")), 3);
    let sent = world.hub.sent(|s| s.is_about("append", "s2"));
    let text = String::from_utf8_lossy(&sent[0].payload).into_owned();
    assert!(sent.len() == 1 && !text.contains("before"), "{text}");
    assert_eq!(world.master.healthy().await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_master_whose_line_breaks_trusts_nobody_until_they_are_heard() {
    let world = World::of(&["s1", "s2"]).await;
    world.hub.cut("master");
    sleep(secs(60)).await;
    world.hub.set_weather(Weather::SILENCE);
    world.hub.mend("master");
    sleep(ms(100)).await;
    assert_eq!(world.master.health().await["quorum"]["alive"], 1);
    world.hub.set_weather(Weather::CLEAR);
    sleep(secs(5)).await;
    assert_eq!(world.master.health().await["quorum"]["alive"], 3);
}

/// Ten minutes of appends that the others hold. Hands out what was sent to `s2` meanwhile.
async fn ten_minutes_without_s2(world: &World) -> Vec<Sent> {
    sleep(secs(20)).await; // it is noticed, and the backoff grows
    world.hub.forget_sent();
    let end = Instant::now() + secs(600);
    let mut i = 0;
    while Instant::now() < end {
        i += 1;
        let content = format!("a content that is not small, {i} {}", "x".repeat(1000));
        world.master.append(&content, 1 + i % 2).await;
        sleep(ms(100)).await;
    }
    let to_others = world.hub.sent(|s| s.is_about("append", "s1")).len();
    assert!(to_others >= 5900, "{to_others} appends to the living one");
    world
        .hub
        .sent(|s| s.is_about("append", "s2") || s.is_about("heartbeat", "s2"))
}

#[track_caller]
fn assert_small_and_rare(sent: &[Sent]) {
    // Equal jitter around a cap of 5 s: one message in 2.5 s to 5 s.
    let count = sent.len();
    assert!((120..=240).contains(&count), "{count} messages in 600 s");
    for pair in sent.windows(2) {
        let pause = pair[1].at - pair[0].at;
        assert!(pause >= ms(2500) && pause <= ms(5002), "{pause:?}");
    }
    let bytes = sent.iter().map(|s| s.payload.len()).max();
    assert!(bytes <= Some(512), "{bytes:?} bytes");
}

#[tokio::test(start_paused = true)]
async fn a_secondary_that_is_gone_costs_one_small_message_a_backoff() {
    let mut world = World::of(&["s1", "s2"]).await;
    world.kill("s2").await;
    assert_small_and_rare(&ten_minutes_without_s2(&world).await);
    let (took, _) = timed(world.start("s2")).await;
    assert_took(took, 0);
    assert_took(timed(world.master.append("again", 3)).await.0, 0);
}

#[tokio::test(start_paused = true)]
async fn a_secondary_that_hears_nothing_costs_one_small_message_a_backoff() {
    let world = World::of(&["s1", "s2"]).await;
    // Its line is there and its subscription too: the broker has nothing to say.
    world.hub.set_weather_of("s2", Some(Weather::SILENCE));
    assert_small_and_rare(&ten_minutes_without_s2(&world).await);
    world.hub.set_weather_of("s2", None);
    let (took, told) = timed(world.master.append("again", 3)).await;
    assert!(took <= secs(5), "{took:?}: the next question finds it");
    assert_eq!(told, 3);
}

#[tokio::test(start_paused = true)]
async fn a_secondary_that_never_came_costs_one_small_message_a_backoff() {
    let mut world = World::new(Setup::listed(&["s1", "s2"]));
    world.start("s1").await;
    assert_small_and_rare(&ten_minutes_without_s2(&world).await);
    assert_eq!(world.master.statuses().await, ["healthy", "unknown"]);
}

#[tokio::test(start_paused = true)]
async fn a_line_that_is_full_is_tried_again() {
    let world = World::of(&["s1"]).await;
    world.hub.set_weather(Weather {
        refusal: 0.5,
        ..Weather::CLEAR
    });
    for i in 0..20 {
        let (took, _) = timed(world.master.append(&format!("Msg{i}"), 2)).await;
        assert!(took < secs(30), "{took:?}");
    }
    assert_eq!(world.secondary("s1").contents(), world.master.contents());
}
