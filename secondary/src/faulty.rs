//! A follower with faults on purpose between it and its network.
//!
//! ```text
//!   append ──▶ waits for --delay ──▶ loses entries (--drop-rate) ──▶ FOLLOWER ──▶ ACK ──▶ lies (--error-rate) ──▶
//!   anything else ────────────────────────────────────────────────▶          ──▶ anything else ─────────────────▶
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use replog_protocol::epochs::LogPosition;
use replog_protocol::event::Event;
use replog_protocol::follower::{self, Follower};
use replog_protocol::ids::{Seq, Time};
use replog_protocol::node::{Input, Node, Ready};
use replog_protocol::wire::{Ack, AckOf, Address, AppendEntries, Message};
use tracing::debug;

use crate::faults::{Faults, FaultsChange, SeededRng};

/// Beyond it an append is dropped instead of delayed, and sent again: the master's window, some retries over.
const MAX_DELAYED_BYTES: usize = 16 << 20;

/// What a client asks of a secondary. `W` is through whom the client is answered.
#[derive(Clone, Debug)]
pub enum Command<W> {
    /// Of the follower.
    Follower(follower::Command<W>),
    /// Other faults from now on, also for what is delayed already.
    SetFaults {
        /// What is to be changed.
        change: FaultsChange,
        /// Who asks.
        waiter: W,
    },
}

/// An answer, and through whom a client gets it.
#[derive(Clone, Debug)]
pub struct Reply<W> {
    /// Who asked.
    pub waiter: W,
    /// The answer.
    pub answer: Answer,
}

/// What a client of a secondary is answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Answer {
    /// By the follower.
    Follower(follower::Answer),
    /// These faults from now on.
    Faults(Faults),
}

/// A follower, and what goes wrong around it.
#[derive(Debug)]
pub struct FaultyFollower<W> {
    follower: Follower<W>,
    faults: Faults,
    rng: SeededRng,
    delayed: Delayed,
    /// The last append with entries that the follower was handed and has not acknowledged yet ends here.
    unanswered: Option<Seq>,
    /// The last ACK that has left.
    said: Option<Ack>,
    rolled_back: u64,
    replies: Vec<Reply<W>>,
}

impl<W> FaultyFollower<W> {
    /// The follower with those faults, decided by a chance that follows from `seed`.
    #[must_use]
    pub fn new(follower: Follower<W>, faults: Faults, seed: u64) -> Self {
        Self {
            follower,
            faults,
            rng: SeededRng::new(seed),
            delayed: Delayed::default(),
            unanswered: None,
            said: None,
            rolled_back: 0,
            replies: Vec::new(),
        }
    }

    /// The follower.
    #[must_use]
    pub fn follower(&self) -> &Follower<W> {
        &self.follower
    }

    /// The faults that are set.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.faults
    }

    /// How many entries were rolled back since the start.
    #[must_use]
    pub fn rolled_back(&self) -> u64 {
        self.rolled_back
    }

    /// Hands the follower an append, but for what is lost of it.
    fn deliver(&mut self, append: AppendEntries, now: Time) {
        for part in self.lose(append) {
            self.unanswered = Some(part.last());
            self.follower
                .step(Input::Message(Message::Append(part)), now);
        }
    }

    /// What is left of an append: the entries that are not lost, those together that follow one another.
    fn lose(&mut self, append: AppendEntries) -> Vec<AppendEntries> {
        let rate = self.faults.drop_rate;
        let Some(batch) = append.entries.clone().filter(|_| rate > 0.0) else {
            return vec![append];
        };
        let seqs = batch.first().0..=batch.last().0;
        let lost: Vec<Seq> = seqs.map(Seq).filter(|_| self.rng.hits(rate)).collect();
        for seq in &lost {
            debug!(%seq, "lost on purpose (drop-rate)");
        }
        let mut parts = Vec::new();
        let mut prev = append.prev;
        for end in lost.iter().copied().chain([batch.last().next()]) {
            let part = batch.range(prev.seq.next(), end.prev());
            parts.extend(part.map(|part| AppendEntries {
                prev,
                entries: Some(part),
                ..append.clone()
            }));
            prev = LogPosition {
                seq: end,
                epoch: batch.epoch(),
            };
        }
        parts
    }

    /// Says instead of an ACK for entries that were stored just now, every so often, what was said before, with an error.
    fn lie(&mut self, of: AckOf, ack: &mut Ack) {
        let said = self.said.take().unwrap_or_else(|| Ack {
            upto: Seq::ZERO,
            last: LogPosition::default(),
            held_from: None,
            ..ack.clone()
        });
        let is_same =
            |a: &Ack, b: &Ack| (a.storage, a.log_id, a.epoch) == (b.storage, b.log_id, b.epoch);
        let is_news = !is_same(&said, ack) || ack.upto > said.upto;
        let is_for_entries = self.unanswered.is_some_and(|seq| of == AckOf::Seq(seq)) && is_news;
        if is_for_entries {
            self.unanswered = None;
        }
        if is_for_entries && is_same(&said, ack) && self.rng.hits(self.faults.error_rate) {
            debug!(seq = %ack.upto, "answered with an error on purpose (error-rate)");
            ack.upto = said.upto;
            ack.last = said.last;
            ack.held_from = said.held_from;
            ack.error = Some("an error on purpose (error-rate)".to_owned());
        }
        self.said = Some(ack.clone());
    }
}

