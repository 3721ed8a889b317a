//! Whether the stream of a shared journal still holds what was read of it.

use std::time::Duration;

use crate::chunk::ChunkSeq;
use crate::ids::Time;

/// A stream that has lost its end, or is not there, for so long will not come back by itself: longer than the servers take to
/// choose a leader (4 to 9 s), who alone says where it ends.
const GRACE: Duration = Duration::from_secs(15);

/// What the looks at one stream have come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct StreamWatch {
    /// Since when it seems to be shorter than it was, or gone.
    shorter_since: Option<Time>,
}

impl StreamWatch {
    /// The stream begins and ends there, and chunks up to `held` were in it; it ends before it begins where it is empty. Says in
    /// one line why it is not the stream that was read, once that is sure.
    pub fn inspected(
        &mut self,
        held: ChunkSeq,
        (first, last): (ChunkSeq, ChunkSeq),
        now: Time,
    ) -> Option<String> {
        let next = held.next();
        if first > next {
            return Some(format!(
                "it begins at {first}, after {next}: it was made anew"
            ));
        }
        if last >= held {
            self.shorter_since = None;
            return None;
        }
        self.doubt(now)
            .then(|| format!("it ends at {last}, but chunk {held} was in it: it has lost its end"))
    }

    /// There is no such stream. Says so once that is sure.
    pub fn missing(&mut self, now: Time) -> Option<String> {
        self.doubt(now)
            .then(|| "it is not there any more".to_owned())
    }

    /// Something says that the stream is shorter than it was, or gone: whether that is so for long enough to be sure.
    pub fn doubt(&mut self, now: Time) -> bool {
        let since = *self.shorter_since.get_or_insert(now);
        now.since(since) >= GRACE
    }

    /// Whether it seems to be shorter than it was, or gone.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        self.shorter_since.is_some()
    }
}
