//! The lives of masters: those that come back without their log, and two at a time. Frames of every former life stay under
//! way.

use super::bounds::{Bounds, Start, small};
use super::explore;
use super::sometimes as seen;

#[test]
fn one_secondary_and_a_master_that_recovers() {
    explore(
        Bounds {
            rebirths: 1,
            start: Start::Patient,
            sometimes: vec![("recovered", seen::has_recovered)],
            ..small(1, &[(1, 2)])
        },
        20358,
    );
}

#[test]
fn one_secondary_and_a_master_that_hardly_listens() {
    explore(
        Bounds {
            rebirths: 1,
            late: true,
            start: Start::Hasty,
            sometimes: vec![
                ("recovered", seen::has_recovered),
                ("adopted", seen::has_adopted),
                ("diverged", seen::has_diverged),
            ],
            ..small(1, &[(1, 2), (2, 1)])
        },
        98555,
    );
}

#[test]
fn one_secondary_and_a_second_master() {
    explore(
        Bounds {
            seconds: 1,
            late: true,
            start: Start::Patient,
            sometimes: vec![
                ("recovered", seen::has_recovered),
                ("beaten", seen::was_beaten),
            ],
            ..small(1, &[(1, 2)])
        },
        114515,
    );
}

#[test]
fn one_secondary_and_a_master_that_is_overtaken() {
    explore(
        Bounds {
            seconds: 1,
            late: true,
            takeover: true,
            start: Start::Patient,
            sometimes: vec![
                ("recovered", seen::has_recovered),
                ("fenced", seen::is_fenced),
                ("two", seen::are_two),
            ],
            ..small(1, &[(1, 2)])
        },
        118525,
    );
}
