//! Which history a master takes, and when it has all of it.

use super::{Found, Recovery};
use crate::entry::Position;
use crate::message::{Life, cleared};
use crate::types::{Epoch, LogId, Seq, Time};

impl Recovery {
    /// Time has passed: what was found, once it is all here.
    pub fn tick(&mut self, have: Position, now: Time) -> Option<Found> {
        let since = self.linked_since?;
        let Some(life) = self.life else {
            return self.choose(since, have, now);
        };
        if self.is_given_up(&life, have, now) {
            return self.choose(since, have, now);
        }
        let is_all_here = match self.alone_since {
            None => self.holders.is_all_here(&life, have),
            Some(_) => !self.is_waiting(now),
        };
        let replaces = self.replaced_by(life.log_id);
        (is_all_here && self.holders.have_promised(&life, &replaces))
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
    fn choose(&mut self, since: Time, have: Position, now: Time) -> Option<Found> {
        let everybody = self
            .listed
            .as_ref()
            .is_some_and(|listed| listed.iter().all(|n| self.holders.has(n)));
        let is_here = self.is_whole() && have.seq > Seq::ZERO;
        let wait = match everybody || is_here {
            true => self.settings.listen,
            false => self.settings.timeout.max(self.settings.listen),
        };
        if now < since + wait {
            return None;
        }
        let epoch = self.epoch.next();
        let is_cleared = |log: LogId, last: &Position| {
            let mut by = (self.replaced.values()).filter_map(|all| cleared(all, log));
            by.any(|by| by.covers(last.epoch, last.by))
        };
        let own = self.own.as_ref().map(|own| own.log_id);
        let own = own.filter(|log| !is_cleared(*log, &have));
        // What is here is gone on with, whatever others have; an empty history gives way.
        let chosen = own.filter(|_| is_here);
        let chosen = chosen.or_else(|| self.holders.best(is_cleared)).or(own);
        if have.seq > Seq::ZERO && (own.is_none() || chosen != own) {
            (self.is_foreign, self.own) = (true, None);
        }
        let Some(log_id) = chosen else {
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

    /// The histories that `log` has replaced, as its holders know them. Who has promised a later life of one of those, but
    /// holds nothing that such a life has placed, slept through the clearing like the others.
    pub(super) fn replaced_by(&self, log: LogId) -> Vec<Life> {
        let own = self.own.as_ref().filter(|own| own.log_id == log);
        let own = own.map(|own| &own.replaced);
        let longest = self.replaced.get(&log).into_iter().chain(own);
        let longest = longest.max_by_key(|all| all.len()).into_iter().flatten();
        longest.map(|by| self.holders.last_promised(*by)).collect()
    }

    fn found(&self, log_id: Option<LogId>, epoch: Epoch) -> Found {
        let listed = self.listed.iter().flatten();
        Found {
            log_id,
            epoch,
            replaced: log_id.map_or(Vec::new(), |log| self.replaced_by(log)),
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
