//! What leaves the master: batches, heartbeats and events.

use std::sync::atomic::Ordering;

use replog_common::entry::Chunk;
use replog_common::message::ENVELOPE_BYTES;
use replog_common::protocol::event::Event;
use replog_common::protocol::health::Status;
use replog_common::protocol::replicator::{Replicator, Transmit};
use replog_common::service::clock::wall_ms;
use replog_common::types::{NodeId, Seq};
use replog_nats::{AckOf, Link, Message, Subject};
use tracing::{debug, error, info, warn};

use super::Sequencer;
use super::reading::Purpose;

/// Bytes of entries that one answer is to have, at most; the answering one sees to the broker's limit.
const FETCH_BYTES: usize = 256 << 10;

impl<L: Link> Sequencer<L> {
    pub(super) fn transmit(&mut self) {
        let room = self
            .max_payload
            .load(Ordering::Relaxed)
            .saturating_sub(ENVELOPE_BYTES);
        if !self.is_life_written() {
            return;
        }
        while let Some((node, transmit)) = self.leader.poll_transmit() {
            match transmit {
                Transmit::Heartbeat { prev } => {
                    let payload = self.leader.frame::<Chunk>(prev, None).encode(wall_ms());
                    self.send_append(Subject::Heartbeat(node.clone()), &node, prev, payload);
                    self.leader.sent(&node, None, self.clock.now());
                }
                Transmit::Entries { first, last, bytes } => {
                    let bytes = bytes.min(room);
                    if self.store.is_on_disk() && first < self.store.recent_from() {
                        self.read_for(node, (first, last), bytes, Purpose::Replicate);
                        continue;
                    }
                    match self.store.read(first, last, u64::MAX, bytes) {
                        Ok(chunk) if chunk.count > 0 => self.send_entries(&node, chunk),
                        read => {
                            error!(%node, %first, error = ?read.err(), "entries cannot be read to be sent");
                            let now = self.clock.now();
                            self.leader.sent(&node, Some((first, 0)), now); // tried again when its time is up
                        }
                    }
                }
            }
        }
    }

    /// Sends entries that follow one another to that node.
    pub(super) fn send_entries(&mut self, node: &NodeId, chunk: Chunk) {
        let (last, bytes) = (chunk.last(), chunk.text.len());
        let retries = self.leader.members().get(node);
        let retries = retries.map_or(0, Replicator::retries);
        debug!(%node, first = %chunk.first, %last, retries, "replicate");
        self.send_chunk(node, chunk);
        self.leader
            .sent(node, Some((last, bytes)), self.clock.now());
    }

    pub(super) fn send_chunk(&mut self, node: &NodeId, chunk: Chunk) {
        let (prev, last) = (chunk.first.prev(), chunk.last());
        let payload = self.leader.frame(prev, Some(chunk)).encode(wall_ms());
        self.send_append(Subject::Append(node.clone()), node, last, payload);
    }

    fn send_append(&mut self, to: Subject, node: &NodeId, upto: Seq, payload: bytes::Bytes) {
        let reply = Some(Subject::Ack(node.clone(), AckOf::Seq(upto)));
        if !self.link.send(Message { to, reply, payload }) {
            debug!(%node, seq = %upto, "not sent: the link is down or full");
        }
    }

    /// Asks secondaries for what they hold, while it recovers.
    pub(super) fn fetch(&mut self) {
        let now = self.clock.now();
        while let Some((node, fetch)) = self.leader.poll_fetch(FETCH_BYTES, now) {
            debug!(%node, from = %fetch.from, bytes = fetch.max_bytes, "fetch");
            self.link.send(Message {
                to: Subject::Fetch(node.clone()),
                reply: Some(Subject::Fetched(node)),
                payload: fetch.encode(wall_ms()),
            });
        }
    }

    /// Says what operators look for, in the log and on the event subjects.
    pub(super) fn tell(&mut self) {
        while let Some(event) = self.leader.poll_event() {
            match &event {
                Event::Recovering if self.asked_before => debug!("asking the secondaries again"),
                Event::Recovering => {
                    self.asked_before = true;
                    info!("asking the secondaries what they hold");
                }
                Event::Serving {
                    entries,
                    is_new,
                    not_heard,
                    ..
                } => {
                    self.asked_before = false;
                    self.say_serving(*entries, *is_new, not_heard);
                }
                Event::Lives => warn!("another master starts; it is told that this one lives"),
                Event::Joined {
                    node,
                    is_member: true,
                } => info!(%node, "joined"),
                Event::Joined {
                    node,
                    is_member: false,
                } => {
                    info!(%node, "joined as an observer: it is not listed and does not count");
                }
                Event::Member {
                    node,
                    to: Status::Healthy,
                    ..
                } => info!(%node, "healthy"),
                Event::Member {
                    node,
                    to,
                    other_history,
                    ..
                } => {
                    warn!(%node, other_history = other_history.map(tracing::field::display), "{}", to.word());
                }
                Event::ReadOnly { on: true } => {
                    warn!("fewer than a majority of the nodes is alive: no appends until it is");
                }
                Event::ReadOnly { on: false } => {
                    info!("a majority is alive: appends are taken again")
                }
                Event::Ignored { node } => {
                    warn!(%node, "too many secondaries: this one and further new ones are ignored");
                }
                Event::Clash { node } => warn!(%node, "two secondaries answer under this name"),
                Event::Damaged { .. } | Event::Mended { .. } => {} // logged where they are found
                Event::Fenced {
                    by_epoch,
                    heard_from,
                } => {
                    let heard_from = heard_from.as_ref().map(tracing::field::display);
                    error!(%by_epoch, heard_from, "another master has taken over: no appends here any more");
                }
            }
            self.tell_event(&event);
        }
    }

    pub(super) fn tell_event(&mut self, event: &Event) {
        let payload = crate::event::line(event, self.leader.life(), wall_ms());
        self.link.send(Message {
            to: Subject::Event(event.kind()),
            reply: None,
            payload,
        });
    }

    fn say_serving(&self, entries: u64, is_new: bool, not_heard: &[NodeId]) {
        let life = self.leader.life();
        let (log_id, epoch) = (life.log_id, life.epoch);
        match is_new {
            true => info!(%log_id, %epoch, "a new history begins"),
            false => info!(%log_id, %epoch, entries, "the history goes on"),
        }
        if !not_heard.is_empty() {
            let names: Vec<&str> = not_heard.iter().map(NodeId::as_str).collect();
            let names = names.join(", ");
            warn!(%names, "not heard: what only they hold is missing");
        }
    }
}
