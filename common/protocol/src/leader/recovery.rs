//! A master that starts asks the secondaries first, and takes over the best history that it finds: no master can know by
//! itself that it came back with less than it had.
//!
//! ```text
//!   Listening ── everybody was seen, or the time is up ──▶ Taking ── nothing is missing ──▶ serves
//!     asks all: what do you hold?                            asks those who can follow to promise that they follow
//!     ◀── none of its holders is alive any more ────         nobody else, then fetches what is missing
//! ```
//! The promise is what makes it safe beside a former master that is still alive: an entry that a secondary acknowledges to
//! that one is acknowledged before the promise, and so is seen here; or it is not acknowledged any more. (The first phase of
//! Paxos, asked of whoever answers instead of a majority.)

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::cleared_logs::{ClearedLog, ClearedLogs, KnownClearings};
use crate::epochs::{EpochTable, LogPosition};
use crate::ids::{Epoch, Leadership, LogId, MasterId, NodeId, Seq, Time};
use crate::leader::holders::Holders;
use crate::wire::{Ack, Fetch, Prepare};

/// How many of the listed names a master must have heard before it serves, itself not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Requires {
    /// Whoever answers in time: what only others hold is missing then (Kafka: unclean leader election).
    #[default]
    Any,
    /// More than half of them, however long that takes.
    Majority,
    /// All of them, however long that takes.
    All,
}

impl Requires {
    /// How many of so many listed names.
    #[must_use]
    pub fn names(self, listed: usize) -> usize {
        match self {
            Self::Any => 0,
            Self::Majority => (listed / 2 + 1).min(listed),
            Self::All => listed,
        }
    }
}

/// How long a recovery waits for whom.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RecoverySettings {
    /// How long an empty master waits for the listed members, or for whoever answers, from the moment the broker is there;
    /// and how long a holder may be silent after it was asked.
    pub timeout: Duration,
    /// How long every master listens for another living one, at least.
    pub listen: Duration,
    /// An unanswered question is asked again that often.
    pub retry: Duration,
    /// Whether another living master is superseded.
    pub takeover: bool,
    /// How many of the listed names must have been heard.
    pub requires: Requires,
}

/// The log that a master finds in its own journal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OwnLog {
    /// The history.
    pub log_id: LogId,
    /// The highest epoch that it was served in.
    pub epoch: Epoch,
    /// The histories that it has replaced.
    pub cleared: ClearedLogs,
    /// The master ended while it fetched the rest of the log.
    pub is_partial: bool,
}

/// What to do with the entries of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// They are not what was asked for.
    Nothing,
    /// They follow what is here.
    Entries,
    /// The better log has another entry at the end of what is here: what the two cannot share goes.
    Truncate(LogPosition),
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Found {
    /// The history to serve; `None` if nobody has one.
    pub log_id: Option<LogId>,
    /// The epoch to serve in: above every one that was seen.
    pub epoch: Epoch,
    /// The histories that this one has replaced.
    pub cleared: ClearedLogs,
    /// What was said of cleared histories, this one's among them.
    pub clearings: KnownClearings,
    /// Who was seen.
    pub seen: Vec<NodeId>,
    /// Listed members that were not, and those of which a start was given up.
    pub not_seen: Vec<NodeId>,
    /// The other living master, if there was one.
    pub overtakes: Option<MasterId>,
}

/// How far a recovery is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Stage {
    /// It asks everybody what they hold.
    Listening,
    /// The history is chosen.
    Taking(Taking),
}

/// The history that is taken over.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Taking {
    /// The history, and the epoch that it is going to be served in.
    leader: Leadership,
    /// Somebody who was asked has fallen silent.
    has_missed: bool,
    /// Somebody has held it.
    has_holders: bool,
    /// Somebody has held entries of it.
    has_entries: bool,
    /// Since when nobody is known any more who holds it.
    alone_since: Option<Time>,
}

