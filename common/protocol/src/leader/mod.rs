//! The master as a value: gives positions, knows who holds what, answers those who wait.
//!
//! One owner decides everything, so there are no two steps between "position given" and "appended", and no wake-up to lose.

mod append;
mod attention;
pub mod backoff;
mod catch_up;
mod clients;
pub mod command;
pub mod commit;
pub mod dedup;
mod fan_out;
pub mod health;
mod holders;
mod keys;
mod message_size;
pub mod pace;
pub mod peer;
pub mod peers;
pub mod phase;
pub mod progress;
pub mod recovery;
mod repairs;
mod request_ids;
pub mod settings;
pub mod shared_journal;
pub mod standby;
pub mod verification;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::chunk::{ChunkHead, ChunkKind};
use crate::cleared_logs::{ClearedLog, ClearedLogs, KnownClearings};
use crate::committed::Committed;
use crate::digest::DigestAt;
use crate::entry::EntryBatch;
use crate::epochs::LogPosition;
use crate::event::Event;
use crate::hard_state::HardState;
use crate::ids::{Epoch, Leadership, LogId, MasterId, NodeId, Seq, Time};
use crate::log::{Log, Written};
use crate::node::{
    End, Input, LinkState, Node, Outbound, Page, Purpose, Query, Read, ReadError, Ready, Restored,
    Snapshot, StreamEvent, WriteJob, WriteResult,
};
use crate::node_url::NodeUrl;
use crate::repair::Repair;
use crate::tally::{Shown, Tally};
use crate::wire::{
    Ack, AckOf, Address, AppendEntries, ENVELOPE_BYTES, FetchResponse, MasterAnnouncement,
    MasterState, Message, Promise, REQUEST_IDS_BYTES,
};

use append::{Admission, LookUp, Obstacle, Pending, Plan};
use catch_up::CatchUp;
use clients::Clients;
pub use clients::PATIENCE;
use command::{
    Answer, Append, AppendError, Appended, Await, Command, Reply, Unavailable, WaitEnd, Waiter,
};
use commit::Commit;
use dedup::{Dedup, DeduplicateBy};
use fan_out::{FanOut, Waited};
use pace::Pace;
use peer::{AckEffect, LeaderView, Peer, Transmit};
use peers::{Peers, Sent};
use phase::{FencedBy, Pause, Phase};
use recovery::{Found, OwnLog, Recovery, RecoverySettings, Take};
use repairs::Repairs;
use request_ids::RequestIds;
use settings::Replication;
use shared_journal::SharedJournal;
use standby::Standby;
use verification::{Difference, Verification};

/// How long a master that stops waits for its journal.
const STOP_PATIENCE: Duration = Duration::from_secs(2);
/// The broker's own default, until it has said what it takes.
const DEFAULT_MAX_PAYLOAD: usize = 1 << 20;
/// Bytes of entries that one answer to a [`Fetch`] is to have, at most.
const FETCH_BYTES: usize = 256 << 10;
/// A gap between two calls that is longer than `--suspect-after`, and than this, is a pause of the master itself; a busy
/// machine is no suspended one.
const MIN_PAUSE: Duration = Duration::from_secs(1);

/// What a leader is started with.
#[derive(Clone, Debug)]
pub struct LeaderConfig {
    /// This start of the program.
    pub master: MasterId,
    /// The id of the history that begins if nobody has any.
    pub new_log_id: LogId,
    /// The listed members; `None` takes whoever joins.
    pub listed: Option<Vec<NodeId>>,
    /// What makes two appends the same message.
    pub deduplicate_by: DeduplicateBy,
    /// Whether other masters write to the journal as well: this one begins as a standby. Else entries are sent before the journal
    /// has written them, so that the nodes write at the same time (Raft thesis, 10.2.1).
    pub shares_journal: bool,
    /// How many of the newest message ids are kept in memory, and up to as many more; older ones are found in the journal.
    /// `None` keeps all of them.
    pub remember_ids: Option<usize>,
    /// Whether appends are refused while fewer than a majority is alive.
    pub read_only_without_quorum: bool,
    /// How long the recovery waits for whom.
    pub recovery: RecoverySettings,
    /// The settings of replication.
    pub replication: Replication,
    /// Where clients reach this master.
    pub url: Option<NodeUrl>,
}

/// The link to the broker, as the leader knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Link {
    Up { max_payload: usize },
    Down { since: Time, max_payload: usize },
}

impl Link {
    fn is_up(self) -> bool {
        matches!(self, Self::Up { .. })
    }

    fn max_payload(self) -> usize {
        match self {
            Self::Up { max_payload } | Self::Down { max_payload, .. } => max_payload,
        }
    }
}

/// The master. `W` is through whom a waiting client is answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Leader<W> {
    /// This start.
    master: MasterId,
    settings: Replication,
    recovery_settings: RecoverySettings,
    read_only_without_quorum: bool,
    /// The journal, if other masters write to it as well.
    shared: Option<SharedJournal>,
    url: Option<NodeUrl>,
    /// The history that this start began, or would begin.
    new_log_id: LogId,
    leadership: Leadership,
    cleared: ClearedLogs,
    /// While the history is empty: what was said of others when it was recovered. A cleared one is never adopted.
    clearings: KnownClearings,
    phase: Phase,
    link: Link,
    log: Log,
    dedup: Dedup,
    peers: Peers,
    catch_up: CatchUp,
    fan_out: FanOut,
    clients: Clients<W>,
    /// Somebody waits for what lies up to here: it is sent at once.
    urgent: Seq,
    /// The last entry that was sent before it was written: it stays in its place whatever becomes of the write.
    sent_unwritten: Seq,
    /// When the rest is sent.
    linger_until: Option<Time>,
    /// The highest number that was put into a heartbeat.
    round: u64,
    repairs: Repairs,
    request_ids: RequestIds,
    verification: Shown<Verification<W>>,
    not_seen: Vec<NodeId>,
    /// Said once the new epoch is durable.
    serving: Option<Event>,
    said_no_quorum: bool,
    last_called: Time,
    forged: Tally,
    end: Option<End>,
    shown: Option<Snapshot>,
    reads: Vec<Read>,
    messages: Vec<Outbound>,
    events: Vec<Event>,
}

impl<W: Waiter> Node for Leader<W> {
    type Command = Command<W>;
    type Reply = Reply<W>;

    fn step(&mut self, input: Input<Command<W>>, now: Time) {
        self.notice_own_pause(now);
        match input {
            Input::Client(command) => self.command(command, now),
            Input::Message(message) => self.message(message, now),
            Input::OtherVersion(address, version) => self.other_version(&address, version, now),
            Input::NoResponders(Address::Ack(node, _)) => {
                if let Some(peer) = self.peers.get_mut(&node) {
                    peer.nobody_listens();
                }
            }
            Input::NoResponders(_) | Input::Tick => {}
            Input::ShowCommitted => self.log.store_committed(),
            Input::Link(LinkState::Up { max_payload }) => self.link_up(max_payload, now),
            Input::Link(LinkState::Down) => self.link_down(now),
            Input::Written(result) => self.written(result, now),
            Input::Stream(event) => self.stream(event, now),
            Input::Page(page) => self.page(page, now),
            Input::Damaged(seqs) => {
                let last = self.log.last().seq;
                self.events.extend(self.repairs.update(seqs, last));
            }
            Input::Stop => {
                self.phase.stop(now + STOP_PATIENCE);
                self.clients.refuse_unplaced(Unavailable::Stopping);
            }
        }
        self.advance(now);
    }

    fn ready(&mut self, now: Time) -> Ready<Reply<W>> {
        self.read_to_move();
        let write = self.next_write(now);
        self.recover_messages(now);
        self.transmit(now);
        if self.leads() && self.link.is_up() {
            let asks = (self.repairs).ask(&self.peers, self.leadership, &self.log, now);
            self.messages.extend(asks);
        }
        self.show_life(now);
        self.reads.extend(self.log.digest_read());
        let end = self.take_end(now);
        Ready {
            follow: self.shared.as_mut().and_then(SharedJournal::take_follow),
            write,
            reads: std::mem::take(&mut self.reads),
            messages: std::mem::take(&mut self.messages),
            replies: self.clients.take_replies(),
            snapshot: self.changed_snapshot(),
            events: std::mem::take(&mut self.events),
            end,
        }
    }

