//! A node's log as the node sees it: what it consists of, and how much of that is durable.
//!
//! ```text
//!   1 . . . . . . . durable | in flight | unstable = last
//!                             being       to be
//!                             written     written
//! ```
//! One write is in flight at a time; what queues up meanwhile is written together (group commit). A truncation is part of the
//! next write: until that has ended the journal may still hold what was taken out, and `durable` speaks only of what is in
//! both.

use std::time::Duration;

use crate::chunk::{ChunkHead, ChunkKind, MAX_CHUNK_BATCHES};
use crate::committed::Committed;
use crate::digest::{Digest, DigestAt};
use crate::digests::Digests;
use crate::entry::{Content, EntryBatch};
use crate::epochs::{EpochTable, LogPosition};
use crate::hard_state::HardState;
use crate::ids::{Epoch, LogId, MessageId, Seq, Time};
use crate::node::{
    Purpose, Read, ReadError, Restored, RolledBack, Truncate, WriteJob, WriteResult,
};
use crate::tally::Shown;
use crate::unstable::{Unstable, cut};

/// How long nothing is written after the disk was full.
const FULL_PAUSE: Duration = Duration::from_secs(1);

/// The log of one node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Log {
    epochs: EpochTable,
    unstable: Unstable,
    /// Everything up to here is in the journal for good.
    durable: Seq,
    /// The hard state that is in the journal.
    hard_state: HardState,
    /// Still to be taken out of the journal.
    truncate: Option<Truncate>,
    /// Damaged entries, still to be written again.
    repairs: Vec<EntryBatch>,
    in_flight: Option<InFlight>,
    /// Where the journal ends once the write in flight and the truncation are done.
    journal_end: Seq,
    /// Where the journal ends now.
    stored: Seq,
    /// No room on the disk: until then nothing is written.
    full_until: Option<Time>,
    waits_for_own_room: bool,
    /// How much is committed, as far as the node knows; the journal may not know it yet.
    committed: Committed,
    /// Entries that were committed go into the rollback that is being written.
    rolls_back_committed: bool,
    /// Somebody waits for what is committed to be stored.
    stores_committed: bool,
    /// Counts truncations up.
    generation: u64,
    /// The digests of what is durable: they are compared and shown, and decide nothing.
    digests: Shown<Digests>,
}

/// A write that was handed out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct InFlight {
    job: WriteJob,
    /// Everything up to here is durable once it has ended; lower than the job's last entry if the log was truncated since.
    last: Seq,
    /// Where the journal ended before.
    journal_end: Seq,
    /// Where the journal ends once it is done.
    end: Seq,
}

/// What the end of a write has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is durable.
    Done {
        /// What was put aside with it.
        rolled_back: Option<RolledBack>,
        /// Whether entries that more than one node has held at one time were among that.
        was_committed: bool,
    },
    /// There was no room; it waits to be tried again.
    DiskFull,
    /// The journal can be used no more.
    Failed(String),
    /// Another master has written to the journal in its place: what was not durable is not in the log any more, and what was to
    /// be taken out of it is.
    Conflict {
        /// Something was to be taken out.
        brings_back: bool,
    },
}

impl Log {
    /// What a journal holds at the start of its node.
    #[must_use]
    pub fn new(restored: Restored) -> Self {
        let Restored { hard_state, last } = restored;
        Self {
            epochs: EpochTable::new(hard_state.epochs.clone(), last.seq),
            committed: hard_state.committed.up_to(last.seq),
            rolls_back_committed: false,
            unstable: Unstable::default(),
            durable: last.seq,
            hard_state,
            truncate: None,
            repairs: Vec::new(),
            in_flight: None,
            journal_end: last.seq,
            stored: last.seq,
            full_until: None,
            waits_for_own_room: false,
            stores_committed: false,
            generation: 0,
            digests: Shown::default(),
        }
    }

    /// The end of the log, durable or not.
    #[must_use]
    pub fn last(&self) -> LogPosition {
        self.epochs.last()
    }

    /// Which epoch placed which entries.
    #[must_use]
    pub fn epochs(&self) -> &EpochTable {
        &self.epochs
    }

    /// Everything up to here is durable.
    #[must_use]
    pub fn durable(&self) -> Seq {
        self.durable
    }

    /// The hard state that is durable.
    #[must_use]
    pub fn hard_state(&self) -> &HardState {
        &self.hard_state
    }

    /// How much is committed, as far as the node knows.
    #[must_use]
    pub fn committed(&self) -> &Committed {
        &self.committed
    }

