//! One secondary per name: whoever starts asks whether somebody has the name, and says nothing until it knows. A newcomer
//! that spoke first would take the name away from the one that is alive.

use std::time::Duration;

use crate::ids::{StorageId, Time};
use crate::node::Identity;
use crate::wire::{Ack, Claim};

/// How long a living process may take to answer, if the broker does not say before that nobody listens.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// Whether the name is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum State {
    /// The broker was not there yet.
    Unasked,
    /// Asked; silence until then means that nobody has it.
    Asked(Time),
    /// It is ours.
    Won,
}

/// The claim of one secondary to its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NameClaim {
    identity: Identity,
    state: State,
}

impl NameClaim {
    /// Not asked yet.
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        Self {
            identity,
            state: State::Unasked,
        }
    }

    /// The link is there: what to ask, if the name is not won yet.
    pub fn link_up(&mut self, now: Time) -> Option<Claim> {
        if self.state == State::Won {
            return None;
        }
        self.state = State::Asked(now + ANSWER_WITHIN);
        Some(Claim {
            node: self.identity.node.clone(),
            storage: self.identity.storage,
        })
    }

    /// The broker says that nobody listens: whether that settles the claim.
    pub fn nobody_listens(&mut self) -> bool {
        let is_asked = matches!(self.state, State::Asked(_));
        if is_asked {
            self.state = State::Won;
        }
        is_asked
    }

    /// Time has passed: whether that settles the claim.
    pub fn tick(&mut self, now: Time) -> bool {
        matches!(self.state, State::Asked(until) if until <= now) && self.nobody_listens()
    }

    /// Somebody of this name has spoken: whether the name is taken, and this process has to end.
    #[must_use]
    pub fn is_lost_to(&self, ack: &Ack) -> bool {
        let is_other = ack.node == self.identity.node && ack.storage != self.identity.storage;
        is_other && self.state != State::Won
    }

    /// Somebody asks for the name: whether to answer that it is taken. Of two that ask at once the one with the smaller id
    /// has it.
    #[must_use]
    pub fn comes_before(&self, other: &Claim) -> bool {
        other.node == self.identity.node
            && other.storage != self.identity.storage
            && (self.is_won() || self.identity.storage < other.storage)
    }

    /// The name is ours: ACKs may be sent.
    #[must_use]
    pub fn is_won(&self) -> bool {
        self.state == State::Won
    }

    /// When [`NameClaim::tick`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        match self.state {
            State::Asked(until) => Some(until),
            State::Unasked | State::Won => None,
        }
    }

    /// The storage was emptied, and has another id, under the same name.
    pub fn renew(&mut self, storage: StorageId) {
        self.identity.storage = storage;
    }
}
