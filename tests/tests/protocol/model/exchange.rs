//! What the shells do around the machines: take messages in, send, answer.

use std::sync::Arc;

use replog_common::message::Announce;
use replog_common::protocol::event::Event;
use replog_common::protocol::follower::Change;
use replog_common::protocol::outcome::Answer;
use replog_common::protocol::replicator::Transmit;
use replog_common::types::NodeId;

use super::bounds::Bounds;
use super::nodes::Node;
use super::state::{Fate, Frame, NOW, State, node_id};
use super::step::die;
use super::truth::judge;

/// A message arrives at that secondary or master.
pub(super) fn deliver(state: &mut State, frame: &Frame, to: usize) {
    match frame {
        Frame::Append(n, append) => {
            let node = &mut state.nodes[*n];
            node.follower.receive(append.clone());
            change(node);
            let ready = node.follower.take_ready();
            node.stored.extend(ready.iter().cloned());
            node.follower.stored(&ready);
            state.say(*n);
        }
        Frame::Ack(ack) => {
            hear(state, to, &ack.node, ack.incarnation);
            state.masters[to].leader.ack(ack, NOW);
        }
        Frame::Fetch(n, fetch) => {
            let node = &mut state.nodes[*n];
            let answer = node.follower.answer(fetch);
            change(node);
            let wanted = |seq| answer.entries.contains(seq);
            let one_or_all = if fetch.max_bytes == 1 { 1 } else { usize::MAX };
            let entries = node.stored.iter().filter(|e| wanted(&e.seq));
            let entries = entries.take(one_or_all).cloned().collect();
            let frame = Frame::Fetched(answer.with(entries));
            state.network.insert(Arc::new(frame));
        }
        Frame::Fetched(fetched) => {
            let position = &fetched.position;
            hear(state, to, &position.node, position.incarnation);
            state.masters[to].leader.fetched(fetched.clone(), NOW);
        }
        Frame::Announce(announce) => state.masters[to].leader.announced(announce, NOW),
    }
}

fn change(node: &mut Node) {
    match node.follower.take_change() {
        None => {}
        Some(Change::Cleared) => node.stored.clear(),
        Some(Change::PutAside(_, keep)) => {
            node.bury();
            let keep = usize::try_from(keep.seq.0).expect("few entries");
            node.aside.extend(node.stored.drain(keep..));
        }
    }
}

fn hear(
    state: &mut State,
    m: usize,
    node: &NodeId,
    incarnation: replog_common::types::Incarnation,
) {
    let from = (0..state.nodes.len()).find(|n| node_id(*n) == *node);
    if let Some(heard) = from.map(|n| &mut state.masters[m].heard[n]) {
        *heard = (*heard).max(Some(incarnation));
    }
}

/// What a master's shell does after everything: send, and answer.
pub(super) fn pump(bounds: &Bounds, state: &mut State, m: usize) {
    if state.masters[m].leader.beaten_by().is_some() {
        state.beaten = true;
        return die(bounds, state, m);
    }
    while let Some((node, fetch)) = state.masters[m].leader.poll_fetch(1, NOW) {
        let to = (0..state.nodes.len()).find(|n| node_id(*n) == node);
        let to = to.expect("one of the secondaries");
        state.network.insert(Arc::new(Frame::Fetch(to, fetch)));
    }
    while let Some((node, transmit)) = state.masters[m].leader.poll_transmit() {
        send(state, m, &node, transmit);
    }
    answer(bounds, state, m);
    while let Some(event) = state.masters[m].leader.poll_event() {
        let (is_serving, overtakes) = match event {
            Event::Serving { overtakes, .. } => (true, overtakes),
            Event::Lives => (true, None),
            Event::Recovering => (false, None),
            _ => continue,
        };
        let life = *state.masters[m].leader.life();
        let frame = Frame::Announce(Announce {
            life,
            is_serving,
            overtakes,
        });
        if state.masters.len() > 1 {
            state.network.insert(Arc::new(frame));
        }
    }
}

fn send(state: &mut State, m: usize, node: &NodeId, transmit: Transmit) {
    let master = &mut state.masters[m];
    let (prev, entries) = match transmit {
        Transmit::Heartbeat { prev } => (prev, None),
        Transmit::Entries { first, last, bytes } => {
            let last = if bytes == 1 { first } else { last };
            let entries = &master.log[first.prev().0 as usize..last.0 as usize];
            (first.prev(), Some(entries.to_vec()))
        }
    };
    let last = entries.as_ref().and_then(|all| all.last());
    let sent = last.map(|e| (e.seq, 1));
    let frame = master.leader.frame(prev, entries);
    master.leader.sent(node, sent, NOW);
    let to = (0..state.nodes.len()).find(|n| node_id(*n) == *node);
    if let Some(n) = to {
        state.network.insert(Arc::new(Frame::Append(n, frame)));
    }
}

/// Whoever can be answered is.
pub(super) fn answer(bounds: &Bounds, state: &mut State, m: usize) {
    while let Some(Answer {
        waiter,
        placement,
        outcome,
    }) = state.masters[m].leader.poll_answer()
    {
        let fate = &mut state.fates[usize::from(waiter)];
        if !matches!(fate, Fate::Waiting(of, p) if *of == m && *p == placement) {
            state.lie = Some("answered who did not wait, or with another place");
        }
        *fate = Fate::Answered(placement, outcome);
        judge(bounds, state, m, &placement, outcome);
    }
}
