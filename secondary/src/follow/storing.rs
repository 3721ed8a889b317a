//! What a secondary stores, and what it puts aside.

use replog_common::entry::Position;
use replog_common::log::StoreError;
use replog_common::message::Ack;
use replog_common::protocol::follower::Change;
use replog_common::service::program::Failure;
use replog_common::types::LogId;
use replog_nats::{AckOf, Link, Message, Subject};
use tracing::{debug, info, warn};

use super::{Follow, Run, failed};
use crate::aside::Tail;
use crate::event;

impl<L: Link> Follow<L> {
    /// Stores what can be stored, once, and answers, once.
    pub(super) async fn finish(&mut self, run: &Run) -> Result<(), Failure> {
        if self.pending.is_some() {
            self.answer_claim(run);
            return Ok(()); // no answer to the master: it comes again
        }
        let before = self.follower.ack();
        let ready = self.follower.take_ready();
        let mut problem = None;
        let standing = || self.follower.standing(&ready);
        match self.store.write(&ready, standing).await {
            Ok(()) if ready.is_empty() => {}
            Ok(()) => {
                self.follower.stored(&ready);
                self.show();
            }
            // They come again.
            Err(StoreError::Full) => problem = Some(StoreError::Full.to_string()),
            Err(error) => return Err(failed(&error)),
        }
        self.answer_claim(run);
        let Some(answers) = run.answers else {
            return Ok(());
        };
        let mut ack = self.follower.ack();
        if run.has_entries && self.dice.hit(self.faults.borrow().error_rate) {
            // What is stored stays; the master hears only what it knew, and sends the rest again.
            ack = before;
            problem = Some("an error on purpose (error-rate)".to_owned());
        }
        let ack = Ack {
            damaged: self.damage.named(self.clock.now()),
            error: problem,
            ..ack
        };
        if run.has_entries {
            let held_from = ack.held_from.map(tracing::field::display);
            debug!(seq = %ack.upto, held_from, error = ack.error, "ack");
        }
        self.send_ack(&ack, AckOf::Seq(answers));
        Ok(())
    }

    /// Somebody wants this node's name: it is told that it is taken, whatever else this node may say.
    fn answer_claim(&mut self, run: &Run) {
        if run.is_claimed {
            let ack = self.store.as_remembered(self.follower.ack());
            self.send(&ack, AckOf::Hello);
        }
    }

    /// Does to the store what a message asks for, before the next one is looked at.
    pub(super) async fn change(&mut self) -> Result<(), Failure> {
        self.pending = self.follower.take_change().or(self.pending);
        self.settle().await.map(drop)
    }

    /// Whether the store is what the follower takes it for: nothing is to be done to it, or that is done now. Not while there
    /// is no room for it.
    pub(super) async fn settle(&mut self) -> Result<bool, Failure> {
        let done = match self.pending {
            None => return Ok(true),
            Some(Change::PutAside(log_id, keep)) => self.put_aside_after(log_id, keep).await,
            Some(Change::Cleared) => self.begin_new_history().await,
        };
        match done {
            Ok(()) => {
                self.pending = None;
                self.show();
                Ok(true)
            }
            Err(StoreError::Full) => Ok(false), // the master's log is not followed until there is room
            Err(error) => Err(failed(&error)),
        }
    }

    async fn begin_new_history(&mut self) -> Result<(), StoreError> {
        let standing = self.follower.standing(&[]);
        self.store.begin_anew(standing).await?;
        let log_id = self.follower.log_id().map(tracing::field::display);
        info!(
            log_id,
            "the master has cleared the log: following its new history"
        );
        Ok(())
    }

    /// Takes the end of the log out of it: the master has other entries there.
    async fn put_aside_after(
        &mut self,
        log_id: Option<LogId>,
        keep: Position,
    ) -> Result<(), StoreError> {
        let Some(log_id) = log_id else {
            return Ok(()); // without a history there are no entries
        };
        let Some(tail) = self.store.keep_aside(log_id, keep).await? else {
            return Ok(());
        };
        let standing = self.follower.standing(&[]);
        if let Err(error) = self.store.cut(keep, standing).await {
            tail.discard();
            return Err(error);
        }
        self.tell_aside(tail);
        Ok(())
    }

    pub(super) fn tell_aside(&mut self, tail: Tail) {
        let (log_id, first, last) = (tail.log_id, tail.first, tail.last);
        let file = tail
            .file
            .as_ref()
            .map(|f| tracing::field::display(f.display()));
        warn!(%log_id, %first, %last, file, "the master has other entries there: these are put aside, see GET /diverged");
        let line = event::put_aside(&self.follower, log_id, first, last, tail.at_ms);
        let to = Subject::Event(event::PUT_ASIDE);
        self.link.send(Message {
            to,
            reply: None,
            payload: line,
        });
        self.aside.push(tail);
    }
}
