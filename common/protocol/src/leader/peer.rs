//! What the master knows of one secondary: its progress, its storage, one deadline, its health.
//!
//! Retrying never ends and never bursts: silence costs one message per backoff, the first sign of life resumes at once, and
//! an answer that says nothing new is never answered at once.

use std::collections::VecDeque;
use std::time::Duration;

use crate::cleared_logs::ClearedLogs;
use crate::epochs::{EpochTable, LogPosition};
use crate::ids::{Epoch, Leadership, LogId, NodeId, Seq, StorageId, Time};
use crate::leader::backoff::Backoff;
use crate::leader::health::{Health, Status};
use crate::leader::message_size::MessageSize;
use crate::leader::pace::Pace;
use crate::leader::progress::{Mode, Progress};
use crate::leader::settings::Replication;
use crate::node_url::NodeUrl;
use crate::tally::{Shown, Tally};
use crate::wire::Ack;

/// How many former storages of one name are remembered.
const MAX_FORMER: usize = 16;

/// What is to be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transmit {
    /// No entries: a sign of life, and a question where the secondary stands.
    Heartbeat {
        /// The last entry that the secondary is believed to hold.
        prev: Seq,
        /// The storage that is asked.
        storage: Option<StorageId>,
    },
    /// The entries from `first` to `last` at most, for `bytes` at most, but at least one entry.
    Entries {
        /// The first of them.
        first: Seq,
        /// The last one that may be sent.
        last: Seq,
        /// How many bytes of entries.
        bytes: usize,
    },
}

/// What an ACK has told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckEffect {
    /// Its position may count, see [`Peer::matched`].
    Position,
    /// A sign of life, nothing more.
    Nothing,
    /// It follows a master with a higher epoch: this one is superseded.
    Superseded,
}

/// The master, as far as an ACK is judged by it.
#[derive(Clone, Copy, Debug)]
pub struct LeaderView<'a> {
    /// Its history and epoch.
    pub leadership: Leadership,
    /// The histories that it has cleared away.
    pub cleared: &'a ClearedLogs,
    /// Which epoch placed which of its entries.
    pub epochs: &'a EpochTable,
    /// The last entry that it may have sent.
    pub tail: Seq,
    /// The highest number that it has put into a heartbeat.
    pub round: u64,
}

/// Which storage counts under the name of a secondary. No clock decides which one is newer: a storage counts once it has
/// answered a heartbeat that names it and carries a number made after the storage was first seen; from then on the former one
/// never counts again in this epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Storages {
    /// The one that counts, and since when.
    current: Option<(StorageId, Time)>,
    /// Those that have spoken and did not count before; the first one is asked next.
    candidates: VecDeque<Candidate>,
    /// Those that counted before, the newest last.
    former: VecDeque<StorageId>,
    /// Those that were asked and never answered, the newest last: dead ones of which a message was late, or strangers.
    silent: VecDeque<Candidate>,
}

/// A storage that has to answer before it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Candidate {
    storage: StorageId,
    /// Its answer has to carry this number or a higher one.
    number: u64,
    /// How often it was asked.
    asked: u8,
}

/// What a storage is under the name of its secondary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StorageState {
    /// It counts.
    Current,
    /// It counts from now on.
    BecameCurrent,
    /// It has to answer first; whether it is to be asked at once.
    Candidate { ask_now: bool },
    /// It has been asked before, again and again, and goes on talking without an answer; it is asked once more.
    Stranger,
    /// It counts no more.
    Former,
}

impl Storages {
    /// How many are asked at one time; the next one takes the place of the oldest.
    const MAX_CANDIDATES: usize = 4;
    /// How often one is asked before it is taken for a late message of a dead process.
    const MAX_ASKED: u8 = 3;

