//! Load on all systems in turns: what else the machine does meets all of them alike.

use std::mem;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use tempfile::TempDir;

use super::Args;
use super::disk::Fsyncs;
use super::load::Until;
use super::machine::{Meanwhile, Moment};
use super::summary::{Line, Sample, Spread};
use super::systems::AnySystem;
use super::systems::start::{Kind, LeftOut, start};
use super::table;

/// The longest turn before those that count.
const WARM_UP: Duration = Duration::from_millis(200);

/// What so many clients saw.
#[derive(Clone, Debug, Serialize)]
pub struct Block {
    /// How many clients there were at a time.
    pub clients: usize,
    /// One of each system.
    pub lines: Vec<Line>,
    /// With `--disk`: bare syncs a second.
    pub fsyncs: Option<Spread>,
    /// What else the machine did.
    pub meanwhile: Meanwhile,
}

/// What all rounds gave.
#[derive(Clone, Debug, Serialize)]
pub struct Appends {
    /// One for each number of clients.
    pub blocks: Vec<Block>,
    /// Systems that are not measured, or not by all numbers of clients.
    pub left_out: Vec<LeftOut>,
}

/// A system that is measured.
struct Measured {
    kind: Kind,
    system: Box<dyn AnySystem>,
    samples: Vec<Sample>,
}

/// Measures and prints the table.
///
/// # Errors
/// A process of this project does not start, or a request to it fails. A peer that fails is left out from there on.
pub async fn measure(args: &Args, kinds: &[Kind]) -> Result<Appends> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut started = Box::pin(start(args, kinds, &path)).await?;
    let mut left_out = mem::take(&mut started.left_out);
    let systems = mem::take(&mut started.systems).into_iter();
    let mut all: Vec<Measured> = systems
        .map(|(kind, system)| Measured {
            kind,
            system,
            samples: Vec::new(),
        })
        .collect();
    println!();
    for one in &left_out {
        println!("{} is left out: {}", one.system.name(), one.why);
    }
    println!("{}", table::title(args));
    println!("{}", table::HEAD);

    // Beside the logs, which are in directories like this one.
    let dir = TempDir::with_prefix("replog-fsync-").context("a directory to sync in")?;
    let mut fsyncs = args.disk().then(|| Fsyncs::new(dir.path())).transpose()?;
    let turn = Duration::from_secs_f64(args.seconds / f64::from(args.rounds));
    let mut blocks = Vec::new();
    for &clients in &args.clients {
        let mut syncs = Vec::new();
        round(&mut all, 0, clients, turn.min(WARM_UP), &mut left_out).await?;
        for one in &mut all {
            one.samples.clear();
        }
        let own = pids(&all);
        let before = Moment::now(&own);
        for first in 0..args.rounds as usize {
            round(&mut all, first, clients, turn, &mut left_out).await?;
            if let Some(fsyncs) = &mut fsyncs {
                syncs.push(fsyncs.run(turn)?);
            }
        }
        let block = Block {
            clients,
            lines: lines(&mut all),
            fsyncs: Spread::of(syncs),
            meanwhile: before.until(&Moment::now(&own)),
        };
        if !blocks.is_empty() {
            println!();
        }
        print!("{}", table::block(&block));
        blocks.push(block);
    }
    Ok(Appends { blocks, left_out })
}

/// A turn for each, another one first in each round: whatever a turn leaves behind does not always meet the same.
async fn round(
    all: &mut Vec<Measured>,
    first: usize,
    clients: usize,
    turn: Duration,
    left_out: &mut Vec<LeftOut>,
) -> Result<()> {
    let mut failed = Vec::new();
    for i in 0..all.len() {
        let place = (first + i) % all.len();
        let one = &mut all[place];
        match one.system.turn(clients, Until::Elapsed(turn)).await {
            Ok(sample) => one.samples.push(sample),
            Err(error) if one.kind.is_peer() => failed.push(LeftOut {
                system: one.kind,
                why: format!("with {clients} clients: {error:#}"),
            }),
            Err(error) => return Err(error.context(one.kind.name())),
        }
    }
    all.retain(|one| failed.iter().all(|failed| failed.system != one.kind));
    for one in failed {
        println!(
            "{} is left out from here on: {}",
            one.system.name(),
            one.why
        );
        left_out.push(one);
    }
    Ok(())
}

fn pids(all: &[Measured]) -> Vec<i32> {
    let processes = all.iter().flat_map(|one| one.system.all_processes());
    let mut pids: Vec<i32> = processes.filter_map(|process| process.pid).collect();
    pids.sort_unstable();
    pids.dedup(); // one cluster is `w1`, `w2` and `w3`
    pids
}

fn lines(all: &mut [Measured]) -> Vec<Line> {
    let bare = all.iter().find(|one| one.kind == Kind::Bare);
    let bare = bare.map(|one| one.samples.clone());
    let lines = all.iter_mut().filter_map(|one| {
        let samples = mem::take(&mut one.samples);
        Line::of(one.kind.name(), samples, bare.as_deref())
    });
    lines.collect()
}
