//! The link and the time, as one secondary's replicator sees them.

use std::time::Duration;

use super::Replicator;
use crate::protocol::health::Status;
use crate::protocol::progress::Mode;
use crate::types::Time;

impl Replicator {
    /// The broker says that nobody listens on this node's subject: no use to go on before it is heard.
    pub fn no_responders(&mut self) {
        self.health.absent();
        self.forget_flight();
    }

    /// The link is there again, after that long.
    pub fn link_up(&mut self, outage: Duration, now: Time) {
        self.link_down_since = None;
        self.backoff.reset(Duration::ZERO);
        self.health.skip(outage, Duration::ZERO, now); // a new connection: nothing old lies in it
        self.heartbeat_due = true;
    }

    /// The link is gone. Nothing is handed to it; silence is not held against the secondary.
    pub fn link_down(&mut self, now: Time) {
        self.link_down_since = Some(now);
        self.heartbeat_due = false;
        self.forget_flight();
    }

    /// The master was away for that long until `now`: what it knew is not trusted until a heartbeat is answered. The one
    /// that leaves at once asks where to go on; an interval later, what came meanwhile has been read.
    pub fn pause(&mut self, pause: Duration, now: Time) {
        self.health.skip(pause, self.heartbeat_interval, now);
        self.heartbeat_due = self.link_down_since.is_none();
    }

    /// What is in flight does not matter any more (the log it belongs to is gone): begin anew.
    pub fn begin_anew(&mut self) {
        self.forget_position();
        self.heartbeat_due = self.link_down_since.is_none();
    }

    /// When something is to be done without a message, if ever.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        let heartbeat = (!self.heartbeat_due).then_some(self.heartbeat_at);
        if self.link_down_since.is_none() {
            heartbeat.into_iter().chain(self.retry_at).min()
        } else {
            None
        }
    }

    /// Does what is due at `now`; nothing if nothing is.
    pub fn expire(&mut self, now: Time) {
        if self.link_down_since.is_some() {
            return;
        }
        let alive = self.health.status(now) == Status::Healthy;
        if self.retry_at.is_some_and(|t| t <= now) {
            self.retries.add(1);
            self.retry_at = None;
            if alive {
                self.progress.resume(self.held_from);
            } else {
                self.forget_flight();
                self.heartbeat_due = true;
            }
        }
        if self.heartbeat_at <= now {
            self.heartbeat_due = true;
            if !alive && self.progress.mode() == Mode::Replicate {
                self.forget_flight();
            }
        }
    }
}