    /// Learns what is committed besides. It is stored with the next write, or by one of its own that
    /// [`Log::store_committed`] asks for.
    pub fn raise_committed(&mut self, known: &Committed) {
        self.committed.raise(known);
    }

    /// Another history begins: nothing of it is known to be committed.
    pub fn forget_committed(&mut self) {
        self.committed = Committed::default();
    }

    /// Counts up whenever entries go out of the log.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether entries still have to be taken out of the journal.
    #[must_use]
    pub fn is_truncating(&self) -> bool {
        let in_flight = self.in_flight.as_ref();
        self.truncate.is_some() || in_flight.is_some_and(|f| f.job.truncate.is_some())
    }

    /// Whether entries, a truncation or a repair wait to be written.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.truncate.is_some() || !self.repairs.is_empty() || !self.unstable.is_empty()
    }

    /// Whether a write is in flight.
    #[must_use]
    pub fn is_writing(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Whether so much waits to be written that nothing more is to be placed.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.unstable.is_full()
    }

    /// Whether the last write found no room, at most a second ago, or the one in flight has not found any yet.
    #[must_use]
    pub fn is_disk_full(&self, now: Time) -> bool {
        self.waits_for_own_room || self.full_until.is_some_and(|until| now < until)
    }

    /// What is in flight is in a shared journal, and waits for room in the own storage.
    pub fn wait_for_own_room(&mut self) {
        self.waits_for_own_room = self.in_flight.is_some();
    }

    /// When a write is tried again, if there was no room.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.full_until.filter(|_| self.in_flight.is_none())
    }

    /// Gives one message the next place.
    pub fn place(&mut self, epoch: Epoch, message_id: MessageId, content: &Content) -> Seq {
        let seq = self.last().seq.next();
        self.unstable.place(seq, epoch, message_id, content);
        self.epochs.append(epoch, seq);
        seq
    }

    /// Takes entries that follow the end of the log.
    ///
    /// # Panics
    /// If they do not follow: the caller has decided that before.
    pub fn append(&mut self, batch: EntryBatch) {
        assert_eq!(
            batch.first(),
            self.last().seq.next(),
            "entries are appended in order"
        );
        self.epochs.append(batch.epoch(), batch.last());
        self.unstable.push(batch);
    }

    /// The entry at `seq`, if it is not durable yet; older ones are read from the journal.
    pub fn recent(&mut self, seq: Seq) -> Option<EntryBatch> {
        let in_flight = self.in_flight.as_ref();
        let in_flight = in_flight.and_then(|f| {
            let mut batches = f.job.entries.iter();
            batches.find_map(|batch| batch.range(seq, seq.min(f.last)))
        });
        in_flight.or_else(|| self.unstable.get(seq))
    }

    /// Takes everything after `keep` out of the log. What is in the journal of it is kept in a rollback file if it is the end
    /// of the history `rollback_of`.
    pub fn truncate_after(&mut self, keep: Seq, rollback_of: Option<LogId>) {
        self.epochs.truncate_after(keep);
        self.unstable.truncate_after(keep);
        let was_committed = self.committed.roll_back_after(keep);
        self.rolls_back_committed |= was_committed && rollback_of.is_some();
        self.durable = self.durable.min(keep);
        self.digests.0.truncate_after(keep);
        if let Some(in_flight) = &mut self.in_flight {
            in_flight.last = in_flight.last.min(keep);
        }
        self.repairs.retain(|batch| batch.last() <= keep);
        self.generation += 1;
        if keep < self.journal_end {
            let earlier = self.truncate.and_then(|t| t.rollback_of);
            self.truncate = Some(Truncate {
                after: keep,
                rollback_of: earlier.or(rollback_of),
            });
            self.journal_end = keep;
        }
    }

    /// Entries from `first` to `last` that have their place and are not durable yet: of one epoch, for at most `max_bytes`, but
    /// one at least. `None` if the entry at `first` is not among them.
    pub(crate) fn placed(&mut self, first: Seq, last: Seq, max_bytes: usize) -> Option<EntryBatch> {
        let in_flight = self.in_flight.iter();
        let in_flight = in_flight.flat_map(|f| f.job.entries.iter().map(|b| (b, f.last)));
        let unstable = self.unstable.batches().map(|b| (b, Seq::MAX));
        let (mut parts, mut room, mut next) = (Vec::<EntryBatch>::new(), max_bytes, first);
        for (batch, end) in in_flight.chain(unstable) {
            let is_of_epoch = parts.first().is_none_or(|f| f.epoch() == batch.epoch());
            let Some(wanted) = batch
                .range(next, last.min(end))
                .filter(|b| b.first() == next)
            else {
                continue;
            };
            let part = wanted.fitting(room);
            if !is_of_epoch || !parts.is_empty() && part.bytes() >= room {
                break;
            }
            // One byte is for the comma that joins two parts.
            room = room.saturating_sub(part.bytes() + 1);
            next = part.last().next();
            parts.push(part);
        }
        EntryBatch::concat(&parts)
    }

    /// Whether the last write found no room, and what it was to write waits for some.
    #[must_use]
    pub fn waits_for_room(&self) -> bool {
        self.full_until.is_some()
    }

    /// What is committed is to be stored with the next write, and is a reason for one.
    pub fn store_committed(&mut self) {
        self.stores_committed = true;
    }

    /// A damaged entry is to be written again.
    pub fn repair(&mut self, entry: EntryBatch) {
        let is_new = self.repairs.iter().all(|r| r.first() != entry.first());
        if is_new && entry.last() <= self.durable {
            self.repairs.push(entry);
        }
    }

    /// Whether the journal does not hold yet what the log has learned, together with that hard state.
    #[must_use]
    pub fn is_behind(&self, hard_state: &HardState) -> bool {
        let hard_state = HardState {
            epochs: self.epochs.starts().to_vec(),
            ..hard_state.clone()
        };
        self.has_work() || hard_state.has_changed_since(&self.hard_state)
    }

    /// The next write, if there is anything to write and none is in flight. `hard_state` is what the node has to know again,
    /// apart from what the log itself knows: the table of epochs, and what is committed. Where the write is to be a `chunk` of a
    /// shared journal, its entries have at most as many bytes as that says, but are one batch at least.
    pub fn next_write(
        &mut self,
        hard_state: HardState,
        chunk: Option<(ChunkHead, usize)>,
        now: Time,
    ) -> Option<WriteJob> {
        if self.in_flight.is_some() || self.is_disk_full(now) {
            return None;
        }
        let (chunk, max_bytes, max_batches) = match chunk {
            Some((head, max_bytes)) => (Some(head), max_bytes, MAX_CHUNK_BATCHES),
            None => (None, usize::MAX, usize::MAX),
        };
        let hard_state = HardState {
            epochs: self.epochs.starts().to_vec(),
            committed: self.committed.clone(),
            ..hard_state
        };
        let has_purpose = |head: &ChunkHead| head.kind != ChunkKind::Write;
        let is_due = self.stores_committed
            || chunk.as_ref().is_some_and(has_purpose)
            || self.truncate.is_some()
            || !self.unstable.is_empty()
            || hard_state.has_changed_since(&self.hard_state);
        let job = WriteJob {
            truncate: self.truncate.take(),
            entries: self.unstable.take_fitting(max_bytes, max_batches),
            hard_state: (is_due && hard_state != self.hard_state).then_some(hard_state),
            repairs: std::mem::take(&mut self.repairs),
            // A damaged entry is written again where it is damaged.
            chunk: chunk.filter(|_| is_due),
        };
        self.stores_committed = false;
        if job.is_empty() {
            self.full_until = None; // nothing waits for room any more
            return None;
        }
        let last = job.entries.last().map_or(self.durable, EntryBatch::last);
        self.in_flight = Some(InFlight {
            job: job.clone(),
            last,
            end: last,
            journal_end: self
                .journal_end
                .max(job.truncate.map_or(Seq::ZERO, |t| t.after)),
        });
        self.journal_end = last;
        Some(job)
    }

    /// The write in flight has ended.
    pub fn written(&mut self, result: WriteResult, now: Time) -> Written {
        self.waits_for_own_room = false;
        let Some(InFlight {
            job,
            last,
            journal_end,
            end,
        }) = self.in_flight.take()
        else {
            return Written::Done {
                rolled_back: None,
                was_committed: false,
            };
        };
        match result {
            WriteResult::Done { rolled_back } => {
                self.full_until = None;
                self.durable = self.durable.max(last);
                self.stored = end;
                self.digest_written(&job, last);
                if let Some(hard_state) = job.hard_state {
                    self.hard_state = hard_state;
                }
                Written::Done {
                    was_committed: std::mem::take(&mut self.rolls_back_committed),
                    rolled_back,
                }
            }
            WriteResult::DiskFull => {
                self.full_until = Some(now + FULL_PAUSE);
                self.put_back(job, last, journal_end);
                Written::DiskFull
            }
            WriteResult::Conflict => {
                // The truncation that was refused, or the next one, has taken out what is there again.
                self.truncate = job.truncate.or(self.truncate);
                Written::Conflict {
                    brings_back: self.forget_unwritten(),
                }
            }
            WriteResult::Failed(why) => Written::Failed(why),
        }
    }

    /// What was placed, taken out or learned and was not handed to the journal is forgotten: the log is what the journal holds,
    /// together with the write in flight if there is one. Whether something comes back that was to be taken out.
    pub fn forget_unwritten(&mut self) -> bool {
        let brings_back = self.truncate.is_some();
        let (hard_state, end, cut) = match &mut self.in_flight {
            Some(in_flight) => {
                in_flight.last = in_flight.end;
                let job = &in_flight.job;
                let hard_state = job.hard_state.as_ref().unwrap_or(&self.hard_state);
                (hard_state, in_flight.end, job.truncate)
            }
            None => (&self.hard_state, self.stored, None),
        };
        self.epochs = EpochTable::new(hard_state.epochs.clone(), end);
        if brings_back {
            self.committed = hard_state.committed.up_to(end);
        }
        self.durable = cut.map_or(self.stored, |cut| cut.after.min(self.stored));
        self.unstable = Unstable::default();
        self.truncate = None;
        self.rolls_back_committed = false;
        self.stores_committed = false;
        self.repairs.clear();
        self.journal_end = end;
        self.full_until = None;
        brings_back
    }

    /// The hard state that the write in flight stores, if there is one that does.
    #[must_use]
    pub fn hard_state_in_flight(&self) -> Option<&HardState> {
        self.in_flight.as_ref()?.job.hard_state.as_ref()
    }

    /// Messages of so many bytes that have to be in one chunk of at most `max_bytes` are about to be placed.
    pub fn begin_group(&mut self, bytes: usize, max_bytes: usize) {
        self.unstable.begin_group(bytes, max_bytes);
    }

    /// A write has ended that made everything up to `last` durable.
    fn digest_written(&mut self, job: &WriteJob, last: Seq) {
        let Shown(digests) = &mut self.digests;
        // From here on it is what the journal has now: other bytes than before would be another digest.
        if let Some(repaired) = job.repairs.iter().map(EntryBatch::first).min() {
            digests.truncate_after(repaired.prev());
        }
        for batch in &job.entries {
            match batch.last() <= last {
                true => digests.extend(batch),
                false => batch
                    .range(batch.first(), last)
                    .iter()
                    .for_each(|b| digests.extend(b)),
            }
        }
    }

    /// The digest of the durable log up to `seq`; `None` if it is not known without reading.
    #[must_use]
    pub fn digest_at(&self, seq: Seq) -> Option<DigestAt> {
        let hash: Digest = self.digests.0.at(seq)?;
        Some(DigestAt { seq, hash })
    }

    /// The digests of the durable log.
    #[must_use]
    pub fn digests(&self) -> &Digests {
        &self.digests.0
    }

    /// Somebody wants to know the digest at `seq`, and that of the whole log: what is not known of it is read. Nothing is tried as long as the entry that stands in the way is damaged.
    pub fn want_digest(&mut self, seq: Seq, is_damaged: impl Fn(Seq) -> bool) {
        self.digests.0.want(seq, is_damaged);
    }

    /// What is to be read from the journal for the digests that somebody wants to know, if anything is.
    pub(crate) fn digest_read(&mut self) -> Option<Read> {
        let end_of_epoch = |seq| self.epochs.end_of_epoch(seq);
        let (revision, query) = self.digests.0.next_read(self.durable, end_of_epoch)?;
        Some(Read {
            purpose: Purpose::Digest(revision),
            query,
        })
    }

    /// What [`Log::digest_read`] has asked for.
    pub(crate) fn digest_page(
        &mut self,
        revision: u64,
        entries: Result<Option<EntryBatch>, ReadError>,
    ) {
        self.digests.0.page(revision, entries);
    }

    /// Nothing of the job was written: all of it is still to be done, but for what was truncated since.
    fn put_back(&mut self, job: WriteJob, last: Seq, journal_end: Seq) {
        let entries: Vec<EntryBatch> = cut(job.entries, last).collect();
        self.unstable.put_back(entries);
        let later = self.truncate.take();
        self.truncate = match (job.truncate, later) {
            (Some(first), Some(later)) => Some(Truncate {
                after: first.after.min(later.after),
                rollback_of: first.rollback_of.or(later.rollback_of),
            }),
            (first, None) => first,
            // What was to be taken out may never have been written.
            (None, later) => later.filter(|t| t.after < journal_end),
        };
        self.journal_end = match self.truncate {
            Some(truncate) => truncate.after,
            None => journal_end,
        };
    }
}
