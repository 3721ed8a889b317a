//! The secondary as a value: deduplicates by position, holds back what came too early, says what it holds.
//!
//! ```text
//!   1 . . . . . verified . . . . . last | missing | held back ...
//!               is the master's         ^ last + 1
//! ```
//! `verified` trails `last` only after a new master has spoken and before it has shown which entries it shares. What is
//! acknowledged is verified and durable.

pub mod former_logs;
pub mod name_claim;
pub mod reorder;

use std::time::Duration;

use crate::cleared_logs::ClearedLogs;
use crate::committed::Committed;
use crate::digest::DigestAt;
use crate::entry::EntryBatch;
use crate::epochs::LogPosition;
use crate::event::Event;
use crate::hard_state::HardState;
use crate::ids::{Epoch, Leadership, LogId, MasterId, NodeId, Seq, StorageId, Time};
use crate::leader::backoff::Backoff;
use crate::leader::pace::MAX_INTERVAL;
use crate::log::{Log, Written};
use crate::node::{
    End, Identity, Input, LinkState, Node, Outbound, Page, Purpose, Query, Read, ReadError, Ready,
    Restored, Snapshot, WriteResult,
};
use crate::node_url::NodeUrl;
use crate::repair::Repair;
use crate::tally::{Shown, Tally};
use crate::wire::{
    Ack, AckOf, Address, AppendEntries, Claim, ENVELOPE_BYTES, Fetch, FetchResponse,
    HeartbeatNumber, MasterAnnouncement, MasterState, Message, Prepare, Promise,
};

use former_logs::FormerLogs;
use name_claim::NameClaim;
use reorder::Reorder;

/// With no word from a master, a hello is sent at least that often.
const MAX_HELLO_WAIT: Duration = Duration::from_secs(5);
/// So often in a row another storage is named under this name without an end to it: a master asks a storage that does not
/// answer less often than that, and goes back to the one that counts.
const TIMES_NAMED: u8 = 3;
/// How long a secondary that stops waits for its journal.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// What a follower is started with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FollowerConfig {
    /// Its name, and this start of it.
    pub identity: Identity,
    /// How often a sign of life is expected; a master that says so may send them less often.
    pub heartbeat_interval: Duration,
    /// Chooses the jitter of the hellos.
    pub seed: u64,
    /// Where clients reach this node.
    pub url: Option<NodeUrl>,
}

/// What a client asks of a secondary. `W` is through whom the client is answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Command<W> {
    /// Forget every entry; the master sends them again.
    Clear {
        /// The storage begins a new life.
        storage: StorageId,
        /// Who asks.
        waiter: W,
    },
    /// Roll everything back and follow the master of another history.
    Rejoin {
        /// The storage begins a new life.
        storage: StorageId,
        /// Who asks.
        waiter: W,
    },
}

/// What a client is told, and through whom.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reply<W> {
    /// Who asked.
    pub waiter: W,
    /// The answer.
    pub answer: Answer,
}

/// What a client of a secondary is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// It is done, and durable.
    Done {
        /// How many entries were rolled back, and are kept.
        rolled_back: u64,
    },
    /// There is no room on the disk: it is done as soon as there is.
    DiskFull,
    /// The secondary follows its master: there is no other history to join.
    NotDiverged,
    /// The secondary stops; whether it was done is not known.
    Stopping,
}

/// A master that asks for entries, and is answered when they were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Fetching {
    leader: Leadership,
    prev: LogPosition,
}

/// A secondary.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Follower<W> {
    node: NodeId,
    storage: StorageId,
    url: Option<NodeUrl>,
    claim: NameClaim,
    /// The largest message that passes; `None` while there is no link.
    max_payload: Option<usize>,
    log_id: Option<LogId>,
    epoch: Epoch,
    cleared: ClearedLogs,
    /// The histories that were left: no lower epoch of one of them is followed again.
    former: FormerLogs,
    log: Log,
    verified: Seq,
    reorder: Reorder,
    /// The history of a master that was refused because this node holds another one.
    foreign: Option<LogId>,
    /// The last heartbeat that has named this storage.
    answers: HeartbeatNumber,
    /// The other storage that heartbeats have named since, and how often in a row; for operators alone.
    named_instead: Shown<Option<(StorageId, u8)>>,
    /// An ACK is owed; to what.
    owed: Option<AckOf>,
    /// An ACK is owed once what is being written is durable; to what.
    owed_when_written: Option<AckOf>,
    /// A heartbeat has asked for the digest up to there.
    asked_digest: Shown<Option<Seq>>,
    owes_promise: bool,
    /// Somebody wants this node's name.
    owes_name: bool,
    fetching: Option<Fetching>,
    problem: Option<String>,
    repair: Repair,
    hello_at: Option<Time>,
    hello_backoff: Backoff,
    heartbeat_interval: Duration,
    master_interval: Duration,
    master_seen: Option<Time>,
    /// When the master that is followed was heard last.
    followed_at: Shown<Option<Time>>,
    master_url: Shown<Option<NodeUrl>>,
    master_tail: Tally,
    duplicates: Tally,
    forged: Tally,
    waiting: Vec<(W, u64)>,
    stopping: Option<Time>,
    said_goodbye: bool,
    end: Option<End>,
    shown: Option<Snapshot>,
    reads: Vec<Read>,
    messages: Vec<Outbound>,
    replies: Vec<Reply<W>>,
    events: Vec<Event>,
}

