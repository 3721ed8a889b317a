//! Small worlds, explored to the end. Their numbers of states are asserted: a run that was cut short, or a change of the
//! protocol, shows. Of worlds that are too large for that, the first states in breadth; those and others to the
//! end: `cargo run --release -p replog-model --example model`.

use replog_model::cluster::journal::Loss;
use replog_protocol::leader::recovery::Requires;
use replog_protocol::write_concern::WriteConcern;

use super::model::bounds::{Bounds, Client, Start, small};
use super::model::{explore, explore_first, large, sometimes as seen};

#[test]
fn one_secondary_entries_overtake_and_the_link_breaks() {
    explore(
        Bounds {
            outages: 1,
            ..small(1, &[(1, 2), (2, 1)])
        },
        21044,
    );
}

#[test]
fn one_secondary_and_a_retry() {
    explore(small(1, &[(1, 2), (1, 2)]), 125);
}

#[test]
fn two_secondaries() {
    explore(small(2, &[(1, 3)]), 18618);
}

#[test]
fn one_secondary_on_slow_disks() {
    explore(
        Bounds {
            slow_master: true,
            slow_secondaries: true,
            ..small(1, &[(1, 2)])
        },
        136,
    );
}

#[test]
fn one_secondary_on_disks_that_are_full() {
    explore(
        Bounds {
            slow_master: true,
            slow_secondaries: true,
            fulls: 1,
            sometimes: vec![
                ("refused by a full disk", seen::is_refused_by_full_disk),
                ("served after a full disk", seen::serves_after_full_disk),
            ],
            ..small(1, &[(1, 2)])
        },
        445,
    );
}

#[test]
fn a_write_fails() {
    explore(
        Bounds {
            slow_master: true,
            slow_secondaries: true,
            failures: 1,
            sometimes: vec![
                ("ended by its disk", seen::has_failed),
                ("in doubt", seen::is_in_doubt),
            ],
            ..small(1, &[(1, 2), (2, 2)])
        },
        2968,
    );
}

#[test]
fn an_entry_rots() {
    explore(
        Bounds {
            rots: 1,
            ticks: Some(6),
            batches: true,
            sometimes: vec![
                ("damaged", seen::is_damaged),
                ("repaired", seen::is_repaired),
            ],
            ..small(1, &[(1, 2)])
        },
        7373,
    );
}

#[test]
fn entries_rot_where_two_secondaries_hold_them() {
    explore_first(
        200_000,
        large::entries_rot_where_two_secondaries_hold_them(),
        202394,
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
        9827,
    );
}

#[test]
fn what_is_committed_is_told_to_a_secondary_that_comes_back_with_an_older_disk() {
    explore(
        Bounds {
            commits: true,
            restarts: 1,
            losses: vec![Loss::SinceBackup],
            backups: 1,
            rounds: 1,
            batches: true,
            sometimes: vec![("told", seen::knows_what_is_committed)],
            ..small(1, &[(1, 2)])
        },
        68672,
    );
}

#[test]
fn what_is_committed_is_known_by_a_master_that_comes_back_from_its_disk() {
    explore(
        Bounds {
            commits: true,
            rebirths: 1,
            late: true,
            master_losses: vec![Loss::Nothing],
            start: Start::Patient,
            batches: true,
            epochs: 3,
            sometimes: vec![
                ("told", seen::knows_what_is_committed),
                ("recovered", seen::has_recovered),
            ],
            ..small(1, &[(1, 2), (2, 2)])
        },
        8536,
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
        14027,
    );
}

/// It may be alive by then, or still be waited for.
#[test]
fn a_secondary_that_said_goodbye_is_taken_out_and_joins_again() {
    let message = 1;
    let w = WriteConcern::All;
    explore(
        Bounds {
            listed: false,
            clients: vec![Client { message, w }],
            leaves: 1,
            removals: 1,
            rounds: 1,
            batches: true,
            sometimes: vec![
                ("held by who is left", seen::is_held_by_who_is_left),
                ("joined again", seen::has_joined_again),
            ],
            ..small(1, &[])
        },
        40197,
    );
}

#[test]
fn a_secondary_comes_back_with_what_was_synced() {
    explore(
        Bounds {
            restarts: 1,
            losses: vec![Loss::Unsynced],
            rounds: 1,
            batches: true,
            sometimes: vec![("came back with less", seen::came_back_with_less)],
            ..small(1, &[(1, 2)])
        },
        24342,
    );
}

#[test]
fn a_secondary_comes_back_twice() {
    explore(
        Bounds {
            restarts: 2,
            losses: vec![Loss::Everything],
            rounds: 1,
            batches: true,
            ..small(1, &[(1, 2)])
        },
        209285,
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
        62040,
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
        560,
    );
}

#[test]
fn a_master_comes_back_empty() {
    explore(
        Bounds {
            rebirths: 1,
            late: true,
            start: Start::Patient,
            batches: true,
            epochs: 3,
            sometimes: vec![
                ("recovered", seen::has_recovered),
                ("goes on after a recovery", seen::goes_on_after_recovery),
            ],
            ..small(1, &[(1, 2), (2, 2)])
        },
        7557,
    );
}

/// Its patience may end at any time: it waits all the same.
#[test]
fn a_hasty_master_that_has_to_hear_all_comes_back_empty() {
    explore_first(
        200_000,
        Bounds {
            rebirths: 1,
            late: true,
            start: Start::Hasty,
            requires: Requires::All,
            batches: true,
            epochs: 3,
            sometimes: vec![
                ("recovered", seen::has_recovered),
                ("goes on after a recovery", seen::goes_on_after_recovery),
            ],
            ..small(1, &[(1, 2), (2, 2)])
        },
        201162,
    );
}

