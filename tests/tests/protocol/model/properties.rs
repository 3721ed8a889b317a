//! What is always true, and what happens sometimes so that it is true of something.

use std::collections::{BTreeMap, BTreeSet};

use replog_common::entry::Entry;
use replog_common::message::cleared;
use replog_common::protocol::outcome::Outcome;
use replog_common::types::{Epoch, LogId, Seq};

use super::nodes::Master;
use super::state::{Fate, Frame, State, node_id};

/// Each secondary holds a prefix of what some master has, or had, of the history it says it holds: the same entries, in the
/// same order, without a hole; and the machine says neither more nor less than its storage holds.
pub(super) fn holds_a_prefix(state: &State) -> bool {
    state.nodes.iter().all(|node| {
        let history = node.follower.log_id();
        let is_prefix = |id| state.logs(id).any(|log| log.starts_with(&node.stored));
        let is_prefix = history.map_or(node.stored.is_empty(), is_prefix);
        is_prefix && node.follower.last().seq.0 == node.stored.len() as u64
    })
}

/// No master ever believes that a secondary holds more than the newest life of its storage that the master has heard of
/// really holds of this very log, or has held when it said so.
pub(super) fn is_never_overestimated(state: &State) -> bool {
    state.living().all(|(_, master)| {
        state.nodes.iter().enumerate().all(|(n, node)| {
            let Some(replicator) = master.leader.members().get(&node_id(n)) else {
                return true;
            };
            let believed = replicator.matched().0 as usize;
            believed <= node.held(master.heard[n], master.history(), &master.log)
        })
    })
}

/// Each message is in a log once, at the place that its client was told, and places have no holes.
pub(super) fn is_once_in_order(state: &State) -> bool {
    let in_order = |log: &[Entry]| {
        let ids: BTreeSet<_> = log.iter().map(|e| e.message_id).collect();
        ids.len() == log.len() && (1..).zip(log).all(|(seq, e)| e.seq == Seq(seq))
    };
    let is_there = |history: LogId, seq: Seq, id| {
        let at = seq.prev().0 as usize;
        let mut logs = state.logs(history);
        logs.any(|log| log.get(at).is_some_and(|e| e.message_id == id))
    };
    let all = state.living().map(|(_, m)| &m.log);
    let mut all = all.chain(state.past.iter().map(|(_, log)| log));
    all.all(|log| in_order(log))
        && state.fates.iter().all(|fate| match fate {
            Fate::Answered(p, Outcome::Replicated { .. }) => {
                is_there(p.log_id, p.seq, p.message_id)
            }
            _ => true,
        })
}

/// Nobody is left waiting for what the master knows to be there.
pub(super) fn answers_at_once(state: &State) -> bool {
    let is_met = |f: &Fate| {
        let held_by = |m: usize, w| state.masters[m].leader.commit().held_by(w);
        matches!(f, Fate::Waiting(m, p) if p.seq <= held_by(*m, p.w))
    };
    !state.fates.iter().any(is_met)
}

/// Of two masters that believe in one epoch of a history, a secondary acknowledges what one of them sends, never both.
pub(super) fn acknowledges_one_master_an_epoch(state: &State) -> bool {
    let mut of = BTreeMap::new();
    state.network.iter().all(|frame| match &**frame {
        Frame::Ack(ack) if ack.instance.is_some() && ack.epoch > Epoch(0) => {
            let who = (&ack.node, ack.incarnation, ack.log_id, ack.epoch);
            *of.entry(who).or_insert(ack.instance) == ack.instance
        }
        _ => true,
    })
}

/// A secondary gives nothing away: what it has ever stored is in its log or was put aside, unless it crashed or was told
/// that the log is cleared.
pub(super) fn deletes_nothing(state: &State) -> bool {
    state.nodes.iter().all(|node| {
        let life = node.follower.incarnation();
        let before = node.buried.iter().filter(|b| b.incarnation == life);
        let mut before = before.flat_map(|b| &b.stored);
        before.all(|e| node.stored.contains(e) || node.aside.contains(e))
    })
}

/// What a client was told to be on two nodes, and one of them still lives: it is in the log of that one, and of every
/// master that has taken the history over since. As long as one holder lives, and was asked.
pub(super) fn keeps_what_was_told(state: &State) -> bool {
    state.told.iter().all(|told| {
        let at = told.entry.seq.prev().0 as usize;
        let is_there = |log: &[Entry]| log.get(at) == Some(&told.entry);
        let follows = |n: &&usize| state.nodes[**n].follower.log_id() == Some(told.history);
        let mut holders = told.holders.iter().filter(follows).peekable();
        let is_held = holders.peek().is_some();
        let later = state.living().filter(|(_, m)| {
            let served = !m.leader.is_recovering() && m.history() == told.history;
            served && m.leader.life().epoch >= told.entry.epoch
        });
        holders.all(|n| is_there(&state.nodes[*n].stored))
            && (!is_held || later.map(|(_, m)| m).all(|m| is_there(&m.log)))
    })
}

/// Nobody serves a history of which a secondary knows that it was cleared away; not even who has just been told of it.
pub(super) fn never_goes_back(state: &State) -> bool {
    let is_known = |history| {
        let mut nodes = state.nodes.iter();
        nodes.any(|n| cleared(&n.follower.ack().replaced, history).is_some())
    };
    let goes_back = |m: &Master| {
        let history = m.history();
        !m.leader.is_recovering() && state.cleared.contains(&history) && is_known(history)
    };
    !state.living().any(|(_, m)| goes_back(m))
}

/// It holds entries of a history that the master's has not replaced.
pub(super) fn is_foreign(state: &State, m: usize, n: usize) -> bool {
    let (node, leader) = (&state.nodes[n], &state.masters[m].leader);
    let is_ours =
        |id: LogId| id == leader.life().log_id || cleared(leader.replaced(), id).is_some();
    !node.stored.is_empty() && node.follower.log_id().is_some_and(|id| !is_ours(id))
}
