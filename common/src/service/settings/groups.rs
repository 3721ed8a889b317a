//! The settings more than one program has.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};

use super::refusal::WrongSetting;
use super::values::{NatsUrl, count, positive_duration, size_bytes, subject_token};
use crate::log::disk::Fsync;
use crate::service::server::HttpLimits;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people; colours on a terminal only.
    Text,
    /// One JSON object a line.
    Json,
}

// By hand: the derive would put the comments above into `--help`, and with them a blank line a flag.
impl ValueEnum for LogFormat {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Text, Self::Json]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Self::Text => "text",
            Self::Json => "json",
        }))
    }
}

impl ValueEnum for Fsync {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Always, Self::Never]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.word()))
    }
}

/// What every node has; flattened by both programs.
#[derive(Args, Clone, Debug)]
pub struct CommonArgs {
    /// Brokers of one NATS cluster, comma separated.
    #[arg(
        long,
        env = "NATS_URL",
        value_name = "URL,...",
        value_delimiter = ',',
        default_value = "nats://127.0.0.1:4222"
    )]
    pub nats_url: Vec<NatsUrl>,
    /// Second token of every subject: several logs share a broker.
    #[arg(long, env = "REPLOG_CLUSTER", value_name = "NAME", value_parser = subject_token, default_value = "default")]
    pub cluster: String,
    /// Keep the log in this directory; without it the log is in memory.
    #[arg(long, env = "REPLOG_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// With a data directory: when what is written is on the disk. `always`: before it counts; `never`: when the system likes.
    #[arg(
        long,
        env = "REPLOG_FSYNC",
        value_name = "WHEN",
        value_enum,
        default_value = "always"
    )]
    pub fsync: Fsync,
    /// With a data directory: how much of the newest entries stays in memory.
    #[arg(long, env = "REPLOG_CACHE_BYTES", value_name = "SIZE", value_parser = size_bytes, default_value = "64MiB")]
    pub cache_bytes: usize,
    /// Time between two heartbeats.
    #[arg(long, env = "REPLOG_HEARTBEAT_INTERVAL", value_name = "TIME", value_parser = positive_duration, default_value = "500ms")]
    pub heartbeat_interval: Duration,
    /// Open POST /clear.
    #[arg(long, env = "REPLOG_ALLOW_CLEAR")]
    pub allow_clear: bool,
    /// Open PUT /faults.
    #[arg(long, env = "REPLOG_ALLOW_FAULTS")]
    pub allow_faults: bool,
    /// Log lines for people or for machines; the level by RUST_LOG.
    #[arg(
        long,
        env = "REPLOG_LOG_FORMAT",
        value_name = "FORMAT",
        value_enum,
        default_value = "text"
    )]
    pub log_format: LogFormat,
    /// Time a client has to send the headers of a request.
    #[arg(long, env = "REPLOG_HEADER_TIMEOUT", value_name = "TIME", value_parser = positive_duration, default_value = "15s")]
    pub header_timeout: Duration,
    /// Time a client has to send the body of a request.
    #[arg(long, env = "REPLOG_BODY_TIMEOUT", value_name = "TIME", value_parser = positive_duration, default_value = "30s")]
    pub body_timeout: Duration,
    /// Largest headers of a request, request line included.
    #[arg(long, env = "REPLOG_MAX_HEADER_BYTES", value_name = "SIZE", value_parser = size_bytes, default_value = "16KiB")]
    pub max_header_bytes: usize,
    /// Largest body of a request.
    #[arg(long, env = "REPLOG_MAX_BODY_BYTES", value_name = "SIZE", value_parser = size_bytes, default_value = "8MiB")]
    pub max_body_bytes: usize,
    /// HTTP connections at once; further ones wait to be accepted.
    #[arg(long, env = "REPLOG_MAX_CONNECTIONS", value_name = "N", value_parser = count, default_value = "10240")]
    pub max_connections: usize,
    /// Threads that serve; one is fastest where cores are few.
    #[arg(long, env = "REPLOG_THREADS", value_name = "N", value_parser = count, default_value = "1")]
    pub threads: usize,
}

impl CommonArgs {
    /// The limits for [`crate::service::server::serve`].
    pub fn http_limits(&self) -> HttpLimits {
        HttpLimits {
            header_timeout: self.header_timeout,
            body_timeout: self.body_timeout,
            max_header_bytes: self.max_header_bytes,
            max_body_bytes: self.max_body_bytes,
            max_connections: self.max_connections,
            ..HttpLimits::default()
        }
    }
}

/// How a master replicates; flattened by the master only.
#[derive(Args, Clone, Debug)]
pub struct ReplicationArgs {
    /// A member is suspected this long after its last sign of life.
    #[arg(long, env = "REPLOG_SUSPECT_AFTER", value_name = "TIME", value_parser = positive_duration, default_value = "1500ms")]
    pub suspect_after: Duration,
    /// A member is unhealthy this long after its last sign of life.
    #[arg(long, env = "REPLOG_UNHEALTHY_AFTER", value_name = "TIME", value_parser = positive_duration, default_value = "5s")]
    pub unhealthy_after: Duration,
    /// First pause before an append is sent again; doubles, with jitter.
    #[arg(long, env = "REPLOG_RETRY_MIN", value_name = "TIME", value_parser = positive_duration, default_value = "50ms")]
    pub retry_min: Duration,
    /// Longest pause before an append is sent again.
    #[arg(long, env = "REPLOG_RETRY_MAX", value_name = "TIME", value_parser = positive_duration, default_value = "5s")]
    pub retry_max: Duration,
    /// Size of one append message.
    #[arg(long, env = "REPLOG_BATCH_BYTES", value_name = "SIZE", value_parser = size_bytes, default_value = "256KiB")]
    pub batch_bytes: usize,
    /// Bytes in flight to one secondary.
    #[arg(long, env = "REPLOG_WINDOW_BYTES", value_name = "SIZE", value_parser = size_bytes, default_value = "1MiB")]
    pub window_bytes: usize,
    /// POSTs waiting for their write concern at once; further ones are refused.
    #[arg(long, env = "REPLOG_MAX_WAITING", value_name = "N", value_parser = count, default_value = "10000")]
    pub max_waiting: usize,
}

impl ReplicationArgs {
    /// Checks the relations: heartbeat < suspect < unhealthy, retry min <= max, batch <= window.
    ///
    /// # Errors
    /// The first relation that does not hold, naming both settings.
    pub fn check(&self, common: &CommonArgs) -> Result<(), WrongSetting> {
        let (suspect, unhealthy) = (self.suspect_after, self.unhealthy_after);
        let heartbeat = common.heartbeat_interval;
        let wrong = |flag, value: String, expected: String| {
            Err(WrongSetting::new(
                flag,
                value,
                format!("expected {expected}"),
            ))
        };
        if suspect <= heartbeat {
            return wrong(
                "--suspect-after",
                format!("{suspect:?}"),
                format!("more than --heartbeat-interval, which is {heartbeat:?}"),
            );
        }
        if unhealthy <= suspect {
            return wrong(
                "--unhealthy-after",
                format!("{unhealthy:?}"),
                format!("more than --suspect-after, which is {suspect:?}"),
            );
        }
        if self.retry_min > self.retry_max {
            return wrong(
                "--retry-min",
                format!("{:?}", self.retry_min),
                format!("at most --retry-max, which is {:?}", self.retry_max),
            );
        }
        if self.batch_bytes > self.window_bytes {
            return wrong(
                "--batch-bytes",
                format!("{}B", self.batch_bytes),
                format!("at most --window-bytes, which is {}B", self.window_bytes),
            );
        }
        Ok(())
    }
}
