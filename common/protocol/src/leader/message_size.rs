//! How large the messages to one secondary may be.

use std::time::Duration;

use crate::ids::{Seq, Time};
use crate::leader::settings::Replication;

/// So many ACKs that say something new have to come before larger messages are tried again.
const TIMES_PASSED: u32 = 16;
/// Messages with fewer bytes of entries are lost for another reason than their size.
const LEAST_LIMIT: usize = 4 << 10;
/// By so much a message is made smaller that may have been too large.
const STEP: usize = 4;

/// How large messages may be, as far as it shows. A link on the way may take smaller ones than the broker (a leaf node with a
/// `max_payload` of its own), and says nothing of that: what is too large is lost again and again, while heartbeats pass. A
/// secondary that is slow looks the same for a while, so the size is suspected only after a good one, and a message that is
/// acknowledged after all has shown that its size passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MessageSize {
    /// The same entry is sent for so long before the size is suspected.
    patience: Duration,
    /// Bytes of entries, at most.
    pub(super) limit: usize,
    /// Since when the first entry that is not acknowledged is sent.
    since: Option<Time>,
    /// The message in which it was sent last: its last entry, and its bytes.
    latest: (Seq, usize),
    /// ACKs that said something new since the limit was changed.
    passed: u32,
}

impl MessageSize {
    pub(super) fn new(settings: &Replication) -> Self {
        Self {
            patience: settings.shrink_after,
            limit: settings.batch_bytes,
            since: None,
            latest: (Seq::ZERO, 0),
            passed: 0,
        }
    }

    /// The first entry that is not acknowledged has left, in a message that ends with `last`.
    pub(super) fn sent_first(&mut self, last: Seq, bytes: usize, now: Time) {
        let since = *self.since.get_or_insert(now);
        self.latest = (last, bytes);
        if self.has_waited(since, now) && bytes > LEAST_LIMIT {
            self.limit = (self.limit / STEP).max(LEAST_LIMIT.min(self.limit));
            self.passed = 0;
        }
    }

    /// Everything up to there is acknowledged, and was not before.
    pub(super) fn acked(&mut self, upto: Seq, most: usize) {
        let (last, bytes) = self.latest;
        if upto >= last {
            self.limit = self.limit.max(bytes).min(most);
        }
        self.since = None;
        self.passed += 1;
        if self.passed >= TIMES_PASSED {
            self.limit = self.limit.saturating_mul(2).min(most);
            self.passed = 0;
        }
    }

    /// What was sent is sent to nobody any more.
    pub(super) fn forget(&mut self) {
        self.since = None;
    }

    fn has_waited(&self, since: Time, now: Time) -> bool {
        now.since(since) >= self.patience
    }

    /// Bytes of the message that was sent last.
    pub(super) fn bytes(&self) -> usize {
        self.latest.1
    }

    /// Whether the same entry has been sent for so long that somebody should know.
    pub(super) fn is_stuck(&self, now: Time) -> bool {
        self.since.is_some_and(|since| self.has_waited(since, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH: usize = 256 << 10;

    fn at(s: u64) -> Time {
        Time::ZERO + Duration::from_secs(s)
    }

    fn size() -> MessageSize {
        MessageSize::new(&Replication::default())
    }

    #[test]
    fn what_is_only_slow_is_not_taken_for_too_large() {
        let mut size = size();
        for s in 0..5 {
            size.sent_first(Seq(9), BATCH, at(s));
            assert!(!size.is_stuck(at(s)));
        }
        size.acked(Seq(9), BATCH);
        assert_eq!(size.limit, BATCH);
        // Even after the patience has ended an ACK shows that the size passes.
        for s in [10, 15, 20] {
            size.sent_first(Seq(19), BATCH, at(s));
        }
        assert!(size.limit < BATCH && size.is_stuck(at(20)));
        size.acked(Seq(19), BATCH);
        assert_eq!(size.limit, BATCH);
        assert!(!size.is_stuck(at(99)));
    }

    #[test]
    fn what_does_not_pass_is_sent_in_smaller_messages_until_it_does() {
        let (mut size, mut s) = (size(), 0);
        while size.limit > 64 << 10 {
            size.sent_first(Seq(9), size.limit, at(s));
            s += 5;
        }
        assert_eq!(size.limit, 64 << 10);
        let passes = size.limit;
        for seq in 1..TIMES_PASSED {
            size.sent_first(Seq(u64::from(seq)), passes, at(s));
            size.acked(Seq(u64::from(seq)), BATCH);
            assert_eq!(size.limit, passes);
        }
        size.acked(Seq(99), BATCH);
        assert_eq!(size.limit, 2 * passes, "tried again");
    }

    #[test]
    fn a_small_message_is_lost_for_another_reason() {
        let mut size = size();
        for s in 0..60 {
            size.sent_first(Seq(1), LEAST_LIMIT, at(s));
        }
        assert_eq!(size.limit, BATCH);
        assert!(size.is_stuck(at(60)));
    }
}
