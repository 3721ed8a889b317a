//! What is always true, and what happens sometimes so that it is true of something.

use std::collections::BTreeSet;
use std::sync::Arc;

use replog_common::entry::Entry;
use replog_common::protocol::health::Status;
use replog_common::protocol::outcome::Outcome;
use replog_common::types::{LogId, Seq};

use super::state::{Bounds, Fate, Frame, NOW, Node, State, node_id};
use super::step::{Step, take};

/// Each secondary holds a prefix of the history it says it holds: the same entries, in the same order, without a hole;
/// and the machine says neither more nor less than its storage holds.
pub(super) fn holds_a_prefix(state: &State) -> bool {
    state.nodes.iter().all(|node| {
        let whole = state
            .histories
            .iter()
            .find(|(id, _)| node.follower.log_id() == Some(*id));
        let whole: &[Entry] = whole.map_or(&[], |(_, log)| log);
        let is_prefix = whole.starts_with(&node.stored);
        is_prefix && node.follower.last().seq.0 == node.stored.len() as u64
    })
}

/// The master never believes that a secondary holds more than the newest life of its storage that the master has heard of
/// really holds of this very history, now or when that life ended.
pub(super) fn is_never_overestimated(state: &State) -> bool {
    let Some((history, log)) = state.histories.last() else {
        return false;
    };
    state.nodes.iter().enumerate().all(|(n, node)| {
        let Some(replicator) = state.leader.members().get(&node_id(n)) else {
            return true;
        };
        let believed = replicator.matched().0 as usize;
        let held = node.held(*history);
        believed <= held.len() && believed <= log.len() && log.starts_with(held)
    })
}

/// Each message is in a history once, at the place that its client was told, and places have no holes.
pub(super) fn is_once_in_order(state: &State) -> bool {
    let in_order = |log: &[Entry]| {
        let ids: BTreeSet<_> = log.iter().map(|e| e.message_id).collect();
        ids.len() == log.len() && (1..).zip(log).all(|(seq, e)| e.seq == Seq(seq))
    };
    let is_there = |history: LogId, seq: Seq, id| {
        let log = state
            .histories
            .iter()
            .find(|(log_id, _)| *log_id == history);
        log.and_then(|(_, log)| log.get(seq.prev().0 as usize))
            .is_some_and(|e| e.message_id == id)
    };
    state.histories.iter().all(|(_, log)| in_order(log))
        && state.fates.iter().all(|fate| match fate {
            Fate::Answered(p, Outcome::Replicated { .. }) => {
                is_there(p.log_id, p.seq, p.message_id)
            }
            _ => true,
        })
}

/// Nobody is left waiting for what the master knows to be there.
pub(super) fn answers_at_once(state: &State) -> bool {
    let commit = state.leader.commit();
    let is_met = |f: &Fate| matches!(f, Fate::Waiting(p) if p.seq <= commit.held_by(p.w));
    !state.fates.iter().any(is_met)
}

/// Whatever has happened: with the link up and no more faults, even if all that is under way is lost, every secondary
/// that holds no other history gets the whole log, the master knows it, and whoever waits for no more nodes than those is
/// answered, within few rounds of the timers and without a storm of messages.
pub(super) fn recovers(bounds: &Bounds, state: &State) -> bool {
    let mut state = state.clone();
    state.network.clear();
    if !state.linked {
        take(bounds, &mut state, &Step::LinkUp);
    }
    for _round in 0..6 {
        if !bounds.listed {
            // Who is not listed introduces itself until it is heard.
            (0..state.nodes.len()).for_each(|n| state.say(n));
        }
        take(bounds, &mut state, &Step::Store);
        take(bounds, &mut state, &Step::Tick);
        let mut delivered = 0;
        while let Some(frame) = state.network.pop_first() {
            take(bounds, &mut state, &Step::Deliver(frame));
            delivered += 1;
            if delivered > 100 {
                return false;
            }
        }
    }
    let alike: Vec<bool> = (0..state.nodes.len())
        .map(|n| !is_foreign(&state, n))
        .collect();
    let whole = state
        .nodes
        .iter()
        .zip(&alike)
        .all(|(n, alike)| !alike || n.stored == state.log());
    let known = (0..state.nodes.len()).zip(&alike).all(|(n, alike)| {
        let matched = state
            .leader
            .members()
            .get(&node_id(n))
            .map(|r| r.matched().0 as usize);
        matched == Some(if *alike { state.log().len() } else { 0 })
    });
    let reachable = 1 + alike.iter().filter(|alike| **alike).count();
    let answered = |f: &Fate| !matches!(f, Fate::Waiting(p) if p.w as usize <= reachable);
    whole && known && state.fates.iter().all(answered) && state.lie.is_none()
}

