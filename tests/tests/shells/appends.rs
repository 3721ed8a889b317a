//! Write concerns, to the millisecond.

use replog_common::protocol::outcome::{Outcome, Refusal};
use replog_secondary::faults::Faults;
use tokio::time::{Instant, sleep};

use crate::world::{Setup, World, acks, assert_took, ms, secs, timed};

fn delay(delay: std::time::Duration) -> Faults {
    Faults {
        delay,
        ..Faults::default()
    }
}

/// A master and two secondaries that apply after one second and after two.
async fn slow() -> World {
    let mut world = World::new(Setup::listed(&["s1", "s2"]));
    world.start_with("s1", delay(secs(1))).await;
    world.start_with("s2", delay(secs(2))).await;
    sleep(ms(50)).await;
    assert_eq!(world.master.healthy().await, 2);
    world
}

#[tokio::test(start_paused = true)]
async fn w_3_costs_the_longest_delay_and_not_the_sum() {
    let world = slow().await;
    let (took, told) = timed(world.master.append("three", 3)).await;
    assert_took(took, 2000);
    assert_eq!(told, 3);
    let (took, told) = timed(world.master.append("two", 2)).await;
    assert_took(took, 1000);
    assert_eq!(told, 2);
    let (took, told) = timed(world.master.append("one", 1)).await;
    assert_took(took, 0);
    assert_eq!(told, 1);
}

#[tokio::test(start_paused = true)]
async fn many_at_once_take_no_longer_than_one_and_none_waits_for_a_higher_w() {
    let world = slow().await;
    let began = Instant::now();
    let post = |w: u32| world.master.post(&format!("w {w}"), w, None);
    let waits: Vec<_> = (0..300).map(|i| (1 + i % 3, post(1 + i % 3))).collect();
    let mut ends = Vec::new();
    for (w, wait) in waits {
        ends.push(tokio::spawn(async move {
            assert!(acks(wait.await.expect("an answer")) >= w);
            (w, began.elapsed())
        }));
    }
    for end in ends {
        let (w, took) = end.await.expect("answered");
        assert_took(took, [0, 1000, 2000][w as usize - 1]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_nobody_waits_for_leaves_within_milliseconds() {
    let world = World::of(&["s1", "s2"]).await;
    world.hub.forget_sent();
    let posted = Instant::now();
    assert_eq!(world.master.append("lazy", 1).await, 1);
    assert_eq!(posted.elapsed(), ms(0), "answered without anybody's word");
    sleep(ms(20)).await;
    let appends = world.hub.sent(|s| s.is_kind("append"));
    assert_eq!(appends.len(), 2, "one message a secondary");
    for append in appends {
        let late = append.at - posted;
        assert!(late >= ms(1) && late <= ms(3), "{late:?}: linger is 1 ms");
    }
    // Company on the way: what nobody waits for goes with what somebody waits for.
    world.hub.forget_sent();
    drop(world.master.post("lazy", 1, None));
    assert_took(timed(world.master.append("urgent", 3)).await.0, 0);
    let together = world.hub.sent(|s| s.is_about("append", "s1"));
    assert_eq!(together.len(), 1, "one message for both");
    assert_eq!(world.secondary("s1").contents().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_ends_the_wait_and_not_the_entry() {
    let mut world = World::new(Setup::listed(&["s1"]));
    let (took, told) = timed(world.master.post("a", 2, Some(ms(300)))).await;
    assert_took(took, 300);
    let (at, outcome) = told.expect("an answer").expect("placed");
    assert_eq!((at.seq.0, outcome), (1, Outcome::TimedOut { acks: 1 }));
    let (took, told) = timed(world.master.post("b", 2, Some(ms(0)))).await;
    assert_took(took, 0);
    assert!(matches!(told, Ok(Ok((_, Outcome::TimedOut { acks: 1 })))));
    let patient = world.master.post("c", 2, Some(secs(60)));
    sleep(secs(30)).await;
    world.start("s1").await;
    assert_eq!(acks(patient.await.expect("an answer")), 2);
    assert_eq!(world.secondary("s1").contents(), ["a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn more_nodes_than_listed_are_refused_and_nothing_is_appended() {
    let world = World::of(&["s1", "s2"]).await;
    let told = world.master.post("four", 4, None).await.expect("an answer");
    assert_eq!(told, Err(Refusal::TooManyNodes { w: 4, nodes: 3 }));
    assert!(world.master.contents().is_empty());
}

#[tokio::test(start_paused = true)]
async fn with_open_membership_a_w_that_nobody_meets_yet_waits_for_whoever_joins() {
    let mut world = World::new(Setup::listed(&[]));
    let waits = world.master.post("three", 3, None);
    world.start("s1").await;
    sleep(secs(1)).await;
    assert_eq!(world.secondary("s1").contents(), ["three"]);
    world.start("s2").await;
    assert_eq!(acks(waits.await.expect("an answer")), 3);
}