    /// A storage has spoken: an answer to `round` if that is not 0, while `highest` is the highest number made so far.
    fn spoke(&mut self, storage: StorageId, round: u64, highest: u64, now: Time) -> StorageState {
        if self.current.is_some_and(|(current, _)| current == storage) {
            return StorageState::Current;
        }
        if self.former.contains(&storage) {
            return StorageState::Former;
        }
        let is_it = |c: &Candidate| c.storage == storage;
        let answered = |c: &Candidate| is_it(c) && round >= c.number;
        let mut asked = self.candidates.iter().chain(&self.silent);
        if asked.any(answered) {
            self.candidates.retain(|c| !is_it(c));
            self.silent.retain(|c| !is_it(c));
            self.make_current(storage, highest, now);
            return StorageState::BecameCurrent;
        }
        if self.candidates.iter().any(is_it) {
            return StorageState::Candidate { ask_now: false };
        }
        if let Some(i) = self.silent.iter().position(is_it)
            && let Some(candidate) = self.silent.remove(i)
        {
            self.ask(Candidate {
                asked: 0,
                ..candidate
            });
            return StorageState::Stranger;
        }
        // Only the first one is asked at once: a flood of invented storages is not answered one by one.
        let ask_now = self.candidates.is_empty();
        self.ask(Candidate {
            storage,
            number: highest + 1,
            asked: 0,
        });
        StorageState::Candidate { ask_now }
    }

    fn ask(&mut self, candidate: Candidate) {
        if self.candidates.len() >= Self::MAX_CANDIDATES {
            self.candidates.pop_front();
        }
        self.candidates.push_back(candidate);
    }

    /// It counts from now on. What others were asked before that may have been answered before it, and late: they have to answer
    /// a number that is made from now on.
    fn make_current(&mut self, storage: StorageId, highest: u64, now: Time) {
        for other in self.candidates.iter_mut().chain(&mut self.silent) {
            other.number = highest + 1;
        }
        if let Some((former, _)) = self.current.replace((storage, now)) {
            self.former.push_back(former);
            if self.former.len() > MAX_FORMER {
                self.former.pop_front();
            }
        }
    }

    /// The one to name in a heartbeat.
    fn to_ask(&self) -> Option<StorageId> {
        let candidate = self.candidates.front().map(|c| c.storage);
        candidate.or(self.current.map(|(storage, _)| storage))
    }

    /// A heartbeat has named [`Storages::to_ask`]: the next one is another's. Whether that one has been asked for the last
    /// time.
    fn asked(&mut self) -> bool {
        if let Some(mut candidate) = self.candidates.pop_front() {
            candidate.asked += 1;
            if candidate.asked < Self::MAX_ASKED {
                self.candidates.push_back(candidate);
                return false;
            }
            self.silent.push_back(candidate);
            if self.silent.len() > MAX_FORMER {
                self.silent.pop_front();
            }
            return true;
        }
        false
    }
}

/// What an ACK says of the secondary's log: two that say the same are no news.
type Said = (
    StorageId,
    Option<LogId>,
    Epoch,
    Seq,
    LogPosition,
    Option<Seq>,
);

/// Whether the entries that are to be sent next are being read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Reading {
    #[default]
    No,
    Yes,
    /// They could not be read; until then they are not asked for again.
    FailedUntil(Time),
}

