//! Who has answered a master that recovers, and who of them has promised. Each process that runs under a name is a holder of
//! its own: two processes of one name, one of them on a copied directory, hold different logs, and the fuller one wins.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::cleared_logs::{ClearedLog, ClearedLogs};
use crate::epochs::LogPosition;
use crate::ids::{Epoch, Leadership, LogId, MasterId, NodeId, Seq, StorageId, Time};
use crate::leader::settings::MAX_NODES;
use crate::wire::{Ack, HeartbeatNumber};

/// Starts of one name that are remembered; beyond, the one that holds least makes way.
const MAX_STARTS: usize = 4;

/// One start of a secondary that has spoken.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Holder {
    ack: Ack,
    seen_at: Time,
    /// It follows the epoch that is to come, and nobody else.
    promised: bool,
    /// A question is under way; until then no other one.
    asked_until: Option<Time>,
    /// The first question since it was seen.
    asked_since: Option<Time>,
}

impl Holder {
    /// Since when it owes an answer: not before it was asked.
    fn silent_since(&self) -> Option<Time> {
        self.asked_until?;
        self.asked_since.map(|asked| asked.max(self.seen_at))
    }

    fn is_free(&self, now: Time) -> bool {
        self.asked_until.is_none_or(|until| until <= now)
    }

    /// Whether `ack`, of the same start, was said before what is known: before it followed anybody, or before it promised
    /// and held more.
    fn is_later_than(&self, ack: &Ack, promised: bool) -> bool {
        let known = &self.ack;
        let of_less = ack.log_id.is_none() && known.log_id.is_some()
            || ack.log_id == known.log_id && ack.epoch < known.epoch;
        of_less || self.promised && !promised
    }

    /// Whether it follows a master of that history, once it is asked to: it holds it, or nothing, or what was cleared away.
    fn can_follow(&self, leader: Leadership, cleared: &ClearedLogs) -> bool {
        let ack = &self.ack;
        if ack.log_id == Some(leader.log_id) {
            return true;
        }
        let gives_way = ack.last.seq == Seq::ZERO
            || ack.log_id.is_some_and(|log| cleared.covers(log, ack.epoch));
        gives_way && ack.cleared.cleared_by(leader.log_id).is_none()
    }
}

/// All of them, by name and start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Holders(BTreeMap<(NodeId, StorageId), Holder>);

impl Holders {
    /// It says what it holds, while `taking` is what the master is going to lead.
    pub(super) fn ack(
        &mut self,
        ack: &Ack,
        is_listed: bool,
        taking: Option<Leadership>,
        now: Time,
    ) {
        let key = (ack.node.clone(), ack.storage);
        let promised = taking.is_some_and(|l| ack.log_id == Some(l.log_id) && ack.epoch == l.epoch);
        let before = self.0.get(&key);
        if before.is_some_and(|b| b.is_later_than(ack, promised)) {
            return;
        }
        let is_new = before.is_none();
        // A promise answers what was asked; after anything else the question is still under way.
        let asked_until = before.filter(|b| b.promised || !promised);
        let asked_until = asked_until.and_then(|b| b.asked_until);
        if is_new && !self.make_room(&ack.node, is_listed) {
            return;
        }
        // Which heartbeat it answers, and how much of its log its last master has shown, is nothing to the next one.
        let said = Ack {
            upto: Seq::ZERO,
            held_from: None,
            answers: HeartbeatNumber::default(),
            error: None,
            is_goodbye: false,
            ..ack.clone()
        };
        let holder = Holder {
            ack: said,
            seen_at: now,
            promised,
            asked_until,
            asked_since: None,
        };
        self.0.insert(key, holder);
    }

    /// Whether one more start of that name is taken.
    fn make_room(&mut self, node: &NodeId, is_listed: bool) -> bool {
        let starts = self.0.iter().filter(|((name, _), _)| name == node);
        let starts: Vec<_> = starts.map(|(key, h)| (rank(&h.ack), key.clone())).collect();
        if starts.is_empty() {
            return is_listed || self.nodes().count() < MAX_NODES;
        }
        if starts.len() >= MAX_STARTS
            && let Some((_, least)) = starts.into_iter().min()
        {
            self.0.remove(&least);
        }
        true
    }

    /// Who cannot read an entry of its log, and which.
    pub(super) fn cannot_read(&self) -> impl Iterator<Item = (NodeId, Seq)> {
        let damaged =
            |((node, _), h): (&(NodeId, StorageId), &Holder)| Some((node.clone(), h.ack.damaged?));
        self.0.iter().filter_map(damaged)
    }

    /// Nobody's promise counts for the epoch to come any more.
    pub(super) fn break_promises(&mut self) {
        for holder in self.0.values_mut() {
            (holder.promised, holder.asked_until) = (false, None);
        }
    }

    /// No answer to what was asked will come any more.
    pub(super) fn ask_again(&mut self) {
        for holder in self.0.values_mut() {
            (holder.asked_until, holder.asked_since) = (None, None);
        }
    }

    /// The history to take: that with the highest epoch of its last entry, then the longest; never one of which only is left
    /// what was cleared away. `None` if nobody has any.
    pub(super) fn best(&self, is_cleared: impl Fn(LogId, &LogPosition) -> bool) -> Option<LogId> {
        let acks = self.0.values().map(|h| &h.ack);
        acks.filter_map(|ack| Some((rank(ack), ack.log_id?, ack)))
            .filter(|(_, log, ack)| !is_cleared(*log, &ack.last))
            .map(|(rank, log, _)| (rank, log))
            .max()
            .map(|(_, log)| log)
    }

    /// Whether somebody holds that history, or even `entries` of it.
    pub(super) fn holds(&self, log: LogId, entries: bool) -> bool {
        let mut holders = self.0.values().filter(|h| h.ack.log_id == Some(log));
        holders.any(|h| !entries || h.ack.last.seq > Seq::ZERO)
    }

