//! What is counted of a journal that masters share.

use std::borrow::Cow;

use replog_nats::StreamStatus;
use replog_protocol::ids::Time;
use replog_protocol::leader::Leader;
use replog_protocol::leader::command::Waiter;
use replog_service::metrics::MetricsPage;

use crate::journal::{in_flight, is_answering, lag_chunks};

/// The numbers of a journal in a stream, at one moment.
#[derive(Clone, Debug)]
pub struct JournalMetrics {
    stream: String,
    /// The last chunk that was carried out; 0 before the stream is open.
    chunk: u64,
    in_flight_seconds: f64,
    answers: bool,
    replicas: usize,
    current: usize,
    /// On a master that stands by.
    lag_chunks: Option<u64>,
}

impl JournalMetrics {
    /// Reads them off the leader, whose journal is in a stream that is like that, if it is in one.
    #[must_use]
    pub fn of<W: Waiter>(
        leader: &Leader<W>,
        stream: Option<&StreamStatus>,
        now: Time,
    ) -> Option<Self> {
        let (shared, stream) = (leader.shared_journal()?, stream?);
        Some(Self {
            stream: stream.stream.clone(),
            chunk: shared.position().map_or(0, |at| at.0),
            in_flight_seconds: in_flight(shared, now).as_secs_f64(),
            answers: is_answering(shared, stream, now),
            replicas: stream.replicas,
            current: stream.current,
            lag_chunks: lag_chunks(leader, Some(stream)),
        })
    }

    /// Says all of it.
    pub fn write(&self, page: &mut MetricsPage) {
        page.gauges(
            "replog_journal_info",
            "The stream that keeps the journal",
            [(vec![("stream", Cow::Owned(self.stream.clone()))], 1u64)],
        );
        page.gauge(
            "replog_journal_chunk",
            "The last chunk of the stream that was carried out here",
            self.chunk,
        );
        page.gauge(
            "replog_journal_in_flight_seconds",
            "For how long the chunk on its way has not been known to be stored; 0 while none is",
            self.in_flight_seconds,
        );
        page.gauge(
            "replog_journal_answers",
            "1 while the stream has given an answer within two heartbeat intervals",
            u64::from(self.answers),
        );
        page.gauge(
            "replog_journal_replicas",
            "Brokers that are to keep the stream",
            self.replicas,
        );
        page.gauge(
            "replog_journal_replicas_current",
            "Brokers that do and are up to date, as the broker says",
            self.current,
        );
        if let Some(chunks) = self.lag_chunks {
            page.gauge(
                "replog_journal_lag_chunks",
                "Chunks of the stream that a master which stands by has not carried out",
                chunks,
            );
        }
    }
}
