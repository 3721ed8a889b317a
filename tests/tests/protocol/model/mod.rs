//! The model check: every order in which things can happen to a small cluster of the real machines.
//!
//! The number of states is asserted: a run that was cut short, or a change of the protocol, shows.

mod larger;
mod properties;
mod state;
mod step;
mod truth;

use std::time::Instant;

use stateright::{Checker, Model, Property};

use properties as p;
use state::{Bounds, State, small};
use step::{Step, possible, take};

impl Model for Bounds {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self)]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        possible(self, state, steps);
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut state = last.clone();
        take(self, &mut state, &step);
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut all = vec![
            Property::always("prefix", |_, s| p::holds_a_prefix(s)),
            Property::always("never overestimated", |_, s| p::is_never_overestimated(s)),
            Property::always("no lie", |_, s: &State| s.lie.is_none()),
            Property::always("once, in order", |_, s| p::is_once_in_order(s)),
            Property::always("answered at once", |_, s| p::answers_at_once(s)),
            Property::always("recovers", p::recovers),
            Property::sometimes("held by all", p::is_held_everywhere),
            Property::sometimes("a duplicate arrives", |_, s| p::has_duplicate(s)),
        ];
        let mut when = |possible: bool, property| all.extend(possible.then_some(property));
        let entries = self.clients.len() > 1;
        let retries = entries && self.clients[0].message == self.clients[1].message;
        when(
            entries && !retries && !self.batches,
            Property::sometimes("held back", |_, s| p::holds_back(s)),
        );
        when(
            retries,
            Property::sometimes("a retry joins", |_, s| p::joins_its_duplicate(s)),
        );
        when(
            self.crashes > 0,
            Property::sometimes("refilled", |_, s| p::is_refilled(s)),
        );
        when(
            self.crashes > 0,
            Property::sometimes("last words", |_, s| p::has_dead_words(s)),
        );
        when(
            self.rebirths > 0,
            Property::sometimes("diverged", |_, s| p::has_diverged(s)),
        );
        when(
            self.rebirths > 0 && entries,
            Property::sometimes("served after a rebirth", |_, s| p::serves_after_rebirth(s)),
        );
        when(
            self.clears > 0,
            Property::sometimes("cleared", |_, s| p::was_cleared_while_waiting(s)),
        );
        when(
            self.clears > 0 && entries,
            Property::sometimes("followed after a clear", |_, s| p::follows_after_clear(s)),
        );
        when(
            self.outages > 0,
            Property::sometimes("served after an outage", |_, s| p::serves_after_outage(s)),
        );
        all
    }
}

/// Explores everything within the bounds.
fn explore(bounds: Bounds, expected_states: usize) {
    let begun = Instant::now();
    let checker = bounds.clone().checker().threads(2).spawn_bfs().join();
    let states = checker.unique_state_count();
    println!("{states} states in {:.1?}: {bounds:?}", begun.elapsed());
    checker.assert_properties();
    assert!(checker.is_done(), "cut short");
    assert_eq!(states, expected_states, "the number of states has changed");
}

#[test]
fn one_secondary_entries_overtake_and_the_link_breaks() {
    explore(
        Bounds {
            outages: 1,
            ..small(1, &[(1, 2), (2, 1)])
        },
        5700,
    );
}

#[test]
fn one_secondary_and_a_retry() {
    explore(
        Bounds {
            outages: 1,
            ..small(1, &[(1, 1), (1, 2), (2, 2)])
        },
        7204,
    );
}

#[test]
fn one_secondary_crashes() {
    explore(
        Bounds {
            crashes: 1,
            ..small(1, &[(1, 2), (2, 2)])
        },
        49578,
    );
}

#[test]
fn one_secondary_crashes_twice_and_is_said_to_be_gone() {
    explore(
        Bounds {
            crashes: 2,
            no_responders: true,
            ..small(1, &[(1, 2)])
        },
        5751,
    );
}

#[test]
fn one_secondary_and_a_log_that_is_cleared() {
    explore(
        Bounds {
            clears: 1,
            slow_store: true,
            ..small(1, &[(1, 2), (2, 2)])
        },
        8540,
    );
}

#[test]
fn one_secondary_and_a_master_that_forgets() {
    explore(
        Bounds {
            rebirths: 1,
            ..small(1, &[(1, 2), (2, 2)])
        },
        24874,
    );
}

#[test]
fn one_secondary_crashes_and_the_log_is_cleared() {
    explore(
        Bounds {
            crashes: 1,
            clears: 1,
            ..small(1, &[(1, 2)])
        },
        4573,
    );
}

#[test]
fn one_secondary_crashes_and_the_master_forgets() {
    explore(
        Bounds {
            crashes: 1,
            rebirths: 1,
            ..small(1, &[(1, 2)])
        },
        11014,
    );
}

#[test]
fn two_secondaries() {
    explore(small(2, &[(1, 3)]), 5149);
}

#[test]
fn two_secondaries_that_join_and_a_retry() {
    explore(
        Bounds {
            listed: false,
            ..small(2, &[(1, 1), (1, 3)])
        },
        17018,
    );
}
