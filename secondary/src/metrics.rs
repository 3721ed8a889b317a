//! What a secondary says at a scrape: its log, and how far that is behind the master.

use replog_protocol::ids::{Seq, Time};
use replog_service::metrics::MetricsPage;

use crate::faulty::FaultyFollower;
use crate::health::{Health, STATUSES};

/// The numbers of a secondary at one moment.
#[derive(Clone, Debug)]
pub struct FollowerMetrics {
    status: &'static str,
    last_seq: Seq,
    committed_seq: Seq,
    epoch: u64,
    lag: Option<u64>,
    held_back: u64,
    duplicates: u64,
    master_last_seen_seconds: f64,
    damaged: usize,
    waits_for_room: bool,
    forged: u64,
}

impl FollowerMetrics {
    /// Reads them off the node, and its health at that moment.
    #[must_use]
    pub fn of<W>(node: &FaultyFollower<W>, health: &Health, now: Time) -> Self {
        let follower = node.follower();
        let position = follower.position();
        let silence = follower.followed_at().map(|heard| now.since(heard));
        Self {
            status: health.status,
            last_seq: position.last.seq,
            committed_seq: health.committed_seq,
            epoch: position.epoch.n,
            lag: health.lag,
            held_back: follower.held_back(),
            duplicates: follower.duplicates(),
            master_last_seen_seconds: silence.unwrap_or(now.since(Time::ZERO)).as_secs_f64(),
            damaged: follower.repair().damaged().len(),
            waits_for_room: follower.log().waits_for_room(),
            forged: follower.forged(),
        }
    }

    /// Says all of it.
    pub fn write(&self, page: &mut MetricsPage) {
        page.state(
            "replog_status",
            "What the node is doing: 1 for one status",
            "status",
            &STATUSES,
            self.status,
        );
        page.gauge(
            "replog_last_seq",
            "The last entry that is durable here",
            self.last_seq.0,
        );
        page.gauge(
            "replog_committed_seq",
            "The last entry that a majority has committed, as far as it is known and stored here",
            self.committed_seq.0,
        );
        page.gauge(
            "replog_epoch",
            "The number of the leadership that is followed",
            self.epoch,
        );
        if let Some(lag) = self.lag {
            page.gauge(
                "replog_lag_entries",
                "Entries of the master that are not here yet; absent while the master is silent, and nobody knows",
                lag,
            );
        }
        page.gauge(
            "replog_held_back_entries",
            "Entries that are held back because one before them is missing",
            self.held_back,
        );
        page.counter(
            "replog_duplicate_entries_total",
            "Entries that came again",
            self.duplicates,
        );
        page.gauge(
            "replog_master_last_seen_seconds",
            "Time since the master that is followed was heard; since this start where none was",
            self.master_last_seen_seconds,
        );
        page.gauge(
            "replog_damaged_entries",
            "Entries that cannot be read from the disk, and are not repaired yet",
            self.damaged,
        );
        page.gauge(
            "replog_disk_full",
            "1 while the last write has found no room on the disk",
            u64::from(self.waits_for_room),
        );
        page.counter(
            "replog_forged_messages_total",
            "Messages that were dropped because of an epoch that no honest node can have",
            self.forged,
        );
    }
}
