//! Hashing a node without its clock: moments as distances from now.
//!
//! Two nodes that differ only in how long they have been running will do the same; the model checker, which knows states by
//! their hash, must take them for one. Every moment of a simulated clock carries [`MARK`], by which it is told from a
//! duration.

use std::hash::{Hash, Hasher};
use std::time::Duration;

use replog_protocol::ids::Time;

/// Nanoseconds beyond the millisecond that every moment of a simulated clock has, and no duration.
pub const MARK: Duration = Duration::from_nanos(7);

/// Hashes `value`, whose clock shows `now`. A moment that lies back more than `horizon` is as good as one that lies back
/// just so long: nothing that is still to be decided depends on how long ago it was.
pub fn hash_relative<H: Hasher>(value: &impl Hash, now: Time, horizon: Duration, into: &mut H) {
    let mut hasher = Relative {
        into,
        now: nanos(now.0),
        horizon: nanos(horizon),
        seconds: None,
    };
    value.hash(&mut hasher);
    hasher.flush();
}

/// A duration hashes its seconds as 64 bits, then its nanoseconds as 32: the seconds are kept until it is clear whether it
/// is a moment.
struct Relative<'a, H> {
    into: &'a mut H,
    now: i128,
    horizon: i128,
    seconds: Option<u64>,
}

impl<H: Hasher> Relative<'_, H> {
    fn flush(&mut self) {
        if let Some(seconds) = self.seconds.take() {
            self.into.write_u64(seconds);
        }
    }
}

impl<H: Hasher> Hasher for Relative<'_, H> {
    fn finish(&self) -> u64 {
        self.into.finish()
    }

    fn write(&mut self, bytes: &[u8]) {
        self.flush();
        self.into.write(bytes);
    }

    fn write_u8(&mut self, n: u8) {
        self.flush();
        self.into.write_u8(n);
    }

    fn write_u32(&mut self, n: u32) {
        match self.seconds.take() {
            Some(seconds) if n % 1_000_000 == MARK.subsec_nanos() => {
                let distance = nanos(Duration::new(seconds, n)) - self.now;
                self.into.write_i128(distance.max(-self.horizon));
            }
            seconds => {
                self.seconds = seconds;
                self.flush();
                self.into.write_u32(n);
            }
        }
    }

    fn write_u64(&mut self, n: u64) {
        self.flush();
        self.seconds = Some(n);
    }

    fn write_usize(&mut self, n: usize) {
        self.flush();
        self.into.write_usize(n);
    }
}

fn nanos(duration: Duration) -> i128 {
    i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::DefaultHasher;

    fn hashed(value: &impl Hash, now: Time, horizon: Duration) -> u64 {
        let mut hasher = DefaultHasher::new();
        hash_relative(value, now, horizon, &mut hasher);
        hasher.finish()
    }

    #[test]
    fn only_the_distance_of_a_moment_counts() {
        let at = |s| Time(Duration::from_secs(s) + MARK);
        let one = Duration::from_secs(1);
        let of = |moment, now| hashed(&(5_u64, at(moment), one, 3_u32), at(now), one);
        assert_eq!(of(7, 5), of(9, 7), "two seconds ahead");
        assert_ne!(of(7, 5), of(7, 6), "nearer");
        assert_eq!(of(1, 5), of(2, 9), "both long ago");
        assert_ne!(of(4, 5), of(5, 5), "one second ago, and now");
        let plain = |d: Duration, now| hashed(&d, at(now), one);
        assert_ne!(plain(one, 5), plain(one * 2, 6), "a duration is no moment");
        assert_eq!(plain(one, 5), plain(one, 6), "and stays what it is");
    }
}
