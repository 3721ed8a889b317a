//! Admission: what becomes of messages that want to be in the log, decided before anything is changed.
//!
//! [`Admission::admit`] makes all refusals and hands out a [`Plan`]; carrying that out cannot fail, so a batch is all or
//! nothing without an undo.

use std::collections::{BTreeMap, BTreeSet};

use crate::entry::EntryBatch;
use crate::ids::{Leadership, Seq, Time};
use crate::leader::command::{Append, AppendError, AppendRequest, Appended, Unavailable};
use crate::leader::dedup::{Dedup, DeduplicateBy, fingerprint};
use crate::leader::peers::Peers;
use crate::log::Log;
use crate::node::Query;

/// What an entry has beside its content, at most: names, digits, an id, and a comma.
pub(super) const ENTRY_BYTES: usize = 128;

/// Messages that wait to be admitted: because a look into the journal has to tell first whether they are there already, or
/// because the master recovers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Pending<W> {
    pub(super) append: Append<W>,
    /// When the client's time is up.
    pub(super) until: Option<Time>,
    /// What the journal has said, by the place of the message in the batch.
    pub(super) looked_up: BTreeMap<usize, LookedUp>,
}

/// A question to the journal about one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct LookUp {
    /// The place of the message in the batch.
    pub(super) index: usize,
    /// The log that was looked at, as [`Log::generation`] counted when it was asked.
    pub(super) generation: u64,
    /// The entries up to here were durable when it was asked, and so were looked at.
    pub(super) covers: Seq,
}

/// What the journal says of one message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct LookedUp {
    pub(super) asked: LookUp,
    /// The entry that is the same message; an error if it cannot be read.
    pub(super) entry: Result<Option<EntryBatch>, Seq>,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// Each of the first messages gets the next place, for so many nodes.
    Place {
        /// The number of nodes.
        w: u32,
        /// How many messages; all of them, but for a run of a load.
        count: usize,
    },
    /// They are in the log already: the client joins that wait.
    Join(Appended),
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// Nothing is appended.
    Refused(AppendError),
    /// The journal has to be asked about the messages at these places of the batch first.
    LookUp(Vec<(usize, Query)>),
}

impl From<AppendError> for Obstacle {
    fn from(error: AppendError) -> Self {
        Self::Refused(error)
    }
}

/// Why it is not known whether a message is in the log.
enum Unknown {
    /// The journal has to be asked.
    LookUp(Query),
    /// The entry that may be the same message cannot be read.
    Unreadable(Seq),
}

/// The master, as far as an admission is decided by it.
pub(super) struct Admission<'a> {
    pub(super) leadership: Leadership,
    pub(super) peers: &'a Peers,
    pub(super) dedup: &'a Dedup,
    pub(super) log: &'a mut Log,
    /// Why nothing new is taken.
    pub(super) unavailable: Option<Unavailable>,
    /// Whether one more client may wait for other nodes.
    pub(super) has_room: bool,
    /// The largest content that the broker takes, in bytes of its JSON.
    pub(super) max_content: usize,
    /// The most bytes that the entries of a batch may have together; `None` where the journal takes any.
    pub(super) max_batch: Option<usize>,
    /// How many nodes hold an entry.
    pub(super) acks: &'a dyn Fn(Seq) -> u32,
}

