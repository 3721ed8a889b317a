//! Worlds.

use super::bounds::{Bounds, Start, small};
use super::explore;
use super::sometimes as seen;

#[test]
fn one_secondary_entries_overtake_and_the_link_breaks() {
    explore(
        Bounds {
            outages: 1,
            ..small(1, &[(1, 2), (2, 1)])
        },
        0,
    );
}

#[test]
fn one_secondary_crashes() {
    explore(
        Bounds {
            restarts: 1,
            rounds: 1,
            ..small(1, &[(1, 2), (2, 2)])
        },
        0,
    );
}

#[test]
fn two_secondaries() {
    explore(small(2, &[(1, 3)]), 0);
}

#[test]
fn recovers() {
    explore(
        Bounds {
            rebirths: 1,
            start: Start::Patient,
            sometimes: vec![("recovered", seen::has_recovered)],
            ..small(1, &[(1, 2)])
        },
        0,
    );
}
