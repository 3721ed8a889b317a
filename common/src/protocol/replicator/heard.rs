//! What an ACK tells of one secondary, and when it counts.

use std::time::Duration;

use super::{Heard, Replicator};
use crate::message::{Ack, Life, cleared};
use crate::protocol::epochs::Epochs;
use crate::protocol::progress::Mode;
use crate::types::{Seq, Time};

/// The master, as far as an ACK is judged by it.
#[derive(Clone, Copy, Debug)]
pub struct Me<'a> {
    /// Its history and life.
    pub life: &'a Life,
    /// The histories that it has cleared away, and in which life.
    pub replaced: &'a [Life],
    /// What its log consists of.
    pub epochs: &'a Epochs,
    /// The last entry it has stored.
    pub tail: Seq,
}

impl Replicator {
    /// An ACK of this node.
    pub fn ack(&mut self, ack: &Ack, me: &Me<'_>, now: Time) -> Heard {
        let Me {
            life,
            replaced,
            epochs,
            tail,
        } = *me;
        match self.incarnation {
            Some((known, since)) if ack.incarnation < known && !self.is_silent(now) => {
                // The last words of a storage that is gone come soon after the first ones of the new; a second living
                // one goes on talking.
                if now.since(since) >= self.heartbeat_interval {
                    self.clash_at = Some(now);
                }
                return Heard::Nothing;
            }
            Some((known, _)) if ack.incarnation == known => {}
            before => {
                // An older one than is known, of which nothing is heard any more: its clock has stepped back, or this is
                // the very late word of a dead one. Only one that goes on talking counts.
                let is_older = before.is_some_and(|(known, _)| ack.incarnation < known);
                self.counts_from = is_older.then(|| now + self.heartbeat_interval);
                self.incarnation = Some((ack.incarnation, now));
                self.forget_position();
            }
        }
        if !self.health.status(now).is_alive() {
            self.backoff.reset(Duration::ZERO);
        }
        self.health.seen(now);
        self.held_from = ack.held_from;

        let ours = ack.log_id == Some(life.log_id);
        let by = ack.log_id.and_then(|log| cleared(replaced, log));
        let is_cleared = by.is_some_and(|by| by.covers(ack.epoch, ack.instance));
        // Other entries, or one that knows this very history to be cleared away.
        let refuses = ack.last.seq > Seq::ZERO || cleared(&ack.replaced, life.log_id).is_some();
        self.other_history = ack.log_id.filter(|_| !ours && refuses && !is_cleared);
        // What this master cleared away has entries of another one, which had overtaken it before; or another one, which has
        // overtaken it, has cleared its history away.
        let goes_on = by.is_some_and(|by| {
            by.instance == life.instance && !by.covers(ack.last.epoch, ack.last.by)
        });
        let mine = cleared(&ack.replaced, life.log_id);
        if goes_on || mine.is_some_and(|by| !life.covers(by.epoch, Some(by.instance))) {
            self.forget_position();
            return Heard::Overtaken;
        }
        if !ours {
            // Another history; or an empty log that takes the first one it is told of; or one that was cleared away.
            self.forget_position();
            // What is still of a cleared history is called over at once. One that was just told of another master's has time
            // until its heartbeat: else two masters would outshout each other.
            if ack.log_id.is_none() || is_cleared {
                self.heartbeat_due = self.link_down_since.is_none();
            }
            return Heard::Nothing;
        }
        if ack.epoch > life.epoch
            || (ack.epoch == life.epoch && ack.instance.is_some_and(|i| i != life.instance))
        {
            self.forget_position();
            return Heard::Overtaken;
        }
        // The last entry that it can share: whether it does is asked for.
        let common = epochs.at_or_before(ack.last).seq.min(tail);
        if ack.epoch < life.epoch || ack.instance.is_none() {
            // It has not heard this life yet: what it holds says where to begin, and counts for nothing.
            self.forget_position();
            self.ask_at(common);
            return Heard::Nothing;
        }
        if ack.upto > tail || self.counts_from.is_some_and(|from| now < from) {
            return Heard::Nothing; // nobody can hold what was never sent
        }
        self.position(ack.upto, ack.held_from, now);
        if ack.upto < ack.last.seq && common > ack.upto {
            self.ask_at(common);
        }
        Heard::Position
    }

    /// Asks whether it holds what we have at `seq`.
    fn ask_at(&mut self, seq: Seq) {
        self.progress.probe_at(seq.next());
        self.retry_at = None;
        self.heartbeat_due = self.link_down_since.is_none();
    }

    fn is_silent(&self, now: Time) -> bool {
        let silence = self.health.silence(now);
        silence.is_none_or(|d| d >= self.health.unhealthy_after())
    }

    fn position(&mut self, upto: Seq, held_from: Option<Seq>, now: Time) {
        let acked = self.progress.acked(upto, now);
        if let Some(took) = acked.took {
            self.round_trip = if self.round_trip.is_zero() {
                took
            } else {
                (self.round_trip * 7 + took) / 8
            };
        }
        let was_probing = self.progress.mode() == Mode::Probe;
        if was_probing {
            self.progress.resume(held_from);
            self.heartbeat_at = now + self.heartbeat_interval;
        }
        if acked.is_news || was_probing {
            self.backoff.reset(self.round_trip * 2);
            self.retry_at = self
                .progress
                .is_waiting()
                .then(|| now + self.backoff.next_wait());
        }
        // No news, an error or a hole: what is in flight is sent again when its time is up, not once per answer.
    }
}