impl Admission<'_> {
    /// What becomes of these messages. The order of the checks is that of the errors in the API: 400, 413, 422, 412, 503.
    pub(super) fn admit<W>(&mut self, pending: &Pending<W>) -> Result<Plan, Obstacle> {
        let Append {
            requests,
            w,
            expected_seq,
            load,
            ..
        } = &pending.append;
        let w = self.peers.write_concern(*w).map_err(AppendError::from)?;
        let began_in = load.and_then(|load| load.log_id);
        if began_in.is_some_and(|log_id| log_id != self.leadership.log_id) {
            return Err(AppendError::OtherHistory.into());
        }
        // A run of a load ends before what is refused.
        let is_run = load.is_some();
        let mut requests = &requests[..];
        let max = self.max_content;
        let bytes = |r: &AppendRequest| r.content.bytes();
        if let Some(at) = requests.iter().position(|r| bytes(r) > max) {
            if at == 0 || !is_run {
                let bytes = bytes(&requests[at]);
                return Err(AppendError::TooLarge { bytes, max }.into());
            }
            requests = &requests[..at];
        }
        if let Some(max) = self
            .max_batch
            .filter(|max| !is_run && bytes_of(requests) > *max)
        {
            let bytes = bytes_of(requests);
            return Err(AppendError::BatchTooLarge { bytes, max }.into());
        }
        if let Some(at) = self.first_twice(requests) {
            if !is_run {
                let message_id = requests[at].message_id;
                return Err(AppendError::Twice { message_id }.into());
            }
            requests = &requests[..at];
        }
        let (mut there, mut look_ups) = (Vec::with_capacity(requests.len()), Vec::new());
        for (index, request) in requests.iter().enumerate() {
            match self.existing(index, request, &pending.looked_up) {
                Ok(entry) => there.push(entry),
                Err(Unknown::LookUp(query)) => look_ups.push((index, query)),
                Err(Unknown::Unreadable(_)) if is_run && index > 0 => break,
                Err(Unknown::Unreadable(seq)) => return Err(AppendError::Unreadable { seq }.into()),
            }
        }
        if !look_ups.is_empty() {
            return Err(Obstacle::LookUp(look_ups));
        }
        if is_run {
            there.truncate(of_one_kind(requests, &there));
        }
        let requests = &requests[..there.len()];
        if there.iter().any(Option::is_some) {
            let joined = self.joined(requests, &there, w)?;
            if load
                .and_then(|load| load.seq)
                .is_some_and(|seq| seq != joined.first)
            {
                let last_seq = self.log.last().seq;
                return Err(AppendError::ExpectedSeq { last_seq }.into());
            }
            // Only who has to wait for others needs a place: blocked clients must not shut out the rest.
            return match (self.acks)(joined.last) >= w || self.has_room {
                true => Ok(Plan::Join(joined)),
                false => Err(AppendError::Unavailable(Unavailable::TooManyWaiting).into()),
            };
        }
        let last_seq = self.log.last().seq;
        let mut expected = [*expected_seq, load.and_then(|load| load.seq)].into_iter();
        if expected.any(|expected| expected.is_some_and(|seq| seq != last_seq.next())) {
            return Err(AppendError::ExpectedSeq { last_seq }.into());
        }
        if let Some(reason) = self.unavailable {
            return Err(AppendError::Unavailable(reason).into());
        }
        if w > 1 && !self.has_room || self.log.is_full() {
            return Err(AppendError::Unavailable(Unavailable::TooManyWaiting).into());
        }
        let count = requests.len();
        Ok(Plan::Place { w, count })
    }

    /// The place of the first message that is the same as an earlier one of the batch, by whichever rule holds.
    fn first_twice(&self, requests: &[AppendRequest]) -> Option<usize> {
        if requests.len() < 2 {
            return None;
        }
        let by_content = self.dedup.by() == DeduplicateBy::Content;
        let (mut ids, mut contents) = (BTreeSet::new(), BTreeSet::new());
        requests.iter().position(|request| {
            by_content && !contents.insert(fingerprint(&request.content))
                || !request.is_new_id && !ids.insert(request.message_id)
        })
    }

    /// The entry in the log that is the same message, if there is one.
    fn existing(
        &mut self,
        index: usize,
        request: &AppendRequest,
        looked_up: &BTreeMap<usize, LookedUp>,
    ) -> Result<Option<EntryBatch>, Unknown> {
        let by_content = self.dedup.by() == DeduplicateBy::Content;
        if request.is_new_id && !by_content {
            return Ok(None);
        }
        let generation = self.log.generation();
        let known = looked_up.get(&index);
        let known = known.filter(|l| l.asked.generation == generation);
        if let Some(seq) = self.dedup.find(request.message_id, &request.content) {
            if let Some(recent) = self.log.recent(seq) {
                return Ok(Some(recent));
            }
            return match known.map(|l| &l.entry) {
                Some(Ok(Some(entry))) if entry.first() == seq => Ok(Some(entry.clone())),
                Some(Err(damaged)) if *damaged == seq => Err(Unknown::Unreadable(seq)),
                _ => {
                    let (first, last, max_bytes) = (seq, seq, 1);
                    Err(Unknown::LookUp(Query::Range {
                        first,
                        last,
                        max_bytes,
                    }))
                }
            };
        }
        if self.dedup.floor() == Seq::ZERO {
            return Ok(None);
        }
        // What came since is in the index; what was looked at has to reach as far as the index does not.
        match known.filter(|l| l.asked.covers >= self.dedup.floor()) {
            Some(looked_up) => looked_up.entry.clone().map_err(Unknown::Unreadable),
            None => Err(Unknown::LookUp(Query::Find {
                message_id: request.message_id,
                content: by_content.then(|| request.content.clone()),
            })),
        }
    }

    /// Where the messages are, if all of them are in the log, one after the other, as they came.
    fn joined(
        &self,
        requests: &[AppendRequest],
        there: &[Option<EntryBatch>],
        w: u32,
    ) -> Result<Appended, AppendError> {
        let mut first: Option<&EntryBatch> = None;
        for (i, (request, entry)) in requests.iter().zip(there).enumerate() {
            let message_id = request.message_id;
            let Some(batch) = entry else {
                return Err(there_in_part(requests, there));
            };
            let seq = batch.first();
            let says_same = batch.get(seq).is_some_and(|e| e.says(&request.content));
            if !says_same {
                return Err(AppendError::OtherContent { seq, message_id });
            }
            let expected = first.map_or(seq, |f| Seq(f.first().0 + i as u64));
            if seq != expected {
                return Err(AppendError::PartlyThere { message_id });
            }
            first = first.or(Some(batch));
        }
        let Some(first) = first else {
            return Err(there_in_part(requests, there));
        };
        let message_id = first.get(first.first()).map(|e| e.message_id);
        Ok(Appended {
            log_id: self.leadership.log_id,
            epoch: first.epoch().n,
            first: first.first(),
            last: Seq(first.first().0 + requests.len() as u64 - 1),
            message_id: message_id.unwrap_or_default(),
            w,
            duplicate: true,
        })
    }
}

