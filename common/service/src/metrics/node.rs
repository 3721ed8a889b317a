//! What a node's task counts.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::histogram::exponential_buckets;
use replog_protocol::event::Event;
use replog_protocol::ids::Time;

use super::growth::Growth;
use super::page::{Counter, Histogram, Labels, MetricsPage};
use crate::broker::BrokerState;

/// Times from a tenth of a millisecond to ten seconds.
pub const SECONDS: [f64; 16] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];

/// The counts of one node's task, since the program started.
#[derive(Debug)]
pub struct NodeMetrics {
    /// When the log that is shown has grown.
    growth: Mutex<Growth>,
    undecodable: Counter,
    other_version: Counter,
    unsent: Counter,
    /// Messages that the link has dropped, as it said last.
    unread: AtomicU64,
    connects: Counter,
    no_room: Counter,
    write_seconds: Histogram,
    write_entries: Histogram,
    sent_entries: Histogram,
    received_entries: Histogram,
    recovery: Mutex<Recoveries>,
    rolled_back: Counter,
    committed_rollbacks: Counter,
}

/// How often a master has asked the others what they hold, and for how long.
#[derive(Clone, Copy, Debug, Default)]
struct Recoveries {
    /// Since when it asks, while it does.
    since: Option<Time>,
    ended: u64,
    took: Duration,
}

impl Default for NodeMetrics {
    fn default() -> Self {
        // From one entry to 16,384.
        let entries = || Histogram::new(exponential_buckets(1.0, 2.0, 15));
        Self {
            growth: Mutex::default(),
            undecodable: Counter::default(),
            other_version: Counter::default(),
            unsent: Counter::default(),
            unread: AtomicU64::default(),
            connects: Counter::default(),
            no_room: Counter::default(),
            write_seconds: Histogram::new(SECONDS),
            write_entries: entries(),
            sent_entries: entries(),
            received_entries: entries(),
            recovery: Mutex::default(),
            rolled_back: Counter::default(),
            committed_rollbacks: Counter::default(),
        }
    }
}

impl NodeMetrics {
    /// When the log that is shown has grown.
    pub fn growth(&self) -> MutexGuard<'_, Growth> {
        self.growth.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many messages came that could not be read.
    #[must_use]
    pub fn undecodable(&self) -> u64 {
        self.undecodable.get()
    }

    /// A message came that could not be read.
    pub(crate) fn could_not_decode(&self) {
        self.undecodable.inc();
    }

    /// A message of another version of the protocol came.
    pub(crate) fn of_other_version(&self) {
        self.other_version.inc();
    }

    /// The link did not take a message: it is down, or full.
    pub(crate) fn could_not_send(&self) {
        self.unsent.inc();
    }

    /// The link has dropped so many messages by now that were not read in time.
    pub(crate) fn set_unread(&self, messages: u64) {
        self.unread.store(messages, Ordering::Relaxed);
    }

    /// The broker is there, or there again.
    pub(crate) fn connected(&self) {
        self.connects.inc();
    }

    /// A message with entries was sent.
    pub(crate) fn sent(&self, entries: u64) {
        self.sent_entries.observe(entries as f64);
    }

    /// A message with entries came.
    pub(crate) fn received(&self, entries: u64) {
        self.received_entries.observe(entries as f64);
    }

    /// A write of so many entries has ended.
    pub(crate) fn wrote(&self, entries: u64, took: Duration) {
        self.write_seconds.observe(took.as_secs_f64());
        if entries > 0 {
            self.write_entries.observe(entries as f64);
        }
    }

    /// A write has found no room on the disk.
    pub(crate) fn found_no_room(&self) {
        self.no_room.inc();
    }

    /// The node has said an event.
    pub(crate) fn note(&self, event: &Event, now: Time) {
        match event {
            Event::Recovering {} => {
                let mut recovery = self.recovery();
                recovery.since = recovery.since.or(Some(now));
            }
            Event::Serving { .. } => self.recovery().end(now),
            Event::RolledBack {
                first_seq,
                last_seq,
                committed,
                ..
            } => {
                self.rolled_back.inc_by(last_seq.next().after(*first_seq));
                self.committed_rollbacks.inc_by(u64::from(*committed));
            }
            _ => {}
        }
    }

    /// Says all of it, and how the link to the broker is.
    pub fn write(&self, broker: BrokerState, page: &mut MetricsPage) {
        let is = |state| u64::from(broker == state);
        page.gauge(
            "replog_nats_connected",
            "1 while the broker is there and grants everything",
            is(BrokerState::Connected),
        );
        page.gauge(
            "replog_nats_denied",
            "1 while the broker refuses the user or a permission",
            is(BrokerState::Denied),
        );
        page.counter(
            "replog_nats_reconnects_total",
            "Connections to the broker after the first one",
            self.connects.get().saturating_sub(1),
        );
        let dropped = [
            ("undecodable", self.undecodable.get()),
            ("other_version", self.other_version.get()),
            ("slow_consumer", self.unread.load(Ordering::Relaxed)),
            ("unsent", self.unsent.get()),
        ];
        page.counters(
            "replog_messages_dropped_total",
            "Messages of nodes that were dropped here: could not be read, are of another protocol version, came faster than \
             they were read, or were not taken by the link",
            dropped.map(|(reason, n)| (labels("reason", reason), n)),
        );
        page.histograms(
            "replog_message_entries",
            "Entries in one message between nodes, by direction",
            [
                (labels("direction", "sent"), self.sent_entries.clone()),
                (
                    labels("direction", "received"),
                    self.received_entries.clone(),
                ),
            ],
        );
        page.histogram(
            "replog_journal_write_seconds",
            "Time of one write of the journal, with its sync to the disk where there is one",
            &self.write_seconds,
        );
        page.histogram(
            "replog_journal_write_entries",
            "Entries in one write of the journal",
            &self.write_entries,
        );
        page.counter(
            "replog_journal_no_room_total",
            "Writes of the journal that found no room on the disk",
            self.no_room.get(),
        );
        page.counter(
            "replog_rolled_back_entries_total",
            "Entries that were rolled back because the other nodes have others there",
            self.rolled_back.get(),
        );
        page.counter(
            "replog_committed_rollbacks_total",
            "Times that entries were rolled back of which some had been committed",
            self.committed_rollbacks.get(),
        );
    }

