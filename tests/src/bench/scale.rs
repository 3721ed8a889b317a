//! What `demo scale` does: clusters past one machine, simulated with what things cost on this one; before and after the master minded
//! how many secondaries it has.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use replog_model::scale::{self, Constants, Load, Outcome, Setup, Storm};
use replog_protocol::write_concern::WriteConcern;

use super::constants;
use super::plot::{Logarithmic, round_numbers, thousands};
use super::report::Output;

/// Clients that append one message after the other.
const CLIENTS: usize = 64;
/// How long each of them waits on average before its next message while a region is away: some 500 appends a second.
const THINK: Duration = Duration::from_millis(128);
/// How long the last region is away.
const AWAY: Duration = Duration::from_secs(10);
/// After which a region that comes back is given up.
const PATIENCE: Duration = Duration::from_secs(60);
const SIZE: (u32, u32) = (1000, 640);
const BEFORE: RGBColor = RGBColor(213, 94, 0);
const AFTER: RGBColor = RGBColor(0, 114, 178);

/// Simulates clusters of 10, 100 and 1,000 secondaries in three regions, with what messages and appends cost real processes.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// How many secondaries, comma separated.
    #[arg(long, value_delimiter = ',', default_value = "10,100,1000", value_parser = clap::value_parser!(u16).range(3..=1000))]
    pub secondaries: Vec<u16>,
    /// Simulated seconds of load for each line.
    #[arg(long, default_value_t = 3.0)]
    pub seconds: f64,
    /// Measure the constants anew, with real clusters on this machine, and write them to that file (the simulation's own is
    /// tests/model/src/scale/constants.json); takes a minute or two.
    #[arg(long, value_name = "FILE")]
    pub constants: Option<PathBuf>,
    /// Draw before and after over the number of secondaries, as SVG, in that file.
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
}

/// What was simulated of one cluster.
#[derive(Clone, Debug)]
struct Run {
    secondaries: usize,
    is_after: bool,
    idle: Outcome,
    /// With `w` = 2, majority, all.
    loads: [Outcome; 3],
    storm: Storm,
}

/// Simulates, and prints what came out.
///
/// # Errors
/// A process does not start; a file cannot be written.
pub async fn measure(args: &Args) -> Result<()> {
    let plot = args.plot.as_deref().map(Output::create).transpose()?;
    let costs = match &args.constants {
        None => Constants::measured(),
        Some(path) => {
            let measured = constants::measure().await?;
            let json = serde_json::to_string_pretty(&measured)? + "\n";
            std::fs::write(path, json).with_context(|| path.display().to_string())?;
            measured
        }
    };
    constants::print(&costs);
    println!();
    print_head();
    let mut runs = Vec::new();
    for &secondaries in &args.secondaries {
        for is_after in [false, true] {
            let run = simulate(secondaries.into(), is_after, &costs, args.seconds);
            print(&run);
            runs.push(run);
        }
    }
    plot.map_or(Ok(()), |plot| plot.write(&draw(&runs)?))
}

fn simulate(secondaries: usize, is_after: bool, costs: &Constants, seconds: f64) -> Run {
    let setup = match is_after {
        true => Setup::three_regions(secondaries),
        false => Setup::three_regions(secondaries).before(),
    };
    let time = Duration::from_secs_f64(seconds);
    let load = |w, think| Load {
        clients: CLIENTS,
        w,
        think,
    };
    let loaded = |w| scale::loaded(&setup, costs, load(w, Duration::ZERO), time);
    let two = WriteConcern::Count(2);
    Run {
        secondaries,
        is_after,
        // Each has its heartbeat in that time, whatever the interval.
        idle: scale::idle(&setup, costs, Duration::from_secs(10)),
        loads: [two, WriteConcern::Majority, WriteConcern::All].map(loaded),
        storm: scale::storm(&setup, costs, load(two, THINK), AWAY, PATIENCE),
    }
}

fn print_head() {
    println!(
        "{CLIENTS} clients, messages of 100 bytes; regions 1, 40 and 80 ms away and back, lines of 10, 1 and 1 Gbit/s, brokers of 4 cores; the last region is away \
         for {} s under some {:.0} appends a second with w = 2",
        AWAY.as_secs(),
        CLIENTS as f64 / THINK.as_secs_f64()
    );
    println!(
        "{:>11} {:>6} | {:>10} {:>6} | {:>8} {:>6} {:>6} | {:>8} {:>6} | {:>8} {:>6} | {:>7} {:>6} {:>7} {:>7} {:>7} {:>7}",
        "secondaries",
        "",
        "idle msg/s",
        "master",
        "w=2 a/s",
        "p50",
        "p99",
        "majority",
        "p50",
        "all a/s",
        "p50",
        "back in",
        "p99",
        "master",
        "line",
        "MiB",
        "again"
    );
}

