//! Worlds that are too large for the normal test run, which looks at the first states of some.

use super::bounds::{Bounds, Start, small};
use super::sometimes as seen;
use replog_model::cluster::journal::Loss;

/// All of them, by name.
#[must_use]
pub(crate) fn worlds() -> Vec<(&'static str, Bounds)> {
    vec![
        (
            "a_hasty_master_comes_back_empty",
            a_hasty_master_comes_back_empty(),
        ),
        (
            "a_second_master_finds_the_first",
            a_second_master_finds_the_first(),
        ),
        ("a_second_master_takes_over", a_second_master_takes_over()),
        (
            "an_older_copy_is_put_back_while_the_master_recovers",
            an_older_copy_is_put_back_while_the_master_recovers(),
        ),
        ("both_come_back_empty", both_come_back_empty()),
        (
            "a_copy_starts_while_the_master_recovers",
            a_copy_starts_while_the_master_recovers(),
        ),
        (
            "a_master_of_two_secondaries_comes_back_empty",
            a_master_of_two_secondaries_comes_back_empty(),
        ),
        (
            "a_hasty_master_of_two_secondaries_comes_back_empty",
            a_hasty_master_of_two_secondaries_comes_back_empty(),
        ),
        (
            "the_log_is_cleared_and_the_master_comes_back_empty",
            the_log_is_cleared_and_the_master_comes_back_empty(),
        ),
        (
            "entries_rot_where_two_secondaries_hold_them",
            entries_rot_where_two_secondaries_hold_them(),
        ),
    ]
}

/// A master in memory comes back and does not wait for whom it has not heard.
#[must_use]
pub(crate) fn a_hasty_master_comes_back_empty() -> Bounds {
    Bounds {
        rebirths: 1,
        late: true,
        batches: true,
        epochs: 2,
        sometimes: vec![
            ("recovered", seen::has_recovered),
            ("serves unheard", seen::serves_unheard),
            ("diverged", seen::has_diverged),
            ("adopted", seen::has_adopted),
        ],
        ..small(1, &[(1, 2)])
    }
}

/// A second master starts beside the first.
#[must_use]
pub(crate) fn a_second_master_finds_the_first() -> Bounds {
    Bounds {
        seconds: 1,
        late: true,
        batches: true,
        epochs: 2,
        sometimes: vec![
            ("found out", seen::was_found_out),
            ("two masters", seen::are_two),
            ("fenced", seen::is_fenced),
        ],
        ..small(1, &[(1, 2)])
    }
}

/// A second master starts beside the first, to take over.
#[must_use]
pub(crate) fn a_second_master_takes_over() -> Bounds {
    Bounds {
        seconds: 1,
        late: true,
        takeover: true,
        batches: true,
        epochs: 2,
        sometimes: vec![
            ("fenced", seen::is_fenced),
            ("two masters", seen::are_two),
            ("recovered", seen::has_recovered),
        ],
        ..small(1, &[(1, 2)])
    }
}

/// A secondary comes back with an older disk, and the master comes back empty.
#[must_use]
pub(crate) fn an_older_copy_is_put_back_while_the_master_recovers() -> Bounds {
    Bounds {
        restarts: 1,
        losses: vec![Loss::SinceBackup],
        backups: 1,
        rebirths: 1,
        late: true,
        start: Start::Patient,
        batches: true,
        epochs: 2,
        sometimes: vec![
            ("recovered", seen::has_recovered),
            ("came back meanwhile", seen::came_back_meanwhile),
        ],
        ..small(1, &[(1, 2)])
    }
}

/// The secondary and the master both come back empty.
#[must_use]
pub(crate) fn both_come_back_empty() -> Bounds {
    Bounds {
        restarts: 1,
        rebirths: 1,
        late: true,
        start: Start::Patient,
        batches: true,
        epochs: 2,
        sometimes: vec![("recovered", seen::has_recovered)],
        ..small(1, &[(1, 2)])
    }
}

/// A second process starts on a copy of a disk, and the master comes back empty.
#[must_use]
pub(crate) fn a_copy_starts_while_the_master_recovers() -> Bounds {
    Bounds {
        copies: 1,
        rebirths: 1,
        late: true,
        start: Start::Patient,
        batches: true,
        epochs: 2,
        sometimes: vec![
            ("recovered", seen::has_recovered),
            ("two of a name meanwhile", seen::are_two_of_a_name_meanwhile),
        ],
        ..small(1, &[(1, 2)])
    }
}

/// A master in memory comes back and asks two secondaries.
#[must_use]
pub(crate) fn a_master_of_two_secondaries_comes_back_empty() -> Bounds {
    Bounds {
        rebirths: 1,
        late: true,
        start: Start::Patient,
        batches: true,
        epochs: 2,
        sometimes: vec![("recovered", seen::has_recovered)],
        ..small(2, &[(1, 3)])
    }
}

/// The same, and it does not wait for whom it has not heard.
#[must_use]
pub(crate) fn a_hasty_master_of_two_secondaries_comes_back_empty() -> Bounds {
    Bounds {
        rebirths: 1,
        late: true,
        batches: true,
        epochs: 2,
        sometimes: vec![
            ("recovered", seen::has_recovered),
            ("serves unheard", seen::serves_unheard),
        ],
        ..small(2, &[(1, 3)])
    }
}

/// Entries rot that two more nodes hold.
#[must_use]
pub(crate) fn entries_rot_where_two_secondaries_hold_them() -> Bounds {
    Bounds {
        rots: 1,
        ticks: Some(4),
        batches: true,
        sometimes: vec![
            ("damaged", seen::is_damaged),
            ("repaired", seen::is_repaired),
        ],
        ..small(2, &[(1, 3)])
    }
}

/// The log is cleared, and the master comes back without it, or from its disk.
pub(crate) fn the_log_is_cleared_and_the_master_comes_back_empty() -> Bounds {
    Bounds {
        clears: 1,
        rebirths: 1,
        late: true,
        master_losses: vec![Loss::Nothing, Loss::Everything],
        start: Start::Patient,
        batches: true,
        epochs: 4,
        ..small(1, &[(1, 2), (2, 2)])
    }
}
