use std::ffi::OsString;
use std::time::Duration;

use clap::Parser;

use super::*;

mod reading;
mod refusals;
mod values;

/// A program.
#[derive(Parser, Debug)]
#[command(name = "sample", version = "1.2.3")]
struct Sample {
    #[command(subcommand)]
    command: Option<Sub>,
    /// Wait that long.
    #[arg(long, env = "SAMPLE_DELAY", value_parser = super::values::duration, default_value = "0ms")]
    delay: Duration,
    /// Who to expect.
    #[arg(long, env = "SAMPLE_NAMES", value_delimiter = ',')]
    names: Vec<String>,
    /// Overtake.
    #[arg(long, env = "REPLOG_TAKEOVER")]
    takeover: bool,
    /// Its name.
    #[arg(long, env = "REPLOG_NODE_ID")]
    node_id: Option<replog_protocol::ids::NodeId>,
    #[command(flatten)]
    common: CommonArgs,
    #[command(flatten)]
    replication: ReplicationArgs,
}

#[derive(clap::Subcommand, Debug, PartialEq)]
enum Sub {
    Healthcheck,
}

impl Settings for Sample {
    fn check(&self, environment: Environment<'_>) -> Result<(), WrongSetting> {
        self.common.check(environment)?;
        self.replication.check()
    }
}

fn run(args: &[&str], variables: &[(&str, &str)]) -> Result<Sample, SettingsExit> {
    let args = std::iter::once("sample").chain(args.iter().copied());
    parse_from(args.map(OsString::from), &|name| {
        let found = variables.iter().find(|(known, _)| name == *known);
        found.map(|(_, value)| OsString::from(value))
    })
}

fn settings(args: &[&str], variables: &[(&str, &str)]) -> Sample {
    run(args, variables).expect("these settings are right")
}

fn refusal(args: &[&str], variables: &[(&str, &str)]) -> String {
    match run(args, variables) {
        Err(SettingsExit::Wrong(line)) => {
            assert_eq!(line.lines().count(), 1, "{line}");
            line
        }
        other => panic!("{args:?} {variables:?}: {other:?}"),
    }
}
