//! What happens sometimes, so that what is always true is true of something.

use replog_protocol::ids::{NodeId, Seq};
use replog_protocol::leader::command::Answer;
use replog_protocol::wire::Message;
use replog_tests::cluster::members::Secondary;
use replog_tests::cluster::{Fate, Place};

use super::bounds::Bounds;
use super::state::State;

fn answers(state: &State) -> impl Iterator<Item = &Answer> {
    state.cluster.clients.iter().filter_map(|c| match &c.fate {
        Fate::Answered(answer) => Some(answer),
        _ => None,
    })
}

pub(super) fn is_held_everywhere(bounds: &Bounds, state: &State) -> bool {
    let all = u32::from(bounds.nodes) + 1;
    let by_all = |a: &Answer| matches!(a, Answer::Replicated { appended, .. } if appended.w == all);
    answers(state).any(by_all)
}

/// An entry is under way to who has stored it, and what is under way can always arrive.
pub(super) fn has_duplicate(_: &Bounds, state: &State) -> bool {
    state.network.values().any(|frame| match &frame.message {
        Message::Append(append) => append.entries.as_ref().is_some_and(|batch| {
            let holds = |s: &Secondary| {
                let stored = s.journal.stored();
                stored.has(append.leader.log_id, batch.last_position())
            };
            state.cluster.secondaries.iter().any(|s| holds(s))
        }),
        _ => false,
    })
}

pub(super) fn holds_back(_: &Bounds, state: &State) -> bool {
    state.cluster.followers().any(|(_, f)| f.held_back() > 0)
}

/// A secondary that was started again holds what a master that serves holds.
pub(super) fn is_refilled(_: &Bounds, state: &State) -> bool {
    let serving = state.cluster.masters.iter().filter(|m| m.serves());
    let logs: Vec<_> = serving.map(|m| &m.journal.stored().entries).collect();
    let is_whole = |s: &Secondary| {
        let held = &s.journal.stored().entries;
        s.starts > 1 && !held.is_empty() && logs.contains(&held)
    };
    state.cluster.secondaries.iter().any(|s| is_whole(s))
}

/// What a start that has ended has said is still under way when the next one counts.
pub(super) fn has_late_words(_: &Bounds, state: &State) -> bool {
    state.network.values().any(|frame| match &frame.message {
        Message::Ack(ack) if ack.upto > Seq::ZERO => {
            let of_name = |s: &&std::sync::Arc<Secondary>| s.name == ack.node;
            let mut all = state.cluster.secondaries.iter().filter(of_name);
            let is_over = all.all(|s| s.storage != ack.storage);
            is_over
                && state.cluster.leaders().any(|(_, leader)| {
                    let peer = leader.peers().get(&ack.node);
                    let counts = peer.and_then(|p| p.storage());
                    counts.is_some_and(|counts| counts != ack.storage)
                })
        }
        _ => false,
    })
}

pub(super) fn follows_after_clear(_: &Bounds, state: &State) -> bool {
    let histories: Vec<_> = (state.cluster.leaders())
        .map(|(_, l)| l.leadership().log_id)
        .collect();
    let follows = |s: &Secondary| {
        let stored = s.journal.stored();
        let current = stored
            .hard_state
            .log_id
            .is_some_and(|log| histories.contains(&log));
        current && !stored.entries.is_empty()
    };
    state.counts.clears > 0 && state.cluster.secondaries.iter().any(|s| follows(s))
}

pub(super) fn was_cleared_while_waiting(_: &Bounds, state: &State) -> bool {
    answers(state).any(|a| matches!(a, Answer::ClearedMeanwhile(_)))
}

pub(super) fn joins_its_duplicate(_: &Bounds, state: &State) -> bool {
    answers(state).any(|a| matches!(a, Answer::Replicated { appended, .. } if appended.duplicate))
}

pub(super) fn serves_after_outage(_: &Bounds, state: &State) -> bool {
    let mut leaders = state.cluster.leaders();
    let linked = leaders.all(|(m, _)| state.cluster.is_linked(Place::Master(m)));
    let all = state.cluster.clients.len();
    state.counts.outages > 0 && linked && answers(state).count() == all
}

/// A secondary came back with less than it had acknowledged, and the master knows.
pub(super) fn came_back_with_less(_: &Bounds, state: &State) -> bool {
    state.cluster.leaders().any(|(m, leader)| {
        let master = &state.cluster.masters[m];
        let holds_less = |s: &Secondary| {
            let counts = leader.peers().get(&s.name).and_then(|p| p.storage());
            s.starts > 1
                && counts == Some(s.storage)
                && s.journal.stored().last() != master.journal.stored().last()
        };
        let lost = |s: &Secondary| {
            s.journal.stored().entries.len() < master.journal.stored().entries.len()
        };
        state
            .cluster
            .secondaries
            .iter()
            .any(|s| holds_less(s) && lost(s))
    })
}

/// Two processes of one name run, and they hold different logs.
pub(super) fn are_two_of_a_name(_: &Bounds, state: &State) -> bool {
    let running: Vec<&NodeId> = (state.cluster.followers())
        .map(|(n, _)| &state.cluster.secondaries[n].name)
        .collect();
    running
        .iter()
        .enumerate()
        .any(|(i, name)| running[i + 1..].contains(name))
}

/// A client was refused because the disk was full, and another one, or its retry, was served.
pub(super) fn serves_after_full_disk(_: &Bounds, state: &State) -> bool {
    state.counts.fulls > 0 && answers(state).any(|a| matches!(a, Answer::Replicated { .. }))
}
