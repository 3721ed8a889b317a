//! What a secondary says of itself, and what it shows.

use replog_common::message::Ack;
use replog_common::service::clock::wall_ms;
use replog_common::service::view::View;
use replog_nats::{AckOf, Link, Message, Subject};

use super::Follow;

impl<L: Link> Follow<L> {
    /// Says where this node stands once all of that is stored: somebody wants to know.
    pub(super) fn hello_soon(&mut self) {
        self.hello_at = Some(self.clock.now());
    }

    /// Says where this node stands, unasked: on start, after a reconnect, and while no master is heard.
    pub(super) fn hello(&mut self) {
        self.hello_at = Some(self.clock.now() + self.hello_backoff.next_wait());
        if self.broker_up && self.claiming.is_won() {
            let damaged = self.damage.named(self.clock.now());
            let ack = self.follower.ack();
            self.send_ack(&Ack { damaged, ..ack }, AckOf::Hello);
        }
    }

    /// What would not be known again after a crash is not said.
    pub(super) fn send_ack(&mut self, ack: &Ack, of: AckOf) {
        if self.store.remembers(ack) {
            self.send(ack, of);
        }
    }

    pub(super) fn send(&mut self, ack: &Ack, of: AckOf) {
        let to = Subject::Ack(self.follower.node().clone(), of);
        self.link.send(Message {
            to,
            reply: None,
            payload: ack.encode(wall_ms()),
        });
    }

    /// What is shown is on the disk: while there is no room for a new history, the former one.
    pub(super) fn show(&mut self) {
        if self.pending.is_some() {
            return;
        }
        self.views.send_replace(View {
            log: self.store.log(),
            log_id: self.follower.log_id(),
            epoch: self.follower.epoch(),
            last_seq: self.follower.last().seq,
            is_ready: true,
            diverged_from: self.follower.foreign(),
        });
    }
}
