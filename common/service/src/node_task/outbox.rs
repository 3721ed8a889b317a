//! From what the node wants sent to what leaves on the link.

use std::sync::Arc;

use bytes::Bytes;
use replog_nats::Link;
use replog_protocol::entry::EntryBatch;
use replog_protocol::node::Outbound;
use replog_protocol::wire::{AppendEntries, Message};
use tracing::debug;

use super::message_log::{Direction, MessageLog};
use crate::clock::wall_ms;
use crate::metrics::NodeMetrics;

/// Encodes and sends messages.
#[derive(Debug)]
pub(super) struct Outbox {
    log: MessageLog,
    metrics: Arc<NodeMetrics>,
}

impl Outbox {
    /// Counts in `metrics`.
    pub(super) fn new(metrics: Arc<NodeMetrics>) -> Self {
        Self {
            log: MessageLog::new(Direction::Sent),
            metrics,
        }
    }

    /// Sends them in their order. The same entries to several secondaries, one after the other, are encoded once.
    pub(super) fn send<L: Link>(&mut self, link: &mut L, messages: Vec<Outbound>) {
        if messages.is_empty() {
            return;
        }
        let at_ms = wall_ms();
        let mut encoded: Option<(AppendEntries, Bytes)> = None;
        for Outbound {
            to,
            reply_to,
            message,
        } in messages
        {
            self.log.log(&to, &message);
            let entries = match &message {
                Message::Append(append) => append.entries.as_ref().map_or(0, EntryBatch::count),
                _ => 0,
            };
            let payload = match (message, &encoded) {
                (Message::Append(append), Some((former, payload))) if is_same(former, &append) => {
                    payload.clone()
                }
                (message, _) => {
                    let payload = message.encode(at_ms);
                    encoded = match message {
                        Message::Append(append) => Some((append, payload.clone())),
                        _ => None,
                    };
                    payload
                }
            };
            if !link.send(&to, reply_to.as_ref(), payload) {
                self.metrics.could_not_send();
                debug!(%to, "not sent: the link is down or full");
            } else if entries > 0 {
                self.metrics.sent(entries);
            }
        }
    }
}

/// Whether two messages with entries are encoded alike. Entries are compared by where they lie, not by what they say: parts of
/// one batch share its bytes.
fn is_same(a: &AppendEntries, b: &AppendEntries) -> bool {
    let (Some(x), Some(y)) = (&a.entries, &b.entries) else {
        return false; // each heartbeat names the storage that it asks
    };
    let is_same_text = x.text().as_ptr() == y.text().as_ptr() && x.bytes() == y.bytes();
    is_same_text
        && (x.first(), x.epoch()) == (y.first(), y.epoch())
        && (a.leader, a.prev, a.tail) == (b.leader, b.prev, b.tail)
        && a.committed == b.committed
        && a.request_ids == b.request_ids
}
