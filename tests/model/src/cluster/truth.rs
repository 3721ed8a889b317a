//! What really was: who has placed what, what storages have held, and what clients rely on. No node knows of it.

use std::collections::{BTreeMap, BTreeSet};

use replog_protocol::committed::Committed;
use replog_protocol::epochs::LogPosition;
use replog_protocol::ids::{Epoch, Leadership, LogId, MasterId, MessageId, Seq};
use uuid::Uuid;

use crate::cluster::journal::{Applied, StoredEntry};
use crate::cluster::rules::{Rule, Violation};

/// An entry as a master has placed it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Placed {
    entry: StoredEntry,
    /// What stood before it in the log of that master.
    prev: LogPosition,
}

/// The history of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Truth {
    placed: BTreeMap<(LogId, LogPosition), Placed>,
    /// What a storage has held and holds no more: by the start of a secondary or of a master.
    removed: BTreeSet<(Uuid, LogId, LogPosition)>,
    cleared: BTreeSet<LogId>,
    /// What clients were told to be on two nodes at least.
    acknowledged: BTreeSet<(LogId, LogPosition)>,
    /// What was committed, and by how many nodes.
    committed: BTreeSet<(LogId, CommittedBy, LogPosition)>,
    /// What each start has known to be committed of a history, and how often its log was cut by then.
    known: BTreeMap<(Uuid, LogId), (u64, Committed)>,
    /// Every leadership that was served, and the end of the log with which it began.
    served: BTreeMap<Leadership, LogPosition>,
}

/// Which nodes have committed an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CommittedBy {
    /// So many.
    Count(u32),
    /// A majority of those that counted at that moment.
    Majority,
    /// All of them.
    All,
}

impl Truth {
    /// The storage of that start has written: `entries` is the log that it holds now. `leads` is the master whose storage it
    /// is; `may_delete` says that somebody has asked for an empty log.
    ///
    /// # Errors
    /// The write breaks a rule.
    pub fn wrote(
        &mut self,
        start: Uuid,
        leads: Option<MasterId>,
        entries: &[StoredEntry],
        may_delete: bool,
        applied: &Applied,
    ) -> Result<(), Violation> {
        self.removes(start, may_delete, applied)?;
        let Some(log_id) = applied.log_id else {
            return match applied.appended.is_empty() {
                true => Ok(()),
                false => Err(Violation::new(Rule::Prefix, "entries of no history")),
            };
        };
        for (prev, entry) in &applied.appended {
            let position = entry.position();
            if leads == Some(position.epoch.master) {
                self.place(log_id, entry, *prev, entries)?;
                continue;
            }
            if !self.is_placed(log_id, entry, *prev) {
                let placed = self.placed.get(&(log_id, position));
                let what = format!("stores {entry:?} of {log_id} after {prev:?}, not {placed:?}");
                return Err(Violation::new(Rule::Prefix, what));
            }
        }
        Ok(())
    }

    /// The master that placed the entry sends it, perhaps before it has written it: nothing else may ever stand there.
    ///
    /// # Errors
    /// Something else does.
    pub fn sent(
        &mut self,
        log_id: LogId,
        entry: &StoredEntry,
        prev: LogPosition,
    ) -> Result<(), Violation> {
        self.place(log_id, entry, prev, &[])
    }

    /// Whether a master has placed that very entry there.
    #[must_use]
    pub fn is_placed(&self, log_id: LogId, entry: &StoredEntry, prev: LogPosition) -> bool {
        let placed = self.placed.get(&(log_id, entry.position()));
        placed.is_some_and(|p| p.entry == *entry && p.prev == prev)
    }

    fn place(
        &mut self,
        log_id: LogId,
        entry: &StoredEntry,
        prev: LogPosition,
        entries: &[StoredEntry],
    ) -> Result<(), Violation> {
        let position = entry.position();
        let same = entries.iter().find(|e| e.id == entry.id);
        if same.is_some_and(|e| e.position() != position) {
            let what = format!("{entry:?} is at {same:?} already");
            return Err(Violation::new(Rule::OnceInOrder, what));
        }
        let placed = Placed {
            entry: entry.clone(),
            prev,
        };
        let before = self.placed.insert((log_id, position), placed.clone());
        match before.filter(|before| *before != placed) {
            None => Ok(()),
            Some(before) => {
                let what = format!("{placed:?} is placed where {before:?} was");
                Err(Violation::new(Rule::OnceInOrder, what))
            }
        }
    }

    fn removes(
        &mut self,
        start: Uuid,
        may_delete: bool,
        applied: &Applied,
    ) -> Result<(), Violation> {
        let (Some(log_id), Some(first)) = (applied.former.log_id, applied.removed.first()) else {
            return Ok(());
        };
        let may_go = may_delete
            || applied.is_rollback
            || applied.former.is_partial
            || self.cleared.contains(&log_id);
        if !may_go {
            let what = format!("{first:?} of {log_id} and what follows are gone");
            return Err(Violation::new(Rule::DeletesNothing, what));
        }
        self.lost(start, log_id, &applied.removed);
        let relied = |e: &&StoredEntry| self.acknowledged.contains(&(log_id, e.position()));
        match applied
            .removed
            .iter()
            .find(relied)
            .filter(|_| !may_delete && !applied.former.is_partial)
            .filter(|_| !self.cleared.contains(&log_id))
        {
            None => Ok(()),
            Some(entry) => {
                let what = format!("{entry:?} goes out of a log, and a client relies on it");
                Err(Violation::new(Rule::KeepsWhatWasAcknowledged, what))
            }
        }
    }

