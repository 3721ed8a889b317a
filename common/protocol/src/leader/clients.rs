//! Everybody who waits for a master, and what they are told.
//!
//! A client waits in one place at a time: for the recovery to end, for the journal to say whether its message is there
//! already, for enough nodes to hold its entry, for its entry to become durable, or for a clearing to become durable.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::entry::EntryBatch;
use crate::ids::{Leadership, Seq, Time};
use crate::leader::append::{LookUp, LookedUp, Pending};
use crate::leader::command::{Answer, AppendError, Appended, Reply, Unavailable, WaitEnd, Waiter};
use crate::leader::commit::{Commit, Wait};
use crate::write_concern::Measure;

/// How long an append waits for a master that recovers.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// A client whose wait has ended, and that is told so once it is true: its entry is not durable yet.
type Undecided<W> = (Wait<(Appended, W)>, WaitEnd);

/// A client of which the journal is asked whether its messages are there already.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct LookingUp<W> {
    /// The questions; their tickets follow one another.
    asked: Vec<LookUp>,
    /// How many are not answered yet.
    unanswered: usize,
    pending: Pending<W>,
}

/// The waiting rooms of a master. `W` is through whom a client is answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Clients<W> {
    commit: Commit<(Appended, W)>,
    undecided: Vec<Undecided<W>>,
    /// Told once the new history is durable.
    when_cleared: Vec<Reply<W>>,
    /// Came while the master recovers, and until when they wait for that.
    parked: VecDeque<(Time, Pending<W>)>,
    /// The journal is asked about them, by the ticket of the first question.
    looking_up: BTreeMap<u64, LookingUp<W>>,
    next_ticket: u64,
    replies: Vec<Reply<W>>,
}

impl<W> Default for Clients<W> {
    fn default() -> Self {
        Self {
            commit: Commit::default(),
            undecided: Vec::new(),
            when_cleared: Vec::new(),
            parked: VecDeque::new(),
            looking_up: BTreeMap::new(),
            next_ticket: 0,
            replies: Vec::new(),
        }
    }
}

impl<W: Waiter> Clients<W> {
    /// Who holds what, and who waits for it.
    pub(super) fn commit(&self) -> &Commit<(Appended, W)> {
        &self.commit
    }

    /// The same, to be told of a position.
    pub(super) fn commit_mut(&mut self) -> &mut Commit<(Appended, W)> {
        &mut self.commit
    }

    /// How many clients wait, wherever.
    pub(super) fn waiting(&self) -> usize {
        self.commit.waiting()
            + self.undecided.len()
            + self.when_cleared.len()
            + self.parked.len()
            + self.looking_up.len()
    }

    /// Whether an entry that is not durable yet has a client that is to be told so.
    pub(super) fn is_undecided(&self) -> bool {
        !self.undecided.is_empty()
    }

    /// What is to be told by now.
    pub(super) fn take_replies(&mut self) -> Vec<Reply<W>> {
        std::mem::take(&mut self.replies)
    }

    pub(super) fn tell(&mut self, waiter: W, answer: Answer) {
        self.replies.push(Reply { waiter, answer });
    }

    /// Nothing is appended for this client.
    pub(super) fn refuse(&mut self, waiter: W, error: AppendError) {
        self.tell(waiter, Answer::Refused(error));
    }

    /// The entry that this client speaks of is not in the log any more.
    pub(super) fn gone(&mut self, appended: Appended, waiter: W) {
        self.tell(waiter, Answer::ClearedMeanwhile(appended));
    }

    /// How many clients wait that have not hung up.
    pub(super) fn waiting_still(&self) -> usize {
        let commit = self.commit.waits().map(|wait| &wait.waiter.1);
        let undecided = self.undecided.iter().map(|(wait, _)| &wait.waiter.1);
        let parked = self.parked.iter().map(|(_, p)| &p.append.waiter);
        let looking_up = self.looking_up.values().map(|l| &l.pending.append.waiter);
        let all = commit.chain(undecided).chain(parked).chain(looking_up);
        all.filter(|waiter| !waiter.has_left()).count() + self.when_cleared.len()
    }

    /// Frees the places of clients that have hung up.
    pub(super) fn forget_who_left(&mut self) {
        self.commit.purge(|(_, waiter)| waiter.has_left());
        self.undecided.retain(|(wait, _)| !wait.waiter.1.has_left());
        self.parked.retain(|(_, p)| !p.append.waiter.has_left());
        self.looking_up
            .retain(|_, l| !l.pending.append.waiter.has_left());
    }

