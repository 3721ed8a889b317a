//! The client's side of the leader: a message gets its position, its client waits and is answered.

use super::Leader;
use crate::entry::{Entry, Position};
use crate::protocol::commit::Wait;
use crate::protocol::outcome::{Answer, Draft, Lookup, Outcome, Placement, ReadOnly, Refusal};
use crate::types::{MessageId, Seq, Time};

impl<W> Leader<W> {
    /// Takes a message: places it in the log, or joins the message that is there already, and lets the client wait.
    /// The answer comes from [`Leader::poll_answer`]. `existing` reads an entry of the log; what is staged is known here.
    ///
    /// # Errors
    /// A refusal changes nothing and hands the waiter back.
    pub fn append(
        &mut self,
        draft: Draft,
        waiter: W,
        now: Time,
        existing: impl Fn(Seq) -> Option<Entry>,
    ) -> Result<Placement, (Refusal, W)> {
        self.notice_own_pause(now);
        match self.place(&draft, now, existing) {
            Ok(placement) => {
                let wait = Wait {
                    seq: placement.seq,
                    w: placement.w,
                    until: draft.until,
                    waiter: (placement, waiter),
                };
                self.commit.wait(wait);
                if placement.duplicate {
                    // It may be where it is wanted already, and no ACK will come to say so.
                    self.answer_met();
                    self.send_away_at_the_end();
                }
                Ok(placement)
            }
            Err(refusal) => Err((refusal, waiter)),
        }
    }

    fn place(
        &mut self,
        draft: &Draft,
        now: Time,
        existing: impl Fn(Seq) -> Option<Entry>,
    ) -> Result<Placement, Refusal> {
        if self.recovery.is_some() {
            return Err(Refusal::ReadOnly(
                self.read_only(now).unwrap_or(ReadOnly::Recovering),
            ));
        }
        let w = self.members.write_concern(draft.w)?;
        if let Some(seq) = self.dedup.find(draft.message_id, &draft.content) {
            let entry = self
                .staged
                .get(seq)
                .cloned()
                .or_else(|| existing(seq))
                .or_else(|| {
                    self.looked_up(draft)
                        .ok()
                        .flatten()
                        .filter(|e| e.seq == seq)
                })
                .ok_or_else(|| self.unreadable(seq))?;
            return self.duplicate(&entry, draft, w);
        }
        if let Some(entry) = self.looked_up(draft)? {
            return self.duplicate(&entry, draft, w);
        }
        let next = self.epochs.last().seq.next();
        if draft.expected_seq.is_some_and(|expected| expected != next) {
            return Err(Refusal::ExpectedSeq {
                last_seq: next.prev(),
            });
        }
        if let Some(reason) = self.read_only(now) {
            return Err(Refusal::ReadOnly(reason));
        }
        if w > 1 {
            self.check_room()?;
        }
        if self.is_full() {
            return Err(Refusal::ReadOnly(ReadOnly::TooManyWaiting));
        }
        let at = Position {
            seq: next,
            epoch: self.life.epoch,
            by: Some(self.life.instance),
        };
        self.staged
            .push(Entry::with_content(at, draft.message_id, &draft.content));
        self.epochs.push(at);
        self.dedup.insert(draft.message_id, &draft.content, next);
        if w > 1 {
            self.urgent = next;
        } else if self.linger_until.is_none() {
            self.linger_until = Some(now + self.settings.linger);
        }
        Ok(self.placement(at, draft.message_id, w, false))
    }

    /// The same message before those that are known here, as the store says.
    fn looked_up(&self, draft: &Draft) -> Result<Option<Entry>, Refusal> {
        let older = match &draft.older {
            Lookup::New => return Ok(None),
            Lookup::Unknown if self.dedup.floor() == Seq::ZERO => return Ok(None),
            Lookup::Unknown => return Err(Refusal::LookAgain),
            Lookup::Looked(older) => older,
        };
        if older.log_id != self.life.log_id || older.upto < self.dedup.floor() {
            return Err(Refusal::LookAgain);
        }
        Ok(older.found.clone())
    }

    fn unreadable(&self, seq: Seq) -> Refusal {
        match self.dedup.is_bounded() {
            true => Refusal::LookAgain,
            false => Refusal::Unreadable { seq },
        }
    }

    fn duplicate(&self, entry: &Entry, draft: &Draft, w: u32) -> Result<Placement, Refusal> {
        if !entry.content().same_text(&draft.content) {
            return Err(Refusal::OtherContent {
                seq: entry.seq,
                message_id: draft.message_id,
            });
        }
        if self.commit.acks(entry.seq) < w {
            self.check_room()?;
        }
        Ok(self.placement(entry.position(), entry.message_id, w, true))
    }

    /// Only who has to wait for others needs a place: blocked clients must not shut out the rest.
    fn check_room(&self) -> Result<(), Refusal> {
        if self.commit.waiting() + self.undecided.len() >= self.settings.max_waiting {
            return Err(Refusal::ReadOnly(ReadOnly::TooManyWaiting));
        }
        Ok(())
    }

    fn placement(&self, at: Position, message_id: MessageId, w: u32, duplicate: bool) -> Placement {
        Placement {
            log_id: self.life.log_id,
            seq: at.seq,
            epoch: at.epoch,
            message_id,
            w,
            duplicate,
        }
    }

    /// The next client to be answered.
    pub fn poll_answer(&mut self) -> Option<Answer<W>> {
        self.answers.pop_front()
    }

    /// Frees the places of clients that have hung up.
    pub fn purge(&mut self, has_left: impl Fn(&W) -> bool) {
        self.commit.purge(|(_, waiter)| has_left(waiter));
        (self.undecided).retain(|(wait, _)| !has_left(&wait.waiter.1));
    }

    /// Answers everybody and takes nothing more: the master stops.
    pub fn stop(&mut self) {
        self.stopping = true;
        self.send_away_at_the_end();
    }

    /// Whether it was told to stop.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Nobody waits for what will not come any more.
    pub(super) fn send_away_at_the_end(&mut self) {
        if self.fenced.is_some() {
            self.send_away(|acks| Outcome::Fenced { acks });
        } else if self.stopping {
            self.send_away(|acks| Outcome::Stopping { acks });
        }
    }

    pub(super) fn send_away(&mut self, outcome: fn(u32) -> Outcome) {
        self.answer_met();
        let waiting: Vec<_> = self.commit.drain().collect();
        for wait in waiting {
            self.answer(wait, outcome);
        }
    }

    pub(super) fn answer_met(&mut self) {
        while let Some(met) = self.commit.pop_met() {
            self.answer(met, |acks| Outcome::Replicated { acks });
        }
    }
}
