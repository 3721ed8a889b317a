//! What a line does to messages, and the chance that decides.

use std::time::Duration;

/// What happens to each message on its way. Delays that differ put messages out of order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weather {
    /// 0 to 1: it is taken and never comes.
    pub loss: f64,
    /// 0 to 1: it comes once more (and then perhaps once more).
    pub duplication: f64,
    /// 0 to 1: it is not taken, as by a link that is full.
    pub refusal: f64,
    /// The shortest time on the way.
    pub delay_min: Duration,
    /// The longest time on the way.
    pub delay_max: Duration,
}

impl Weather {
    /// Everything comes, at once, once, in order.
    pub const CLEAR: Self = Self {
        loss: 0.0,
        duplication: 0.0,
        refusal: 0.0,
        delay_min: Duration::ZERO,
        delay_max: Duration::ZERO,
    };
    /// Everything is taken, nothing comes.
    pub const SILENCE: Self = Self {
        loss: 1.0,
        ..Self::CLEAR
    };
}

/// Numbers that look random and follow from a seed (splitmix64).
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The same seed gives the same numbers.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from 0 to just below `end`, which is at least 1.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }

    /// A fraction from 0 to just below 1.
    pub fn fraction(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// True with that probability.
    pub fn hit(&mut self, rate: f64) -> bool {
        rate > 0.0 && self.fraction() < rate
    }

    /// A time from `min` to `max`, in whole microseconds above `min`.
    pub fn between(&mut self, min: Duration, max: Duration) -> Duration {
        let spread = u64::try_from(max.saturating_sub(min).as_micros()).unwrap_or(u64::MAX);
        match spread {
            0 => min,
            spread => min + Duration::from_micros(self.below(spread.saturating_add(1))),
        }
    }
}
