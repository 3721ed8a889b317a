//! A cluster in virtual time: real messages as JSON, real deadlines, links and disks with their delays and faults, all of it
//! following from one seed.
//!
//! First faults, then none: the cluster has to become well again, and then fall silent. Every step is judged by the rules of
//! [`crate::cluster`]. A failure names its seed; the seed replays it.

mod plan;
mod world;

use std::fmt;
use std::process::ExitCode;

pub use plan::{Plan, SHARING, Story};

/// Which runs are to be played.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Args {
    /// Run this one alone.
    #[arg(long)]
    pub seed: Option<u64>,
    /// The first of many.
    #[arg(long, default_value_t = 0)]
    pub from: u64,
    /// How many.
    #[arg(long, default_value_t = 10_000)]
    pub seeds: u64,
}

/// What a run has shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Messages that clients wanted in the log.
    pub appends: usize,
    /// How many of them were answered with success.
    pub replicated: usize,
    /// Faults that happened.
    pub faults: usize,
    /// Secondaries that were taken out of the members.
    pub removals: usize,
}

/// What went wrong in a run, and how to see it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The number to replay.
    pub seed: u64,
    /// The story that was played.
    pub story: Story,
    /// What went wrong.
    pub what: String,
    /// The last things that had happened.
    pub last: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.last {
            writeln!(f, "{line}")?;
        }
        write!(
            f,
            "seed {} ({:?}): {}; replay it with REPLOG_SIM_SEED={}",
            self.seed, self.story, self.what, self.seed
        )
    }
}

/// Plays the run of a seed.
///
/// # Errors
/// A rule was broken, or the cluster did not become well, or not silent.
pub fn play(seed: u64) -> Result<Report, Box<Failure>> {
    world::World::new(Plan::of(seed)).play()
}

/// Plays many runs, and prints those that fail; 1 if any does.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    let seeds = match args.seed {
        Some(seed) => seed..seed + 1,
        None => args.from..args.from + args.seeds,
    };
    let mut failed = 0;
    for seed in seeds.clone() {
        match play(seed) {
            Ok(report) if args.seed.is_some() => println!("{report:?}"),
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