/// One secondary, as the master sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    progress: Progress,
    storages: Storages,
    health: Health,
    backoff: Backoff,
    /// Smoothed time from append to ACK.
    round_trip: Duration,
    pace: Pace,
    /// Chooses its place in a stretched pace, and the jitter of its backoff.
    seed: u64,
    /// It is sent new entries at once; else up to `goal`, which moves at its turns.
    is_prompt: bool,
    goal: Seq,
    /// It came back far behind and has not been sent all of that, where secondaries catch up in turns.
    is_far_behind: bool,
    window_bytes: usize,
    batch_bytes: usize,
    /// Left out of hashes: the model checker's messages are never too large, because its patience never ends.
    message_size: Shown<MessageSize>,
    /// Since when there is no link; nothing is sent, and silence is not held against the secondary.
    link_down_since: Option<Time>,
    heartbeat_due: bool,
    heartbeat_at: Time,
    /// When what is in flight counts as lost.
    retry_at: Option<Time>,
    last_said: Option<Said>,
    other_history: Option<LogId>,
    /// When a former storage last spoke under this name.
    clash_at: Shown<Option<Time>>,
    held_from: Option<Seq>,
    /// Where clients reach the storage that counts.
    url: Shown<Option<NodeUrl>>,
    damaged: Shown<Option<Seq>>,
    reading: Reading,
    /// Its status, and whether there is a clash, as they were told as events.
    told: Shown<Option<(Status, bool)>>,
    retries: Tally,
    /// Messages in its name with an epoch that no honest node can have.
    forged: Tally,
}

impl Peer {
    /// A secondary of which nothing is known.
    #[must_use]
    pub fn new(node: &NodeId, settings: &Replication, pace: &Pace, link_up: bool) -> Self {
        let seed = node.as_str().bytes().fold(settings.seed, |h, b| {
            (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)
        });
        Self {
            progress: Progress::new(),
            storages: Storages::default(),
            health: Health::new(pace.suspect_after, pace.unhealthy_after),
            backoff: Backoff::new(settings.retry_min, settings.retry_max, seed),
            round_trip: Duration::ZERO,
            pace: pace.clone(),
            seed,
            is_prompt: true,
            goal: Seq::ZERO,
            is_far_behind: false,
            window_bytes: settings.window_bytes,
            batch_bytes: settings.batch_bytes,
            message_size: Shown(MessageSize::new(settings)),
            link_down_since: (!link_up).then_some(Time::ZERO),
            heartbeat_due: link_up,
            heartbeat_at: Time::ZERO,
            retry_at: None,
            last_said: None,
            other_history: None,
            clash_at: Shown::default(),
            held_from: None,
            url: Shown::default(),
            damaged: Shown::default(),
            reading: Reading::No,
            told: Shown::default(),
            retries: Tally::default(),
            forged: Tally::default(),
        }
    }

    /// The position of the secondary has come.
    pub fn ack(&mut self, ack: &Ack, leader: &LeaderView<'_>, now: Time) -> AckEffect {
        let is_asked = ack.answers.master == leader.leadership.epoch.master;
        let round = if is_asked { ack.answers.round } else { 0 };
        match self.storages.spoke(ack.storage, round, leader.round, now) {
            StorageState::Former => {
                // The last words of a storage that is gone come soon after the first ones of the new; a second living one
                // goes on talking.
                let since = self.storages.current.map(|(_, since)| since);
                if since.is_some_and(|since| now.since(since) >= self.pace.interval) {
                    self.clash_at = Shown(Some(now));
                }
                return AckEffect::Nothing;
            }
            StorageState::Stranger => {
                self.notice_stranger(now);
                return self.superseded_by(ack, leader);
            }
            StorageState::Candidate { ask_now } => {
                if ask_now {
                    self.ask_now();
                }
                if !ack.is_goodbye && self.storages.current.is_none() {
                    self.seen(0, now);
                }
                // Somebody else's epoch is news from whomever it comes.
                return self.superseded_by(ack, leader);
            }
            StorageState::BecameCurrent => {
                self.forget_position();
                self.last_said = None;
            }
            StorageState::Current => {}
        }
        self.seen(round, now);
        self.held_from = ack.held_from;
        self.damaged = Shown(ack.damaged);
        if self.url.0 != ack.url {
            self.url = Shown(ack.url.clone());
        }
        if ack.is_goodbye {
            self.health.left();
            self.forget_flight();
            return AckEffect::Nothing;
        }
        self.position(ack, leader, now)
    }

