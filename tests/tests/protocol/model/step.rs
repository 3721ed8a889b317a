//! What can happen, and what follows from it.

use std::sync::Arc;

use replog_common::protocol::follower::Follower;
use replog_common::protocol::outcome::Draft;
use replog_common::types::Seq;

use super::bounds::Bounds;
use super::exchange::{answer, deliver, pump};
use super::nodes::Master;
use super::state::{
    Fate, Frame, NOW, State, concern, content, incarnation, log_id, message_id, node_id,
};

/// One thing that happens. Numbers tell which client, which secondary, and last which master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A client appends.
    Ask(usize, usize),
    /// What is placed is stored.
    Store(usize),
    /// A message arrives at the secondary or master it is for. It stays in the network and may arrive again.
    Deliver(Arc<Frame>, usize),
    /// The master's deadlines have come.
    Tick(usize),
    /// A secondary crashes and comes back empty.
    Crash(usize),
    /// The master crashes and comes back without its log.
    Rebirth(usize),
    /// One more master starts.
    Second,
    /// The log is cleared.
    Clear(usize),
    LinkDown(usize),
    LinkUp(usize),
    /// The broker says that nobody listens on this secondary's subject.
    NoResponders(usize, usize),
}

/// What can happen in a state.
pub(super) fn possible(bounds: &Bounds, state: &State, steps: &mut Vec<Step>) {
    let may_ask = |client: &usize| !bounds.late || *client == 0 || state.masters.len() > 1;
    let next = state.fates.iter().position(|f| *f == Fate::Silent);
    let next = next.filter(may_ask);
    let is_answered = |f: &Fate| matches!(f, Fate::Answered(..));
    let is_late = !bounds.late || state.fates.iter().any(is_answered);
    let may_start = is_late && (!bounds.late || state.clears == bounds.clears);
    for (m, master) in state.living() {
        // Who asks a master that recovers waits before it.
        if let Some(client) = next.filter(|_| !master.leader.is_recovering()) {
            steps.push(Step::Ask(client, m));
        }
        if bounds.slow_store {
            steps.push(Step::Store(m));
        }
        steps.push(Step::Tick(m));
        if may_start && state.births < bounds.rebirths {
            steps.push(Step::Rebirth(m));
        }
        if is_late && state.clears < bounds.clears {
            steps.push(Step::Clear(m));
        }
        if !master.linked {
            steps.push(Step::LinkUp(m));
        } else if state.outages < bounds.outages {
            steps.push(Step::LinkDown(m));
        }
        if bounds.no_responders {
            steps.extend((0..state.nodes.len()).map(|n| Step::NoResponders(n, m)));
        }
    }
    for frame in &state.network {
        steps.extend(receivers(state, frame).map(|to| Step::Deliver(Arc::clone(frame), to)));
    }
    if state.crashes < bounds.crashes {
        steps.extend((0..state.nodes.len()).map(Step::Crash));
    }
    if may_start && state.seconds < bounds.seconds {
        steps.push(Step::Second);
    }
}

/// Whom a message can reach.
pub(super) fn receivers(state: &State, frame: &Frame) -> impl Iterator<Item = usize> {
    let (node, recovering) = match frame {
        Frame::Append(n, _) | Frame::Fetch(n, _) => (Some(*n), false),
        Frame::Fetched(_) => (None, true),
        Frame::Ack(_) | Frame::Announce(_) => (None, false),
    };
    let masters = state
        .living()
        .filter(move |(_, m)| node.is_none() && (!recovering || m.leader.is_recovering()));
    node.into_iter().chain(masters.map(|(m, _)| m))
}

/// Lets it happen.
pub(super) fn take(bounds: &Bounds, state: &mut State, step: &Step) {
    match step {
        Step::Ask(client, m) => ask(bounds, state, *client, *m),
        Step::Store(m) => store(&mut state.masters[*m]),
        Step::Deliver(frame, to) => deliver(state, frame, *to),
        Step::Tick(m) => state.masters[*m].leader.tick(NOW),
        Step::Crash(n) => crash(state, *n),
        Step::Rebirth(m) => {
            state.births += 1;
            die(bounds, state, *m);
            start(bounds, state);
        }
        Step::Second => {
            state.seconds += 1;
            start(bounds, state);
        }
        Step::Clear(m) => clear(bounds, state, *m),
        Step::LinkDown(m) => {
            state.outages += 1;
            state.masters[*m].linked = false;
            state.masters[*m].leader.link_down(NOW);
        }
        Step::LinkUp(m) => {
            state.masters[*m].linked = true;
            state.masters[*m].leader.link_up(NOW);
        }
        Step::NoResponders(n, m) => state.masters[*m].leader.no_responders(&node_id(*n), NOW),
    }
    for m in 0..state.masters.len() {
        if state.masters[m].lives {
            if !bounds.slow_store {
                store(&mut state.masters[m]);
            }
            pump(bounds, state, m);
        }
    }
}

fn ask(bounds: &Bounds, state: &mut State, client: usize, m: usize) {
    let asked = bounds.clients[client];
    let draft = Draft {
        content: content(asked.message),
        message_id: message_id(asked.message),
        w: concern(asked.w),
        until: None,
        expected_seq: None,
        older: Default::default(),
    };
    let master = &mut state.masters[m];
    let log = &master.log;
    let existing = |seq: Seq| log.get(usize::try_from(seq.prev().0).ok()?).cloned();
    let waiter = u8::try_from(client).expect("few clients");
    state.fates[client] = match master.leader.append(draft, waiter, NOW, existing) {
        Ok(placement) => Fate::Waiting(m, placement),
        Err(_) => Fate::Refused,
    };
}

fn store(master: &mut Master) {
    if let Some(keep) = master.leader.take_cut() {
        master
            .log
            .truncate(usize::try_from(keep.seq.0).expect("a small log"));
    }
    let staged = master.leader.take_staged();
    let Some(last) = staged.last().map(|e| e.seq) else {
        return;
    };
    master.log.extend(staged);
    master.leader.stored(last);
}

fn crash(state: &mut State, n: usize) {
    state.crashes += 1;
    let node = &mut state.nodes[n];
    node.bury();
    node.crashes += 1;
    node.follower = Follower::new(node_id(n), incarnation(node.crashes));
    node.stored.clear();
    state.told = std::mem::take(&mut state.told)
        .into_iter()
        .filter_map(|told| told.without(n))
        .collect();
    state.say(n);
}

/// The program has ended; whoever waits for an answer gets none.
pub(super) fn die(bounds: &Bounds, state: &mut State, m: usize) {
    let master = &mut state.masters[m];
    let past = (master.history(), std::mem::take(&mut master.log));
    *master = Master::start(bounds, 0);
    master.lives = false;
    state.past.insert(past);
    for fate in &mut state.fates {
        if matches!(fate, Fate::Waiting(of, _) if *of == m) {
            *fate = Fate::Lost;
        }
    }
}

pub(super) fn start(bounds: &Bounds, state: &mut State) {
    let birth = u8::try_from(state.masters.len()).expect("few masters");
    state.masters.push(Master::start(bounds, birth));
}

fn clear(bounds: &Bounds, state: &mut State, m: usize) {
    state.clears += 1;
    let birth = u8::try_from(m).expect("few masters");
    let (before, id) = (state.masters[m].history(), log_id(birth, state.clears));
    // Answered from what the old history holds, before there is a new one.
    if state.masters[m].leader.clear(id, NOW).is_err() {
        return;
    }
    let log = std::mem::take(&mut state.masters[m].log);
    state.past.insert((before, log));
    state.cleared.insert(before);
    answer(bounds, state, m);
}