/// The bytes that the entries of these messages have at most.
pub(super) fn bytes_of(requests: &[AppendRequest]) -> usize {
    let bytes = requests.iter().map(|r| r.content.bytes() + ENTRY_BYTES);
    bytes.sum()
}

/// How many messages, from the first one on, are new; or in the log already, one after the other, as they came. At least one.
fn of_one_kind(requests: &[AppendRequest], there: &[Option<EntryBatch>]) -> usize {
    let Some(Some(first)) = there.first() else {
        let is_new = |entry: &Option<EntryBatch>| entry.is_none();
        return there.iter().take_while(|entry| is_new(entry)).count();
    };
    let first = first.first().0;
    let pairs = requests.iter().zip(there);
    let same = (first..).zip(pairs).take_while(|(seq, (request, entry))| {
        let entry = entry.as_ref().and_then(|batch| batch.get(Seq(*seq)));
        entry.is_some_and(|entry| entry.says(&request.content))
    });
    same.count().max(1)
}

fn there_in_part(requests: &[AppendRequest], there: &[Option<EntryBatch>]) -> AppendError {
    let mut pairs = requests.iter().zip(there);
    let found = pairs.find(|(_, entry)| entry.is_some());
    let message_id = found.map(|(request, _)| request.message_id);
    AppendError::PartlyThere {
        message_id: message_id.unwrap_or_default(),
    }
}
