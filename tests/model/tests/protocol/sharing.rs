//! Small worlds of masters that share a journal, explored to the end: any of them may think at any time that nobody leads, a chunk
//! of one that has ended may come late, or never. Their numbers of states are asserted, as those of the other worlds.

use replog_model::cluster::journal::Loss;

use super::model::bounds::{Bounds, small};
use super::model::{explore, explore_first, sometimes as seen};

/// Two masters of one stream, the first of which serves.
fn shared(nodes: u8, clients: &[(u8, u32)]) -> Bounds {
    Bounds {
        standbys: 1,
        listed: false,
        epochs: 2,
        stale: 1,
        ..small(nodes, clients)
    }
}

#[test]
fn a_standby_takes_over_whenever_it_likes() {
    explore(
        Bounds {
            sometimes: vec![
                ("taken over", seen::is_taken_over),
                ("refused by the stream", seen::is_fenced_by_the_stream),
            ],
            ..shared(0, &[(1, 1), (2, 1)])
        },
        1878,
    );
}

#[test]
fn they_take_turns() {
    explore(
        Bounds {
            epochs: 4,
            sometimes: vec![("taken over", seen::is_taken_over)],
            ..shared(0, &[(1, 1), (2, 1)])
        },
        16053,
    );
}

#[test]
fn a_secondary_hears_both_of_them() {
    explore_first(
        100_000,
        Bounds {
            batches: true,
            sometimes: vec![("taken over", seen::is_taken_over)],
            ..shared(1, &[(1, 2)])
        },
        101570,
    );
}

#[test]
fn a_master_ends_and_its_last_chunk_comes_late() {
    explore(
        Bounds {
            rebirths: 1,
            master_losses: vec![Loss::Everything, Loss::Nothing],
            epochs: 3,
            sometimes: vec![("taken over", seen::is_taken_over)],
            ..shared(0, &[(1, 1)])
        },
        51886,
    );
}

#[test]
fn a_retry_at_the_other_master_is_one_entry() {
    explore(
        Bounds {
            rebirths: 1,
            master_losses: vec![Loss::Everything],
            epochs: 3,
            ..shared(0, &[(1, 1), (1, 1)])
        },
        232781,
    );
}

#[test]
fn the_log_is_cleared_while_another_one_takes_over() {
    explore(
        Bounds {
            clears: 1,
            epochs: 3,
            ..shared(0, &[(1, 1)])
        },
        6473,
    );
}
