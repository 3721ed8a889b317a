//! Appends that wait because `--delay` says so: in front of the store, not in the receive loop.

use std::collections::VecDeque;
use std::time::Duration;

use replog_common::entry::Entry;
use replog_common::message::Append;
use replog_common::types::Time;

/// Beyond it an append is dropped, and sent again: the master's window, some retries over.
const MAX_BYTES: usize = 16 << 20;

/// Appends in the order they came, each with the time it came at. The delay is the one that holds when it is asked for: it
/// may be changed for what waits already.
#[derive(Debug, Default)]
pub struct Delayed {
    queue: VecDeque<(Time, Append<Vec<Entry>>)>,
    bytes: usize,
}

impl Delayed {
    /// Lets an append wait. False if there is no room.
    pub fn push(&mut self, append: Append<Vec<Entry>>, now: Time) -> bool {
        let size = bytes(&append);
        if !self.queue.is_empty() && self.bytes + size > MAX_BYTES {
            return false;
        }
        self.bytes += size;
        self.queue.push_back((now, append));
        true
    }

    /// The next one that is due.
    pub fn pop(&mut self, now: Time, delay: Duration) -> Option<Append<Vec<Entry>>> {
        if self.deadline(delay)? > now {
            return None;
        }
        let (_, append) = self.queue.pop_front()?;
        self.bytes -= bytes(&append);
        Some(append)
    }

    /// When the next one is due.
    #[must_use]
    pub fn deadline(&self, delay: Duration) -> Option<Time> {
        self.queue.front().map(|(came, _)| *came + delay)
    }
}

fn bytes(append: &Append<Vec<Entry>>) -> usize {
    64 + append.entries.iter().map(|e| e.json().len()).sum::<usize>()
}
