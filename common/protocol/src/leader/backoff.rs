//! How long to wait before the next try: doubling, capped, with jitter.

use std::time::Duration;

/// Exponential backoff with "equal jitter": each wait lies between half of the step and the whole step, so that many
/// secondaries that went away together are not asked again together. Deterministic for a given seed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    step: Duration,
    random: u64,
}

impl Backoff {
    /// Waits from `min` up to `max`; the seed chooses the jitter.
    #[must_use]
    pub fn new(min: Duration, max: Duration, seed: u64) -> Self {
        Self {
            min,
            max,
            step: min,
            random: seed | 1,
        }
    }

    /// The next wait starts again at `base` (at least `min`, at most `max`): something was heard.
    pub fn reset(&mut self, base: Duration) {
        self.step = base.clamp(self.min, self.max);
    }

    /// The next wait; the one after it is twice as long.
    pub fn next_wait(&mut self) -> Duration {
        let step = self.step;
        self.step = step.saturating_mul(2).min(self.max);
        if self.min == self.max {
            return step; // a fixed wait, as the model checker wants it
        }
        // xorshift64: spreads well enough for a jitter and needs no source of randomness.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let half = step / 2;
        let spread = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX).max(1);
        half + Duration::from_nanos(self.random % spread)
    }
}
