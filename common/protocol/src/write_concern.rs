//! Write concerns: how many nodes must hold an entry before its client is answered.

use std::str::FromStr;

use crate::ids::InvalidValue;

/// How many nodes, the master included, must hold an entry before its client is answered (MongoDB: write concern).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WriteConcern {
    /// That many nodes; at least 1. A number that no cluster reaches is kept as it was sent.
    Count(u64),
    /// More than half of the members and the master together.
    Majority,
    /// Every member, and the master.
    All,
}

/// What the number of nodes of a write concern is taken from: whether it follows the members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measure {
    /// From nothing: it was given as a number, and stays.
    Number,
    /// From a majority of the members and the master.
    Majority,
    /// From all members and the master.
    All,
}

impl Measure {
    /// The number of nodes, the master included, among so many members (the master is not one); `None` where the members are
    /// not asked.
    #[must_use]
    pub fn nodes(self, members: usize) -> Option<u32> {
        match self {
            Self::Number => None,
            Self::Majority => Some(WriteConcern::Majority.nodes(members)),
            Self::All => Some(WriteConcern::All.nodes(members)),
        }
    }
}

impl WriteConcern {
    /// What its number of nodes is taken from.
    #[must_use]
    pub fn measure(self) -> Measure {
        match self {
            Self::Count(_) => Measure::Number,
            Self::Majority => Measure::Majority,
            Self::All => Measure::All,
        }
    }

    /// The number of nodes, the master included, that the concern stands for among so many members (the master is not one).
    #[must_use]
    pub fn nodes(self, members: usize) -> u32 {
        let all = u32::try_from(members).unwrap_or(u32::MAX).saturating_add(1);
        match self {
            Self::Count(n) => u32::try_from(n).unwrap_or(u32::MAX),
            Self::Majority => all / 2 + 1,
            Self::All => all,
        }
    }

    /// The same among listed members: nobody else can ever count.
    ///
    /// # Errors
    /// More nodes are asked for than the listed members and the master are.
    pub fn among_listed(self, listed: usize) -> Result<u32, TooManyNodes> {
        let nodes = Self::All.nodes(listed);
        match self {
            Self::Count(w) if w > u64::from(nodes) => Err(TooManyNodes { w, nodes }),
            w => Ok(w.nodes(listed)),
        }
    }
}

/// More nodes are asked for than there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("w is {w}, but must be from 1 to {nodes}: the master and {} listed members", nodes - 1)]
pub struct TooManyNodes {
    /// The number that was sent.
    pub w: u64,
    /// The listed members and the master.
    pub nodes: u32,
}

impl FromStr for WriteConcern {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        match text {
            "majority" => Ok(Self::Majority),
            "all" => Ok(Self::All),
            // `u64::from_str` would also take "+2".
            _ => match text.parse::<u64>() {
                Ok(n) if n >= 1 && text.bytes().all(|b| b.is_ascii_digit()) => Ok(Self::Count(n)),
                _ => Err(InvalidValue::new(
                    "w",
                    text,
                    "a whole number from 1, \"majority\" or \"all\"",
                )),
            },
        }
    }
}
