//! How this program's link to the broker is, as users see it.

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

/// What is heard of the link, and what that comes to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BrokerLink {
    /// Whether the broker is there.
    pub(crate) is_up: bool,
    /// Whether the broker refuses something.
    pub(crate) is_denied: bool,
}

impl BrokerLink {
    pub(crate) fn state(self) -> BrokerState {
        match (self.is_denied, self.is_up) {
            (true, _) => BrokerState::Denied,
            (false, true) => BrokerState::Connected,
            (false, false) => BrokerState::Disconnected,
        }
    }
}
