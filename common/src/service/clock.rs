//! The one place where time comes from.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::types::Time;

/// Monotonic time decides, the wall clock is only shown. In tests on paused time it stands still with tokio's.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    began: Instant,
}

impl Clock {
    /// A clock that begins now.
    #[must_use]
    pub fn start() -> Self {
        Self {
            began: Instant::now(),
        }
    }

    /// The time since it began.
    #[must_use]
    pub fn now(&self) -> Time {
        Time(self.began.elapsed())
    }

    /// The moment to sleep until.
    #[must_use]
    pub fn instant(&self, at: Time) -> Instant {
        const FAR: std::time::Duration = std::time::Duration::from_secs(10 * 365 * 24 * 3600);
        self.began + at.0.min(FAR)
    }

    /// Completes at `at`; never for `None`.
    pub async fn sleep_until(self, at: Option<Time>) {
        match at {
            Some(at) => tokio::time::sleep_until(self.instant(at)).await,
            None => std::future::pending().await,
        }
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
