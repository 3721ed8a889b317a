//! The settings that more than one program has, in the groups that `--help` shows.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use replog_nats::BrokerUrl;
use replog_protocol::node_url::NodeUrl;
use replog_storage::disk::Fsync;

use super::credentials::credentials;
use super::parse::Environment;
use super::refusal::WrongSetting;
use super::security::SecurityArgs;
use super::values::{
    HttpAddr, body_bytes, client_timeout, count, fsync, header_bytes, heartbeat_interval, node_url,
    replication_bytes, retry_pause, silence, size_bytes, subject_token, threads,
};
use crate::http::guard::Guard;
use crate::http::origin::{Host, Origin};
use crate::http::server::HttpLimits;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people; colours on a terminal only.
    Text,
    /// One JSON object per line.
    Json,
}

// By hand: the derive would put the comments above into `--help`, and with them a blank line after each flag.
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

/// What every node has; flattened by both programs.
#[derive(Args, Clone, Debug)]
pub struct CommonArgs {
    /// The broker.
    #[command(flatten)]
    pub nats: NatsArgs,
    /// Where the log is kept.
    #[command(flatten)]
    pub storage: StorageArgs,
    /// Signs of life.
    #[command(flatten)]
    pub liveness: LivenessArgs,
    /// Limits of HTTP.
    #[command(flatten)]
    pub http: HttpArgs,
    /// Who may call.
    #[command(flatten)]
    pub security: SecurityArgs,
    /// This node's URL as clients see it [default: that of --http-addr, unless it is a wildcard].
    #[arg(
        long,
        env = "REPLOG_ADVERTISE_URL",
        value_name = "URL",
        value_parser = node_url,
        help_heading = "Process"
    )]
    pub advertise_url: Option<NodeUrl>,
    /// Origins whose pages may call (CORS), comma separated; cross-site calls of others are refused.
    #[arg(
        long,
        env = "REPLOG_ALLOW_ORIGIN",
        value_name = "ORIGIN,...",
        value_delimiter = ',',
        help_heading = "Process"
    )]
    pub allow_origin: Vec<Origin>,
    /// Open POST /clear.
    #[arg(long, env = "REPLOG_ALLOW_CLEAR", help_heading = "Process")]
    pub allow_clear: bool,
    /// Open PUT /faults.
    #[arg(long, env = "REPLOG_ALLOW_FAULTS", help_heading = "Process")]
    pub allow_faults: bool,
    /// Threads that serve, up to 64; one is fastest where cores are few.
    #[arg(long, env = "REPLOG_THREADS", value_name = "N", value_parser = threads, default_value = "1", help_heading = "Process")]
    pub threads: usize,
    /// Log lines for people or for machines; the level by RUST_LOG.
    #[arg(
        long,
        env = "REPLOG_LOG_FORMAT",
        value_name = "FORMAT",
        value_enum,
        default_value = "text",
        help_heading = "Process"
    )]
    pub log_format: LogFormat,
}

impl CommonArgs {
    /// Checks the relations between these settings, and the `NATS_*` variables.
    ///
    /// # Errors
    /// The first setting that is wrong.
    pub fn check(&self, environment: Environment<'_>) -> Result<(), WrongSetting> {
        self.nats.check()?;
        self.liveness.check()?;
        credentials(environment).map(drop)
    }

    /// Who may call a node that listens there.
    #[must_use]
    pub fn guard(&self, http_addr: &HttpAddr) -> Guard {
        let (host, _) = http_addr.to_host_port();
        let listening = Host::of(host).map(Host::to_owned);
        let advertised = self.advertise_url.as_ref().and_then(host_of);
        let own = listening.into_iter().chain(advertised);
        Guard::new(own, self.allow_origin.clone())
    }

    /// Where clients reach a node that is to listen at `http_addr`, and does on `port`; `None` where that is any address.
    #[must_use]
    pub fn url(&self, http_addr: &HttpAddr, port: u16) -> Option<NodeUrl> {
        let scheme = match self.security.tls_cert {
            Some(_) => "https",
            None => "http",
        };
        let listening = || http_addr.url(scheme, port);
        self.advertise_url.clone().or_else(listening)
    }
}

fn host_of(url: &NodeUrl) -> Option<Host> {
    let origin: Origin = url.as_str().parse().ok()?;
    Some(origin.host().clone())
}

/// The broker, and which log on it.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Broker")]
pub struct NatsArgs {
    /// Brokers of one NATS cluster, comma separated.
    #[arg(
        long,
        env = "NATS_URL",
        value_name = "URL,...",
        value_delimiter = ',',
        default_value = "nats://127.0.0.1:4222"
    )]
    pub nats_url: Vec<BrokerUrl>,
    /// Second token of every subject: several logs share a broker.
    #[arg(long, env = "REPLOG_CLUSTER", value_name = "NAME", value_parser = subject_token, default_value = "default")]
    pub cluster: String,
    /// Do not show up in `nats service ls`.
    #[arg(long, env = "REPLOG_NO_NATS_SERVICE")]
    pub no_nats_service: bool,
}

