//! Entries that have their place and are not durable yet (etcd/raft: `log_unstable`).

use std::collections::VecDeque;

use crate::entry::{BatchBuilder, Content, EntryBatch};
use crate::ids::{Epoch, MessageId, Seq};

/// While that many bytes wait to be written nothing more is placed: a disk that hangs must not fill the memory.
const MAX_BYTES: usize = 64 << 20;

/// Entries that follow one another and were not handed to the journal yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Unstable {
    batches: VecDeque<EntryBatch>,
    /// The batch that is being filled, entry by entry.
    open: Option<BatchBuilder>,
    /// Bytes of `batches`.
    bytes: usize,
}

impl Unstable {
    /// Gives one message its place at `seq`, which follows what is here, straight into the bytes of its batch.
    pub(crate) fn place(
        &mut self,
        seq: Seq,
        epoch: Epoch,
        message_id: MessageId,
        content: &Content,
    ) {
        self.open
            .get_or_insert_with(|| BatchBuilder::new(seq, epoch))
            .push(message_id, content);
    }

    /// Takes entries that follow what is here.
    pub(crate) fn push(&mut self, batch: EntryBatch) {
        self.close();
        self.bytes += batch.bytes();
        self.batches.push_back(batch);
    }

    /// The batch that is being filled takes no more.
    fn close(&mut self) {
        if let Some(batch) = self.open.take().and_then(BatchBuilder::finish) {
            self.bytes += batch.bytes();
            self.batches.push_back(batch);
        }
    }

    /// Puts entries back before what is here: they could not be written.
    pub(crate) fn put_back(&mut self, batches: Vec<EntryBatch>) {
        for batch in batches.into_iter().rev() {
            self.bytes += batch.bytes();
            self.batches.push_front(batch);
        }
    }

    /// Hands out the first batches, `max_batches` at most, that have at most `max_bytes` together, but one at least.
    pub(crate) fn take_fitting(&mut self, max_bytes: usize, max_batches: usize) -> Vec<EntryBatch> {
        self.close();
        let mut room = max_bytes;
        let fits = |batch: &&EntryBatch| {
            let is_in = batch.bytes() <= room;
            room = room.saturating_sub(batch.bytes() + 1);
            is_in
        };
        let first = self.batches.iter().take(max_batches);
        let count = first.take_while(fits).count();
        let taken: Vec<EntryBatch> = match count.max(1) {
            most if most >= self.batches.len() => std::mem::take(&mut self.batches).into(),
            some => self.batches.drain(..some).collect(),
        };
        self.bytes -= taken.iter().map(EntryBatch::bytes).sum::<usize>();
        taken
    }

    /// So many bytes are about to be placed that have to be in one batch of at most `max_bytes`.
    pub(crate) fn begin_group(&mut self, bytes: usize, max_bytes: usize) {
        let open = self.open.as_ref().map_or(0, BatchBuilder::bytes);
        if open + bytes > max_bytes {
            self.close();
        }
    }

    /// What is here, in order.
    pub(crate) fn batches(&mut self) -> impl Iterator<Item = &EntryBatch> {
        self.close();
        self.batches.iter()
    }

    /// The entry at `seq`, if it is here.
    pub(crate) fn get(&mut self, seq: Seq) -> Option<EntryBatch> {
        self.close();
        self.batches.iter().find_map(|batch| batch.range(seq, seq))
    }

    /// Whether nothing waits to be written.
    pub(crate) fn is_empty(&self) -> bool {
        self.batches.is_empty() && self.open.is_none()
    }

    /// Whether so much waits to be written that nothing more is placed until some of it is.
    #[must_use]
    pub(crate) fn is_full(&self) -> bool {
        self.bytes + self.open.as_ref().map_or(0, BatchBuilder::bytes) >= MAX_BYTES
    }

    /// Forgets what follows `keep`.
    pub(crate) fn truncate_after(&mut self, keep: Seq) {
        self.close();
        self.batches = cut(std::mem::take(&mut self.batches), keep).collect();
        self.bytes = self.batches.iter().map(EntryBatch::bytes).sum();
    }
}

/// The entries of batches up to and including `keep`.
pub(crate) fn cut(
    batches: impl IntoIterator<Item = EntryBatch>,
    keep: Seq,
) -> impl Iterator<Item = EntryBatch> {
    batches
        .into_iter()
        .filter_map(move |batch| batch.range(batch.first(), keep))
}