/// A master that recovers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Recovery {
    settings: RecoverySettings,
    master: MasterId,
    listed: Option<BTreeSet<NodeId>>,
    stage: Stage,
    /// Since when the broker is there.
    link_up_since: Option<Time>,
    /// When everybody is asked (again) to speak up.
    call_at: Time,
    /// The highest epoch that was seen.
    highest: Epoch,
    holders: Holders,
    /// What each history is said to have replaced.
    clearings: KnownClearings,
    /// Another living master, which is superseded.
    overtaken: Option<MasterId>,
    /// Names of which a start fell silent after it was asked.
    given_up: BTreeSet<NodeId>,
    /// Secondaries that speak another version of the protocol, when they did last, and which.
    other_versions: BTreeMap<NodeId, (Time, u32)>,
    /// What is in its own journal.
    own: Option<OwnLog>,
    /// What is in its own journal is of a history that is not gone on with.
    drops_own: bool,
    /// Of a master that has claimed a shared journal: the secondaries that are known to be there. Once all of them were heard,
    /// nobody else is waited for.
    expected: BTreeSet<NodeId>,
    /// The epoch of that claim.
    claimed: Option<Epoch>,
}

impl Recovery {
    /// Of a master that has just started. Nothing is asked before the link is there.
    #[must_use]
    pub fn new(
        settings: RecoverySettings,
        master: MasterId,
        listed: Option<BTreeSet<NodeId>>,
        own: Option<OwnLog>,
    ) -> Self {
        let mut clearings = KnownClearings::default();
        if let Some(own) = &own {
            // What its own history has replaced does not come back, although others still have it.
            clearings.learn(own.log_id, &own.cleared);
        }
        Self {
            highest: own.as_ref().map_or(Epoch::ZERO, |own| own.epoch),
            own,
            drops_own: false,
            settings,
            master,
            listed,
            stage: Stage::Listening,
            link_up_since: None,
            call_at: Time::ZERO,
            holders: Holders::default(),
            clearings,
            overtaken: None,
            given_up: BTreeSet::new(),
            other_versions: BTreeMap::new(),
            expected: BTreeSet::new(),
            claimed: None,
        }
    }

    /// The same, by a master whose claim of that epoch is in the stream of a shared journal, and that knows those secondaries
    /// to be there.
    #[must_use]
    pub fn claimed(self, epoch: Epoch, expected: BTreeSet<NodeId>) -> Self {
        Self {
            highest: self.highest.max(epoch),
            claimed: Some(epoch),
            expected,
            ..self
        }
    }

    /// The same, by a master that was told of these clearings before.
    #[must_use]
    pub fn knowing(self, clearings: KnownClearings) -> Self {
        Self { clearings, ..self }
    }

    // ---- What it is told.

    /// The link is there.
    pub fn link_up(&mut self, now: Time) {
        self.link_up_since = Some(now);
        self.call_at = now;
        self.holders.ask_again();
    }

    /// The link is gone.
    pub fn link_down(&mut self) {
        self.link_up_since = None;
    }

    /// The master was stopped meanwhile: it begins again, with what it has learned.
    pub fn begin_again(&mut self, now: Time) {
        self.link_up_since = self.link_up_since.map(|_| now);
        self.call_at = now;
        self.holders = Holders::default();
        self.stage = Stage::Listening;
    }

    /// A secondary says what it holds.
    pub fn ack(&mut self, ack: &Ack, now: Time) {
        let epoch = ack.epoch.max(ack.last.epoch);
        self.other_versions.remove(&ack.node);
        if let Some(log_id) = ack.log_id {
            self.clearings.learn(log_id, &ack.cleared);
        }
        self.highest = self.highest.max(epoch);
        if let Some(log_id) = ack.log_id {
            let epoch = ack.epoch;
            self.rise_above(Leadership { log_id, epoch });
        }
        let listed = self.listed.as_ref();
        let is_listed = listed.is_some_and(|l| l.contains(&ack.node));
        self.holders.ack(ack, is_listed, self.taking(), now);
    }