impl NatsArgs {
    /// Checks that all URLs that name a user, or a token, name the same one: the client library uses one for all brokers.
    ///
    /// # Errors
    /// The URLs, without what they name.
    pub fn check(&self) -> Result<(), WrongSetting> {
        let mut named = self.nats_url.iter().filter_map(BrokerUrl::user_info);
        let first = named.next();
        if named.all(|other| Some(other) == first) {
            return Ok(());
        }
        let urls: Vec<&str> = self.nats_url.iter().map(BrokerUrl::address).collect();
        Err(WrongSetting::new(
            "--nats-url",
            urls.join(","),
            "expected the same user in all of them, or NATS_USER and NATS_PASSWORD".to_owned(),
        ))
    }
}

/// Where the log is kept.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Storage")]
pub struct StorageArgs {
    /// Keep the log in this directory; without it the log is in memory.
    #[arg(long, env = "REPLOG_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// With a data directory: when what is written is on the disk. `always`: before it counts; `never`: when the system likes.
    #[arg(
        long,
        env = "REPLOG_FSYNC",
        value_name = "WHEN",
        value_parser = fsync,
        default_value = "always"
    )]
    pub fsync: Fsync,
    /// With a data directory: how much of the newest entries stays in memory.
    #[arg(long, env = "REPLOG_CACHE_BYTES", value_name = "SIZE", value_parser = size_bytes, default_value = "64MiB")]
    pub cache_bytes: usize,
}

impl StorageArgs {
    /// Where the log is, in a word or two: for the log lines of a start.
    #[must_use]
    pub fn description(&self) -> String {
        match &self.data_dir {
            Some(dir) => format!("{} (fsync {})", dir.display(), self.fsync.as_str()),
            None => "memory".to_owned(),
        }
    }
}

/// Signs of life, and what their absence means.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Signs of life")]
pub struct LivenessArgs {
    /// A sign of life at least that often; from 20ms to 60s.
    #[arg(long, env = "REPLOG_HEARTBEAT_INTERVAL", value_name = "TIME", value_parser = heartbeat_interval, default_value = "500ms")]
    pub heartbeat_interval: Duration,
    /// Silence after which a node is suspected; at least 2 heartbeat intervals, up to 24h [default: 3 of them].
    #[arg(long, env = "REPLOG_SUSPECT_AFTER", value_name = "TIME", value_parser = silence)]
    suspect_after: Option<Duration>,
    /// Silence after which a node is unhealthy; more than --suspect-after, up to 24h [default: 10 heartbeat intervals].
    #[arg(long, env = "REPLOG_UNHEALTHY_AFTER", value_name = "TIME", value_parser = silence)]
    unhealthy_after: Option<Duration>,
}

impl LivenessArgs {
    /// Silence after which a node is suspected: at least two heartbeat intervals, three where it is not set.
    #[must_use]
    pub fn suspect_after(&self) -> Duration {
        self.suspect_after.unwrap_or(self.heartbeat_interval * 3)
    }

    /// Silence after which a node is suspected that sends its signs of life at `interval`: where it is longer than this node's
    /// own, the silence is longer in the same proportion.
    #[must_use]
    pub fn suspect_after_of(&self, interval: Duration) -> Duration {
        let suspect_after = self.suspect_after();
        let times = interval.div_duration_f64(self.heartbeat_interval);
        suspect_after.mul_f64(times.max(1.0))
    }

    /// Silence after which a node is unhealthy: longer than that after which it is suspected; ten heartbeat intervals where
    /// it is not set.
    #[must_use]
    pub fn unhealthy_after(&self) -> Duration {
        self.unhealthy_after.unwrap_or(self.heartbeat_interval * 10)
    }

    /// Checks the relations: 2 x heartbeat <= suspect < unhealthy.
    ///
    /// # Errors
    /// The first relation that does not hold, naming both settings.
    pub fn check(&self) -> Result<(), WrongSetting> {
        let (suspect, unhealthy) = (self.suspect_after(), self.unhealthy_after());
        let heartbeat = self.heartbeat_interval;
        if suspect < heartbeat * 2 {
            return Err(WrongSetting::new(
                "--suspect-after",
                format!("{suspect:?}"),
                format!("expected at least 2 x --heartbeat-interval, which is {heartbeat:?}"),
            ));
        }
        if unhealthy <= suspect {
            return Err(WrongSetting::new(
                "--unhealthy-after",
                format!("{unhealthy:?}"),
                format!("expected more than --suspect-after, which is {suspect:?}"),
            ));
        }
        Ok(())
    }
}

