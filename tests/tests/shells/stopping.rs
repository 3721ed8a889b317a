//! A stop is heard by everybody who waits, at once.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, ThreadId};

use replog_protocol::leader::command::{Answer, AppendError, Unavailable, WaitEnd};
use replog_protocol::node::WriteJob;
use replog_storage::journal::{Begun, Journal, LogReader};
use replog_storage::memory::MemoryJournal;
use tokio::time::{Instant, advance, sleep, timeout};

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

/// A journal on a disk that hangs when it is closed, until the sender of `closed` is dropped.
#[derive(Debug)]
struct HangsAtTheEnd {
    journal: MemoryJournal,
    closed: Receiver<()>,
    /// The thread of all tasks.
    tasks: ThreadId,
}

impl Journal for HangsAtTheEnd {
    fn write(&mut self, job: WriteJob) -> Begun {
        self.journal.write(job)
    }

    fn reader(&self) -> Arc<dyn LogReader> {
        self.journal.reader()
    }
}

impl Drop for HangsAtTheEnd {
    fn drop(&mut self) {
        if thread::current().id() != self.tasks {
            self.closed.recv().ok();
        } else if !thread::panicking() {
            panic!("it is closed where every task would wait for it");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_cannot_be_closed_holds_up_nobody_for_long() {
    let mut world = World::whole(Setup::listed(&["s1"])).await;
    let (disk, closed) = channel();
    let journal = HangsAtTheEnd {
        journal: MemoryJournal::new(),
        closed,
        tasks: thread::current().id(),
    };
    world.start_on("s1", Box::new(journal));
    world.must_post("Msg", 2).await;
    let s1 = world.secondaries.remove("s1").unwrap();
    let begun = Instant::now();
    s1.stop.cancel();
    // While another thread is busy paused time goes on only where a test says so.
    while !s1.task.is_finished() && begun.elapsed() < secs(10) {
        advance(ms(50)).await;
    }
    assert!(begun.elapsed() <= secs(1), "{:?}", begun.elapsed());
    s1.task.await.unwrap().unwrap();
    drop(disk);
}
