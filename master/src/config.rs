//! The master's settings.

use std::time::Duration;

use clap::{Parser, Subcommand};
use clap_complete::Shell;
use replog_protocol::ids::{LogId, MasterId, NodeId};
use replog_protocol::leader::LeaderConfig;
use replog_protocol::leader::dedup::DeduplicateBy;
use replog_protocol::leader::recovery::{RecoverySettings, Requires};
use replog_protocol::leader::settings::Replication;
use replog_protocol::node_url::NodeUrl;
use replog_protocol::write_concern::WriteConcern;
use replog_service::healthcheck::HealthcheckArgs;
use replog_service::program::RestoreArgs;
use replog_service::settings::values::{HttpAddr, recovery_timeout};
use replog_service::settings::{CommonArgs, Environment, ReplicationArgs, Settings, WrongSetting};
use replog_service::token::TokenArgs;

use crate::journal::JournalArgs;
use crate::nats_config::NatsConfigArgs;

/// The master of a replicated log over NATS: takes appends over HTTP, gives them their order, replicates them.
#[derive(Clone, Debug, Parser)]
#[command(name = "replog-master", version = replog_service::RELEASE)]
pub struct Config {
    /// Where HTTP listens.
    #[arg(
        long,
        env = "REPLOG_HTTP_ADDR",
        value_name = "ADDR",
        default_value = "127.0.0.1:8000",
        global = true
    )]
    pub http_addr: HttpAddr,
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
    /// How long an empty master waits for the listed members to say what they hold; from 50ms to 1h.
    #[arg(long, env = "REPLOG_RECOVERY_TIMEOUT", value_name = "TIME", value_parser = recovery_timeout, default_value = "3s")]
    pub recovery_timeout: Duration,
    /// How many of the listed secondaries a master must have heard before it serves, at every start: `any` goes on when
    /// --recovery-timeout is over, `majority` and `all` of them wait as long as it takes.
    #[arg(
        long,
        env = "REPLOG_RECOVERY_REQUIRES",
        value_name = "WHO",
        value_parser = requires,
        default_value = "any"
    )]
    pub recovery_requires: Requires,
    /// Start although another master lives, and overtake it.
    #[arg(long, env = "REPLOG_TAKEOVER")]
    pub takeover: bool,
    /// Where the log is at home.
    #[command(flatten)]
    pub journal: JournalArgs,
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

/// What to do instead of serving.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Ask the master at --http-addr whether it is ready: exit code 0 if so.
    Healthcheck(HealthcheckArgs),
    /// Make a data directory of a backup: the log in it is a history of its own, which replaces that of the backup.
    Restore(RestoreArgs),
    /// Make a token: prints the token, which is shown this once, and the line for the tokens file.
    Token(TokenArgs),
    /// Write users, least permissions, secrets and certificates for a broker, a master, secondaries and an observer.
    NatsConfig(NatsConfigArgs),
    /// Print what makes a shell complete these flags: source <(replog-master completions bash).
    Completions {
        /// Which shell.
        shell: Shell,
    },
}

/// A master that recovers asks again that often, at least.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// With a log on a disk, where all ids are found, so many of the newest ones are in memory.
const REMEMBERED_IDS: usize = 65_536;

fn deduplicate_by(text: &str) -> Result<DeduplicateBy, String> {
    match text {
        "message_id" => Ok(DeduplicateBy::MessageId),
        "content" => Ok(DeduplicateBy::Content),
        _ => Err("expected message_id or content".to_owned()),
    }
}

fn requires(text: &str) -> Result<Requires, String> {
    match text {
        "any" => Ok(Requires::Any),
        "majority" => Ok(Requires::Majority),
        "all" => Ok(Requires::All),
        _ => Err("expected any, majority or all".to_owned()),
    }
}

impl Settings for Config {
    fn check(&self, environment: Environment<'_>) -> Result<(), WrongSetting> {
        if let Some(Command::NatsConfig(args)) = &self.command {
            return args.check();
        }
        self.common.check(environment)?;
        if self.command.is_none() {
            self.common.security.open(&self.http_addr, environment)?;
        }
        self.replication.check()?;
        let has_data_dir = self.common.storage.data_dir.is_some();
        self.journal.check(has_data_dir, self.takeover)?;
        let listed = self.secondaries.as_deref().unwrap_or_default();
        let mut names = listed.iter().enumerate();
        if let Some((_, twice)) = names.find(|(i, name)| listed[..*i].contains(name)) {
            return Err(WrongSetting::new(
                "--secondaries",
                twice.to_string(),
                "expected each name once".to_owned(),
            ));
        }
        if self.secondaries.is_some()
            && let Err(error) = self.default_w.among_listed(listed.len())
        {
            let nodes = error.nodes;
            let expected = format!("expected 1 to {nodes}, the listed secondaries and the master");
            return Err(WrongSetting::new(
                "--default-w",
                error.w.to_string(),
                expected,
            ));
        }
        let word = match self.recovery_requires {
            Requires::Any => return Ok(()),
            Requires::Majority => "majority",
            Requires::All => "all",
        };
        if self.journal.is_shared() {
            return Err(WrongSetting::new(
                "--recovery-requires",
                word.to_owned(),
                "expected any beside --store jetstream: the stream is what must be heard"
                    .to_owned(),
            ));
        }
        match self.secondaries {
            Some(_) => Ok(()),
            None => Err(WrongSetting::new(
                "--recovery-requires",
                word.to_owned(),
                "expected --secondaries beside it: who is to be heard?".to_owned(),
            )),
        }
    }
}

