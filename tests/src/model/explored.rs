//! What was explored: a state need not be looked at when the same cluster was, with more under way.
//!
//! Whatever is under way may arrive or never arrive, so more of it makes nothing impossible: all that can follow from the
//! state with less follows from the other one as well.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use replog_tests::cluster::Place;

use super::state::{Frame, State};

/// Where a step was taken, by which node, and with which message.
type StepKey = (Place, u64, Option<u64>);

/// What is known by now. One exploration has it to itself, and goes on in one thread, so that it is the same each time.
#[derive(Debug, Default)]
pub(super) struct Explored {
    /// For each cluster what was under way, none of it a part of another.
    networks: Mutex<HashMap<u64, Vec<Vec<u64>>>>,
    /// Clusters that are known to become well: what is under way, which is lost, makes no difference.
    healed: Mutex<HashSet<u64>>,
    /// What messages, and time, do to which node.
    effects: Mutex<HashMap<StepKey, Effect>>,
    /// The way to a state is shown once more: nothing is left out.
    is_replayed: AtomicBool,
}

/// What a message, or time, does to a node.
#[derive(Clone, Debug)]
pub(super) enum Effect {
    /// It changes nothing, and these messages are sent.
    Sends(Arc<[(u64, Arc<Frame>)]>),
    /// It changes the node, or what clients are told.
    Changes,
}

impl Explored {
    /// What a message, or time, does to that node, if that is known.
    pub(super) fn effect_on(&self, place: Place, node: u64, frame: Option<u64>) -> Option<Effect> {
        let effects = self.effects.lock().expect("nobody panics with it");
        effects.get(&(place, node, frame)).cloned()
    }

    /// That is what it does.
    pub(super) fn learn(&self, place: Place, node: u64, frame: Option<u64>, effect: Effect) {
        let mut effects = self.effects.lock().expect("nobody panics with it");
        effects.insert((place, node, frame), effect);
    }

    /// Whether the same cluster was reached with at least so much under way.
    pub(super) fn is_known(&self, state: &State) -> bool {
        self.has(state, |state, known| state.network.len() <= known.len())
    }

    /// Whether it was reached with more under way.
    pub(super) fn is_overtaken(&self, state: &State) -> bool {
        self.has(state, |state, known| state.network.len() < known.len())
    }

    fn has(&self, state: &State, is_right: fn(&State, &[u64]) -> bool) -> bool {
        let networks = self.networks.lock().expect("nobody panics with it");
        let mut known = networks.get(&state.core).into_iter().flatten();
        let is_replayed = self.is_replayed.load(Ordering::Relaxed);
        !is_replayed && known.any(|known| is_right(state, known) && is_part(state, known))
    }

    /// A state was reached.
    pub(super) fn add(&self, state: &State) {
        let mut networks = self.networks.lock().expect("nobody panics with it");
        let known = networks.entry(state.core).or_default();
        known.retain(|less| !less.iter().all(|key| state.network.contains_key(key)));
        known.push(state.network.keys().copied().collect());
    }

    /// From now on the way to a state is shown.
    pub(super) fn replay(&self) {
        self.is_replayed.store(true, Ordering::Relaxed);
    }

    /// Whether one of these clusters is known to become well.
    pub(super) fn is_healed(&self, clusters: &[u64]) -> bool {
        let healed = self.healed.lock().expect("nobody panics with it");
        clusters.iter().any(|cluster| healed.contains(cluster))
    }

    /// All of these clusters were seen to become well.
    pub(super) fn has_healed(&self, clusters: Vec<u64>) {
        let mut healed = self.healed.lock().expect("nobody panics with it");
        healed.extend(clusters);
    }

    /// How many different clusters there were.
    pub(super) fn clusters(&self) -> usize {
        self.networks.lock().expect("nobody panics with it").len()
    }
}

/// Whether all that is under way in `state` is among `known`, which is in the same order.
fn is_part(state: &State, known: &[u64]) -> bool {
    let mut known = known.iter();
    state
        .network
        .keys()
        .all(|key| known.any(|other| other == key))
}