    /// The storage of that start holds those entries no more, or the start has ended.
    pub fn lost(&mut self, start: Uuid, log_id: LogId, entries: &[StoredEntry]) {
        let all = entries.iter().map(|e| (start, log_id, e.position()));
        self.removed.extend(all);
    }

    /// Whether the storage of a start that has ended held that entry, or one that lives has held it.
    #[must_use]
    pub fn once_held(&self, start: Uuid, log_id: LogId, position: LogPosition) -> bool {
        self.removed.contains(&(start, log_id, position))
    }

    /// The same of the entry at `seq`: which one it was.
    #[must_use]
    pub fn once_held_at(&self, start: Uuid, log_id: LogId, seq: Seq) -> Option<LogPosition> {
        let epoch = Epoch::ZERO;
        let from = (start, log_id, LogPosition { seq, epoch });
        let mut after = self.removed.range(from..);
        let (of, log, position) = after.next()?;
        ((*of, *log, position.seq) == (start, log_id, seq)).then_some(*position)
    }

    /// The id of the message that a master has placed there.
    #[must_use]
    pub fn message_at(&self, log_id: LogId, position: LogPosition) -> Option<MessageId> {
        self.placed.get(&(log_id, position)).map(|p| p.entry.id)
    }

    /// Whether a log of that history that ends at `end` has the entry at `position`.
    #[must_use]
    pub fn contains(&self, log_id: LogId, end: LogPosition, position: LogPosition) -> bool {
        let mut at = end;
        while at.seq > position.seq {
            match self.placed.get(&(log_id, at)) {
                Some(placed) => at = placed.prev,
                None => return false,
            }
        }
        at == position
    }

    /// A master is told to begin another history in place of that one.
    pub fn clear(&mut self, log_id: LogId) {
        self.cleared.insert(log_id);
    }

    /// It has done so, and nobody relies on that history any more; or it has refused.
    pub fn was_cleared(&mut self, log_id: LogId, is_done: bool) {
        match is_done {
            true => self.acknowledged.retain(|(log, _)| *log != log_id),
            false => drop(self.cleared.remove(&log_id)),
        }
    }

    /// Whether that history was cleared away.
    #[must_use]
    pub fn is_cleared(&self, log_id: LogId) -> bool {
        self.cleared.contains(&log_id)
    }

    /// A master begins to serve, with a log that ends at `end`.
    ///
    /// # Errors
    /// Another one has led that epoch.
    pub fn serves(&mut self, leadership: Leadership, end: LogPosition) -> Result<(), Violation> {
        match self.served.insert(leadership, end) {
            None => Ok(()),
            Some(_) => {
                let what = format!("{leadership:?} is led again");
                Err(Violation::new(Rule::OneMasterAnEpoch, what))
            }
        }
    }

    /// A client of the master of `leadership` was told that the entry is on two nodes at least. Where a later master has gone
    /// on without it, nobody can rely on that.
    pub fn acknowledge(&mut self, leadership: Leadership, position: LogPosition) {
        let Leadership { log_id, epoch } = leadership;
        let mut later = self
            .served
            .iter()
            .filter(|(l, _)| l.log_id == log_id && l.epoch > epoch);
        if !self.cleared.contains(&log_id)
            && later.all(|(_, end)| self.contains(log_id, *end, position))
        {
            self.acknowledged.insert((log_id, position));
        }
    }

    /// The entries of that history that clients rely on.
    pub fn acknowledged(&self, log_id: LogId) -> impl Iterator<Item = LogPosition> {
        let all = self.acknowledged.iter();
        all.filter(move |(log, _)| *log == log_id)
            .map(|(_, position)| *position)
    }

    /// Nobody can rely on that any more: a master has gone on that could ask nobody who has it.
    pub fn give_up(&mut self, log_id: LogId, position: LogPosition) {
        self.acknowledged.remove(&(log_id, position));
    }

    /// That entry is committed, and all before it.
    pub fn commit(&mut self, log_id: LogId, by: CommittedBy, position: LogPosition) {
        self.committed.insert((log_id, by, position));
    }

    /// Whether that entry was committed, alone or with one after it.
    #[must_use]
    pub fn is_committed(&self, log_id: LogId, by: CommittedBy, position: LogPosition) -> bool {
        let seq = position.seq;
        let epoch = Epoch::ZERO;
        let from = (log_id, by, LogPosition { seq, epoch });
        let mut all = self.committed.range(from..);
        all.by_ref()
            .take_while(|(log, other, _)| (*log, *other) == (log_id, by))
            .any(|(_, _, end)| self.contains(log_id, *end, position))
    }

    /// A start knows that so much of a history is committed; its log was cut so often.
    ///
    /// # Errors
    /// It has known more, and its log was not cut since.
    pub fn knows(
        &mut self,
        start: Uuid,
        log_id: LogId,
        cuts: u64,
        known: &Committed,
    ) -> Result<(), Violation> {
        let now = (cuts, known.clone());
        match self.known.insert((start, log_id), now) {
            Some((then, before)) if then == cuts && !known.covers(&before) => {
                let what = format!("{start} knew {before:?} of {log_id}, and knows {known:?}");
                Err(Violation::new(Rule::Committed, what))
            }
            _ => Ok(()),
        }
    }

    /// The leaderships that were served.
    pub fn served(&self) -> impl Iterator<Item = (&Leadership, &LogPosition)> {
        self.served.iter()
    }
}