    /// What the storage that counts says of its log.
    fn position(&mut self, ack: &Ack, leader: &LeaderView<'_>, now: Time) -> AckEffect {
        let said = (
            ack.storage,
            ack.log_id,
            ack.epoch,
            ack.upto,
            ack.last,
            ack.held_from,
        );
        let is_news = self.last_said.replace(said) != Some(said);
        let LeaderView {
            leadership: Leadership { log_id, epoch },
            cleared,
            epochs,
            tail,
            ..
        } = *leader;
        let is_ours = ack.log_id == Some(log_id);
        let is_cleared = ack.log_id.is_some_and(|log| cleared.covers(log, ack.epoch));
        // Other entries, or a node that knows this very history to be cleared away.
        let refuses = ack.last.seq > Seq::ZERO || ack.cleared.cleared_by(log_id).is_some();
        self.other_history = ack.log_id.filter(|_| !is_ours && refuses && !is_cleared);
        if self.superseded_by(ack, leader) == AckEffect::Superseded {
            self.forget_position();
            return AckEffect::Superseded;
        }
        if !is_ours {
            // Another history; or an empty log that takes the first one it is told of; or one that was cleared away. What
            // follows once it is told is told at once; another history only with its heartbeat.
            self.forget_position();
            if is_news && (ack.log_id.is_none() || is_cleared) {
                self.ask_now();
            }
            return AckEffect::Nothing;
        }
        // The last entry that it can share: whether it does is asked.
        let common = epochs.last_common(ack.last).seq.min(tail);
        if ack.epoch < epoch {
            // It has not seen this epoch yet: what it holds says where to begin, and counts for nothing.
            self.forget_position();
            self.probe_at(common, is_news);
            return AckEffect::Nothing;
        }
        if ack.upto > tail {
            return AckEffect::Nothing; // nobody can hold what was never sent
        }
        self.matched_upto(ack, tail, now);
        if ack.upto < ack.last.seq && common > ack.upto {
            self.probe_at(common, is_news);
        }
        AckEffect::Position
    }

    /// Whether the secondary follows a master with a higher epoch of this history, or one that has cleared it away, or has
    /// entries of a later epoch in the history that this master cleared away.
    fn superseded_by(&self, ack: &Ack, leader: &LeaderView<'_>) -> AckEffect {
        let Leadership { log_id, epoch } = leader.leadership;
        let is_higher = ack.log_id == Some(log_id) && ack.epoch > epoch;
        let has_cleared = ack.cleared.cleared_by(log_id).is_some_and(|by| by > epoch);
        let own_clearing = ack
            .log_id
            .and_then(|log| leader.cleared.cleared_by(log))
            .filter(|by| by.master == epoch.master);
        let has_gone_on = own_clearing.is_some_and(|by| ack.last.epoch > by);
        match is_higher || has_cleared || has_gone_on {
            true => AckEffect::Superseded,
            false => AckEffect::Nothing,
        }
    }

    /// It holds everything up to `ack.upto`, and that is this master's.
    fn matched_upto(&mut self, ack: &Ack, tail: Seq, now: Time) {
        let acked = self.progress.acked(ack.upto, now);
        if acked.is_news {
            self.message_size.0.acked(ack.upto, self.batch_bytes);
        }
        if let Some(took) = acked.took {
            self.round_trip = if self.round_trip.is_zero() {
                took
            } else {
                (self.round_trip * 7 + took) / 8
            };
        }
        let was_probing = self.progress.mode() == Mode::Probe;
        if was_probing {
            self.progress.resume(ack.held_from);
            self.heartbeat_at = self.pace.next(now, self.seed);
        }
        let is_far = |far| tail.after(self.progress.next().prev()) > far;
        let is_far = self.pace.far_behind.is_some_and(is_far);
        let begins = was_probing || !self.is_prompt;
        self.is_far_behind = is_far && (self.is_far_behind || begins);
        if acked.is_news || was_probing {
            self.backoff.reset(self.round_trip * 2);
            self.retry_at = self
                .progress
                .is_waiting()
                .then(|| now + self.backoff.next_wait());
        }
        // No news, an error or a hole: what is in flight is sent again when its time is up, not once per answer.
    }