impl<W> Node for Follower<W> {
    type Command = Command<W>;
    type Reply = Reply<W>;

    fn step(&mut self, input: Input<Command<W>>, now: Time) {
        match input {
            Input::Client(Command::Clear { storage, waiter }) => self.clear(storage, waiter),
            Input::Client(Command::Rejoin { storage, waiter }) => self.rejoin(storage, waiter),
            Input::Message(message) => self.message(message, now),
            Input::OtherVersion(address, version) => self.other_version(&address, version),
            Input::NoResponders(Address::Ack(_, AckOf::Hello)) => {
                if self.claim.nobody_listens() {
                    self.hello_soon(now);
                }
            }
            Input::NoResponders(_) => {}
            Input::Link(LinkState::Up { max_payload }) => self.link_up(max_payload, now),
            Input::Link(LinkState::Down) => self.max_payload = None,
            Input::Written(result) => self.written(result, now),
            Input::Page(page) => self.page(page, now),
            Input::Damaged(seqs) => {
                let change = self.repair.update(seqs, self.log.last().seq);
                self.events.extend(change.into_events());
            }
            Input::Stream(_) | Input::Tick => {}
            Input::ShowCommitted => self.log.store_committed(),
            Input::Stop => {
                self.stopping.get_or_insert(now + STOP_PATIENCE);
            }
        }
        if self.claim.tick(now) {
            self.hello_soon(now);
        }
        if self.hello_at.is_some_and(|at| at <= now) {
            self.hello_at = Some(now + self.hello_backoff.next_wait());
            if self.max_payload.is_some() {
                self.owed.get_or_insert(AckOf::Hello);
            }
        }
    }

    fn ready(&mut self, now: Time) -> Ready<Reply<W>> {
        let write = self.log.next_write(self.hard_state(), None, now);
        let has_written = !self.log.is_writing() && self.log.deadline().is_none();
        if has_written {
            // Nothing of what came has to be written first.
            self.owed = self.owed_when_written.take().or(self.owed);
            self.answer_waiting(|rolled_back| Answer::Done { rolled_back });
        }
        self.speak(now);
        self.reads.extend(self.log.digest_read());
        let end = self.take_end(now);
        Ready {
            follow: None,
            write,
            reads: std::mem::take(&mut self.reads),
            messages: std::mem::take(&mut self.messages),
            replies: std::mem::take(&mut self.replies),
            snapshot: self.changed_snapshot(),
            events: std::mem::take(&mut self.events),
            end,
        }
    }

    fn deadline(&self, now: Time) -> Option<Time> {
        [
            self.claim.deadline(),
            self.hello_at,
            self.log.deadline().filter(|t| *t > now),
            self.stopping,
        ]
        .into_iter()
        .flatten()
        .min()
    }
}

