//! The stream of a journal that masters share, as a value: it takes one chunk at each position, and keeps it for good.
//!
//! That it does so is shown elsewhere, for the real writer and a stream that loses answers, repeats late copies, and has leaders that
//! propose and die (the model of chunks). Here a chunk has one fate: its position is free when it arrives, or it is not.

use std::sync::Arc;

use replog_protocol::chunk::ChunkSeq;
use replog_protocol::node::{StreamEvent, WriteJob};

use crate::cluster::journal::{Applied, SimJournal, WriteEnd};

/// The position before the first chunk.
pub const BEFORE: ChunkSeq = ChunkSeq(1 << 40);

/// A stream, and what one gets by carrying out all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SimStream {
    chunks: Vec<Arc<WriteJob>>,
    /// Chunks of masters that have ended: any of them may still arrive.
    late: Vec<Arc<WriteJob>>,
    /// The log that all of them come to.
    log: SimJournal,
}

impl SimStream {
    /// Its last chunk, or the position before the first one.
    #[must_use]
    pub fn last(&self) -> ChunkSeq {
        ChunkSeq(BEFORE.0 + self.chunks.len() as u64)
    }

    /// What a master is told that starts.
    #[must_use]
    pub fn opened(&self) -> StreamEvent {
        StreamEvent::Opened {
            before: BEFORE,
            last: self.last(),
        }
    }

    /// The chunk after that position.
    #[must_use]
    pub fn after(&self, position: ChunkSeq) -> Option<&Arc<WriteJob>> {
        let place = usize::try_from(position.0.checked_sub(BEFORE.0)?).ok()?;
        self.chunks.get(place)
    }

    /// The log that all of it comes to.
    #[must_use]
    pub fn log(&self) -> &SimJournal {
        &self.log
    }

    /// A chunk arrives: what it has changed if its position is free, or `None`.
    ///
    /// # Errors
    /// It is none that can be carried out: a bug of the master.
    pub fn take(&mut self, chunk: &Arc<WriteJob>) -> Result<Option<Applied>, String> {
        let head = chunk.chunk.as_ref().ok_or("a write that is no chunk")?;
        if head.after != self.last() {
            return Ok(None);
        }
        self.chunks.push(Arc::clone(chunk));
        self.log.begin(WriteJob::clone(chunk))?;
        let (_, applied) = self.log.finish(WriteEnd::Done)?;
        Ok(Some(applied))
    }

    /// The master of that chunk has ended; the chunk may still arrive.
    pub fn may_come_late(&mut self, chunk: Arc<WriteJob>) {
        self.late.push(chunk);
    }

    /// The chunks that may still arrive, and would be taken if they did now.
    #[must_use]
    pub fn late(&self) -> Option<usize> {
        let fits = |chunk: &Arc<WriteJob>| {
            let head = chunk.chunk.as_ref();
            head.is_some_and(|head| head.after == self.last())
        };
        self.late.iter().position(fits)
    }

    /// The late chunk with that number arrives.
    #[must_use]
    pub fn take_late(&mut self, late: usize) -> Arc<WriteJob> {
        self.late.remove(late)
    }
}
