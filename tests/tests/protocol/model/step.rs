//! What can happen, and what follows from it.

use std::sync::Arc;

use replog_common::protocol::follower::{Follower, Received};
use replog_common::protocol::outcome::{Answer, Draft};
use replog_common::protocol::replicator::Transmit;
use replog_common::types::{NodeId, Seq};

use super::state::{
    Bounds, Buried, Fate, Frame, NOW, State, concern, content, incarnation, log_id, message_id,
    newborn, node_id,
};
use super::truth::judge;

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A client appends.
    Ask(usize),
    /// What is placed is stored.
    Store,
    /// A message arrives. It stays in the network and may arrive again.
    Deliver(Arc<Frame>),
    /// The master's deadlines have come.
    Tick,
    /// A secondary crashes and comes back empty.
    Crash(usize),
    /// The master crashes and comes back without its log.
    Rebirth,
    /// The log is cleared.
    Clear,
    LinkDown,
    LinkUp,
    /// The broker says that nobody listens on this secondary's subject.
    NoResponders(usize),
}

/// What can happen in a state.
pub(super) fn possible(bounds: &Bounds, state: &State, steps: &mut Vec<Step>) {
    if let Some(client) = state.fates.iter().position(|f| *f == Fate::Silent) {
        steps.push(Step::Ask(client));
    }
    if bounds.slow_store {
        steps.push(Step::Store);
    }
    steps.extend(state.network.iter().cloned().map(Step::Deliver));
    steps.push(Step::Tick);
    let nodes = 0..state.nodes.len();
    if state.crashes < bounds.crashes {
        steps.extend(nodes.clone().map(Step::Crash));
    }
    if state.births < bounds.rebirths {
        steps.push(Step::Rebirth);
    }
    if state.clears < bounds.clears {
        steps.push(Step::Clear);
    }
    if !state.linked {
        steps.push(Step::LinkUp);
    } else if state.outages < bounds.outages {
        steps.push(Step::LinkDown);
    }
    if bounds.no_responders {
        steps.extend(nodes.map(Step::NoResponders));
    }
}

/// Lets it happen.
pub(super) fn take(bounds: &Bounds, state: &mut State, step: &Step) {
    match step {
        Step::Ask(client) => ask(bounds, state, *client),
        Step::Store => store(state),
        Step::Deliver(frame) => deliver(state, frame),
        Step::Tick => state.leader.tick(NOW),
        Step::Crash(n) => crash(state, *n),
        Step::Rebirth => rebirth(bounds, state),
        Step::Clear => clear(state),
        Step::LinkDown => {
            state.outages += 1;
            state.linked = false;
            state.leader.link_down(NOW);
        }
        Step::LinkUp => {
            state.linked = true;
            state.leader.link_up(NOW);
        }
        Step::NoResponders(n) => state.leader.no_responders(&node_id(*n), NOW),
    }
    if !bounds.slow_store {
        store(state);
    }
    pump(state);
}

fn ask(bounds: &Bounds, state: &mut State, client: usize) {
    let asked = bounds.clients[client];
    let draft = Draft {
        content: content(asked.message),
        message_id: message_id(asked.message),
        w: concern(asked.w),
        until: None,
        expected_seq: None,
    };
    let log = state.histories.last().map(|(_, log)| log);
    let existing = |seq: Seq| log?.get(usize::try_from(seq.prev().0).ok()?).cloned();
    let waiter = u8::try_from(client).expect("few clients");
    state.fates[client] = match state.leader.append(draft, waiter, NOW, existing) {
        Ok(placement) => Fate::Waiting(placement),
        Err(_) => Fate::Refused,
    };
}

fn store(state: &mut State) {
    let staged = state.leader.take_staged();
    let (Some(last), Some((_, log))) = (staged.last(), state.histories.last_mut()) else {
        return;
    };
    let last = last.seq;
    log.extend(staged);
    state.leader.stored(last);
}

fn deliver(state: &mut State, frame: &Frame) {
    match frame {
        Frame::Ack(ack) => {
            let from = state
                .nodes
                .iter_mut()
                .find(|n| *n.follower.node() == ack.node);
            if let Some(node) = from {
                node.heard = node.heard.max(Some(ack.incarnation));
            }
            state.leader.ack(ack, NOW);
        }
        Frame::Append(n, append) => {
            let node = &mut state.nodes[*n];
            if node.follower.receive(append.clone()) == Received::Cleared {
                node.stored.clear();
            }
            if let Some(keep) = node.follower.take_aside() {
                node.stored
                    .truncate(usize::try_from(keep.seq.0).expect("few entries"));
            }
            let ready = node.follower.take_ready();
            node.stored.extend(ready.iter().cloned());
            node.follower.stored(&ready);
            state.say(*n);
        }
    }
}

fn crash(state: &mut State, n: usize) {
    state.crashes += 1;
    let node = &mut state.nodes[n];
    let life = u8::try_from(node.buried.len() + 1).expect("few lives");
    node.buried.push(Buried {
        incarnation: node.follower.incarnation(),
        log_id: node.follower.log_id(),
        stored: std::mem::take(&mut node.stored),
    });
    node.follower = Follower::new(node_id(n), incarnation(life));
    state.say(n);
}

fn rebirth(bounds: &Bounds, state: &mut State) {
    state.births += 1;
    state.leader = newborn(bounds, state.births);
    state.histories.push((log_id(state.births, 0), Vec::new()));
    state.linked = false;
    state.nodes.iter_mut().for_each(|n| n.heard = None);
    for fate in &mut state.fates {
        if matches!(fate, Fate::Waiting(_)) {
            *fate = Fate::Lost;
        }
    }
}

fn clear(state: &mut State) {
    state.clears += 1;
    let id = log_id(state.births, state.clears);
    // Answered from what the old history holds, before there is a new one.
    if state.leader.clear(id, NOW).is_err() {
        return;
    }
    answer(state);
    state.histories.push((id, Vec::new()));
}

/// What the master's shell does after everything: send, and answer.
fn pump(state: &mut State) {
    while let Some((node, transmit)) = state.leader.poll_transmit() {
        send(state, &node, transmit);
    }
    answer(state);
    while state.leader.poll_event().is_some() {}
}

fn send(state: &mut State, node: &NodeId, transmit: Transmit) {
    let (prev, entries) = match transmit {
        Transmit::Heartbeat { prev } => (prev, Vec::new()),
        Transmit::Entries { first, last, bytes } => {
            let last = if bytes == 1 { first } else { last };
            let entries = &state.log()[first.prev().0 as usize..last.0 as usize];
            (first.prev(), entries.to_vec())
        }
    };
    let sent = entries.last().map(|e| (e.seq, 1));
    let frame = state.leader.frame(prev, entries);
    state.leader.sent(node, sent, NOW);
    let to = (0..state.nodes.len()).find(|n| node_id(*n) == *node);
    if let Some(n) = to {
        state.network.insert(Arc::new(Frame::Append(n, frame)));
    }
}

fn answer(state: &mut State) {
    while let Some(Answer {
        waiter,
        placement,
        outcome,
    }) = state.leader.poll_answer()
    {
        let fate = &mut state.fates[usize::from(waiter)];
        if !matches!(fate, Fate::Waiting(p) if *p == placement) {
            state.lie = Some("answered who did not wait, or with another place");
        }
        *fate = Fate::Answered(placement, outcome);
        judge(state, &placement, outcome);
    }
}
