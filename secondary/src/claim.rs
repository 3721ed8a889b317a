//! One secondary a name: whoever starts asks on its own heartbeat subject whether somebody is there, and is silent
//! until it knows. A newcomer that spoke first would take the name away from the one that lives.

use std::time::Duration;

use replog_common::message::{Ack, Claim};
use replog_common::types::{Incarnation, NodeId, Time};

/// How long a living one may take to answer, if the broker does not say before that nobody listens.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// Whether the name is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The broker was not there yet.
    Unasked,
    /// Asked; silence until then means that nobody is there.
    Asked(Time),
    /// It is ours.
    Won,
}

/// The claim of one secondary to its name.
#[derive(Clone, Debug)]
pub struct Claiming {
    node: NodeId,
    incarnation: Incarnation,
    state: State,
}

/// Another one lives: this one has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken;

impl Claiming {
    /// Not asked yet.
    #[must_use]
    pub fn new(node: NodeId, incarnation: Incarnation) -> Self {
        Self {
            node,
            incarnation,
            state: State::Unasked,
        }
    }

    /// The link is there: what to ask, if that is to be asked.
    pub fn link_up(&mut self, now: Time, position: &Ack) -> Option<Claim> {
        if self.state == State::Won {
            return None;
        }
        self.state = State::Asked(now + ANSWER_WITHIN);
        Some(Claim {
            node: self.node.clone(),
            incarnation: self.incarnation,
            log_id: position.log_id,
            epoch: position.epoch,
        })
    }

    /// The broker says that nobody listens. True if that settles it.
    pub fn nobody(&mut self) -> bool {
        let asked = matches!(self.state, State::Asked(_));
        if asked {
            self.state = State::Won;
        }
        asked
    }

    /// Time has passed. True if that settles it.
    pub fn tick(&mut self, now: Time) -> bool {
        matches!(self.state, State::Asked(until) if until <= now) && self.nobody()
    }

    /// Somebody of this name has spoken.
    ///
    /// # Errors
    /// It is another one, and we only asked.
    pub fn heard(&self, ack: &Ack) -> Result<(), Taken> {
        let is_other = ack.node == self.node && ack.incarnation != self.incarnation;
        if is_other && self.state != State::Won {
            Err(Taken)
        } else {
            Ok(())
        }
    }

    /// Somebody asks for the name: whether to answer that it is taken. Of two that ask at once the older one has it.
    #[must_use]
    pub fn is_mine_before(&self, other: &Claim) -> bool {
        other.node == self.node
            && other.incarnation != self.incarnation
            && (self.is_won() || self.incarnation < other.incarnation)
    }

    /// The name is ours: ACKs may be sent.
    #[must_use]
    pub fn is_won(&self) -> bool {
        self.state == State::Won
    }

    /// When [`Claiming::tick`] is to be called.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        match self.state {
            State::Asked(until) => Some(until),
            State::Unasked | State::Won => None,
        }
    }

    /// The storage has begun a new life under the same name.
    pub fn renew(&mut self, incarnation: Incarnation) {
        self.incarnation = incarnation;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claiming(incarnation: u128) -> Claiming {
        let node: NodeId = "s".parse().expect("a name");
        Claiming::new(node, Incarnation(uuid::Uuid::from_u128(incarnation)))
    }

    fn ack_of(claiming: &Claiming) -> Ack {
        replog_common::protocol::follower::Follower::new(
            claiming.node.clone(),
            claiming.incarnation,
        )
        .ack()
    }

    fn ask(claiming: &mut Claiming) -> Option<Claim> {
        let position = ack_of(claiming);
        claiming.link_up(Time::ZERO, &position)
    }

    #[test]
    fn a_free_name_is_won_by_the_brokers_word_or_by_silence() {
        let mut asked = claiming(1);
        assert!(!asked.nobody(), "not asked yet");
        assert!(ask(&mut asked).is_some() && !asked.is_won());
        assert!(asked.nobody() && asked.is_won());
        assert!(ask(&mut asked).is_none(), "asked once");

        let mut silent = claiming(1);
        ask(&mut silent);
        assert!(
            !silent.tick(Time::ZERO) && silent.tick(Time::ZERO + ANSWER_WITHIN) && silent.is_won()
        );
    }

    #[test]
    fn of_two_that_ask_at_once_one_stays() {
        let (mut old, mut new) = (claiming(1), claiming(2));
        let (of_old, of_new) = (ask(&mut old).expect("asks"), ask(&mut new).expect("asks"));
        assert!(old.is_mine_before(&of_new) && !new.is_mine_before(&of_old));
        assert_eq!(new.heard(&ack_of(&old)), Err(Taken));
        assert_eq!(old.heard(&ack_of(&old)), Ok(()), "its own words");
    }

    #[test]
    fn whoever_lives_keeps_its_name_also_against_an_older_clock() {
        let (mut lives, mut comes) = (claiming(2), claiming(1));
        ask(&mut lives);
        assert!(lives.nobody());
        let claim = ask(&mut comes).expect("asks");
        assert!(lives.is_mine_before(&claim));
        assert_eq!(comes.heard(&ack_of(&lives)), Err(Taken));
        assert_eq!(lives.heard(&ack_of(&comes)), Ok(()), "it goes on");
    }
}
