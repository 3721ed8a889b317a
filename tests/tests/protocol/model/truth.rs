//! The write concern against the ground truth.
//!
//! When a client is told that `w` nodes hold its entry, then the master holds it, and at least `w - 1` distinct secondaries
//! do: the very entry, at its very place, in the history it was placed in, in the newest life of the secondary's storage that
//! the master has heard of. That life may have ended since; nothing more can be true, for a secondary in memory may crash
//! after its ACK. A life that the master could know to be over does not count.

use replog_common::protocol::outcome::{Outcome, Placement};

use super::state::State;

/// Compares what a client is told with what the nodes really hold at that moment.
pub(super) fn judge(state: &mut State, placement: &Placement, outcome: Outcome) {
    let holders = holders(state, placement);
    let (told, needed) = match outcome {
        Outcome::Replicated { acks } => (acks, placement.w),
        Outcome::TimedOut { acks } | Outcome::Stopping { acks } | Outcome::Fenced { acks } => {
            (acks, 0)
        }
        Outcome::Cleared => return,
    };
    if holders < needed {
        state.lie = Some("replicated, but fewer nodes than w hold the entry");
    } else if holders < told {
        state.lie = Some("more acks told than nodes hold the entry");
    }
}

/// How many nodes really hold the very entry: the master, and each secondary's newest known life of storage that does.
fn holders(state: &State, placement: &Placement) -> u32 {
    let index = placement.seq.prev().0 as usize;
    let Some((history, log)) = state.histories.last() else {
        return 0;
    };
    let Some(entry) = log.get(index) else {
        return 0;
    };
    if (*history, entry.message_id, entry.epoch)
        != (placement.log_id, placement.message_id, placement.epoch)
    {
        return 0;
    }
    let mut count = 1;
    for node in &state.nodes {
        count += u32::from(node.held(*history).get(index) == Some(entry));
    }
    count
}
