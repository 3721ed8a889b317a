//! What becomes of appends, and how long they take.

use replog_protocol::leader::command::{Answer, AppendError, Unavailable, WaitEnd};
use replog_protocol::write_concern::WriteConcern;
use replog_service::metrics::MetricsPage;
use replog_service::metrics::node::{SECONDS, labels};
use replog_service::metrics::page::{Counter, Histogram};
use replog_service::node_task::CommandError;
use tokio::time::Instant;

/// The write concerns that are told apart: clients may send any number.
const WRITE_CONCERNS: [&str; 6] = ["1", "2", "3", "more", "majority", "all"];

/// The counts of all appends since the program started.
#[derive(Debug)]
pub struct AppendMetrics {
    /// In the order of [`Outcome::ALL`].
    outcomes: [Counter; Outcome::ALL.len()],
    /// In the order of [`WRITE_CONCERNS`].
    seconds: [Histogram; WRITE_CONCERNS.len()],
}

/// What has become of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    // Answered with 200.
    Replicated,
    Duplicate,
    // In the log, and not held by as many nodes as were asked for.
    Timeout,
    Stopping,
    Fenced,
    Cleared,
    // In the log or not.
    NotKnown,
    ClientLeft,
    // Not in the log.
    Invalid,
    Conflict,
    Unreadable,
    Recovering,
    NoQuorum,
    RefusedFenced,
    Standby,
    Journal,
    DiskFull,
    DiskFailed,
    TooManyWaiting,
    Overloaded,
    RefusedStopping,
}

impl Outcome {
    const ALL: [Self; 21] = [
        Self::Replicated,
        Self::Duplicate,
        Self::Timeout,
        Self::Stopping,
        Self::Fenced,
        Self::Cleared,
        Self::NotKnown,
        Self::ClientLeft,
        Self::Invalid,
        Self::Conflict,
        Self::Unreadable,
        Self::Recovering,
        Self::NoQuorum,
        Self::RefusedFenced,
        Self::Standby,
        Self::Journal,
        Self::DiskFull,
        Self::DiskFailed,
        Self::TooManyWaiting,
        Self::Overloaded,
        Self::RefusedStopping,
    ];

    /// The value of the label.
    fn as_str(self) -> &'static str {
        match self {
            Self::Replicated => "replicated",
            Self::Duplicate => "duplicate",
            Self::Timeout => "timeout",
            Self::Stopping => "stopping",
            Self::Fenced => "fenced",
            Self::Cleared => "cleared",
            Self::NotKnown => "not_known",
            Self::ClientLeft => "client_left",
            Self::Invalid => "refused_invalid",
            Self::Conflict => "refused_conflict",
            Self::Unreadable => "refused_unreadable",
            Self::Recovering => "refused_recovering",
            Self::NoQuorum => "refused_no_quorum",
            Self::RefusedFenced => "refused_fenced",
            Self::Standby => "refused_standby",
            Self::Journal => "refused_journal",
            Self::DiskFull => "refused_disk_full",
            Self::DiskFailed => "refused_disk_failed",
            Self::TooManyWaiting => "refused_too_many_waiting",
            Self::Overloaded => "refused_overloaded",
            Self::RefusedStopping => "refused_stopping",
        }
    }

    fn of(answer: &Result<Option<Answer>, CommandError>) -> Self {
        match answer {
            Ok(Some(Answer::Replicated { appended, .. })) if appended.duplicate => Self::Duplicate,
            Ok(Some(Answer::Replicated { .. })) => Self::Replicated,
            Ok(Some(Answer::NotReplicated { because, .. })) => match because {
                WaitEnd::Timeout => Self::Timeout,
                WaitEnd::Stopping => Self::Stopping,
                WaitEnd::Fenced => Self::Fenced,
            },
            Ok(Some(Answer::ClearedMeanwhile(_))) => Self::Cleared,
            Ok(Some(Answer::Refused(error))) => Self::refused(error),
            // Nobody clears the log, or takes a member out, by an append.
            Ok(
                Some(
                    Answer::NotKnown { .. }
                    | Answer::Cleared(_)
                    | Answer::Removed { .. }
                    | Answer::Verified(_)
                    | Answer::NotRemoved(_),
                )
                | None,
            ) => Self::NotKnown,
            Err(CommandError::Full) => Self::Overloaded,
            Err(CommandError::Stopped) => Self::RefusedStopping,
        }
    }

    fn refused(error: &AppendError) -> Self {
        match error {
            AppendError::TooManyNodes(_)
            | AppendError::TooLarge { .. }
            | AppendError::BatchTooLarge { .. }
            | AppendError::Twice { .. } => Self::Invalid,
            AppendError::OtherContent { .. }
            | AppendError::PartlyThere { .. }
            | AppendError::ExpectedSeq { .. }
            | AppendError::OtherHistory => Self::Conflict,
            AppendError::Unreadable { .. } => Self::Unreadable,
            AppendError::Standby { .. } => Self::Standby,
            AppendError::Unavailable(reason) => match reason {
                Unavailable::Recovering => Self::Recovering,
                Unavailable::NoQuorum => Self::NoQuorum,
                Unavailable::Fenced => Self::RefusedFenced,
                Unavailable::Standby => Self::Standby,
                Unavailable::Journal => Self::Journal,
                Unavailable::DiskFull => Self::DiskFull,
                Unavailable::DiskFailed => Self::DiskFailed,
                Unavailable::TooManyWaiting => Self::TooManyWaiting,
                Unavailable::Stopping => Self::RefusedStopping,
            },
        }
    }
}

