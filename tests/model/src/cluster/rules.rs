//! What must never happen, by name.

use std::fmt;

/// A rule that every state of a cluster obeys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// A storage holds only what a master has placed there, after what the same master has placed before it.
    Prefix,
    /// A master never believes that a secondary holds more than the storage that counts holds, or has held: of those that
    /// have answered it, the one that has done so last.
    NeverOverestimated,
    /// A client is told only what is so.
    NoLie,
    /// A message is in a log once.
    OnceInOrder,
    /// Nobody is left waiting for what the master knows to be there.
    AnsweredAtOnce,
    /// No node says of its log or of its promises what its storage does not hold.
    SaysWhatIsDurable,
    /// A secondary follows no epoch of a history that is lower than one which it has followed or promised, unless its storage
    /// has come back without that.
    KeepsItsPromise,
    /// Two masters never lead one epoch of a history.
    OneMasterAnEpoch,
    /// Entries go out of a log only when they are kept in a rollback, were cleared away, or were only being fetched.
    DeletesNothing,
    /// What a client was told to be on two nodes is in the log of every master that has asked one of the holders since, as
    /// long as that one has it.
    KeepsWhatWasAcknowledged,
    /// Nobody begins to serve a history of which it was told that it was cleared away.
    NeverGoesBack,
    /// What a node knows to be committed by so many nodes was held by so many, and is what it says; it is unlearned only with
    /// the entries.
    Committed,
    /// After each input a node comes to rest, and it does what a journal and a link can do.
    ComesToRest,
}

impl Rule {
    /// Its name, for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prefix => "prefix",
            Self::NeverOverestimated => "never overestimated",
            Self::NoLie => "no lie",
            Self::OnceInOrder => "once, in order",
            Self::AnsweredAtOnce => "answered at once",
            Self::SaysWhatIsDurable => "says what is durable",
            Self::KeepsItsPromise => "keeps its promise",
            Self::OneMasterAnEpoch => "one master an epoch",
            Self::DeletesNothing => "deletes nothing",
            Self::KeepsWhatWasAcknowledged => "keeps what was acknowledged",
            Self::NeverGoesBack => "never goes back",
            Self::Committed => "committed",
            Self::ComesToRest => "comes to rest",
        }
    }
}

/// A rule that was broken, and how.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// What has happened.
    pub what: String,
}

impl Violation {
    /// That rule was broken like this.
    pub fn new(rule: Rule, what: impl Into<String>) -> Self {
        let what = what.into();
        Self { rule, what }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule.as_str(), self.what)
    }
}
