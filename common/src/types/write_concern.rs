//! Write concerns.

use std::str::FromStr;

use super::InvalidWord;

/// How many nodes, the master included, must hold an entry before its client is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WriteConcern {
    /// That many nodes; at least 1.
    Count(u32),
    /// More than half of the members and the master together.
    Majority,
    /// Every member, and the master.
    All,
}

impl WriteConcern {
    /// The number it stands for, with that many members (the master is not one of them).
    #[must_use]
    pub fn nodes(self, members: usize) -> u32 {
        let all = u32::try_from(members).unwrap_or(u32::MAX).saturating_add(1);
        match self {
            Self::Count(n) => n,
            Self::Majority => all / 2 + 1,
            Self::All => all,
        }
    }
}

impl FromStr for WriteConcern {
    type Err = InvalidWord;

    fn from_str(text: &str) -> Result<Self, InvalidWord> {
        match text {
            "majority" => Ok(Self::Majority),
            "all" => Ok(Self::All),
            // `u32::from_str` would also take "+2".
            // More than there can ever be is a number too: it is refused, or waited for, as such.
            _ => match text.parse::<u64>() {
                Ok(n) if n >= 1 && text.bytes().all(|b| b.is_ascii_digit()) => {
                    Ok(Self::Count(u32::try_from(n).unwrap_or(u32::MAX)))
                }
                _ => Err(InvalidWord::new(
                    "w",
                    text,
                    "a whole number from 1, \"majority\" or \"all\"",
                )),
            },
        }
    }
}
