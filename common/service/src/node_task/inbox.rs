//! From what the link delivers to the input of the node.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use replog_nats::Payload;
use replog_protocol::ids::Time;
use replog_protocol::node::Input;
use replog_protocol::wire::{Address, DecodeError, Message};
use tracing::warn;

use super::message_log::{Direction, MessageLog};

/// A message that cannot be read is warned of that often, at most: whoever can publish can send a million of them.
const WARN_PAUSE: Duration = Duration::from_secs(10);

/// Decodes messages; counts what cannot be read.
#[derive(Debug)]
pub(super) struct Inbox {
    undecodable: Arc<AtomicU64>,
    /// No warning before then.
    quiet_until: Time,
    /// Not warned of since the last warning.
    unwarned: u64,
    log: MessageLog,
}

impl Inbox {
    /// Counts in `undecodable`.
    pub(super) fn new(undecodable: Arc<AtomicU64>) -> Self {
        Self {
            undecodable,
            quiet_until: Time::ZERO,
            unwarned: 0,
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
                Some(Input::Message(message))
            }
            Err(DecodeError::Version(version)) => Some(Input::OtherVersion(address, version)),
            Err(error) => {
                self.count(&address, &error, now);
                None
            }
        }
    }

    fn count(&mut self, address: &Address, error: &DecodeError, now: Time) {
        self.undecodable.fetch_add(1, Ordering::Relaxed);
        self.unwarned += 1;
        if now < self.quiet_until {
            return;
        }
        let messages = std::mem::take(&mut self.unwarned);
        self.quiet_until = now + WARN_PAUSE;
        warn!(?address, %error, messages, "messages that could not be read were ignored; the last one");
    }
}
