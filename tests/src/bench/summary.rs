//! From what each turn saw to what the table says.

use serde::Serialize;

use super::load::Seen;
use super::usage::Spent;

/// One turn of one system.
#[derive(Clone, Debug, Serialize)]
pub struct Sample {
    /// How many requests were answered.
    pub requests: u64,
    /// From the first request to the last answer.
    pub seconds: f64,
    /// Half of the answers came faster, in microseconds.
    pub p50_us: u64,
    /// All but one in a hundred came faster.
    pub p99_us: u64,
    /// All but one in a thousand came faster.
    pub p999_us: u64,
    /// The processor time of the system's processes.
    pub servers: Vec<Spent>,
    /// The processor time of the clients, in seconds.
    pub load_cpu_seconds: Option<f64>,
}

impl Sample {
    /// What the clients saw, and what it cost.
    #[must_use]
    pub fn new(seen: &Seen, servers: Vec<Spent>, load_cpu_seconds: Option<f64>) -> Self {
        Self {
            requests: seen.times.len(),
            seconds: seen.elapsed.as_secs_f64(),
            p50_us: seen.times.value_at_quantile(0.5),
            p99_us: seen.times.value_at_quantile(0.99),
            p999_us: seen.times.value_at_quantile(0.999),
            servers,
            load_cpu_seconds,
        }
    }

    /// Requests a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds.max(1e-9)
    }
}

/// The middle of some values and how far they are apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// As many are smaller as are larger; of an even number the mean of the middle two.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// None of no values.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (&min, &max) = sorted.first().zip(sorted.last())?;
        let (upper, lower) = (sorted[sorted.len() / 2], sorted[(sorted.len() - 1) / 2]);
        Some(Self {
            median: f64::midpoint(lower, upper),
            min,
            max,
        })
    }
}

/// The processor time of a process for each request.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// Its name; those of the same name are one.
    pub process: String,
    /// In microseconds; none if nothing is known.
    pub us: Option<f64>,
}

/// All turns of one system with so many clients.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// Its name.
    pub system: &'static str,
    /// Requests a second.
    pub rate: Spread,
    /// The rate divided by the bare server's in the same round; none where the bare server is left out.
    pub ratio: Option<Spread>,
    /// The turns' 50th percentiles, in microseconds.
    pub p50_us: Spread,
    /// The turns' 99th percentiles.
    pub p99_us: Spread,
    /// Of each process, over all turns.
    pub costs: Vec<Cost>,
    /// The sum of them.
    pub cost_us: Option<f64>,
    /// The processor time of all processes of the system divided by that of the clients.
    pub server_per_load: Option<f64>,
    /// What it is all made of.
    pub rounds: Vec<Sample>,
}

