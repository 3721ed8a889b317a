//! What was explored: a state need not be looked at when the same cluster was, with more under way.
//!
//! Whatever is under way may arrive or never arrive, so more of it makes nothing impossible: all that can follow from the
//! state with less follows from the other one as well.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasherDefault;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use super::frames::Frames;
use super::network::Network;
use super::state::State;
use replog_model::cluster::{Fingerprinter, Place};

/// Where a step was taken, by which node, and with which message.
type StepKey = (Place, u64, Option<u32>);
type Hashed = BuildHasherDefault<Fingerprinter>;

/// What is known by now. One exploration has it to itself, and goes on in one thread, so that it is the same each time.
#[derive(Debug, Default)]
pub(crate) struct Explored {
    /// Every message that was sent.
    frames: Mutex<Frames>,
    /// For each cluster what was under way, none of it a part of another.
    networks: Mutex<HashMap<u64, Vec<Network>, Hashed>>,
    /// Clusters that are known to become well: what is under way, which is lost, makes no difference.
    healed: Mutex<HashSet<u64, Hashed>>,
    /// What messages, and time, do to which node.
    effects: Mutex<HashMap<StepKey, Effect, Hashed>>,
    /// The way to a state is shown once more: nothing is left out.
    is_replayed: AtomicBool,
}

/// What a message, or time, does to a node.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    /// It changes nothing, and these messages are sent.
    Sends(Arc<[u32]>),
    /// It changes the node, or what clients are told.
    Changes,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics with it")
}

impl Explored {
    /// Every message that was sent.
    pub(crate) fn frames(&self) -> MutexGuard<'_, Frames> {
        locked(&self.frames)
    }

    /// What a message, or time, does to that node, if that is known.
    pub(crate) fn effect_on(&self, place: Place, node: u64, frame: Option<u32>) -> Option<Effect> {
        locked(&self.effects).get(&(place, node, frame)).cloned()
    }

    /// That is what it does.
    pub(crate) fn learn(&self, place: Place, node: u64, frame: Option<u32>, effect: Effect) {
        locked(&self.effects).insert((place, node, frame), effect);
    }

    /// Whether the same cluster was reached with at least so much under way.
    pub(crate) fn is_known(&self, state: &State) -> bool {
        self.has(state, |state, known| state.network.is_part_of(known))
    }

    /// Whether it was reached with more under way.
    pub(crate) fn is_overtaken(&self, state: &State) -> bool {
        self.has(state, |state, known| {
            state.network != *known && state.network.is_part_of(known)
        })
    }

    fn has(&self, state: &State, is_so: fn(&State, &Network) -> bool) -> bool {
        let networks = locked(&self.networks);
        let mut known = networks.get(&state.core).into_iter().flatten();
        !self.is_replayed.load(Ordering::Relaxed) && known.any(|known| is_so(state, known))
    }

    /// A state was reached.
    pub(crate) fn add(&self, state: &State) {
        let mut networks = locked(&self.networks);
        let known = networks.entry(state.core).or_default();
        known.retain(|less| !less.is_part_of(&state.network));
        known.push(state.network.clone());
    }

    /// From now on the way to a state is shown.
    pub(crate) fn replay(&self) {
        self.is_replayed.store(true, Ordering::Relaxed);
    }

    /// Whether one of these clusters is known to become well.
    pub(crate) fn is_healed(&self, clusters: &[u64]) -> bool {
        let healed = locked(&self.healed);
        clusters.iter().any(|cluster| healed.contains(cluster))
    }

    /// All of these clusters were seen to become well.
    pub(crate) fn has_healed(&self, clusters: Vec<u64>) {
        locked(&self.healed).extend(clusters);
    }

    /// How many different clusters there were.
    pub(crate) fn clusters(&self) -> usize {
        locked(&self.networks).len()
    }
}
