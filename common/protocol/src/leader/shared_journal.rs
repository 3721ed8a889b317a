//! What a master knows of a journal that it shares with other masters: up to where it has carried out the stream, whose chunks
//! come next, and which chunk of its own is on its way.

use std::time::Duration;

use crate::chunk::{CHUNK_HEAD_BYTES, ChunkHead, ChunkId, ChunkKind, ChunkSeq};
use crate::cleared_logs::ClearedLogs;
use crate::entry::EntryBatch;
use crate::epochs::{EpochTable, LogPosition};
use crate::hard_state::{HardState, Moving};
use crate::ids::{Epoch, LogId, MasterId, Seq, Time};
use crate::node::WriteJob;
use crate::node_url::NodeUrl;

/// After so many heartbeat intervals without an answer the journal is silent.
const SILENT_HEARTBEATS: u32 = 2;
/// A chunk that has not got into the stream by then is late, however seldom heartbeats come.
const LATE_AFTER: Duration = Duration::from_secs(1);
/// Longer than the servers of a stream take to choose a leader (4 to 9 s in nats-server).
const STUCK_AFTER: Duration = Duration::from_secs(15);
/// Who has led for so many heartbeat intervals has not lost its turn shortly after it had got it.
const LONG_TURN: u32 = 6;
/// The broker's own default for a message, until the stream has said what it takes.
const DEFAULT_ROOM: usize = 1 << 20;

/// The master whose chunks the stream has since its last claim.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claimant {
    /// The start of that master.
    pub master: MasterId,
    /// The epoch that it leads in.
    pub epoch: Epoch,
    /// Where clients reach it.
    pub url: Option<NodeUrl>,
    /// Its claim; or the last chunk that was carried out, where the claim was before the start.
    pub claimed_at: ChunkSeq,
}

/// The chunk that was handed to the journal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OnItsWay {
    /// Which one.
    pub head: ChunkHead,
    /// Since when.
    pub since: Time,
    /// The hard state that it stores, if it does.
    state: Option<HardState>,
}

/// The turns of a master at leading: those who stand by are to see that it lives as long as one lasts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Turns {
    /// When the last one began.
    since: Time,
    /// How many in a row were lost shortly after they had begun.
    lost: u32,
    /// When the next sign of life is due.
    sign_due: Time,
}

/// How what the own storage holds stands to the stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Fit {
    /// It was made from the stream.
    Made,
    /// It was if the first chunk that comes is the one that was carried out last.
    Unrecognised,
    /// It was not, and is to be moved there.
    Foreign,
    /// It has no entry, and takes the log that the stream holds, unless that is one of those that were cleared here.
    Empty(ClearedLogs),
    /// The stream ends before what was carried out of it: it is read from its beginning once more, and nothing of it is carried
    /// out.
    Rereading(Box<Reread>),
}

/// What is read of a stream that has lost its end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Reread {
    /// Where it ended when it was opened.
    end: ChunkSeq,
    /// The log that it holds, as far as it was read.
    log: EpochTable,
    /// What the own storage knows, which the stream has lost.
    kept: HardState,
}

/// A journal that several masters share, as one of them knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SharedJournal {
    master: MasterId,
    /// A sign of life of the master that leads comes so often.
    heartbeat_interval: Duration,
    turns: Turns,
    /// The last chunk that was carried out; `None` until the stream is opened.
    position: Option<ChunkSeq>,
    /// Which one that is, since it was read or written.
    last: Option<ChunkId>,
    /// After which chunk the stream is to be followed; handed out once.
    follow: Option<ChunkSeq>,
    claimant: Option<Claimant>,
    /// The hard state as the stream says it, without the table of epochs.
    state: HardState,
    fit: Fit,
    /// How many chunks this start has made.
    chunks: u64,
    /// Bytes that a chunk may have.
    room: usize,
    on_its_way: Option<OnItsWay>,
    /// When the stream last gave an answer.
    answered_at: Option<Time>,
    /// Entries of a log that is being moved into the stream: those that come next.
    page: Option<EntryBatch>,
    /// They are being read.
    is_reading: bool,
}

/// Why a chunk cannot be carried out: the stream is not the one that this master has read. In one line.
pub type NotOurs = String;