impl Config {
    /// Where the log is, in a few words: for the log lines of a start.
    #[must_use]
    pub fn storage(&self) -> String {
        let own = self.common.storage.description();
        match self.journal.is_shared() {
            true => {
                let stream = self.journal.stream(&self.common.nats.cluster);
                format!("jetstream, stream {stream}, with a copy in {own}")
            }
            false => own,
        }
    }

    /// What the leader is started with: `url` as clients reach it.
    #[must_use]
    pub fn leader(&self, master: MasterId, url: Option<NodeUrl>) -> LeaderConfig {
        let (args, liveness) = (&self.replication, &self.common.liveness);
        LeaderConfig {
            master,
            // Begins if nobody has any history.
            new_log_id: LogId(uuid::Uuid::new_v4()),
            listed: self.secondaries.clone(),
            deduplicate_by: self.deduplicate_by,
            shares_journal: self.journal.is_shared(),
            remember_ids: (self.common.storage.data_dir.as_ref()).map(|_| REMEMBERED_IDS),
            read_only_without_quorum: self.read_only_without_quorum,
            recovery: RecoverySettings {
                timeout: self.recovery_timeout,
                listen: liveness.heartbeat_interval.min(self.recovery_timeout),
                retry: args.retry_max.min(ASK_EVERY),
                takeover: self.takeover,
                requires: self.recovery_requires,
            },
            replication: Replication {
                heartbeat_interval: liveness.heartbeat_interval,
                suspect_after: liveness.suspect_after(),
                unhealthy_after: liveness.unhealthy_after(),
                retry_min: args.retry_min,
                retry_max: args.retry_max,
                shrink_after: liveness.unhealthy_after(),
                batch_bytes: args.batch_bytes,
                window_bytes: args.window_bytes,
                max_waiting: args.max_waiting,
                seed: master.0.as_u64_pair().0,
                ..Replication::default()
            },
            url,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use replog_service::settings::{SettingsExit, parse_from};

    use super::*;

    fn config(flags: &[&str]) -> Result<Config, String> {
        let args = ["replog-master"].iter().chain(flags).map(OsString::from);
        parse_from(args, &|_| None).map_err(|exit| match exit {
            SettingsExit::Shown(text) | SettingsExit::Wrong(text) => text,
        })
    }

    #[test]
    fn settings_that_contradict_are_named() {
        for (flags, named) in [
            (&["--secondaries", "a,b,a"][..], "--secondaries"),
            (
                &["--secondaries", "a,b", "--default-w", "4"],
                "expected 1 to 3",
            ),
            (&["--default-w", "0"], "--default-w"),
            (&["--deduplicate-by", "id"], "message_id or content"),
            (&["--retry-min", "9s"], "--retry-max"),
            (&["--recovery-timeout", "1ms"], "from 50ms to 1h"),
            (&["--recovery-timeout", "2h"], "from 50ms to 1h"),
            (&["--recovery-requires", "two"], "any, majority or all"),
            (&["--recovery-requires", "all"], "expected --secondaries"),
            (&["--store", "disk"], "expected --data-dir beside it"),
            (
                &["--store", "memory", "--data-dir", "d"],
                "expected no --data-dir",
            ),
            (
                &["--store", "jetstream", "--takeover"],
                "takes over by itself",
            ),
            (
                &[
                    "--store",
                    "jetstream",
                    "--secondaries",
                    "a",
                    "--recovery-requires",
                    "all",
                ],
                "the stream is what must be heard",
            ),
            (&["--store", "stream"], "--store"),
            (&["--journal-replicas", "2"], "expected 1, 3 or 5"),
            (&["--journal-stream", "a.b"], "--journal-stream"),
        ] {
            let line = config(flags).expect_err("refused");
            assert!(line.contains(named) && line.lines().count() == 1, "{line}");
        }
    }

    #[test]
    fn the_leader_is_started_as_the_settings_say() {
        let flags = [
            "--secondaries",
            "a,b",
            "--default-w",
            "3",
            "--recovery-timeout",
            "100ms",
        ];
        let config = config(&flags).unwrap();
        let leader = config.leader(MasterId::default(), None);
        assert_eq!(leader.listed.map(|l| l.len()), Some(2));
        assert_eq!(leader.remember_ids, None);
        assert_eq!(leader.recovery.listen, Duration::from_millis(100));
        let settings = leader.replication;
        assert_eq!(settings.suspect_after, settings.heartbeat_interval * 3);
    }
}
