//! The same check in larger worlds, some minutes and gigabytes:
//! `cargo test --release -p replog-tests --test protocol larger -- --ignored --nocapture --test-threads 1`.

use super::explore;
use super::state::{Bounds, small};

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
        1,
    );
}

#[test]
#[ignore = "takes minutes"]
fn larger_three_entries_overtake() {
    explore(small(1, &[(1, 2), (2, 1), (3, 2)]), 360409);
}

#[test]
#[ignore = "takes minutes"]
fn larger_batches_and_a_crash() {
    explore(
        Bounds {
            batches: true,
            crashes: 1,
            ..small(1, &[(1, 2), (2, 2), (3, 2)])
        },
        1,
    );
}

#[test]
#[ignore = "takes minutes"]
fn larger_two_secondaries_and_a_master_that_forgets() {
    explore(
        Bounds {
            rebirths: 1,
            ..small(2, &[(1, 2)])
        },
        1,
    );
}

#[test]
#[ignore = "takes minutes"]
fn larger_two_secondaries_and_a_log_that_is_cleared() {
    explore(
        Bounds {
            clears: 1,
            ..small(2, &[(1, 3)])
        },
        1,
    );
}

#[test]
#[ignore = "takes minutes"]
fn larger_two_secondaries_one_crashes() {
    explore(
        Bounds {
            crashes: 1,
            ..small(2, &[(1, 3)])
        },
        1,
    );
}

/// An entry of the cleared history that is held back must not follow the first one of the next history.
#[test]
#[ignore = "takes minutes"]
fn larger_one_secondary_holds_back_when_the_log_is_cleared() {
    explore(
        Bounds {
            clears: 1,
            ..small(1, &[(1, 1), (2, 2), (3, 2)])
        },
        1,
    );
}