fn print(run: &Run) {
    let [two, majority, all] = &run.loads;
    let storm = &run.storm;
    let back = storm.caught_up.map_or_else(
        || format!("> {}", PATIENCE.as_secs()),
        |time| format!("{:.1}", time.as_secs_f64()),
    );
    println!(
        "{:>11} {:>6} | {:>10.0} {:>5.1}% | {:>8.0} {:>6.1} {:>6.1} | {:>8.0} {:>6.1} | {:>8.0} {:>6.1} | {:>6}s {:>6.1} {:>7.0} {:>7.0} {:>7.0} {:>7}",
        run.secondaries,
        if run.is_after { "after" } else { "before" },
        run.idle.messages_per_second,
        run.idle.master * 100.0,
        two.appends_per_second,
        ms(two.p50),
        ms(two.p99),
        majority.appends_per_second,
        ms(majority.p50),
        all.appends_per_second,
        ms(all.p50),
        back,
        ms(storm.meanwhile.p99),
        ms(storm.master_wait),
        ms(storm.line_wait),
        storm.sent_mib,
        storm.retries,
    );
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// What one part of the picture shows of a run.
type Shown = (&'static str, fn(&Run) -> f64);

const PARTS: [Shown; 4] = [
    ("appends a second, w = 2", |run| {
        run.loads[0].appends_per_second
    }),
    ("appends a second, w = majority", |run| {
        run.loads[1].appends_per_second
    }),
    ("processor of the master, nobody appending, in %", |run| {
        run.idle.master * 100.0
    }),
    ("until a region is whole again, in s", |run| {
        run.storm.caught_up.unwrap_or(PATIENCE).as_secs_f64()
    }),
];

fn draw(runs: &[Run]) -> Result<String> {
    let mut out = String::new();
    {
        let root = SVGBackend::with_string(&mut out, SIZE).into_drawing_area();
        let drawn = root.fill(&WHITE).and_then(|()| {
            let titled = root.titled(
                "Simulated: secondaries in three regions, before (orange) and after (blue)",
                ("sans-serif", 20),
            )?;
            let parts = titled.split_evenly((2, 2));
            let mut pairs = parts.iter().zip(PARTS);
            pairs.try_for_each(|(area, part)| draw_part(area, part, runs))?;
            root.present()
        });
        drawn.map_err(|error| anyhow!("draw: {error}"))?;
    }
    Ok(out)
}

fn draw_part<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    (title, of): Shown,
    runs: &[Run],
) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    let values = runs.iter().map(|run| of(run).max(1e-3));
    let (least, most) = values.fold((f64::MAX, 1e-3_f64), |(least, most), value| {
        (least.min(value), most.max(value))
    });
    let numbers = runs.iter().map(|run| run.secondaries as f64);
    let (few, many) = numbers.clone().fold((f64::MAX, 1.0_f64), |(few, many), n| {
        (few.min(n), many.max(n))
    });
    let small = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5];
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 16))
        .margin(10)
        .x_label_area_size(38)
        .y_label_area_size(64)
        .build_cartesian_2d(
            Logarithmic::around(few, many, numbers),
            Logarithmic::around(least, most, small.into_iter().chain(round_numbers())),
        )?;
    chart
        .configure_mesh()
        .x_desc("secondaries")
        .x_label_formatter(&|x: &f64| thousands(*x))
        .y_label_formatter(&|y: &f64| match *y < 1.0 {
            true => format!("{y}"),
            false => thousands(*y),
        })
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .label_style(("sans-serif", 14))
        .draw()?;
    for (is_after, colour) in [(false, BEFORE), (true, AFTER)] {
        let own = runs.iter().filter(|run| run.is_after == is_after);
        let line = own.map(|run| (run.secondaries as f64, of(run).max(1e-3)));
        chart.draw_series(LineSeries::new(line.clone(), colour.stroke_width(2)))?;
        chart.draw_series(line.map(|point| Circle::new(point, 4, colour.filled())))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn before_and_after_are_both_drawn_in_every_part() -> Result<()> {
        let run = |secondaries, is_after, rate| Run {
            secondaries,
            is_after,
            idle: Outcome {
                master: 0.1,
                ..Outcome::default()
            },
            loads: [Outcome {
                appends_per_second: rate,
                ..Outcome::default()
            }; 3],
            storm: Storm::default(),
        };
        let runs = [
            run(10, false, 900.0),
            run(10, true, 1000.0),
            run(1000, false, 20.0),
            run(1000, true, 500.0),
        ];
        let svg = draw(&runs)?;
        for (title, _) in PARTS {
            assert!(svg.contains(title), "{title} is not in it");
        }
        for RGBColor(r, g, b) in [BEFORE, AFTER] {
            let line = format!("stroke=\"#{r:02X}{g:02X}{b:02X}\" stroke-width=\"2\"");
            assert_eq!(svg.matches(&line).count(), PARTS.len(), "one line a part");
        }
        Ok(())
    }
}
