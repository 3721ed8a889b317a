//! The histories that a secondary has left, and what was promised in them.

use serde::{Deserialize, Serialize};

use crate::ids::{Epoch, Leadership, LogId};

/// The histories that a secondary has left for others, and the highest epoch of each that it has followed or promised: a
/// promise outlives the history that it was made in, whatever late words lead the secondary elsewhere and back.
///
/// At most [`FormerLogs::MAX`] are remembered. Beyond that the lowest epoch is forgotten, and from then on every unknown
/// history below all that are remembered is taken for a forgotten one: following too little can be mended (`POST /rejoin`),
/// a broken promise cannot.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "Stored")]
pub struct FormerLogs(Vec<Leadership>);

/// As it is stored.
#[derive(Deserialize)]
#[serde(untagged)]
enum Stored {
    /// The first releases remembered one.
    One(Leadership),
    Many(Vec<Leadership>),
}

impl From<Stored> for FormerLogs {
    fn from(stored: Stored) -> Self {
        let mut all = Self::default();
        match stored {
            Stored::One(left) => all.leave(left),
            Stored::Many(logs) => logs.into_iter().for_each(|left| all.leave(left)),
        }
        all
    }
}

impl FormerLogs {
    /// How many are remembered. A cluster makes one in each life of a master that starts with nothing and hears nobody.
    pub const MAX: usize = 16;

    /// Whether no history was left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// That history is left, and in it that epoch was the highest.
    pub(super) fn leave(&mut self, left: Leadership) {
        match self.0.iter_mut().find(|known| known.log_id == left.log_id) {
            Some(known) => known.epoch = known.epoch.max(left.epoch),
            None => self.0.push(left),
        }
        if self.0.len() > Self::MAX {
            let lowest = self.0.iter().enumerate().min_by_key(|(_, f)| f.epoch);
            if let Some((at, _)) = lowest {
                self.0.remove(at);
            }
        }
    }

    /// The highest epoch of that history that was followed or promised, if it is remembered.
    #[must_use]
    pub fn epoch_of(&self, log_id: LogId) -> Option<Epoch> {
        let known = self.0.iter().find(|known| known.log_id == log_id);
        known.map(|known| known.epoch)
    }

    /// Whether that history is not remembered, and may be one that was forgotten after a later epoch.
    #[must_use]
    pub(super) fn may_have_forgotten(&self, leader: Leadership) -> bool {
        let is_below_all = || self.0.iter().all(|known| leader.epoch < known.epoch);
        self.0.len() >= Self::MAX && self.epoch_of(leader.log_id).is_none() && is_below_all()
    }
}
