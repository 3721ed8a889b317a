//! Where the master's log is at home: in its own memory, on its own disk, or in a JetStream stream that masters share.

use std::ffi::OsStr;
use std::time::Duration;

use clap::{Args, ValueEnum, builder::PossibleValue};
use replog_nats::{BrokerUrl, Credentials, JournalStream, JournalStreamOptions, StreamStatus};
use replog_protocol::ids::{MasterId, Seq, Time};
use replog_protocol::leader::Leader;
use replog_protocol::leader::command::Waiter;
use replog_protocol::leader::shared_journal::SharedJournal;
use replog_protocol::node_url::NodeUrl;
use replog_service::exit::Failure;
use replog_service::http::health::{StorageHealth, millis};
use replog_service::http::readiness::Readiness;
use replog_service::settings::values::{count, retry_pause, subject_token};
use replog_service::settings::{NatsArgs, WrongSetting, process_environment};
use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;

/// Where the log is at home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// In this process's memory.
    Memory,
    /// In the data directory.
    Disk,
    /// In a JetStream stream, which several masters share.
    JetStream,
}

// By hand, as those of the other settings: the derive would put the comments above into `--help`.
impl ValueEnum for Store {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Memory, Self::Disk, Self::JetStream]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.as_str()))
    }
}

impl Store {
    fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::JetStream => "jetstream",
        }
    }
}

/// Where the log is at home; flattened by the master only.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Journal")]
pub struct JournalArgs {
    /// Where the log is at home: `memory`, `disk` (a data directory), or `jetstream`, a stream of the broker that any number of
    /// masters share, of which one leads and the others stand by [default: disk with --data-dir, else memory].
    #[arg(
        long,
        env = "REPLOG_STORE",
        value_name = "WHERE",
        hide_possible_values = true
    )]
    pub store: Option<Store>,
    /// The JetStream stream [default: replog-CLUSTER].
    #[arg(long, env = "REPLOG_JOURNAL_STREAM", value_name = "NAME", value_parser = stream_name)]
    pub journal_stream: Option<String>,
    /// How many servers keep the stream: 1, 3 or 5.
    #[arg(long, env = "REPLOG_JOURNAL_REPLICAS", value_name = "N", value_parser = replicas, default_value = "3")]
    pub journal_replicas: usize,
    /// The brokers of the stream, comma separated [default: --nats-url].
    #[arg(
        long,
        env = "REPLOG_JOURNAL_URL",
        value_name = "URL,...",
        value_delimiter = ','
    )]
    pub journal_url: Option<Vec<BrokerUrl>>,
    /// What is written to the stream and not answered is sent again after that long; from 10ms to 10m.
    #[arg(long, env = "REPLOG_JOURNAL_RETRY", value_name = "TIME", value_parser = retry_pause, default_value = "250ms")]
    pub journal_retry: Duration,
}

/// The stream of a cluster for which none is named.
pub(crate) fn default_stream(cluster: &str) -> String {
    format!("replog-{cluster}")
}

fn stream_name(text: &str) -> Result<String, String> {
    subject_token(text)
}

fn replicas(text: &str) -> Result<usize, String> {
    match count(text) {
        Ok(replicas @ (1 | 3 | 5)) => Ok(replicas),
        _ => Err("expected 1, 3 or 5".to_owned()),
    }
}

impl JournalArgs {
    /// Where the log is at home, with a data directory or without one.
    #[must_use]
    pub fn store(&self, has_data_dir: bool) -> Store {
        self.store.unwrap_or(match has_data_dir {
            true => Store::Disk,
            false => Store::Memory,
        })
    }

    /// Whether masters share the journal.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.store == Some(Store::JetStream)
    }

    /// Checks the relations to other settings.
    ///
    /// # Errors
    /// The first one that does not hold.
    pub fn check(&self, has_data_dir: bool, takeover: bool) -> Result<(), WrongSetting> {
        let refused = |expected: &str| {
            let store = self.store.map_or("", Store::as_str).to_owned();
            Err(WrongSetting::new("--store", store, expected.to_owned()))
        };
        match self.store {
            Some(Store::Disk) if !has_data_dir => refused("expected --data-dir beside it"),
            Some(Store::Memory) if has_data_dir => {
                refused("expected no --data-dir beside it, or disk")
            }
            Some(Store::JetStream) if takeover => {
                refused("expected no --takeover beside it: a standby takes over by itself")
            }
            _ => Ok(()),
        }
    }

    /// The stream, as far as its name.
    #[must_use]
    pub fn stream(&self, cluster: &str) -> String {
        let named = self.journal_stream.clone();
        named.unwrap_or_else(|| default_stream(cluster))
    }

    /// The stream, which is being opened from now on, with the credentials of this process's `NATS_*` variables; its end is looked
    /// at several times in a heartbeat `interval`. Needs a tokio runtime.
    ///
    /// # Errors
    /// Credentials that cannot be used.
    pub fn open(&self, nats: &NatsArgs, interval: Duration) -> Result<JournalStream, Failure> {
        let text = |variable: &str| {
            let value = process_environment(variable);
            value.map(|value| OsStr::to_string_lossy(&value).into_owned())
        };
        let credentials = Credentials::from_variables(text);
        let credentials = credentials.map_err(|error| Failure::cannot_start(error.to_string()))?;
        let options = JournalStreamOptions {
            urls: (self.journal_url.as_ref().unwrap_or(&nats.nats_url)).clone(),
            credentials,
            name: "replog-master/journal".to_owned(),
            cluster: nats.cluster.clone(),
            stream: self.stream(&nats.cluster),
            replicas: self.journal_replicas,
            retry: self.journal_retry,
            poll: (interval / 5).clamp(MIN_POLL, MAX_POLL),
        };
        JournalStream::open(options).map_err(|error| Failure::cannot_start(error.to_string()))
    }
}