impl<W> Follower<W> {
    /// A secondary that has just started, with what its journal holds and no link. Whose entries they are has to be shown
    /// again.
    #[must_use]
    pub fn new(config: FollowerConfig, restored: Restored) -> Self {
        let FollowerConfig {
            identity,
            heartbeat_interval,
            seed,
            url,
        } = config;
        let HardState {
            log_id,
            epoch,
            cleared,
            former,
            ..
        } = restored.hard_state.clone();
        let first_hello = (heartbeat_interval * 3).min(MAX_HELLO_WAIT);
        Self {
            node: identity.node.clone(),
            storage: identity.storage,
            url,
            claim: NameClaim::new(identity),
            max_payload: None,
            log_id,
            epoch,
            cleared,
            former: former.unwrap_or_default(),
            verified: Seq::ZERO,
            log: Log::new(restored),
            reorder: Reorder::default(),
            foreign: None,
            answers: HeartbeatNumber::default(),
            named_instead: Shown(None),
            owed: None,
            owed_when_written: None,
            asked_digest: Shown(None),
            owes_promise: false,
            owes_name: false,
            fetching: None,
            problem: None,
            repair: Repair::default(),
            hello_at: None,
            hello_backoff: Backoff::new(first_hello, MAX_HELLO_WAIT, seed),
            heartbeat_interval,
            master_interval: heartbeat_interval,
            master_seen: None,
            followed_at: Shown(None),
            master_url: Shown(None),
            master_tail: Tally::default(),
            duplicates: Tally::default(),
            forged: Tally::default(),
            waiting: Vec::new(),
            stopping: None,
            said_goodbye: false,
            end: None,
            shown: None,
            reads: Vec::new(),
            messages: Vec::new(),
            replies: Vec::new(),
            events: Vec::new(),
        }
    }

    // ---- Clients.

    fn clear(&mut self, storage: StorageId, waiter: W) {
        self.waiting.push((waiter, 0));
        self.empty(storage, None);
    }

    fn rejoin(&mut self, storage: StorageId, waiter: W) {
        if self.foreign.is_none() {
            let answer = Answer::NotDiverged;
            self.replies.push(Reply { waiter, answer });
            return;
        }
        self.waiting.push((waiter, self.log.last().seq.0));
        self.empty(storage, self.log_id);
        // It follows whatever master speaks next.
        self.log_id = None;
        self.epoch = Epoch::ZERO;
        self.cleared = ClearedLogs::default();
        self.former = FormerLogs::default();
    }

    /// The storage begins a new life with no entry in it. Whom it follows, and what was cleared away, it still knows.
    fn empty(&mut self, storage: StorageId, rollback_of: Option<LogId>) {
        self.log.forget_committed();
        self.log.truncate_after(Seq::ZERO, rollback_of);
        self.storage = storage;
        self.claim.renew(storage);
        self.answers = HeartbeatNumber::default();
        self.named_instead = Shown(None);
        self.verified = Seq::ZERO;
        self.asked_digest = Shown(None);
        self.reorder.clear();
        self.foreign = None;
        self.owed.get_or_insert(AckOf::Hello);
    }

    // ---- The network.

    fn message(&mut self, message: Message, now: Time) {
        match message {
            Message::Append(append) => self.receive(append, now),
            Message::Prepare(prepare) => self.promise(&prepare),
            Message::Fetch(fetch) => self.fetch(&fetch),
            Message::Claim(claim) => self.claimed(&claim),
            Message::Ack(ack) => {
                if self.claim.is_lost_to(&ack) {
                    self.end = Some(End::NameTaken(self.node.clone()));
                }
            }
            Message::Announcement(announcement) => self.announced(&announcement, now),
            Message::Promise(_) | Message::FetchResponse(_) => {}
        }
    }

    /// A master that starts or serves wants to know what everybody holds; the one that is followed knows it.
    fn announced(&mut self, announcement: &MasterAnnouncement, now: Time) {
        let Leadership { log_id, epoch } = announcement.leader;
        let is_followed = self.log_id == Some(log_id) && self.epoch == epoch;
        let knows = match announcement.state {
            MasterState::Recovering => false,
            MasterState::Serving => is_followed && self.master_seen.is_some(),
            MasterState::Stopping => true,
        };
        if !knows {
            self.hello_soon(now);
        }
    }

    fn other_version(&mut self, address: &Address, version: u32) {
        // Of a process of this name, or of a master while nobody of this version is followed: they cannot run together.
        let is_name = matches!(address, Address::Ack(..)) && !self.claim.is_won();
        let is_master = matches!(
            address,
            Address::Append(_)
                | Address::Heartbeat(_)
                | Address::Prepare(_)
                | Address::Fetch(_)
                | Address::Announce
        );
        if is_name || is_master && self.master_seen.is_none() {
            self.end = Some(End::OtherVersion(version));
        }
    }

    fn claimed(&mut self, claim: &Claim) {
        self.owes_name |= self.claim.comes_before(claim);
    }

    fn link_up(&mut self, max_payload: usize, now: Time) {
        self.max_payload = Some(max_payload);
        match self.claim.link_up(now) {
            Some(claim) => self.send(
                Address::Claim(self.node.clone()),
                Some(Address::Ack(self.node.clone(), AckOf::Hello)),
                Message::Claim(claim),
            ),
            None => self.hello_soon(now),
        }
    }

