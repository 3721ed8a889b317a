//! What happens sometimes, so that what is always true is true of something.

use std::sync::Arc;

use replog_common::protocol::health::Status;
use replog_common::protocol::outcome::{Outcome, ReadOnly};
use replog_common::types::Seq;

use super::bounds::Bounds;
use super::nodes::{Master, Node};
use super::state::{Fate, Frame, NOW, State, node_id};

pub(super) fn is_held_everywhere(bounds: &Bounds, state: &State) -> bool {
    let all = u32::from(bounds.nodes) + 1;
    let by_all =
        |f: &Fate| matches!(f, Fate::Answered(p, Outcome::Replicated { .. }) if p.w == all);
    state.fates.iter().any(by_all)
}

/// An entry is under way to who has stored it, and what is under way can always arrive.
pub(super) fn has_duplicate(_: &Bounds, state: &State) -> bool {
    let is_stored = |frame: &Arc<Frame>| match &**frame {
        Frame::Append(n, append) => append
            .entries
            .iter()
            .any(|e| state.nodes[*n].stored.contains(e)),
        _ => false,
    };
    state.network.iter().any(is_stored)
}

pub(super) fn holds_back(_: &Bounds, state: &State) -> bool {
    state.nodes.iter().any(|n| n.follower.held_back() > 0)
}

pub(super) fn has_diverged(_: &Bounds, state: &State) -> bool {
    let is_diverged = |m: &Master, n| m.leader.status(&node_id(n), NOW) == Status::Diverged;
    state
        .living()
        .any(|(_, m)| (0..state.nodes.len()).any(|n| is_diverged(m, n)))
}

pub(super) fn is_refilled(_: &Bounds, state: &State) -> bool {
    let lost_something = |n: &Node| n.buried.iter().any(|b| !b.stored.is_empty());
    let whole = |n: &&Node| !n.stored.is_empty() && state.living().any(|(_, m)| m.log == n.stored);
    state.nodes.iter().filter(whole).any(lost_something)
}

/// The words of a life that has ended are still under way when the next one is known.
pub(super) fn has_dead_words(_: &Bounds, state: &State) -> bool {
    let is_dead = |frame: &Arc<Frame>| match &**frame {
        Frame::Ack(ack) => {
            let n = (0..state.nodes.len()).find(|n| node_id(*n) == ack.node);
            let mut known = state.living().filter_map(|(_, m)| m.heard[n?]);
            ack.upto > Seq::ZERO && known.any(|life| ack.incarnation < life)
        }
        _ => false,
    };
    state.network.iter().any(is_dead)
}

pub(super) fn follows_after_clear(_: &Bounds, state: &State) -> bool {
    let current = |id| state.living().any(|(_, m)| Some(m.history()) == id);
    let follows = |n: &Node| current(n.follower.log_id()) && !n.stored.is_empty();
    state.clears > 0 && state.nodes.iter().any(follows)
}

pub(super) fn was_cleared_while_waiting(_: &Bounds, state: &State) -> bool {
    state
        .fates
        .iter()
        .any(|f| matches!(f, Fate::Answered(_, Outcome::Cleared)))
}

pub(super) fn joins_its_duplicate(_: &Bounds, state: &State) -> bool {
    let joined =
        |f: &Fate| matches!(f, Fate::Answered(p, Outcome::Replicated { .. }) if p.duplicate);
    state.fates.iter().any(joined)
}

/// A rebirth happened while somebody waited, and the next master serves.
pub(super) fn serves_after_rebirth(_: &Bounds, state: &State) -> bool {
    let lost = state.fates.contains(&Fate::Lost);
    lost && state.births > 0 && matches!(state.fates.last(), Some(Fate::Answered(..)))
}

pub(super) fn serves_after_outage(_: &Bounds, state: &State) -> bool {
    let linked = state.living().all(|(_, m)| m.linked);
    state.outages > 0 && linked && state.fates.iter().all(|f| matches!(f, Fate::Answered(..)))
}

/// A master serves what it got from the secondaries, and a client was told of it.
pub(super) fn has_recovered(_: &Bounds, state: &State) -> bool {
    let has_it = |m: &Master| state.told.iter().any(|t| m.log.contains(&t.entry));
    let mut later = state.living().filter(|(m, _)| *m > 0);
    later.any(|(_, m)| m.serves() && has_it(m))
}

/// A client was told of an entry that a later master has placed.
pub(super) fn goes_on_after_recovery(_: &Bounds, state: &State) -> bool {
    state.told.iter().any(|t| t.entry.epoch.0 > 1)
}

pub(super) fn is_fenced(_: &Bounds, state: &State) -> bool {
    let fenced = |m: &Master| m.leader.read_only(NOW) == Some(ReadOnly::Fenced);
    state.living().any(|(_, m)| fenced(m))
}

/// A second master has found the first one.
pub(super) fn was_beaten(_: &Bounds, state: &State) -> bool {
    state.beaten
}

/// Two masters take appends for one history.
pub(super) fn are_two(_: &Bounds, state: &State) -> bool {
    let serving = || state.living().filter(|(_, m)| m.serves());
    serving().any(|(a, m)| serving().any(|(b, n)| a < b && m.history() == n.history()))
}

/// A master whose own history was empty has taken over the one of a secondary that came late.
pub(super) fn has_adopted(_: &Bounds, state: &State) -> bool {
    let adopts = |m: &Master| m.leader.is_recovering() && m.leader.life().epoch.0 > 1;
    state.living().any(|(_, m)| adopts(m))
}
