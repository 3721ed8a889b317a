//! A line for each message that carries something, for who looks for one: at debug, and what says nothing new at trace.

use std::collections::BTreeMap;

use replog_protocol::ids::{NodeId, Seq};
use replog_protocol::request_id::RequestEntries;
use replog_protocol::wire::{Ack, Address, AppendEntries, Message};
use tracing::{Level, debug, enabled, trace};

/// Which way the messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Sent,
    Received,
}

/// Logs messages of one direction.
#[derive(Debug)]
pub(super) struct MessageLog {
    direction: Direction,
    /// What the last ACK of each node said that was logged: most ACKs answer heartbeats and say the same again.
    last_acked: BTreeMap<NodeId, Seq>,
}

/// Names are kept in mind so far; a stranger may send ACKs under any number of them.
const MAX_NAMES: usize = 1024;

/// So much is shown of what a secondary says was wrong: a stranger may say anything.
const MAX_ERROR_CHARS: usize = 200;

fn beginning(error: &str) -> &str {
    let end = error.char_indices().nth(MAX_ERROR_CHARS);
    end.map_or(error, |(end, _)| &error[..end])
}

impl MessageLog {
    pub(super) fn new(direction: Direction) -> Self {
        Self {
            direction,
            last_acked: BTreeMap::new(),
        }
    }

    pub(super) fn log(&mut self, address: &Address, message: &Message) {
        if !enabled!(Level::DEBUG) {
            return;
        }
        let node = address.node().map_or("", NodeId::as_str);
        match message {
            Message::Append(append) => self.append(node, append),
            Message::Ack(ack) => self.ack(ack),
            Message::Prepare(prepare) => debug!(node, epoch = %prepare.leader.epoch, "prepare"),
            Message::Promise(promise) => {
                let last = promise.position.last.seq;
                debug!(node, epoch = %promise.position.epoch, %last, "promise");
            }
            Message::Fetch(fetch) => {
                debug!(node, after = %fetch.prev.seq, bytes = fetch.max_bytes, "fetch");
            }
            Message::FetchResponse(response) => {
                let entries = response.entries.as_ref().map_or(0, |batch| batch.count());
                debug!(node, after = %response.prev.seq, entries, "fetched");
            }
            Message::Claim(claim) => debug!(node, storage = %claim.storage, "claim"),
            Message::Announcement(announcement) => {
                let epoch = announcement.leader.epoch;
                let state = announcement.state;
                debug!(instance = %epoch.master, %epoch, ?state, "announcement");
            }
        }
    }

    fn append(&self, node: &str, append: &AppendEntries) {
        match (&append.entries, self.direction) {
            (Some(batch), Direction::Sent) => {
                debug!(node, first = %batch.first(), last = %batch.last(), "replicate");
            }
            (Some(batch), Direction::Received) => {
                debug!(first = %batch.first(), last = %batch.last(), "append");
            }
            (None, _) => trace!(node, tail = %append.tail, "heartbeat"),
        }
        for requested in &append.request_ids {
            let RequestEntries {
                first,
                last,
                request_id,
            } = requested;
            match self.direction {
                Direction::Sent => {
                    debug!(node, %first, %last, %request_id, "replicate for a request")
                }
                Direction::Received => debug!(%first, %last, %request_id, "append for a request"),
            }
        }
    }

    fn ack(&mut self, ack: &Ack) {
        let Ack {
            node,
            upto,
            held_from,
            error,
            ..
        } = ack;
        let is_new = self.last_acked.get(node) != Some(upto);
        if !is_new && held_from.is_none() && error.is_none() {
            trace!(%node, seq = %upto, "ack, nothing new");
            return;
        }
        if is_new {
            if self.last_acked.len() >= MAX_NAMES {
                self.last_acked.clear();
            }
            self.last_acked.insert(node.clone(), *upto);
        }
        let held_from = held_from.map(tracing::field::display);
        debug!(%node, seq = %upto, held_from, error = error.as_deref().map(beginning), "ack");
    }
}