    /// Says what this node holds, unasked: on start, after a reconnect, and while no master is seen.
    fn hello_soon(&mut self, now: Time) {
        self.hello_at = Some(now);
    }

    /// Takes entries or a heartbeat.
    fn receive(&mut self, append: AppendEntries, now: Time) {
        if !self.claim.is_won() {
            return; // it comes again
        }
        let leader = append.leader;
        // A master has no entries of an epoch after its own.
        let is_of_later = |batch: &EntryBatch| batch.epoch() > leader.epoch;
        if leader.epoch.is_forged_above(self.epoch)
            || append.entries.as_ref().is_some_and(is_of_later)
        {
            self.forged.add(1);
            return;
        }
        self.master_seen = Some(now);
        self.hello_backoff.reset(Duration::ZERO);
        self.hello_at = Some(now + self.hello_backoff.next_wait());
        let owed = AckOf::Seq(append.last());
        if append.storage == Some(self.storage) {
            self.answers = HeartbeatNumber {
                master: leader.epoch.master,
                round: append.round,
            };
            self.named_instead = Shown(None);
        } else if let Some(other) = append.storage {
            self.is_named_instead(other, leader.epoch.master);
        }
        if !self.follows(leader, &append.cleared) {
            self.owed = Some(owed);
            return;
        }
        self.foreign = None;
        if !append.cleared.is_empty() {
            self.cleared = append.cleared;
        }
        self.followed_at = Shown(Some(now));
        if !append.interval.is_zero() {
            // One that says that it speaks less often than that is not believed.
            self.master_interval = append.interval.min(MAX_INTERVAL);
        }
        // Silence is as long as that of three heartbeats of a master that sends them less often.
        let longer = self.expected_interval() - self.heartbeat_interval;
        self.hello_at = self.hello_at.map(|at| at + longer * 3);
        self.master_tail.set(append.tail.0);
        if append.entries.is_none() && self.master_url.0 != append.url {
            self.master_url = Shown(append.url);
        }
        if let Some(digest) = append.digest {
            self.asked_digest = Shown(Some(digest.seq));
        }
        self.verify(append.prev);
        self.end_at(append.tail, leader.epoch);
        match append.entries {
            Some(batch) => {
                self.take_in(batch);
                self.owed_when_written = Some(owed);
            }
            // What is durable by now can be said whatever is being written.
            None => self.owed = Some(owed),
        }
        // Of what is not shown to be the master's nothing is known.
        if self.log.epochs().matches(append.prev) {
            let known = append.committed.up_to(self.verified);
            self.log.raise_committed(&known);
        }
    }

    /// A heartbeat of that master names another storage under this name. While one is only asked whether it answers this one
    /// goes on counting; once the same one is named again and again by a master that had named this one, it counts instead.
    fn is_named_instead(&mut self, other: StorageId, master: MasterId) {
        if self.answers.master != master {
            return; // this one never counted there, or is new itself
        }
        let Shown(before) = self.named_instead;
        let times = before.map_or(
            0,
            |(storage, times)| if storage == other { times } else { 0 },
        );
        self.named_instead = Shown(Some((other, times.saturating_add(1))));
        if times == TIMES_NAMED {
            let node = self.node.clone();
            self.events.push(Event::Clash { node });
        }
    }

    /// Whether the master of that epoch is followed: it is the one that was followed before, or has a higher epoch of the
    /// same history, or this node's own history gives way to its.
    fn follows(&mut self, leader: Leadership, cleared: &ClearedLogs) -> bool {
        if self.log_id == Some(leader.log_id) {
            if leader.epoch > self.epoch {
                self.follow(leader.epoch);
            }
            return leader.epoch == self.epoch;
        }
        if let Some(by) = self.cleared.cleared_by(leader.log_id) {
            // Late words of the old history; or a master has it that could not know that it was cleared away, and only
            // `rejoin` helps.
            if leader.epoch > by {
                self.foreign = Some(leader.log_id);
            }
            return false;
        }
        if self.was_left_later(leader) {
            return false;
        }
        if !self.gives_way(leader, cleared) {
            self.foreign = Some(leader.log_id);
            return false;
        }
        self.adopt(leader, cleared);
        true
    }