    /// Somebody speaks under this name and does not answer. If the one that counts is silent, it may well be its successor, and
    /// what was asked got lost.
    fn notice_stranger(&mut self, now: Time) {
        if self.health.status(now) == Status::Healthy && self.storage().is_some() {
            self.clash_at = Shown(Some(now));
        }
    }

    /// A sign of life.
    fn seen(&mut self, round: u64, now: Time) {
        if !self.health.status(now).is_alive() {
            self.backoff.reset(Duration::ZERO);
        }
        self.health.seen(round, now);
    }

    /// Asks whether the secondary holds what the master has at `seq`: at once if its last answer was news.
    fn probe_at(&mut self, seq: Seq, is_news: bool) {
        self.progress.probe_at(seq.next());
        self.retry_at = None;
        if is_news {
            self.ask_now();
        }
    }

    /// A heartbeat is due now: something is to be known that can wait no longer.
    pub(crate) fn ask_now(&mut self) {
        self.heartbeat_due = self.link_down_since.is_none();
    }

    fn forget_flight(&mut self) {
        self.progress.probe();
        self.retry_at = None;
    }

    fn forget_position(&mut self) {
        self.progress.reset();
        self.message_size.0.forget();
        self.retry_at = None;
    }

    /// What is to be sent now, if anything, of a log that ends at `tail`. Whoever sends it says so.
    #[must_use]
    pub fn transmit(&self, tail: Seq, now: Time) -> Option<Transmit> {
        if self.link_down_since.is_some() {
            return None;
        }
        if self.heartbeat_due {
            return Some(Transmit::Heartbeat {
                prev: self.progress.next().prev(),
                storage: self.storages.to_ask(),
            });
        }
        match self.reading {
            Reading::Yes => return None,
            Reading::FailedUntil(until) if now < until => return None,
            Reading::No | Reading::FailedUntil(_) => {}
        }
        let (first, last, free) = (self.progress).sendable(self.upto(tail), self.window_bytes)?;
        Some(Transmit::Entries {
            first,
            last,
            bytes: free.min(self.message_size.0.limit),
        })
    }

    /// Up to where it may be sent a log that ends at `tail`.
    fn upto(&self, tail: Seq) -> Seq {
        match self.is_prompt || self.is_catching_up() {
            true => tail,
            false => self.goal.min(tail),
        }
    }

    /// Whether it is sent new entries at once.
    pub(crate) fn is_prompt(&self) -> bool {
        self.is_prompt
    }

    /// Whether it is sent new entries at once from now on.
    pub(crate) fn set_prompt(&mut self, is_prompt: bool) {
        self.is_prompt = is_prompt;
    }

    /// Up to where it may be sent entries if it is not prompt.
    pub(crate) fn goal(&self) -> Seq {
        self.goal
    }

    /// It has its turn: it may be sent everything up to `tail`.
    pub(crate) fn set_goal(&mut self, tail: Seq) {
        self.goal = tail;
    }

    /// Whether it is far behind, follows, and has not been sent what it has missed.
    #[must_use]
    pub fn is_catching_up(&self) -> bool {
        self.is_far_behind && self.progress.mode() == Mode::Replicate
    }

