//! What else the machine did meanwhile. Linux only; elsewhere nothing is known.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::usage;

/// Above this share of other processes a run is worth little.
const NOISY: f64 = 0.1;

/// The machine at one moment.
#[derive(Clone, Debug)]
pub struct Moment {
    load: Option<f64>,
    times: Option<Times>,
    own: Option<Duration>,
}

impl Moment {
    /// Now; `own` are the processes of the benchmark, beside this one.
    #[must_use]
    pub fn now(own: &[i32]) -> Self {
        let all = own.iter().copied().map(Some).chain([usage::this()]);
        Self {
            load: load(),
            times: std::fs::read_to_string("/proc/stat")
                .ok()
                .and_then(|stat| Times::parse(&stat)),
            own: all.map(usage::cpu).sum(),
        }
    }

    /// What happened between this moment and a later one.
    #[must_use]
    pub fn until(&self, later: &Self) -> Meanwhile {
        let mut meanwhile = Meanwhile {
            load_before: self.load,
            load_after: later.load,
            others: None,
            interrupts: None,
            stolen: None,
        };
        if let Some((before, after)) = self.times.zip(later.times)
            && let Some((own_before, own_after)) = self.own.zip(later.own)
        {
            let own =
                own_after.saturating_sub(own_before).as_secs_f64() / usage::TICK.as_secs_f64();
            let share = |ticks: f64| Some(ticks.max(0.0) / (after.all - before.all).max(1.0));
            meanwhile.others = share(after.programs - before.programs - own);
            meanwhile.interrupts = share(after.interrupts - before.interrupts);
            meanwhile.stolen = share(after.stolen - before.stolen);
        }
        meanwhile
    }
}

/// What else the machine did, as shares of the time of all its processors.
#[derive(Clone, Debug, Serialize)]
pub struct Meanwhile {
    /// Processes that wanted to run, on average over a minute, before.
    pub load_before: Option<f64>,
    /// And afterwards, those of the benchmark included.
    pub load_after: Option<f64>,
    /// By processes that are not the benchmark's.
    pub others: Option<f64>,
    /// By interrupts, of whoever.
    pub interrupts: Option<f64>,
    /// By other machines on the same hardware.
    pub stolen: Option<f64>,
}

impl fmt::Display for Meanwhile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((others, stolen)) = self.others.zip(self.stolen) else {
            return write!(f, "what else the machine did is not known");
        };
        let interrupts = self.interrupts.unwrap_or_default();
        let [others, interrupts, stolen] = [others, interrupts, stolen].map(|share| share * 100.0);
        write!(
            f,
            "other processes took {others:.1} % of the machine, interrupts {interrupts:.1} %, other machines {stolen:.1} %"
        )?;
        if let Some((before, after)) = self.load_before.zip(self.load_after) {
            write!(f, "; load average {before:.2} before, {after:.2} after")?;
        }
        if others + stolen > NOISY * 100.0 {
            write!(f, " (not quiet: measure again)")?;
        }
        Ok(())
    }
}

/// The first line of `/proc/stat`, in ticks since the machine started.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Times {
    /// User programs and what the kernel did for them.
    programs: f64,
    interrupts: f64,
    stolen: f64,
    all: f64,
}

impl Times {
    fn parse(stat: &str) -> Option<Self> {
        let fields = stat.lines().next()?.strip_prefix("cpu ")?;
        let fields: Vec<f64> = fields
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()
            .ok()?;
        // The time of guests, which follows, is counted in `user` and `nice` already.
        let &[user, nice, system, _idle, _iowait, irq, softirq, stolen, ..] = fields.as_slice()
        else {
            return None;
        };
        Some(Self {
            programs: user + nice + system,
            interrupts: irq + softirq,
            stolen,
            all: fields.iter().take(8).sum(),
        })
    }
}

fn load() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    text.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Moment, Times};

    #[test]
    fn shares_are_of_all_processors_and_without_our_own() {
        let moment = |stat: &str, own_ms| Moment {
            load: Some(1.0),
            times: Times::parse(stat),
            own: Some(Duration::from_millis(own_ms)),
        };
        let before = moment("cpu  100 10 20 500 0 1 2 3 0 0\ncpu0 …", 50);
        // 1,000 ticks later: 300 by programs, 2,000 ms of them ours.
        let after = moment("cpu  300 10 120 1150 0 11 12 33 0 0", 2050);
        let meanwhile = before.until(&after);
        assert_eq!(meanwhile.others, Some(0.1));
        assert_eq!(meanwhile.interrupts, Some(0.02));
        assert_eq!(meanwhile.stolen, Some(0.03));
        assert!(
            meanwhile
                .to_string()
                .starts_with("other processes took 10.0 % of the machine")
        );
    }
}
