//! The secondary's settings.

use std::time::Duration;

use clap::{Parser, Subcommand};
use clap_complete::Shell;
use replog_protocol::ids::NodeId;
use replog_service::healthcheck::HealthcheckArgs;
use replog_service::settings::values::{HttpAddr, duration, rate};
use replog_service::settings::{CommonArgs, Environment, Settings, WrongSetting};

use crate::faults::Faults;

/// A secondary of a replicated log over NATS: holds what the master sends, in order, and lists it.
#[derive(Clone, Debug, Parser)]
#[command(name = "replog-secondary", version = replog_service::RELEASE)]
pub struct Config {
    /// Where HTTP listens.
    #[arg(
        long,
        env = "REPLOG_HTTP_ADDR",
        value_name = "ADDR",
        default_value = "127.0.0.1:8001",
        global = true
    )]
    pub http_addr: HttpAddr,
    /// Its name, one of each in a cluster: 1 to 32 of A-Z a-z 0-9 _ -, not `master` [default: the host's name].
    #[arg(long, env = "REPLOG_NODE_ID", value_name = "NAME")]
    pub node_id: Option<NodeId>,
    /// Wait that long before an entry is applied and acknowledged.
    #[arg(long, env = "REPLOG_DELAY", value_name = "TIME", value_parser = duration, default_value = "0ms", help_heading = "Faults on purpose")]
    pub delay: Duration,
    /// Share of appends, 0 to 1, that are stored and then answered with an error instead of the ACK.
    #[arg(long, env = "REPLOG_ERROR_RATE", value_name = "RATE", value_parser = rate, default_value = "0", help_heading = "Faults on purpose")]
    pub error_rate: f64,
    /// Share of entries, 0 to 1, that are lost before they are stored.
    #[arg(long, env = "REPLOG_DROP_RATE", value_name = "RATE", value_parser = rate, default_value = "0", help_heading = "Faults on purpose")]
    pub drop_rate: f64,
    /// Entries that it may be behind the master and still be ready.
    #[arg(long, env = "REPLOG_READY_LAG", value_name = "N", default_value = "0")]
    pub ready_lag: u64,
    /// What every node has.
    #[command(flatten)]
    pub common: CommonArgs,
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do instead of serving.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Ask the secondary at --http-addr whether it is ready: exit code 0 if so.
    Healthcheck(HealthcheckArgs),
    /// Print what makes a shell complete these flags: source <(replog-secondary completions bash).
    Completions {
        /// Which shell.
        shell: Shell,
    },
}

impl Settings for Config {
    fn check(&self, environment: Environment<'_>) -> Result<(), WrongSetting> {
        self.common.check(environment)?;
        if self.command.is_none() {
            self.common.security.open(&self.http_addr, environment)?;
        }
        if self.node_id.is_none() && host_name().is_none() {
            let expected = "expected a name: the host's own cannot be one".to_owned();
            return Err(WrongSetting::new("--node-id", String::new(), expected));
        }
        Ok(())
    }
}

impl Config {
    /// Its name.
    ///
    /// # Panics
    /// If there is none, which the check of the settings has ruled out.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.node_id
            .clone()
            .or_else(host_name)
            .expect("checked with the settings")
    }

    /// The faults that it begins with.
    #[must_use]
    pub fn faults(&self) -> Faults {
        Faults {
            delay: self.delay,
            error_rate: self.error_rate,
            drop_rate: self.drop_rate,
        }
    }
}

/// The host's name as far as it can be a node's: the part before the first dot, 32 characters at most.
fn host_name() -> Option<NodeId> {
    let system = rustix::system::uname();
    let name = system.nodename().to_str().ok()?;
    let name: String = name.split('.').next()?.chars().take(32).collect();
    name.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use replog_service::settings::{SettingsExit, parse_from};

    use super::*;

    fn config(flags: &[&str]) -> Result<Config, String> {
        let args = ["replog-secondary"].iter().chain(flags).map(OsString::from);
        parse_from(args, &|_| None).map_err(|exit| match exit {
            SettingsExit::Shown(text) | SettingsExit::Wrong(text) => text,
        })
    }

    #[test]
    fn a_name_that_is_none_is_refused() {
        for wrong in ["master", "a.b", "a b", "*", &"x".repeat(33)] {
            let line = config(&["--node-id", wrong]).expect_err(wrong);
            assert!(line.contains("--node-id"), "{line}");
        }
        let config = config(&["--node-id", "s1", "--delay", "1s", "--drop-rate", "0.5"]).unwrap();
        assert_eq!(config.node().as_str(), "s1");
        let faults = Faults {
            delay: Duration::from_secs(1),
            error_rate: 0.0,
            drop_rate: 0.5,
        };
        assert_eq!(config.faults(), faults);
    }

    #[test]
    fn rates_are_from_0_to_1() {
        for wrong in ["1.5", "-0.1", "NaN", "x"] {
            let flag = format!("--error-rate={wrong}");
            assert!(config(&[&flag]).expect_err(wrong).contains("from 0 to 1"));
        }
    }
}
