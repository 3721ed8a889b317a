//! Small worlds, explored to the end. Their numbers of states are asserted: a run that was cut short, or a change of the
//! protocol, shows.

use replog_tests::cluster::journal::Loss;

use super::bounds::{Bounds, small};
use super::explore;
use super::sometimes as seen;

#[test]
fn one_secondary_entries_overtake_and_the_link_breaks() {
    explore(
        Bounds {
            outages: 1,
            ..small(1, &[(1, 2), (2, 1)])
        },
        9301,
    );
}

#[test]
fn one_secondary_and_a_retry() {
    explore(small(1, &[(1, 2), (1, 2)]), 110);
}

#[test]
fn two_secondaries() {
    explore(small(2, &[(1, 3)]), 12567);
}

#[test]
fn one_secondary_on_slow_disks() {
    explore(
        Bounds {
            slow_master: true,
            slow_secondaries: true,
            ..small(1, &[(1, 2)])
        },
        109,
    );
}

#[test]
fn one_secondary_on_disks_that_are_full() {
    explore(
        Bounds {
            slow_master: true,
            slow_secondaries: true,
            fulls: 1,
            sometimes: vec![("served after a full disk", seen::serves_after_full_disk)],
            ..small(1, &[(1, 2)])
        },
        351,
    );
}

#[test]
fn a_secondary_comes_back_with_an_older_disk() {
    explore(
        Bounds {
            restarts: 1,
            losses: vec![Loss::SinceBackup],
            backups: 1,
            rounds: 1,
            batches: true,
            sometimes: vec![("came back with less", seen::came_back_with_less)],
            ..small(1, &[(1, 2)])
        },
        6192,
    );
}

#[test]
fn a_secondary_comes_back_empty() {
    explore(
        Bounds {
            restarts: 1,
            losses: vec![Loss::Everything],
            rounds: 1,
            batches: true,
            ..small(1, &[(1, 2)])
        },
        8431,
    );
}

#[test]
fn a_second_process_starts_on_a_copy() {
    explore(
        Bounds {
            copies: 1,
            rounds: 1,
            batches: true,
            sometimes: vec![("two of a name", seen::are_two_of_a_name)],
            ..small(1, &[(1, 2)])
        },
        41583,
    );
}

#[test]
fn the_log_is_cleared() {
    explore(
        Bounds {
            clears: 1,
            batches: true,
            ..small(1, &[(1, 2)])
        },
        525,
    );
}