    // ---- Before the append.

    /// Lets a client wait for the recovery; refused when `max` wait already.
    pub(super) fn park(&mut self, pending: Pending<W>, max: usize, now: Time) {
        if self.parked.len() >= max {
            self.forget_who_left();
        }
        if self.parked.len() >= max {
            let full = AppendError::Unavailable(Unavailable::TooManyWaiting);
            self.refuse(pending.append.waiter, full);
            return;
        }
        let patience = pending.append.timeout.map_or(PATIENCE, |t| t.min(PATIENCE));
        self.parked.push_back((now + patience, pending));
    }

    /// Refuses those whose patience with the recovery has ended.
    pub(super) fn refuse_impatient(&mut self, now: Time) {
        let is_late = |(until, _): &(Time, Pending<W>)| *until <= now;
        while let Some(at) = self.parked.iter().position(is_late) {
            if let Some((_, pending)) = self.parked.remove(at) {
                let recovering = AppendError::Unavailable(Unavailable::Recovering);
                self.refuse(pending.append.waiter, recovering);
            }
        }
    }

    /// Hands out those who wait for the recovery, in the order they came: it is over.
    pub(super) fn take_parked(&mut self) -> impl Iterator<Item = Pending<W>> + use<W> {
        std::mem::take(&mut self.parked).into_iter().map(|(_, p)| p)
    }

    /// Lets a client wait for what the journal says of messages of its batch: by that ticket and those that follow it.
    pub(super) fn look_up(&mut self, asked: Vec<LookUp>, pending: Pending<W>) -> u64 {
        let ticket = self.next_ticket;
        let unanswered = asked.len();
        self.next_ticket += unanswered as u64;
        let looking_up = LookingUp {
            asked,
            unanswered,
            pending,
        };
        self.looking_up.insert(ticket, looking_up);
        ticket
    }

    /// The journal has answered; hands out the client once all its questions are.
    pub(super) fn looked_up(
        &mut self,
        ticket: u64,
        entry: Result<Option<EntryBatch>, Seq>,
    ) -> Option<Pending<W>> {
        let (first, looking_up) = self.looking_up.range_mut(..=ticket).next_back()?;
        let (first, place) = (*first, usize::try_from(ticket - first).ok()?);
        let asked = *looking_up.asked.get(place)?;
        let said = LookedUp { asked, entry };
        looking_up.pending.looked_up.insert(asked.index, said);
        looking_up.unanswered -= 1;
        let is_last = looking_up.unanswered == 0;
        is_last
            .then(|| self.looking_up.remove(&first))?
            .map(|l| l.pending)
    }

    /// The journal cannot answer: hands out the client.
    pub(super) fn give_up_look_up(&mut self, ticket: u64) -> Option<Pending<W>> {
        let (first, looking_up) = self.looking_up.range(..=ticket).next_back()?;
        let (first, asked) = (*first, looking_up.asked.len() as u64);
        (ticket - first < asked)
            .then(|| self.looking_up.remove(&first))?
            .map(|l| l.pending)
    }

    /// Refuses everybody whose message has no place yet.
    pub(super) fn refuse_unplaced(&mut self, reason: Unavailable) {
        let looking_up = std::mem::take(&mut self.looking_up).into_values();
        let all = self.take_parked().chain(looking_up.map(|l| l.pending));
        for pending in all {
            self.refuse(pending.append.waiter, AppendError::Unavailable(reason));
        }
    }

    // ---- After the append.

    /// Lets a client wait until enough nodes hold its entry; `measure` is what their number was taken from.
    pub(super) fn wait(
        &mut self,
        appended: Appended,
        measure: Measure,
        until: Option<Time>,
        waiter: W,
    ) {
        self.commit.wait(Wait {
            seq: appended.last,
            w: appended.w,
            measure,
            until,
            waiter: (appended, waiter),
        });
    }

    /// There are so many members now, fewer than before: see [`Commit::shrink`]. Whose wait has ended is told of the new number,
    /// too.
    pub(super) fn shrink(&mut self, members: usize) {
        (self.commit).shrink(members, |(appended, _), w| appended.w = w);
        for (wait, _) in &mut self.undecided {
            let nodes = wait.measure.nodes(members).unwrap_or(wait.w);
            wait.w = wait.w.min(nodes);
            wait.waiter.0.w = wait.w;
        }
    }

