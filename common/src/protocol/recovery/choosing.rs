//! Which history a master takes, and when it has all of it.

use super::{Found, Recovery};
use crate::entry::Position;
use crate::message::Life;
use crate::types::{Epoch, LogId, Seq, Time};

impl Recovery {
    /// Time has passed: what was found, once it is all here.
    pub fn tick(&mut self, have: Position, now: Time) -> Option<Found> {
        let since = self.linked_since?;
        let Some(life) = self.life else {
            return self.choose(since, now);
        };
        if self.is_given_up(&life, have, now) {
            return self.choose(since, now);
        }
        let is_all_here = match self.alone_since {
            None => self.holders.is_all_here(&life, have),
            Some(_) => !self.is_waiting(now),
        };
        (is_all_here && self.holders.have_promised(&life))
            .then(|| self.found(Some(life.log_id), life.epoch))
    }

    /// Whether nobody is known any more who holds entries of the chosen history, and none are here.
    fn is_given_up(&mut self, life: &Life, have: Position, now: Time) -> bool {
        self.has_entries |= self.holders.holds(life.log_id, true);
        self.has_missed |= self.holders.forget_silent(now, self.settings.timeout);
        if self.holders.holds(life.log_id, self.has_entries) {
            self.alone_since = None;
            return false;
        }
        self.alone_since.get_or_insert(now);
        if self.is_waiting(now) || have.seq > Seq::ZERO {
            return false;
        }
        (self.life, self.alone_since) = (None, None);
        (self.has_missed, self.has_entries) = (false, false);
        true
    }

    /// Those that fell silent may be there again; those that now say something else will not.
    fn is_waiting(&self, now: Time) -> bool {
        let until = |since: Time| since + self.settings.timeout;
        self.has_missed && self.alone_since.is_some_and(|since| now < until(since))
    }

    /// Chooses a history, once everybody was heard or the time is up; there may be none.
    fn choose(&mut self, since: Time, now: Time) -> Option<Found> {
        let everybody = self
            .listed
            .as_ref()
            .is_some_and(|listed| listed.iter().all(|n| self.holders.has(n)));
        let wait = match everybody {
            true => self.settings.listen,
            false => self.settings.timeout.max(self.settings.listen),
        };
        if now < since + wait {
            return None;
        }
        let epoch = self.epoch.next();
        let Some(log_id) = self.holders.best() else {
            return Some(self.found(None, epoch));
        };
        self.life = Some(Life {
            log_id,
            epoch,
            instance: self.instance,
        });
        self.holders.break_promises();
        None
    }

    fn found(&self, log_id: Option<LogId>, epoch: Epoch) -> Found {
        let listed = self.listed.iter().flatten();
        Found {
            log_id,
            epoch,
            replaced: log_id.map_or(Vec::new(), |log| self.holders.replaced_by(log)),
            heard: self.holders.nodes().cloned().collect(),
            overtakes: self.overtaken,
            not_heard: listed.filter(|n| !self.holders.has(n)).cloned().collect(),
        }
    }

    /// When [`Recovery::tick`] and the questions are due again.
    #[must_use]
    pub fn deadline(&self, now: Time) -> Option<Time> {
        let since = self.linked_since?;
        let steps = [
            (self.life.is_none() || self.alone_since.is_some()).then_some(self.call_at),
            self.alone_since.map(|since| since + self.settings.timeout),
            Some(since + self.settings.listen),
            Some(since + self.settings.timeout),
            self.holders.deadline(self.settings.timeout),
        ];
        steps.into_iter().flatten().filter(|t| *t > now).min()
    }
}
