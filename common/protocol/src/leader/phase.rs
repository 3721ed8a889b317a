//! Why a master takes no appends, or that it takes them: one state, whose transitions stand together.
//!
//! ```text
//!   Recovering ◀──▶ Serving ◀──▶ Paused
//!        │             └────┬────────┘
//!        │                  ▼
//!        └─────────▶ Stopping ◀─── Fenced          Failed from any of them
//! ```
//! A master that shares its journal with others begins as a standby, and is one again where it would else be fenced:
//!
//! ```text
//!   Standby ── its claim is in the stream ──▶ Recovering, Serving, Paused
//!      ◀── somebody else's chunk is ─────────────────┘
//! ```

use crate::ids::{NodeId, Time};
use crate::leader::command::Unavailable;
use crate::leader::recovery::Recovery;
use crate::leader::standby::Standby;

/// What a master is doing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Another master leads, or none: it follows the stream of the journal that they share.
    Standby(Box<Standby>),
    /// It asks the secondaries what they hold.
    Recovering(Box<Recovery>),
    /// It takes appends.
    Serving,
    /// It was stopped (SIGSTOP, a suspended machine), and no round of heartbeats has passed since: another master may have
    /// taken over meanwhile.
    Paused(Pause),
    /// Another master has taken over: for good.
    Fenced(FencedBy),
    /// It was told to stop: until when it waits for its journal.
    Stopping {
        /// Whoever waits for the journal is told at the latest then.
        until: Time,
        /// Whether it served before: else nothing of what it has is its own to write or to send.
        led: bool,
    },
    /// Its journal has failed.
    Failed {
        /// Why, in one line.
        why: String,
    },
}

/// A pause of the master itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pause {
    /// When it was noticed; when the link came back, if it was away.
    pub since: Time,
    /// Heartbeats with this number or a higher one have to be answered.
    pub round: u64,
}

/// By whom a master was superseded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FencedBy {
    /// The number of the other master's epoch.
    pub epoch: u64,
    /// The secondary that has told so; `None` if the other master did itself.
    pub heard_from: Option<NodeId>,
}

impl Phase {
    /// What was found is all here.
    pub fn serve(&mut self) {
        if matches!(self, Self::Recovering(_) | Self::Paused(_)) {
            *self = Self::Serving;
        }
    }

    /// The master's history is still empty, and it has learned of another one: it asks again.
    pub fn recover(&mut self, recovery: Recovery) {
        if matches!(self, Self::Serving | Self::Paused(_)) {
            *self = Self::Recovering(Box::new(recovery));
        }
    }

    /// The master was stopped until now.
    pub fn pause(&mut self, pause: Pause) {
        if matches!(self, Self::Serving | Self::Paused(_)) {
            *self = Self::Paused(pause);
        }
    }

    /// Another master has taken over: whether that is news.
    pub fn fence(&mut self, by: FencedBy) -> bool {
        let is_news = matches!(self, Self::Serving | Self::Paused(_));
        if is_news {
            *self = Self::Fenced(by);
        }
        is_news
    }

    /// The stream has a claim of this master: it asks the secondaries, and serves then.
    pub fn take_over(&mut self, recovery: Recovery) {
        if matches!(self, Self::Standby(_)) {
            *self = Self::Recovering(Box::new(recovery));
        }
    }

    /// Somebody else leads, or may: whether it was this master until now. One that stops does not lead any more.
    pub fn stand_by(&mut self, standby: impl FnOnce() -> Standby) -> bool {
        match self {
            Self::Recovering(_) | Self::Serving | Self::Paused(_) => {
                *self = Self::Standby(Box::new(standby()));
                true
            }
            Self::Stopping { led, .. } => std::mem::take(led),
            Self::Standby(_) | Self::Fenced(_) | Self::Failed { .. } => false,
        }
    }

    /// The program is about to end.
    pub fn stop(&mut self, until: Time) {
        if !matches!(self, Self::Stopping { .. } | Self::Failed { .. }) {
            let led = matches!(self, Self::Serving | Self::Paused(_));
            *self = Self::Stopping { until, led };
        }
    }

    /// The journal can be used no more.
    pub fn fail(&mut self, why: String) {
        if !matches!(self, Self::Failed { .. }) {
            *self = Self::Failed { why };
        }
    }

    /// Why nothing is appended in this phase; `None` where it is.
    #[must_use]
    pub fn unavailable(&self) -> Option<Unavailable> {
        match self {
            Self::Standby(_) => Some(Unavailable::Standby),
            Self::Recovering(_) | Self::Paused(_) => Some(Unavailable::Recovering),
            Self::Serving => None,
            Self::Fenced(_) => Some(Unavailable::Fenced),
            Self::Stopping { .. } => Some(Unavailable::Stopping),
            Self::Failed { .. } => Some(Unavailable::DiskFailed),
        }
    }

    /// Whether secondaries are to follow this master.
    #[must_use]
    pub fn leads(&self) -> bool {
        match self {
            Self::Serving | Self::Paused(_) => true,
            Self::Stopping { led, .. } => *led,
            Self::Standby(_) | Self::Recovering(_) | Self::Fenced(_) | Self::Failed { .. } => false,
        }
    }

    /// The recovery, while it lasts.
    #[must_use]
    pub fn recovery(&self) -> Option<&Recovery> {
        match self {
            Self::Recovering(recovery) => Some(recovery),
            _ => None,
        }
    }

    /// What a standby knows.
    #[must_use]
    pub fn standby(&self) -> Option<&Standby> {
        match self {
            Self::Standby(standby) => Some(standby),
            _ => None,
        }
    }

    /// The same, to be told something.
    pub fn standby_mut(&mut self) -> Option<&mut Standby> {
        match self {
            Self::Standby(standby) => Some(standby),
            _ => None,
        }
    }

    /// The recovery, while it lasts, to be told something.
    pub fn recovery_mut(&mut self) -> Option<&mut Recovery> {
        match self {
            Self::Recovering(recovery) => Some(recovery),
            _ => None,
        }
    }
}
