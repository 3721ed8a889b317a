//! The model check: every order in which things can happen to a small cluster of the real machines.
//!
//! The number of states is asserted: a run that was cut short, or a change of the protocol, shows.

mod bounds;
mod exchange;
mod heal;
mod larger;
mod lives;
mod nodes;
mod properties;
mod sometimes;
mod state;
mod step;
mod truth;
mod walks;

use std::time::Instant;

use stateright::{Checker, Model, Property};

use bounds::{Bounds, Seen, Start, small};
use properties as p;
use sometimes as seen;
use state::State;
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

    /// Masters that overtake each other for ever are cut off after some epochs.
    fn within_boundary(&self, state: &State) -> bool {
        let leaders = state.masters.iter().map(|m| m.leader.life().epoch);
        let mut all = leaders.chain(state.nodes.iter().map(|n| n.follower.epoch()));
        all.all(|epoch| epoch.0 <= self.epochs)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut all = vec![
            Property::always("prefix", |_, s| p::holds_a_prefix(s)),
            Property::always("never overestimated", |_, s| p::is_never_overestimated(s)),
            Property::always("no lie", |_, s: &State| s.lie.is_none()),
            Property::always("once, in order", |_, s| p::is_once_in_order(s)),
            Property::always("answered at once", |_, s| p::answers_at_once(s)),
            Property::always("one master an epoch", |_, s| {
                p::acknowledges_one_master_an_epoch(s)
            }),
            Property::always("deletes nothing", |_, s| p::deletes_nothing(s)),
            Property::always("never goes back", |_, s| p::never_goes_back(s)),
            Property::always("recovers", heal::recovers),
        ];
        if self.start != Start::Hasty {
            let kept = |_: &Self, s: &State| p::keeps_what_was_told(s);
            all.push(Property::always("keeps what was told", kept));
        }
        all.extend(self.expected());
        all
    }
}

impl Bounds {
    /// What has to happen in some state, or nothing is shown.
    fn expected(&self) -> impl Iterator<Item = Property<Self>> {
        let entries = self.clients.len() > 1;
        let retries = entries && self.clients[0].message == self.clients[1].message;
        let overtake = entries && !retries && !self.batches && !self.late;
        let anew = self.rebirths > 0 && self.start == Start::Anew;
        let derived: [(bool, Seen); 10] = [
            (true, ("held by all", seen::is_held_everywhere)),
            (true, ("a duplicate arrives", seen::has_duplicate)),
            (overtake, ("held back", seen::holds_back)),
            (retries, ("a retry joins", seen::joins_its_duplicate)),
            (self.crashes > 0, ("refilled", seen::is_refilled)),
            (self.crashes > 0, ("last words", seen::has_dead_words)),
            (anew, ("diverged", seen::has_diverged)),
            (
                anew && entries,
                ("served after a rebirth", seen::serves_after_rebirth),
            ),
            (
                self.clears > 0,
                ("cleared", seen::was_cleared_while_waiting),
            ),
            (
                self.outages > 0,
                ("served after an outage", seen::serves_after_outage),
            ),
        ];
        let derived = derived
            .into_iter()
            .filter_map(|(is_due, seen)| is_due.then_some(seen));
        let after_clear = ("followed after a clear", seen::follows_after_clear as _);
        let after_clear = (self.clears > 0 && entries).then_some(after_clear);
        let all = derived.chain(after_clear).chain(self.sometimes.clone());
        all.map(|(name, is_so)| Property::sometimes(name, is_so))
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
        4981,
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
