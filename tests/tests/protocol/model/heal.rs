//! Whatever has happened, it becomes well again.

use std::sync::Arc;

use super::bounds::{Bounds, Start};
use super::properties::is_foreign;
use super::state::{Fate, State, node_id};
use super::step::{Step, die, receivers, start, take};

/// With the link up and no more faults, even if all that is under way is lost, every secondary that holds no other history
/// gets the whole log, the master knows it, and whoever waits for no more nodes than those is answered, within few rounds of
/// the timers and without a storm of messages. Masters that were overtaken, all of them, are started again.
pub(super) fn recovers(bounds: &Bounds, state: &State) -> bool {
    let mut state = state.clone();
    state.network.clear();
    if !state
        .living()
        .any(|(_, m)| m.serves() || m.leader.is_recovering())
    {
        (0..state.masters.len()).for_each(|m| die(bounds, &mut state, m));
        start(bounds, &mut state);
    }
    for _round in 0..6 {
        if !run_round(bounds, &mut state) {
            return false;
        }
    }
    let serving: Vec<usize> = state
        .living()
        .filter(|(_, m)| m.serves())
        .map(|(m, _)| m)
        .collect();
    let is_well =
        !serving.is_empty() && serving.iter().all(|m| is_well(&state, *m)) && state.lie.is_none();
    if !is_well {
        println!("in the end: {:?} {:?}", state.nodes, state.masters);
    }
    is_well
}

/// Every deadline comes once, and everything that is sent arrives; unless there is no end to it.
fn run_round(bounds: &Bounds, state: &mut State) -> bool {
    if !bounds.listed || bounds.start != Start::Anew {
        // Who is not listed introduces itself until it is heard; who is asked by a master that recovers answers.
        (0..state.nodes.len()).for_each(|n| state.say(n));
    }
    for m in 0..state.masters.len() {
        if state.masters[m].lives {
            if state.masters[m].leader.is_recovering() {
                take(bounds, state, &Step::LinkDown(m)); // ask again
            }
            if !state.masters[m].linked {
                take(bounds, state, &Step::LinkUp(m));
            }
            take(bounds, state, &Step::Store(m));
            take(bounds, state, &Step::Tick(m));
        }
    }
    let mut delivered = 0;
    while let Some(frame) = state.network.pop_first() {
        let to: Vec<usize> = receivers(state, &frame).collect();
        for to in to {
            take(bounds, state, &Step::Deliver(Arc::clone(&frame), to));
            delivered += 1;
        }
        if delivered > 100 {
            return false;
        }
    }
    true
}

fn is_well(state: &State, m: usize) -> bool {
    let master = &state.masters[m];
    let alike: Vec<bool> = (0..state.nodes.len())
        .map(|n| !is_foreign(state, m, n))
        .collect();
    let pairs = || state.nodes.iter().zip(&alike);
    let whole = pairs().all(|(n, alike)| !alike || n.stored == master.log);
    let known = alike.iter().enumerate().all(|(n, alike)| {
        let replicator = master.leader.members().get(&node_id(n));
        let matched = replicator.map(|r| r.matched().0 as usize);
        matched == Some(if *alike { master.log.len() } else { 0 })
    });
    let reachable = 1 + alike.iter().filter(|alike| **alike).count();
    let stuck =
        |f: &Fate| matches!(f, Fate::Waiting(of, p) if *of == m && p.w as usize <= reachable);
    whole && known && !state.fates.iter().any(stuck)
}
