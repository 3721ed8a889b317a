//! A master that does not lead: it follows the stream of the journal, and claims it when nobody lives who leads.
//!
//! Time decides nothing but when it is worth a try: a claim takes the position after the last chunk that was carried out, or
//! none, so one that comes too early or is made of stale news is refused, and costs nobody anything.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ids::{Epoch, NodeId, Time};
use crate::leader::settings::MAX_NODES;

/// So many heartbeat intervals without a word of the master that leads: it is thought to have ended.
const SILENT_HEARTBEATS: u32 = 2;
/// A master that has lost its turn early does not take the next one at once, but waits for a time that doubles with each such
/// turn, so often at most: two of them that cannot hear each other do not take turns all the time.
const MAX_DOUBLINGS: u32 = 4;

/// A master that stands by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Standby {
    interval: Duration,
    /// The silence that is waited for.
    patience: Duration,
    /// Before that, silence is no reason to claim.
    not_before: Time,
    /// When the master that leads was heard last, or a chunk came; `None` as long as the end of the stream was not seen.
    heard_at: Option<Time>,
    /// When the stream last said that nothing follows; `None` when something came since.
    at_end: Option<Time>,
    /// The master that leads has said that it stops, or it is known that nobody does.
    is_vacant: bool,
    /// The highest epoch that a secondary is known to have promised.
    promised: Epoch,
    /// When secondaries were heard last.
    secondaries: BTreeMap<NodeId, Time>,
}

impl Standby {
    /// With a sign of life expected every `interval`. `spread`, up to 1, differs between masters, which is why they do not claim
    /// in the same moment.
    #[must_use]
    pub fn new(interval: Duration, spread: f64) -> Self {
        Self {
            interval,
            patience: interval * SILENT_HEARTBEATS + (interval / 4).mul_f64(spread.clamp(0.0, 1.0)),
            not_before: Time::ZERO,
            heard_at: None,
            at_end: None,
            is_vacant: false,
            promised: Epoch::ZERO,
            secondaries: BTreeMap::new(),
        }
    }

    /// The same, of a master that has led until `now`, and has lost so many turns in a row shortly after they had begun.
    #[must_use]
    pub fn after(self, lost_turns: u32, now: Time) -> Self {
        let waits = match lost_turns {
            0 => 0,
            turns => SILENT_HEARTBEATS + (1 << turns.min(MAX_DOUBLINGS)),
        };
        Self {
            not_before: now + self.interval * waits,
            ..self
        }
    }

    /// A chunk has come: somebody leads.
    pub fn chunk(&mut self, now: Time) {
        self.heard_at = self.heard_at.map(|_| now);
        self.at_end = None;
        self.is_vacant = false;
    }

    /// The claim came too late: somebody else's chunk is there.
    pub fn refused(&mut self) {
        self.at_end = None;
        self.is_vacant = false;
    }

    /// The stream was asked, and nothing follows.
    pub fn at_end(&mut self, now: Time) {
        self.heard_at.get_or_insert(now);
        self.at_end = Some(now);
    }

    /// The master that leads was heard.
    pub fn heard(&mut self, now: Time) {
        self.deaf_until(now);
        self.is_vacant = false;
    }

    /// Nobody could be heard until now.
    pub fn deaf_until(&mut self, now: Time) {
        self.heard_at = self.heard_at.map(|_| now);
    }

    /// Nobody leads any more, or nobody ever has.
    pub fn vacant(&mut self) {
        self.is_vacant = true;
    }

    /// A secondary was heard, which has promised that epoch.
    pub fn secondary(&mut self, node: &NodeId, promised: Epoch, now: Time) {
        self.promised = self.promised.max(promised);
        if self.secondaries.len() < MAX_NODES || self.secondaries.contains_key(node) {
            self.secondaries.insert(node.clone(), now);
        }
    }

    /// The highest epoch that a secondary is known to have promised.
    #[must_use]
    pub fn promised(&self) -> Epoch {
        self.promised
    }

    /// The secondaries that were heard within that time.
    pub fn secondaries(&self, within: Duration, now: Time) -> impl Iterator<Item = &NodeId> {
        let is_there = move |(node, at): (_, &Time)| (now.since(*at) <= within).then_some(node);
        self.secondaries.iter().filter_map(is_there)
    }

    /// Whether it is time to claim the journal: nobody seems to lead, and the stream answers.
    #[must_use]
    pub fn claims(&self, now: Time) -> bool {
        let is_fresh = self
            .at_end
            .is_some_and(|at| now.since(at) <= self.interval * SILENT_HEARTBEATS);
        let is_silent = self.deadline().is_some_and(|at| at <= now);
        is_fresh && (self.is_vacant || is_silent)
    }

    /// When it has been silent for so long that [`Standby::claims`] may say so.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        let heard_at = self.heard_at?;
        Some((heard_at + self.patience).max(self.not_before))
    }

    /// How long the master that leads was not heard; `None` while that is not known.
    #[must_use]
    pub fn silence(&self, now: Time) -> Option<Duration> {
        self.heard_at.map(|at| now.since(at))
    }
}