    /// A secondary speaks another version of the protocol: what it holds is not known, so nothing is served meanwhile.
    pub fn other_version(&mut self, node: &NodeId, version: u32, now: Time) {
        if self.other_versions.len() < crate::leader::settings::MAX_NODES {
            self.other_versions.insert(node.clone(), (now, version));
        }
    }

    /// Another master is alive, and is superseded.
    pub fn overtakes(&mut self, other: Leadership) {
        self.overtaken = Some(other.epoch.master)
            .filter(|master| *master != self.master)
            .or(self.overtaken);
        self.highest = self.highest.max(other.epoch);
        self.rise_above(other);
    }

    /// Somebody else has been promised more than this master asks for: above that, and all over again.
    fn rise_above(&mut self, other: Leadership) {
        if let Stage::Taking(taking) = &mut self.stage
            && other.log_id == taking.leader.log_id
            && other.epoch > taking.leader.epoch
        {
            taking.leader.epoch = other.epoch.next_of(self.master);
            self.highest = self.highest.max(taking.leader.epoch);
            self.holders.break_promises();
        }
    }

    /// An answer to a [`Fetch`] has come, with entries after `prev` of which `first` is the first one, while `log` is here.
    pub fn fetched(
        &mut self,
        position: &Ack,
        prev: LogPosition,
        first: Option<LogPosition>,
        log: &EpochTable,
        now: Time,
    ) -> Take {
        self.ack(position, now);
        let promised =
            |l: Leadership| position.log_id == Some(l.log_id) && position.epoch == l.epoch;
        let is_promised = self.taking().is_some_and(promised);
        if !is_promised || !self.holders.answered(position) {
            return Take::Nothing;
        }
        let have = log.last();
        if prev == have {
            return Take::Entries;
        }
        // The holder has another entry where what is shared ends, or none. An answer that came late has the same one.
        let parts = match first {
            Some(first) => log.at(first.seq).is_some_and(|own| own != first),
            None => prev.seq == position.last.seq && prev.seq < have.seq,
        };
        match parts && position.last.is_ahead_of(&have) {
            true => Take::Truncate(prev),
            false => Take::Nothing,
        }
    }

    // ---- What it asks.

    /// Whether everybody is to be asked now to speak up; counts as asked.
    pub fn calls(&mut self, now: Time) -> bool {
        let is_looking = match &self.stage {
            Stage::Listening => true,
            Stage::Taking(taking) => taking.alone_since.is_some() || !self.has_heard_enough(),
        };
        let calls = self.link_up_since.is_some() && is_looking && self.call_at <= now;
        if calls {
            self.call_at = now + self.settings.retry;
        }
        calls
    }

    /// Whose promise is to be asked for now, if anybody's; counts as asked.
    pub fn prepare(&mut self, now: Time) -> Option<(NodeId, Prepare)> {
        let leader = self.taking().filter(|_| self.link_up_since.is_some())?;
        let cleared = self.cleared_by(leader.log_id);
        let until = now + self.settings.retry;
        let node = self.holders.next_to_prepare(leader, &cleared, until, now)?;
        Some((node, Prepare { leader, cleared }))
    }

    /// What is to be fetched now, once everybody who can has promised; counts as asked.
    pub fn fetch(
        &mut self,
        have: LogPosition,
        max_bytes: usize,
        now: Time,
    ) -> Option<(NodeId, Fetch)> {
        let leader = self.taking().filter(|_| self.link_up_since.is_some())?;
        let cleared = self.cleared_by(leader.log_id);
        if !self.holders.have_promised(leader, &cleared) {
            return None;
        }
        let until = now + self.settings.retry;
        let (node, storage) = self.holders.next_source(leader, have, until, now)?;
        let fetch = Fetch {
            leader,
            storage,
            prev: have,
            max_bytes,
        };
        Some((node, fetch))
    }

    // ---- What it decides.