/// It holds entries of a history that the master's has not replaced.
pub(super) fn is_foreign(state: &State, n: usize) -> bool {
    let node = &state.nodes[n];
    let replaced = state.leader.frame(Seq::ZERO, ()).replaces;
    let is_ours = |id: LogId| id == state.leader.life().log_id || replaced.contains(&id);
    !node.stored.is_empty() && node.follower.log_id().is_some_and(|id| !is_ours(id))
}

pub(super) fn is_held_everywhere(bounds: &Bounds, state: &State) -> bool {
    let all = u32::from(bounds.nodes) + 1;
    let by_all =
        |f: &Fate| matches!(f, Fate::Answered(p, Outcome::Replicated { .. }) if p.w == all);
    state.fates.iter().any(by_all)
}

/// An entry is under way to who has stored it, and what is under way can always arrive.
pub(super) fn has_duplicate(state: &State) -> bool {
    let is_stored = |frame: &Arc<Frame>| match &**frame {
        Frame::Append(n, append) => append
            .entries
            .iter()
            .any(|e| state.nodes[*n].stored.contains(e)),
        Frame::Ack(_) => false,
    };
    state.network.iter().any(is_stored)
}

pub(super) fn holds_back(state: &State) -> bool {
    state.nodes.iter().any(|n| n.follower.held_back() > 0)
}

pub(super) fn has_diverged(state: &State) -> bool {
    (0..state.nodes.len()).any(|n| state.leader.status(&node_id(n), NOW) == Status::Diverged)
}

pub(super) fn is_refilled(state: &State) -> bool {
    let lost_something = |n: &Node| n.buried.iter().any(|b| !b.stored.is_empty());
    let whole = |n: &&Node| n.stored.len() == state.log().len() && !n.stored.is_empty();
    state.nodes.iter().filter(whole).any(lost_something)
}

/// The words of a life that has ended are still under way when the next one is known.
pub(super) fn has_dead_words(state: &State) -> bool {
    let is_dead = |frame: &Arc<Frame>| match &**frame {
        Frame::Ack(ack) => {
            let from = state.nodes.iter().find(|n| *n.follower.node() == ack.node);
            let known = from.and_then(|n| n.heard);
            ack.upto > Seq::ZERO && known.is_some_and(|life| ack.incarnation < life)
        }
        Frame::Append(..) => false,
    };
    state.network.iter().any(is_dead)
}

pub(super) fn follows_after_clear(state: &State) -> bool {
    let current = state.leader.life().log_id;
    let follows = |n: &Node| n.follower.log_id() == Some(current) && !n.stored.is_empty();
    state.clears > 0 && state.nodes.iter().any(follows)
}

pub(super) fn was_cleared_while_waiting(state: &State) -> bool {
    state
        .fates
        .iter()
        .any(|f| matches!(f, Fate::Answered(_, Outcome::Cleared)))
}

pub(super) fn joins_its_duplicate(state: &State) -> bool {
    let joined =
        |f: &Fate| matches!(f, Fate::Answered(p, Outcome::Replicated { .. }) if p.duplicate);
    state.fates.iter().any(joined)
}

/// A rebirth happened while somebody waited, and the next master serves.
pub(super) fn serves_after_rebirth(state: &State) -> bool {
    let lost = state.fates.contains(&Fate::Lost);
    lost && state.births > 0 && matches!(state.fates.last(), Some(Fate::Answered(..)))
}

pub(super) fn serves_after_outage(state: &State) -> bool {
    state.outages > 0 && state.linked && state.fates.iter().all(|f| matches!(f, Fate::Answered(..)))
}