    fn deadline(&self, now: Time) -> Option<Time> {
        // A look at the clock often enough, with nobody to wait for too, or a pause would go unnoticed.
        let look = self.last_called + self.pause_limit() / 4;
        let turns = [
            self.catch_up.deadline(&self.settings).filter(|t| *t > now),
            self.fan_out.deadline(self.peers.len(), now),
        ];
        let turns = turns.into_iter().flatten().min();
        let peers = self.peers.deadline(now).into_iter().chain(turns).min();
        let peers = peers.filter(|_| self.link.is_up());
        let recovery = self.phase.recovery().and_then(|r| r.deadline(now));
        let stop = match &self.phase {
            Phase::Stopping { until, .. } => Some(*until),
            _ => None,
        };
        let pause_end = match &self.phase {
            Phase::Paused(pause) => Some(self.pause_end(pause, now)).filter(|t| *t > now),
            _ => None,
        };
        let shared = self.shared.as_ref();
        let claim = (self.phase.standby())
            .and_then(Standby::deadline)
            .filter(|t| *t > now && self.link.is_up());
        let late = shared.and_then(SharedJournal::late_at);
        let silent = shared.and_then(SharedJournal::silent_at);
        [
            Some(look),
            claim,
            late.filter(|t| *t > now),
            silent.filter(|t| *t > now),
            shared
                .map(SharedJournal::sign_due)
                .filter(|_| self.shows_life()),
            peers,
            recovery,
            stop,
            pause_end,
            self.linger_until,
            self.clients.deadline(),
            self.verification.0.deadline(),
            self.log.deadline().filter(|t| *t > now),
            self.repairs.own().deadline().filter(|t| *t > now),
        ]
        .into_iter()
        .flatten()
        .min()
    }
}

impl<W: Waiter> Leader<W> {
    /// A master that has just started, with what its journal holds and a link that is down.
    #[must_use]
    pub fn new(config: LeaderConfig, restored: Restored) -> Self {
        let listed: Option<BTreeSet<NodeId>> = config.listed.clone().map(BTreeSet::from_iter);
        let hard_state = restored.hard_state.clone();
        let own = hard_state.log_id.map(|log_id| OwnLog {
            log_id,
            epoch: hard_state.epoch,
            cleared: hard_state.cleared.clone(),
            is_partial: hard_state.is_partial,
        });
        let last = restored.last.seq;
        let phase = match config.shares_journal {
            true => Phase::Standby(Box::new(Standby::new(
                config.replication.heartbeat_interval,
                spread(config.master),
            ))),
            false => Phase::Recovering(Box::new(Recovery::new(
                config.recovery.clone(),
                config.master,
                listed,
                own,
            ))),
        };
        let interval = config.replication.heartbeat_interval;
        let shared = config
            .shares_journal
            .then(|| SharedJournal::new(config.master, interval, &hard_state));
        let mut dedup = Dedup::new(config.deduplicate_by, config.remember_ids).after(last);
        dedup.set_durable(last);
        let mut clients = Clients::default();
        clients.commit_mut().set_master(last);
        Self {
            master: config.master,
            new_log_id: config.new_log_id,
            leadership: Leadership {
                log_id: hard_state.log_id.unwrap_or(config.new_log_id),
                epoch: match config.shares_journal {
                    true => hard_state.epoch,
                    false => Epoch {
                        n: hard_state.epoch.n,
                        master: config.master,
                    },
                },
            },
            cleared: hard_state.cleared,
            clearings: KnownClearings::default(),
            phase,
            link: Link::Down {
                since: Time::ZERO,
                max_payload: DEFAULT_MAX_PAYLOAD,
            },
            dedup,
            log: Log::new(restored),
            peers: Peers::new(config.listed, &config.replication),
            catch_up: CatchUp::default(),
            fan_out: FanOut::default(),
            clients,
            settings: config.replication,
            recovery_settings: config.recovery,
            read_only_without_quorum: config.read_only_without_quorum,
            shared,
            url: config.url,
            sent_unwritten: Seq::ZERO,
            urgent: Seq::ZERO,
            linger_until: None,
            round: 0,
            repairs: Repairs::default(),
            request_ids: RequestIds::default(),
            verification: Shown::default(),
            not_seen: Vec::new(),
            serving: None,
            said_no_quorum: false,
            last_called: Time::ZERO,
            forged: Tally::default(),
            end: None,
            shown: None,
            reads: Vec::new(),
            messages: Vec::new(),
            events: Vec::new(),
        }
    }

    // ---- Clients.

    fn command(&mut self, command: Command<W>, now: Time) {
        if let Some(error) = self.stands_by() {
            return self.clients.refuse(command.into_waiter(), error);
        }
        match command {
            Command::Append(append) => self.append(append, now),
            Command::Await(wait) => self.await_holders(wait, now),
            Command::Clear { log_id, waiter } => self.clear(log_id, waiter, now),
            Command::Remove { node, waiter } => self.remove(&node, waiter, now),
            Command::Verify { wait, waiter } => self.verify(wait, waiter, now),
        }
    }

    fn append(&mut self, append: Append<W>, now: Time) {
        let until = append.timeout.map(|timeout| now + timeout);
        self.admit(
            Pending {
                append,
                until,
                looked_up: BTreeMap::new(),
            },
            now,
        );
    }

    /// Lets a client wait until so many nodes hold an entry that is in the log, whoever has appended it.
    fn await_holders(&mut self, wait: Await<W>, now: Time) {
        let Await {
            log_id,
            seq,
            message_id,
            w,
            timeout,
            waiter,
        } = wait;
        let measure = w.measure();
        let w = match self.peers.write_concern(w) {
            Ok(w) => w,
            Err(error) => return self.clients.refuse(waiter, error.into()),
        };
        if self.phase.recovery().is_some() {
            let recovering = AppendError::Unavailable(Unavailable::Recovering);
            return self.clients.refuse(waiter, recovering);
        }
        let position = self.log.epochs().at(seq);
        let position = position.filter(|_| log_id == self.leadership.log_id);
        let appended = Appended {
            log_id,
            epoch: position.map_or(0, |p| p.epoch.n),
            first: seq,
            last: seq,
            message_id,
            w,
            duplicate: true,
        };
        if position.is_none() {
            return self.clients.gone(appended, waiter);
        }
        if self.clients.waiting() >= self.settings.max_waiting {
            self.clients.forget_who_left();
        }
        let has_room = self.clients.waiting() < self.settings.max_waiting;
        if !has_room && self.clients.commit().acks(seq) < w {
            let full = AppendError::Unavailable(Unavailable::TooManyWaiting);
            return self.clients.refuse(waiter, full);
        }
        let until = Some(now + timeout);
        self.clients.wait(appended, measure, until, waiter);
    }

    /// Admits messages, or lets them wait for what has to be known first.
    fn admit(&mut self, pending: Pending<W>, now: Time) {
        // It may have lost its turn while they waited.
        if let Some(error) = self.stands_by() {
            return self.clients.refuse(pending.append.waiter, error);
        }
        if let Err(error) = self.peers.write_concern(pending.append.w) {
            self.clients.refuse(pending.append.waiter, error.into());
            return;
        }
        if self.waits_for_recovery(&pending.append) {
            let max = self.settings.max_waiting;
            self.clients.park(pending, max, now);
            return;
        }
        let mut plan = self.plan(&pending, now);
        if plan == Err(AppendError::Unavailable(Unavailable::TooManyWaiting).into()) {
            // Clients that hung up still have their places: free them, then look again.
            self.clients.forget_who_left();
            plan = self.plan(&pending, now);
        }
        match plan {
            Ok(plan) => self.carry_out(plan, pending, now),
            Err(Obstacle::Refused(error)) => self.clients.refuse(pending.append.waiter, error),
            Err(Obstacle::LookUp(questions)) => {
                let (generation, covers) = (self.log.generation(), self.log.durable());
                let asked = questions.iter().map(|(index, _)| LookUp {
                    index: *index,
                    generation,
                    covers,
                });
                let ticket = self.clients.look_up(asked.collect(), pending);
                let queries = questions.into_iter().map(|(_, query)| query);
                self.reads
                    .extend((ticket..).zip(queries).map(|(ticket, query)| Read {
                        purpose: Purpose::Duplicate(ticket),
                        query,
                    }));
            }
        }
    }

    /// What becomes of these messages; changes nothing.
    fn plan(&mut self, pending: &Pending<W>, now: Time) -> Result<Plan, Obstacle> {
        let waiting = self.clients.waiting();
        let unavailable = self.unavailable(now);
        let commit = self.clients.commit();
        let mut admission = Admission {
            leadership: self.leadership,
            peers: &self.peers,
            dedup: &self.dedup,
            log: &mut self.log,
            unavailable,
            has_room: waiting < self.settings.max_waiting,
            max_content: content_room(self.link.max_payload()),
            max_batch: self.shared.as_ref().map(SharedJournal::entries_room),
            acks: &|seq| commit.acks(seq),
        };
        admission.admit(pending)
    }

    fn carry_out(&mut self, plan: Plan, pending: Pending<W>, now: Time) {
        let Append {
            requests,
            w: asked,
            request_id,
            waiter,
            ..
        } = pending.append;
        let appended = match plan {
            Plan::Join(appended) => appended,
            Plan::Place { w, count } => {
                let epoch = self.leadership.epoch;
                let first = self.log.last().seq.next();
                // A run of a load may be in several chunks, anything else is in one.
                let is_run = pending.append.load.is_some();
                let max_chunk = self.shared.as_ref().map(SharedJournal::entries_room);
                if let Some(max) = max_chunk.filter(|_| !is_run) {
                    self.log
                        .begin_group(append::bytes_of(&requests[..count]), max);
                }
                for request in &requests[..count] {
                    if let Some(max) = max_chunk.filter(|_| is_run) {
                        let bytes = append::bytes_of(std::slice::from_ref(request));
                        self.log.begin_group(bytes, max);
                    }
                    let seq = self.log.place(epoch, request.message_id, &request.content);
                    self.dedup.insert(request.message_id, &request.content, seq);
                }
                let last = self.log.last().seq;
                if let Some(request_id) = request_id {
                    self.request_ids.note(first, last, request_id);
                }
                if w > 1 {
                    self.urgent = last;
                } else if self.linger_until.is_none() {
                    self.linger_until = Some(now + self.settings.linger);
                }
                Appended {
                    log_id: self.leadership.log_id,
                    epoch: epoch.n,
                    first,
                    last,
                    message_id: requests.first().map(|r| r.message_id).unwrap_or_default(),
                    w,
                    duplicate: false,
                }
            }
        };
        let measure = asked.measure();
        self.clients.wait(appended, measure, pending.until, waiter);
    }

