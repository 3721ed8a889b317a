//! Secondaries that come, come late, come back empty, or come twice.

use replog_protocol::leader::health::Status;
use replog_service::exit::Exit;
use replog_tests::memory_link::SentMessage;
use tokio::time::{sleep, timeout};

use crate::world::{Setup, World, ms, secs};

#[tokio::test(start_paused = true)]
async fn what_is_appended_is_everywhere_once_and_in_order() {
    let mut world = World::whole(Setup::listed(&["s1", "s2"])).await;
    for i in 0..20 {
        world.must_post(&format!("Msg{i}"), 3).await;
    }
    let expected: Vec<String> = (0..20).map(|i| format!("Msg{i}")).collect();
    assert_eq!(world.master.contents(), expected);
    world.all_alike().await;
}

#[tokio::test(start_paused = true)]
async fn who_comes_late_or_comes_back_empty_gets_everything() {
    let mut world = World::new(Setup::listed(&["s1", "s2"])).await;
    world.start("s1");
    for i in 0..500 {
        world.must_post(&format!("Msg{i}"), 2).await;
    }
    let waits = world.post("waits for s2", 3, None);
    world.start("s2");
    let answer = timeout(secs(60), waits).await.expect("released").unwrap();
    assert!(
        format!("{answer:?}").starts_with("Replicated"),
        "{answer:?}"
    );
    world.all_alike().await;

    world.start("s1"); // under the same name, with nothing
    world.must_post("with the refilled one", 3).await;
    world.all_alike().await;
}

#[tokio::test(start_paused = true)]
async fn the_second_process_of_a_name_ends_and_changes_nothing() {
    let mut world = World::whole(Setup::listed(&["s1"])).await;
    world.must_post("before", 2).await;
    let first = world.secondaries.remove("s1").unwrap();
    world.start("s1");
    let second = world.secondaries.remove("s1").unwrap();
    let ended = timeout(secs(5), second.task)
        .await
        .expect("it ends")
        .unwrap();
    assert_eq!(ended.unwrap_err().exit, Exit::CannotStart);
    world.secondaries.insert("s1".to_owned(), first);
    world.must_post("after", 2).await;
    world.all_alike().await;
}

#[tokio::test(start_paused = true)]
async fn a_master_that_comes_back_empty_takes_over_what_the_others_hold() {
    let mut world = World::whole(Setup::listed(&["s1", "s2"])).await;
    for i in 0..50 {
        world.must_post(&format!("Msg{i}"), 3).await;
    }
    let before = world.master.contents();
    world.restart_master();
    world.must_post("Msg50", 3).await;
    assert_eq!(world.master.contents()[..50], before[..]);
    world.all_alike().await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_cluster_says_heartbeats_and_their_answers_and_nothing_else() {
    let mut world = World::whole(Setup::listed(&["s1", "s2"])).await;
    world.must_post("Msg", 3).await;
    sleep(secs(2)).await;
    let before = world.broker.sent(|_| true).len();
    sleep(secs(10)).await;
    let sent: Vec<SentMessage> = world.broker.sent(|_| true).split_off(before);
    let other = |s: &&SentMessage| !s.is_kind("heartbeat") && !s.is_kind("ack");
    assert_eq!(sent.iter().find(other).map(|s| &s.subject), None);
    // Two secondaries, two heartbeats a second and as many answers, for ten seconds.
    assert!((70..=90).contains(&sent.len()), "{} messages", sent.len());
}

#[tokio::test(start_paused = true)]
async fn goodbye_makes_a_secondary_unhealthy_at_once() {
    let mut world = World::whole(Setup::listed(&["s1"])).await;
    world.must_post("Msg", 2).await;
    let s1 = world.secondaries.remove("s1").unwrap();
    s1.stop.cancel();
    timeout(secs(1), s1.task)
        .await
        .expect("it ends")
        .unwrap()
        .unwrap();
    sleep(ms(10)).await;
    let node = "s1".parse().unwrap();
    let status = world.master.handle.inspect(move |leader, now| {
        let peer = leader.peers().get(&node);
        peer.map(|p| p.status(now))
    });
    assert_eq!(status.await.flatten(), Some(Status::Unhealthy));
}
