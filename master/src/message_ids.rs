//! Ids for messages whose clients send none.

use std::sync::atomic::{AtomicU64, Ordering};

use replog_protocol::ids::MessageId;
use replog_service::clock::wall_ms;
use uuid::{Builder, Uuid};

/// Makes version-7 UUIDs (RFC 9562, section 5.7): the wall clock, so that ids of one time lie together, and 74 bits that no
/// other id has. The system is asked for randomness once, not for each id: no secret depends on it.
#[derive(Debug)]
pub struct MessageIds {
    seeds: (u64, u64),
    made: AtomicU64,
}

impl MessageIds {
    /// With seeds from the system.
    #[must_use]
    pub fn new() -> Self {
        Self {
            seeds: Uuid::new_v4().as_u64_pair(),
            made: AtomicU64::new(0),
        }
    }

    /// The next id.
    pub fn next(&self) -> MessageId {
        let n = self.made.fetch_add(1, Ordering::Relaxed);
        let mut random = [0; 10];
        random[..8].copy_from_slice(&mixed(self.seeds.0, n).to_be_bytes());
        random[8..].copy_from_slice(&mixed(self.seeds.1, n).to_be_bytes()[..2]);
        MessageId(Builder::from_unix_timestamp_millis(wall_ms(), &random).into_uuid())
    }
}

impl Default for MessageIds {
    fn default() -> Self {
        Self::new()
    }
}

/// The `n`-th number of the splitmix64 sequence of that seed: no two of its first 2^64 are equal.
fn mixed(seed: u64, n: u64) -> u64 {
    let mut z = seed.wrapping_add(n.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_ids_are_equal_and_each_is_of_version_7() {
        let before = wall_ms();
        let makers = [MessageIds::new(), MessageIds::new()];
        let ids: Vec<MessageId> = (0..20_000).map(|i| makers[i % 2].next()).collect();
        assert!(ids.iter().all(|id| id.0.get_version_num() == 7));
        let time = |id: &MessageId| {
            let (seconds, nanos) = id.0.get_timestamp().expect("a time").to_unix();
            seconds * 1000 + u64::from(nanos / 1_000_000)
        };
        assert!(
            ids.iter()
                .all(|id| (before..=wall_ms()).contains(&time(id)))
        );
        let distinct: HashSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
    }
}
