//! How often each secondary is sent a sign of life, and how long it may be silent: the longer the more of them there are.
//!
//! One in every interval to each of a thousand secondaries, and as many answers, is most of what a master with nothing to do
//! does. So there is a budget of heartbeats a second for all of them together. Up to the number that it suffices for nothing
//! changes; beyond, the interval grows with the number and what silence means grows with the interval. Secondaries are told the
//! interval by the heartbeats, and judge their master's silence by that.

use std::time::Duration;

use crate::ids::Time;
use crate::leader::settings::Replication;

/// The longest interval there is, whatever the number.
pub const MAX_INTERVAL: Duration = Duration::from_secs(60);

/// The pace of one secondary's heartbeats.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pace {
    /// From one heartbeat to the next.
    pub interval: Duration,
    /// Silence after which a secondary is suspected.
    pub suspect_after: Duration,
    /// Silence after which it is unhealthy.
    pub unhealthy_after: Duration,
    /// The interval is longer than the one that is set: each secondary has a place of its own in it.
    pub is_stretched: bool,
    /// Secondaries that are so many entries behind catch up in turns; `None` while there are so few that all are sent everything
    /// at once.
    pub far_behind: Option<u64>,
}

impl Pace {
    /// That of so many secondaries.
    #[must_use]
    pub fn of(settings: &Replication, secondaries: usize) -> Self {
        let own = settings.heartbeat_interval;
        let budget = f64::from(settings.heartbeats_per_second.max(1));
        let needed = Duration::from_secs_f64(secondaries as f64 / budget);
        let interval = needed.min(MAX_INTERVAL).max(own);
        let times = interval.div_duration_f64(own).max(1.0);
        let is_stretched = interval > own;
        let takes_turns = secondaries > settings.prompt.max(settings.catching_up);
        let stretched = |silence: Duration| match is_stretched {
            true => silence.mul_f64(times),
            false => silence,
        };
        Self {
            interval,
            suspect_after: stretched(settings.suspect_after),
            unhealthy_after: stretched(settings.unhealthy_after),
            is_stretched,
            far_behind: takes_turns.then_some(settings.far_behind),
        }
    }

    /// When the next heartbeat is due after one at `now`. A stretched pace gives each secondary the same place in every interval,
    /// which `seed` chooses: so they are spread over the interval, and never further apart.
    #[must_use]
    pub fn next(&self, now: Time, seed: u64) -> Time {
        if !self.is_stretched {
            return now + self.interval;
        }
        let whole = u64::try_from(self.interval.as_nanos()).unwrap_or(u64::MAX);
        let place = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11;
        let place = place % whole;
        let passed = u64::try_from(now.0.as_nanos() % u128::from(whole)).unwrap_or(0);
        let wait = match place > passed {
            true => place - passed,
            false => whole - passed + place,
        };
        now + Duration::from_nanos(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(budget: u32) -> Replication {
        Replication {
            heartbeats_per_second: budget,
            ..Replication::default()
        }
    }

    #[test]
    fn up_to_the_budget_everything_is_as_it_is_set() {
        let settings = settings(200);
        for secondaries in [0, 1, 16, 99, 100] {
            let pace = Pace::of(&settings, secondaries);
            assert_eq!(pace.interval, settings.heartbeat_interval, "{secondaries}");
            assert_eq!(pace.suspect_after, settings.suspect_after);
            assert_eq!(pace.unhealthy_after, settings.unhealthy_after);
            assert!(!pace.is_stretched);
            let now = Time(Duration::from_millis(1234));
            assert_eq!(pace.next(now, 7), now + settings.heartbeat_interval);
        }
    }

    #[test]
    fn beyond_the_budget_all_times_grow_alike_and_are_bounded() {
        let settings = settings(200);
        let pace = Pace::of(&settings, 101);
        assert!(pace.is_stretched && pace.interval == Duration::from_millis(505));
        let pace = Pace::of(&settings, 1000);
        assert_eq!(pace.interval, Duration::from_secs(5));
        assert_eq!(pace.suspect_after, Duration::from_secs(15));
        assert_eq!(pace.unhealthy_after, Duration::from_secs(50));
        let endless = Pace::of(&self::settings(1), 1000);
        assert_eq!(endless.interval, MAX_INTERVAL);
    }

    /// In any interval there are no more heartbeats than secondaries, and none waits longer than the interval.
    #[test]
    fn heartbeats_are_spread_over_the_interval() {
        let pace = Pace::of(&settings(100), 1000);
        let tenth = pace.interval / 10;
        let mut in_tenth = [0; 10];
        for seed in 1..=1000 {
            let now = Time(pace.interval * 3 + tenth / 2);
            let next = pace.next(now, seed);
            assert!(next > now && next.since(now) <= pace.interval);
            assert_eq!(pace.next(next, seed).since(next), pace.interval);
            let passed = next.0.as_nanos() % pace.interval.as_nanos();
            in_tenth[usize::try_from(passed / tenth.as_nanos()).unwrap()] += 1;
        }
        assert!(
            in_tenth.iter().all(|many| (60..140).contains(many)),
            "{in_tenth:?}"
        );
    }
}