/// The end of the stream is not looked at more often than that, whatever the heartbeat interval is.
const MIN_POLL: Duration = Duration::from_millis(10);
/// Nor less often: a standby shows entries as late as that.
const MAX_POLL: Duration = Duration::from_millis(100);

/// Where a master's log is, and how that is.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum LogStorage {
    /// In its own storage.
    Own(StorageHealth),
    /// In a stream.
    Stream(StreamHealth),
}

/// How a journal in a stream is.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct StreamHealth {
    /// `jetstream`.
    kind: &'static str,
    /// The stream.
    stream: String,
    /// How many servers are to keep it.
    replicas: usize,
    /// How many do and are up to date, as the broker says; 0 while that is not known.
    current: usize,
    /// The server that leads them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    leader: Option<String>,
    /// The last chunk that was carried out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    chunk: Option<u64>,
    /// How long the chunk on its way has not been known to be stored; 0 while none is. A stream that takes nothing is seen here,
    /// whatever it says of itself.
    in_flight_ms: u64,
    /// Whether the stream has given an answer within two heartbeat intervals.
    answers: bool,
    /// Where this node keeps its copy of the log: `memory` or `disk`.
    copy: &'static str,
    /// There is no room: in the stream, or for the copy.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_full: bool,
    /// Entries of the copy that were found damaged, and are not repaired yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<u64>)]
    damaged: Vec<Seq>,
}

/// The master that leads, as one that stands by knows it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Active {
    /// The start of that master.
    #[schema(value_type = uuid::Uuid)]
    instance: MasterId,
    epoch: u64,
    /// Where clients reach it, by its own word.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    url: Option<NodeUrl>,
    /// How long it was not heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    silent_ms: Option<u64>,
}

impl LogStorage {
    /// That of a leader, whose own storage is like that, and whose journal is in a stream that is like `status`, if it is in one.
    #[must_use]
    pub fn of<W: Waiter>(
        leader: &Leader<W>,
        own: StorageHealth,
        status: Option<&StreamStatus>,
        now: Time,
    ) -> Self {
        let (Some(shared), Some(status)) = (leader.shared_journal(), status) else {
            return Self::Own(own);
        };
        Self::Stream(StreamHealth {
            kind: Store::JetStream.as_str(),
            stream: status.stream.clone(),
            replicas: status.replicas,
            current: status.current,
            leader: status.leader.clone(),
            chunk: shared.position().map(|at| at.0),
            in_flight_ms: millis(in_flight(shared, now)),
            answers: is_answering(shared, status, now),
            copy: own.kind(),
            is_full: own.is_full(),
            damaged: own.damaged().to_vec(),
        })
    }

    /// Whether what comes can be stored.
    #[must_use]
    pub fn check(&self, readiness: Readiness) -> Readiness {
        match self {
            Self::Own(own) => own.check(readiness),
            Self::Stream(stream) if stream.is_full => {
                let detail =
                    "there is no room in the stream, or for the copy of it; it is tried again";
                readiness.failed("storage", "disk_full", detail)
            }
            Self::Stream(stream) if !stream.answers => {
                let (name, since) = (&stream.stream, stream.in_flight_ms);
                let detail = format!(
                    "the stream {name} does not answer; a chunk is on its way for {since} ms"
                );
                readiness.failed("storage", "journal", detail)
            }
            Self::Stream(stream) => {
                let (name, current, replicas) = (&stream.stream, stream.current, stream.replicas);
                let detail = format!(
                    "jetstream, stream {name}, {current} of {replicas} replicas, copy in {}",
                    stream.copy
                );
                readiness.passed("storage", detail)
            }
        }
    }
}

impl Active {
    /// Of a leader that stands by, if it knows who leads.
    #[must_use]
    pub fn of<W: Waiter>(leader: &Leader<W>, now: Time) -> Option<Self> {
        let standby = leader.phase().standby()?;
        let claimant = leader.shared_journal()?.claimant()?;
        Some(Self {
            instance: claimant.master,
            epoch: claimant.epoch.n,
            url: claimant.url.clone(),
            silent_ms: standby.silence(now).map(millis),
        })
    }
}

/// For how long the chunk on its way has not been known to be stored; nothing while none is.
pub(crate) fn in_flight(shared: &SharedJournal, now: Time) -> Duration {
    let chunk = shared.on_its_way();
    chunk.map_or(Duration::ZERO, |chunk| now.since(chunk.since))
}

/// Whether the stream has given an answer within two heartbeat intervals.
pub(crate) fn is_answering(shared: &SharedJournal, status: &StreamStatus, now: Time) -> bool {
    status.is_connected && shared.answers(now) && !shared.is_silent(now)
}

/// How many chunks of the stream were not carried out here yet, by what was last heard of its end.
#[must_use]
pub fn lag_chunks<W: Waiter>(leader: &Leader<W>, status: Option<&StreamStatus>) -> Option<u64> {
    leader.phase().standby()?;
    let position = leader.shared_journal()?.position()?;
    Some(status?.last.saturating_sub(position.0))
}

/// What is known of the stream now, where there is one.
pub(crate) fn status_of(status: Option<&watch::Receiver<StreamStatus>>) -> Option<StreamStatus> {
    status.map(|status| status.borrow().clone())
}
