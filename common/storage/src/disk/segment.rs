//! A segment: a file of frames, made in full size and of zeros, then filled.
//!
//! ```text
//!   ┌────────┬───────────┬───────┬───────┬─ ─ ─ ┬───────────────┐
//!   │ header │ beginning │ frame │ frame │      │ 0 0 0 0 0 0 0 │
//!   └────────┴───────────┴───────┴───────┴─ ─ ─ ┴───────────────┘
//!   header:    the format, whose log it is, the seed of its checksums
//!   beginning: a frame that says where the log stood: the hard state, and which older segment has which entries
//! ```

use super::error::OpenError;
use super::frame::{checksum, get_u32, get_u64, put_u32, put_u64};
use crate::directory::{FORMAT, Owner};

const MAGIC: [u8; 8] = *b"\xffReplog\xff";
/// Bytes of a header, whoever the owner is. The first frame begins there.
pub(super) const HEADER_BYTES: u64 = 1024;
/// Bytes of it before the owner.
const FIXED_BYTES: usize = 32;
/// What a segment says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Counts up from 1; the file is called so.
    pub(super) number: u64,
    /// What its checksums begin with: what was written into another file is nothing in this one.
    pub(super) seed: u32,
    /// Whose log it is.
    pub(super) owner: Owner,
}

impl Header {
    /// The header of a new segment.
    pub(super) fn new(number: u64, owner: &Owner) -> Self {
        let random = uuid::Uuid::new_v4().as_u64_pair().1;
        Self {
            number,
            seed: (random & u64::from(u32::MAX)) as u32,
            owner: owner.clone(),
        }
    }

    /// The header as it is written.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        put_u32(&mut out, FORMAT);
        put_u32(&mut out, self.seed);
        put_u64(&mut out, self.number);
        let owner = serde_json::to_vec(&self.owner).expect("an owner is always JSON");
        put_u32(&mut out, u32::try_from(owner.len()).unwrap_or(u32::MAX));
        let sum = checksum(0, &[&out, &owner]);
        put_u32(&mut out, sum);
        out.extend_from_slice(&owner);
        out.resize(HEADER_BYTES as usize, 0);
        out
    }

    /// Reads what a segment begins with.
    ///
    /// # Errors
    /// It is damaged, or of another format.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, OpenError> {
        let damaged = || OpenError::Damaged("the header of a segment is damaged".to_owned());
        let (format, owner_bytes, sum) = match (
            bytes.starts_with(&MAGIC),
            get_u32(bytes, 8),
            get_u32(bytes, 24),
            get_u32(bytes, 28),
        ) {
            (true, Some(format), Some(owner_bytes), Some(sum)) => (format, owner_bytes, sum),
            _ => return Err(damaged()),
        };
        let owner = bytes.get(FIXED_BYTES..FIXED_BYTES + owner_bytes as usize);
        // First of all: a number that has rotted says nothing of the format. So the header of every format has these fields, and
        // the checksum over them.
        let is_good = owner.is_some_and(|owner| checksum(0, &[&bytes[..28], owner]) == sum);
        if !is_good {
            return Err(damaged());
        }
        if format != FORMAT {
            return Err(OpenError::Format {
                found: format,
                expected: FORMAT,
            });
        }
        let owner = serde_json::from_slice(owner.unwrap_or_default())
            .map_err(|_| OpenError::Damaged("it does not say whose it is".to_owned()))?;
        Ok(Self {
            number: get_u64(bytes, 16).unwrap_or_default(),
            seed: get_u32(bytes, 12).unwrap_or_default(),
            owner,
        })
    }
}

/// What a file of a log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A segment.
    Segment,
    /// Its index.
    Index,
    /// The entries of it that were written again.
    Repairs,
}

impl Kind {
    const ALL: [(Self, &'static str); 3] = [
        (Self::Segment, "segment"),
        (Self::Index, "index"),
        (Self::Repairs, "repairs"),
    ];

    /// What the file of that segment is called.
    pub(super) fn name(self, number: u64) -> String {
        let suffix = Self::ALL.iter().find(|(kind, _)| *kind == self);
        format!("{number:010}.{}", suffix.map_or("", |(_, suffix)| suffix))
    }

    /// What a file is, and of which segment, if its name is one of those.
    pub(super) fn parse(name: &str) -> Option<(Self, u64)> {
        let (number, suffix) = name.split_once('.')?;
        let (kind, _) = Self::ALL.iter().find(|(_, s)| *s == suffix)?;
        let number = number.parse().ok()?;
        (kind.name(number) == name).then_some((*kind, number))
    }
}

/// The file that will be the next segment, once it has that segment's name.
pub(super) const SPARE: &str = "spare.new";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::disk_options;

    #[test]
    fn a_header_says_what_it_was_made_of_and_no_changed_one_does() {
        let header = Header::new(3, &disk_options(0).owner);
        let good = header.encode();
        assert_eq!(Header::decode(&good).unwrap(), header);
        for (at, bit) in (0..good.len()).flat_map(|at| [0, 5].map(|bit| (at, bit))) {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << bit;
            match Header::decode(&bytes) {
                Ok(same) => assert_eq!(same, header, "byte {at}"),
                Err(OpenError::Damaged(_)) => {}
                Err(other) => panic!("byte {at}: {other}"),
            }
        }
    }

    #[test]
    fn only_names_that_are_given_are_understood() {
        for (kind, _) in Kind::ALL {
            assert_eq!(Kind::parse(&kind.name(12)), Some((kind, 12)));
        }
        for name in [
            "1.segment",
            "0000000001.log",
            "0000000001",
            "x.index",
            "+000000001.index",
        ] {
            assert_eq!(Kind::parse(name), None);
        }
    }
}
