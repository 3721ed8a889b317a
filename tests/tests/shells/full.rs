//! A secondary whose disk is full, or fails.

use std::time::Duration;

use replog_common::entry::Position;
use replog_common::log::tape::Refuses;
use replog_common::message::Ack;
use replog_common::protocol::recovery::RecoverySettings;
use replog_common::service::exit::Exit;
use replog_common::types::Epoch;
use replog_secondary::follow::NoRoom;
use tokio::time::sleep;

use crate::world::{Disk, Setup, World, acks, ms, secs};

/// A master in memory, and a secondary on that disk; both hold three entries.
async fn three() -> (World, Disk) {
    let disk = Disk::of(Some("s1"));
    let mut world = World::new(Setup::listed(&["s1"]));
    world.start_on("s1", &disk).await;
    for content in ["a", "b", "c"] {
        assert_eq!(world.master.append(content, 2).await, 2);
    }
    (world, disk)
}

fn patient() -> RecoverySettings {
    RecoverySettings {
        timeout: secs(60),
        listen: ms(500),
        retry: ms(500),
        takeover: false,
    }
}

/// The highest epoch that the secondary has ever said.
fn said(world: &World) -> Epoch {
    let acks = world.hub.sent(|sent| sent.is_about("ack", "s1"));
    let epoch = |ack: Ack| ack.epoch;
    let said = acks.iter().filter_map(|s| Ack::decode(&s.payload).ok());
    said.map(epoch).max().expect("it has spoken")
}

