//! Whether the secondaries have the same entries as the master: by the digests of their logs, asked for with the heartbeats.
//!
//! ```text
//! master                                             secondary
//!   | -- heartbeat: my digest up to 9000 is ... ---------> |
//!   | <- ack: mine up to 9000 is (another one) ----------- |   somewhere in 1..9000
//!   | -- heartbeat: my digest up to 4096 is ... ---------> |
//!   | <- ack: mine up to 4096 is (the same) -------------- |   somewhere in 4097..9000
//!   |    ... halved at each step, at multiples of 4096 first: both know those without reading
//! ```
//! Digests decide nothing: nobody is fenced, rolled back or not counted because of one. They are shown in health and metrics, and
//! told to whoever asks ([`Command::Verify`](super::command::Command::Verify)). So a node that lies about its own says only that
//! it differs.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::digest::DigestAt;
use crate::digests::STRIDE;
use crate::ids::{Leadership, MasterId, NodeId, Seq, StorageId, Time};
use crate::leader::health::Status;
use crate::leader::peer::Peer;
use crate::leader::peers::Peers;
use crate::leader::progress::Mode;
use crate::log::Log;
use crate::repair::Repair;
use crate::wire::Ack;

/// Clients that wait for a verification at one time, at most.
pub const MAX_VERIFYING: usize = 64;
/// A secondary is asked again at once that often within one heartbeat interval: enough to halve the longest log until one entry is
/// left, and not more, whatever it answers.
const MAX_AT_ONCE: u8 = 64;

/// Whether the logs are the same, as of one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Verified {
    /// The master's history and epoch.
    pub leadership: Leadership,
    /// The end of the master's log when that was asked.
    pub last: Seq,
    /// Each secondary that the master knows, by name.
    pub nodes: Vec<VerifiedNode>,
}

/// Whether the log of one secondary is the same as the master's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VerifiedNode {
    /// Its name.
    pub node: NodeId,
    /// Whether it counts for `w`.
    pub is_member: bool,
    /// How it is.
    pub status: Status,
    /// Whether it has answered in time.
    pub answers: bool,
    /// It has answered, and everything that it holds is the same.
    pub is_equal: bool,
    /// Everything up to here is known to be the same.
    pub upto: Seq,
    /// The first entry that is another one, if that was found.
    pub first_difference: Option<Seq>,
}

impl Verified {
    /// Whether all that have answered have the same entries, as far as each has come.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.nodes.iter().all(|n| n.is_equal || !n.answers)
    }

    /// Whether all of them have answered.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.nodes.iter().all(|n| n.answers)
    }

    /// Up to here all that have answered are known to be the same as the master.
    #[must_use]
    pub fn upto(&self) -> Seq {
        let answered = self.nodes.iter().filter(|n| n.answers);
        answered.map(|n| n.upto).min().unwrap_or(self.last)
    }
}

/// A secondary's log differs from the master's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Everything up to here is the same.
    pub equal_upto: Seq,
    /// Something up to here is not; it is the first entry that is not if it comes next after `equal_upto`.
    pub differs_at: Seq,
}

impl Difference {
    /// The first entry that is another one, once it is found.
    #[must_use]
    pub fn first(self) -> Option<Seq> {
        (self.differs_at == self.equal_upto.next()).then_some(self.differs_at)
    }
}

/// What is known of one secondary. That its digest is the same at one position says so of all before; that it is not, of all after.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Comparison {
    storage: StorageId,
    equal: Seq,
    differs: Option<Seq>,
    /// The digest of the master in the last question that was not answered yet.
    asked: Option<DigestAt>,
    /// The master does not know its own digest there yet: it asks as soon as it does.
    is_owed: bool,
    /// The number of the heartbeat that the last answer was for, and the position of that.
    answered: Option<(u64, Seq)>,
    /// Since when it was asked at once, and how often.
    at_once: (Time, u8),
}

/// A client that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Request<W> {
    /// Only what was answered to this number or a later one counts.
    round: u64,
    last: Seq,
    /// What each secondary was known to hold: so far it is to be compared.
    goals: BTreeMap<NodeId, Seq>,
    until: Time,
    waiter: W,
}

/// The comparisons of a master, and who waits for them. `W` is through whom a client is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verification<W> {
    comparisons: BTreeMap<NodeId, Comparison>,
    requests: Vec<Request<W>>,
}

