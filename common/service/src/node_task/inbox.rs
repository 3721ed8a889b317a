//! From what the link delivers to the input of the node.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use replog_nats::Payload;
use replog_protocol::ids::{NodeId, Time};
use replog_protocol::node::Input;
use replog_protocol::wire::{Address, DecodeError, Message};
use tracing::warn;

use super::message_log::{Direction, MessageLog};
use crate::metrics::NodeMetrics;

/// What cannot be acted on is warned of that often, at most, for each sender and kind of message: whoever can publish can send
/// a million of them.
const WARN_PAUSE: Duration = Duration::from_secs(10);
/// So many senders and kinds are told apart; all others are one.
const MAX_SOURCES: usize = 64;

/// Where messages came that cannot be acted on: the kind of their subject, and the node in it; `None` for all those that are
/// not told apart any more.
type Source = Option<(&'static str, Option<NodeId>)>;

/// When to warn of what.
#[derive(Debug, Default)]
struct Warnings(BTreeMap<Source, Unwarned>);

/// What was not warned of yet.
#[derive(Debug, Default)]
struct Unwarned {
    /// No warning before then.
    quiet_until: Time,
    /// So many since the last warning.
    messages: u64,
}

impl Warnings {
    /// Another message has come to that address that cannot be acted on: how many to warn of now, if a warning is due.
    fn due(&mut self, address: &Address, now: Time) -> Option<u64> {
        let source = Some((address.kind(), address.node().cloned()));
        let is_told_apart = self.0.contains_key(&source) || self.0.len() < MAX_SOURCES;
        let source = source.filter(|_| is_told_apart);
        let unwarned = self.0.entry(source).or_default();
        unwarned.messages += 1;
        if now < unwarned.quiet_until {
            return None;
        }
        unwarned.quiet_until = now + WARN_PAUSE;
        Some(std::mem::take(&mut unwarned.messages))
    }
}

/// Decodes messages; counts what cannot be read.
#[derive(Debug)]
pub(super) struct Inbox {
    metrics: Arc<NodeMetrics>,
    warnings: Warnings,
    log: MessageLog,
}

impl Inbox {
    /// Counts in `metrics`.
    pub(super) fn new(metrics: Arc<NodeMetrics>) -> Self {
        Self {
            metrics,
            warnings: Warnings::default(),
            log: MessageLog::new(Direction::Received),
        }
    }

    /// The input that a message is; `None` for one that cannot be read.
    pub(super) fn read<C>(
        &mut self,
        address: Address,
        payload: Payload,
        now: Time,
    ) -> Option<Input<C>> {
        let frame = match payload {
            Payload::NoResponders => return Some(Input::NoResponders(address)),
            Payload::Frame(frame) => frame,
        };
        match Message::decode(&address, &frame) {
            Ok(message) => {
                self.log.log(&address, &message);
                if let Message::Append(append) = &message
                    && let Some(entries) = &append.entries
                {
                    self.metrics.received(entries.count());
                }
                Some(Input::Message(message))
            }
            // What that means is the node's to decide; that nobody acts on it is said in any case.
            Err(error @ DecodeError::Version(version)) => {
                self.metrics.of_other_version();
                self.warn(&address, &error, now);
                Some(Input::OtherVersion(address, version))
            }
            Err(error) => {
                self.metrics.could_not_decode();
                self.warn(&address, &error, now);
                None
            }
        }
    }

    fn warn(&mut self, address: &Address, error: &DecodeError, now: Time) {
        if let Some(messages) = self.warnings.due(address, now) {
            warn!(%address, %error, messages, "messages that cannot be acted on were dropped; the last one");
        }
    }
}

#[cfg(test)]
mod tests {
    use replog_protocol::ids::Seq;
    use replog_protocol::wire::AckOf;

    use super::*;

    fn at(ms: u64) -> Time {
        Time::ZERO + Duration::from_millis(ms)
    }

    #[test]
    fn each_sender_and_kind_is_warned_of_at_once_and_then_every_ten_seconds_with_their_number() {
        let node = |name: &str| -> NodeId { name.parse().unwrap() };
        let mut warnings = Warnings::default();
        let ack = |seq| Address::Ack(node("a"), AckOf::Seq(Seq(seq)));
        assert_eq!(warnings.due(&ack(1), at(0)), Some(1));
        for seq in 2..100 {
            assert_eq!(warnings.due(&ack(seq), at(100 * seq)), None);
        }
        // Others are heard all the same.
        assert_eq!(warnings.due(&Address::Promise(node("a")), at(500)), Some(1));
        assert_eq!(warnings.due(&Address::Promise(node("b")), at(500)), Some(1));
        assert_eq!(warnings.due(&Address::Announce, at(500)), Some(1));
        assert_eq!(warnings.due(&ack(100), at(10_000)), Some(99));
        assert_eq!(warnings.due(&ack(101), at(19_999)), None);
        assert_eq!(warnings.due(&ack(102), at(20_000)), Some(2));
    }

    #[test]
    fn a_flood_of_names_is_neither_remembered_nor_warned_of_one_by_one() {
        let mut warnings = Warnings::default();
        let invented = |n: u64| Address::Promise(format!("stranger{n}").parse().unwrap());
        let said = (0..10_000).filter(|n| warnings.due(&invented(*n), at(0)).is_some());
        assert_eq!(said.count(), MAX_SOURCES + 1);
        assert_eq!(warnings.0.len(), MAX_SOURCES + 1);
        let last = warnings.due(&invented(20_000), at(10_000));
        assert_eq!(last, Some(10_000 - MAX_SOURCES as u64));
    }
}
