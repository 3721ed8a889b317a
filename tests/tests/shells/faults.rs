//! The faults that a secondary can be told to have.

use replog_secondary::faults::Faults;
use tokio::time::sleep;

use crate::world::{Setup, World, acks, assert_took, ms, secs, timed};

async fn with(faults: Faults) -> World {
    let mut world = World::new(Setup::listed(&["s1"]));
    world.start_with("s1", faults).await;
    sleep(ms(50)).await;
    assert_eq!(world.master.healthy().await, 1);
    world
}

#[tokio::test(start_paused = true)]
async fn a_delay_holds_up_entries_and_no_heartbeat() {
    let delay = secs(60);
    let world = with(Faults {
        delay,
        ..Faults::default()
    })
    .await;
    let waits = tokio::spawn(timed(world.master.post("slow", 2, None)));
    for _ in 0..119 {
        sleep(ms(500)).await;
        assert_eq!(world.master.statuses().await, ["healthy"]);
        assert!(!waits.is_finished());
    }
    let health = serde_json::to_value(world.secondary("s1").health().await).expect("JSON");
    assert_eq!(
        (&health["status"], &health["lag"]),
        (&"catching_up".into(), &1.into())
    );
    let (took, told) = waits.await.expect("it ends");
    assert_took(took, 60_000);
    assert_eq!(acks(told.expect("an answer")), 2);
}

#[tokio::test(start_paused = true)]
async fn a_delay_that_is_taken_back_also_ends_for_what_waits_already() {
    let delay = secs(3600);
    let world = with(Faults {
        delay,
        ..Faults::default()
    })
    .await;
    let waits = tokio::spawn(world.master.post("slow", 2, None));
    sleep(secs(10)).await;
    world
        .secondary("s1")
        .faults
        .send_modify(|f| f.delay = ms(0));
    sleep(ms(10)).await;
    assert!(waits.is_finished(), "it still waits for an hour");
}

#[tokio::test(start_paused = true)]
async fn appends_that_follow_one_another_are_each_delayed_once() {
    let delay = secs(2);
    let world = with(Faults {
        delay,
        ..Faults::default()
    })
    .await;
    let mut waits = Vec::new();
    for i in 0..10 {
        let wait = world.master.post(&format!("Msg{i}"), 2, None);
        waits.push(tokio::spawn(timed(wait)));
        sleep(ms(10)).await;
    }
    for wait in waits {
        let (took, told) = wait.await.expect("it ends");
        assert_eq!(acks(told.expect("an answer")), 2);
        // Four are in flight at a time; those behind them go when the first is answered, not one after another.
        assert!(took <= ms(4100), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn errors_instead_of_acks_cost_retries_and_nothing_else() {
    let world = with(Faults {
        error_rate: 0.7,
        ..Faults::default()
    })
    .await;
    for i in 0..100 {
        let (took, told) = timed(world.master.append(&format!("Msg{i}"), 2)).await;
        assert!(told == 2 && took < secs(10), "{took:?}");
    }
    assert_eq!(world.secondary("s1").contents(), world.master.contents());
    let health = serde_json::to_value(world.secondary("s1").health().await).expect("JSON");
    let duplicates = health["duplicates"].as_u64().expect("a number");
    assert!(duplicates > 50, "{duplicates}: sent again, kept once");
    assert_eq!(world.master.healthy().await, 1);
}

#[tokio::test(start_paused = true)]
async fn lost_entries_come_again_and_in_order() {
    let world = with(Faults {
        drop_rate: 0.4,
        ..Faults::default()
    })
    .await;
    let waits: Vec<_> = (0..300)
        .map(|i| world.master.post(&format!("Msg{i}"), 2, None))
        .collect();
    let (took, ()) = timed(async {
        for wait in waits {
            assert_eq!(acks(wait.await.expect("an answer")), 2);
        }
    })
    .await;
    assert!(took < secs(30), "{took:?}");
    assert_eq!(world.secondary("s1").contents(), world.master.contents());
}

#[tokio::test(start_paused = true)]
async fn a_secondary_that_loses_everything_stays_healthy_and_recovers_with_its_faults() {
    let world = with(Faults {
        drop_rate: 1.0,
        ..Faults::default()
    })
    .await;
    let mut waits = world.master.post("hello", 2, None);
    sleep(secs(120)).await;
    assert!(waits.try_recv().is_err());
    assert_eq!(world.master.statuses().await, ["healthy"]);
    world.secondary("s1").faults.send_replace(Faults::default());
    let (took, told) = timed(waits).await;
    assert!(
        took <= secs(5),
        "{took:?}: the longest pause between two tries"
    );
    assert_eq!(acks(told.expect("an answer")), 2);
}