impl SharedJournal {
    /// Of a master that has just started, with what its own storage knows of the stream. Without an answer for two heartbeat
    /// intervals the journal is silent.
    #[must_use]
    pub fn new(master: MasterId, heartbeat_interval: Duration, stored: &HardState) -> Self {
        Self {
            master,
            heartbeat_interval,
            turns: Turns {
                since: Time::ZERO,
                lost: 0,
                sign_due: Time::ZERO,
            },
            position: None,
            last: None,
            follow: None,
            claimant: stored.chunk.map(|chunk| Claimant {
                master: stored.epoch.master,
                epoch: stored.epoch,
                url: None,
                claimed_at: chunk,
            }),
            state: HardState {
                epochs: Vec::new(),
                ..stored.clone()
            },
            fit: Fit::Made,
            chunks: 0,
            room: DEFAULT_ROOM,
            on_its_way: None,
            answered_at: None,
            page: None,
            is_reading: false,
        }
    }

    /// The stream is there, with the chunks after `before` up to `end`: it is to be followed from the last one that was carried
    /// out, which has to be recognised, by a master whose own storage holds entries up to `last`. One that has lost its end is
    /// read from its beginning, see [`SharedJournal::compare`].
    ///
    /// # Errors
    /// What the own storage holds does not belong to this stream.
    pub fn open(&mut self, before: ChunkSeq, end: ChunkSeq, last: Seq) -> Result<(), NotOurs> {
        let from = match self.state.chunk {
            Some(own) if own == before => own,
            Some(own) if (before..=end).contains(&own) => {
                self.fit = Fit::Unrecognised;
                own.prev()
            }
            Some(own) if own > end && end == before => {
                return Err(format!(
                    "it was carried out up to chunk {own} of a stream, and this one is empty: it was made anew"
                ));
            }
            Some(own) if own > end => {
                self.fit = Fit::Rereading(Box::new(Reread {
                    end,
                    log: EpochTable::default(),
                    kept: std::mem::take(&mut self.state),
                }));
                self.claimant = None;
                before
            }
            Some(own) => {
                return Err(format!(
                    "it belongs to another stream: chunk {own} of that one was carried out last, this one begins after {before}"
                ));
            }
            None if last > Seq::ZERO => {
                self.fit = Fit::Foreign;
                self.state.moving = Some(Moving {
                    streamed: Seq::ZERO,
                    upto: last,
                });
                before
            }
            None => {
                self.fit = Fit::Empty(self.state.cleared.clone());
                before
            }
        };
        self.position = Some(from);
        self.follow = self.position;
        Ok(())
    }

    /// After which chunk the stream is to be followed from now on, once after it was opened.
    pub fn take_follow(&mut self) -> Option<ChunkSeq> {
        self.follow.take()
    }

    /// The next chunk of the stream has come: whether it is to be carried out. The first one after the stream was opened may be
    /// the last one that was, once more.
    ///
    /// # Errors
    /// It does not follow, or is of a master that has not claimed the journal, or not the one that was carried out.
    pub fn follow(&mut self, job: &WriteJob, now: Time) -> Result<bool, NotOurs> {
        self.answered_at = Some(now);
        let Some(head) = &job.chunk else {
            return Err("a write that is no chunk".to_owned());
        };
        let seq = head.seq();
        if self.position != Some(head.after) {
            let position = self.position.unwrap_or_default();
            return Err(format!(
                "chunk {seq} came where {} was due",
                position.next()
            ));
        }
        if self.fit == Fit::Unrecognised {
            self.fit = Fit::Made;
            self.position = Some(seq);
            self.last = Some(head.id);
            return self.recognise(head, job.hard_state.as_ref());
        }
        if let (Some(prev), Some(last)) = (head.prev, self.last)
            && prev != last
        {
            return Err(format!(
                "chunk {seq} follows another one than was carried out here: the stream has lost its end, and has gone on otherwise"
            ));
        }
        self.check_owner(head, job.hard_state.as_ref())?;
        self.take(head, job.hard_state.as_ref());
        Ok(true)
    }

    /// The last chunk that was carried out is there: it is of the epoch that the own storage knows. A master writes one chunk at
    /// a position, so it is that very one.
    fn recognise(&self, head: &ChunkHead, state: Option<&HardState>) -> Result<bool, NotOurs> {
        let own = self.state.epoch;
        let is_same = head.id.master == own.master && state.is_none_or(|s| s.epoch == own);
        match is_same {
            true => Ok(false),
            false => Err(format!(
                "chunk {} of the stream is not the one that was carried out: the stream has lost its end, and has gone on otherwise; \
                 what only this directory holds is in it",
                head.seq()
            )),
        }
    }

    // ---- A stream that has lost its end.

    /// Whether the stream is read that has lost its end, and the chunks that come are not to be carried out.
    #[must_use]
    pub fn is_rereading(&self) -> bool {
        matches!(self.fit, Fit::Rereading(_))
    }

