//! The write concern against the ground truth.
//!
//! When a client is told that `w` nodes hold its entry, then the master holds it, and at least `w - 1` distinct secondaries
//! do: the very entry, at its very place, in the history it was placed in, in the newest life of the secondary's storage that
//! the master has heard of. That life may have ended since; nothing more can be true, for a secondary in memory may crash
//! after its ACK. A life that the master could know to be over does not count.

use replog_common::protocol::outcome::{Outcome, Placement};

use super::bounds::{Bounds, Start};
use super::state::{State, Told};

/// Compares what a client is told with what the nodes really hold at that moment.
pub(super) fn judge(
    bounds: &Bounds,
    state: &mut State,
    m: usize,
    placement: &Placement,
    outcome: Outcome,
) {
    let holders = holders(state, m, placement);
    let (told, needed) = match outcome {
        Outcome::Replicated { acks } => (acks, placement.w),
        Outcome::TimedOut { acks } | Outcome::Stopping { acks } | Outcome::Fenced { acks } => {
            (acks, 0)
        }
        Outcome::Cleared | Outcome::NotStored(_) => return,
    };
    if holders < needed {
        state.lie = Some("replicated, but fewer nodes than w hold the entry");
    } else if holders < told {
        state.lie = Some("more acks told than nodes hold the entry");
    }
    // Without recovery nobody can rely on it.
    if told > 1 && needed > 0 && bounds.start != Start::Anew {
        remember(state, m, placement);
    }
}

/// How many nodes really hold the very entry: the master, and each secondary's newest known life of storage that does.
fn holders(state: &State, m: usize, placement: &Placement) -> u32 {
    let index = placement.seq.prev().0 as usize;
    let master = &state.masters[m];
    let Some(entry) = master.log.get(index) else {
        return 0;
    };
    if (master.history(), entry.message_id, entry.epoch)
        != (placement.log_id, placement.message_id, placement.epoch)
    {
        return 0;
    }
    let holds = |n: &usize| {
        let node = &state.nodes[*n];
        node.held(master.heard[*n], placement.log_id, &master.log) > index
    };
    1 + u32::try_from((0..state.nodes.len()).filter(holds).count()).expect("few nodes")
}

/// A client relies on it from now on.
fn remember(state: &mut State, m: usize, placement: &Placement) {
    let index = placement.seq.prev().0 as usize;
    let Some(entry) = state.masters[m].log.get(index).cloned() else {
        return;
    };
    let nodes = state.nodes.iter().enumerate();
    let holders = nodes.filter(|(_, node)| {
        let same = node.follower.log_id() == Some(placement.log_id);
        same && node.stored.get(index) == Some(&entry)
    });
    let holders = holders.map(|(n, _)| n);
    state.told.insert(Told {
        history: placement.log_id,
        holders: holders.collect(),
        entry,
    });
}
