//! Who has answered a master that recovers, and who of them has promised.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::entry::Position;
use crate::message::{Ack, Life, cleared};
use crate::protocol::settings::MAX_NODES;
use crate::types::{Epoch, LogId, NodeId, Seq, Time};

/// One secondary that has spoken.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Holder {
    ack: Ack,
    heard_at: Time,
    /// It follows the life that is to come, and nobody else.
    promised: bool,
    /// A question is under way; until then no other one.
    asked_until: Option<Time>,
    /// The first question since it was heard.
    asked_since: Option<Time>,
}

impl Holder {
    /// Since when it owes an answer: not before it was asked.
    fn silent_since(&self) -> Option<Time> {
        self.asked_until?;
        self.asked_since.map(|asked| asked.max(self.heard_at))
    }

    /// Whether that was said before what is known: a storage that is gone, or before it followed anybody, or before it
    /// promised and held more.
    fn is_later_than(&self, ack: &Ack, promised: bool) -> bool {
        let known = &self.ack;
        if ack.incarnation != known.incarnation {
            return ack.incarnation < known.incarnation;
        }
        let of_less = ack.log_id.is_none() && known.log_id.is_some()
            || ack.log_id == known.log_id && ack.epoch < known.epoch;
        of_less || self.promised && !promised
    }
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Holders(BTreeMap<NodeId, Holder>);

impl Holders {
    /// It says where it stands.
    pub(super) fn heard(&mut self, ack: &Ack, is_listed: bool, life: Option<&Life>, now: Time) {
        if !self.0.contains_key(&ack.node) && self.0.len() >= MAX_NODES && !is_listed {
            return;
        }
        let promised = life.is_some_and(|l| {
            (ack.log_id, ack.epoch, ack.instance) == (Some(l.log_id), l.epoch, Some(l.instance))
        });
        let before = self.0.get(&ack.node);
        if before.is_some_and(|b| b.is_later_than(ack, promised)) {
            return;
        }
        let holder = Holder {
            ack: ack.clone(),
            heard_at: now,
            promised,
            asked_until: before.and_then(|b| b.asked_until),
            asked_since: None,
        };
        self.0.insert(ack.node.clone(), holder);
    }

    /// Who cannot read an entry of its log, and which.
    pub(super) fn cannot_read(&self) -> impl Iterator<Item = (NodeId, Seq)> {
        let damaged = |(node, h): (&NodeId, &Holder)| Some((node.clone(), h.ack.damaged?));
        self.0.iter().filter_map(damaged)
    }

    /// Nobody's promise counts for the life to come any more.
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

    /// The history to take: that with the highest epoch at its end, then the longest; never one of which only is
    /// left what was cleared away. `None` if nobody has any.
    pub(super) fn best(&self, is_cleared: impl Fn(LogId, &Position) -> bool) -> Option<LogId> {
        let acks = self.0.values().map(|h| &h.ack);
        acks.filter_map(|ack| Some((rank(ack), ack.log_id?, ack)))
            .filter(|(_, log, ack)| !is_cleared(*log, &ack.last))
            .map(|(rank, log, _)| (rank, log))
            .max()
            .map(|(_, log)| log)
    }

    /// Whether somebody holds that history, or even entries of it.
    pub(super) fn holds(&self, log: LogId, entries: bool) -> bool {
        self.holding(log)
            .any(|(_, h)| !entries || h.ack.last.seq > Seq::ZERO)
    }

    fn holding(&self, log: LogId) -> impl Iterator<Item = (&NodeId, &Holder)> {
        self.0
            .iter()
            .filter(move |(_, h)| h.ack.log_id == Some(log))
    }

    /// Who follows that life once it is asked to: the holders of its history, and those that hold nothing, or what it has
    /// cleared away.
    fn following<'a>(
        &'a self,
        life: &Life,
        replaces: &'a [Life],
    ) -> impl Iterator<Item = (&'a NodeId, &'a Holder)> {
        let log = life.log_id;
        let gives_way = |ack: &Ack| {
            let by = ack.log_id.and_then(|log| cleared(replaces, log));
            ack.last.seq == Seq::ZERO || by.is_some_and(|by| by.covers(ack.epoch, ack.instance))
        };
        self.0.iter().filter(move |(_, Holder { ack, .. })| {
            ack.log_id == Some(log) || gives_way(ack) && cleared(&ack.replaced, log).is_none()
        })
    }

