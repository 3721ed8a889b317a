//! What the leader says at a scrape: its log, and each secondary.

use std::borrow::Cow;

use replog_nats::StreamStatus;
use replog_protocol::ids::{NodeId, Seq, Time};
use replog_protocol::leader::Leader;
use replog_protocol::leader::command::Waiter;
use replog_protocol::leader::health::Status;
use replog_protocol::leader::peer::Peer;
use replog_service::http::health::committed_seq;
use replog_service::metrics::MetricsPage;
use replog_service::metrics::growth::Growth;
use replog_service::metrics::page::Value;
use replog_storage::journal::StorageKind;

use crate::health::{STATUSES, status};
use crate::journal_metrics::JournalMetrics;

/// The statuses of a secondary.
const MEMBER_STATUSES: [Status; 5] = [
    Status::Unknown,
    Status::Healthy,
    Status::Suspected,
    Status::Unhealthy,
    Status::Diverged,
];

/// The numbers of a leader at one moment.
#[derive(Clone, Debug)]
pub struct LeaderMetrics {
    at: Time,
    status: &'static str,
    takes_appends: bool,
    last_seq: Seq,
    committed_seq: Seq,
    epoch: u64,
    waiting: usize,
    damaged: usize,
    waits_for_room: bool,
    forged: u64,
    /// Messages of secondaries beyond the number that a master takes.
    ignored: u64,
    quorum_needed: u32,
    alive: u32,
    has_quorum: bool,
    /// Of the stream, where the journal is in one.
    journal: Option<JournalMetrics>,
    /// Each secondary; at most as many as a master takes.
    secondaries: Vec<Secondary>,
}

/// The numbers of one secondary, as the leader knows them.
#[derive(Clone, Debug)]
struct Secondary {
    id: NodeId,
    is_member: bool,
    status: Status,
    acked_seq: Seq,
    lag: u64,
    lag_seconds: f64,
    last_seen_seconds: f64,
    in_flight: usize,
    retries: u64,
    holds_back: bool,
    clashes: bool,
    differs: bool,
}

impl LeaderMetrics {
    /// Reads them off the leader, whose log is in that kind of storage and has grown like that; its journal is in a stream that is
    /// like `stream`, if it is in one.
    #[must_use]
    pub fn of<W: Waiter>(
        leader: &Leader<W>,
        kind: StorageKind,
        growth: &Growth,
        stream: Option<&StreamStatus>,
        now: Time,
    ) -> Self {
        let last_seq = leader.log().durable();
        let peers = leader.peers();
        let unavailable = leader.unavailable(now);
        Self {
            at: now,
            status: status(unavailable),
            takes_appends: unavailable.is_none(),
            last_seq,
            committed_seq: committed_seq(leader.log(), kind),
            epoch: leader.leadership().epoch.n,
            waiting: leader.waiting(),
            damaged: leader.repair().damaged().len(),
            waits_for_room: leader.log().waits_for_room(),
            forged: leader.forged(),
            ignored: peers.ignored(),
            quorum_needed: peers.majority(),
            alive: peers.alive(now),
            has_quorum: leader.has_quorum(now),
            journal: JournalMetrics::of(leader, stream, now),
            secondaries: peers
                .iter()
                .map(|(id, peer)| Secondary {
                    differs: leader.difference(id).is_some(),
                    ..Secondary::of(id, peer, peers.is_member(id), last_seq, growth, now)
                })
                .collect(),
        }
    }