/// What one HTTP client, and all of them together, may take.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits of HTTP")]
pub struct HttpArgs {
    /// HTTP connections at once, up to 1048576; further ones wait to be accepted. Never more than the open files that the
    /// broker's link and the log leave.
    #[arg(long, env = "REPLOG_MAX_CONNECTIONS", value_name = "N", value_parser = count, default_value = "10240")]
    pub max_connections: usize,
    /// Time that a client has to send the headers of a request; from 50ms to 24h.
    #[arg(long, env = "REPLOG_HEADER_TIMEOUT", value_name = "TIME", value_parser = client_timeout, default_value = "15s")]
    pub header_timeout: Duration,
    /// Time that a client has to send the body of a request; from 50ms to 24h.
    #[arg(long, env = "REPLOG_BODY_TIMEOUT", value_name = "TIME", value_parser = client_timeout, default_value = "30s")]
    pub body_timeout: Duration,
    /// A client that reads nothing of its answer for that long is cut off; from 50ms to 24h.
    #[arg(long, env = "REPLOG_WRITE_TIMEOUT", value_name = "TIME", value_parser = client_timeout, default_value = "30s")]
    pub write_timeout: Duration,
    /// A connection without a request is closed after that long, from 50ms to 24h; balancers reuse theirs for up to a minute.
    #[arg(long, env = "REPLOG_IDLE_TIMEOUT", value_name = "TIME", value_parser = client_timeout, default_value = "75s")]
    pub idle_timeout: Duration,
    /// Largest headers of a request, request line included; from 1KiB to 1MiB.
    #[arg(long, env = "REPLOG_MAX_HEADER_BYTES", value_name = "SIZE", value_parser = header_bytes, default_value = "16KiB")]
    pub max_header_bytes: usize,
    /// Largest body of a request, and largest line of a bulk load; from 1KiB to 1GiB.
    #[arg(long, env = "REPLOG_MAX_BODY_BYTES", value_name = "SIZE", value_parser = body_bytes, default_value = "8MiB")]
    pub max_body_bytes: usize,
    /// HTTP connections at once from one address, up to 1048576; further ones are refused with 429. Behind a proxy every
    /// client has one address [default: as many as there are].
    #[arg(long, env = "REPLOG_MAX_CONNECTIONS_PER_ADDRESS", value_name = "N", value_parser = count)]
    pub max_connections_per_address: Option<usize>,
    /// Streams at once, up to 1048576 and half of the connections; further ones are refused.
    #[arg(long, env = "REPLOG_MAX_STREAMS", value_name = "N", value_parser = count, default_value = "1024")]
    pub max_streams: usize,
}

impl HttpArgs {
    /// The limits for [`crate::http::server::serve`].
    #[must_use]
    pub fn limits(&self) -> HttpLimits {
        HttpLimits {
            header_timeout: self.header_timeout,
            body_timeout: self.body_timeout,
            write_timeout: self.write_timeout,
            idle_timeout: self.idle_timeout,
            max_header_bytes: self.max_header_bytes,
            max_body_bytes: self.max_body_bytes,
            max_connections: self.max_connections,
            max_connections_per_address: self.max_connections_per_address,
            max_streams: self.max_streams,
            ..HttpLimits::default()
        }
    }
}

/// How a master replicates; flattened by the master only.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Replication")]
pub struct ReplicationArgs {
    /// First pause before an append is sent again, from 10ms to 10m; doubles, with jitter.
    #[arg(long, env = "REPLOG_RETRY_MIN", value_name = "TIME", value_parser = retry_pause, default_value = "50ms")]
    pub retry_min: Duration,
    /// Longest pause before an append is sent again; from 10ms to 10m.
    #[arg(long, env = "REPLOG_RETRY_MAX", value_name = "TIME", value_parser = retry_pause, default_value = "5s")]
    pub retry_max: Duration,
    /// Size of one append message; from 1KiB to --window-bytes.
    #[arg(long, env = "REPLOG_BATCH_BYTES", value_name = "SIZE", value_parser = replication_bytes, default_value = "256KiB")]
    pub batch_bytes: usize,
    /// Bytes in flight to one secondary, which must be able to hold them all back; from 1KiB to 64MiB.
    #[arg(long, env = "REPLOG_WINDOW_BYTES", value_name = "SIZE", value_parser = replication_bytes, default_value = "1MiB")]
    pub window_bytes: usize,
    /// POSTs waiting for their write concern at once, up to 1048576; further ones are refused.
    #[arg(long, env = "REPLOG_MAX_WAITING", value_name = "N", value_parser = count, default_value = "10000")]
    pub max_waiting: usize,
}

impl ReplicationArgs {
    /// Checks the relations: retry min <= max, batch <= window.
    ///
    /// # Errors
    /// The first relation that does not hold, naming both settings.
    pub fn check(&self) -> Result<(), WrongSetting> {
        if self.retry_min > self.retry_max {
            return Err(WrongSetting::new(
                "--retry-min",
                format!("{:?}", self.retry_min),
                format!(
                    "expected at most --retry-max, which is {:?}",
                    self.retry_max
                ),
            ));
        }
        if self.batch_bytes > self.window_bytes {
            return Err(WrongSetting::new(
                "--batch-bytes",
                format!("{}B", self.batch_bytes),
                format!(
                    "expected at most --window-bytes, which is {}B",
                    self.window_bytes
                ),
            ));
        }
        Ok(())
    }
}
