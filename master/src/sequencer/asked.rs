//! What HTTP asks of the log's owner.

use std::sync::Arc;

use replog_common::log::MemoryLog;
use replog_common::protocol::outcome::{ReadOnly, Refusal};
use replog_common::service::storage::ShownStorage;
use replog_common::types::{LogId, Seq};
use replog_nats::Link;
use tracing::{debug, info};

use super::Sequencer;
use crate::command::{AppendCommand, Query, Waiter};
use crate::health;

impl<L: Link> Sequencer<L> {
    pub(super) fn append(&mut self, mut command: AppendCommand) {
        let now = self.clock.now();
        // Counted from when it came, also if it has to wait for the recovery first.
        command.draft.until = command.draft.until.or(command.timeout.map(|t| now + t));
        if self.leader.waits_for_recovery(&command.draft, now) {
            if self.parked.len() < self.leader.max_waiting() {
                self.parked.push(command, now);
            } else {
                let full = Refusal::ReadOnly(ReadOnly::TooManyWaiting);
                command.waiter.send(Err(full)).ok();
            }
            return;
        }
        let AppendCommand { draft, waiter, .. } = command;
        let store = &self.store;
        // Older ones were looked up before, where that does not wait for a disk.
        let is_near = |seq: Seq| !store.is_on_disk() || seq >= store.recent_from();
        let existing = |seq: Seq| {
            is_near(seq)
                .then(|| store.get(seq).ok().flatten())
                .flatten()
        };
        let mut placed = self.leader.append(draft.clone(), waiter, now, existing);
        if let Err((Refusal::ReadOnly(ReadOnly::TooManyWaiting), waiter)) = placed {
            // Clients that hung up still have their places: free them, then look again.
            self.leader.purge(Waiter::is_closed);
            placed = self.leader.append(draft, waiter, now, existing);
        }
        match placed {
            Ok(at) => debug!(seq = %at.seq, w = at.w, duplicate = at.duplicate, "append"),
            Err((refusal, waiter)) => {
                debug!(?refusal, "append refused");
                waiter.send(Err(refusal)).ok();
            }
        }
    }

    pub(super) fn query(&mut self, query: Query) {
        match query {
            Query::Clear(reply) => {
                let now = self.clock.now();
                if let Err(reason) = self.leader.clear(LogId(uuid::Uuid::new_v4()), now) {
                    reply.send(Err(reason)).ok();
                    return;
                }
                if let Some(disk) = &mut self.disk {
                    disk.clear(reply);
                    return;
                }
                self.store = Arc::new(MemoryLog::new());
                let life = *self.leader.life();
                info!(log_id = %life.log_id, "the log was cleared: a new history begins");
                self.show();
                reply.send(Ok((life.log_id, life.epoch))).ok();
            }
            Query::Holders(seq, reply) => {
                let nodes = self.leader.commit().acked_by(seq).map(ToString::to_string);
                reply
                    .send(std::iter::once("master".to_owned()).chain(nodes).collect())
                    .ok();
            }
            Query::Health(reply) => {
                let now = self.clock.now();
                self.leader.purge(Waiter::is_closed); // who has hung up does not wait
                let storage = ShownStorage {
                    damaged: self.store.damaged(),
                    ..self.storage.clone()
                };
                reply
                    .send(health::of(
                        &self.leader,
                        self.default_w,
                        self.broker_up,
                        storage,
                        now,
                    ))
                    .ok();
            }
            Query::Stop => {
                self.leader.stop();
            }
        }
    }
}
