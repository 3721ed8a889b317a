//! A master whose disk is full, or fails.

use replog_common::log::tape::{Refuses, Tape};
use replog_common::protocol::outcome::{Outcome, ReadOnly};
use replog_common::service::exit::Exit;
use tokio::time::sleep;

use crate::world::{Setup, World, acks, ms, secs};

fn on(tape: &Tape) -> World {
    let mut setup = Setup::listed(&["s1"]);
    setup.disk = Some(tape.clone());
    World::new(setup)
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_refuses_appends_and_goes_on_when_there_is_room() {
    let tape = Tape::default();
    let mut world = on(&tape);
    world.start("s1").await;
    assert_eq!(world.master.append("before", 2).await, 2);
    tape.refuse(Refuses::ToGrow);
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
    tape.refuse(Refuses::Nothing);
    sleep(secs(2)).await;
    assert_eq!(world.master.append("after", 2).await, 2);
    assert_eq!(world.master.contents(), ["before", "after"]);
    sleep(ms(50)).await;
    assert_eq!(world.secondaries["s1"].contents(), ["before", "after"]);
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_fails_ends_the_program_and_nobody_is_told_a_lie() {
    for refuses in [Refuses::ToWrite, Refuses::ToSync] {
        let tape = Tape::default();
        let mut world = on(&tape);
        sleep(ms(50)).await;
        let first = world.master.post("before", 1, None).await;
        assert_eq!(acks(first.expect("an answer")), 1);
        tape.refuse(refuses);
        let (_, outcome) = (world.master.post("lost", 1, None).await)
            .expect("an answer")
            .expect("placed");
        assert_eq!(outcome, Outcome::NotStored(ReadOnly::DiskFailed));
        let failure = world.master.ended().await.expect_err("its disk failed");
        assert_eq!(failure.exit, Exit::DiskFailed);
    }
}