    /// Tells everybody whose entry is held by enough nodes.
    pub(super) fn answer_met(&mut self) {
        while let Some(met) = self.commit.pop_met() {
            let acks = self.commit.acks(met.seq);
            let (appended, waiter) = met.waiter;
            self.tell(waiter, Answer::Replicated { appended, acks });
        }
    }

    /// Tells those whose wait has ended: because their time is up, or all of them because of what has become of the master.
    /// Everything up to `durable` is in the journal; when what follows will be, up to a position, is `unknown`, and why.
    pub(super) fn answer_ended(
        &mut self,
        all: Option<WaitEnd>,
        durable: Seq,
        unknown: (Seq, Unavailable),
        now: Time,
    ) {
        let mut ended = std::mem::take(&mut self.undecided);
        while let Some(late) = self.commit.pop_late(now) {
            ended.push((late, WaitEnd::Timeout));
        }
        if let Some(because) = all {
            ended.extend(self.commit.drain().map(|wait| (wait, because)));
        }
        for (wait, because) in ended {
            if wait.seq <= durable {
                self.end_wait(wait, because);
            } else if because == WaitEnd::Timeout && wait.seq <= unknown.0 {
                let (appended, waiter) = wait.waiter;
                let because = unknown.1;
                self.tell(waiter, Answer::NotKnown { appended, because });
            } else {
                self.undecided.push((wait, because)); // told once it is true
            }
        }
    }

    /// Nobody waits any longer for more nodes to hold an entry that is durable.
    fn end_wait(&mut self, wait: Wait<(Appended, W)>, because: WaitEnd) {
        let acks = self.commit.acks(wait.seq);
        let (appended, waiter) = wait.waiter;
        let answer = match acks >= appended.w {
            true => Answer::Replicated { appended, acks },
            false => Answer::NotReplicated {
                appended,
                acks,
                because,
            },
        };
        self.tell(waiter, answer);
    }

    /// Whoever waits for an entry after `last` waits for what will not be, or is not known to be.
    pub(super) fn answer_after(&mut self, last: Seq, answer: impl Fn(Appended) -> Answer) {
        let undecided = std::mem::take(&mut self.undecided).into_iter();
        let (after, before): (Vec<_>, Vec<_>) = undecided.partition(|(wait, _)| wait.seq > last);
        self.undecided = before;
        let waits = self.commit.drain_after(last).into_iter();
        for wait in waits.chain(after.into_iter().map(|(wait, _)| wait)) {
            let (appended, waiter) = wait.waiter;
            self.tell(waiter, answer(appended));
        }
    }

    /// Who holds what is to be learned anew; everybody goes on waiting.
    ///
    /// A master only begins to serve after it has refused or not yet placed anybody's messages, so nobody is lost here.
    pub(super) fn forget_positions(&mut self) {
        self.commit = Commit::default();
    }

    // ---- Clearing.

    /// The log was cleared: everybody who waits for an entry of it is told so once that is durable, and `waiter` that the new
    /// history has begun.
    pub(super) fn cleared(&mut self, waiter: W, new: Leadership) {
        self.answer_met();
        let undecided = std::mem::take(&mut self.undecided).into_iter();
        let waits = self.commit.drain().chain(undecided.map(|(wait, _)| wait));
        let told = waits.map(|wait| {
            let (appended, waiter) = wait.waiter;
            let answer = Answer::ClearedMeanwhile(appended);
            Reply { waiter, answer }
        });
        self.when_cleared.extend(told);
        let answer = Answer::Cleared(new);
        self.when_cleared.push(Reply { waiter, answer });
        self.commit = Commit::default();
    }

    /// The clearing is durable.
    pub(super) fn answer_cleared(&mut self) {
        self.replies.append(&mut self.when_cleared);
    }

    /// A clearing will not be known to be durable.
    pub(super) fn give_up_clearing(&mut self, because: Unavailable) {
        for reply in std::mem::take(&mut self.when_cleared) {
            let answer = match reply.answer {
                Answer::Cleared(_) => Answer::Refused(AppendError::Unavailable(because)),
                Answer::ClearedMeanwhile(appended) => Answer::NotKnown { appended, because },
                other => other,
            };
            self.tell(reply.waiter, answer);
        }
    }

    /// When somebody's time is up.
    pub(super) fn deadline(&self) -> Option<Time> {
        let parked = self.parked.iter().map(|(until, _)| *until).min();
        self.commit.deadline().into_iter().chain(parked).min()
    }
}
