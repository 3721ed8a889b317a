//! A master whose disk is full, or fails.

use replog_common::entry::Position;
use replog_common::log::tape::Refuses;
use replog_common::protocol::outcome::{Outcome, ReadOnly, Refusal};
use replog_common::service::exit::Exit;
use tokio::time::sleep;

use crate::world::{Disk, Setup, World, acks, ms, secs};

fn on(disk: &Disk) -> World {
    let mut setup = Setup::listed(&["s1"]);
    setup.disk = Some(disk.clone());
    World::new(setup)
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_refuses_appends_and_goes_on_when_there_is_room() {
    let disk = Disk::of(None);
    let mut world = on(&disk);
    world.start("s1").await;
    assert_eq!(world.master.append("before", 2).await, 2);
    disk.refuse(Refuses::ToGrow);
    let large = "x".repeat(1 << 20);
    let waits: Vec<_> = (0..4)
        .map(|n| world.master.post(&format!("{n} {large}"), 1 + n % 2, None))
        .collect();
    for wait in waits {
        let (_, outcome) = wait.await.expect("an answer").expect("placed");
        assert_eq!(outcome, Outcome::NotStored(ReadOnly::DiskFull));
    }
    let refused = world
        .master
        .call("POST", "/messages", r#"{"content":"now","w":1}"#);
    let (status, problem) = refused.await;
    assert_eq!((status, &problem["reason"]), (503, &"disk_full".into()));
    assert_eq!(world.master.contents(), ["before"], "it reads on");
    assert_eq!(world.master.health().await["reason"], "disk_full");
    disk.refuse(Refuses::Nothing);
    sleep(secs(2)).await;
    assert_eq!(world.master.append("after", 2).await, 2);
    assert_eq!(world.master.contents(), ["before", "after"]);
    sleep(ms(50)).await;
    assert_eq!(world.secondaries["s1"].contents(), ["before", "after"]);
}

/// Until then the old log is shown, whole, and nobody is told that it is gone.
#[tokio::test(start_paused = true)]
async fn a_clearing_is_told_when_it_is_on_the_disk() {
    let disk = Disk::of(None);
    let mut world = on(&disk);
    world.start("s1").await;
    for content in ["a", "b"] {
        assert_eq!(world.master.append(content, 2).await, 2);
    }
    let before = world.master.log_id();
    world.hub.cut("s1");
    let mut waits = world.master.post("waits", 2, None);
    sleep(ms(50)).await;
    disk.refuse(Refuses::RoomToWrite);
    let clears = [(), ()].map(|()| tokio::spawn(world.master.call("POST", "/clear", "")));
    sleep(secs(5)).await;
    assert_eq!(world.master.log_id(), before);
    assert_eq!(world.master.contents(), ["a", "b", "waits"]);
    assert!(waits.try_recv().is_err(), "it may still be in the log");
    assert!(clears.iter().all(|clear| !clear.is_finished()));
    disk.refuse(Refuses::Nothing);
    for clear in clears {
        let (status, cleared) = clear.await.expect("an answer");
        assert_eq!((status, &cleared["status"]), (200, &"cleared".into()));
    }
    let (_, outcome) = waits.await.expect("an answer").expect("placed");
    assert_eq!(outcome, Outcome::Cleared);
    assert_ne!(world.master.log_id(), before);
    world.hub.mend("s1");
    assert_eq!(world.master.append("new", 2).await, 2);
    assert_eq!(world.secondary("s1").contents(), ["new"]);
    let remembered = disk.remembers();
    assert_eq!(remembered.log_id, Some(world.master.log_id()));
}

/// Whoever comes while a clearing waits for room is told so, and not later than he can wait.
#[tokio::test(start_paused = true)]
async fn a_clearing_that_waits_for_room_holds_up_nobody() {
    let disk = Disk::of(None);
    let mut world = on(&disk);
    world.start("s1").await;
    assert_eq!(world.master.append("a", 2).await, 2);
    disk.refuse(Refuses::RoomToWrite);
    let _clear = tokio::spawn(world.master.call("POST", "/clear", ""));
    for _ in 0..400 {
        let told = world.master.post("x", 1, Some(ms(500)));
        sleep(ms(10)).await;
        let told = tokio::time::timeout(ms(500), told).await.expect("in time");
        let is_full = match told.expect("an answer") {
            Err(Refusal::ReadOnly(reason)) => reason == ReadOnly::DiskFull,
            Ok((_, outcome)) => outcome == Outcome::NotStored(ReadOnly::DiskFull),
            Err(_) => false,
        };
        assert!(is_full);
    }
}

/// Clients that ask again and again do not keep the end of a write waiting.
#[tokio::test]
async fn what_is_written_is_told_whoever_else_asks() {
    let disk = Disk::of(None);
    let world = on(&disk);
    sleep(ms(50)).await;
    acks(world.master.post("a", 1, None).await.expect("an answer"));
    disk.hang(true);
    let mut first = world.master.post("hangs", 1, None);
    sleep(ms(50)).await;
    let megabyte = "x".repeat(1 << 20);
    let _fill: Vec<_> = (0..70)
        .map(|_| world.master.post(&megabyte, 1, None))
        .collect();
    let mut again: Vec<_> = (0..8).map(|_| world.master.post("y", 1, None)).collect();
    let mut refused = 0;
    let began = std::time::Instant::now();
    while first.try_recv().is_err() {
        assert!(began.elapsed() < secs(30), "refused {refused} times");
        disk.hang(refused < 100); // not before somebody was refused
        for post in &mut again {
            if let Ok(told) = post.try_recv() {
                refused += u32::from(told == Err(Refusal::ReadOnly(ReadOnly::TooManyWaiting)));
                *post = world.master.post("y", 1, None);
            }
        }
        tokio::task::yield_now().await;
    }
    assert!(refused >= 100);
}

/// A write that was under way when the log was cleared ends well, and the clearing does not.
#[tokio::test]
async fn a_log_that_is_not_on_the_disk_is_not_shown() {
    let disk = Disk::of(None);
    let world = on(&disk);
    sleep(ms(50)).await;
    let first = world.master.post("a", 1, None).await;
    assert_eq!(acks(first.expect("an answer")), 1);
    let old = world.master.log_id();
    disk.hang(true);
    let written = world.master.post("b", 1, None);
    sleep(ms(50)).await;
    let clear = tokio::spawn(world.master.call("POST", "/clear", ""));
    sleep(ms(50)).await;
    disk.refuse(Refuses::RoomToWrite);
    disk.hang(false);
    sleep(ms(100)).await;
    assert_eq!(world.master.log_id(), old);
    assert_eq!(world.master.contents(), ["a"]);
    disk.refuse(Refuses::Nothing);
    let (status, _) = clear.await.expect("an answer");
    assert_eq!(status, 200);
    let (_, outcome) = written.await.expect("an answer").expect("placed");
    assert_eq!(outcome, Outcome::Cleared);
    assert_ne!(world.master.log_id(), old);
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_fails_ends_the_program_and_nobody_is_told_a_lie() {
    for refuses in [Refuses::ToWrite, Refuses::ToSync] {
        let disk = Disk::of(None);
        let mut world = on(&disk);
        sleep(ms(50)).await;
        let first = world.master.post("before", 1, None).await;
        assert_eq!(acks(first.expect("an answer")), 1);
        disk.refuse(refuses);
        let (_, outcome) = (world.master.post("lost", 1, None).await)
            .expect("an answer")
            .expect("placed");
        assert_eq!(outcome, Outcome::NotStored(ReadOnly::DiskFailed));
        let failure = world.master.ended().await.expect_err("its disk failed");
        assert_eq!(failure.exit, Exit::DiskFailed);
    }
}

/// A page of the database that makes no sense is found by whoever reads.
#[tokio::test(start_paused = true)]
async fn a_log_that_failed_in_other_hands_ends_the_program() {
    let disk = Disk::of(None);
    let mut world = on(&disk);
    world.start("s1").await;
    assert_eq!(world.master.append("before", 2).await, 2);
    let log = world.master.log();
    disk.refuse(Refuses::ToWrite);
    assert!(log.truncate(Position::default()).is_err());
    disk.refuse(Refuses::Nothing);
    let failure = world.master.ended().await.expect_err("its disk failed");
    assert_eq!(failure.exit, Exit::DiskFailed);
}
