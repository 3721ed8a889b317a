//! When clients were answered 200, and how long nobody was.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// So many of the longest times are kept.
const KEPT: usize = 5;

/// The times between two 200s, of all clients together.
#[derive(Debug)]
pub(super) struct Timings(Mutex<Gaps>);

#[derive(Debug)]
struct Gaps {
    last: Instant,
    /// The longest first.
    longest: Vec<Duration>,
}

impl Timings {
    /// From now on.
    pub(super) fn start() -> Self {
        Self(Mutex::new(Gaps {
            last: Instant::now(),
            longest: Vec::new(),
        }))
    }

    /// A client was answered 200.
    pub(super) fn note(&self, now: Instant) {
        let mut gaps = self.0.lock().expect("nobody panics with it");
        let gap = now.saturating_duration_since(gaps.last);
        gaps.last = gaps.last.max(now);
        let at = gaps.longest.partition_point(|longer| *longer >= gap);
        gaps.longest.insert(at, gap);
        gaps.longest.truncate(KEPT);
    }

    /// The longest times, the longest first.
    pub(super) fn longest(&self) -> Vec<Duration> {
        let gaps = self.0.lock().expect("nobody panics with it");
        gaps.longest.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_are_kept_in_order() {
        let timings = Timings::start();
        let mut at = timings.0.lock().expect("not poisoned").last;
        for ms in [5, 1, 9, 3, 7, 2, 8] {
            at += Duration::from_millis(ms);
            timings.note(at);
        }
        let longest: Vec<u128> = timings.longest().iter().map(Duration::as_millis).collect();
        assert_eq!(longest, [9, 8, 7, 5, 3]);
    }
}