async fn wait_for(what: &str, is_so: impl AsyncFn() -> bool) {
    let waits = async {
        while !is_so().await {
            sleep(ms(50)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(120), waits).await;
    assert!(waited.is_ok(), "{what}");
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_acknowledges_nothing_and_reads_on() {
    let (world, disk) = three().await;
    disk.refuse(Refuses::RoomToWrite);
    let waits = world.master.post("d", 2, None);
    sleep(secs(20)).await;
    let s1 = world.secondary("s1");
    assert_eq!(s1.contents(), ["a", "b", "c"]);
    assert_eq!(world.master.healthy().await, 1, "it lives");
    let health = serde_json::to_value(s1.health().await).expect("JSON");
    assert_eq!(health["storage"]["is_full"], true);
    disk.refuse(Refuses::Nothing);
    assert_eq!(acks(waits.await.expect("an answer")), 2);
    let health = serde_json::to_value(world.secondary("s1").health().await).expect("JSON");
    assert_eq!(health["storage"].get("is_full"), None);
    assert_eq!(world.secondary("s1").contents(), ["a", "b", "c", "d"]);
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_gives_no_promise_until_there_is_room() {
    let (mut world, disk) = three().await;
    disk.refuse(Refuses::RoomToWrite);
    world.restart_master(patient()).await;
    sleep(secs(20)).await;
    assert!(world.secondary("s1").is_running());
    assert_eq!(world.secondary("s1").contents(), ["a", "b", "c"]);
    assert_eq!(world.master.health().await["status"], "recovering");
    assert_eq!(said(&world), disk.remembers().epoch);
    disk.refuse(Refuses::Nothing);
    wait_for("the master to serve", async || {
        world.master.healthy().await == 1
    })
    .await;
    assert_eq!(world.master.contents(), ["a", "b", "c"]);
    assert_eq!(said(&world), disk.remembers().epoch);
}

/// A promise that is lost in a crash is none: it is on the disk before anybody hears of it, or nobody does.
#[tokio::test(start_paused = true)]
async fn no_epoch_is_said_that_is_not_on_the_disk() {
    let (mut world, disk) = three().await;
    disk.refuse(Refuses::ToWrite);
    world.restart_master(patient()).await;
    let mut s1 = world.secondaries.remove("s1").expect("it runs");
    let failure = s1.ended().await.expect_err("its disk failed");
    assert_eq!(failure.exit, Exit::DiskFailed);
    assert_eq!(said(&world), disk.remembers().epoch);
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_follows_no_new_history_until_there_is_room() {
    let (world, disk) = three().await;
    disk.refuse(Refuses::RoomToWrite);
    let (status, _) = world.master.call("POST", "/clear", "").await;
    assert_eq!(status, 200);
    let waits = world.master.post("new", 2, None);
    sleep(secs(20)).await;
    assert!(world.secondary("s1").is_running());
    disk.refuse(Refuses::Nothing);
    assert_eq!(acks(waits.await.expect("an answer")), 2);
    assert_eq!(world.secondary("s1").contents(), ["new"]);
    assert_eq!(disk.put_aside(), 0);
}

/// Whenever it ends meanwhile, there is one history on its disk or the other.
#[tokio::test(start_paused = true)]
async fn a_moment_without_room_mixes_no_histories() {
    let (world, disk) = three().await;
    disk.refuse_once(Refuses::RoomToWrite);
    let (status, _) = world.master.call("POST", "/clear", "").await;
    assert_eq!(status, 200);
    for _ in 0..100 {
        sleep(ms(1)).await;
        disk.remembers(); // it is whole
    }
    assert!(disk.has_refused());
    assert_eq!(world.master.append("new", 2).await, 2);
    assert_eq!(world.secondary("s1").contents(), ["new"]);
}

/// The same when it is a master that recovers whose question changes the history.
#[tokio::test(start_paused = true)]
async fn a_promise_without_room_mixes_no_histories() {
    let disk = Disk::of(Some("s1"));
    let mut world = World::new(Setup::listed(&["s1", "s2"]));
    world.start_on("s1", &disk).await;
    world.start("s2").await;
    assert_eq!(world.master.append("old", 3).await, 3);
    world.hub.cut("s1");
    world.master.call("POST", "/clear", "").await;
    assert_eq!(world.master.append("new", 2).await, 2);
    world.restart_master(patient()).await;
    sleep(secs(2)).await;
    disk.refuse_once(Refuses::RoomToWrite);
    world.hub.forget_sent();
    world.hub.mend("s1");
    for _ in 0..2_000 {
        sleep(ms(1)).await;
        disk.remembers(); // it is whole
    }
    assert!(disk.has_refused());
    // What found no room was not answered: it was asked again, after a while.
    let asked = world.hub.sent(|sent| sent.is_about("fetch", "s1"));
    let answered = world.hub.sent(|sent| sent.is_about("fetched", "s1"));
    assert!(asked[1].at > asked[0].at && answered[0].at >= asked[1].at);
    world.converge(secs(20)).await;
    assert_eq!(world.secondary("s1").contents(), ["new"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_shown_is_on_the_disk() {
    let (world, disk) = three().await;
    disk.refuse(Refuses::RoomToWrite);
    world.master.call("POST", "/clear", "").await;
    sleep(secs(5)).await;
    let s1 = world.secondary("s1");
    assert_eq!(s1.log_id(), disk.remembers().log_id);
    assert_eq!(s1.contents(), ["a", "b", "c"]);
    disk.refuse(Refuses::Nothing);
    world.converge(secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_keeps_its_name() {
    let (mut world, disk) = three().await;
    disk.refuse(Refuses::RoomToWrite);
    world.master.call("POST", "/clear", "").await;
    sleep(secs(2)).await;
    let first = world.secondaries.remove("s1").expect("it runs");
    world.start("s1").await;
    let mut second = world.secondaries.remove("s1").expect("it was started");
    let failure = second.ended().await.expect_err("the name is taken");
    assert_eq!(failure.exit, Exit::CannotStart);
    assert!(first.is_running());
}

/// The only holder that is heard cannot give what it holds: nobody goes on without it, and what helps is said.
#[tokio::test(start_paused = true)]
async fn a_recovery_names_who_cannot_read_its_log() {
    let disk = Disk::of(Some("s1"));
    let mut world = World::new(Setup::listed(&["s1", "s2"]));
    world.start_on("s1", &disk).await;
    world.start("s2").await;
    for n in 1..=10 {
        assert_eq!(world.master.append(&format!("mark {n:04}"), 3).await, 3);
    }
    world.kill("s1").await;
    world.hub.cut("s2");
    world.start_on("s1", &disk.rotten("mark 0005")).await;
    world.restart_master(patient()).await;
    sleep(secs(100)).await;
    let health = world.master.health().await;
    assert_eq!(health["status"], "recovering");
    let named = &health["cannot_read"][0];
    assert_eq!(
        (&named["id"], &named["seq"]),
        (&"s1".into(), &5.into()),
        "{health}"
    );
    // Another one that holds it helps, and then the entry is mended.
    world.hub.mend("s2");
    wait_for("the master to serve", async || {
        world.master.healthy().await == 2
    })
    .await;
    assert_eq!(world.master.contents().len(), 10);
    let s1 = world.secondary("s1");
    wait_for("the entry to be mended", async || {
        let health = serde_json::to_value(s1.health().await).expect("JSON");
        health["storage"].get("damaged").is_none()
    })
    .await;
    assert_eq!(s1.contents(), world.master.contents());
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_cleared_by_hand_when_there_is_room() {
    let (world, disk) = three().await;
    disk.refuse(Refuses::RoomToWrite);
    assert_eq!(world.secondary("s1").clear().await, Err(NoRoom));
    assert_eq!(world.secondary("s1").contents(), ["a", "b", "c"]);
    disk.refuse(Refuses::Nothing);
    assert_eq!(world.secondary("s1").clear().await, Ok(()));
    world.converge(secs(5)).await;
    assert_eq!(world.secondary("s1").contents(), ["a", "b", "c"]);
}

/// What is put aside is in its file and still in the log, or only in its file: never in neither.
#[tokio::test(start_paused = true)]
async fn a_full_disk_rejoins_when_there_is_room() {
    let (mut world, disk) = three().await;
    world.kill("s1").await;
    world
        .restart_master(RecoverySettings {
            timeout: ms(600),
            ..patient()
        })
        .await;
    sleep(secs(3)).await;
    assert_eq!(world.master.append("other", 1).await, 1);
    world.start_on("s1", &disk).await;
    wait_for("it to be diverged", async || {
        world.secondary("s1").views.borrow().diverged_from.is_some()
    })
    .await;
    disk.refuse(Refuses::RoomToWrite);
    assert_eq!(world.secondary("s1").rejoin().await, Some(Err(NoRoom)));
    assert_eq!(world.secondary("s1").contents(), ["a", "b", "c"]);
    assert_eq!(disk.put_aside(), 0);
    disk.refuse(Refuses::Nothing);
    assert_eq!(world.secondary("s1").rejoin().await, Some(Ok(3)));
    world.converge(secs(5)).await;
    assert_eq!(disk.put_aside(), 1);
}

/// Whoever finds that the log can be read or written no more: its owner ends.
#[tokio::test(start_paused = true)]
async fn a_log_that_failed_in_other_hands_ends_the_program() {
    let (mut world, disk) = three().await;
    let view = world.secondary("s1").views.borrow().clone();
    disk.refuse(Refuses::ToWrite);
    assert!(view.log.truncate(Position::default()).is_err());
    disk.refuse(Refuses::Nothing);
    let mut s1 = world.secondaries.remove("s1").expect("it runs");
    let failure = s1.ended().await.expect_err("its disk failed");
    assert_eq!(failure.exit, Exit::DiskFailed);
}