    /// Time has passed: what was found, once it is all here.
    pub fn tick(&mut self, have: LogPosition, now: Time) -> Option<Found> {
        let since = self.link_up_since?;
        let timeout = self.settings.timeout;
        self.other_versions
            .retain(|_, (seen, _)| now.since(*seen) < timeout.max(Duration::from_secs(1)));
        if !self.other_versions.is_empty() {
            return None;
        }
        let (missed, given_up) = self.holders.forget_silent(now, timeout);
        self.given_up.extend(given_up);
        if self.taking().is_none() {
            let found = self.choose(since, have, now);
            if found.is_some() || self.drops_own {
                return found;
            }
        }
        let Stage::Taking(taking) = &mut self.stage else {
            return None;
        };
        let log_id = taking.leader.log_id;
        taking.has_missed |= missed;
        taking.has_holders |= self.holders.holds(log_id, false);
        taking.has_entries |= self.holders.holds(log_id, true);
        if self.holders.holds(log_id, taking.has_entries) {
            taking.alone_since = None;
        } else {
            taking.alone_since.get_or_insert(now);
        }
        // Those that fell silent may be there again; those that now say something else will not.
        let until = taking.alone_since.map(|since| since + timeout);
        let is_waiting = taking.has_missed && until.is_some_and(|until| now < until);
        let is_lost = taking.alone_since.is_some() && taking.has_holders && !is_waiting;
        if is_lost && have.seq == Seq::ZERO {
            self.stage = Stage::Listening; // nobody holds it any more, and nothing of it is here
            return self.choose(since, have, now);
        }
        let leader = taking.leader;
        let is_all_here = match taking.alone_since {
            None => self.holders.is_all_here(leader, have),
            Some(_) => !is_waiting,
        };
        let cleared = self.cleared_by(leader.log_id);
        (is_all_here && self.has_heard_enough() && self.holders.have_promised(leader, &cleared))
            .then(|| self.found(Some(leader.log_id), leader.epoch))
    }

    /// Chooses a history, once everybody was seen or the time is up; there may be none.
    fn choose(&mut self, since: Time, have: LogPosition, now: Time) -> Option<Found> {
        let is_seen = |n: &NodeId| self.holders.has(n);
        let everybody = self
            .listed
            .as_ref()
            .is_some_and(|listed| listed.iter().all(is_seen));
        let is_here = self.is_whole() && have.seq > Seq::ZERO;
        let expected = !self.expected.is_empty() && self.expected.iter().all(is_seen);
        let wait = match everybody || is_here {
            true if expected => Duration::ZERO,
            true => self.settings.listen,
            false => self.settings.timeout.max(self.settings.listen),
        };
        if now < since + wait || !self.has_heard_enough() {
            return None;
        }
        let is_cleared = |log: LogId, last: &LogPosition| self.clearings.covers(log, last.epoch);
        let own = self.own.as_ref().map(|own| own.log_id);
        let own = own.filter(|log| !is_cleared(*log, &have));
        // What is here is gone on with, whatever others have; an empty history gives way.
        let chosen = own.filter(|_| is_here);
        let chosen = chosen.or_else(|| self.holders.best(is_cleared)).or(own);
        if have.seq > Seq::ZERO && (own.is_none() || chosen != own) {
            self.drops_own = true;
            self.own = None;
        }
        let epoch = match self.claimed {
            Some(claimed) if claimed == self.highest => claimed,
            _ => self.highest.next_of(self.master),
        };
        let Some(log_id) = chosen else {
            return Some(self.found(None, epoch));
        };
        self.stage = Stage::Taking(Taking {
            leader: Leadership { log_id, epoch },
            has_missed: false,
            // By the next look its holders may have left it.
            has_holders: self.holders.holds(log_id, false),
            has_entries: self.holders.holds(log_id, true),
            alone_since: None,
        });
        self.holders.break_promises();
        None
    }

    /// Whether as many of the listed names were heard as must be. What has fallen silent since was not.
    fn has_heard_enough(&self) -> bool {
        let listed = self.listed.as_ref().map_or(0, BTreeSet::len);
        listed - self.not_heard().count() >= self.settings.requires.names(listed)
    }

