//! A stop is heard by everybody who waits, at once.

use replog_protocol::leader::command::{Answer, AppendError, Unavailable, WaitEnd};
use tokio::time::{Instant, sleep, timeout};

use crate::world::{Setup, World, ms, secs};

#[tokio::test(start_paused = true)]
async fn whoever_waits_is_told_that_the_entry_is_in_the_log() {
    let mut world = World::new(Setup::listed(&["s1"])).await;
    world.must_post("first", 1).await;
    let wait = world.post("waits", 2, None);
    sleep(ms(100)).await;
    let begun = Instant::now();
    world.master.stop.cancel();
    let answer = timeout(secs(1), wait).await.expect("told").unwrap();
    let stopping = matches!(
        answer,
        Answer::NotReplicated {
            because: WaitEnd::Stopping,
            acks: 1,
            ..
        }
    );
    assert!(stopping, "{answer:?}");
    let ended = (&mut world.master.task).await.unwrap();
    ended.unwrap();
    assert!(begun.elapsed() < ms(100), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_recovery_is_told_that_nothing_was_appended() {
    let setup = Setup::listed(&["s1"]);
    let mut world = World::new(setup).await;
    world.broker.set_up(false);
    world.restart_master(); // it can ask nobody
    let wait = world.post("waits", 1, None);
    sleep(ms(100)).await;
    world.master.stop.cancel();
    let answer = timeout(ms(500), wait).await.expect("told at once").unwrap();
    let stopping = AppendError::Unavailable(Unavailable::Stopping);
    assert_eq!(answer, Answer::Refused(stopping));
    let ended = timeout(secs(1), &mut world.master.task).await;
    ended.expect("it ends").unwrap().unwrap();
}
