//! The model check: every order in which things can happen to a small cluster of the real nodes.
//!
//! The number of states is asserted: a run that was cut short, or a change of the protocol, shows.

pub(crate) mod bounds;
mod explored;
mod frames;
mod heal;
pub(crate) mod large;
mod network;
pub(crate) mod sometimes;
mod state;
mod step;

use std::num::NonZeroUsize;
use std::time::Instant;

use stateright::{Checker, Expectation, HasDiscoveries, Model, Property};

use bounds::{Bounds, Seen};
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
        if state.cluster.violation.is_none() && !self.explored.is_overtaken(state) {
            possible(self, state, steps);
        }
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut state = last.clone();
        take(self, &mut state, step);
        if self.explored.is_known(&state) {
            return None;
        }
        state.close(self, Some(last));
        self.explored.add(&state);
        Some(state)
    }

    /// Masters that overtake each other for ever are cut off after some epochs, and late words of storages that have ended,
    /// each of which makes the master ask once more, after some numbers.
    fn within_boundary(&self, state: &State) -> bool {
        let leaders = state.cluster.leaders().map(|(_, l)| l.leadership().epoch.n);
        let followers = state.cluster.secondaries.iter();
        let followers = followers.map(|s| s.journal.stored().hard_state.epoch.n);
        let rounds = state.cluster.masters.iter().map(|m| m.highest_round);
        leaders.chain(followers).all(|epoch| epoch <= self.epochs)
            && rounds
                .max()
                .is_none_or(|round| round <= self.highest_round())
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut all = vec![
            Property::always("obeys every rule", |_, s: &State| {
                s.cluster.violation.is_none()
            }),
            Property::always("recovers, and is quiet", heal::recovers),
        ];
        if self.together {
            all.push(Property::always("one of them stays", |_, s: &State| {
                s.cluster.leaders().next().is_some()
            }));
        }
        all.extend(self.expected());
        all
    }
}

impl Bounds {
    /// What has to happen in some state, or nothing is shown.
    fn expected(&self) -> impl Iterator<Item = Property<Self>> {
        let asks = !self.clients.is_empty();
        let sends = asks && self.nodes > 0;
        let late_words = self.restarts > 0 && !self.punctual;
        let entries = self.clients.len() > 1;
        let retries = entries && self.clients[0].message == self.clients[1].message;
        let overtake = sends && entries && !retries && !self.batches && !self.late;
        let derived: [(bool, Seen); 8] = [
            (asks, ("held by all", seen::is_held_everywhere)),
            (sends, ("a duplicate arrives", seen::has_duplicate)),
            (overtake, ("held back", seen::holds_back)),
            (retries, ("a retry joins", seen::joins_its_duplicate)),
            (self.restarts > 0, ("refilled", seen::is_refilled)),
            (late_words, ("late words", seen::has_late_words)),
            (
                self.clears > 0 && !self.late,
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

/// Explores everything within the bounds, and says how much that was.
///
/// # Panics
/// Something is broken, or never happens, or the number of states is another one.
pub(crate) fn explore(bounds: Bounds, expected_states: usize) {
    let states = explore_all(bounds);
    assert_eq!(states, expected_states, "the number of states has changed");
}

/// The same, whatever the number of states is: which it returns.
///
/// # Panics
/// Something is broken, or never happens.
#[must_use]
pub(crate) fn explore_all(bounds: Bounds) -> usize {
    run(bounds, None)
}

/// Explores a world that is too large until about so many steps were taken: which ones is the same each time.
///
/// # Panics
/// As [`explore`].
pub(crate) fn explore_first(steps: usize, bounds: Bounds, expected_states: usize) {
    let states = run(bounds, NonZeroUsize::new(steps));
    assert_eq!(states, expected_states, "the number of states has changed");
}

fn run(bounds: Bounds, most: Option<NonZeroUsize>) -> usize {
    let begun = Instant::now();
    let checker = bounds
        .clone()
        .checker()
        .finish_when(HasDiscoveries::AnyFailures);
    match most {
        // The first states in depth are far from the beginning and much alike; in breadth, whatever few steps lead to.
        Some(most) => {
            let checker = checker.target_state_count(most.get()).spawn_bfs().join();
            finish(&bounds, begun, &checker)
        }
        None => {
            let checker = checker.spawn_dfs().join();
            let states = finish(&bounds, begun, &checker);
            assert!(checker.is_done(), "cut short");
            states
        }
    }
}

fn finish<C: Checker<Bounds>>(bounds: &Bounds, begun: Instant, checker: &C) -> usize {
    let states = checker.unique_state_count();
    let clusters = bounds.explored.clusters();
    let time = begun.elapsed();
    println!("{states} states of {clusters} clusters in {time:.1?}");
    report(bounds, checker);
    states
}

/// What is broken or never happens, and how it comes to that.
fn report<C: Checker<Bounds>>(bounds: &Bounds, checker: &C) {
    bounds.explored.replay();
    let discoveries = checker.discoveries();
    for property in bounds.properties() {
        let path = discoveries.get(property.name);
        match (property.expectation, path) {
            (Expectation::Sometimes, None) => panic!("{:?} never happens", property.name),
            (Expectation::Always | Expectation::Eventually, Some(path)) => {
                let name = property.name;
                let mut before = None;
                for (state, step) in path.clone().into_vec() {
                    if let Some(Step::Deliver(key, place)) = step {
                        println!("{place:?} is reached by {:?}", bounds.frame(key).message);
                    } else if let Some(step) = step {
                        println!("{step:?}");
                    }
                    before = Some(state);
                }
                let last = before.expect("a path has a state");
                if let Some(violation) = &last.cluster.violation {
                    panic!("{name:?} is broken: {violation}");
                }
                let mut cluster = last.cluster.clone();
                let why = heal::heal(bounds, &mut cluster);
                panic!("{name:?} is broken: {why:?}\nin the end {cluster:#?}");
            }
            _ => {}
        }
    }
}
