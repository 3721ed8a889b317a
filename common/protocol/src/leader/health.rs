//! Whether a secondary lives, by the time since its last sign of life.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::Time;

/// Whether a secondary is alive, as its master sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Never seen.
    Unknown,
    /// Seen lately.
    Healthy,
    /// Silent for longer than a heartbeat should take, or the broker says that nobody listens.
    Suspected,
    /// Silent for long, or gone by its own word.
    Unhealthy,
    /// Alive, with another history: it counts for nothing.
    Diverged,
}

impl Status {
    /// The word in JSON, in events and in the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Suspected => "suspected",
            Self::Unhealthy => "unhealthy",
            Self::Diverged => "diverged",
        }
    }

    /// Whether it counts for the quorum.
    #[must_use]
    pub fn is_alive(self) -> bool {
        matches!(self, Self::Healthy | Self::Suspected)
    }
}

/// The last sign of life, and what follows from it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Health {
    suspect_after: Duration,
    unhealthy_after: Duration,
    last_seen: Option<Time>,
    absence: Absence,
    /// What was known before this number was made is not trusted: the master was stopped, or its link was down.
    trusted_from: u64,
    /// Limits that hold from its next sign of life on: shorter ones, because it was told the longer ones; or any, because it is
    /// missed already.
    next: Option<(Duration, Duration)>,
    /// The highest number of a heartbeat that was answered.
    answered: u64,
}

/// What is known of a secondary that is not there, beside its silence; ended by its next sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Absence {
    No,
    /// The broker has said that nobody listens on its subject.
    NobodyListens,
    /// It has said goodbye.
    Left,
}

impl Health {
    /// Never seen.
    #[must_use]
    pub fn new(suspect_after: Duration, unhealthy_after: Duration) -> Self {
        Self {
            suspect_after,
            unhealthy_after,
            last_seen: None,
            absence: Absence::No,
            trusted_from: 0,
            next: None,
            answered: 0,
        }
    }

    /// Its signs of life come more seldom, or more often: it may be silent for so long before it is suspected, and before it is
    /// unhealthy.
    pub fn set_limits(&mut self, suspect_after: Duration, unhealthy_after: Duration, now: Time) {
        self.next = Some((suspect_after, unhealthy_after));
        let is_missed = matches!(self.status(now), Status::Suspected | Status::Unhealthy);
        if suspect_after >= self.suspect_after && !is_missed {
            self.apply_next_limits();
        }
    }

    fn apply_next_limits(&mut self) {
        if let Some(limits) = self.next.take() {
            (self.suspect_after, self.unhealthy_after) = limits;
        }
    }

    /// A sign of life, which answers a heartbeat with that number; 0 for none.
    pub fn seen(&mut self, round: u64, now: Time) {
        self.last_seen = Some(now);
        self.apply_next_limits();
        self.absence = Absence::No;
        self.answered = self.answered.max(round);
    }

    /// Nothing is known of it: it speaks to another master.
    pub fn forget(&mut self) {
        self.last_seen = None;
        self.absence = Absence::No;
    }

    /// The broker says that nobody listens on its subject.
    pub fn nobody_listens(&mut self) {
        if self.absence == Absence::No {
            self.absence = Absence::NobodyListens;
        }
    }

    /// It has said that it stops.
    pub fn left(&mut self) {
        self.absence = Absence::Left;
    }

    /// The master could not listen for so long until `now`: that time does not count as silence of the secondary, and what
    /// was known is not trusted until a heartbeat is answered that carries a number from `round` on.
    pub fn distrust(&mut self, pause: Duration, round: u64, now: Time) {
        // A sign of life that was read before the pause was noticed is not put into the future.
        self.last_seen = self.last_seen.map(|t| (t + pause).min(now));
        self.trusted_from = round;
    }

    /// Whether it was heard since the master's last pause.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.answered >= self.trusted_from
    }

    /// The time since the last sign of life; `None` if there was none.
    #[must_use]
    pub fn silence(&self, now: Time) -> Option<Duration> {
        self.last_seen.map(|t| now.since(t))
    }

    /// Whether it was never heard, or not for so long that it is unhealthy.
    #[must_use]
    pub fn is_silent(&self, now: Time) -> bool {
        self.silence(now).is_none_or(|d| d >= self.unhealthy_after)
    }

    /// The status at `now`, leaving divergence aside.
    #[must_use]
    pub fn status(&self, now: Time) -> Status {
        match (self.silence(now), self.absence) {
            (None, _) => Status::Unknown,
            (Some(_), Absence::Left) => Status::Unhealthy,
            (Some(d), _) if d >= self.unhealthy_after => Status::Unhealthy,
            (Some(_), Absence::NobodyListens) => Status::Suspected,
            (Some(d), Absence::No) if d >= self.suspect_after => Status::Suspected,
            (Some(_), Absence::No) => Status::Healthy,
        }
    }

    /// When the status will change by silence alone.
    #[must_use]
    pub fn deadline(&self, now: Time) -> Option<Time> {
        let seen = self.last_seen?;
        [seen + self.suspect_after, seen + self.unhealthy_after]
            .into_iter()
            .find(|t| *t > now)
    }
}
