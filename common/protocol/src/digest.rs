//! A digest of a log up to a position: two logs with the same digest there have the same entries up to there.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_128;

use crate::ids::Seq;

/// What the former digest is spread by: 2^128 divided by the golden ratio, odd.
const SPREAD: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;

/// The digest of the entries from the first one up to some position:
///
/// ```text
/// digest(0) = 0
/// digest(n) = (digest(n - 1) XOR xxh3_128(the JSON object of entry n, as it travels)) * SPREAD   mod 2^128
/// ```
/// For a given entry that is a bijection of the former digest (`SPREAD` is odd), so one entry that is another one makes every
/// later digest another one, unless the 128 bits of its hash are the same by chance. Where several are others they cancel out
/// with a probability of 2^-128.
///
/// It protects from bits that change on a disk or in memory, and from bugs: a node that has stored something else than it was
/// sent. Not from whoever means it: XXH3 is not a cryptographic hash, and a node says of itself whatever it likes. It costs
/// 19 ns for an entry of 203 bytes (a content of 100), where SHA-256 with the processor's own instructions takes 219 and BLAKE3
/// 273; and as the hash of an entry does not depend on the one before, several are computed at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(u128);

impl Digest {
    /// The digest of an empty log.
    pub const EMPTY: Self = Self(0);

    /// The digest one entry later: `entry` is its JSON object.
    #[must_use]
    pub fn then(self, entry: &[u8]) -> Self {
        Self((self.0 ^ XxHash3_128::oneshot(entry)).wrapping_mul(SPREAD))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Not 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a digest is 32 lower-case hexadecimal digits")]
pub struct InvalidDigest;

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let is_digit = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        match text.len() == 32 && text.bytes().all(is_digit) {
            true => u128::from_str_radix(text, 16).map_or(Err(InvalidDigest), |n| Ok(Self(n))),
            false => Err(InvalidDigest),
        }
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A digest, and the position of which it is: a digest never travels without it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct DigestAt {
    /// The last entry that is in it.
    pub seq: Seq,
    /// The digest of the log up to there.
    pub hash: Digest,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the page of the protocol says, so that others compute the same.
    #[test]
    fn it_is_the_one_that_the_page_describes() {
        let entry = br#"{"seq":1,"epoch":1,"message_id":"00000000-0000-0000-0000-000000000001","content":"a"}"#;
        let first = Digest::EMPTY.then(entry);
        assert_eq!(first.to_string(), "01adda9a95894e393afdf020ccaac408");
        assert_eq!(
            first.then(entry).to_string(),
            "ca11ad050d5d4eaf93d45ede11dc6e60"
        );
    }

    #[test]
    fn it_is_read_as_it_is_written_and_nothing_else_is() {
        let digest = Digest::EMPTY.then(b"entry");
        let text = digest.to_string();
        assert_eq!(text.parse(), Ok(digest));
        let upper = text.to_uppercase();
        for wrong in [
            "",
            "0",
            &text[1..],
            &format!("{text}0"),
            &upper,
            "+0000000000000000000000000000000",
        ] {
            assert_eq!(wrong.parse::<Digest>(), Err(InvalidDigest), "{wrong}");
        }
    }

    #[test]
    fn what_differs_once_differs_for_ever() {
        let entries: Vec<Vec<u8>> = (0..200_u8).map(|n| vec![n; 3 + usize::from(n)]).collect();
        let digests = |entries: &[Vec<u8>]| -> Vec<Digest> {
            let mut digest = Digest::EMPTY;
            let next = |entry: &Vec<u8>| {
                digest = digest.then(entry);
                digest
            };
            entries.iter().map(next).collect()
        };
        let good = digests(&entries);
        for at in 0..entries.len() {
            for bit in 0..8 {
                let mut other = entries.clone();
                other[at][1] ^= 1 << bit;
                let other = digests(&other);
                assert_eq!(good[..at], other[..at]);
                assert!(good[at..].iter().zip(&other[at..]).all(|(a, b)| a != b));
            }
            if at > 0 {
                let mut swapped = entries.clone();
                swapped.swap(at - 1, at);
                assert_ne!(digests(&swapped)[at], good[at], "the order counts");
            }
        }
    }
}
