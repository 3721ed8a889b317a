//! The master's settings.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Parser, Subcommand};
use replog_common::message::Life;
use replog_common::protocol::dedup::DeduplicateBy;
use replog_common::protocol::leader::LeaderConfig;
use replog_common::protocol::recovery::RecoverySettings;
use replog_common::protocol::settings::Replication;
use replog_common::service::settings::values::{positive_duration, socket_addr};
use replog_common::service::settings::{CommonArgs, ReplicationArgs, Settings, WrongSetting};
use replog_common::types::{NodeId, WriteConcern};

/// The master of a replicated log over NATS: takes appends over HTTP, gives them their order, replicates them.
#[derive(Clone, Debug, Parser)]
#[command(name = "replog-master", version)]
pub struct Config {
    /// Where HTTP listens.
    #[arg(long, env = "REPLOG_HTTP_ADDR", value_name = "ADDR", value_parser = socket_addr, default_value = "127.0.0.1:8000", global = true)]
    pub http_addr: SocketAddr,
    /// The expected secondaries, comma separated; without it every secondary that joins is a member.
    #[arg(
        long,
        env = "REPLOG_SECONDARIES",
        value_name = "NAME,...",
        value_delimiter = ','
    )]
    pub secondaries: Option<Vec<NodeId>>,
    /// Write concern of a POST that names none: a number, `majority` or `all`.
    #[arg(
        long,
        env = "REPLOG_DEFAULT_W",
        value_name = "W",
        default_value = "all"
    )]
    pub default_w: WriteConcern,
    /// What makes two POSTs the same message: `message_id` or `content`.
    #[arg(
        long,
        env = "REPLOG_DEDUPLICATE_BY",
        value_name = "RULE",
        value_parser = deduplicate_by,
        default_value = "message_id"
    )]
    pub deduplicate_by: DeduplicateBy,
    /// Refuse appends while fewer than a majority of the members are alive.
    #[arg(long, env = "REPLOG_READ_ONLY_WITHOUT_QUORUM")]
    pub read_only_without_quorum: bool,
    /// How long an empty master waits for the listed members to say what they hold.
    #[arg(long, env = "REPLOG_RECOVERY_TIMEOUT", value_name = "TIME", value_parser = positive_duration, default_value = "3s")]
    pub recovery_timeout: Duration,
    /// Start although another master lives, and overtake it.
    #[arg(long, env = "REPLOG_TAKEOVER")]
    pub takeover: bool,
    /// What every node has.
    #[command(flatten)]
    pub common: CommonArgs,
    /// How it replicates.
    #[command(flatten)]
    pub replication: ReplicationArgs,
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// A master that recovers asks again that often, at least.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// What to do instead of serving.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Ask the master at --http-addr whether it lives: exit code 0 if so.
    Healthcheck,
}

fn deduplicate_by(text: &str) -> Result<DeduplicateBy, String> {
    match text {
        "message_id" => Ok(DeduplicateBy::MessageId),
        "content" => Ok(DeduplicateBy::Content),
        _ => Err("expected message_id or content".to_owned()),
    }
}

impl Settings for Config {
    fn check(&self) -> Result<(), WrongSetting> {
        self.replication.check(&self.common)?;
        let listed = self.secondaries.as_deref().unwrap_or_default();
        if let Some(twice) = listed
            .iter()
            .enumerate()
            .find(|(i, n)| listed[..*i].contains(n))
        {
            return Err(WrongSetting::new(
                "--secondaries",
                twice.1.to_string(),
                "expected each name once".to_owned(),
            ));
        }
        if let (Some(listed), WriteConcern::Count(w)) = (&self.secondaries, self.default_w) {
            let nodes = WriteConcern::All.nodes(listed.len());
            if w > nodes {
                let expected =
                    format!("expected 1 to {nodes}, the listed secondaries and the master");
                return Err(WrongSetting::new("--default-w", w.to_string(), expected));
            }
        }
        replog_nats::Credentials::check_environment()
    }
}

impl Config {
    /// What the leader is started with.
    #[must_use]
    pub fn leader(&self, life: Life) -> LeaderConfig {
        let args = &self.replication;
        LeaderConfig {
            life,
            recovery: Some(RecoverySettings {
                timeout: self.recovery_timeout,
                listen: self.common.heartbeat_interval.min(self.recovery_timeout),
                retry: args.retry_max.min(ASK_EVERY),
                takeover: self.takeover,
            }),
            listed: self.secondaries.clone(),
            deduplicate_by: self.deduplicate_by,
            read_only_without_quorum: self.read_only_without_quorum,
            replication: Replication {
                heartbeat_interval: self.common.heartbeat_interval,
                suspect_after: args.suspect_after,
                unhealthy_after: args.unhealthy_after,
                retry_min: args.retry_min,
                retry_max: args.retry_max,
                batch_bytes: args.batch_bytes,
                window_bytes: args.window_bytes,
                max_waiting: args.max_waiting,
                seed: life.instance.0.as_u64_pair().0,
                ..Replication::default()
            },
        }
    }
}