impl<W> Node for FaultyFollower<W> {
    type Command = Command<W>;
    type Reply = Reply<W>;

    fn step(&mut self, input: Input<Command<W>>, now: Time) {
        let input = match input {
            Input::Client(Command::SetFaults { change, waiter }) => {
                self.faults = self.faults.with(change);
                let answer = Answer::Faults(self.faults);
                self.replies.push(Reply { waiter, answer });
                Input::Tick
            }
            Input::Client(Command::Follower(command)) => Input::Client(command),
            Input::Message(Message::Append(append)) if append.entries.is_some() => {
                if self.faults.delay.is_zero() && self.delayed.is_empty() {
                    self.deliver(append, now);
                } else if !self.delayed.push(append, now) {
                    debug!("an append was dropped: too many wait for their delay");
                }
                Input::Tick
            }
            Input::Message(message) => Input::Message(message),
            Input::OtherVersion(address, version) => Input::OtherVersion(address, version),
            Input::NoResponders(address) => Input::NoResponders(address),
            Input::Link(state) => Input::Link(state),
            Input::Written(result) => Input::Written(result),
            Input::Stream(event) => Input::Stream(event),
            Input::Page(page) => Input::Page(page),
            Input::Damaged(seqs) => Input::Damaged(seqs),
            Input::Tick => Input::Tick,
            Input::ShowCommitted => Input::ShowCommitted,
            Input::Stop => Input::Stop,
        };
        while let Some(append) = self.delayed.pop(self.faults.delay, now) {
            self.deliver(append, now);
        }
        self.follower.step(input, now);
    }

    fn ready(&mut self, now: Time) -> Ready<Reply<W>> {
        let mut ready = self.follower.ready(now);
        for outbound in &mut ready.messages {
            if let (Address::Ack(_, of), Message::Ack(ack)) = (&outbound.to, &mut outbound.message)
            {
                self.lie(*of, ack);
            }
        }
        for event in &ready.events {
            if let Event::RolledBack {
                first_seq,
                last_seq,
                ..
            } = event
            {
                self.rolled_back += last_seq.next().after(*first_seq);
            }
        }
        let replies = ready.replies.into_iter().map(|reply| Reply {
            waiter: reply.waiter,
            answer: Answer::Follower(reply.answer),
        });
        self.replies.extend(replies);
        Ready {
            follow: ready.follow,
            write: ready.write,
            reads: ready.reads,
            messages: ready.messages,
            replies: std::mem::take(&mut self.replies),
            snapshot: ready.snapshot,
            events: ready.events,
            end: ready.end,
        }
    }

    fn deadline(&self, now: Time) -> Option<Time> {
        let delayed = self.delayed.deadline(self.faults.delay);
        self.follower.deadline(now).into_iter().chain(delayed).min()
    }
}

/// Appends in the order they came, each with the time it came at. The delay is the one that holds when it is asked for: it
/// may be changed for what waits already.
#[derive(Debug, Default)]
struct Delayed {
    queue: VecDeque<(Time, AppendEntries)>,
    bytes: usize,
}

impl Delayed {
    fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Lets an append wait. False if there is no room.
    fn push(&mut self, append: AppendEntries, now: Time) -> bool {
        let bytes = bytes(&append);
        if !self.queue.is_empty() && self.bytes + bytes > MAX_DELAYED_BYTES {
            return false;
        }
        self.bytes += bytes;
        self.queue.push_back((now, append));
        true
    }

    /// The next one that is due.
    fn pop(&mut self, delay: Duration, now: Time) -> Option<AppendEntries> {
        if self.deadline(delay)? > now {
            return None;
        }
        let (_, append) = self.queue.pop_front()?;
        self.bytes -= bytes(&append);
        Some(append)
    }

    /// When the next one is due.
    fn deadline(&self, delay: Duration) -> Option<Time> {
        self.queue.front().map(|(came, _)| *came + delay)
    }
}

fn bytes(append: &AppendEntries) -> usize {
    64 + append.entries.as_ref().map_or(0, |batch| batch.bytes())
}

#[cfg(test)]
mod tests;