impl<W> Default for Verification<W> {
    fn default() -> Self {
        Self {
            comparisons: BTreeMap::new(),
            requests: Vec::new(),
        }
    }
}

impl Comparison {
    fn new(storage: StorageId) -> Self {
        Self {
            storage,
            equal: Seq::ZERO,
            differs: None,
            asked: None,
            is_owed: false,
            answered: None,
            at_once: (Time::ZERO, 0),
        }
    }

    fn difference(&self) -> Option<Difference> {
        Some(Difference {
            equal_upto: self.equal,
            differs_at: self.differs?,
        })
    }

    /// Whether the first entry that differs is still looked for.
    fn is_narrowing(&self) -> bool {
        self.difference().is_some_and(|d| d.first().is_none())
    }

    /// Where to ask next, of a log whose end is known to both up to `end`.
    fn next(&self, end: Seq) -> Seq {
        let Some(differs) = self.differs else {
            return end;
        };
        let (low, high) = (self.equal.0, differs.0);
        if high - low <= 1 {
            return differs; // it may be mended by now
        }
        let middle = low + (high - low) / 2;
        let mark = middle - middle % STRIDE;
        let mark = if mark > low { mark } else { mark + STRIDE };
        Seq(if mark < high { mark } else { middle })
    }

    /// Takes the digest of the secondary at a position where the master has `own`. Before the first entry all logs are the same.
    fn compare(&mut self, its: DigestAt, own: DigestAt) {
        if its == own || its.seq == Seq::ZERO {
            self.equal = self.equal.max(its.seq);
            self.differs = self.differs.filter(|differs| *differs > its.seq);
        } else {
            self.differs = Some(self.differs.map_or(its.seq, |d| d.min(its.seq)));
            if self.equal >= its.seq {
                self.equal = Seq::ZERO; // it was the same before
            }
        }
    }

    /// Whether one more question may follow at once.
    fn may_ask_at_once(&mut self, interval: Duration, now: Time) -> bool {
        if now.since(self.at_once.0) >= interval {
            self.at_once = (now, 0);
        }
        self.at_once.1 += u8::from(self.at_once.1 < MAX_AT_ONCE);
        self.at_once.1 < MAX_AT_ONCE
    }
}

impl<W> Verification<W> {
    /// Another log begins, or another epoch: nothing of it was compared.
    pub(super) fn reset(&mut self) {
        self.comparisons.clear();
    }

    /// That secondary is taken out of those that are known.
    pub(super) fn forget(&mut self, node: &NodeId) {
        self.comparisons.remove(node);
    }

    /// The master's digest to send to a secondary with a heartbeat, at the position where its own is to be known; `None` as long
    /// as it is not known how far the secondary has come, or the master has to read its own log for that.
    pub(super) fn question(
        &mut self,
        node: &NodeId,
        peer: &Peer,
        log: &mut Log,
        damaged: &Repair,
    ) -> Option<DigestAt> {
        let storage = peer.storage()?;
        if peer.progress().mode() != Mode::Replicate {
            return None;
        }
        let new = || Comparison::new(storage);
        let comparison = self.comparisons.entry(node.clone()).or_insert_with(new);
        if comparison.storage != storage {
            *comparison = new();
        }
        let held = peer.matched().min(log.durable());
        let seq = comparison.next(held.min(log.digests().end()));
        log.want_digest(seq, |seq| damaged.has(seq));
        comparison.asked = log.digest_at(seq);
        comparison.is_owed = comparison.asked.is_none() || log.digests().end() < held;
        comparison.asked
    }

    /// A secondary whose position counts has spoken: compares what it says of its digest. Whether it is to be asked on at once.
    pub(super) fn hear(
        &mut self,
        ack: &Ack,
        (log, master): (&Log, MasterId),
        interval: Duration,
        now: Time,
    ) -> bool {
        let (Some(its), Some(comparison)) = (ack.digest, self.comparisons.get_mut(&ack.node))
        else {
            return false;
        };
        if comparison.storage != ack.storage || its.seq > ack.upto {
            return false;
        }
        let is_answer = comparison.asked.is_some_and(|asked| asked.seq == its.seq);
        let asked = comparison.asked.filter(|_| is_answer);
        let Some(own) = asked.or_else(|| log.digest_at(its.seq)) else {
            return false;
        };
        comparison.compare(its, own);
        if ack.answers.master == master {
            comparison.answered = Some((ack.answers.round, its.seq));
        }
        if is_answer {
            comparison.asked = None;
        }
        is_answer && comparison.is_narrowing() && comparison.may_ask_at_once(interval, now)
    }

