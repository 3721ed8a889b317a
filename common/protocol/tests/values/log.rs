//! A node's log over a journal whose writes are done, or find no room, at any time.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use replog_protocol::digest::Digest;
use replog_protocol::entry::{Content, EntryBatch};
use replog_protocol::hard_state::HardState;
use replog_protocol::ids::{MessageId, Seq, Time};
use replog_protocol::log::{Log, Written};
use replog_protocol::node::{Restored, WriteJob, WriteResult};

use crate::support::journal::{Journal, single};
use crate::support::{entry, epoch, log, message_id, ms};

#[derive(Clone, Debug)]
enum Call {
    Place(u8),
    Append { count: u8, of_new_epoch: bool },
    Truncate { keep: u64, is_kept: bool },
    Promise,
    NextWrite,
    End { is_full: bool },
    Wait(u64),
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        3 => (1..4u8).prop_map(Call::Place),
        3 => (1..4u8, any::<bool>()).prop_map(|(count, of_new_epoch)| Call::Append { count, of_new_epoch }),
        2 => (0..15u64, any::<bool>()).prop_map(|(keep, is_kept)| Call::Truncate { keep, is_kept }),
        1 => Just(Call::Promise),
        5 => Just(Call::NextWrite),
        5 => proptest::bool::weighted(0.3).prop_map(|is_full| Call::End { is_full }),
        2 => (0..1200u64).prop_map(Call::Wait),
    ]
}

/// A log, its journal, and the list of entries that the log should be.
struct World {
    log: Log,
    journal: Journal,
    in_flight: Option<WriteJob>,
    twin: Vec<EntryBatch>,
    hard_state: HardState,
    now: Time,
    ids: u64,
    /// Entries that were truncated and are to be kept, if they ever were in the journal.
    to_keep: BTreeSet<MessageId>,
    was_in_journal: BTreeSet<MessageId>,
}

fn id_of(entry: &EntryBatch) -> MessageId {
    entry.get(entry.first()).expect("one entry").message_id
}

impl World {
    fn new() -> Self {
        Self {
            log: Log::new(Restored::default()),
            journal: Journal::default(),
            in_flight: None,
            twin: Vec::new(),
            hard_state: HardState {
                log_id: Some(log(1)),
                epoch: epoch(1, 1),
                ..HardState::default()
            },
            now: Time::ZERO,
            ids: 0,
            to_keep: BTreeSet::new(),
            was_in_journal: BTreeSet::new(),
        }
    }

    /// The next entry of the log, with an id of its own.
    fn next(&mut self) -> EntryBatch {
        self.ids += 1;
        let seq = self.twin.len() as u64 + 1;
        entry(seq, self.hard_state.epoch, self.ids.into())
    }

    fn call(&mut self, call: Call) {
        match call {
            Call::Place(count) => {
                for _ in 0..count {
                    let next = self.next();
                    let content = Content::from_text(&self.ids.to_string());
                    let id = message_id(self.ids.into());
                    let seq = self.log.place(next.epoch(), id, &content);
                    assert_eq!(seq, next.first());
                    self.twin.push(next);
                }
            }
            Call::Append {
                count,
                of_new_epoch,
            } => {
                self.hard_state.epoch.n += u64::from(of_new_epoch);
                let from = self.twin.len();
                for _ in 0..count {
                    let next = self.next();
                    self.twin.push(next);
                }
                let batch = EntryBatch::concat(&self.twin[from..]).expect("entries");
                self.log.append(batch);
            }
            Call::Truncate { keep, is_kept } => {
                let keep = keep.min(self.twin.len() as u64);
                self.log
                    .truncate_after(Seq(keep), is_kept.then_some(log(1)));
                let out = self.twin.split_off(keep as usize);
                if is_kept {
                    self.to_keep.extend(out.iter().map(id_of));
                }
                // What comes next is of a later epoch.
                self.hard_state.epoch.n += 1;
            }
            Call::Promise => self.hard_state.epoch.n += 1,
            Call::NextWrite => {
                let job = self.log.next_write(self.hard_state.clone(), None, self.now);
                if let Some(job) = job {
                    assert!(self.in_flight.is_none() && !job.is_empty());
                    self.in_flight = Some(job);
                }
            }
            Call::End { is_full } => {
                let Some(job) = self.in_flight.take() else {
                    return;
                };
                let result = match is_full {
                    true => WriteResult::DiskFull,
                    false => self.journal.write(job),
                };
                let written = self.log.written(result, self.now);
                assert_eq!(matches!(written, Written::DiskFull), is_full);
                self.was_in_journal
                    .extend(self.journal.entries.iter().map(id_of));
            }
            Call::Wait(millis) => self.now = self.now + ms(millis),
        }
    }