    /// Whether another history may be followed, which says that it has `cleared` those: nothing is here, or only what it has
    /// cleared away.
    fn gives_way(&self, leader: Leadership, cleared: &ClearedLogs) -> bool {
        let is_cleared = self
            .log_id
            .is_some_and(|mine| cleared.covers(mine, self.epoch));
        // One that was cleared so long ago that it is not remembered is no new one.
        let is_old =
            self.cleared.may_have_forgotten(leader.epoch) || self.former.may_have_forgotten(leader);
        self.log.last().seq == Seq::ZERO && !is_old || is_cleared
    }

    /// Whether a later epoch of that history, which was left, is known.
    fn was_left_later(&self, leader: Leadership) -> bool {
        let left = self.former.epoch_of(leader.log_id);
        left.is_some_and(|left| leader.epoch < left)
    }

    /// Another history, from its beginning.
    fn adopt(&mut self, leader: Leadership, cleared: &ClearedLogs) {
        self.log.forget_committed();
        if self.log.last().seq > Seq::ZERO {
            let by = self.log_id.and_then(|mine| cleared.cleared_by(mine));
            // What is not shown to be of the log that was cleared is nobody's to delete.
            let is_shown = self.verified == self.log.last().seq;
            let is_its = by == Some(self.epoch) && is_shown;
            let rollback_of = self.log_id.filter(|_| !is_its);
            self.log.truncate_after(Seq::ZERO, rollback_of);
        }
        // What the new history has cleared away is not followed again either way; the rest has to be kept in mind.
        let epoch = self.epoch;
        let mine = self.log_id.map(|log_id| Leadership { log_id, epoch });
        let is_kept = |left: &Leadership| {
            !cleared.covers(left.log_id, left.epoch) && !cleared.may_have_forgotten(left.epoch)
        };
        // Of what was cleared away not even the epoch that has cleared it comes back.
        let above = |epoch: Epoch| epoch.next_of(MasterId::default());
        let replaced = self.cleared.iter().map(|c| Leadership {
            log_id: c.log_id,
            epoch: c.epoch,
        });
        let replaced = replaced.filter(is_kept).map(|left| Leadership {
            epoch: above(left.epoch),
            ..left
        });
        for left in replaced.chain(mine.filter(is_kept)) {
            self.former.leave(left);
        }
        self.log_id = Some(leader.log_id);
        self.cleared = cleared.clone();
        self.follow(leader.epoch);
    }

    /// Another epoch of the same history: what this node holds is not yet shown to be its master's.
    fn follow(&mut self, epoch: Epoch) {
        self.epoch = epoch;
        self.verified = Seq::ZERO;
        self.asked_digest = Shown(None);
        self.master_tail.set(0);
        self.reorder.clear();
    }

    /// Two logs of one history that agree on a position agree on everything before it; where they do not, they differ in
    /// everything after it, and in what has a higher epoch before it.
    fn verify(&mut self, at: LogPosition) {
        if at.seq > self.log.last().seq {
            return;
        }
        match self.log.epochs().matches(at) {
            true => self.verified = self.verified.max(at.seq),
            false => self.roll_back_after(self.log.epochs().shared_with(at)),
        }
    }

    /// What a master placed before its epoch lies within its `tail`: more of that is not the master's.
    fn end_at(&mut self, tail: Seq, epoch: Epoch) {
        let next = self.log.epochs().at(tail.next());
        if next.is_some_and(|position| position.epoch < epoch) {
            self.roll_back_after(tail);
        }
    }

    /// Never what this epoch of the master has shown to be its own: that was acknowledged.
    fn roll_back_after(&mut self, keep: Seq) {
        if keep >= self.verified && keep < self.log.last().seq {
            self.log.truncate_after(keep, self.log_id);
        }
    }

    /// Takes entries of the master that is followed.
    fn take_in(&mut self, batch: EntryBatch) {
        // Where the first of them is another one here, so is everything after it; else the last one that is here tells.
        for seq in [batch.first(), batch.last()] {
            let last = self.log.last().seq;
            if batch.first() > last {
                break;
            }
            let shared = LogPosition {
                seq: seq.min(last),
                epoch: batch.epoch(),
            };
            self.verify(shared);
            if shared.seq <= self.log.last().seq && !self.log.epochs().matches(shared) {
                return; // it contradicts what this epoch of the master has shown before
            }
        }
        let known = self.log.last().seq.min(batch.last());
        if batch.first() <= known {
            self.duplicates.add(known.next().after(batch.first()));
            self.repair_with(&batch);
        }
        let Some(new) = batch.range(self.log.last().seq.next(), batch.last()) else {
            return;
        };
        if !self.append(new.clone()) {
            let offered = self.reorder.offer(new);
            self.duplicates.add(offered.duplicates);
            return;
        }
        self.append_held();
    }

