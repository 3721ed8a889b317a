//! Histories that were cleared away (`POST /clear`), and by which epoch: the one home of clearing.
//!
//! A clearing begins a new history that names the one it replaces. A secondary that holds only what the clearing epoch
//! could know of gives its entries up and follows; one that has heard of a later epoch of the old history keeps them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{Epoch, LogId};

/// Histories of which it is remembered what they have replaced.
const MAX_HISTORIES: usize = 256;

/// A history that was cleared away, and the epoch that cleared it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClearedLog {
    /// The history.
    pub log_id: LogId,
    /// The epoch of that history in which it was cleared.
    #[serde(flatten)]
    pub epoch: Epoch,
}

/// The histories that a history has replaced, the newest last; at most [`ClearedLogs::MAX`], older ones are forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "Vec<ClearedLog>")]
pub struct ClearedLogs(Vec<ClearedLog>);

impl From<Vec<ClearedLog>> for ClearedLogs {
    /// As it is stored. Of more than are remembered the newest ones are: a message that names more is refused by everybody.
    fn from(mut logs: Vec<ClearedLog>) -> Self {
        let forgotten = logs.len().saturating_sub(Self::MAX);
        Self(logs.split_off(forgotten))
    }
}

impl ClearedLogs {
    /// How many are remembered and named.
    pub const MAX: usize = 12;

    /// From a message or a file.
    ///
    /// # Errors
    /// More than [`ClearedLogs::MAX`]: how many.
    pub fn new(logs: Vec<ClearedLog>) -> Result<Self, usize> {
        match logs.len() {
            0..=Self::MAX => Ok(Self(logs)),
            many => Err(many),
        }
    }

    /// Whether no history was cleared away.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Each of them, the newest last.
    pub fn iter(&self) -> impl Iterator<Item = &ClearedLog> {
        self.0.iter()
    }

    /// One more history was cleared away.
    pub fn push(&mut self, cleared: ClearedLog) {
        self.0.push(cleared);
        if self.0.len() > Self::MAX {
            self.0.remove(0);
        }
    }

    /// The epoch that cleared `log_id` away, if it was.
    #[must_use]
    pub fn cleared_by(&self, log_id: LogId) -> Option<Epoch> {
        self.0.iter().find(|c| c.log_id == log_id).map(|c| c.epoch)
    }

    /// Whether `log_id` was cleared by an epoch that is not below `epoch`: a node that has heard of no later epoch of that
    /// history holds nothing that the clearing could not know of.
    #[must_use]
    pub fn covers(&self, log_id: LogId, epoch: Epoch) -> bool {
        self.cleared_by(log_id).is_some_and(|by| epoch <= by)
    }

    /// The epoch of the newest clearing; a history that began with a clearing is above it.
    #[must_use]
    pub fn newest_epoch(&self) -> Option<Epoch> {
        self.0.last().map(|c| c.epoch)
    }

    /// Whether a history that `other` leads in `epoch` may have been cleared away so long ago that it is forgotten here.
    #[must_use]
    pub fn may_have_forgotten(&self, epoch: Epoch) -> bool {
        self.0.len() >= Self::MAX && self.0.first().is_some_and(|oldest| epoch < oldest.epoch)
    }

    /// The same, each cleared by `raise` of it: for a recovery that learned of later epochs in which nothing was placed.
    #[must_use]
    pub fn map(&self, raise: impl Fn(ClearedLog) -> ClearedLog) -> Self {
        Self(self.0.iter().copied().map(raise).collect())
    }
}

/// What each history is said to have replaced, whatever becomes of who has said it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct KnownClearings(BTreeMap<LogId, ClearedLogs>);

impl KnownClearings {
    /// Somebody who holds `log` names the histories that it has replaced. Of two that do, who names more knows more. Beyond
    /// 256 histories no further one is remembered.
    pub fn learn(&mut self, log: LogId, cleared: &ClearedLogs) {
        if cleared.is_empty() {
            return;
        }
        let has_room = self.0.len() < MAX_HISTORIES;
        let known = match self.0.get_mut(&log) {
            Some(known) => known,
            None if has_room => self.0.entry(log).or_default(),
            None => return,
        };
        if cleared.len() > known.len() {
            known.clone_from(cleared);
        }
    }

    /// What that history has replaced.
    #[must_use]
    pub fn of(&self, log: LogId) -> Option<&ClearedLogs> {
        self.0.get(&log)
    }

    /// Whether some history has replaced `log`, by an epoch that is not below `epoch`: see [`ClearedLogs::covers`].
    #[must_use]
    pub fn covers(&self, log: LogId, epoch: Epoch) -> bool {
        self.0.values().any(|cleared| cleared.covers(log, epoch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file may name any number of them; what is sent has to be taken by others.
    #[test]
    fn of_more_than_are_remembered_the_newest_ones_are_read() {
        let one = |n: u64| format!(r#"{{"log_id":"{}","epoch":{n}}}"#, uuid::Uuid::nil());
        let read = |names: std::ops::Range<u64>| -> ClearedLogs {
            let all: Vec<String> = names.map(one).collect();
            serde_json::from_str(&format!("[{}]", all.join(","))).expect("histories")
        };
        let epochs = |logs: &ClearedLogs| logs.iter().map(|c| c.epoch.n).collect::<Vec<u64>>();
        assert_eq!(epochs(&read(0..30)), (18..30).collect::<Vec<u64>>());
        assert_eq!(epochs(&read(0..2)), [0, 1]);
    }
}
