//! The one place where time comes from.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use replog_protocol::ids::Time;
use tokio::time::Instant;

/// The latest moment that is ever waited for, counted from the start of the clock: timers overflow far later.
const FARTHEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Monotonic time, which decides; the wall clock is only shown. In tests on paused time it stands still with tokio's.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    began: Instant,
}

impl Clock {
    /// A clock that begins now, at [`Time::ZERO`].
    #[must_use]
    pub fn start() -> Self {
        Self {
            began: Instant::now(),
        }
    }

    /// The time since the clock began.
    #[must_use]
    pub fn now(&self) -> Time {
        Time(self.began.elapsed())
    }

    /// The moment `at` on tokio's clock, to sleep until; ten years after the start of the clock at the latest.
    #[must_use]
    pub fn instant(&self, at: Time) -> Instant {
        self.began + at.0.min(FARTHEST)
    }
}

/// The wall clock in milliseconds since 1970, for those who watch.
#[must_use]
pub fn wall_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