    /// The listed names that were not heard.
    pub fn not_heard(&self) -> impl Iterator<Item = &NodeId> {
        let listed = self.listed.iter().flatten();
        listed.filter(|node| !self.holders.has(node))
    }

    /// The histories that `log` has replaced, as its holders know them. Who has promised a later epoch of one of those, but
    /// holds nothing that such an epoch has placed, slept through the clearing like the others.
    fn cleared_by(&self, log: LogId) -> ClearedLogs {
        let own = self.own.as_ref().filter(|own| own.log_id == log);
        let own = own.map(|own| &own.cleared);
        let known = self.clearings.of(log).into_iter().chain(own);
        let longest = known.max_by_key(|cleared| cleared.len());
        let raise = |cleared: ClearedLog| self.holders.last_promised(cleared);
        longest.map_or_else(ClearedLogs::default, |cleared| cleared.map(raise))
    }

    fn found(&self, log_id: Option<LogId>, epoch: Epoch) -> Found {
        let silent = self.not_heard();
        let not_seen: BTreeSet<NodeId> = silent.chain(&self.given_up).cloned().collect();
        Found {
            log_id,
            epoch,
            cleared: log_id.map_or_else(ClearedLogs::default, |log| self.cleared_by(log)),
            clearings: self.clearings.clone(),
            seen: self.holders.nodes().cloned().collect(),
            overtakes: self.overtaken,
            not_seen: not_seen.into_iter().collect(),
        }
    }

    /// When [`Recovery::tick`] and the questions are due again.
    #[must_use]
    pub fn deadline(&self, now: Time) -> Option<Time> {
        let since = self.link_up_since?;
        let (is_looking, alone_since) = match &self.stage {
            Stage::Listening => (true, None),
            Stage::Taking(taking) => {
                let is_alone = taking.alone_since.is_some();
                (is_alone || !self.has_heard_enough(), taking.alone_since)
            }
        };
        let steps = [
            is_looking.then_some(self.call_at),
            alone_since.map(|since| since + self.settings.timeout),
            Some(since + self.settings.listen),
            Some(since + self.settings.timeout),
            self.holders.deadline(self.settings.timeout),
            (!self.other_versions.is_empty()).then(|| now + self.settings.retry),
        ];
        steps.into_iter().flatten().filter(|t| *t > now).min()
    }

    // ---- What others ask of it.

    /// The history and the epoch that it is going to serve, once they are chosen.
    #[must_use]
    pub fn taking(&self) -> Option<Leadership> {
        match &self.stage {
            Stage::Listening => None,
            Stage::Taking(taking) => Some(taking.leader),
        }
    }

    /// The highest epoch that was seen so far.
    #[must_use]
    pub fn highest(&self) -> Epoch {
        self.highest
    }

    /// Whether what is in its own journal was all of it, when it was written.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.own.as_ref().is_some_and(|own| !own.is_partial)
    }

    /// Whether what is here is of a history that is not gone on with, because it was cleared away; asked once.
    pub fn drops_own(&mut self) -> bool {
        std::mem::take(&mut self.drops_own)
    }

    /// Whether this other master, which is alive, is superseded: because that is wanted, or because the secondaries were
    /// asked already to follow it no more.
    #[must_use]
    pub fn is_above(&self, other: Leadership) -> bool {
        self.settings.takeover || self.taking().is_some_and(|l| l.log_id == other.log_id)
    }

    /// Whether another living master is superseded because that is wanted.
    #[must_use]
    pub fn is_takeover(&self) -> bool {
        self.settings.takeover
    }

    /// Who has spoken and cannot read an entry of its log, and which.
    pub fn cannot_read(&self) -> impl Iterator<Item = (NodeId, Seq)> {
        self.holders.cannot_read()
    }

    /// Secondaries that speak another version of the protocol, and which.
    pub fn other_versions(&self) -> impl Iterator<Item = (&NodeId, u32)> {
        self.other_versions.iter().map(|(node, (_, v))| (node, *v))
    }
}