/// One append, from the moment at which it is handed to the leader: a message, a batch, or a run of a bulk load. If this value is
/// dropped before its end, the client has hung up.
#[derive(Debug)]
pub struct MeasuredAppend<'a> {
    metrics: &'a AppendMetrics,
    seconds: &'a Histogram,
    began: Instant,
    outcome: Outcome,
}

impl MeasuredAppend<'_> {
    /// The leader has answered so, or has refused to be asked.
    pub fn ended(mut self, answer: &Result<Option<Answer>, CommandError>) {
        self.outcome = Outcome::of(answer);
    }
}

impl Drop for MeasuredAppend<'_> {
    fn drop(&mut self) {
        self.metrics.outcomes[self.outcome as usize].inc();
        if matches!(self.outcome, Outcome::Replicated | Outcome::Duplicate) {
            self.seconds.observe(self.began.elapsed().as_secs_f64());
        }
    }
}

impl Default for AppendMetrics {
    fn default() -> Self {
        Self {
            outcomes: Default::default(),
            seconds: std::array::from_fn(|_| Histogram::new(SECONDS)),
        }
    }
}

impl AppendMetrics {
    /// An append with that write concern is handed to the leader now.
    pub fn begin(&self, w: WriteConcern) -> MeasuredAppend<'_> {
        let kind = match w {
            WriteConcern::Count(n @ 1..=3) => n as usize - 1,
            WriteConcern::Count(_) => 3,
            WriteConcern::Majority => 4,
            WriteConcern::All => 5,
        };
        MeasuredAppend {
            metrics: self,
            seconds: &self.seconds[kind],
            began: Instant::now(),
            outcome: Outcome::ClientLeft,
        }
    }

    /// Says all of it.
    pub fn write(&self, page: &mut MetricsPage) {
        let outcomes = Outcome::ALL.iter().zip(&self.outcomes);
        page.counters(
            "replog_appends_total",
            "Appends by what has become of them: of a message, a batch, or a run of a bulk load",
            outcomes.map(|(outcome, n)| (labels("outcome", outcome.as_str()), n.get())),
        );
        let seconds = WRITE_CONCERNS.iter().zip(&self.seconds);
        page.histograms(
            "replog_append_seconds",
            "Time until as many nodes held an append as its write concern w asks for",
            seconds.map(|(w, seconds)| (labels("w", *w), seconds.clone())),
        );
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use replog_protocol::ids::{LogId, MessageId, Seq};
    use replog_protocol::leader::command::Appended;

    use super::*;

    fn replicated(duplicate: bool) -> Result<Option<Answer>, CommandError> {
        let appended = Appended {
            log_id: LogId::default(),
            epoch: 1,
            first: Seq(1),
            last: Seq(1),
            message_id: MessageId::default(),
            w: 2,
            duplicate,
        };
        Ok(Some(Answer::Replicated { appended, acks: 2 }))
    }

    fn text(metrics: &AppendMetrics) -> String {
        let mut page = MetricsPage::default();
        metrics.write(&mut page);
        page.text().unwrap()
    }

    #[test]
    fn each_outcome_has_its_own_place_and_name_and_begins_at_zero() {
        for (at, outcome) in Outcome::ALL.iter().enumerate() {
            assert_eq!(*outcome as usize, at);
        }
        let text = text(&AppendMetrics::default());
        let counts = text
            .lines()
            .filter(|l| l.starts_with("replog_appends_total{"));
        let mut zeroes: Vec<_> = counts.filter(|line| line.ends_with(" 0")).collect();
        zeroes.sort_unstable();
        zeroes.dedup();
        assert_eq!(zeroes.len(), Outcome::ALL.len());
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_was_replicated_has_taken_its_time() {
        let metrics = AppendMetrics::default();
        let two = metrics.begin(WriteConcern::Count(2));
        let many = metrics.begin(WriteConcern::Count(1_000_000));
        let left = metrics.begin(WriteConcern::All);
        tokio::time::advance(Duration::from_millis(20)).await;
        two.ended(&replicated(false));
        many.ended(&replicated(true));
        drop(left);
        let no_quorum = AppendError::Unavailable(Unavailable::NoQuorum);
        let refused = metrics.begin(WriteConcern::Majority);
        refused.ended(&Ok(Some(Answer::Refused(no_quorum))));
        metrics
            .begin(WriteConcern::All)
            .ended(&Err(CommandError::Full));
        let text = text(&metrics);
        for expected in [
            r#"replog_appends_total{outcome="replicated"} 1"#,
            r#"replog_appends_total{outcome="duplicate"} 1"#,
            r#"replog_appends_total{outcome="client_left"} 1"#,
            r#"replog_appends_total{outcome="refused_no_quorum"} 1"#,
            r#"replog_appends_total{outcome="refused_overloaded"} 1"#,
            r#"replog_append_seconds_bucket{w="2",le="0.01"} 0"#,
            r#"replog_append_seconds_bucket{w="2",le="0.025"} 1"#,
            r#"replog_append_seconds_count{w="more"} 1"#,
            r#"replog_append_seconds_count{w="majority"} 0"#,
            r#"replog_append_seconds_count{w="all"} 0"#,
        ] {
            assert!(
                text.lines().any(|line| line == expected),
                "{expected} in {text}"
            );
        }
    }
}