    /// Appends what was held back and has its turn now.
    fn append_held(&mut self) {
        while self.may_append()
            && let Some(held) = self.reorder.take(self.log.last().seq.next())
        {
            self.append(held);
        }
    }

    /// Appends entries, if they follow what is shown to be the master's: else its entries would be put on a foreign trunk.
    fn append(&mut self, batch: EntryBatch) -> bool {
        let follows = self.may_append() && batch.first() == self.log.last().seq.next();
        if follows {
            self.verified = batch.last();
            self.log.append(batch);
        }
        follows
    }

    /// Whether all that is here is shown to be the master's, and the journal keeps up.
    fn may_append(&self) -> bool {
        self.verified == self.log.last().seq && !self.log.is_full()
    }

    /// Damaged entries that are among those that came are written again.
    fn repair_with(&mut self, batch: &EntryBatch) {
        let damaged: Vec<Seq> = self.repair.damaged().to_vec();
        for seq in damaged.into_iter().filter(|seq| *seq <= self.verified) {
            if let Some(entry) = batch.range(seq, seq)
                && self.log.epochs().matches(entry.last_position())
            {
                self.log.repair(entry);
            }
        }
    }

    // ---- A master that starts.

    /// A master asks to follow no lower epoch. One that holds nothing, or what was cleared away, promises too: the former
    /// master could still be the first one that it hears.
    fn promise(&mut self, prepare: &Prepare) {
        let Prepare { leader, cleared } = prepare;
        if leader.epoch.is_forged_above(self.epoch) {
            self.forged.add(1);
            return;
        }
        if self.log_id == Some(leader.log_id) {
            if leader.epoch > self.epoch {
                self.follow(leader.epoch);
            }
        } else if self.gives_way(*leader, cleared)
            && !self.was_left_later(*leader)
            && self.cleared.cleared_by(leader.log_id).is_none()
        {
            self.adopt(*leader, cleared);
        }
        self.owes_promise = true;
    }

    /// A master asks for entries: it has the promise, and the log is still what was promised.
    fn fetch(&mut self, fetch: &Fetch) {
        let follows = (self.log_id, self.epoch) == (Some(fetch.leader.log_id), fetch.leader.epoch);
        if fetch.storage != self.storage || !follows || self.log.is_truncating() {
            return; // it is asked again
        }
        let shared = self
            .log
            .epochs()
            .shared_with(fetch.prev)
            .min(self.log.durable());
        let prev = self.log.epochs().at(shared).unwrap_or_default();
        self.fetching = Some(Fetching {
            leader: fetch.leader,
            prev,
        });
        let first = prev.seq.next();
        let room = self.max_payload.unwrap_or(0).saturating_sub(ENVELOPE_BYTES);
        self.reads.push(Read {
            purpose: Purpose::Fetch(fetch.leader),
            query: Query::Range {
                first,
                last: self
                    .log
                    .epochs()
                    .end_of_epoch(first)
                    .min(self.log.durable()),
                max_bytes: fetch.max_bytes.min(room),
            },
        });
    }

    fn page(&mut self, page: Page, now: Time) {
        if let Purpose::Digest(revision) = page.purpose {
            return self.digest_page(revision, page.entries);
        }
        let Some(Fetching { leader, prev }) = self.fetching.take() else {
            return;
        };
        let follows = (self.log_id, self.epoch) == (Some(leader.log_id), leader.epoch);
        if page.purpose != Purpose::Fetch(leader) || !follows {
            return;
        }
        let entries = match page.entries {
            Ok(entries) => entries,
            Err(ReadError::Damaged(_)) => {
                // No answer: the master asks somebody else, and is told why.
                self.hello_soon(now);
                return;
            }
            Err(_) => return,
        };
        let is_next = |batch: &EntryBatch| batch.first() == prev.seq.next();
        if !entries.as_ref().is_none_or(is_next) || !self.is_durable() {
            return;
        }
        let response = FetchResponse {
            position: self.position(),
            prev,
            entries,
        };
        let to = Address::Fetched(self.node.clone());
        self.send(to, None, Message::FetchResponse(response));
    }

    // ---- The digest of the log.