    /// The last life of a cleared history that somebody has promised who holds only what `by` has cleared away.
    pub(super) fn last_promised(&self, by: Life) -> Life {
        let acks = self.0.values().map(|h| &h.ack);
        let later = acks.filter_map(|ack| {
            let life = Life {
                log_id: ack.log_id?,
                epoch: ack.epoch,
                instance: ack.instance?,
            };
            let is_covered = by.covers(ack.last.epoch, ack.last.by);
            (life.log_id == by.log_id && life.epoch > by.epoch && is_covered).then_some(life)
        });
        later.max_by_key(|life| life.epoch).unwrap_or(by)
    }

    /// The one to fetch from: of those that have promised, whose log is the best.
    fn source(&self, life: &Life) -> Option<(&NodeId, &Holder)> {
        self.holding(life.log_id)
            .filter(|(_, h)| h.promised)
            .max_by_key(|(node, h)| (rank(&h.ack), *node))
    }

    /// Who is to be asked now, and whether it has promised.
    pub(super) fn to_ask(
        &self,
        life: &Life,
        replaces: &[Life],
        have: Position,
        now: Time,
    ) -> Option<(NodeId, bool)> {
        let is_free = |h: &Holder| h.asked_until.is_none_or(|until| until <= now);
        let unpromised = || self.following(life, replaces).filter(|(_, h)| !h.promised);
        if let Some((node, _)) = unpromised().find(|(_, h)| is_free(h)) {
            return Some((node.clone(), false));
        }
        if unpromised().next().is_some() {
            return None;
        }
        let (node, holder) = self.source(life)?;
        (is_free(holder) && has_more(&holder.ack.last, &have)).then(|| (node.clone(), true))
    }

    /// It was asked; no other question before `until`.
    pub(super) fn asked(&mut self, node: &NodeId, until: Time, now: Time) {
        if let Some(holder) = self.0.get_mut(node) {
            holder.asked_until = Some(until);
            holder.asked_since.get_or_insert(now);
        }
    }

    /// It has answered: whether it was asked.
    pub(super) fn answered(&mut self, node: &NodeId) -> bool {
        let holder = self.0.get_mut(node);
        holder.is_some_and(|h| h.asked_until.take().is_some())
    }

    /// Whether everybody who can has promised.
    pub(super) fn have_promised(&self, life: &Life, replaces: &[Life]) -> bool {
        self.following(life, replaces).all(|(_, h)| h.promised)
    }

    /// Whether the best of those that have promised has no more than is here.
    pub(super) fn is_all_here(&self, life: &Life, have: Position) -> bool {
        self.source(life)
            .is_none_or(|(_, h)| !has_more(&h.ack.last, &have))
    }

    /// Gives up those that were asked and have said nothing for so long; whether there were any.
    pub(super) fn forget_silent(&mut self, now: Time, timeout: Duration) -> bool {
        let before = self.0.len();
        self.0
            .retain(|_, h| h.silent_since().is_none_or(|t| now.since(t) < timeout));
        self.0.len() < before
    }

    /// When somebody is to be asked again or given up.
    pub(super) fn deadline(&self, timeout: Duration) -> Option<Time> {
        let asked = self.0.values().filter_map(|h| Some((h, h.asked_until?)));
        asked
            .flat_map(|(h, until)| [Some(until), h.silent_since().map(|t| t + timeout)])
            .flatten()
            .min()
    }

    pub(super) fn has(&self, node: &NodeId) -> bool {
        self.0.contains_key(node)
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = &NodeId> {
        self.0.keys()
    }
}

/// Whether a log that ends there is better than one that ends here: of a later life of the master, or longer.
pub(super) fn has_more(there: &Position, here: &Position) -> bool {
    (there.epoch, there.seq) > (here.epoch, here.seq)
}

/// How good a log is: the epoch of its last entry, or of the clearing with which it began; its length; and, with no entries,
/// the life it has heard of.
fn rank(ack: &Ack) -> (Epoch, Seq, Epoch) {
    let begun = ack.replaced.last().map_or(Epoch(0), |by| by.epoch.next());
    (ack.last.epoch.max(begun), ack.last.seq, ack.epoch)
}