#[test]
fn a_master_of_two_secondaries_comes_back_empty() {
    explore_first(
        200_000,
        large::a_master_of_two_secondaries_comes_back_empty(),
        203170,
    );
}

#[test]
fn a_master_comes_back_from_its_disk() {
    explore(
        Bounds {
            rebirths: 1,
            master_losses: vec![Loss::Nothing],
            slow_master: true,
            slow_secondaries: true,
            start: Start::Patient,
            batches: true,
            epochs: 3,
            sometimes: vec![
                ("recovered", seen::has_recovered),
                ("goes on after a recovery", seen::goes_on_after_recovery),
            ],
            ..small(1, &[(1, 2), (2, 2)])
        },
        64392,
    );
}

#[test]
fn a_master_comes_back_with_what_was_synced() {
    explore(
        Bounds {
            rebirths: 1,
            late: true,
            master_losses: vec![Loss::Unsynced],
            start: Start::Patient,
            batches: true,
            epochs: 3,
            sometimes: vec![
                ("recovered", seen::has_recovered),
                ("goes on after a recovery", seen::goes_on_after_recovery),
            ],
            ..small(1, &[(1, 2), (2, 2)])
        },
        31938,
    );
}

#[test]
fn a_master_comes_back_with_an_older_disk() {
    explore(
        Bounds {
            rebirths: 1,
            late: true,
            master_losses: vec![Loss::SinceBackup],
            backups: 1,
            start: Start::Patient,
            batches: true,
            epochs: 3,
            sometimes: vec![
                ("recovered", seen::has_recovered),
                ("goes on after a recovery", seen::goes_on_after_recovery),
            ],
            ..small(1, &[(1, 2), (2, 2)])
        },
        1277,
    );
}

#[test]
fn a_copy_starts_while_the_master_recovers() {
    explore_first(
        200_000,
        large::a_copy_starts_while_the_master_recovers(),
        200917,
    );
}

#[test]
fn the_log_is_cleared_and_the_master_comes_back() {
    explore(
        Bounds {
            clears: 1,
            rebirths: 1,
            late: true,
            master_losses: vec![Loss::Nothing],
            start: Start::Patient,
            batches: true,
            epochs: 4,
            ..small(1, &[(1, 2), (2, 2)])
        },
        671,
    );
}

#[test]
fn a_secondary_is_emptied() {
    explore(
        Bounds {
            renewals: 1,
            rounds: 1,
            batches: true,
            ..small(1, &[(1, 2)])
        },
        8509,
    );
}

/// The second one finds the first, or was promised before it did; then the first is superseded.
#[test]
fn a_second_master_starts_where_nothing_was_appended() {
    explore(
        Bounds {
            seconds: 1,
            punctual: true,
            batches: true,
            sometimes: vec![
                ("the first stays", seen::the_first_stays),
                ("two masters", seen::are_two),
            ],
            ..small(1, &[])
        },
        60439,
    );
}

#[test]
fn a_second_master_starts_while_the_first_serves() {
    explore(
        Bounds {
            seconds: 1,
            punctual: true,
            late: true,
            start: Start::Patient,
            batches: true,
            sometimes: vec![
                ("the first stays", seen::the_first_stays),
                ("the second stays", seen::the_second_stays),
                ("two masters", seen::are_two),
            ],
            ..small(1, &[(1, 2)])
        },
        8510,
    );
}

#[test]
fn a_second_master_takes_over() {
    explore(
        Bounds {
            seconds: 1,
            punctual: true,
            late: true,
            takeover: true,
            start: Start::Patient,
            batches: true,
            sometimes: vec![
                ("recovered", seen::has_recovered),
                ("the second stays", seen::the_second_stays),
                ("two masters", seen::are_two),
                ("goes on after a recovery", seen::goes_on_after_recovery),
            ],
            ..small(1, &[(1, 2), (2, 2)])
        },
        322925,
    );
}

/// What they say to each other may be lost: then two may serve, each its own history. Never do both end.
#[test]
fn two_masters_start_at_once() {
    explore(
        Bounds {
            together: true,
            start: Start::Patient,
            batches: true,
            sometimes: vec![("found out", seen::was_found_out)],
            ..small(1, &[])
        },
        8642,
    );
}

#[test]
fn two_masters_start_at_once_and_hear_each_other() {
    explore(
        Bounds {
            together: true,
            prompt: true,
            batches: true,
            sometimes: vec![("found out", seen::was_found_out)],
            ..small(1, &[(1, 2)])
        },
        143,
    );
}

#[test]
fn a_copy_starts_just_while_the_master_recovers() {
    explore(
        Bounds {
            copies: 1,
            meanwhile: true,
            rebirths: 1,
            punctual: true,
            late: true,
            start: Start::Patient,
            batches: true,
            sometimes: vec![
                ("recovered", seen::has_recovered),
                ("two of a name meanwhile", seen::are_two_of_a_name_meanwhile),
            ],
            ..small(1, &[(1, 2)])
        },
        9497,
    );
}

#[test]
fn an_older_copy_is_put_back_just_while_the_master_recovers() {
    explore(
        Bounds {
            restarts: 1,
            losses: vec![Loss::SinceBackup],
            backups: 1,
            meanwhile: true,
            rebirths: 1,
            punctual: true,
            late: true,
            start: Start::Patient,
            batches: true,
            sometimes: vec![
                ("recovered", seen::has_recovered),
                ("came back meanwhile", seen::came_back_meanwhile),
            ],
            ..small(1, &[(1, 2)])
        },
        669831,
    );
}

#[test]
fn the_log_is_cleared_and_the_master_comes_back_empty() {
    explore_first(
        100_000,
        large::the_log_is_cleared_and_the_master_comes_back_empty(),
        100713,
    );
}
