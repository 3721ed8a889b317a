//! What comes to the master over the link.

use std::sync::atomic::Ordering;

use replog_common::message::{Ack, Announce, Fetched};
use replog_common::protocol::leader::Leader;
use replog_common::protocol::replicator::Replicator;
use replog_common::service::program::Failure;
use replog_common::types::{NodeId, Time};
use replog_nats::{Delivered, Link, LinkEvent, Payload, Subject};
use tracing::{debug, trace, warn};

use super::Sequencer;
use crate::command::Waiter;

impl<L: Link> Sequencer<L> {
    pub(super) fn link_event(&mut self, event: LinkEvent) -> Result<(), Failure> {
        let now = self.clock.now();
        match event {
            LinkEvent::Up { max_payload } => {
                self.max_payload.store(max_payload, Ordering::Relaxed);
                self.broker_up = true;
                self.leader.link_down(now); // an outage may be over before its beginning was told
                self.leader.link_up(now);
            }
            LinkEvent::Down => {
                self.broker_up = false;
                self.leader.link_down(now);
            }
            LinkEvent::Delivered(delivered) => self.delivered(delivered, now),
            LinkEvent::Fatal(why) => return Err(Failure::cannot_start(why)),
        }
        Ok(())
    }

    fn delivered(&mut self, Delivered { subject, payload }: Delivered, now: Time) {
        let node = match (subject, &payload) {
            (Subject::Ack(node, _), _) => node,
            (Subject::Fetched(node), Payload::Line(line)) => return self.fetched(&node, line, now),
            (Subject::Event(_), Payload::Line(line)) => return self.announced(line, now),
            _ => return,
        };
        match payload {
            Payload::NoResponders => self.leader.no_responders(&node, now),
            Payload::Line(line) => match Ack::decode(&line) {
                Ok(ack) if ack.node == node => self.ack(&node, &ack, now),
                Ok(ack) => {
                    warn!(%node, named = %ack.node, "an ACK that names another node was ignored")
                }
                Err(error) => warn!(%node, %error, "an ACK could not be read and was ignored"),
            },
        }
    }

    fn fetched(&mut self, node: &NodeId, line: &[u8], now: Time) {
        match Fetched::decode(line) {
            Ok(fetched) if fetched.position.node == *node => {
                debug!(%node, after = %fetched.prev.seq, entries = fetched.entries.len(), "fetched");
                self.mend_with(&fetched);
                self.leader.fetched(fetched, now);
            }
            Ok(_) => warn!(%node, "an answer that names another node was ignored"),
            Err(error) => warn!(%node, %error, "an answer could not be read and was ignored"),
        }
    }

    fn announced(&mut self, line: &[u8], now: Time) {
        match Announce::decode(line) {
            Ok(other) => self.leader.announced(&other, now),
            Err(error) => warn!(%error, "what another master says could not be read"),
        }
    }

    fn ack(&mut self, node: &NodeId, ack: &Ack, now: Time) {
        let held = |leader: &Leader<Waiter>| leader.members().get(node).map(Replicator::matched);
        let before = held(&self.leader);
        self.leader.ack(ack, now);
        self.read_again_for(node, ack);
        // The answers to heartbeats say nothing new, and are too many for anybody who looks for something.
        if before != held(&self.leader) || ack.held_from.is_some() || ack.error.is_some() {
            let held_from = ack.held_from.map(tracing::field::display);
            debug!(%node, seq = %ack.upto, held_from, error = ack.error, "ack");
        } else {
            trace!(%node, seq = %ack.upto, "ack, nothing new");
        }
    }
}
