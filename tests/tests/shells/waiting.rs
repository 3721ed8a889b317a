//! Those who wait: they hang up, the master stops, the log is cleared.

use replog_common::protocol::outcome::{Outcome, ReadOnly, Refusal};
use tokio::time::sleep;

use crate::world::{Setup, World, acks, ms, secs};

fn narrow(places: usize) -> World {
    let mut setup = Setup::listed(&["s1"]);
    setup.replication.max_waiting = places;
    World::new(setup)
}

#[tokio::test(start_paused = true)]
async fn whoever_hangs_up_frees_a_place() {
    let world = narrow(10);
    let mut waits = Vec::new();
    for i in 0..10 {
        waits.push(world.master.post(&format!("waits {i}"), 2, None));
    }
    sleep(ms(5)).await;
    assert_eq!(world.master.health().await["waiting"], 10);
    let full = Err(Refusal::ReadOnly(ReadOnly::TooManyWaiting));
    let told = world.master.post("no place", 2, None).await;
    assert_eq!(told.expect("an answer"), full);
    waits.truncate(7);
    for i in 0..3 {
        waits.push(world.master.post(&format!("in their place {i}"), 2, None));
        sleep(ms(5)).await;
    }
    let told = world.master.post("no place", 2, None).await;
    assert_eq!(told.expect("an answer"), full);
    assert_eq!(world.master.health().await["waiting"], 10);
    assert_eq!(world.master.contents().len(), 13, "refused: not appended");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_hangs_up_changes_nothing_for_its_entry() {
    let mut world = narrow(10);
    for i in 0..5 {
        drop(world.master.post(&format!("Msg{i}"), 2, None));
    }
    sleep(ms(5)).await;
    world.start("s1").await;
    world.converge(ms(50)).await;
    assert_eq!(world.secondary("s1").last_seq(), 5);
    assert_eq!(world.master.health().await["waiting"], 0);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_when_the_master_stops_is_answered() {
    let mut world = World::new(Setup::listed(&["s1", "s2"]));
    world.start("s1").await;
    sleep(ms(50)).await;
    let waits: Vec<_> = (0..20)
        .map(|i| world.master.post(&format!("Msg{i}"), 3, None))
        .collect();
    let body = r#"{"content":"over HTTP","w":3}"#;
    let http = tokio::spawn(world.master.call("POST", "/messages", body));
    sleep(secs(5)).await;
    world.master.stop().await;
    for (seq, wait) in (1..).zip(waits) {
        let (at, outcome) = wait.await.expect("an answer").expect("placed");
        assert_eq!((at.seq.0, outcome), (seq, Outcome::Stopping { acks: 2 }));
    }
    let (status, problem) = http.await.expect("an answer");
    assert_eq!(status, 504);
    assert_eq!(problem["reason"], "stopping");
    assert_eq!(problem["in_log"], true);
    assert_eq!((&problem["seq"], &problem["acks"]), (&21.into(), &2.into()));
    let after = world.master.post("after", 1, None).await;
    let stopping = Err(Refusal::ReadOnly(ReadOnly::Stopping));
    assert_eq!(after.expect("an answer"), stopping);
    assert_eq!(world.master.contents().len(), 21);
}

#[tokio::test(start_paused = true)]
async fn clearing_answers_whoever_waits_and_the_secondaries_follow() {
    let world = World::of(&["s1", "s2"]).await;
    for i in 0..10 {
        world.master.append(&format!("old {i}"), 3).await;
    }
    world.hub.cut("s2");
    let waits = world.master.post("waits", 3, None);
    let before = world.master.log_id();
    sleep(secs(1)).await;
    let (status, cleared) = world.master.call("POST", "/clear", "").await;
    assert_eq!((status, &cleared["status"]), (200, &"cleared".into()));
    assert_ne!(world.master.log_id(), before);
    let (_, outcome) = waits.await.expect("an answer").expect("placed");
    assert_eq!(outcome, Outcome::Cleared);
    assert_eq!(world.master.append("new", 2).await, 2);
    assert_eq!(world.secondary("s1").contents(), ["new"]);
    assert_eq!(world.secondary("s2").last_seq(), 10, "it has slept through");
    // Cleared again while it is away: the histories in between are known to the new one.
    for i in 0..3 {
        world.master.call("POST", "/clear", "").await;
        world.master.append(&format!("newer {i}"), 2).await;
    }
    world.hub.mend("s2");
    let told = world.master.post("newest", 3, Some(secs(5))).await;
    assert_eq!(acks(told.expect("an answer")), 3);
    world.converge(ms(10)).await;
    assert_eq!(world.secondary("s2").contents(), ["newer 2", "newest"]);
    assert_eq!(world.master.healthy().await, 2);
}

#[tokio::test(start_paused = true)]
async fn clearing_while_a_secondary_applies_late_does_not_bring_the_old_back() {
    let world = World::of(&["s1"]).await;
    world
        .secondary("s1")
        .faults
        .send_modify(|f| f.delay = secs(3));
    let old = world.master.post("old", 2, None);
    sleep(secs(1)).await;
    world.master.call("POST", "/clear", "").await;
    let (_, outcome) = old.await.expect("an answer").expect("placed");
    assert_eq!(outcome, Outcome::Cleared);
    let shown = world.secondary("s1").views.clone();
    let seen = tokio::spawn(async move {
        let mut seen = Vec::new();
        for _ in 0..6000 {
            let contents = crate::world::contents(&shown.borrow());
            if seen.last() != Some(&contents) {
                seen.push(contents);
            }
            sleep(ms(10)).await;
        }
        seen
    });
    assert_eq!(world.master.append("new", 2).await, 2);
    let seen = seen.await.expect("it ends");
    assert_eq!(seen, [vec![], vec!["new"]], "the old one was never shown");
    assert_eq!(world.secondary("s1").contents(), ["new"]);
    assert_eq!(world.master.healthy().await, 1);
}
