//! Seeds of the simulation. One of them again, with all that it does:
//! `REPLOG_SIM_SEED=42 cargo test -p replog-tests --test protocol one_seed -- --nocapture`;
//! many: `cargo run --release --bin sim -- --seeds 100000`.

use replog_tests::sim::{self, Report};

/// Seeds that have shown a bug once.
const REGRESSIONS: [u64; 9] = [
    // A retry of what was replicated long ago waited for the next ACK.
    146, 149, 151, 193,
    // An idle master took the time between two probes for a pause of its own: the dead never became unhealthy.
    139, 140, 268, 445,
    // A stopped master was told of its link, and so did not see how long it had been stopped.
    1162,
];

fn run(seeds: impl IntoIterator<Item = u64>) -> Report {
    let mut sum = Report::default();
    for seed in seeds {
        let report = sim::run(seed, false)
            .unwrap_or_else(|what| panic!("REPLOG_SIM_SEED={seed} shows it: {what}"));
        sum.messages += report.messages;
        sum.replicated += report.replicated;
        sum.timed_out += report.timed_out;
        sum.faults += report.faults;
        sum.crashes += report.crashes;
        sum.entries += report.entries;
        sum.diverged += report.diverged;
        sum.recovered += report.recovered;
        sum.takeovers += report.takeovers;
        sum.elder_told += report.elder_told;
        sum.healed_after = sum.healed_after.max(report.healed_after);
    }
    sum
}

/// So many seeds, and that what they are to show has happened often.
fn run_many(seeds: std::ops::Range<u64>) {
    let sum = run(seeds);
    println!("{sum:?}");
    assert!(
        sum.faults > 3_000 && sum.crashes > 500 && sum.diverged > 5,
        "{sum:?}"
    );
    assert!(sum.replicated > 50_000 && sum.timed_out > 1_000, "{sum:?}");
}

#[test]
fn seeds_up_to_1000() {
    run_many(0..1000);
}

#[test]
fn seeds_up_to_2000() {
    run_many(1000..2000);
}

/// Masters that come back without their log, again and again, and ask for it.
#[test]
fn seeds_with_masters_that_recover() {
    let sum = run(10_000..10_500);
    println!("{sum:?}");
    assert!(sum.recovered > 250 && sum.replicated > 20_000, "{sum:?}");
}

/// Masters that are overtaken while they live, and go on as if nothing had happened.
#[test]
fn seeds_with_masters_that_are_overtaken() {
    let sum = run(20_000..20_500);
    println!("{sum:?}");
    assert!(sum.takeovers > 250 && sum.elder_told > 100, "{sum:?}");
}

#[test]
fn regressions() {
    run(REGRESSIONS);
}

#[test]
fn the_same_seed_is_the_same_run() {
    assert_eq!(
        format!("{:?}", sim::run(7, false)),
        format!("{:?}", sim::run(7, false))
    );
}

#[test]
fn one_seed() {
    if let Ok(seed) = std::env::var("REPLOG_SIM_SEED") {
        let seed = seed.parse().expect("a number");
        let report = sim::run(seed, true);
        println!("{report:?}");
        report.expect("it goes well");
    }
}
