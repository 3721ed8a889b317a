//! The secondary's settings.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Parser, Subcommand};
use replog_common::service::settings::values::{duration, rate, socket_addr};
use replog_common::service::settings::{CommonArgs, Settings, WrongSetting};
use replog_common::types::NodeId;

use crate::faults::Faults;

/// A secondary of a replicated log over NATS: holds what the master sends, in order, and lists it.
#[derive(Clone, Debug, Parser)]
#[command(name = "replog-secondary", version)]
pub struct Config {
    /// Where HTTP listens.
    #[arg(long, env = "REPLOG_HTTP_ADDR", value_name = "ADDR", value_parser = socket_addr, default_value = "127.0.0.1:8001", global = true)]
    pub http_addr: SocketAddr,
    /// Its name, one of each in a cluster: 1 to 32 of A-Z a-z 0-9 _ - [default: the host's name].
    #[arg(long, env = "REPLOG_NODE_ID", value_name = "NAME")]
    pub node_id: Option<NodeId>,
    /// Wait that long before an entry is applied and acknowledged.
    #[arg(long, env = "REPLOG_DELAY", value_name = "TIME", value_parser = duration, default_value = "0ms")]
    pub delay: Duration,
    /// Share of appends, 0 to 1, that are stored and then answered with an error instead of the ACK.
    #[arg(long, env = "REPLOG_ERROR_RATE", value_name = "RATE", value_parser = rate, default_value = "0")]
    pub error_rate: f64,
    /// Share of entries, 0 to 1, that are lost before they are stored.
    #[arg(long, env = "REPLOG_DROP_RATE", value_name = "RATE", value_parser = rate, default_value = "0")]
    pub drop_rate: f64,
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
    /// Ask the secondary at --http-addr whether it lives: exit code 0 if so.
    Healthcheck,
}

impl Settings for Config {
    fn check(&self) -> Result<(), WrongSetting> {
        if self.node_id.is_none() && host_name().is_none() {
            let expected =
                "expected a name: the host's own has none of the characters A-Z a-z 0-9 _ -"
                    .to_owned();
            return Err(WrongSetting::new("--node-id", String::new(), expected));
        }
        replog_nats::Credentials::check_environment()
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

    /// The faults it begins with.
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
    name.split('.')
        .next()?
        .chars()
        .take(32)
        .collect::<String>()
        .parse()
        .ok()
}