    /// Whether the own storage is known to be what the stream makes, as far as that was carried out.
    #[must_use]
    pub fn is_known_to_fit(&self) -> bool {
        !matches!(self.fit, Fit::Unrecognised | Fit::Rereading(_))
    }

    /// Whether what the own storage holds was made from the stream: else it may belong to another one.
    #[must_use]
    pub fn is_made_from_it(&self) -> bool {
        match &self.fit {
            Fit::Made => true,
            Fit::Empty(cleared) => cleared.is_empty(),
            Fit::Unrecognised | Fit::Foreign | Fit::Rereading(_) => false,
        }
    }

    /// What the next chunk of a stream makes of the log there, where the stream has lost its end.
    ///
    /// # Errors
    /// The chunk does not follow.
    pub fn reread(&mut self, job: &WriteJob) -> Result<(), NotOurs> {
        let Fit::Rereading(reread) = &mut self.fit else {
            return Ok(());
        };
        let log = &mut reread.log;
        if let Some(cut) = job.truncate {
            log.truncate_after(cut.after);
        }
        let moved = job.chunk.as_ref().and_then(ChunkHead::moved);
        for batch in job.entries.iter().chain(moved) {
            let last = log.last().seq;
            if batch.first() != last.next() {
                let first = batch.first();
                return Err(format!(
                    "a chunk of the stream has entry {first} where {last} is the last one"
                ));
            }
            log.append(batch.epoch(), batch.last());
        }
        Ok(())
    }

    /// Once all of a stream was read that has lost its end: after which entry of the `own` log the stream ends. What follows is
    /// to be moved into it, like a log that was not made from it. `None` as long as something is still to be read.
    ///
    /// # Errors
    /// The log there is not the beginning of the own one.
    pub fn compare(&mut self, own: &EpochTable) -> Result<Option<Seq>, NotOurs> {
        let Reread { log, kept, .. } = match std::mem::replace(&mut self.fit, Fit::Made) {
            Fit::Rereading(reread) if self.position >= Some(reread.end) => *reread,
            fit => {
                self.fit = fit;
                return Ok(None);
            }
        };
        let (there, last) = (log.last(), own.last().seq);
        let is_same = self.state.log_id.is_none() || self.state.log_id == kept.log_id;
        if !is_same || !own.matches(there) {
            let (chunk, end) = (
                kept.chunk.unwrap_or_default(),
                self.position.unwrap_or_default(),
            );
            return Err(format!(
                "it was carried out up to chunk {chunk} of the stream, which has lost its end, and ends at chunk {end} now with another \
                 log than this one; what only this directory holds is in it"
            ));
        }
        self.state = HardState {
            epochs: Vec::new(),
            epoch: kept.epoch.max(self.state.epoch),
            // Until its own claim is in the stream, a start that comes after this one has to compare again.
            chunk: kept.chunk,
            moving: (there.seq < last).then_some(Moving {
                streamed: there.seq,
                upto: last,
            }),
            ..kept
        };
        Ok(Some(there.seq))
    }

    /// Whose chunk it is: readers stop at one of a master that has not claimed the journal.
    fn check_owner(&self, head: &ChunkHead, state: Option<&HardState>) -> Result<(), NotOurs> {
        let seq = head.seq();
        let is_claim = is_claim(&head.kind);
        let log_id = state.and_then(|s| s.log_id);
        match &self.fit {
            Fit::Foreign => {
                let is_move = matches!(head.kind, ChunkKind::MoveIn { entries: None, .. });
                return match is_move && log_id == self.state.log_id {
                    true => Ok(()),
                    false => Err(
                        "the stream holds a log already, and this one was not made from it"
                            .to_owned(),
                    ),
                };
            }
            Fit::Empty(cleared) => {
                let was_cleared = |log_id: &LogId| cleared.cleared_by(*log_id).is_some();
                if let Some(log_id) = log_id.filter(was_cleared) {
                    return Err(format!(
                        "the stream holds the log {log_id}, which was cleared in this directory"
                    ));
                }
                if is_claim && self.claimant.is_none() {
                    return Ok(()); // the epochs known here are of another log
                }
            }
            _ => {}
        }
        if !is_claim && head.id.master != self.state.epoch.master {
            return Err(format!(
                "chunk {seq} is of the master {}, which has not claimed the journal before: the stream was made anew, or has lost \
                 its end",
                head.id.master
            ));
        }
        if is_claim && state.is_none_or(|s| s.epoch <= self.state.epoch) {
            return Err(format!(
                "chunk {seq} claims the journal for no higher epoch than the one before: the stream was made anew, or has lost its end"
            ));
        }
        Ok(())
    }