    /// Says how often and for how long a master has asked the others what they hold, until `now`.
    pub fn write_recoveries(&self, now: Time, page: &mut MetricsPage) {
        let mut recovery = *self.recovery();
        let ended = recovery.ended;
        recovery.end(now);
        page.counter(
            "replog_recoveries_total",
            "Times that the master has found out what the secondaries hold, and began to serve",
            ended,
        );
        page.seconds_counter(
            "replog_recovery_seconds_total",
            "How long the master has asked the secondaries what they hold",
            recovery.took.as_secs_f64(),
        );
    }

    fn recovery(&self) -> MutexGuard<'_, Recoveries> {
        self.recovery.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recoveries {
    fn end(&mut self, now: Time) {
        if let Some(since) = self.since.take() {
            self.ended += 1;
            self.took += now.since(since);
        }
    }
}

/// One label.
#[must_use]
pub fn labels(name: &'static str, value: impl Into<Cow<'static, str>>) -> Labels {
    vec![(name, value.into())]
}

#[cfg(test)]
mod tests {
    use replog_protocol::ids::{LogId, Seq};
    use replog_protocol::node::RolledBack;

    use super::*;

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    fn serving() -> Event {
        Event::Serving {
            entries: 0,
            new: true,
            heard: Vec::new(),
            not_heard: Vec::new(),
            overtakes: None,
        }
    }

    fn assert_says(page: &MetricsPage, lines: &[&str]) {
        let text = page.text().unwrap();
        for expected in lines {
            let is_there = text.lines().any(|line| line == *expected);
            assert!(is_there, "{expected} in {text}");
        }
    }

    #[test]
    fn a_recovery_lasts_from_the_first_question_to_the_service() {
        let metrics = NodeMetrics::default();
        let said = |now, lines: &[&str]| {
            let mut page = MetricsPage::default();
            metrics.write_recoveries(now, &mut page);
            assert_says(&page, lines);
        };
        metrics.note(&Event::Recovering {}, at(1));
        metrics.note(&Event::Recovering {}, at(2));
        said(
            at(4),
            &[
                "replog_recoveries_total 0",
                "replog_recovery_seconds_total 3.0",
            ],
        );
        metrics.note(&serving(), at(5));
        metrics.note(&Event::Recovering {}, at(10));
        metrics.note(&serving(), at(11));
        said(
            at(99),
            &[
                "replog_recoveries_total 2",
                "replog_recovery_seconds_total 5.0",
            ],
        );
    }

    #[test]
    fn everything_begins_at_zero_and_is_counted() {
        let metrics = NodeMetrics::default();
        let mut page = MetricsPage::default();
        metrics.write(BrokerState::Disconnected, &mut page);
        let zeroes = [
            "replog_nats_connected 0",
            "replog_nats_reconnects_total 0",
            r#"replog_messages_dropped_total{reason="undecodable"} 0"#,
            r#"replog_message_entries_count{direction="sent"} 0"#,
            "replog_journal_write_seconds_count 0",
            "replog_rolled_back_entries_total 0",
        ];
        assert_says(&page, &zeroes);
        for _ in 0..3 {
            metrics.connected();
        }
        metrics.could_not_decode();
        metrics.of_other_version();
        metrics.could_not_send();
        metrics.set_unread(7);
        metrics.sent(64);
        metrics.wrote(0, Duration::from_millis(3));
        metrics.wrote(9, Duration::from_millis(3));
        let tail = RolledBack {
            log_id: LogId::default(),
            first: Seq(3),
            last: Seq(7),
        };
        metrics.note(&Event::rolled_back(tail, true), at(1));
        metrics.note(&Event::rolled_back(tail, false), at(1));
        let mut page = MetricsPage::default();
        metrics.write(BrokerState::Denied, &mut page);
        let counted = [
            "replog_nats_connected 0",
            "replog_nats_denied 1",
            "replog_nats_reconnects_total 2",
            r#"replog_messages_dropped_total{reason="undecodable"} 1"#,
            r#"replog_messages_dropped_total{reason="other_version"} 1"#,
            r#"replog_messages_dropped_total{reason="slow_consumer"} 7"#,
            r#"replog_messages_dropped_total{reason="unsent"} 1"#,
            r#"replog_message_entries_bucket{direction="sent",le="64"} 1"#,
            "replog_journal_write_seconds_count 2",
            "replog_journal_write_entries_sum 9.0",
            "replog_rolled_back_entries_total 10",
            "replog_committed_rollbacks_total 1",
        ];
        assert_says(&page, &counted);
    }
}
