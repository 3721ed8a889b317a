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
//!
//! Sources: NATS ADR-31 (direct get), nats-server (`processClusteredInboundMsg`: the check before the proposal).

use std::time::Duration;

use crate::chunk::{ChunkId, ChunkSeq};
use crate::ids::Time;

/// While it is in doubt whether the stream is still the same, that often it is looked at.
const INSPECT_EVERY: Duration = Duration::from_secs(1);
/// A stream that has lost its end, or is not there, for so long will not come back by itself: longer than the servers take to
/// choose a leader (4 to 9 s).
const GRACE: Duration = Duration::from_secs(15);

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Todo {
    /// Send the chunk, with the number of the copy.
    Publish(u32),
    /// Read the first chunk at its position or after it.
    ReadBack,
    /// Look at where the stream begins and ends.
    Inspect,
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
    retry: Duration,
    /// Copies that were sent.
    sent: u32,
    /// Copies that the stream is known not to have taken.
    refused: u32,
    publish_at: Time,
    read_at: Option<Time>,
    inspect_at: Option<Time>,
    /// Since when the stream seems to be shorter than it was, or gone.
    shorter_since: Option<Time>,
}

impl ChunkWriter {
    /// That chunk is to be at `seq`. Without an answer for `retry` it is sent again.
    #[must_use]
    pub fn new(seq: ChunkSeq, id: ChunkId, retry: Duration, now: Time) -> Self {
        Self {
            seq,
            id,
            retry,
            sent: 0,
            refused: 0,
            publish_at: now,
            read_at: None,
            inspect_at: None,
            shorter_since: None,
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
        if self.publish_at <= now {
            self.publish_at = now + self.retry;
            self.sent = self.sent.saturating_add(1);
            return Some(Todo::Publish(self.sent));
        }
        None
    }

    /// When something is to be done next.
    #[must_use]
    pub fn deadline(&self) -> Time {
        let others = [self.read_at, self.inspect_at];
        others
            .into_iter()
            .flatten()
            .fold(self.publish_at, Time::min)
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
                if last.is_none_or(|last| last < self.seq.prev()) {
                    self.inspect_at.get_or_insert(now);
                } else {
                    self.inspect_at.get_or_insert(now + INSPECT_EVERY);
                }
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

    /// The stream begins and ends there; it ends before it begins where it is empty.
    pub fn inspected(&mut self, first: ChunkSeq, last: ChunkSeq, now: Time) -> Option<Fate> {
        let seq = self.seq;
        if first > seq {
            let why = format!("it begins at {first}, after {seq}: it was made anew");
            return Some(Fate::Lost(why));
        }
        if last >= seq.prev() {
            self.shorter_since = None;
            return None;
        }
        let why = || {
            format!(
                "it ends at {last}, but chunk {} was in it: it has lost its end",
                seq.prev()
            )
        };
        self.shorter(why, now)
    }

    /// There is no such stream.
    pub fn missing(&mut self, now: Time) -> Option<Fate> {
        self.shorter(|| "it is not there any more".to_owned(), now)
    }

    fn shorter(&mut self, why: impl FnOnce() -> String, now: Time) -> Option<Fate> {
        let since = *self.shorter_since.get_or_insert(now);
        (now.since(since) >= GRACE).then(|| Fate::Lost(why()))
    }
}
