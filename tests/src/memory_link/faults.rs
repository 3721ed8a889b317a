//! What may happen to a message on its way.

use std::time::Duration;

/// What happens to each message on its way. Delays that differ put messages out of order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Faults {
    /// Probability, from 0 to 1, that a message is taken and never arrives.
    pub loss: f64,
    /// Probability, from 0 to 1, that a message arrives once more (and then perhaps once more).
    pub duplication: f64,
    /// Probability, from 0 to 1, that a message is not taken, as by a link that is full.
    pub refusal: f64,
    /// The shortest time on the way.
    pub delay_min: Duration,
    /// The longest time on the way.
    pub delay_max: Duration,
}

impl Faults {
    /// Everything arrives, at once, once, in order.
    pub const NONE: Self = Self {
        loss: 0.0,
        duplication: 0.0,
        refusal: 0.0,
        delay_min: Duration::ZERO,
        delay_max: Duration::ZERO,
    };
    /// Everything is taken, nothing arrives.
    pub const SILENCE: Self = Self {
        loss: 1.0,
        ..Self::NONE
    };
}
