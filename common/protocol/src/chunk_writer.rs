//! Getting one chunk into the stream of a shared journal, and knowing whether it is there.
//!
//! The stream takes a chunk that expects the last position to be the one before its own. That is a fence for one chunk at a
//! time, no more: of several on their way, a later one is taken behind somebody else's that has come in between. So the next
//! chunk waits until the fate of this one is known, and until then the identical bytes are sent again and again: one copy of
//! them at most is ever taken, because the last position moves on for good.
//!
//! | answer | means |
//! |---|---|
//! | an acknowledgement | it is there: committed by a majority of the servers that keep the stream |
//! | "wrong last sequence" | nothing: the server compares with what it has *proposed*, which may never be committed |
//! | none | nothing |
//! | the position, read back | it is there, or somebody else's is, for good: a replica shows only what is committed |
//! | the position is not there yet | nothing |
//! | "wrong last sequence" with a smaller one than the chunk before | the stream may have lost its end |
//!
//! A stream that has lost its end grows back to the same numbers, with what others write. So wherever that may have happened, at a
//! smaller number or a new connection, no copy is sent until the chunk before was read there again and is the one that was
//! carried out.
//!
//! Sources: NATS ADR-31 (direct get), nats-server (`processClusteredInboundMsg`: the check before the proposal).

use std::time::Duration;

use crate::chunk::{ChunkHead, ChunkId, ChunkSeq};
use crate::ids::Time;
use crate::stream_watch::StreamWatch;

/// While it is in doubt whether the stream is still the same, that often it is looked at.
const INSPECT_EVERY: Duration = Duration::from_secs(1);

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Todo {
    /// Send the chunk, with the number of the copy.
    Publish(u32),
    /// Read the first chunk at its position or after it.
    ReadBack,
    /// Look at where the stream begins and ends.
    Inspect,
    /// Read the chunk before its position, or the first one after that.
    ReadFormer,
}

/// What has become of the chunk.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// It is in the stream.
    Stored,
    /// Somebody else's is in its place: it is not in the stream, and never will be.
    Taken,
    /// The stream is full: no copy of it is in the stream, or on its way.
    Full,
    /// The stream is not the one that this master has read: why, in one line.
    Lost(String),
}

/// Why the stream did not take a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// It says that its last position is another one: which one, if it says so.
    WrongLast(Option<ChunkSeq>),
    /// It has no room.
    Full,
    /// For another reason, which says nothing of the chunk.
    Other,
}

/// One chunk on its way into the stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChunkWriter {
    /// Where the chunk is to be.
    seq: ChunkSeq,
    id: ChunkId,
    /// Which one is before it.
    former: Option<ChunkId>,
    retry: Duration,
    /// Copies that were sent.
    sent: u32,
    /// Copies that the stream is known not to have taken.
    refused: u32,
    publish_at: Time,
    read_at: Option<Time>,
    inspect_at: Option<Time>,
    /// When the one before is to be read; `None` where it is known to be there.
    former_at: Option<Time>,
    watch: StreamWatch,
}

impl ChunkWriter {
    /// That chunk is to be written. Without an answer for `retry` it is sent again.
    #[must_use]
    pub fn new(head: &ChunkHead, retry: Duration, now: Time) -> Self {
        Self {
            seq: head.seq(),
            id: head.id,
            former: head.prev,
            retry,
            sent: 0,
            refused: 0,
            publish_at: now,
            read_at: None,
            inspect_at: None,
            former_at: None,
            watch: StreamWatch::default(),
        }
    }

    /// Where the chunk is to be.
    #[must_use]
    pub fn seq(&self) -> ChunkSeq {
        self.seq
    }

