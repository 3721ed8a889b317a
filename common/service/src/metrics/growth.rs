//! When a log grew, so that "so many entries behind" can be said as "for so long behind".

use std::collections::VecDeque;
use std::time::Duration;

use replog_protocol::ids::{Seq, Time};

/// What grows within that time has grown at one moment.
const MIN_STEP: Duration = Duration::from_millis(100);
/// Moments may be taken together that are apart by so small a part of their age.
const STEP_OF_AGE: u32 = 32;
/// So many moments are remembered until some are taken together: twice as many as are left of a year of steady growth.
const MAX_MOMENTS: usize = 2048;

/// When a log had grown to which length, in steps of a tenth of a second, or of a sixteenth of their age: so a bounded number
/// of moments reaches back to the start of the program.
#[derive(Debug, Default)]
pub struct Growth {
    /// Each is later, and of a longer log, than the one before.
    moments: VecDeque<(Time, Seq)>,
}

impl Growth {
    /// The log ends at `last` now. One that has become shorter is another one.
    pub fn note(&mut self, last: Seq, now: Time) {
        match self.moments.back_mut() {
            Some((_, known)) if last == *known => return,
            Some((_, known)) if last < *known => self.moments.clear(),
            Some((at, known)) if now.since(*at) < MIN_STEP => {
                *known = last;
                return;
            }
            _ => {}
        }
        self.moments.push_back((now, last));
        if self.moments.len() > MAX_MOMENTS {
            self.take_together(now);
        }
    }

    fn take_together(&mut self, now: Time) {
        let mut kept: VecDeque<(Time, Seq)> = VecDeque::new();
        for (at, last) in self.moments.drain(..) {
            let step = now.since(at) / STEP_OF_AGE;
            match kept.back_mut() {
                Some((before, known)) if at.since(*before) < step => *known = last,
                _ => kept.push_back((at, last)),
            }
        }
        self.moments = kept;
    }

    /// For how long the log has had an entry after `held`: zero where there is none. Too long by a tenth of a second or by a
    /// sixteenth of it, at most; and never longer than the program runs.
    #[must_use]
    pub fn since_beyond(&self, held: Seq, now: Time) -> Duration {
        let first = self.moments.partition_point(|(_, last)| *last <= held);
        let moment = self.moments.get(first);
        moment.map_or(Duration::ZERO, |(at, _)| now.since(*at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time::ZERO + Duration::from_millis(ms)
    }

    fn ms(growth: &Growth, held: u64, now: u64) -> u128 {
        growth.since_beyond(Seq(held), at(now)).as_millis()
    }

    #[test]
    fn it_says_for_how_long_there_has_been_more() {
        let mut growth = Growth::default();
        assert_eq!(ms(&growth, 0, 50), 0, "nothing is there");
        growth.note(Seq(1), at(1_000));
        growth.note(Seq(2), at(1_030));
        growth.note(Seq(9), at(2_000));
        growth.note(Seq(9), at(5_000));
        let now = 6_000;
        assert_eq!(ms(&growth, 0, now), 5_000);
        // Entry 2 came within the same tenth of a second as entry 1.
        assert_eq!(ms(&growth, 1, now), 5_000);
        assert_eq!(ms(&growth, 8, now), 4_000);
        assert_eq!(ms(&growth, 9, now), 0);
        growth.note(Seq(10), at(5_500));
        assert_eq!(ms(&growth, 9, now), 500);
    }

    #[test]
    fn a_log_that_became_shorter_is_another_one() {
        let mut growth = Growth::default();
        growth.note(Seq(10), at(1_000));
        growth.note(Seq(3), at(2_000));
        assert_eq!(ms(&growth, 1, 3_000), 1_000);
        assert_eq!(ms(&growth, 5, 3_000), 0);
    }

    #[test]
    fn a_bounded_number_of_moments_reaches_back_to_the_start() {
        let mut growth = Growth::default();
        for tenth in 1..=100_000 {
            growth.note(Seq(tenth), at(tenth * 100));
            assert!(growth.moments.len() <= MAX_MOMENTS);
        }
        let now = 100_000 * 100;
        assert_eq!(ms(&growth, 0, now), u128::from(now) - 100);
        for behind in [1, 10, 100, 1_000, 10_000, 50_000] {
            let lag = u128::from(behind - 1) * 100;
            let said = ms(&growth, 100_000 - behind, now);
            assert!((lag..=lag + lag / 16).contains(&said), "{said} for {lag}");
        }
    }
}
