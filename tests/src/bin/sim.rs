//! Runs many seeds of the simulation, or one: `cargo run --release --bin sim -- --seeds 100000`,
//! `cargo run --release --bin sim -- --seed 42`.

use std::process::ExitCode;

use clap::Parser;
use replog_tests::sim;

/// The simulation of the protocol, by seeds.
#[derive(Parser)]
struct Arguments {
    /// Run this one alone.
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
    let seeds = match arguments.seed {
        Some(seed) => seed..seed + 1,
        None => arguments.from..arguments.from + arguments.seeds,
    };
    let mut failed = 0;
    for seed in seeds.clone() {
        match sim::play(seed) {
            Ok(report) if arguments.seed.is_some() => println!("{report:?}"),
            Ok(_) => {}
            Err(failure) => {
                failed += 1;
                println!("{failure}");
            }
        }
    }
    println!("seeds {seeds:?}: {failed} failed");
    ExitCode::from(u8::from(failed > 0))
}
