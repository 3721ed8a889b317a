//! Faults on purpose: a slow, a lying and a forgetful secondary, for tests and demonstrations.

use std::time::Duration;

use replog_service::http::health::millis;
use serde::Serialize;
use utoipa::ToSchema;

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

/// What is to be changed of the faults; the rest stays.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FaultsChange {
    /// See [`Faults::delay`].
    pub delay: Option<Duration>,
    /// See [`Faults::error_rate`].
    pub error_rate: Option<f64>,
    /// See [`Faults::drop_rate`].
    pub drop_rate: Option<f64>,
}

impl Faults {
    /// The faults with that change.
    #[must_use]
    pub fn with(self, change: FaultsChange) -> Self {
        Self {
            delay: change.delay.unwrap_or(self.delay),
            error_rate: change.error_rate.unwrap_or(self.error_rate),
            drop_rate: change.drop_rate.unwrap_or(self.drop_rate),
        }
    }
}

/// The faults as the answer of `/faults`.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = Faults)]
pub struct FaultsAnswer {
    /// How long each append waits before it is applied, in milliseconds.
    delay_ms: u64,
    /// How often an error is answered instead of the ACK, after the entry was stored: 0 to 1.
    error_rate: f64,
    /// How often an entry is lost before it is stored: 0 to 1.
    drop_rate: f64,
}

impl From<Faults> for FaultsAnswer {
    fn from(faults: Faults) -> Self {
        Self {
            delay_ms: millis(faults.delay),
            error_rate: faults.error_rate,
            drop_rate: faults.drop_rate,
        }
    }
}

/// Decides by chance; the same seed decides the same.
#[derive(Clone, Debug)]
pub struct SeededRng(u64);

impl SeededRng {
    /// A generator with that seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// True with that probability.
    pub fn hits(&mut self, rate: f64) -> bool {
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
        let mut rng = SeededRng::new(7);
        let mut hits = |rate| (0..10_000).filter(|_| rng.hits(rate)).count();
        assert_eq!(hits(0.0), 0);
        assert_eq!(hits(1.0), 10_000);
        assert!((1_800..2_200).contains(&hits(0.2)));
    }

    #[test]
    fn what_is_not_changed_stays() {
        let faults = Faults {
            delay: Duration::from_secs(1),
            error_rate: 0.1,
            drop_rate: 0.2,
        };
        let change = FaultsChange {
            error_rate: Some(0.0),
            ..FaultsChange::default()
        };
        let changed = Faults {
            error_rate: 0.0,
            ..faults
        };
        assert_eq!(faults.with(change), changed);
    }
}
