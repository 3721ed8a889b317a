use replog_protocol::node::{Purpose, Read};

use super::*;

fn read(first: Seq) -> Ready<u64> {
    Ready {
        reads: vec![Read {
            purpose: Purpose::Duplicate(1),
            query: Query::Range {
                first,
                last: first,
                max_bytes: 1,
            },
        }],
        ..Ready::default()
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_disk_is_read_on_another_thread() {
    let mut world = World::start();
    world.hand_out(read(Seq(1)));
    world.given("Page(Ok(false))").await;
    world.hand_out(read(SLOW));
    world.given("Page(Ok(true))").await;
    assert_eq!(world.effects.all(), ["read now", "read"]);
}

#[tokio::test(start_paused = true)]
async fn damage_is_told_when_it_has_changed() {
    let mut world = World::start();
    world.settled().await;
    *world.reader.damaged.lock().unwrap() = vec![Seq(3)];
    // A reader over HTTP has found it: the node learns of it in time.
    world.given("Damaged([Seq(3)])").await;
    assert!(world.clock.now().0 <= Duration::from_secs(1));
    *world.reader.damaged.lock().unwrap() = vec![Seq(3), Seq(4)];
    // The node's own read finds it: at once.
    let now = world.clock.now();
    world.hand_out(read(Seq(4)));
    world.given("Damaged([Seq(3), Seq(4)])").await;
    assert_eq!(world.clock.now(), now);
    world.reader.damaged.lock().unwrap().clear();
    world.given("Damaged([])").await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(world.inputs.try_recv().is_err(), "once");
}

#[tokio::test(start_paused = true)]
async fn readers_are_woken_by_what_is_written() {
    let mut world = World::start();
    let mut views = world.handle.views();
    views.mark_unchanged();
    world.put(1);
    views.changed().await.unwrap();
    let view = views.borrow_and_update().clone();
    assert_eq!(view.snapshot.last, Seq(1));
    assert_eq!(
        Arc::as_ptr(&view.reader).cast::<()>(),
        Arc::as_ptr(&world.reader).cast()
    );
    world.stop.cancel();
    assert!(views.changed().await.is_err(), "nothing is shown any more");
    assert_eq!(world.ended().await.unwrap(), Ok(()));
}