    /// The moment, on the clock of the node.
    #[must_use]
    pub fn at(&self) -> Time {
        self.at
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
            "replog_takes_appends",
            "1 while appends are taken; replog_status says why not",
            u64::from(self.takes_appends),
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
        page.gauge("replog_epoch", "The number of the leadership", self.epoch);
        page.gauge(
            "replog_waiting_clients",
            "Clients that wait for an answer",
            self.waiting,
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
        page.counter(
            "replog_ignored_messages_total",
            "Messages of secondaries that are one too many",
            self.ignored,
        );
        page.gauge(
            "replog_quorum_needed_nodes",
            "Nodes that are a majority, the master counted",
            self.quorum_needed,
        );
        page.gauge(
            "replog_alive_nodes",
            "Nodes that are alive, the master counted",
            self.alive,
        );
        page.gauge(
            "replog_quorum",
            "1 while a majority of the nodes is alive",
            u64::from(self.has_quorum),
        );
        if let Some(journal) = &self.journal {
            journal.write(page);
        }
        self.write_members(page);
    }

    fn write_members(&self, page: &mut MetricsPage) {
        let all = &self.secondaries;
        page.gauges(
            "replog_member_info",
            "The secondaries: by role, a member counts for write concerns, an observer does not",
            all.iter().map(|one| {
                let role = if one.is_member { "member" } else { "observer" };
                let labels = vec![one.label(), ("role", Cow::Borrowed(role))];
                (labels, 1u64)
            }),
        );
        page.gauges(
            "replog_member_status",
            "How a secondary is, as the master sees it: 1 for one status",
            all.iter().flat_map(|one| {
                MEMBER_STATUSES.iter().map(|status| {
                    let labels = vec![one.label(), ("status", Cow::Borrowed(status.as_str()))];
                    (labels, u64::from(*status == one.status))
                })
            }),
        );
        self.write_each(
            "replog_member_acked_seq",
            "The last entry that a secondary has acknowledged, with all before it",
            |one| one.acked_seq.0,
            page,
        );
        self.write_each(
            "replog_member_lag_entries",
            "Entries of the master that a secondary has not acknowledged",
            |one| one.lag,
            page,
        );
        self.write_each(
            "replog_member_lag_seconds",
            "For how long the master has had an entry that a secondary has not acknowledged, since the master's start at most",
            |one| one.lag_seconds,
            page,
        );
        self.write_each(
            "replog_member_last_seen_seconds",
            "Time since a secondary was heard; since the master's start where it never was",
            |one| one.last_seen_seconds,
            page,
        );
        self.write_each(
            "replog_member_in_flight_messages",
            "Messages with entries that a secondary has not answered",
            |one| one.in_flight,
            page,
        );
        self.write_each(
            "replog_member_holds_back",
            "1 while a secondary holds back entries because one before them is missing",
            |one| u64::from(one.holds_back),
            page,
        );
        self.write_each(
            "replog_member_clash",
            "1 while two processes answer under one name",
            |one| u64::from(one.clashes),
            page,
        );
        self.write_each(
            "replog_digest_differs",
            "1 while the log of a secondary is known to differ from the master's, by its digest; GET /verify says from which entry on",
            |one| u64::from(one.differs),
            page,
        );
        page.counters(
            "replog_member_retries_total",
            "Times that entries were sent to a secondary again",
            all.iter().map(|one| (vec![one.label()], one.retries)),
        );
    }

    fn write_each<V: Value>(
        &self,
        name: &'static str,
        help: &'static str,
        value: impl Fn(&Secondary) -> V,
        page: &mut MetricsPage,
    ) {
        let series = self.secondaries.iter();
        page.gauges(
            name,
            help,
            series.map(|one| (vec![one.label()], value(one))),
        );
    }
}

impl Secondary {
    fn of(
        id: &NodeId,
        peer: &Peer,
        is_member: bool,
        last_seq: Seq,
        growth: &Growth,
        now: Time,
    ) -> Self {
        let acked_seq = peer.matched();
        let silence = peer.health().silence(now);
        Self {
            id: id.clone(),
            is_member,
            status: peer.status(now),
            acked_seq,
            lag: last_seq.after(acked_seq),
            lag_seconds: growth.since_beyond(acked_seq, now).as_secs_f64(),
            last_seen_seconds: silence.unwrap_or(now.since(Time::ZERO)).as_secs_f64(),
            in_flight: peer.progress().in_flight(),
            retries: peer.retries(),
            holds_back: peer.held_from().is_some(),
            clashes: peer.has_clash(now),
            differs: false,
        }
    }

    fn label(&self) -> (&'static str, Cow<'static, str>) {
        ("member", Cow::Owned(self.id.to_string()))
    }
}