    /// A chunk is in the stream, and is carried out.
    fn take(&mut self, head: &ChunkHead, state: Option<&HardState>) {
        if let Some(state) = state {
            self.state = HardState {
                epochs: Vec::new(),
                moving: self.state.moving,
                ..state.clone()
            };
        }
        if is_claim(&head.kind) {
            self.claimant = Some(Claimant {
                master: head.id.master,
                epoch: self.state.epoch,
                url: match &head.kind {
                    ChunkKind::Claim { url, .. } => url.clone(),
                    _ => None,
                },
                claimed_at: head.seq(),
            });
        }
        self.state.moving = self.moving_after(&head.kind);
        let has_log = self.state.log_id.is_some();
        if self.fit == Fit::Foreign || has_log && matches!(self.fit, Fit::Empty(_)) {
            self.fit = Fit::Made;
        }
        self.position = Some(head.seq());
        self.last = Some(head.id);
        self.state.chunk = self.position;
    }

    /// What is still to be moved in once a chunk of that kind is in the stream.
    fn moving_after(&self, kind: &ChunkKind) -> Option<Moving> {
        let ChunkKind::MoveIn { entries, upto } = kind else {
            return None;
        };
        let known = self.state.moving.map_or(Seq::ZERO, |m| m.streamed);
        let streamed = entries.as_ref().map_or(known, EntryBatch::last);
        let upto = *upto;
        (streamed < upto).then_some(Moving { streamed, upto })
    }

    /// What the own storage has to know once that chunk is in the stream, beside what the chunk says.
    #[must_use]
    pub fn stored_with(&self, head: &ChunkHead, state: HardState) -> HardState {
        HardState {
            chunk: Some(head.seq()),
            moving: self.moving_after(&head.kind),
            ..state
        }
    }

    // ---- Its own chunks.

    /// The head of the next chunk, of a master that leads in `epoch` and is reached at `url`; `None` while the stream is not
    /// open. A standby says where the log ends that it claims.
    #[must_use]
    pub fn next_head(
        &self,
        epoch: Epoch,
        url: Option<&NodeUrl>,
        last: Option<LogPosition>,
    ) -> Option<ChunkHead> {
        let is_claim = epoch > self.state.epoch || !self.is_own();
        let kind = match self.state.moving {
            Some(Moving { upto, .. }) => ChunkKind::MoveIn {
                entries: self.page.clone().filter(|_| !is_claim),
                upto,
            },
            None if is_claim => ChunkKind::Claim {
                url: url.cloned(),
                last,
            },
            None => ChunkKind::Write,
        };
        Some(ChunkHead {
            after: self.position?,
            id: ChunkId {
                master: self.master,
                n: self.chunks + 1,
            },
            prev: self.last,
            kind,
        })
    }

    /// A chunk was handed to the journal.
    pub fn handed_over(&mut self, job: &WriteJob, now: Time) {
        if let Some(head) = &job.chunk {
            self.chunks = head.id.n;
            self.on_its_way = Some(OnItsWay {
                head: head.clone(),
                since: now,
                state: job.hard_state.clone(),
            });
        }
    }

    /// The write has ended: whether it is a claim that is in the stream now.
    pub fn written(&mut self, is_done: bool, now: Time) -> bool {
        let Some(OnItsWay { head, state, .. }) = self.on_its_way.take() else {
            return false;
        };
        self.answered_at = Some(now);
        if !is_done {
            return false;
        }
        self.take(&head, state.as_ref());
        if matches!(head.kind, ChunkKind::MoveIn { .. }) {
            self.page = None;
        }
        is_claim(&head.kind)
    }

    // ---- Turns.

    /// This master leads from now on, or begins to serve.
    pub fn begin_turn(&mut self, now: Time) {
        self.turns.since = now;
        self.turns.sign_due = now;
    }

    /// Another master leads, or may: how many turns in a row this one has lost shortly after they had begun.
    pub fn lose_turn(&mut self, now: Time) -> u32 {
        let is_short = now.since(self.turns.since) < self.heartbeat_interval * LONG_TURN;
        self.turns.lost = if is_short { self.turns.lost + 1 } else { 0 };
        self.turns.lost
    }

    /// When those who stand by are to see again that this master lives, while it leads.
    #[must_use]
    pub fn sign_due(&self) -> Time {
        self.turns.sign_due
    }