    /// Whether an append has to wait until it is clear that this is the master, and of what. A message that is in the log is
    /// answered all the same, unless it is not even clear which log that is.
    fn waits_for_recovery(&self, append: &Append<W>) -> bool {
        let is_there = || {
            let mut all = append.requests.iter();
            all.all(|r| self.dedup.find(r.message_id, &r.content).is_some())
        };
        match &self.phase {
            Phase::Recovering(_) => true,
            Phase::Paused(_) => !is_there(),
            _ => false,
        }
    }

    /// Admits what waits for the recovery once it is over, and refuses those whose patience is.
    fn release_parked(&mut self, now: Time) {
        if self.phase.unavailable() == Some(Unavailable::Recovering) {
            self.clients.refuse_impatient(now);
            return;
        }
        for pending in self.clients.take_parked() {
            self.admit(pending, now);
        }
    }

    /// Begins a new, empty history that names this one as replaced.
    fn clear(&mut self, log_id: LogId, waiter: W, now: Time) {
        let hindrance = self
            .unavailable(now)
            .filter(|r| !matches!(r, Unavailable::NoQuorum | Unavailable::DiskFull));
        if let Some(reason) = hindrance {
            let error = AppendError::Unavailable(reason);
            self.clients.refuse(waiter, error);
            return;
        }
        let Leadership { log_id: old, epoch } = self.leadership;
        self.cleared.push(ClearedLog { log_id: old, epoch });
        self.leadership = Leadership {
            log_id,
            epoch: epoch.next_of(epoch.master),
        };
        self.truncate_after(Seq::ZERO, None);
        self.sent_unwritten = Seq::ZERO;
        self.urgent = Seq::ZERO;
        self.linger_until = None;
        self.clients.cleared(waiter, self.leadership);
        self.verification.0.reset();
        for (_, peer) in self.peers.iter_mut() {
            peer.reset();
        }
    }

    /// Takes a secondary that is gone out of those that are known: see [`Command::Remove`]. Nothing of that is stored: who
    /// speaks is known.
    fn remove(&mut self, node: &NodeId, waiter: W, now: Time) {
        if let Some(reason) = self.phase.unavailable() {
            let error = AppendError::Unavailable(reason);
            return self.clients.refuse(waiter, error);
        }
        let peer = match self.peers.remove(node, now) {
            Ok(peer) => peer,
            Err(why) => return self.clients.tell(waiter, Answer::NotRemoved(why)),
        };
        if peer.health().silence(now).is_some() {
            // It was heard after all; who was not remains one whose entries may be missing.
            self.not_seen.retain(|other| other != node);
        }
        self.repairs.forget(node);
        self.verification.0.forget(node);
        self.peers.update_pace(&self.settings, now);
        let members = self.peers.count();
        self.clients.commit_mut().remove_member(node);
        self.clients.shrink(members);
        self.clients.tell(waiter, Answer::Removed { members });
        let node = node.clone();
        self.events.push(Event::Removed { node });
    }

    /// Asks every secondary for the digest of its log; who waits is told in [`Leader::tell_verified`].
    fn verify(&mut self, wait: Duration, waiter: W, now: Time) {
        if let Some(reason) = self.phase.unavailable() {
            let error = AppendError::Unavailable(reason);
            return self.clients.refuse(waiter, error);
        }
        self.round += 1;
        let (asked, until) = ((self.round, self.log.durable()), now + wait);
        match (self.verification.0).wait(&self.peers, asked, until, waiter) {
            Ok(()) => self.peers.iter_mut().for_each(|(_, peer)| peer.ask_now()),
            Err(waiter) => {
                let full = AppendError::Unavailable(Unavailable::TooManyWaiting);
                self.clients.refuse(waiter, full);
            }
        }
    }

    /// Tells whether the secondaries have the same entries, once that is known.
    fn tell_verified(&mut self, now: Time) {
        let Shown(verification) = &mut self.verification;
        if let Some(reason) = self.phase.unavailable() {
            for waiter in verification.drain() {
                let error = AppendError::Unavailable(reason);
                self.clients.refuse(waiter, error);
            }
        }
        for (waiter, verified) in verification.take_ended(&self.peers, self.leadership, now) {
            self.clients.tell(waiter, Answer::Verified(verified));
        }
    }

    // ---- The journal.

    /// The next write, if one is due.
    fn next_write(&mut self, now: Time) -> Option<WriteJob> {
        let hard_state = match &self.phase {
            Phase::Standby(_) => return self.next_write_of_standby(now),
            Phase::Recovering(_) if !self.log.has_work() && !self.is_moving() => return None,
            Phase::Failed { .. } | Phase::Stopping { led: false, .. } => return None,
            Phase::Recovering(recovery) => {
                let taking = recovery.taking().map(|l| l.log_id);
                HardState {
                    log_id: Some(taking.unwrap_or(self.leadership.log_id)),
                    epoch: self.log.hard_state().epoch,
                    cleared: self.cleared.clone(),
                    is_partial: !recovery.is_whole(),
                    ..HardState::default()
                }
            }
            _ => HardState {
                log_id: Some(self.leadership.log_id),
                epoch: self.leadership.epoch,
                cleared: self.cleared.clone(),
                ..HardState::default()
            },
        };
        let Some(shared) = &self.shared else {
            return self.log.next_write(hard_state, None, now);
        };
        if self.is_moving() && !shared.has_page() {
            return None;
        }
        let head = shared.next_head(hard_state.epoch, self.url.as_ref(), None)?;
        self.hand_over(hard_state, head, now)
    }

    /// What a standby writes: to its own storage what it has read in the stream; or, when nothing of that is left and it is time
    /// for it, its claim.
    fn next_write_of_standby(&mut self, now: Time) -> Option<WriteJob> {
        let (shared, standby) = (self.shared.as_ref()?, self.phase.standby()?);
        if !shared.is_known_to_fit() {
            return None;
        }
        let state = shared.state().clone();
        let is_idle = !self.log.is_writing() && !self.log.is_behind(&state);
        if !(is_idle && self.link.is_up() && standby.claims(now) && self.may_claim()) {
            return self.log.next_write(state, None, now);
        }
        let promised = standby.promised().max(state.epoch);
        let claim = HardState {
            epoch: promised.next_of(self.master),
            ..state
        };
        let last = Some(self.log.last());
        let head = shared.next_head(claim.epoch, self.url.as_ref(), last)?;
        self.hand_over(claim, head, now)
    }

    /// Whether nobody else has to go on with a log that is being moved into the stream: all of it is here.
    fn may_claim(&self) -> bool {
        let moving = self.shared.as_ref().and_then(SharedJournal::moving);
        moving.is_none_or(|moving| self.log.last().seq >= moving.upto)
    }

    /// Whether a log is being moved into the stream that is not all there.
    fn is_moving(&self) -> bool {
        let moving = self.shared.as_ref().and_then(SharedJournal::moving);
        moving.is_some()
    }

    /// Reads the entries that are moved next, if this master moves its log into the stream.
    fn read_to_move(&mut self) {
        let room = self.settings.batch_bytes;
        if self.phase.recovery().is_none() {
            return;
        }
        let Some(shared) = &mut self.shared else {
            return;
        };
        let max_bytes = room.min(shared.entries_room());
        if let Some((first, last)) = shared.next_page() {
            self.reads.push(Read {
                purpose: Purpose::MoveIn,
                query: Query::Range {
                    first,
                    last,
                    max_bytes,
                },
            });
        }
    }

    /// Hands a chunk to the journal, if there is anything to write.
    fn hand_over(&mut self, hard_state: HardState, head: ChunkHead, now: Time) -> Option<WriteJob> {
        let shared = self.shared.as_mut()?;
        let hard_state = shared.stored_with(&head, hard_state);
        let most = shared.entries_room().min(self.settings.batch_bytes);
        let job = self.log.next_write(hard_state, Some((head, most)), now)?;
        shared.handed_over(&job, now);
        Some(job)
    }

