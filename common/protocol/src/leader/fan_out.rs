//! Who is sent a new entry at once, where there are more secondaries than anybody waits for.
//!
//! A client that waits for one of a thousand secondaries does not need the other 999 at once, and each of them costs a message and
//! an ACK for every batch. So only as many as are waited for, and some more, are **prompt**: the fastest ones. The others have
//! their turn one after the other, so many a second, and are sent all that has come together since. If those that are prompt do
//! not answer in time, twice as many are, and so on: not everybody at once, which would be more than a line takes. Up to a number
//! that is set all are prompt, and nothing of this happens.

use std::time::Duration;

use crate::ids::{NodeId, Seq, Time};
use crate::leader::health::Status;
use crate::leader::peers::{Peers, Turn};
use crate::leader::settings::Replication;

/// Turns are given that often: one by one they would wake the master thousands of times a second.
const TURNS_EVERY: Duration = Duration::from_millis(5);
/// Turns that are not answered, at most: what all of them are sent together is less than a line holds up for long.
const MAX_TURNS: usize = 64;
/// After that a turn that is not answered keeps nobody else from theirs.
pub(super) const TURN_TIME: Duration = Duration::from_secs(1);

/// Whose turn it is, and whether everybody is prompt.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct FanOut {
    prompt: Prompt,
    /// When others are chosen.
    choose_at: Time,
    /// How long the slowest of those chosen may take.
    patience: Duration,
    /// So many more than wanted, because those did not answer in time.
    more: usize,
    /// Somebody waits for an entry up to there, since then.
    asked: Option<(Seq, Time)>,
    /// Who had its turn last.
    last_turn: Option<NodeId>,
    /// When the next ones have theirs.
    turn_at: Time,
    /// So many turns in a row, nobody had anything to be sent.
    idle_turns: usize,
    tail: Seq,
}

/// Who is sent entries at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Prompt {
    Everybody,
    /// So many, the fastest ones.
    Some(usize),
}

/// What the fan-out has to know of those who wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waited {
    /// The most nodes that anybody waits for; 1 where nobody waits for a secondary.
    pub(super) nodes: u32,
    /// The first entry that anybody waits for.
    pub(super) first: Option<Seq>,
}

impl Default for FanOut {
    fn default() -> Self {
        Self {
            prompt: Prompt::Everybody,
            choose_at: Time::ZERO,
            patience: Duration::ZERO,
            more: 0,
            asked: None,
            last_turn: None,
            turn_at: Time::ZERO,
            idle_turns: 0,
            tail: Seq::ZERO,
        }
    }
}

impl FanOut {
    /// Looks which of the secondaries are to be sent a log that ends at `tail`.
    pub(super) fn update(
        &mut self,
        peers: &mut Peers,
        waited: Waited,
        tail: Seq,
        settings: &Replication,
        now: Time,
    ) {
        let (many, wanted) = (peers.len(), wanted(waited.nodes, settings));
        if many <= wanted {
            if self.prompt != Prompt::Everybody {
                *self = Self::default();
                peers.set_prompt(None, tail);
            }
            return;
        }
        if self.is_late(waited.first, tail, now) {
            self.more = (self.more * 2).max(wanted).min(many);
            self.asked = Some((tail, now));
        }
        self.choose(peers, (wanted + self.more, tail), settings, now);
        self.give_turns(peers, tail, settings, now);
    }

    /// Chooses the fastest ones, members before observers, if it is time for that.
    fn choose(
        &mut self,
        peers: &mut Peers,
        (wanted, tail): (usize, Seq),
        settings: &Replication,
        now: Time,
    ) {
        let is_enough = match self.prompt {
            Prompt::Some(many) => many >= wanted,
            Prompt::Everybody => true,
        };
        if is_enough && now < self.choose_at {
            return;
        }
        self.choose_at = now + settings.heartbeat_interval;
        let mut fit: Vec<_> = (peers.iter())
            .filter(|(_, p)| p.status(now) == Status::Healthy && !p.is_catching_up())
            .filter_map(|(node, p)| Some((!peers.is_member(node), p.round_trip()?, node.clone())))
            .collect();
        fit.sort_unstable();
        fit.truncate(wanted);
        let slowest = fit.iter().map(|(_, took, _)| *took).max();
        let slowest = slowest.unwrap_or_default().min(settings.suspect_after);
        self.patience = (slowest * 2).max(settings.retry_min);
        if fit.len() < wanted {
            self.prompt = Prompt::Everybody;
            return peers.set_prompt(None, tail);
        }
        self.prompt = Prompt::Some(fit.len());
        let mut names: Vec<NodeId> = fit.into_iter().map(|(_, _, node)| node).collect();
        names.sort_unstable();
        peers.set_prompt(Some(&names), tail);
    }

    /// Whether somebody has waited longer than those who are prompt should take.
    fn is_late(&mut self, first: Option<Seq>, tail: Seq, now: Time) -> bool {
        match (self.asked, first) {
            (_, None) => (self.asked, self.more) = (None, 0),
            (Some((upto, since)), Some(first)) if first <= upto => {
                return since + self.patience <= now;
            }
            (_, Some(_)) => (self.asked, self.more) = (Some((tail, now)), 0),
        }
        false
    }

    /// Lets those whose turn it is have everything up to `tail`.
    fn give_turns(&mut self, peers: &mut Peers, tail: Seq, settings: &Replication, now: Time) {
        let many = peers.len();
        if std::mem::replace(&mut self.tail, tail) != tail {
            self.idle_turns = 0;
        }
        if now < self.turn_at || self.idle_turns > many {
            return;
        }
        let per_second = settings.turns_per_second.max(1);
        self.turn_at = now + TURNS_EVERY.max(Duration::from_secs(1) / per_second);
        let count = f64::from(per_second) * TURNS_EVERY.as_secs_f64();
        let count = many.min((count as usize).max(1));
        let free = MAX_TURNS.saturating_sub(peers.turns_at(now));
        if free == 0 {
            self.idle_turns = 0;
        }
        let count = count.min(free);
        let next = peers.after(self.last_turn.as_ref()).take(count).cloned();
        for node in next.collect::<Vec<NodeId>>() {
            self.idle_turns += 1;
            if peers.give_turn(&node, tail) != Turn::Idle {
                self.idle_turns = 0;
            }
            self.last_turn = Some(node);
        }
    }

    /// When there is something to do without a message; `many` secondaries are known.
    pub(super) fn deadline(&self, many: usize, now: Time) -> Option<Time> {
        if self.prompt == Prompt::Everybody {
            return None;
        }
        let late = self.asked.map(|(_, since)| since + self.patience);
        let turn = (self.idle_turns <= many).then_some(self.turn_at);
        late.into_iter().chain(turn).filter(|at| *at > now).min()
    }
}

/// How many are to be prompt where so many nodes are waited for, the master counted: some more than needed, because the fastest ones
/// of just now need not be the fastest ones of now.
fn wanted(nodes: u32, settings: &Replication) -> usize {
    let needed = (nodes.max(1) as usize) - 1;
    settings.prompt.max(needed + needed.div_ceil(8))
}
