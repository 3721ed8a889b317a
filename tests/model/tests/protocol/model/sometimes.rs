//! What happens sometimes, so that what is always true is true of something.

use replog_model::cluster::members::Secondary;
use replog_model::cluster::{Client, Fate, Place, Shared};
use std::collections::BTreeSet;

use replog_protocol::follower::Follower;
use replog_protocol::ids::{NodeId, Seq};
use replog_protocol::leader::Leader;
use replog_protocol::leader::command::{Answer, AppendError, Unavailable};
use replog_protocol::leader::health::Status;
use replog_protocol::leader::phase::Phase;
use replog_protocol::node::End;
use replog_protocol::wire::Message;
use replog_protocol::write_concern::WriteConcern;

use super::bounds::Bounds;
use super::state::State;

fn answers(state: &State) -> impl Iterator<Item = &Answer> {
    state.cluster.clients.iter().filter_map(|c| match &c.fate {
        Fate::Answered(answer) => Some(answer),
        _ => None,
    })
}

/// A client was told that all nodes hold its entry.
pub(crate) fn is_held_everywhere(bounds: &Bounds, state: &State) -> bool {
    let all = u32::from(bounds.nodes) + 1;
    let by_all = |a: &Answer| matches!(a, Answer::Replicated { appended, .. } if appended.w == all);
    answers(state).any(by_all)
}