    fn written(&mut self, result: WriteResult, now: Time) {
        let is_done = matches!(result, WriteResult::Done { .. });
        let has_claimed = (self.shared.as_mut()).is_some_and(|s| s.written(is_done, now));
        match self.log.written(result, now) {
            Written::Done {
                rolled_back,
                was_committed,
            } => {
                let event = rolled_back.map(|tail| Event::rolled_back(tail, was_committed));
                self.events.extend(event);
                self.note_durable();
                if has_claimed {
                    self.take_over(now);
                } else if self.phase.standby().is_some() {
                    self.follow_state();
                }
            }
            // What others have written is carried out once there is room.
            Written::DiskFull if self.phase.standby().is_some() => {}
            Written::DiskFull => {
                // What was sent may be in the logs of others: nothing else may get its place.
                let keep = self.log.durable().max(self.sent_unwritten);
                self.truncate_after(keep, None);
                self.refuse_after(keep, Unavailable::DiskFull);
            }
            Written::Conflict { brings_back } => {
                self.clients.give_up_clearing(Unavailable::Fenced);
                match self.shared {
                    Some(_) => self.stand_by(None, now),
                    None => self.fence_for_good(),
                }
                self.drop_unwritten(brings_back);
                if let Some(standby) = self.phase.standby_mut() {
                    standby.refused();
                }
            }
            Written::Failed(why) => {
                self.phase.fail(why.clone());
                let because = Unavailable::DiskFailed;
                let durable = self.log.durable();
                self.clients
                    .answer_after(durable, |appended| Answer::NotKnown { appended, because });
                self.clients.refuse_unplaced(Unavailable::DiskFailed);
                self.end = Some(End::StorageFailed(why));
            }
        }
    }

    /// What was placed after `last` is not in the log any more: whoever waits for it is told.
    fn refuse_after(&mut self, last: Seq, because: Unavailable) {
        self.urgent = self.urgent.min(last);
        self.linger_until = None;
        let refused = AppendError::Unavailable(because);
        self.clients
            .answer_after(last, |_| Answer::Refused(refused.clone()));
    }

    /// Takes what follows `keep` out of the log.
    fn truncate_after(&mut self, keep: Seq, rollback_of: Option<LogId>) {
        self.log.truncate_after(keep, rollback_of);
        self.dedup.truncate(keep);
        self.request_ids.truncate_after(keep);
        self.note_durable();
    }

    /// The journal holds more, or less, than it did.
    fn note_durable(&mut self) {
        let durable = self.log.durable();
        self.clients.commit_mut().set_master(durable);
        self.dedup.set_durable(durable);
    }

    /// The history whose entries are kept when they go out of the journal: none that was only being fetched, and that others
    /// keep.
    fn rollback_of(&self) -> Option<LogId> {
        let stored = self.log.hard_state();
        stored.log_id.filter(|_| !stored.is_partial)
    }

    /// Whether the journal knows of the history and epoch that are served.
    fn is_leadership_durable(&self) -> bool {
        let stored = self.log.hard_state();
        (stored.log_id, stored.epoch) == (Some(self.leadership.log_id), self.leadership.epoch)
    }