    /// The digest that the master has asked for; or, while that takes some reading, the last one before it that is known, if there
    /// is any. Only of what is acknowledged.
    fn digest_to_say(&mut self, upto: Seq) -> Option<DigestAt> {
        let asked = self.asked_digest.0.filter(|asked| *asked <= upto)?;
        let damaged = &self.repair;
        self.log.want_digest(asked, |seq| damaged.has(seq));
        let digest = self.log.digest_at(asked);
        if digest.is_some() {
            self.asked_digest = Shown(None);
            return digest;
        }
        let known = self.log.digests().last_mark(asked);
        self.log.digest_at(known).filter(|_| known > Seq::ZERO)
    }

    /// More of the digests is known: the master is told, if it has asked for that.
    fn digest_page(&mut self, revision: u64, entries: Result<Option<EntryBatch>, ReadError>) {
        self.log.digest_page(revision, entries);
        if let Some(asked) = self.asked_digest.0
            && self.log.digest_at(asked).is_some()
        {
            self.owed.get_or_insert(AckOf::Seq(asked));
        }
    }

    // ---- The journal.

    fn hard_state(&self) -> HardState {
        HardState {
            log_id: self.log_id,
            epoch: self.epoch,
            cleared: self.cleared.clone(),
            former: Some(&self.former).filter(|f| !f.is_empty()).cloned(),
            ..HardState::default()
        }
    }

    fn written(&mut self, result: WriteResult, now: Time) {
        match self.log.written(result, now) {
            Written::Done {
                rolled_back,
                was_committed,
            } => {
                self.problem = None;
                self.append_held();
                let event = rolled_back.map(|tail| Event::rolled_back(tail, was_committed));
                self.events.extend(event);
                self.owed = self.owed_when_written.take().or(self.owed);
                if !self.log.is_truncating() {
                    self.answer_waiting(|rolled_back| Answer::Done { rolled_back });
                }
            }
            Written::DiskFull => {
                let problem = "the disk is full".to_owned();
                self.problem = Some(problem);
                self.owed = self.owed_when_written.take().or(self.owed);
                self.answer_waiting(|_| Answer::DiskFull);
            }
            Written::Failed(why) => self.end = Some(End::StorageFailed(why)),
            Written::Conflict { .. } => {
                let why = "another process has written to this journal".to_owned();
                self.end = Some(End::StorageFailed(why));
            }
        }
    }

    fn answer_waiting(&mut self, answer: impl Fn(u64) -> Answer) {
        for (waiter, rolled_back) in std::mem::take(&mut self.waiting) {
            let answer = answer(rolled_back);
            self.replies.push(Reply { waiter, answer });
        }
    }

    /// Whether a process that ended now would know again whom it follows and what it has promised.
    fn is_durable(&self) -> bool {
        let stored = self.log.hard_state();
        (stored.log_id, stored.epoch) == (self.log_id, self.epoch) && !self.log.is_truncating()
    }

    // ---- What is said.

    /// Says what is owed, as far as it is durable.
    fn speak(&mut self, now: Time) {
        if self.max_payload.is_none() || self.end.is_some() {
            return;
        }
        if std::mem::take(&mut self.owes_name) {
            // The name is taken, whatever else this node may say.
            let ack = self.durable_position();
            self.send_ack(AckOf::Hello, ack);
        }
        if !self.is_durable() {
            return;
        }
        if std::mem::take(&mut self.owes_promise) {
            let position = self.position();
            let to = Address::Promise(self.node.clone());
            self.send(to, None, Message::Promise(Promise { position }));
        }
        if !self.claim.is_won() {
            return;
        }
        if let Some(of) = self.owed.take() {
            let position = self.position();
            let ack = Ack {
                damaged: self.repair.to_name(now),
                error: self.problem.clone(),
                digest: self.digest_to_say(position.upto),
                ..position
            };
            self.send_ack(of, ack);
        }
        if self.stopping.is_some() && !self.log.is_writing() && !self.said_goodbye {
            self.said_goodbye = true;
            let ack = Ack {
                is_goodbye: true,
                ..self.position()
            };
            self.send_ack(AckOf::Goodbye, ack);
        }
    }

    fn send_ack(&mut self, of: AckOf, ack: Ack) {
        let to = Address::Ack(self.node.clone(), of);
        let url = self.url.clone();
        self.send(to, None, Message::Ack(Ack { url, ..ack }));
    }

    fn send(&mut self, to: Address, reply_to: Option<Address>, message: Message) {
        self.messages.push(Outbound {
            to,
            reply_to,
            message,
        });
    }