    /// Whether a chunk is on its way for so long that another master may have a better way to the stream, or more room for its
    /// copy: this one shows no more that it lives. It is fenced by the other one's claim, or goes on.
    #[must_use]
    pub fn is_stuck(&self, now: Time) -> bool {
        let on_its_way = self.on_its_way.as_ref();
        on_its_way.is_some_and(|chunk| now.since(chunk.since) > STUCK_AFTER)
    }

    /// Those who stand by are shown that this master lives, or would be if no chunk were stuck.
    pub fn shown_life(&mut self, now: Time) {
        self.turns.sign_due = now + self.heartbeat_interval;
    }

    // ---- A log that is moved in.

    /// Which entries are to be read now, to be moved into the stream; counts as being read.
    pub fn next_page(&mut self) -> Option<(Seq, Seq)> {
        let Moving { streamed, upto } = self.state.moving.filter(|_| self.is_own())?;
        if self.is_reading || self.page.is_some() {
            return None;
        }
        self.is_reading = true;
        Some((streamed.next(), upto))
    }

    /// They were read.
    pub fn page_read(&mut self, entries: EntryBatch) {
        self.is_reading = false;
        self.page = Some(entries);
    }

    /// Entries wait to be moved into the stream.
    #[must_use]
    pub fn has_page(&self) -> bool {
        self.page.is_some()
    }

    /// How far a log has been moved into the stream that is not all there.
    #[must_use]
    pub fn moving(&self) -> Option<Moving> {
        self.state.moving
    }

    // ---- What is known.

    /// The hard state as the stream says it, without the table of epochs.
    #[must_use]
    pub fn state(&self) -> &HardState {
        &self.state
    }

    /// The last chunk that was carried out; `None` until the stream is open.
    #[must_use]
    pub fn position(&self) -> Option<ChunkSeq> {
        self.position
    }

    /// The master whose chunks come now; `None` where nobody is known to have claimed the journal.
    #[must_use]
    pub fn claimant(&self) -> Option<&Claimant> {
        self.claimant.as_ref()
    }

    /// The master that leads says where clients reach it.
    pub fn learn_url(&mut self, master: MasterId, url: Option<&NodeUrl>) {
        let claimant = self.claimant.as_mut().filter(|c| c.master == master);
        if let (Some(claimant), Some(url)) = (claimant, url) {
            claimant.url = Some(url.clone());
        }
    }

    /// Whether the last claim is this master's.
    #[must_use]
    pub fn is_own(&self) -> bool {
        (self.claimant.as_ref()).is_some_and(|claimant| claimant.master == self.master)
    }

    /// The chunk that was handed over and is not known to be in the stream, or not to be.
    #[must_use]
    pub fn on_its_way(&self) -> Option<&OnItsWay> {
        self.on_its_way.as_ref()
    }

    /// Whether that one is older than the journal's silence may be.
    #[must_use]
    pub fn is_silent(&self, now: Time) -> bool {
        self.silent_at().is_some_and(|at| at <= now)
    }

    /// When it will be.
    #[must_use]
    pub fn silent_at(&self) -> Option<Time> {
        self.on_its_way.as_ref().map(|o| o.since + self.patience())
    }

    /// Whether it is on its way for so long that nobody whose time is up is left waiting for it.
    #[must_use]
    pub fn is_late(&self, now: Time) -> bool {
        self.late_at().is_some_and(|at| at <= now)
    }

    /// When it will be.
    #[must_use]
    pub fn late_at(&self) -> Option<Time> {
        let patience = self.patience().min(LATE_AFTER);
        self.on_its_way.as_ref().map(|o| o.since + patience)
    }

    /// So long without an answer, the journal is silent.
    fn patience(&self) -> Duration {
        self.heartbeat_interval * SILENT_HEARTBEATS
    }

    /// The stream gave an answer.
    pub fn answered(&mut self, now: Time) {
        self.answered_at = Some(now);
    }

    /// Whether the stream has given an answer so lately that it can be told to be there.
    #[must_use]
    pub fn answers(&self, now: Time) -> bool {
        self.answered_at
            .is_some_and(|at| now.since(at) <= self.patience())
    }

    /// A chunk may have so many bytes, its head included.
    pub fn set_room(&mut self, bytes: usize) {
        self.room = bytes;
    }

    /// Bytes of entries that fit into one chunk.
    #[must_use]
    pub fn entries_room(&self) -> usize {
        // Half of it where a broker takes little: a head is that long in a cluster of hundreds only.
        self.room - CHUNK_HEAD_BYTES.min(self.room / 2)
    }
}

fn is_claim(kind: &ChunkKind) -> bool {
    matches!(
        kind,
        ChunkKind::Claim { .. } | ChunkKind::MoveIn { entries: None, .. }
    )
}