    /// More of the master's own digests is known: the secondaries that can be asked now what they could not be asked before.
    pub(super) fn owed(&mut self, log: &Log) -> Vec<NodeId> {
        let is_known = |c: &Comparison| match c.differs {
            Some(differs) => log.digest_at(c.next(differs)).is_some(),
            None => log.digests().end() >= log.durable(),
        };
        let mut nodes = Vec::new();
        for (node, comparison) in &mut self.comparisons {
            if comparison.is_owed && is_known(comparison) {
                comparison.is_owed = false;
                nodes.push(node.clone());
            }
        }
        nodes
    }

    /// What is known to differ in the log of that secondary.
    pub(super) fn difference(&self, node: &NodeId) -> Option<Difference> {
        self.comparisons.get(node)?.difference()
    }

    /// A client waits, until then at most, for answers to the number `round` or later ones. It is given back if too many wait.
    ///
    /// # Errors
    /// Too many wait.
    pub(super) fn wait(
        &mut self,
        peers: &Peers,
        (round, last): (u64, Seq),
        until: Time,
        waiter: W,
    ) -> Result<(), W> {
        if self.requests.len() >= MAX_VERIFYING {
            return Err(waiter);
        }
        let goals = peers
            .iter()
            .map(|(node, p)| (node.clone(), p.matched().min(last)));
        self.requests.push(Request {
            round,
            last,
            goals: goals.collect(),
            until,
            waiter,
        });
        Ok(())
    }

    /// Nobody waits any longer.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = W> {
        std::mem::take(&mut self.requests)
            .into_iter()
            .map(|request| request.waiter)
    }

    /// Whose wait has ended: everybody has answered who can be expected to, or the time is up.
    pub(super) fn take_ended(
        &mut self,
        peers: &Peers,
        leadership: Leadership,
        now: Time,
    ) -> Vec<(W, Verified)> {
        let mut ended = Vec::new();
        for request in std::mem::take(&mut self.requests) {
            let nodes: Vec<(VerifiedNode, bool)> = (peers.iter())
                .map(|(node, peer)| self.verified(&request, (node, peer), peers, now))
                .collect();
            if now < request.until && !nodes.iter().all(|(_, is_settled)| *is_settled) {
                self.requests.push(request);
                continue;
            }
            let verified = Verified {
                leadership,
                last: request.last,
                nodes: nodes.into_iter().map(|(node, _)| node).collect(),
            };
            ended.push((request.waiter, verified));
        }
        ended
    }

    /// What is known of a secondary, and whether more is to be waited for.
    fn verified(
        &self,
        request: &Request<W>,
        (node, peer): (&NodeId, &Peer),
        peers: &Peers,
        now: Time,
    ) -> (VerifiedNode, bool) {
        let status = peer.status(now);
        let comparison = self.comparisons.get(node);
        let comparison = comparison.filter(|c| Some(c.storage) == peer.storage());
        let answered = comparison
            .and_then(|c| c.answered)
            .filter(|(round, _)| *round >= request.round);
        let goal = request.goals.get(node).copied().unwrap_or_default();
        let difference = comparison.and_then(Comparison::difference);
        let is_equal = difference.is_none() && answered.is_some_and(|(_, at)| at >= goal);
        let first_difference = difference.and_then(Difference::first);
        let is_found = answered.is_some() && first_difference.is_some();
        let verified = VerifiedNode {
            node: node.clone(),
            is_member: peers.is_member(node),
            status,
            answers: answered.is_some() || status == Status::Diverged,
            is_equal,
            upto: comparison.map_or(Seq::ZERO, |c| c.equal),
            first_difference,
        };
        let is_expected = matches!(status, Status::Healthy | Status::Suspected);
        (verified, is_equal || is_found || !is_expected)
    }

    /// When somebody's time is up.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.requests.iter().map(|request| request.until).min()
    }
}