    /// "I hold everything up to ...", as far as it is durable.
    #[must_use]
    pub fn position(&self) -> Ack {
        let durable = self.log.durable();
        Ack {
            node: self.node.clone(),
            storage: self.storage,
            log_id: self.log_id,
            epoch: self.epoch,
            upto: self.verified.min(durable),
            last: self.log.epochs().at(durable).unwrap_or_default(),
            held_from: self.reorder.first(),
            answers: self.answers,
            cleared: self.cleared.clone(),
            damaged: None,
            error: None,
            is_goodbye: false,
            url: None,
            digest: None,
        }
    }

    /// The same as far as it would be known again after a restart; of the entries, none.
    fn durable_position(&self) -> Ack {
        if self.is_durable() {
            return self.position();
        }
        let stored = self.log.hard_state();
        Ack {
            log_id: stored.log_id,
            epoch: stored.epoch,
            upto: Seq::ZERO,
            last: LogPosition::default(),
            held_from: None,
            cleared: stored.cleared.clone(),
            ..self.position()
        }
    }

    /// Whether the node has come to its end.
    fn take_end(&mut self, now: Time) -> Option<End> {
        if let Some(until) = self.stopping {
            let is_idle = !self.log.is_writing() && (self.said_goodbye || self.is_mute());
            if is_idle || now >= until {
                for (waiter, _) in std::mem::take(&mut self.waiting) {
                    let answer = Answer::Stopping;
                    self.replies.push(Reply { waiter, answer });
                }
                return Some(self.end.take().unwrap_or(End::Stopped));
            }
        }
        self.end.take()
    }

    /// Whether nobody can be told goodbye.
    fn is_mute(&self) -> bool {
        self.max_payload.is_none() || !self.claim.is_won() || !self.is_durable()
    }

    // ---- What readers and operators may see.

    /// The snapshot, if it has changed. What is not durable is not shown; what was shown before is, meanwhile.
    fn changed_snapshot(&mut self) -> Option<Snapshot> {
        if !self.is_durable() && self.shown.is_some() {
            return None;
        }
        let last = self.log.durable();
        let snapshot = Snapshot {
            leadership: self.log_id.map(|log_id| Leadership {
                log_id,
                epoch: self.epoch,
            }),
            last,
            committed: self.log.hard_state().committed.up_to(last),
            committed_soon: self.log.committed().up_to(last),
            generation: self.log.generation(),
            is_readable: true,
            diverged_from: self.foreign,
        };
        if self.shown.as_ref() == Some(&snapshot) {
            return None;
        }
        self.shown = Some(snapshot.clone());
        Some(snapshot)
    }

    /// Its name.
    #[must_use]
    pub fn node(&self) -> &NodeId {
        &self.node
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Up to here it holds what its master has.
    #[must_use]
    pub fn verified(&self) -> Seq {
        self.verified
    }

    /// How many entries it holds back.
    #[must_use]
    pub fn held_back(&self) -> u64 {
        self.reorder.len()
    }

    /// How many entries came more than once.
    #[must_use]
    pub fn duplicates(&self) -> u64 {
        self.duplicates.get()
    }

    /// How many messages were dropped because of an epoch that no honest node can have.
    #[must_use]
    pub fn forged(&self) -> u64 {
        self.forged.get()
    }

    /// The end of the master's log, as far as it has said.
    #[must_use]
    pub fn master_tail(&self) -> Seq {
        Seq(self.master_tail.get())
    }

    /// What is committed of its log, as far as masters have said.
    #[must_use]
    pub fn committed(&self) -> &Committed {
        self.log.committed()
    }

    /// When the master that is followed was heard last; what it has said is of that moment.
    #[must_use]
    pub fn followed_at(&self) -> Option<Time> {
        self.followed_at.0
    }

    /// When any master was seen last.
    #[must_use]
    pub fn master_seen(&self) -> Option<Time> {
        self.master_seen
    }

    /// Where clients reach the master that is followed, by its own word.
    #[must_use]
    pub fn master_url(&self) -> Option<&NodeUrl> {
        self.master_url.0.as_ref()
    }

    /// How often the master says that it lives: the larger one of its own interval and this node's.
    #[must_use]
    pub fn expected_interval(&self) -> Duration {
        self.master_interval.max(self.heartbeat_interval)
    }

    /// The history of a master that it does not follow because it holds another one.
    #[must_use]
    pub fn foreign(&self) -> Option<LogId> {
        self.foreign
    }

    /// Damaged entries that are being repaired.
    #[must_use]
    pub fn repair(&self) -> &Repair {
        &self.repair
    }
}
