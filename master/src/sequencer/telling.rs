//! What is shown of the log, and who is told what.

use std::sync::Arc;

use replog_common::protocol::outcome::{Answer, Outcome};
use replog_common::service::view::View;
use replog_nats::Link;

use super::Sequencer;
use super::on_disk::OnDisk;
use crate::command::Waiter;

impl<L: Link> Sequencer<L> {
    /// A new log has begun that is not on the disk yet: what is shown is still the former one, and nobody is told of it.
    fn is_to_clear(&self) -> bool {
        self.disk.as_ref().is_some_and(OnDisk::is_to_clear)
    }

    pub(super) fn show(&mut self) {
        if self.is_to_clear() {
            return;
        }
        let life = self.leader.life();
        let is_ready = self.leader.is_readable();
        // What it has so far may not be what it is going to serve.
        let shown = View {
            log: Arc::clone(&self.store),
            last_seq: self.leader.last().seq,
            ..View::empty()
        };
        self.views.send_replace(View {
            log_id: Some(life.log_id),
            epoch: life.epoch,
            is_ready,
            ..if is_ready { shown } else { View::empty() }
        });
    }

    pub(super) fn answer(&mut self) {
        let is_to_clear = self.is_to_clear() && !self.leader.is_stopping();
        if !is_to_clear {
            self.held.drain(..).for_each(send);
        }
        while let Some(answer) = self.leader.poll_answer() {
            match answer.outcome {
                Outcome::Cleared if is_to_clear => self.held.push(answer),
                _ => send(answer),
            }
        }
    }
}

/// A client that has hung up is nobody's loss.
fn send(answer: Answer<Waiter>) {
    let told = (answer.placement, answer.outcome);
    answer.waiter.send(Ok(told)).ok();
}