    fn page(&mut self, page: Page, now: Time) {
        let Page { purpose, entries } = page;
        match purpose {
            Purpose::Duplicate(ticket) => {
                let entry = match entries {
                    Ok(entry) => Ok(entry),
                    Err(ReadError::Damaged(seq)) => Err(seq),
                    Err(ReadError::Gone) => Ok(None), // of a log that was cleared since
                    Err(ReadError::Failed(_)) => {
                        if let Some(pending) = self.clients.give_up_look_up(ticket) {
                            let failed = AppendError::Unavailable(Unavailable::DiskFailed);
                            self.clients.refuse(pending.append.waiter, failed);
                        }
                        return;
                    }
                };
                if let Some(pending) = self.clients.looked_up(ticket, entry) {
                    self.admit(pending, now);
                }
            }
            Purpose::Replicate(node, generation) => {
                let (is_current, tail) = (generation == self.log.generation(), self.tail());
                let Some(peer) = self.peers.get_mut(&node) else {
                    return;
                };
                let first = entries.as_ref().ok().and_then(Option::as_ref);
                let is_next = peer.has_read(first.map_or(Seq::ZERO, EntryBatch::first), tail);
                match entries {
                    Ok(Some(batch)) if is_next && is_current && self.phase.leads() => {
                        peer.sent_entries(batch.last(), batch.bytes(), now);
                        self.send_entries(node, batch);
                    }
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) if !is_current => {}
                    Ok(None) | Err(_) => peer.could_not_read(now),
                }
            }
            Purpose::Repair(node) => {
                if let (Ok(Some(batch)), true) = (entries, self.phase.leads()) {
                    self.send_entries(node, batch);
                }
            }
            Purpose::MoveIn => match (entries, &mut self.shared) {
                (Ok(Some(batch)), Some(shared)) => shared.page_read(batch),
                (Ok(None), Some(_)) => {
                    let why = "entries that are to be moved into the stream are gone";
                    self.end = Some(End::StorageFailed(why.to_owned()));
                }
                (Err(why), Some(_)) => self.end = Some(End::StorageFailed(why.to_string())),
                (_, None) => {}
            },
            Purpose::Digest(revision) => {
                self.log.digest_page(revision, entries);
                for node in self.verification.0.owed(&self.log) {
                    self.peers
                        .get_mut(&node)
                        .into_iter()
                        .for_each(Peer::ask_now);
                }
            }
            Purpose::Fetch(_) => {}
        }
    }

    // ---- A journal that other masters write to as well.

    fn stream(&mut self, event: StreamEvent, now: Time) {
        // Of several things that are wrong the first one is told.
        let ends = self.end.is_some();
        if ends || matches!(self.phase, Phase::Stopping { .. } | Phase::Failed { .. }) {
            return;
        }
        let last = self.log.last().seq;
        let Some(shared) = &mut self.shared else {
            return;
        };
        match event {
            StreamEvent::Opened { before, last: end } => match shared.open(before, end, last) {
                Ok(()) => {
                    if before == end
                        && let Some(standby) = self.phase.standby_mut()
                    {
                        standby.vacant(); // nobody has ever led
                    }
                    if let Err(why) = self.compare_with_stream() {
                        self.end = Some(End::ForeignStream(why));
                    }
                }
                Err(why) => self.end = Some(End::ForeignStream(why)),
            },
            StreamEvent::Room(bytes) => shared.set_room(bytes),
            StreamEvent::NoRoom => self.log.wait_for_own_room(),
            StreamEvent::AtEnd => {
                shared.answered(now);
                if let Some(standby) = self.phase.standby_mut() {
                    standby.at_end(now);
                }
            }
            StreamEvent::Chunk(job) => {
                let is_made_from_it = shared.is_made_from_it();
                if let Err(why) = self.followed(*job, now) {
                    self.end = Some(match is_made_from_it {
                        true => End::StorageFailed(why),
                        false => End::ForeignStream(why),
                    });
                }
            }
            StreamEvent::Failed(why) => self.end = Some(End::StorageFailed(why)),
        }
    }

    /// Carries out a chunk that another master has written. Where this one led until now, it does not any more.
    fn followed(&mut self, job: WriteJob, now: Time) -> Result<(), String> {
        let by = job.hard_state.as_ref().map(|state| state.epoch);
        self.stand_by(by, now);
        let Some(shared) = &mut self.shared else {
            return Ok(());
        };
        if !shared.follow(&job, now)? {
            return Ok(());
        }
        if let Some(standby) = self.phase.standby_mut() {
            standby.chunk(now);
        }
        if shared.is_rereading() {
            shared.reread(&job)?;
            return self.compare_with_stream();
        }
        let state = shared.state().clone();
        self.check_end(&job)?;
        if let Some(cut) = job.truncate {
            self.truncate_after(cut.after, cut.rollback_of);
        }
        let moved = job.chunk.as_ref().and_then(ChunkHead::moved).cloned();
        for batch in job.entries {
            self.take_followed(batch)?;
        }
        if let Some(batch) = moved
            && let Some(new) = self.new_of(batch)
        {
            self.take_followed(new)?;
        }
        self.log.raise_committed(&state.committed);
        self.follow_state();
        Ok(())
    }

    /// A claim says where the log ends that it goes on with: here as well, or the two were not made from the same chunks.
    fn check_end(&self, job: &WriteJob) -> Result<(), String> {
        let own = self.log.last();
        let last = match job.chunk.as_ref().map(|head| &head.kind) {
            Some(ChunkKind::Claim {
                last: Some(last), ..
            }) => last,
            Some(ChunkKind::MoveIn {
                entries: None,
                upto,
            }) if own.seq > *upto => {
                return Err(format!(
                    "a log that ends with entry {upto} is moved into the stream, the log here ends with entry {}",
                    own.seq
                ));
            }
            _ => return Ok(()),
        };
        match own == *last {
            true => Ok(()),
            false => Err(format!(
                "a claim goes on after entry {} of epoch {}, the log here ends with entry {} of epoch {}: the stream has lost its end, \
                 or this directory was not made from it",
                last.seq, last.epoch.n, own.seq, own.epoch.n
            )),
        }
    }

    /// If the stream was found to have lost its end, and all that is left was read: what only this master's storage has is
    /// written there again, once this master has claimed the journal.
    fn compare_with_stream(&mut self) -> Result<(), String> {
        let Some(shared) = &mut self.shared else {
            return Ok(());
        };
        if let Some(after_seq) = shared.compare(self.log.epochs())? {
            let last_seq = self.log.last().seq;
            self.events.push(Event::JournalLostEnd {
                after_seq,
                last_seq,
            });
            self.follow_state();
        }
        Ok(())
    }

    /// What is not here yet of entries that are moved in; all of them, where they do not fit to what is here.
    fn new_of(&self, batch: EntryBatch) -> Option<EntryBatch> {
        let last = self.log.last();
        let overlap = LogPosition {
            seq: batch.last().min(last.seq),
            epoch: batch.epoch(),
        };
        match batch.first() <= last.seq && self.log.epochs().matches(overlap) {
            true => batch.range(last.seq.next(), batch.last()),
            false => Some(batch),
        }
    }

    fn take_followed(&mut self, batch: EntryBatch) -> Result<(), String> {
        let (first, last) = (batch.first(), self.log.last());
        if first != last.seq.next() || batch.epoch() < last.epoch {
            let seq = last.seq;
            return Err(format!(
                "a chunk of the stream has entry {first} where {seq} is the last one"
            ));
        }
        for entry in batch.iter() {
            self.dedup
                .insert(entry.message_id, &entry.content(), entry.seq);
        }
        self.log.append(batch);
        Ok(())
    }

    /// History and epoch are what the stream says.
    fn follow_state(&mut self) {
        let Some(shared) = &self.shared else {
            return;
        };
        let state = shared.state();
        self.leadership = Leadership {
            log_id: state.log_id.unwrap_or(self.new_log_id),
            epoch: state.epoch,
        };
        self.cleared = state.cleared.clone();
    }

    /// This master's claim is in the stream: it has carried out everything before, and what follows is its own.
    fn take_over(&mut self, now: Time) {
        let (Some(shared), Some(standby)) = (&mut self.shared, self.phase.standby()) else {
            return;
        };
        shared.begin_turn(now);
        let state = shared.state().clone();
        let own = state.log_id.map(|log_id| OwnLog {
            log_id,
            epoch: state.epoch,
            cleared: state.cleared.clone(),
            is_partial: state.is_partial,
        });
        let interval = self.settings.heartbeat_interval;
        let mut settings = self.recovery_settings.clone();
        if own.as_ref().is_some_and(|own| !own.is_partial) && self.log.last().seq > Seq::ZERO {
            // The log is the stream's; what secondaries hold besides was lost there.
            settings.listen = settings.listen.min(interval);
            settings.timeout = settings.timeout.min(interval);
        }
        let many = standby.secondaries(Duration::MAX, now).count();
        let pace = Pace::of(&self.settings, many);
        let expected = standby.secondaries(pace.suspect_after, now);
        let expected: BTreeSet<NodeId> = expected.cloned().collect();
        let listed = self.peers.listed().cloned();
        let mut recovery =
            Recovery::new(settings, self.master, listed, own).claimed(state.epoch, expected);
        if self.link.is_up() {
            recovery.link_up(now);
        }
        self.follow_state();
        self.phase.take_over(recovery);
    }

    /// Another master leads, or may, in the epoch `by` if that is known: this one does not. Whoever waits is told what is true.
    fn stand_by(&mut self, by: Option<Epoch>, now: Time) {
        let Some(shared) = &mut self.shared else {
            return;
        };
        let by = by.unwrap_or(shared.state().epoch).n;
        let (interval, spread) = (self.settings.heartbeat_interval, spread(self.master));
        let standby = || Standby::new(interval, spread).after(shared.lose_turn(now), now);
        if !self.phase.stand_by(standby) {
            return;
        }
        // A turn that was lost before the stream knew of it has never begun.
        self.serving = None;
        for (_, peer) in self.peers.iter_mut() {
            peer.stand_by();
        }
        self.clients.refuse_unplaced(Unavailable::Fenced);
        self.events.push(Event::Fenced {
            by_epoch: by,
            heard_from: None,
        });
        let on_its_way = self.log.hard_state_in_flight();
        let stored = on_its_way.unwrap_or(self.log.hard_state());
        if stored.log_id != Some(self.leadership.log_id) {
            self.clients.give_up_clearing(Unavailable::Fenced);
        }
        let brings_back = self.log.forget_unwritten();
        self.drop_unwritten(brings_back);
    }

    /// What had got its place and is neither in the journal nor on its way there is not in the log any more; what was to be
    /// taken out may be back.
    fn drop_unwritten(&mut self, brings_back: bool) {
        let keep = self.log.last().seq;
        match brings_back {
            true => self.dedup.forget_all(keep), // it is found in the journal
            false => self.dedup.truncate(keep),
        }
        self.request_ids.truncate_after(keep);
        self.refuse_after(keep, Unavailable::Fenced);
        self.follow_state();
        self.note_durable();
    }

    /// Whether those who stand by are to see that this master lives.
    fn shows_life(&self) -> bool {
        let leads = matches!(
            self.phase,
            Phase::Recovering(_) | Phase::Serving | Phase::Paused(_)
        );
        self.shared.is_some() && leads && self.link.is_up()
    }

    /// Shows them, when it is due.
    fn show_life(&mut self, now: Time) {
        let is_due = (self.shared.as_ref()).is_some_and(|shared| shared.sign_due() <= now);
        if !(is_due && self.shows_life()) {
            return;
        }
        if let Some(shared) = &mut self.shared
            && shared.is_stuck(now)
        {
            return shared.shown_life(now); // it is looked at again as often
        }
        let state = match self.phase {
            Phase::Recovering(_) => MasterState::Recovering,
            _ if !self.is_leadership_durable() => MasterState::Recovering,
            _ => MasterState::Serving,
        };
        self.announce(state, None, now);
    }

    /// Why a standby refuses what only the master that leads can do.
    fn stands_by(&self) -> Option<AppendError> {
        self.phase.standby()?;
        let claimant = self.shared.as_ref().and_then(SharedJournal::claimant);
        // A former start of this one leads no more, wherever it was reached.
        let active = claimant.filter(|c| c.master != self.master && c.url != self.url);
        Some(AppendError::Standby {
            active: active.and_then(|c| c.url.clone()),
        })
    }

    // ---- The network.

    fn message(&mut self, message: Message, now: Time) {
        match message {
            Message::Ack(ack) | Message::Promise(Promise { position: ack }) => self.ack(&ack, now),
            Message::FetchResponse(response) => self.fetched(response, now),
            Message::Announcement(other) => self.announced(&other, now),
            Message::Append(_) | Message::Prepare(_) | Message::Fetch(_) | Message::Claim(_) => {}
        }
    }

    /// Whether a message is to be dropped because no honest node can have that epoch; it is counted.
    fn is_forged(&mut self, epoch: Epoch) -> bool {
        let own = self.leadership.epoch;
        let highest = self.phase.recovery().map_or(own, Recovery::highest);
        let is_forged = epoch.is_forged_above(highest);
        self.forged.add(u64::from(is_forged));
        is_forged
    }

    fn ack(&mut self, ack: &Ack, now: Time) {
        if self.is_forged(ack.epoch.max(ack.last.epoch)) {
            if let Some(peer) = self.peers.get_mut(&ack.node) {
                peer.dropped_forged();
            }
            return;
        }
        if let Some(standby) = self.phase.standby_mut() {
            standby.secondary(&ack.node, ack.epoch.max(ack.last.epoch), now);
            return;
        }
        if let Some(recovery) = self.phase.recovery_mut() {
            recovery.ack(ack, now);
            return;
        }
        if self.adopts(ack, now) {
            return;
        }
        let leader = LeaderView {
            leadership: self.leadership,
            cleared: &self.cleared,
            epochs: self.log.epochs(),
            tail: self.log.durable().max(self.sent_unwritten),
            round: self.round,
        };
        let link_up = self.link.is_up();
        let Some(peer) = self.peers.entry(&ack.node, &self.settings, link_up) else {
            return;
        };
        let effect = peer.ack(ack, &leader, now);
        let (matched, number) = (peer.matched(), peer.number_to_answer());
        if effect == AckEffect::Position {
            let own = (&self.log, self.leadership.epoch.master);
            let interval = self.settings.heartbeat_interval;
            if self.verification.0.hear(ack, own, interval, now) {
                peer.ask_now();
            }
        }
        self.round = self.round.max(number.unwrap_or(0));
        if self.peers.is_member(&ack.node) {
            self.clients.commit_mut().set_member(&ack.node, matched);
        }
        if effect == AckEffect::Superseded {
            let by = ack.epoch.max(ack.last.epoch);
            let cleared_by = ack.cleared.cleared_by(self.leadership.log_id);
            let by = cleared_by.map_or(by, |c| c.max(by));
            self.superseded(by, &ack.node, now);
            return;
        }
        let (durable, room) = (self.log.durable(), self.entries_room());
        let read = self
            .repairs
            .read_for(ack, self.leadership, durable, room, now);
        self.reads.extend(read);
    }

    /// A master whose history is still empty adopts another one that it learns of: whether it does.
    fn adopts(&mut self, ack: &Ack, now: Time) -> bool {
        let is_empty = self.log.last() == LogPosition::default();
        // Of another history; or of this one, when only somebody was seen who held nothing of it.
        let is_other = match ack.log_id == Some(self.leadership.log_id) {
            true => ack.epoch <= self.leadership.epoch,
            false => ack.log_id.is_some() && self.cleared.is_empty(),
        };
        let is_cleared = |log| self.clearings.covers(log, ack.last.epoch);
        let serves = matches!(self.phase, Phase::Serving | Phase::Paused(_));
        if !(serves && is_empty && is_other && ack.last.seq > Seq::ZERO)
            || ack.log_id.is_some_and(is_cleared)
        {
            return false;
        }
        let listed = self.peers.listed().cloned();
        let master = self.leadership.epoch.master;
        let mut recovery = Recovery::new(self.recovery_settings.clone(), master, listed, None)
            .knowing(self.clearings.clone());
        recovery.overtakes(self.leadership);
        if self.link.is_up() {
            recovery.link_up(now);
        }
        recovery.ack(ack, now);
        self.phase.recover(recovery);
        true
    }

    fn announced(&mut self, other: &MasterAnnouncement, now: Time) {
        let (me, it) = (self.leadership, other.leader);
        if it.epoch.master == self.master || self.is_forged(it.epoch) {
            return;
        }
        if let Some(shared) = &self.shared {
            // What the stream says counts; this says who lives.
            let is_active = |c: &shared_journal::Claimant| c.master == it.epoch.master;
            let is_active = shared.claimant().is_none_or(is_active);
            if let Some(standby) = self.phase.standby_mut() {
                match other.state {
                    MasterState::Stopping if is_active => standby.vacant(),
                    MasterState::Stopping => {}
                    _ if is_active || it.epoch > me.epoch => standby.heard(now),
                    _ => {}
                }
            }
            if let Some(shared) = &mut self.shared {
                shared.learn_url(it.epoch.master, other.url.as_ref());
            }
            return;
        }
        match (&mut self.phase, other.is_serving()) {
            (Phase::Recovering(recovery), true) if recovery.is_above(it) => recovery.overtakes(it),
            (Phase::Recovering(_), true) => self.end = Some(End::OtherMaster(it)),
            // Of two that start at once one stays.
            (Phase::Recovering(recovery), false) if recovery.is_takeover() => {}
            (Phase::Recovering(_), false) if me.epoch.master < it.epoch.master => {
                self.announce(MasterState::Recovering, None, now);
            }
            (Phase::Recovering(_), false) => self.end = Some(End::OtherMaster(it)),
            (_, true)
                if other.overtakes == Some(me.epoch.master)
                    || it.log_id == me.log_id && it.epoch > me.epoch =>
            {
                self.fence(it.epoch.n, None);
            }
            (_, true) => {}
            (_, false) => {
                let reason = self.unavailable(now);
                let is_final = matches!(
                    reason,
                    Some(Unavailable::Fenced | Unavailable::Stopping | Unavailable::DiskFailed)
                );
                // With an epoch that is not durable yet it says so once it is.
                if !is_final && self.is_leadership_durable() {
                    self.announce(MasterState::Serving, None, now);
                }
            }
        }
    }

    fn announce(&mut self, state: MasterState, overtakes: Option<MasterId>, now: Time) {
        if !self.link.is_up() {
            return;
        }
        if let Some(shared) = &mut self.shared {
            shared.shown_life(now);
        }
        let announcement = MasterAnnouncement {
            leader: self.leadership,
            state,
            overtakes,
            url: self.url.clone(),
        };
        self.messages.push(Outbound {
            to: Address::Announce,
            reply_to: None,
            message: Message::Announcement(announcement),
        });
    }

    fn other_version(&mut self, address: &Address, version: u32, now: Time) {
        let recovery = self.phase.recovery_mut();
        match (recovery, address.node()) {
            (Some(recovery), Some(node)) => recovery.other_version(node, version, now),
            (Some(_), None) => self.end = Some(End::OtherVersion(version)),
            (None, _) => {}
        }
    }

    fn link_up(&mut self, max_payload: usize, now: Time) {
        self.link_down(now); // an outage may be over before its beginning was told
        if let Link::Down { since, .. } = self.link {
            self.round += 1;
            let round = self.round;
            for (_, peer) in self.peers.iter_mut() {
                peer.link_up(now.since(since), round, now);
            }
            if let Some(recovery) = self.phase.recovery_mut() {
                recovery.link_up(now);
            }
            if let Some(standby) = self.phase.standby_mut() {
                standby.deaf_until(now);
            }
            if let Phase::Paused(pause) = &mut self.phase {
                *pause = Pause { since: now, round };
            }
        }
        self.link = Link::Up { max_payload };
    }

    fn link_down(&mut self, now: Time) {
        let Link::Up { max_payload } = self.link else {
            return;
        };
        self.link = Link::Down {
            since: now,
            max_payload,
        };
        for (_, peer) in self.peers.iter_mut() {
            peer.link_down(now);
        }
        if let Some(recovery) = self.phase.recovery_mut() {
            recovery.link_down();
        }
    }

    /// Sends what is due to every secondary.
    fn transmit(&mut self, now: Time) {
        if !self.leads() {
            return;
        }
        let (tail, generation) = (self.tail(), self.log.generation());
        let room = self.entries_room();
        let durable = self.log.durable();
        self.choose_whom_to_send(tail, now);
        let (mut heartbeats, mut unwritten) = (Vec::new(), Vec::new());
        let mut placed: Option<((Seq, Seq, usize), EntryBatch)> = None;
        self.peers.send(tail, |node, peer| {
            let mut sent = Sent::Nothing;
            if let Some(Transmit::Heartbeat { prev, storage }) = peer.transmit(tail, now) {
                peer.sent_heartbeat(now);
                heartbeats.push((node.clone(), prev, storage));
                sent = Sent::Something;
            }
            while let Some(Transmit::Entries { first, last, bytes }) = peer.transmit(tail, now) {
                let max_bytes = bytes.min(room);
                if first <= durable {
                    if !self.catch_up.admits(node, peer, &self.settings, now) {
                        return sent;
                    }
                    peer.reading();
                    // The entries of one message are of one epoch.
                    let last = last.min(durable).min(self.log.epochs().end_of_epoch(first));
                    self.reads.push(Read {
                        purpose: Purpose::Replicate(node.clone(), generation),
                        query: Query::Range {
                            first,
                            last,
                            max_bytes,
                        },
                    });
                    return Sent::Something;
                }
                // Those who need the same get the same bytes.
                let key = (first, last, max_bytes);
                let batch = match &placed {
                    Some((known, batch)) if *known == key => batch.clone(),
                    _ => match self.log.placed(first, last, max_bytes) {
                        Some(batch) => batch,
                        None => return Sent::NotAll,
                    },
                };
                peer.sent_entries(batch.last(), batch.bytes(), now);
                self.sent_unwritten = self.sent_unwritten.max(batch.last());
                placed = Some((key, batch.clone()));
                unwritten.push((node.clone(), batch));
                sent = Sent::Something;
            }
            sent
        });
        for (node, batch) in unwritten {
            self.send_entries(node, batch);
        }
        for (node, prev, storage) in heartbeats {
            let frame = AppendEntries {
                storage,
                round: self.round,
                interval: self.peers.pace().interval,
                cleared: self.cleared.clone(),
                url: self.url.clone(),
                digest: self.digest_to_ask(&node),
                ..self.frame(prev, None)
            };
            self.send_append(Address::Heartbeat(node.clone()), node, frame);
        }
    }

    /// Whose turn it is to catch up, and who is sent new entries at once.
    fn choose_whom_to_send(&mut self, tail: Seq, now: Time) {
        let peers = &self.peers;
        let next = (self.catch_up).end_turns(|node| peers.get(node), &self.settings, now);
        for node in next.cloned().collect::<Vec<_>>() {
            self.peers.look_at(&node);
        }
        let waited = self.clients.commit().waited_for();
        let waited = Waited {
            nodes: waited.map_or(1, |(nodes, _)| nodes),
            first: waited.map(|(_, first)| first),
        };
        self.fan_out
            .update(&mut self.peers, waited, tail, &self.settings, now);
    }

    /// The digest that goes with a heartbeat to that secondary.
    fn digest_to_ask(&mut self, node: &NodeId) -> Option<DigestAt> {
        let peer = self
            .peers
            .get(node)
            .filter(|_| self.settings.compares_digests)?;
        let damaged = self.repairs.own();
        (self.verification.0).question(node, peer, &mut self.log, damaged)
    }

    /// Whether secondaries are to follow this master, and its journal knows what it leads.
    fn leads(&self) -> bool {
        self.phase.leads() && self.is_leadership_durable()
    }

    /// How many bytes of entries one message may carry.
    fn entries_room(&self) -> usize {
        self.link.max_payload().saturating_sub(ENVELOPE_BYTES)
    }

    /// Up to where entries are sent: with somebody waiting for an entry, what was placed after it goes along.
    fn tail(&self) -> Seq {
        let end = match self.shared.is_none() && !self.log.waits_for_room() {
            true => self.log.last().seq,
            false => self.log.durable(),
        };
        match self.linger_until.is_none() || self.urgent >= end {
            true => end,
            false => self.urgent,
        }
    }

    fn send_entries(&mut self, node: NodeId, batch: EntryBatch) {
        let frame = self.frame(batch.first().prev(), Some(batch));
        self.send_append(Address::Append(node.clone()), node, frame);
    }

    fn send_append(&mut self, to: Address, node: NodeId, frame: AppendEntries) {
        self.messages.push(Outbound {
            to,
            reply_to: Some(Address::Ack(node, AckOf::Seq(frame.last()))),
            message: Message::Append(frame),
        });
    }

    fn frame(&self, prev: Seq, entries: Option<EntryBatch>) -> AppendEntries {
        // What it carries is in the master's log, written or not.
        let carried = entries.as_ref().map_or(Seq::ZERO, EntryBatch::last);
        let request_ids = entries.as_ref().filter(|_| !self.request_ids.is_empty());
        let request_ids = request_ids.map(|batch| {
            let room = self.entries_room().saturating_sub(batch.bytes());
            let room = room.min(REQUEST_IDS_BYTES);
            self.request_ids.beside(batch.first(), batch.last(), room)
        });
        AppendEntries {
            leader: self.leadership,
            prev: self.log.epochs().at(prev).unwrap_or_default(),
            entries,
            tail: self.log.durable().max(carried),
            committed: self.log.committed().clone(),
            cleared: ClearedLogs::default(),
            storage: None,
            round: 0,
            interval: Duration::ZERO,
            url: None,
            digest: None,
            request_ids: request_ids.unwrap_or_default(),
        }
    }

    // ---- Recovery.

    /// Asks what the recovery wants to know.
    fn recover_messages(&mut self, now: Time) {
        let (have, is_full) = (self.log.last(), self.log.is_full());
        let mut questions = Vec::new();
        let is_moving = self.is_moving();
        let Some(recovery) = self.phase.recovery_mut().filter(|_| !is_moving) else {
            return;
        };
        let calls = recovery.calls(now);
        while let Some((node, prepare)) = recovery.prepare(now) {
            questions.push(Outbound {
                to: Address::Prepare(node.clone()),
                reply_to: Some(Address::Promise(node)),
                message: Message::Prepare(prepare),
            });
        }
        if !is_full && let Some((node, fetch)) = recovery.fetch(have, FETCH_BYTES, now) {
            questions.push(Outbound {
                to: Address::Fetch(node.clone()),
                reply_to: Some(Address::Fetched(node)),
                message: Message::Fetch(fetch),
            });
        }
        if calls {
            self.events.push(Event::Recovering {});
            self.announce(MasterState::Recovering, None, now);
        }
        self.messages.extend(questions);
    }

    fn fetched(&mut self, response: FetchResponse, now: Time) {
        let FetchResponse {
            position,
            prev,
            entries,
        } = response;
        if self.is_forged(position.epoch.max(position.last.epoch)) {
            return;
        }
        let rollback_of = self.rollback_of();
        let Some(recovery) = self.phase.recovery_mut() else {
            let entries = entries.as_ref();
            let entry = self
                .repairs
                .accept(&position, entries, self.leadership, &self.log);
            if let Some(entry) = entry.filter(|_| self.phase.leads()) {
                self.log.repair(entry);
            }
            return;
        };
        let first = entries.as_ref().map(EntryBatch::first_position);
        match recovery.fetched(&position, prev, first, self.log.epochs(), now) {
            Take::Nothing => {}
            Take::Entries => {
                if let Some(batch) = entries {
                    for entry in batch.iter() {
                        let content = entry.content();
                        self.dedup.insert(entry.message_id, &content, entry.seq);
                    }
                    self.log.append(batch);
                }
            }
            Take::Truncate(at) => {
                let keep = self.log.epochs().shared_with(at);
                self.truncate_after(keep, rollback_of);
            }
        }
    }

    /// Goes on with the recovery, if there is one.
    fn recover(&mut self, now: Time) {
        if self.log.has_work() || self.log.is_writing() || self.is_moving() {
            return; // not all of it is durable yet, or in the stream
        }
        let (have, rollback_of) = (self.log.last(), self.rollback_of());
        let Some(recovery) = self.phase.recovery_mut() else {
            return;
        };
        let found = recovery.tick(have, now);
        if recovery.drops_own() {
            self.truncate_after(Seq::ZERO, rollback_of);
        }
        if let Some(found) = found {
            self.serve(found);
        }
    }

    fn serve(&mut self, found: Found) {
        self.phase.serve();
        let own = self.leadership.log_id;
        // An empty history that was taken over from somebody, and cleared away since, does not come back.
        let own = match found.clearings.covers(own, Epoch::ZERO) {
            true => self.new_log_id,
            false => own,
        };
        self.leadership = Leadership {
            log_id: found.log_id.unwrap_or(own),
            epoch: found.epoch,
        };
        self.cleared = found.cleared;
        self.clearings = match self.log.last().seq {
            Seq::ZERO => found.clearings,
            _ => KnownClearings::default(),
        };
        let durable = self.log.durable();
        self.urgent = durable;
        self.sent_unwritten = durable;
        self.clients.forget_positions();
        self.clients.commit_mut().set_master(durable);
        self.verification.0.reset();
        let link_up = self.link.is_up();
        for node in &found.seen {
            self.peers.entry(node, &self.settings, link_up);
        }
        for (_, peer) in self.peers.iter_mut() {
            peer.reset();
        }
        self.serving = Some(Event::Serving {
            entries: durable.0,
            new: found.log_id.is_none(),
            heard: found.seen,
            not_heard: found.not_seen.clone(),
            overtakes: found.overtakes,
        });
        self.not_seen = found.not_seen;
    }

    // ---- Time.

    /// What follows from what has happened, and from the time.
    fn advance(&mut self, now: Time) {
        if self.linger_until.is_some_and(|t| t <= now) {
            self.urgent = self.log.last().seq;
            self.linger_until = None;
        }
        if self.link.is_up() {
            self.peers.expire(now);
        }
        self.recover(now);
        self.end_own_pause(now);
        if self.is_leadership_durable() {
            // One that stands by may still wait for its last chunk.
            if self.phase.standby().is_none() || !self.log.is_writing() {
                self.clients.answer_cleared();
            }
            self.say_serving(now);
        }
        self.release_parked(now);
        self.forget_request_ids();
        self.measure_committed();
        self.answer(now);
        self.tell_verified(now);
        self.say_changes(now);
    }

    /// Forgets the ids of requests whose entries every known secondary holds. As long as nobody is known, somebody may come
    /// whose first entries they are.
    fn forget_request_ids(&mut self) {
        if self.request_ids.is_empty() {
            return;
        }
        let held = self.peers.iter().map(|(_, peer)| peer.matched()).min();
        let held = held.map_or(Seq::ZERO, |held| held.min(self.log.durable()));
        self.request_ids.forget_upto(held);
    }

    /// Learns what is committed: what so many of the nodes that count now hold.
    fn measure_committed(&mut self) {
        if !self.leads() {
            return;
        }
        let members = self.peers.count();
        if let Some(committed) = self.clients.commit_mut().newly_committed(members) {
            self.log.raise_committed(&committed);
        }
    }

    fn pause_limit(&self) -> Duration {
        self.settings.suspect_after.max(MIN_PAUSE)
    }

    /// [`Node::deadline`] asks for several calls within the limit: whoever comes later than that was stopped, and has heard
    /// nobody meanwhile. Before anything is decided, what was known of the others is no longer trusted.
    fn notice_own_pause(&mut self, now: Time) {
        let gap = now.since(std::mem::replace(&mut self.last_called, now));
        if gap <= self.pause_limit() {
            return;
        }
        self.round += 1;
        let round = self.round;
        if self.link.is_up() {
            for (_, peer) in self.peers.iter_mut() {
                peer.paused(gap, round, now);
            }
        }
        if let Some(standby) = self.phase.standby_mut() {
            standby.deaf_until(now);
        }
        // With nobody there who could have followed another master, there is nobody to ask.
        if self.peers.iter().next().is_some() {
            self.phase.pause(Pause { since: now, round });
        }
        if let Some(recovery) = self.phase.recovery_mut() {
            // What was promised may have been promised to somebody else since.
            recovery.begin_again(now);
            if !recovery.is_whole() {
                let rollback_of = self.rollback_of();
                self.truncate_after(Seq::ZERO, rollback_of);
            }
        }
    }

    /// After a pause: no appends before a round of heartbeats has passed. Then everybody who is alive has answered, or is
    /// late.
    fn end_own_pause(&mut self, now: Time) {
        let Phase::Paused(pause) = &self.phase else {
            return;
        };
        if self.link.is_up() && now >= self.pause_end(pause, now) {
            self.phase.serve();
        }
    }

    fn pause_end(&self, pause: &Pause, now: Time) -> Time {
        let is_owed = |p: &Peer| p.status(now).is_alive() && !p.health().is_trusted();
        let round = self.settings.heartbeat_interval;
        let late = round.max(self.settings.suspect_after);
        let is_waiting = self.peers.iter().any(|(_, p)| is_owed(p));
        pause.since + if is_waiting { late } else { round }
    }

    /// Answers whoever can be answered.
    fn answer(&mut self, now: Time) {
        self.clients.answer_met();
        let all = match &self.phase {
            Phase::Fenced(_) | Phase::Standby(_) => Some(WaitEnd::Fenced),
            Phase::Stopping { .. } | Phase::Failed { .. } => Some(WaitEnd::Stopping),
            _ => None,
        };
        let durable = self.log.durable();
        let waits_for_room = match self.log.waits_for_room() {
            true => self.sent_unwritten,
            false => durable,
        };
        // Whoever does not wait longer is not left waiting for a journal that says nothing.
        let is_late = self.shared.as_ref().is_some_and(|s| s.is_late(now));
        let (unknown, because) = match is_late {
            true if self.log.is_disk_full(now) => (self.log.last().seq, Unavailable::DiskFull),
            true => (self.log.last().seq, Unavailable::Journal),
            false => (waits_for_room, Unavailable::DiskFull),
        };
        self.clients
            .answer_ended(all, durable, (unknown, because), now);
    }

    /// Says what has changed.
    fn say_changes(&mut self, now: Time) {
        // One that is fenced asks nobody, so their silence means nothing.
        let asks = self.phase.recovery().is_none()
            && !matches!(self.phase, Phase::Fenced(_) | Phase::Standby(_));
        if self.link.is_up() && asks {
            self.events.extend(self.peers.changes(now));
        }
        let no_quorum = self.unavailable(now) == Some(Unavailable::NoQuorum);
        if no_quorum != self.said_no_quorum {
            self.said_no_quorum = no_quorum;
            self.events.push(match no_quorum {
                true => Event::ReadOnlyOn {},
                false => Event::ReadOnlyOff {},
            });
        }
    }

    fn say_serving(&mut self, now: Time) {
        if let Some(event) = self.serving.take() {
            let overtakes = match &event {
                Event::Serving { overtakes, .. } => *overtakes,
                _ => None,
            };
            if let Some(shared) = &mut self.shared {
                shared.begin_turn(now);
            }
            self.announce(MasterState::Serving, overtakes, now);
            self.events.push(event);
        }
    }

    /// A secondary follows a master of a higher epoch.
    fn superseded(&mut self, by: Epoch, node: &NodeId, now: Time) {
        if self.shared.is_none() {
            return self.fence(by.n, Some(node.clone()));
        }
        // The stream says whose turn it is: one more claim, above that epoch, is in it or not.
        self.stand_by(Some(by), now);
        if let Some(standby) = self.phase.standby_mut() {
            standby.secondary(node, by, now);
            standby.vacant();
        }
    }

    /// A journal that was this master's alone says that somebody else has written there.
    fn fence_for_good(&mut self) {
        let why = "another program has written to the journal".to_owned();
        self.phase.fail(why.clone());
        self.end = Some(End::StorageFailed(why));
    }

    fn fence(&mut self, by: u64, heard_from: Option<NodeId>) {
        let fenced = FencedBy {
            epoch: by,
            heard_from: heard_from.clone(),
        };
        if self.phase.fence(fenced) {
            self.events.push(Event::Fenced {
                by_epoch: by,
                heard_from,
            });
        }
    }

    /// Whether the node has come to its end.
    fn take_end(&mut self, now: Time) -> Option<End> {
        if let Phase::Stopping { until, led } = self.phase {
            let is_late = now >= until;
            if is_late {
                let because = Unavailable::Stopping;
                let durable = self.log.durable();
                self.clients
                    .answer_after(durable, |appended| Answer::NotKnown { appended, because });
            }
            let is_idle = !(self.log.is_writing() || led && self.log.has_work());
            let is_told = !self.clients.is_undecided();
            if is_late || is_idle && is_told {
                self.clients.give_up_clearing(Unavailable::Stopping);
                // A recovery that is broken off was a turn, too.
                if (self.shared.as_ref()).is_some_and(SharedJournal::is_own) {
                    self.announce(MasterState::Stopping, None, now);
                }
                return Some(self.end.take().unwrap_or(End::Stopped));
            }
        }
        self.end.take()
    }

    // ---- What readers and operators may see.

    /// The snapshot, if it has changed. What is not durable is not shown; what was shown before is, meanwhile.
    fn changed_snapshot(&mut self) -> Option<Snapshot> {
        let is_durable = self.is_leadership_durable() && !self.log.is_truncating();
        if !is_durable && self.phase.recovery().is_none() && self.shown.is_some() {
            return None;
        }
        let is_readable = self.is_readable();
        let last = match is_readable {
            true => self.log.durable(),
            false => Seq::ZERO,
        };
        let stored = self.log.hard_state();
        let is_stored = stored.log_id == Some(self.leadership.log_id);
        let is_unknown = self.phase.standby().is_some() && stored.log_id.is_none();
        let snapshot = Snapshot {
            leadership: Some(self.leadership).filter(|_| !is_unknown),
            last,
            committed: match is_stored {
                true => stored.committed.up_to(last),
                false => Committed::default(),
            },
            committed_soon: self.log.committed().up_to(last),
            generation: self.log.generation(),
            is_readable,
            diverged_from: None,
        };
        if self.shown.as_ref() == Some(&snapshot) {
            return None;
        }
        self.shown = Some(snapshot.clone());
        Some(snapshot)
    }

    /// Whether what it has can be shown while it recovers: it is its own, and was whole.
    fn is_readable(&self) -> bool {
        let is_own = |r: &Recovery| r.is_whole() && self.log.durable() > Seq::ZERO;
        self.phase.recovery().is_none_or(is_own)
    }

    /// Why appends are refused, if they are.
    #[must_use]
    pub fn unavailable(&self, now: Time) -> Option<Unavailable> {
        self.phase.unavailable().or_else(|| {
            if self.log.is_disk_full(now) {
                Some(Unavailable::DiskFull)
            } else if self.shared.as_ref().is_some_and(|s| s.is_silent(now)) {
                Some(Unavailable::Journal)
            } else if self.read_only_without_quorum && !self.has_quorum(now) {
                Some(Unavailable::NoQuorum)
            } else {
                None
            }
        })
    }

    /// Whether a majority of all members, the master included, is alive and was seen since the master's last pause.
    #[must_use]
    pub fn has_quorum(&self, now: Time) -> bool {
        self.link.is_up() && self.peers.alive(now) >= self.peers.majority()
            || self.peers.majority() == 1
    }

    /// What it is doing.
    #[must_use]
    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// This start of it.
    #[must_use]
    pub fn master(&self) -> MasterId {
        self.master
    }

    /// The journal, if other masters write to it as well.
    #[must_use]
    pub fn shared_journal(&self) -> Option<&SharedJournal> {
        self.shared.as_ref()
    }

    /// Its history and epoch; of a standby, those of the master that leads.
    #[must_use]
    pub fn leadership(&self) -> Leadership {
        self.leadership
    }

    /// The histories that its own has replaced.
    #[must_use]
    pub fn cleared(&self) -> &ClearedLogs {
        &self.cleared
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The secondaries.
    #[must_use]
    pub fn peers(&self) -> &Peers {
        &self.peers
    }

    /// What was committed of its history, as far as it knows.
    #[must_use]
    pub fn committed(&self) -> &Committed {
        self.log.committed()
    }

    /// Who holds what.
    #[must_use]
    pub fn commit(&self) -> &Commit<(Appended, W)> {
        self.clients.commit()
    }

    /// The members that hold the entry at `seq` of that history, by name; the master itself is not among them.
    pub fn held_by(&self, log_id: LogId, seq: Seq) -> impl Iterator<Item = &NodeId> {
        let is_same = log_id == self.leadership.log_id;
        self.clients.commit().acked_by(seq).filter(move |_| is_same)
    }

    /// How many clients wait that have not hung up. It looks at each of them.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.clients.waiting_still()
    }

    /// The listed members that were not seen when it began to serve, and have not been since; and those of which a start
    /// fell silent then.
    pub fn not_seen(&self) -> impl Iterator<Item = &NodeId> {
        let is_silent = |node: &&NodeId| {
            let peer = self.peers.get(node);
            peer.is_none_or(|p| p.health().silence(self.last_called).is_none())
        };
        self.not_seen.iter().filter(is_silent)
    }

    /// What is known to differ in the log of that secondary, by its digest.
    #[must_use]
    pub fn difference(&self, node: &NodeId) -> Option<Difference> {
        self.verification.0.difference(node)
    }

    /// Damaged entries that are being repaired.
    #[must_use]
    pub fn repair(&self) -> &Repair {
        self.repairs.own()
    }

    /// How many messages were dropped because of an epoch that no honest node can have.
    #[must_use]
    pub fn forged(&self) -> u64 {
        self.forged.get()
    }
}

/// A number from 0 to 1 that differs between masters.
fn spread(master: MasterId) -> f64 {
    f64::from(master.0.as_bytes()[15]) / f64::from(u8::MAX)
}

/// The largest content, in bytes of its JSON, that passes a broker with that `max_payload`: an entry and its message need
/// something beside it.
fn content_room(max_payload: usize) -> usize {
    max_payload.saturating_sub(ENVELOPE_BYTES + append::ENTRY_BYTES)
}
