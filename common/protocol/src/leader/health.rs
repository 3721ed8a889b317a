//! Whether a secondary lives, by the time since its last sign of life.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::Time;

/// What the master knows about a secondary's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Never seen.
    Unknown,
    /// Heard of lately.
    Healthy,
    /// Silent for longer than a heartbeat should take, or the broker says that nobody listens.
    Suspected,
    /// Silent for long.
    Unhealthy,
    /// It lives, and holds another history: it counts for nothing.
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

/// Whether what is known is from after the master's own last pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Trust {
    /// It is.
    Fresh,
    /// It is from before. What comes now may have lain in the socket meanwhile, whatever has been asked: only an answer
    /// to a heartbeat that leaves from then on counts.
    Stale(Time),
    /// A heartbeat has left since: the next answer counts.
    Asked,
}

/// The last sign of life, and what follows from it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Health {
    suspect_after: Duration,
    unhealthy_after: Duration,
    last_seen: Option<Time>,
    /// The broker has said that nobody listens, and nothing was heard since.
    absent: bool,
    trust: Trust,
}

impl Health {
    /// Never seen.
    #[must_use]
    pub fn new(suspect_after: Duration, unhealthy_after: Duration) -> Self {
        Self {
            suspect_after,
            unhealthy_after,
            last_seen: None,
            absent: false,
            trust: Trust::Fresh,
        }
    }

    /// A sign of life.
    pub fn seen(&mut self, now: Time) {
        self.last_seen = Some(now);
        self.absent = false;
        if self.trust == Trust::Asked {
            self.trust = Trust::Fresh;
        }
    }

    /// A heartbeat has left.
    pub fn asked(&mut self, now: Time) {
        if matches!(self.trust, Trust::Stale(from) if from <= now) {
            self.trust = Trust::Asked;
        }
    }

    /// The broker says that nobody listens on its subject.
    pub fn absent(&mut self) {
        self.absent = true;
    }

    /// The master could not listen for that long until `now` (it was stopped, or its link was down): the time does not
    /// count, and what was known is not trusted until a heartbeat is answered that leaves after `settling`, when what lay
    /// in the socket has been read. A sign of life that was read before the pause was noticed is not put into the future.
    pub fn skip(&mut self, pause: Duration, settling: Duration, now: Time) {
        self.last_seen = self.last_seen.map(|t| (t + pause).min(now));
        let from = now + settling;
        self.trust = match self.trust {
            Trust::Stale(later) if later > from => Trust::Stale(later),
            _ => Trust::Stale(from),
        };
    }

    /// Silence after which it is unhealthy.
    #[must_use]
    pub fn unhealthy_after(&self) -> Duration {
        self.unhealthy_after
    }

    /// Whether it was heard since the master's last pause.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.trust == Trust::Fresh
    }

    /// The time since the last sign of life.
    #[must_use]
    pub fn silence(&self, now: Time) -> Option<Duration> {
        self.last_seen.map(|t| now.since(t))
    }

    /// The status at `now`, leaving divergence aside.
    #[must_use]
    pub fn status(&self, now: Time) -> Status {
        match self.silence(now) {
            None => Status::Unknown,
            Some(d) if d >= self.unhealthy_after => Status::Unhealthy,
            Some(d) if d >= self.suspect_after || self.absent => Status::Suspected,
            Some(_) => Status::Healthy,
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
