//! Ids for messages whose clients send none.

use std::sync::{Mutex, PoisonError};

use replog_protocol::ids::MessageId;
use replog_service::clock::wall_ms;
use uuid::{Builder, Uuid};

/// How long ids count on from the same time, in milliseconds.
const SERIES_MS: u64 = 1000;
/// So many of the low bits count, at least.
const COUNTER_BITS: u32 = 32;

/// Makes version-7 UUIDs (RFC 9562, section 5.7): the wall clock to about a second, so that ids of one time lie together; 42
/// random bits; and a counter in the lowest bits (section 6.2, method 1). An id is nearly always the one before plus one, so
/// an index of them takes next to no memory. The system is asked for randomness once, not for each id: no secret depends on it.
#[derive(Debug)]
pub struct MessageIds {
    seeds: (u64, u64),
    series: Mutex<Series>,
}

/// Ids that count up.
#[derive(Debug, Default)]
struct Series {
    /// How many there were before this one.
    number: u64,
    begun_ms: u64,
    next: u128,
    left: u64,
}

impl MessageIds {
    /// With seeds from the system.
    #[must_use]
    pub fn new() -> Self {
        Self {
            seeds: Uuid::new_v4().as_u64_pair(),
            series: Mutex::default(),
        }
    }

    /// The next id.
    pub fn next(&self) -> MessageId {
        let now = wall_ms();
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        if series.left == 0 || now.abs_diff(series.begun_ms) >= SERIES_MS {
            *series = self.series_after(series.number, now);
        }
        let id = Uuid::from_u128(series.next);
        series.next += 1;
        series.left -= 1;
        MessageId(id)
    }

    fn series_after(&self, number: u64, begun_ms: u64) -> Series {
        let mut random = [0; 10];
        random[..8].copy_from_slice(&mixed(self.seeds.0, number).to_be_bytes());
        random[8..].copy_from_slice(&mixed(self.seeds.1, number).to_be_bytes()[..2]);
        let first = Builder::from_unix_timestamp_millis(begun_ms, &random).into_uuid();
        Series {
            number: number + 1,
            begun_ms,
            next: first.as_u128() >> COUNTER_BITS << COUNTER_BITS,
            left: 1 << COUNTER_BITS,
        }
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

    fn ms(id: MessageId) -> u64 {
        let (seconds, nanos) = id.0.get_timestamp().expect("a time").to_unix();
        seconds * 1000 + u64::from(nanos / 1_000_000)
    }

    #[test]
    fn no_two_ids_are_equal_and_each_is_of_version_7() {
        let before = wall_ms();
        let makers = [MessageIds::new(), MessageIds::new()];
        let ids: Vec<MessageId> = (0..20_000).map(|i| makers[i % 2].next()).collect();
        assert!(ids.iter().all(|id| id.0.get_version_num() == 7));
        assert!(
            ids.iter()
                .all(|id| id.0.get_variant() == uuid::Variant::RFC4122)
        );
        let times = before..=wall_ms();
        assert!(ids.iter().all(|id| times.contains(&ms(*id))));
        let distinct: HashSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
    }

    #[test]
    fn ids_count_up_and_a_series_has_its_end() {
        let ids = MessageIds::new();
        let first = ids.next().0.as_u128();
        assert_eq!(ids.next().0.as_u128(), first + 1);
        ids.series.lock().unwrap().left = 0;
        let other = ids.next().0.as_u128();
        assert_ne!(other >> COUNTER_BITS, first >> COUNTER_BITS);
        ids.series.lock().unwrap().begun_ms -= SERIES_MS;
        let later = ids.next();
        assert!(later.0.as_u128() != other + 1 && ms(later) + SERIES_MS > wall_ms());
        assert_eq!(ids.next().0.as_u128(), later.0.as_u128() + 1);
    }
}