impl Line {
    /// None without rounds. `bare` are the turns of the bare server in the same rounds.
    #[must_use]
    pub fn of(system: &'static str, rounds: Vec<Sample>, bare: Option<&[Sample]>) -> Option<Self> {
        let requests: u64 = rounds.iter().map(|round| round.requests).sum();
        let us = |seconds: f64| seconds * 1e6 / requests.max(1) as f64;
        let mut costs: Vec<Cost> = Vec::new();
        for spent in rounds.iter().flat_map(|round| &round.servers) {
            let known = costs.iter_mut().find(|cost| cost.process == spent.process);
            match known {
                Some(cost) => {
                    cost.us = cost
                        .us
                        .zip(spent.cpu_seconds)
                        .map(|(sum, more)| sum + us(more))
                }
                None => costs.push(Cost {
                    process: spent.process.clone(),
                    us: spent.cpu_seconds.map(us),
                }),
            }
        }
        let cost_us: Option<f64> = costs.iter().map(|cost| cost.us).sum();
        let load: Option<f64> = rounds.iter().map(|round| round.load_cpu_seconds).sum();
        let pairs = bare.map(|bare| rounds.iter().zip(bare));
        Some(Self {
            system,
            rate: Spread::of(rounds.iter().map(Sample::rate))?,
            ratio: pairs.and_then(|pairs| {
                Spread::of(pairs.map(|(round, bare)| round.rate() / bare.rate()))
            }),
            p50_us: Spread::of(rounds.iter().map(|round| round.p50_us as f64))?,
            p99_us: Spread::of(rounds.iter().map(|round| round.p99_us as f64))?,
            server_per_load: cost_us
                .zip(load.map(us))
                .filter(|(_, load)| *load > 0.0)
                .map(|(servers, load)| servers / load),
            costs,
            cost_us,
            rounds,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Cost, Line, Sample, Spread};
    use crate::bench::usage::Spent;

    fn spent(process: &str, cpu_seconds: f64) -> Spent {
        Spent {
            process: process.to_owned(),
            cpu_seconds: Some(cpu_seconds),
        }
    }

    fn sample(requests: u64, p50_us: u64, servers: Vec<Spent>) -> Sample {
        Sample {
            requests,
            seconds: 2.0,
            p50_us,
            p99_us: p50_us * 10,
            p999_us: p50_us * 100,
            servers,
            load_cpu_seconds: Some(0.5),
        }
    }

    #[test]
    fn the_median_of_an_even_number_is_between_the_middle_two() {
        let spread = |median, min, max| Some(Spread { median, min, max });
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([7.0]), spread(7.0, 7.0, 7.0));
        assert_eq!(Spread::of([9.0, 1.0, 2.0]), spread(2.0, 1.0, 9.0));
        assert_eq!(Spread::of([9.0, 1.0, 2.0, 4.0]), spread(3.0, 1.0, 9.0));
    }

    #[test]
    fn rates_are_compared_within_a_round_and_processor_time_over_all() -> anyhow::Result<()> {
        let bare = [
            sample(2000, 10, vec![]),
            sample(1000, 10, vec![]),
            sample(4000, 10, vec![]),
        ];
        let rounds = vec![
            sample(1000, 30, vec![spent("master", 0.1), spent("broker", 0.2)]),
            sample(800, 20, vec![spent("master", 0.2), spent("broker", 0.1)]),
            sample(2200, 90, vec![spent("master", 0.1), spent("broker", 0.1)]),
        ];
        let line = Line::of("w1", rounds, Some(&bare));
        let line = line.ok_or_else(|| anyhow::anyhow!("rounds make a line"))?;
        let spread = |median, min, max| Spread { median, min, max };
        assert_eq!(line.rate, spread(500.0, 400.0, 1100.0));
        // Not 500 / 1000: the machine was slow in the second round, for both.
        assert_eq!(line.ratio, Some(spread(0.55, 0.5, 0.8)));
        assert_eq!(line.p50_us, spread(30.0, 20.0, 90.0));
        assert_eq!(line.p99_us, spread(300.0, 200.0, 900.0));
        let near = |a: Option<f64>, b: f64| a.is_some_and(|a| (a - b).abs() < 1e-9);
        assert!(near(line.costs[0].us, 100.0), "{:?}", line.costs);
        assert!(near(line.costs[1].us, 100.0), "{:?}", line.costs);
        assert!(near(line.cost_us, 200.0));
        assert!(near(line.server_per_load, 0.8 / 1.5));
        Ok(())
    }

    #[test]
    fn processes_of_one_name_are_summed_and_what_is_unknown_stays_so() {
        let unknown = Spent {
            process: "b".to_owned(),
            cpu_seconds: None,
        };
        let servers = vec![spent("a", 0.001), unknown, spent("a", 0.002)];
        let line = Line::of("redis", vec![sample(10, 1, servers)], None);
        let line = line.expect("a round makes a line");
        assert_eq!(line.ratio, None);
        assert!(line.costs[0].us.is_some_and(|us| (us - 300.0).abs() < 1e-9));
        let b = Cost {
            process: "b".to_owned(),
            us: None,
        };
        assert_eq!(line.costs[1..], [b]);
        assert_eq!((line.cost_us, line.server_per_load), (None, None));
        assert!(Line::of("none", vec![], None).is_none());
    }
}
