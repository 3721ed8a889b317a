//! Seeds of the simulation. One of them again, with the last things that happened:
//! `REPLOG_SIM_SEED=42 cargo test -p replog-model --test protocol one_seed -- --nocapture`;
//! many: `cargo run --release --bin demo -- sim --seeds 100000`; of masters that share their journal: `--from 4294967296`.

use replog_model::sim::{self, Report};

fn run(seeds: impl IntoIterator<Item = u64>) -> Report {
    let mut sum = Report::default();
    for seed in seeds {
        let report = sim::play(seed).unwrap_or_else(|failure| panic!("{failure}"));
        sum.appends += report.appends;
        sum.replicated += report.replicated;
        sum.faults += report.faults;
        sum.removals += report.removals;
    }
    sum
}

/// So many seeds, and that what they are to show has happened often.
fn run_many(seeds: std::ops::Range<u64>) {
    let runs = usize::try_from(seeds.end - seeds.start).expect("few");
    let sum = run(seeds);
    println!("{sum:?}");
    assert!(sum.faults > runs * 3, "{sum:?}");
    assert!(sum.replicated > runs * 8, "{sum:?}");
    assert!(sum.removals > runs / 50, "{sum:?}");
}

#[test]
fn seeds_of_all_stories() {
    run_many(0..1050);
}

#[test]
fn more_seeds_of_all_stories() {
    run_many(1050..2100);
}

#[test]
fn still_more_seeds_of_all_stories() {
    run_many(2100..3150);
}

#[test]
fn seeds_of_masters_that_share_their_journal() {
    run_many(sim::SHARING..sim::SHARING + 700);
}

#[test]
fn one_seed() {
    let seed = std::env::var("REPLOG_SIM_SEED");
    let seed = seed.map_or(1, |text| text.parse().expect("REPLOG_SIM_SEED is a number"));
    println!("{:?}", run([seed]));
}
