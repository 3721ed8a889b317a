//! When a copy of a chunk is sent to its stream, and when the stream is taken for another one.

use std::time::Duration;

use replog_protocol::chunk::{ChunkHead, ChunkId, ChunkKind, ChunkSeq};
use replog_protocol::chunk_writer::{ChunkWriter, Fate, Refusal, Todo};
use replog_protocol::ids::Time;

use crate::support::{at, master, ms};

const SEQ: ChunkSeq = ChunkSeq(101);
const RETRY: Duration = Duration::from_millis(250);

fn id(n: u64) -> ChunkId {
    let master = master(1);
    ChunkId { master, n }
}

/// A chunk for position 101, behind one of the same master.
fn written() -> ChunkWriter {
    let head = ChunkHead {
        after: SEQ.prev(),
        id: id(7),
        prev: Some(id(6)),
        kind: ChunkKind::Write,
    };
    ChunkWriter::new(&head, RETRY, at(0))
}

/// The same, of which one copy was sent at once.
fn sent_once() -> ChunkWriter {
    let mut writer = written();
    assert_eq!(todo(&mut writer, at(0)), [Todo::Publish(1)]);
    writer
}

fn todo(writer: &mut ChunkWriter, now: Time) -> Vec<Todo> {
    let all: Vec<Todo> = std::iter::from_fn(|| writer.todo(now)).take(9).collect();
    assert!(all.len() < 9, "there is always more to do: {all:?}");
    let next = writer.deadline().expect("it always waits for something");
    assert!(next > now, "what was done is not due again at once");
    all
}

/// Else it could be taken once the stream has grown again, behind what others have written there.
#[test]
fn nothing_is_sent_to_a_stream_that_seems_to_have_lost_its_end_until_it_is_known_not_to_have() {
    let mut writer = sent_once();
    let shorter = Refusal::WrongLast(Some(ChunkSeq(90)));
    assert_eq!(writer.refused(shorter, at(10)), None);
    let mut done = todo(&mut writer, at(10));
    for now in (260..5000).step_by(250) {
        done.extend(todo(&mut writer, at(now)));
    }
    assert!(done.contains(&Todo::Inspect) && done.contains(&Todo::ReadBack));
    let is_copy = |todo: &Todo| matches!(todo, Todo::Publish(_));
    assert!(!done.iter().any(is_copy), "{done:?}");

    // A server that lagged has said so: its leader knows better. Or the stream has grown again: the chunk before tells.
    let ends = (ChunkSeq(1), ChunkSeq(100));
    assert_eq!(writer.inspected(ends.0, ends.1, at(5100)), None);
    let done = todo(&mut writer, at(5100));
    assert!(
        done.contains(&Todo::ReadFormer) && !done.iter().any(is_copy),
        "{done:?}"
    );
    let mut other = writer.clone();
    assert_eq!(writer.former_read(SEQ.prev(), Some(id(6))), None);
    assert!(todo(&mut writer, at(5100)).contains(&Todo::Publish(2)));
    assert_eq!(writer.acknowledged(SEQ), Fate::Stored);

    let fate = other.former_read(SEQ.prev(), Some(id(2)));
    assert!(
        matches!(&fate, Some(Fate::Lost(why)) if why.contains("not the one any more")),
        "{fate:?}"
    );
}

/// Its servers may have come back with an older copy, which others have written to since.
#[test]
fn nothing_is_sent_over_a_new_connection_before_the_chunk_before_was_found() {
    let mut writer = written();
    writer.doubt_former(at(0));
    assert_eq!(todo(&mut writer, at(0)), [Todo::ReadFormer]);
    assert_eq!(
        todo(&mut writer, at(250)),
        [Todo::ReadFormer],
        "it is asked again"
    );
    assert_eq!(writer.former_read(SEQ.prev(), Some(id(6))), None);
    assert_eq!(todo(&mut writer, at(251)), [Todo::Publish(1)]);
}

#[test]
fn a_stream_that_stays_shorter_for_longer_than_an_election_has_lost_its_end() {
    let mut writer = sent_once();
    assert_eq!(
        writer.refused(Refusal::WrongLast(Some(ChunkSeq(90))), at(0)),
        None
    );
    let look = |writer: &mut ChunkWriter, now| writer.inspected(ChunkSeq(1), ChunkSeq(90), at(now));
    assert_eq!(look(&mut writer, 14_999), None);
    let fate = look(&mut writer, 15_000);
    assert!(
        matches!(&fate, Some(Fate::Lost(why)) if why.contains("ends at 90") && why.contains("lost its end")),
        "{fate:?}"
    );
}

#[test]
fn a_stream_that_begins_after_the_chunk_was_made_anew() {
    let mut writer = sent_once();
    let fate = writer.inspected(ChunkSeq(5000), ChunkSeq(4999), at(10));
    assert!(
        matches!(&fate, Some(Fate::Lost(why)) if why.contains("made anew")),
        "{fate:?}"
    );
}

#[test]
fn without_an_answer_the_chunk_is_sent_again_as_long_as_it_takes() {
    let mut writer = sent_once();
    for copy in 2..50 {
        let now = at(0) + RETRY * (copy - 1);
        assert_eq!(todo(&mut writer, now), [Todo::Publish(copy)]);
        assert_eq!(writer.deadline(), Some(now + ms(250)));
    }
}
