//! How this program's link to the broker is, as users see it.

use std::fmt;

use replog_nats::Denial;
use serde::Serialize;
use utoipa::ToSchema;

/// How the link to the broker is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum BrokerState {
    /// There is no broker, or none that can be reached.
    #[default]
    Disconnected,
    /// The broker is there, and grants what this program needs.
    Connected,
    /// The broker refuses this user, or something that this program needs; it is tried again until it holds.
    Denied,
}

impl fmt::Display for BrokerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disconnected => "disconnected",
            Self::Connected => "connected",
            Self::Denied => "denied",
        })
    }
}

/// What is heard of the link, and what that comes to.
#[derive(Clone, Debug, Default)]
pub(crate) struct BrokerLink {
    /// Whether the broker is there.
    pub(crate) is_up: bool,
    /// What the broker refuses, if anything; where it refuses several things, one of them.
    pub(crate) denial: Option<Denial>,
    /// The same of the connection to a journal that is kept by a broker.
    pub(crate) journal_denial: Option<Denial>,
}

impl BrokerLink {
    pub(crate) fn state(&self) -> BrokerState {
        match (self.denial(), self.is_up) {
            (Some(_), _) => BrokerState::Denied,
            (None, true) => BrokerState::Connected,
            (None, false) => BrokerState::Disconnected,
        }
    }

    /// What is refused, if anything.
    pub(crate) fn denial(&self) -> Option<&Denial> {
        self.denial.as_ref().or(self.journal_denial.as_ref())
    }
}
