use replog_nats::LinkError;

use super::*;
use crate::exit::Exit;

#[tokio::test(start_paused = true)]
async fn a_stop_is_told_once_and_everybody_is_answered() {
    let mut world = World::start();
    let write = world.hold_next_write();
    world.put(1);
    world.begun.recv().await.unwrap();
    world.put(2);
    world.settled().await;
    world.put(3); // still queued when the stop is seen
    world.stop.cancel();
    world.given("Stop").await;
    assert_eq!(
        world.handle.try_command(Command::Put(4)),
        Err(CommandError::Stopped)
    );
    for answer in [1002, 1003] {
        assert_eq!(world.replies.recv().await, Some(answer));
    }
    // The node waits for the write that is in flight, and readers are served meanwhile.
    world.settled().await;
    assert!(!world.task.is_finished());
    write.send(done()).unwrap();
    assert_eq!(world.ended().await.unwrap(), Ok(()));
    assert_eq!(world.replies.recv().await, Some(1));
    assert_eq!(world.handle.inspect(|_, _| ()).await, None);
    let mut stops = 1;
    while let Some(input) = world.inputs.recv().await {
        stops += usize::from(input == "Stop");
    }
    assert_eq!(stops, 1);
}

#[tokio::test(start_paused = true)]
async fn more_than_is_taken_at_one_time_is_answered_at_a_stop() {
    let many = 3 * MAX_TAKEN as u64;
    let (mut world, task) = World::prepare(3 * MAX_TAKEN);
    for n in 1..=many {
        world.put(n);
    }
    world.stop.cancel();
    assert_eq!(task.run().await, Ok(()));
    for n in 1..=many {
        assert_eq!(world.replies.recv().await, Some(1000 + n));
    }
    assert_eq!(world.effects.all().len() as u64, many, "nothing is written");
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_hangs_stops_neither_the_task_nor_its_end() {
    let mut world = World::start();
    let write = world.hold_next_write();
    world.put(1);
    world.begun.recv().await.unwrap();
    world.link.send(LinkEvent::Up { max_payload: 9 }).unwrap();
    world.given("Up { max_payload: 9 }").await;
    world.stop.cancel();
    world.settled().await;
    tokio::time::advance(STOP_LIMIT - Duration::from_millis(1)).await;
    world.settled().await;
    assert!(!world.task.is_finished());
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(world.ended().await.unwrap(), Ok(()));
    assert_eq!(
        world.replies.try_recv().ok(),
        None,
        "no success is reported"
    );
    drop(write);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_node_or_of_the_journal_is_one_of_the_task() {
    let mut world = World::start();
    world.handle.try_command(Command::Panic).unwrap();
    assert!(world.ended().await.is_err_and(|error| error.is_panic()));
    assert_eq!(world.handle.inspect(|_, _| ()).await, None);
    assert_eq!(
        world.handle.try_command(Command::Put(1)),
        Err(CommandError::Stopped)
    );

    let mut world = World::start();
    world.ends.lock().unwrap().push_back(WriteEnd::Panics);
    world.put(1);
    assert!(world.ended().await.is_err_and(|error| error.is_panic()));
}

#[tokio::test(start_paused = true)]
async fn a_second_write_at_one_time_is_a_bug() {
    let mut world = World::start();
    let write = world.hold_next_write();
    world.put(1);
    world.begun.recv().await.unwrap();
    world.hand_out(Ready {
        write: Some(WriteJob::default()),
        ..Ready::default()
    });
    assert!(world.ended().await.is_err_and(|error| error.is_panic()));
    drop(write);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_refuses_ends_it_and_who_waits_is_answered() {
    let mut world = World::start();
    let write = world.hold_next_write();
    world.put(1);
    world.begun.recv().await.unwrap();
    world.put(2);
    world.settled().await;
    let refused = LinkError::Permission("append".into());
    world.link.send(LinkEvent::Fatal(refused.clone())).unwrap();
    let failure = world.ended().await.unwrap().unwrap_err();
    assert_eq!(
        (failure.exit, failure.why),
        (Exit::CannotStart, refused.to_string())
    );
    assert_eq!(world.replies.recv().await, Some(1002));
    drop(write);
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_is_gone_ends_it() {
    let mut world = World::start();
    world.settled().await;
    *world.reader.gone.lock().unwrap() = Some("the directory is gone".into());
    let failure = world.ended().await.unwrap().unwrap_err();
    assert_eq!(failure, Failure::disk_failed("the directory is gone"));
    assert!(world.clock.now().0 <= Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses() {
    let (mut world, task) = World::prepare(2);
    world.put(1);
    world.put(2);
    assert_eq!(
        world.handle.try_command(Command::Put(3)),
        Err(CommandError::Full)
    );
    tokio::spawn(task.run());
    assert_eq!(world.replies.recv().await, Some(1));
    assert_eq!(world.replies.recv().await, Some(2));
    world.put(4);
    assert_eq!(world.replies.recv().await, Some(4));
}