/// An entry is under way to who has stored it, and what is under way can always arrive.
pub(crate) fn has_duplicate(bounds: &Bounds, state: &State) -> bool {
    let frames = bounds.explored.frames();
    frames
        .all(&state.network)
        .any(|frame| match &frame.message {
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

/// A secondary knows an entry to be held by two nodes.
pub(crate) fn knows_what_is_committed(_: &Bounds, state: &State) -> bool {
    let knows = |f: &Follower<_>| f.committed().by(WriteConcern::Count(2)) > Seq::ZERO;
    state.cluster.followers().any(|(_, f)| knows(f))
}

/// A secondary holds back an entry, because one before it is missing.
pub(crate) fn holds_back(_: &Bounds, state: &State) -> bool {
    state.cluster.followers().any(|(_, f)| f.held_back() > 0)
}

/// A secondary that was started again holds what a master that serves holds.
pub(crate) fn is_refilled(_: &Bounds, state: &State) -> bool {
    let serving = state.cluster.masters.iter().filter(|m| m.serves());
    let logs: Vec<_> = serving.map(|m| &m.journal.stored().entries).collect();
    let is_whole = |s: &Secondary| {
        let held = &s.journal.stored().entries;
        s.starts > 1 && !held.is_empty() && logs.contains(&held)
    };
    state.cluster.secondaries.iter().any(|s| is_whole(s))
}

/// What a start that has ended has said is still under way when the next one counts.
pub(crate) fn has_late_words(bounds: &Bounds, state: &State) -> bool {
    let frames = bounds.explored.frames();
    frames
        .all(&state.network)
        .any(|frame| match &frame.message {
            Message::Ack(ack) if ack.upto > Seq::ZERO => {
                let of_name = |s: &&Shared<Secondary>| s.name == ack.node;
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

/// The log was cleared, and a secondary holds entries of the history that follows.
pub(crate) fn follows_after_clear(_: &Bounds, state: &State) -> bool {
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

/// A client was told that the log was cleared while it waited.
pub(crate) fn was_cleared_while_waiting(_: &Bounds, state: &State) -> bool {
    answers(state).any(|a| matches!(a, Answer::ClearedMeanwhile(_)))
}

/// A client was told that its message was in the log already, and is replicated.
pub(crate) fn joins_its_duplicate(_: &Bounds, state: &State) -> bool {
    answers(state).any(|a| matches!(a, Answer::Replicated { appended, .. } if appended.duplicate))
}

/// The link has broken, is there again, and all clients were answered.
pub(crate) fn serves_after_outage(_: &Bounds, state: &State) -> bool {
    let mut leaders = state.cluster.leaders();
    let linked = leaders.all(|(m, _)| state.cluster.is_linked(Place::Master(m)));
    let all = state.cluster.clients.len();
    state.counts.outages > 0 && linked && answers(state).count() == all
}

/// A secondary came back with less than it had acknowledged, and the master knows.
pub(crate) fn came_back_with_less(_: &Bounds, state: &State) -> bool {
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

/// A client that waits for all was told that the master alone holds its entry, because the others were taken out.
pub(crate) fn is_held_by_who_is_left(_: &Bounds, state: &State) -> bool {
    let by_one = |a: &Answer| matches!(a, Answer::Replicated { appended, .. } if appended.w == 1);
    state.counts.removals > 0 && answers(state).any(by_one)
}

/// A secondary that was taken out has joined again, and holds all that its master has.
pub(crate) fn has_joined_again(bounds: &Bounds, state: &State) -> bool {
    let has_all = |leader: &Leader<Client>| {
        let last = leader.log().durable();
        let mut peers = leader.peers().iter();
        last > Seq::ZERO
            && leader.peers().count() == usize::from(bounds.nodes)
            && peers.all(|(_, peer)| peer.matched() == last)
    };
    let mut leaders = state.cluster.leaders();
    state.counts.removals > 0 && leaders.any(|(_, leader)| has_all(leader))
}

/// Two processes of one name run, and they hold different logs.
pub(crate) fn are_two_of_a_name(_: &Bounds, state: &State) -> bool {
    let running: Vec<&NodeId> = (state.cluster.followers())
        .map(|(n, _)| &state.cluster.secondaries[n].name)
        .collect();
    running
        .iter()
        .enumerate()
        .any(|(i, name)| running[i + 1..].contains(name))
}

/// A client was refused because the disk was full, and another one, or its retry, was served.
pub(crate) fn serves_after_full_disk(_: &Bounds, state: &State) -> bool {
    state.counts.fulls > 0 && answers(state).any(|a| matches!(a, Answer::Replicated { .. }))
}

/// A master takes a secondary for one that holds another history.
pub(crate) fn has_diverged(_: &Bounds, state: &State) -> bool {
    let leaders = state.cluster.leaders();
    leaders.into_iter().any(|(m, leader)| {
        let now = state.cluster.masters[m].process.as_ref().map(|p| p.now);
        let mut peers = leader.peers().iter();
        peers.any(|(_, p)| now.is_some_and(|now| p.status(now) == Status::Diverged))
    })
}

fn later(state: &State) -> impl Iterator<Item = &Leader<Client>> {
    let serving = state
        .cluster
        .leaders()
        .filter(|(m, _)| state.cluster.masters[*m].serves());
    serving
        .map(|(_, leader)| leader)
        .filter(|leader| leader.leadership().epoch.n > 1)
}

/// A master that is not the first one serves entries of the first one.
pub(crate) fn has_recovered(_: &Bounds, state: &State) -> bool {
    let has_older = |leader: &Leader<Client>| {
        let first = leader.log().epochs().at(Seq(1));
        first.is_some_and(|position| position.epoch.n == 1)
    };
    later(state).any(has_older)
}

/// A client was told of an entry that a later master has placed.
pub(crate) fn goes_on_after_recovery(_: &Bounds, state: &State) -> bool {
    let is_later = |a: &Answer| matches!(a, Answer::Replicated { appended, .. } if appended.epoch > 1 && appended.w > 1);
    answers(state).any(is_later)
}

/// A master was superseded.
pub(crate) fn is_fenced(_: &Bounds, state: &State) -> bool {
    let mut leaders = state.cluster.leaders();
    leaders.any(|(_, leader)| matches!(leader.phase(), Phase::Fenced(_)))
}

/// A second master has found the first one.
pub(crate) fn was_found_out(_: &Bounds, state: &State) -> bool {
    let is_other = |end: &Option<End>| matches!(end, Some(End::OtherMaster(_)));
    state.cluster.masters.iter().any(|m| is_other(&m.end))
}

/// Two masters take appends for one history.
pub(crate) fn are_two(_: &Bounds, state: &State) -> bool {
    let serving: Vec<_> = state
        .cluster
        .masters
        .iter()
        .filter(|m| m.serves())
        .collect();
    let logs: Vec<_> = serving
        .iter()
        .filter_map(|m| m.leads())
        .map(|l| l.log_id)
        .collect();
    logs.iter()
        .enumerate()
        .any(|(i, log)| logs[i + 1..].contains(log))
}

/// A master whose own history was empty has taken over the one of a secondary that came late.
pub(crate) fn has_adopted(_: &Bounds, state: &State) -> bool {
    let adopts = |l: &Leader<Client>| l.phase().recovery().is_some() && l.leadership().epoch.n > 1;
    state.cluster.leaders().any(|(_, leader)| adopts(leader))
}

/// A damaged entry was written again.
pub(crate) fn is_repaired(_: &Bounds, state: &State) -> bool {
    let clean = |damaged: &BTreeSet<Seq>| damaged.is_empty();
    state.counts.rots > 0
        && state
            .cluster
            .masters
            .iter()
            .all(|m| clean(m.journal.damaged()))
        && state
            .cluster
            .secondaries
            .iter()
            .all(|s| clean(s.journal.damaged()))
}

/// A program has ended because its disk fails.
pub(crate) fn has_failed(_: &Bounds, state: &State) -> bool {
    let failed = |end: &Option<End>| matches!(end, Some(End::StorageFailed(_)));
    let mut masters = state.cluster.masters.iter();
    let mut secondaries = state.cluster.secondaries.iter();
    masters.any(|m| failed(&m.end)) || secondaries.any(|s| failed(&s.end))
}

/// A client was told that it is not known whether its entry is in the log.
pub(crate) fn is_in_doubt(_: &Bounds, state: &State) -> bool {
    answers(state).any(|a| matches!(a, Answer::NotKnown { .. }))
}

/// A client was told that the disk is full.
pub(crate) fn is_refused_by_full_disk(_: &Bounds, state: &State) -> bool {
    let full = AppendError::Unavailable(Unavailable::DiskFull);
    answers(state).any(|a| matches!(a, Answer::Refused(error) if *error == full))
}

/// An entry cannot be read where it is stored.
pub(crate) fn is_damaged(_: &Bounds, state: &State) -> bool {
    let masters = state.cluster.masters.iter().map(|m| &m.journal);
    let secondaries = state.cluster.secondaries.iter().map(|s| &s.journal);
    masters.chain(secondaries).any(|j| !j.damaged().is_empty())
}

/// A master serves, although it has not heard from every listed secondary.
pub(crate) fn serves_unheard(_: &Bounds, state: &State) -> bool {
    later(state).any(|leader| leader.not_seen().next().is_some())
}

/// A secondary was started again while a master recovers.
pub(crate) fn came_back_meanwhile(_: &Bounds, state: &State) -> bool {
    let mut masters = state.cluster.masters.iter();
    let mut secondaries = state.cluster.secondaries.iter();
    masters.any(|m| m.starts > 1 && m.recovers()) && secondaries.any(|s| s.starts > 1)
}

/// Two processes of one name run while a master recovers.
pub(crate) fn are_two_of_a_name_meanwhile(bounds: &Bounds, state: &State) -> bool {
    let mut masters = state.cluster.masters.iter();
    masters.any(|m| m.starts > 1 && m.recovers()) && are_two_of_a_name(bounds, state)
}

/// The first master serves, and another one that was started beside it has found it and has ended.
pub(crate) fn the_first_stays(bounds: &Bounds, state: &State) -> bool {
    state.cluster.masters[0].serves() && was_found_out(bounds, state)
}

/// The first master was superseded, and another one serves.
pub(crate) fn the_second_stays(bounds: &Bounds, state: &State) -> bool {
    let mut others = state.cluster.masters.iter().skip(1);
    is_fenced(bounds, state) && others.any(|m| m.serves())
}

/// Another master than the first serves a shared journal.
pub(crate) fn is_taken_over(_: &Bounds, state: &State) -> bool {
    state.cluster.masters[1].serves()
}

/// A client was told that its message is not in the log, because another master had written before.
pub(crate) fn is_fenced_by_the_stream(_: &Bounds, state: &State) -> bool {
    let fenced = Answer::Refused(AppendError::Unavailable(Unavailable::Fenced));
    let mut clients = state.cluster.clients.iter();
    clients.any(|c| c.fate == Fate::Answered(fenced.clone()))
}
