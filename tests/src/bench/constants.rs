//! What appends and messages cost the real programs on this machine, for [`scale`](super::scale): small clusters are put under load, and the
//! processor time of each process is laid out over what it did.

use std::time::Duration;

use anyhow::{Context, Result};
use replog_model::scale::{
    self, BrokerCosts, Constants, Load, MasterCosts, Sample, SecondaryCosts, Setup,
};
use replog_protocol::write_concern::WriteConcern;

use super::content;
use super::load::{self, Until};
use super::systems::System as _;
use super::systems::replog::Replog;
use super::usage::{Meter, Spent};
use crate::harness::{Cluster, Node};

/// Each cluster is put under load for so long.
const TURN: Duration = Duration::from_secs(5);
/// Secondaries, clients and bytes of a message's content: what differs tells what costs what.
const CLUSTERS: [(usize, usize, usize); 8] = [
    (2, 64, 100),
    (4, 64, 100),
    (8, 64, 100),
    (2, 4, 100),
    (8, 4, 100),
    (2, 64, 4000),
    (8, 64, 4000),
    (4, 16, 1000),
];
/// What the leader of the trunk took for an ACK with 1,000 secondaries, in microseconds for each of them, before it looked only at
/// those to whom something has happened: measured once, on the machine of the first constants.
const PEER_US_BEFORE: f64 = 0.086;

/// Measures them.
///
/// # Errors
/// A process does not start, a request fails, or nothing is known of a process's time (it is on Linux alone).
pub async fn measure() -> Result<Constants> {
    let mut samples = Vec::new();
    for (secondaries, clients, content_bytes) in CLUSTERS {
        let sample = sample(secondaries, clients, content_bytes).await?;
        println!("{sample:?}");
        samples.push(sample);
    }
    let fit = |of: fn(&Sample) -> ([f64; 3], f64)| least_squares(samples.iter().map(of));
    let [append_us, exchange_us, master_kib] = fit(|s| ([1.0, s.exchanges, s.kib], s.master_us));
    // A broker knows nothing of appends: two messages an exchange, and their bytes.
    let [message_us, broker_kib, _] = fit(|s| ([2.0 * s.exchanges, s.kib, 0.0], s.broker_us));
    let [secondary_us, secondary_kib, _] = fit(|s| ([s.exchanges, s.kib, 0.0], s.secondaries_us));
    let mut constants = Constants {
        machine: machine(),
        master: MasterCosts {
            append_us,
            exchange_us,
            kib_us: master_kib,
            peer_us: 0.0,
            peer_us_before: PEER_US_BEFORE,
        },
        broker: BrokerCosts {
            message_us,
            kib_us: broker_kib,
        },
        secondary: SecondaryCosts {
            exchange_us: secondary_us,
            kib_us: secondary_kib,
        },
        samples,
    };
    let time = |secondaries| {
        let took = scale::time_of_ack(&Setup::three_regions(secondaries), &constants, 30);
        took.as_secs_f64() * 1e6
    };
    constants.master.peer_us = (time(1000) - time(10)).max(0.0) / 990.0;
    Ok(constants)
}

/// One cluster under load, with `w` = all.
async fn sample(secondaries: usize, clients: usize, content_bytes: usize) -> Result<Sample> {
    let cluster = Cluster::builder()
        .secondaries(secondaries)
        .listed(true)
        .env("REPLOG_HEARTBEAT_INTERVAL", "500ms")
        .env("REPLOG_SUSPECT_AFTER", "1500ms")
        .env("REPLOG_UNHEALTHY_AFTER", "5s")
        .start()
        .await?;
    cluster.wait_healthy(secondaries).await?;
    let everybody = u32::try_from(secondaries + 1).context("so many nodes")?;
    let appends = Replog::new(&cluster, everybody, &content(content_bytes));
    let connections = load::connect(&appends, clients).await?;
    let (exchanges, entries) = sent(&cluster.master).await?;
    let meter = Meter::start(&appends.processes());
    let seen = load::run::<Replog>(connections, Until::Elapsed(TURN)).await?;
    let spent = meter.processes();
    let (exchanges_after, entries_after) = sent(&cluster.master).await?;
    let count = seen.times.len() as f64;
    let us = |is_it: fn(&str) -> bool| -> Result<f64> {
        let own = spent.iter().filter(|one: &&Spent| is_it(&one.process));
        let all: Option<f64> = own.map(|one| one.cpu_seconds).sum();
        Ok(all.context("the system says what a process took")? * 1e6 / count)
    };
    // An entry beside its content: `{"seq":…,"epoch":…,"message_id":"…","content":"…"}` and a comma.
    let entry_bytes = content_bytes as f64 + 100.0;
    Ok(Sample {
        secondaries,
        clients,
        content_bytes,
        exchanges: (exchanges_after - exchanges) / count,
        kib: (entries_after - entries) * entry_bytes / 1024.0 / count,
        master_us: us(|name| name == "master")?,
        broker_us: us(|name| name == "broker")?,
        secondaries_us: us(|name| name.starts_with("secondary"))?,
    })
}