    fn check(&mut self) -> Result<(), TestCaseError> {
        let World {
            log, journal, twin, ..
        } = self;
        prop_assert_eq!(
            log.last(),
            twin.last()
                .map(EntryBatch::last_position)
                .unwrap_or_default()
        );
        let durable = log.durable().0 as usize;
        prop_assert!(durable <= twin.len());
        prop_assert!(
            journal.entries.len() >= durable,
            "durable is what the journal has"
        );
        prop_assert_eq!(&journal.entries[..durable], &twin[..durable]);
        prop_assert_eq!(log.hard_state(), &journal.hard_state);
        if !log.is_truncating() {
            prop_assert!(
                twin.starts_with(&journal.entries),
                "nothing else is in the journal"
            );
            prop_assert_eq!(durable, journal.entries.len());
        }
        for (i, one) in twin.iter().enumerate() {
            let recent = self
                .log
                .recent(Seq(i as u64 + 1))
                .map(|e| single(&e).remove(0));
            prop_assert!(
                recent.as_ref().map_or(i < durable, |e| e == one),
                "entry {}: {recent:?}",
                i + 1
            );
        }
        // The digest is of what is durable, and keeps up with it.
        prop_assert_eq!(self.log.digests().end().0 as usize, durable);
        let mut digest = Digest::EMPTY;
        for (i, one) in twin[..durable].iter().enumerate() {
            digest = digest.then(one.text());
            let known = self.log.digest_at(Seq(i as u64 + 1));
            prop_assert_eq!(known.map(|at| at.hash), Some(digest));
        }
        // A process that ended now would come back with a log that its own table describes.
        drop(self.journal.restored());
        Ok(())
    }
}

proptest! {
    /// What is said to be durable is in the journal, and is of the log; nothing that was to be kept is lost; and once every
    /// write is done the journal is the log.
    #[test]
    fn durable_never_overstates_what_the_journal_holds(calls in vec(call(), 0..60)) {
        let mut world = World::new();
        for call in calls {
            world.call(call);
            world.check()?;
        }
        for _ in 0..3 {
            for call in [Call::End { is_full: false }, Call::Wait(1000), Call::NextWrite] {
                world.call(call);
                world.check()?;
            }
        }
        prop_assert!(world.in_flight.is_none() && !world.log.has_work(), "it is done");
        prop_assert_eq!(&world.journal.entries, &world.twin);
        prop_assert_eq!(world.log.durable().0, world.twin.len() as u64);
        prop_assert_eq!(world.journal.hard_state.epoch, world.hard_state.epoch);
        prop_assert_eq!(world.log.deadline(), None, "nothing is waited for");
        let mut kept = BTreeMap::new();
        for entry in world.journal.rollbacks.iter().flat_map(|(_, entries)| entries) {
            prop_assert_eq!(kept.insert(id_of(entry), ()), None, "kept once");
        }
        let lost: Vec<_> = (world.to_keep.iter())
            .filter(|id| world.was_in_journal.contains(id) && !kept.contains_key(id))
            .collect();
        prop_assert!(lost.is_empty(), "{lost:?}");
    }
}
