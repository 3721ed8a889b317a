//! What a secondary stores, and what it puts aside.

use std::sync::Arc;

use replog_common::entry::Position;
use replog_common::log::MemoryLog;
use replog_common::message::Ack;
use replog_common::protocol::follower::Change;
use replog_common::service::clock::wall_ms;
use replog_common::service::program::Failure;
use replog_common::types::{LogId, Seq};
use replog_nats::{AckOf, Link, Message, Subject};
use tracing::{debug, info, warn};

use super::{Follow, Run, unwritable};
use crate::aside::Tail;
use crate::event;

impl<L: Link> Follow<L> {
    /// Stores what can be stored, once, and answers, once.
    pub(super) fn finish(&mut self, run: &Run) -> Result<(), Failure> {
        let before = self.follower.ack();
        let ready = self.follower.take_ready();
        if !ready.is_empty() {
            self.store.append(&ready).map_err(|e| unwritable(&e))?;
            self.follower.stored(&ready);
            self.show();
        }
        let Some(answers) = run.answers else {
            return Ok(());
        };
        let mut ack = self.follower.ack();
        if run.has_entries && self.dice.hit(self.faults.borrow().error_rate) {
            // What is stored stays; the master hears only what it knew, and sends the rest again.
            ack = Ack {
                error: Some("an error on purpose (error-rate)".to_owned()),
                ..before
            };
        }
        if run.has_entries {
            let held_from = ack.held_from.map(tracing::field::display);
            debug!(seq = %ack.upto, held_from, error = ack.error, "ack");
        }
        self.send_ack(&ack, AckOf::Seq(answers));
        Ok(())
    }

    /// Does to the store what a message asks for, before the next one is looked at.
    pub(super) fn change(&mut self) -> Result<(), Failure> {
        match self.follower.take_change() {
            None => {}
            Some(Change::PutAside(log_id, keep)) => self.put_aside_after(log_id, keep)?,
            Some(Change::Cleared) => {
                let log_id = self.follower.log_id().map(tracing::field::display);
                info!(
                    log_id,
                    "the master has cleared the log: following its new history"
                );
                self.store = Arc::new(MemoryLog::new());
                self.show();
            }
        }
        Ok(())
    }

    /// Takes the end of the log out of it: the master has other entries there.
    pub(super) fn put_aside_after(
        &mut self,
        log_id: Option<LogId>,
        keep: Position,
    ) -> Result<(), Failure> {
        let first = keep.seq.next();
        let entries = self.store.read(first, Seq(u64::MAX), u64::MAX, usize::MAX);
        let entries = entries.map_err(|e| unwritable(&e))?;
        self.store.truncate(keep).map_err(|e| unwritable(&e))?;
        let (last, at_ms) = (entries.last(), wall_ms());
        if let Some(log_id) = log_id {
            warn!(%log_id, %first, %last, "the master has other entries there: these are put aside, see GET /diverged");
            let line = event::put_aside(&self.follower, log_id, first, last, at_ms);
            let to = Subject::Event(event::PUT_ASIDE);
            self.link.send(Message {
                to,
                reply: None,
                payload: line,
            });
            self.aside.push(Tail {
                log_id,
                entries,
                at_ms,
            });
        }
        self.show();
        Ok(())
    }
}