    /// Smoothed time from an append to its ACK; `None` where there was none yet.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        Some(self.round_trip).filter(|took| !took.is_zero())
    }

    /// There are more secondaries, or fewer: it is sent signs of life at that pace from now on.
    pub(crate) fn set_pace(&mut self, pace: &Pace, now: Time) {
        if pace.interval < self.pace.interval {
            self.heartbeat_at = self.heartbeat_at.min(pace.next(now, self.seed));
        }
        (self.health).set_limits(pace.suspect_after, pace.unhealthy_after, now);
        self.pace.clone_from(pace);
    }

    /// The entries that it needs next are being read.
    pub fn reading(&mut self) {
        self.reading = Reading::Yes;
    }

    /// They are read, or not wanted any more: whether entries from `first` on are still what is to be sent next.
    pub fn has_read(&mut self, first: Seq, tail: Seq) -> bool {
        self.reading = Reading::No;
        let next = (self.progress).sendable(self.upto(tail), self.window_bytes);
        self.link_down_since.is_none() && next.is_some_and(|(f, _, _)| f == first)
    }

    /// They could not be read; they are asked for again after a while.
    pub fn could_not_read(&mut self, now: Time) {
        self.reading = Reading::FailedUntil(now + self.backoff.next_wait());
    }

    /// A heartbeat has left.
    pub fn sent_heartbeat(&mut self, now: Time) {
        self.heartbeat_due = false;
        if self.storages.asked() {
            self.notice_stranger(now);
        }
        let wait = match self.progress.mode() {
            Mode::Replicate => self.pace.next(now, self.seed).since(now),
            // A dead node costs one small message per backoff; a diverged one lives and is asked like the others.
            Mode::Probe if self.other_history.is_some() => {
                self.pace.interval.max(self.backoff.next_wait())
            }
            Mode::Probe => self.backoff.next_wait(),
        };
        self.heartbeat_at = now + wait;
    }

    /// Entries up to `last`, of so many bytes, have left.
    pub fn sent_entries(&mut self, last: Seq, bytes: usize, now: Time) {
        if self.progress.next() == self.matched().next() {
            self.message_size.0.sent_first(last, bytes, now);
        }
        self.progress.sent(last, bytes, now);
        if self.retry_at.is_none() {
            self.retry_at = Some(now + self.backoff.next_wait());
        }
    }

    /// The broker says that nobody listens on its subject: no use to go on before it is seen.
    pub fn nobody_listens(&mut self) {
        self.health.nobody_listens();
        self.forget_flight();
    }

    /// The link is there again, after that long. What was known is not trusted until a heartbeat with a number from `round`
    /// on is answered.
    pub fn link_up(&mut self, outage: Duration, round: u64, now: Time) {
        self.link_down_since = None;
        self.backoff.reset(Duration::ZERO);
        self.health.distrust(outage, round, now);
        self.heartbeat_due = true;
    }

    /// The link is gone. Nothing is handed to it; silence is not held against the secondary.
    pub fn link_down(&mut self, now: Time) {
        self.link_down_since = Some(now);
        self.heartbeat_due = false;
        self.forget_flight();
    }

    /// The master was stopped for that long until `now`: as [`Peer::link_up`].
    pub fn paused(&mut self, pause: Duration, round: u64, now: Time) {
        self.health.distrust(pause, round, now);
        self.ask_now();
    }

    /// The log that its position was of is gone: nothing is known of it.
    pub fn reset(&mut self) {
        self.forget_position();
        self.last_said = None;
        self.ask_now();
    }

    /// Another master leads, and it answers that one from now on.
    pub fn stand_by(&mut self) {
        self.reset();
        self.health.forget();
        self.told = Shown::default();
    }

    /// Does what is due at `now`; nothing if nothing is.
    pub fn expire(&mut self, now: Time) {
        if self.link_down_since.is_some() {
            return;
        }
        let is_healthy = self.health.status(now) == Status::Healthy;
        if self.retry_at.is_some_and(|t| t <= now) {
            self.retries.add(1);
            self.retry_at = None;
            if is_healthy {
                self.progress.resume(self.held_from);
            } else {
                self.forget_flight();
                self.heartbeat_due = true;
            }
        }
        if self.heartbeat_at <= now {
            self.heartbeat_due = true;
            if !is_healthy && self.progress.mode() == Mode::Replicate {
                self.forget_flight();
            }
        }
    }

    /// When something is to be done without a message, if ever.
    #[must_use]
    pub fn deadline(&self, now: Time) -> Option<Time> {
        if self.link_down_since.is_some() {
            return None;
        }
        let heartbeat = (!self.heartbeat_due).then_some(self.heartbeat_at);
        let read_again = match self.reading {
            Reading::FailedUntil(until) if until > now => Some(until),
            _ => None,
        };
        [
            heartbeat,
            self.retry_at,
            read_again,
            self.health.deadline(now),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// When it is another one, or has something to send, by time alone; nothing before `now`.
    pub(crate) fn changes_at(&self, now: Time) -> Option<Time> {
        let clash_end = self.clash_at.0.map(|at| at + self.clash_time());
        let others = [Some(self.heartbeat_at), clash_end];
        let others = others.into_iter().flatten().filter(|at| *at > now);
        others.chain(self.deadline(now)).min()
    }

    /// Its status and whether there is a clash are told as events: what was told before.
    pub(crate) fn tell(&mut self, told: (Status, bool)) -> (Status, bool) {
        let before = self.told.0.replace(told);
        before.unwrap_or((Status::Unknown, false))
    }

    /// It holds everything up to here: shown in this epoch of the master, by the storage that counts.
    #[must_use]
    pub fn matched(&self) -> Seq {
        self.progress.matched()
    }

    /// The storage that counts, if one does.
    #[must_use]
    pub fn storage(&self) -> Option<StorageId> {
        self.storages.current.map(|(storage, _)| storage)
    }

    /// The highest number that a storage has to answer before it counts, if one has to.
    #[must_use]
    pub(crate) fn number_to_answer(&self) -> Option<u64> {
        self.storages.candidates.iter().map(|c| c.number).max()
    }

    /// Its positions and what is in flight.
    #[must_use]
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Its status for health and quorum.
    #[must_use]
    pub fn status(&self, now: Time) -> Status {
        let now = self.link_down_since.map_or(now, |since| since.min(now));
        match self.health.status(now) {
            Status::Healthy | Status::Suspected if self.other_history.is_some() => Status::Diverged,
            status => status,
        }
    }

    /// Its signs of life.
    #[must_use]
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// The other history that it holds, if it does.
    #[must_use]
    pub fn other_history(&self) -> Option<LogId> {
        self.other_history
    }

    /// The first entry of the message that does not get there although the secondary answers, and the bytes of that message:
    /// something on the way takes none of its size, or loses all of them.
    #[must_use]
    pub fn stuck_at(&self, now: Time) -> Option<(Seq, usize)> {
        let is_stuck = self.message_size.0.is_stuck(now);
        let is_alive = self.status(now).is_alive();
        (is_stuck && is_alive).then(|| (self.matched().next(), self.message_size.0.bytes()))
    }

    /// The entry that it cannot read from its disk, as it has said last.
    #[must_use]
    pub fn damaged(&self) -> Option<Seq> {
        self.damaged.0
    }

    /// Where clients reach it, by the word of the storage that counts.
    #[must_use]
    pub fn url(&self) -> Option<&NodeUrl> {
        self.url.0.as_ref()
    }

    /// The first entry that it holds back.
    #[must_use]
    pub fn held_from(&self) -> Option<Seq> {
        self.held_from
    }

    /// How often entries were sent again.
    #[must_use]
    pub fn retries(&self) -> u64 {
        self.retries.get()
    }

    /// A message in its name was dropped, because of an epoch that no honest node can have.
    pub fn dropped_forged(&mut self) {
        self.forged.add(1);
    }

    /// How many messages in its name were dropped for that.
    #[must_use]
    pub fn forged(&self) -> u64 {
        self.forged.get()
    }

    /// Whether a second process speaks under this name.
    #[must_use]
    pub fn has_clash(&self, now: Time) -> bool {
        self.clash_at
            .0
            .is_some_and(|t| now.since(t) < self.clash_time())
    }

    fn clash_time(&self) -> Duration {
        self.pace.interval * 10
    }
}