    /// The last epoch of a cleared history that somebody has promised who holds only what was cleared away.
    pub(super) fn last_promised(&self, cleared: ClearedLog) -> ClearedLog {
        let ClearedLog { log_id, epoch } = cleared;
        let acks = self.0.values().map(|h| &h.ack);
        let later = acks
            .filter(|ack| ack.log_id == Some(log_id) && ack.last.epoch <= epoch)
            .map(|ack| ack.epoch);
        ClearedLog {
            log_id,
            epoch: later.max().map_or(epoch, |later| later.max(epoch)),
        }
    }

    /// A name whose promise is to be asked for, until then not again. The question goes to every start of the name.
    pub(super) fn next_to_prepare(
        &mut self,
        leader: Leadership,
        cleared: &ClearedLogs,
        until: Time,
        now: Time,
    ) -> Option<NodeId> {
        let mut unpromised = self
            .0
            .iter()
            .filter(|(_, h)| !h.promised && h.can_follow(leader, cleared));
        let ((node, _), _) = unpromised.find(|(_, h)| h.is_free(now))?;
        let node = node.clone();
        for ((name, _), holder) in &mut self.0 {
            if *name == node && !holder.promised {
                holder.asked_until = Some(until);
                holder.asked_since.get_or_insert(now);
            }
        }
        Some(node)
    }

    /// Those that have promised and hold that history.
    fn promised(
        &self,
        leader: Leadership,
    ) -> impl Iterator<Item = (&(NodeId, StorageId), &Holder)> {
        let holders = self.0.iter();
        holders.filter(move |(_, h)| h.promised && h.ack.log_id == Some(leader.log_id))
    }

    /// The one to fetch the entry after `have` from: whose log is the best, of those that can read it as far as is known.
    fn source(
        &self,
        leader: Leadership,
        have: &LogPosition,
    ) -> Option<(&(NodeId, StorageId), &Holder)> {
        let ahead = self
            .promised(leader)
            .filter(|(_, h)| h.ack.last.is_ahead_of(have));
        ahead.max_by_key(|(key, h)| {
            let damaged = h.ack.damaged;
            let is_readable = damaged != Some(have.seq.next());
            (is_readable, rank(&h.ack), damaged.is_none(), *key)
        })
    }

    /// Whom to ask for entries after `have`, if somebody has more; until then nobody else is asked.
    pub(super) fn next_source(
        &mut self,
        leader: Leadership,
        have: LogPosition,
        until: Time,
        now: Time,
    ) -> Option<(NodeId, StorageId)> {
        let (key, holder) = self.source(leader, &have)?;
        if !holder.is_free(now) {
            return None;
        }
        let key = key.clone();
        let holder = self.0.get_mut(&key)?;
        holder.asked_until = Some(until);
        holder.asked_since.get_or_insert(now);
        Some(key)
    }

    /// A start has answered: whether it was asked.
    pub(super) fn answered(&mut self, ack: &Ack) -> bool {
        let holder = self.0.get_mut(&(ack.node.clone(), ack.storage));
        holder.is_some_and(|h| h.asked_until.take().is_some())
    }

    /// Whether everybody who can follow has promised.
    pub(super) fn have_promised(&self, leader: Leadership, cleared: &ClearedLogs) -> bool {
        let mut following = self.0.values().filter(|h| h.can_follow(leader, cleared));
        following.all(|h| h.promised)
    }

    /// Whether the best of those that have promised has no more than is here.
    pub(super) fn is_all_here(&self, leader: Leadership, have: LogPosition) -> bool {
        let best = self.promised(leader).max_by_key(|(_, h)| rank(&h.ack));
        best.is_none_or(|(_, h)| !h.ack.last.is_ahead_of(&have))
    }

    /// Gives up the starts that were asked and have said nothing for so long: whether the last one of a name went, and the
    /// names of which another start is alive.
    pub(super) fn forget_silent(&mut self, now: Time, timeout: Duration) -> (bool, Vec<NodeId>) {
        let is_silent = |h: &Holder| h.silent_since().is_some_and(|t| now.since(t) >= timeout);
        let silent: BTreeSet<NodeId> = (self.0.iter())
            .filter(|(_, h)| is_silent(h))
            .map(|((node, _), _)| node.clone())
            .collect();
        self.0.retain(|_, h| !is_silent(h));
        let given_up = silent.iter().filter(|node| self.has(node)).cloned();
        (!silent.is_empty(), given_up.collect())
    }

    /// When somebody is to be asked again or given up.
    pub(super) fn deadline(&self, timeout: Duration) -> Option<Time> {
        let asked = self.0.values().filter_map(|h| Some((h, h.asked_until?)));
        asked
            .flat_map(|(h, until)| [Some(until), h.silent_since().map(|t| t + timeout)])
            .flatten()
            .min()
    }

    /// Whether some start of that name has spoken.
    pub(super) fn has(&self, node: &NodeId) -> bool {
        self.nodes().any(|name| name == node)
    }

    /// The names that have spoken, each once.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &NodeId> {
        let mut last = None;
        let names = self.0.keys().map(|(node, _)| node);
        names.filter(move |node| last.replace(*node) != Some(*node))
    }
}

/// How good a log is: the epoch of its last entry, or of the clearing with which it began; its length; and, with no entries,
/// the epoch that it has seen.
fn rank(ack: &Ack) -> (Epoch, Seq, Epoch) {
    let begun = ack.cleared.newest_epoch();
    let begun = begun.map_or(Epoch::ZERO, |by| by.next_of(MasterId::default()));
    (ack.last.epoch.max(begun), ack.last.seq, ack.epoch)
}
