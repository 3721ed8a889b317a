//! Runs many seeds of the simulation, or one with everything it does printed:
//! `cargo run --release --bin sim -- --seeds 100000`, `cargo run --release --bin sim -- --seed 42`.

use std::process::ExitCode;

use clap::Parser;
use replog_tests::sim;

/// The simulation of the protocol, by seeds.
#[derive(Parser)]
struct Arguments {
    /// Run this one and print what happens.
    #[arg(long)]
    seed: Option<u64>,
    /// The first of many.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// How many.
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (seeds, trace) = match arguments.seed {
        Some(seed) => (seed..seed + 1, true),
        None => (arguments.from..arguments.from + arguments.seeds, false),
    };
    let mut failed = 0;
    let mut slowest = (std::time::Duration::ZERO, 0);
    for seed in seeds.clone() {
        match sim::run(seed, trace) {
            Ok(report) => {
                slowest = slowest.max((report.healed_after, seed));
                if trace {
                    println!("{report:?}");
                }
            }
            Err(what) => {
                failed += 1;
                println!("seed {seed}: {what}");
            }
        }
    }
    println!(
        "seeds {seeds:?}: {failed} failed; the slowest to heal, {:?}, was {}",
        slowest.0, slowest.1
    );
    ExitCode::from(u8::from(failed > 0))
}
