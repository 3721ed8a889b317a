//! Faults on purpose: a slow, a lying and a forgetful secondary, for tests.

use std::time::Duration;

use serde::Serialize;

/// What goes wrong, and how often.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Faults {
    /// Each append waits that long before it is applied; heartbeats and other appends go on.
    pub delay: Duration,
    /// 0 to 1: after storing, an error instead of the ACK.
    pub error_rate: f64,
    /// 0 to 1: an entry is lost before it is stored.
    pub drop_rate: f64,
}

/// The same as JSON.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct FaultsJson {
    delay_ms: u64,
    error_rate: f64,
    drop_rate: f64,
}

impl From<Faults> for FaultsJson {
    fn from(faults: Faults) -> Self {
        let delay_ms = u64::try_from(faults.delay.as_millis()).unwrap_or(u64::MAX);
        Self {
            delay_ms,
            error_rate: faults.error_rate,
            drop_rate: faults.drop_rate,
        }
    }
}

/// Decides by chance.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The same seed rolls the same.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// True with that probability.
    pub fn hit(&mut self, rate: f64) -> bool {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        ((z >> 11) as f64) / ((1u64 << 53) as f64) < rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_met() {
        let mut dice = Dice::new(7);
        let hits = |rate, dice: &mut Dice| (0..10_000).filter(|_| dice.hit(rate)).count();
        assert_eq!(hits(0.0, &mut dice), 0);
        assert_eq!(hits(1.0, &mut dice), 10_000);
        assert!((1_800..2_200).contains(&hits(0.2, &mut dice)));
    }
}