    /// What is to be done by now; counts as done.
    pub fn todo(&mut self, now: Time) -> Option<Todo> {
        if self.read_at.is_some_and(|at| at <= now) {
            self.read_at = Some(now + self.retry);
            return Some(Todo::ReadBack);
        }
        if self.inspect_at.is_some_and(|at| at <= now) {
            self.inspect_at = Some(now + INSPECT_EVERY);
            return Some(Todo::Inspect);
        }
        if self.former_at.is_some_and(|at| at <= now) {
            self.former_at = Some(now + self.retry);
            return Some(Todo::ReadFormer);
        }
        if self.may_publish() && self.publish_at <= now {
            self.publish_at = now + self.retry;
            self.sent = self.sent.saturating_add(1);
            return Some(Todo::Publish(self.sent));
        }
        None
    }

    fn may_publish(&self) -> bool {
        !self.watch.is_in_doubt() && self.former_at.is_none()
    }

    /// The stream may have lost its end: no copy is sent until the chunk before was found there.
    pub fn doubt_former(&mut self, now: Time) {
        if self.former.is_some() {
            self.former_at.get_or_insert(now);
        }
    }

    /// When something is to be done next.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        let publish_at = Some(self.publish_at).filter(|_| self.may_publish());
        let all = [publish_at, self.read_at, self.inspect_at, self.former_at];
        all.into_iter().flatten().min()
    }

    /// The stream has acknowledged a copy, at that position.
    pub fn acknowledged(&mut self, at: ChunkSeq) -> Fate {
        match at == self.seq {
            true => Fate::Stored,
            false => Fate::Lost(format!("a chunk that was to be at {} is at {at}", self.seq)),
        }
    }

    /// The stream has refused a copy.
    pub fn refused(&mut self, why: Refusal, now: Time) -> Option<Fate> {
        match why {
            Refusal::WrongLast(last) => {
                self.refused = self.refused.saturating_add(1);
                // Whatever it compares with, the position itself tells.
                self.read_at = Some(now);
                let is_shorter = last.is_some_and(|last| last < self.seq.prev());
                if is_shorter {
                    self.watch.doubt(now);
                    self.doubt_former(now);
                }
                let inspect_at = match is_shorter || last.is_none() {
                    true => now,
                    false => now + INSPECT_EVERY,
                };
                self.inspect_at.get_or_insert(inspect_at);
                None
            }
            Refusal::Full => {
                self.refused = self.refused.saturating_add(1);
                // A copy that was not answered may still be taken once there is room.
                (self.refused >= self.sent).then_some(Fate::Full)
            }
            Refusal::Other => {
                self.inspect_at.get_or_insert(now + INSPECT_EVERY);
                None
            }
        }
    }

    /// The first chunk at the position or after it was read; `id` is which one it is, if it is one.
    pub fn read_back(&mut self, at: ChunkSeq, id: Option<ChunkId>) -> Fate {
        match (at == self.seq, id == Some(self.id)) {
            (true, true) => Fate::Stored,
            (true, false) => Fate::Taken,
            (false, _) => Fate::Lost(format!(
                "the chunk after {} is {at}: the stream was made anew",
                self.seq.prev()
            )),
        }
    }

    /// The first chunk at the position before its own or after that was read; `id` is which one it is, if it is one.
    pub fn former_read(&mut self, at: ChunkSeq, id: Option<ChunkId>) -> Option<Fate> {
        let former = self.seq.prev();
        if at == former && id == self.former {
            self.former_at = None;
            return None;
        }
        Some(Fate::Lost(format!(
            "chunk {former} is not the one any more that was carried out: it has lost its end, or was made anew"
        )))
    }

    /// The stream begins and ends there; it ends before it begins where it is empty.
    pub fn inspected(&mut self, first: ChunkSeq, last: ChunkSeq, now: Time) -> Option<Fate> {
        if last < self.seq.prev() {
            self.doubt_former(now);
        }
        self.watch
            .inspected(self.seq.prev(), (first, last), now)
            .map(Fate::Lost)
    }

    /// There is no such stream.
    pub fn missing(&mut self, now: Time) -> Option<Fate> {
        self.watch.missing(now).map(Fate::Lost)
    }
}
