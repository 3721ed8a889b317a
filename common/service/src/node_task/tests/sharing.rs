use std::task::{Context, Poll};

use replog_nats::{ChunkStream, ChunkStreamEvent};
use replog_protocol::chunk::{ChunkHead, ChunkId, ChunkKind, ChunkSeq};
use replog_protocol::chunk_writer::Fate;
use replog_protocol::node::StreamEvent;

use super::*;

/// A stream of which the test says what happens.
#[derive(Debug)]
struct TestStream {
    effects: Effects,
    events: mpsc::UnboundedReceiver<ChunkStreamEvent>,
}

impl ChunkStream for TestStream {
    fn follow(&mut self, after: ChunkSeq) {
        self.effects.add(format!("follow {after}"));
    }

    fn write(&mut self, chunk: &WriteJob) {
        let head = chunk.chunk.as_ref().unwrap();
        self.effects.add(format!("chunk {}", head.seq()));
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<ChunkStreamEvent> {
        match self.events.poll_recv(cx) {
            Poll::Ready(Some(event)) => Poll::Ready(event),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

/// A task that shares its journal, and through what the stream speaks.
fn start() -> (World, mpsc::UnboundedSender<ChunkStreamEvent>) {
    let (world, task) = World::prepare(64);
    let (stream, events) = mpsc::unbounded_channel();
    let effects = world.effects.clone();
    let task = task.sharing(Box::new(TestStream { effects, events }));
    let task = tokio::spawn(task.run());
    (World { task, ..world }, stream)
}

fn chunk(entries: u64) -> Ready<u64> {
    Ready {
        write: Some(WriteJob {
            entries: vec![batch(1, entries)],
            chunk: Some(ChunkHead {
                after: ChunkSeq(16),
                id: ChunkId {
                    master: MasterId(Uuid::nil()),
                    n: 1,
                },
                prev: None,
                kind: ChunkKind::Write,
            }),
            ..WriteJob::default()
        }),
        ..Ready::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_chunk_is_in_the_stream_before_the_own_storage_takes_it() {
    let (mut world, stream) = start();
    world.hand_out(chunk(2));
    world.settled().await;
    assert_eq!(world.effects.all(), ["chunk 17"]);
    stream
        .send(ChunkStreamEvent::Written(Fate::Stored))
        .unwrap();
    world.given("Done { rolled_back: None }").await;
    assert_eq!(world.effects.all(), ["chunk 17", "write 2"]);
}

#[tokio::test(start_paused = true)]
async fn what_the_stream_has_not_taken_the_own_storage_never_sees() {
    for (fate, told) in [
        (Fate::Taken, "Conflict"),
        (Fate::Full, "DiskFull"),
        (Fate::Lost("made anew".into()), "Failed(\"made anew\")"),
    ] {
        let (mut world, stream) = start();
        world.hand_out(chunk(1));
        world.settled().await;
        stream.send(ChunkStreamEvent::Written(fate)).unwrap();
        world.given(told).await;
        assert_eq!(world.effects.all(), ["chunk 17"]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_stream_has_taken_waits_for_room_in_the_own_storage() {
    let (mut world, stream) = start();
    let first = world.hold_next_write();
    let second = world.hold_next_write();
    world.hand_out(chunk(1));
    world.settled().await;
    stream
        .send(ChunkStreamEvent::Written(Fate::Stored))
        .unwrap();
    world.begun.recv().await.unwrap();
    first.send(WriteResult::DiskFull).unwrap();
    world.given("NoRoom").await;
    // Nothing of the stream is told meanwhile: the node would not have carried out what comes before.
    let at_end = ChunkStreamEvent::Stream(StreamEvent::AtEnd);
    stream.send(at_end).unwrap();
    let now = world.clock.now();
    world.begun.recv().await.unwrap();
    assert!(
        world.clock.now().since(now) >= Duration::from_millis(500),
        "after a while"
    );
    while let Ok(input) = world.inputs.try_recv() {
        assert!(!input.contains("DiskFull") && input != "AtEnd", "{input}");
    }
    second.send(done()).unwrap();
    world.given("Done { rolled_back: None }").await;
    world.given("AtEnd").await;
}

#[tokio::test(start_paused = true)]
async fn the_node_follows_from_where_it_says() {
    let (mut world, stream) = start();
    let (before, last) = (ChunkSeq(4), ChunkSeq(6));
    let opened = StreamEvent::Opened { before, last };
    stream
        .send(ChunkStreamEvent::Stream(opened.clone()))
        .unwrap();
    world.given(&format!("{opened:?}")).await;
    world.hand_out(Ready {
        follow: Some(ChunkSeq(4)),
        ..Ready::default()
    });
    world.settled().await;
    assert_eq!(world.effects.all(), ["follow 4"]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_cannot_be_used_ends_the_program_and_says_why() {
    let (mut world, stream) = start();
    let why = "--journal-stream a cannot be used: max_age is 24h".to_owned();
    stream
        .send(ChunkStreamEvent::Unusable(why.clone()))
        .unwrap();
    let failure = world.ended().await.unwrap().unwrap_err();
    assert_eq!(failure, Failure::cannot_start(why));
}