/// Messages with entries that a master has sent, and the entries in them.
async fn sent(master: &Node) -> Result<(f64, f64)> {
    let page = master.http().get("/metrics").await?.expect(200)?;
    let text = page.text().to_owned();
    let number = |name: &str| -> Result<f64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        Ok(line.with_context(|| name.to_owned())?.trim().parse()?)
    };
    Ok((
        number(r#"replog_message_entries_count{direction="sent"}"#)?,
        number(r#"replog_message_entries_sum{direction="sent"}"#)?,
    ))
}

/// What explains the values best as a sum of these parts, each with a factor that is not below 0. A part that is always 0 has the
/// factor 0.
fn least_squares(rows: impl Iterator<Item = ([f64; 3], f64)>) -> [f64; 3] {
    let rows: Vec<_> = rows.collect();
    let mut factors = [0.0_f64; 3];
    // Coordinate descent: each factor in turn is set to what is best beside the others. It converges, because the sum of squares is
    // convex, and keeps to the bounds by itself.
    for _ in 0..100_000 {
        for i in 0..3 {
            let (mut up, mut down) = (0.0, 0.0);
            for (parts, value) in &rows {
                // In proportion: each cluster counts alike.
                let weight = 1.0 / value.max(1e-9);
                let others: f64 = (0..3)
                    .filter(|j| *j != i)
                    .map(|j| factors[j] * parts[j])
                    .sum();
                up += parts[i] * weight * (value - others) * weight;
                down += parts[i] * weight * parts[i] * weight;
            }
            factors[i] = if down > 0.0 {
                (up / down).max(0.0)
            } else {
                0.0
            };
        }
    }
    factors
}

/// The machine, as its system describes it.
fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split(": ").nth(1));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{cores} cores, {}; clients, nodes and broker on all of them",
        model.unwrap_or("of a kind that is not known")
    )
}

/// Prints the constants, and the processor time of each cluster that was measured beside what the simulation says of it.
pub fn print(costs: &Constants) {
    println!("constants of {}", costs.machine);
    println!(
        "master: {:.1} us an append, {:.1} a message and its ACK, {:.2} a KiB, {:.4} a secondary and message (before: {:.4})",
        costs.master.append_us,
        costs.master.exchange_us,
        costs.master.kib_us,
        costs.master.peer_us,
        costs.master.peer_us_before,
    );
    println!(
        "broker: {:.1} us a message, {:.2} a KiB; secondary: {:.1} us a message and its ACK, {:.2} a KiB",
        costs.broker.message_us,
        costs.broker.kib_us,
        costs.secondary.exchange_us,
        costs.secondary.kib_us,
    );
    println!("processor time of an append in us, measured and simulated, w = all:");
    for sample in &costs.samples {
        let setup = Setup {
            one_way: vec![Duration::from_micros(50)],
            megabits: vec![100_000.0],
            content_bytes: sample.content_bytes,
            ..Setup::three_regions(sample.secondaries)
        };
        let load = Load {
            clients: sample.clients,
            w: WriteConcern::All,
            think: Duration::ZERO,
        };
        let said = scale::loaded(&setup, costs, load, Duration::from_millis(500));
        println!(
            "{:>3} secondaries, {:>2} clients, {:>4} bytes: master {:>6.1} {:>6.1}, broker {:>6.1} {:>6.1}, secondaries {:>6.1} {:>6.1}",
            sample.secondaries,
            sample.clients,
            sample.content_bytes,
            sample.master_us,
            said.master_us,
            sample.broker_us,
            // One broker in the middle, where the simulation has a leaf node as well.
            said.broker_us / 2.0,
            sample.secondaries_us,
            said.secondaries_us,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::least_squares;

    #[test]
    fn the_factors_of_a_sum_are_found_and_none_is_negative() {
        let rows = [
            (1.0, 2.0, 3.0),
            (1.0, 4.0, 1.0),
            (1.0, 9.0, 2.0),
            (1.0, 1.0, 7.0),
        ];
        let sum = |(a, b, c)| ([a, b, c], 14.0 * a + 3.0 * b + 0.5 * c);
        let found = least_squares(rows.into_iter().map(sum));
        for (found, put_in) in found.into_iter().zip([14.0, 3.0, 0.5]) {
            assert!((found - put_in).abs() < 1e-3, "{found} {put_in}");
        }
        let falls = |(a, b, _): (f64, f64, f64)| ([a, b, 0.0], 50.0 * a - b);
        let found = least_squares(rows.into_iter().map(falls));
        assert!(found.iter().all(|factor| *factor >= 0.0), "{found:?}");
        assert_eq!(found[2], 0.0);
    }
}
