//! The same check in larger worlds, some minutes and gigabytes:
//! `cargo test --release -p replog-tests --test protocol larger -- --ignored --nocapture --test-threads 1`.

use super::bounds::{Bounds, Start, small};
use super::explore;
use super::sometimes as seen;

#[test]
#[ignore = "takes minutes"]
fn larger_a_secondary_crashes_and_the_log_is_cleared_and_forgotten() {
    explore(
        Bounds {
            crashes: 1,
            rebirths: 1,
            clears: 1,
            ..small(1, &[(1, 2)])
        },
        283354,
    );
}

#[test]
#[ignore = "takes minutes"]
fn larger_three_entries_overtake() {
    explore(small(1, &[(1, 2), (2, 1), (3, 2)]), 151570);
}

#[test]
#[ignore = "takes minutes"]
fn larger_two_secondaries_and_a_log_that_is_cleared() {
    explore(
        Bounds {
            clears: 1,
            ..small(2, &[(1, 3)])
        },
        49412,
    );
}

#[test]
#[ignore = "takes minutes"]
fn larger_one_secondary_and_entries_of_two_masters() {
    explore(
        Bounds {
            rebirths: 1,
            late: true,
            start: Start::Patient,
            sometimes: vec![
                ("recovered", seen::has_recovered),
                ("goes on", seen::goes_on_after_recovery),
            ],
            ..small(1, &[(1, 2), (2, 2)])
        },
        194609,
    );
}
