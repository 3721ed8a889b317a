//! Faults on real processes with logs on disks, by seed: `cargo run --release --bin chaos -- --seed 1 --seconds 60`.

use std::process::ExitCode;

use clap::Parser;
use replog_tests::chaos;

/// Kills, stops and forgets nodes while clients append, then checks what the clients were told.
#[derive(Parser)]
struct Arguments {
    /// Which faults, and in which order.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long at least; each fault happens once at least.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

fn main() -> ExitCode {
    // The nodes are this very program again.
    replog_tests::harness::hidden::run_if_child().unwrap_or_else(run)
}

#[tokio::main]
async fn run() -> ExitCode {
    let Arguments { seed, seconds } = Arguments::parse();
    match chaos::run(seed, seconds).await {
        Ok(report) => {
            println!(
                "seed {seed}: {} faults; {} messages acknowledged, {} refused, {} unknown; all as it must be",
                report.faults.len(),
                report.acknowledged,
                report.refused,
                report.unknown
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
