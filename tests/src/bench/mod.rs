//! What `demo bench` does: appends beside a bare axum server and beside other systems with three nodes, then many messages a
//! request, followers, the list, the catch-up of a fresh secondary and the memory that an entry costs.
//!
//! | module | what it is |
//! |---|---|
//! | [`systems`] | what is put under load: this project, the bare server, Redis, etcd, JetStream, bare NATS |
//! | [`load`] | the clients: one loop for all systems |
//! | [`rounds`] | load on all of them in turns |
//! | [`summary`] | medians, ranges and ratios of the turns |
//! | [`table`], [`plot`], [`report`] | the same for people, as a picture, for machines |
//! | [`ingest`] | many messages a request: batches and bulk loads |
//! | [`followers`] | streams that follow the log while others append |
//! | [`list`] | how fast the master hands out its log |
//! | [`catch_up`] | a long log, a fresh secondary, the memory of both |
//! | [`mod@disk`] | with `--disk`: bare syncs in turn, and the time to open a long log again |
//! | [`scale`], [`constants`] | `demo scale`: clusters past one machine, simulated with what things cost on this one |
//! | [`usage`], [`machine`] | what the operating system says about a process, and about everything else that runs |
//! | [`program`], [`child`] | the processes of others, and this program in other roles |

pub mod catch_up;
pub mod child;
pub mod constants;
pub mod disk;
pub mod followers;
pub mod ingest;
pub mod list;
pub mod load;
pub mod machine;
pub mod plot;
pub mod program;
pub mod report;
pub mod rounds;
pub mod scale;
pub mod summary;
pub mod systems;
pub mod table;
pub mod usage;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use serde::Serialize;

use self::report::{Output, Report};
use self::systems::start::Kind;
use crate::harness::ha_cluster::STREAM;
use crate::harness::{Cluster, ClusterBuilder, HaCluster};

/// Clients that fill a log.
const FILLERS: usize = 256;

/// Appends 100-byte messages over HTTP to a master with two secondaries and a real nats-server, in turns with a bare axum
/// server with the same body parsing and with other systems of three nodes; then lists the log, and lets a fresh secondary
/// catch up.
///
/// Servers and clients share this machine, and perhaps with others: only the ratios mean something elsewhere. A system whose
/// program (redis-server, etcd) is not on the PATH is left out.
#[derive(Clone, Debug, Serialize, clap::Args)]
pub struct Args {
    /// Seconds of load for each line of the table.
    #[arg(long, default_value_t = 5.0, value_parser = positive)]
    pub seconds: f64,
    /// Turns in which each line's time is spent: what else the machine does meets all lines alike.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// Clients that append at the same time, comma separated.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256", value_parser = clients)]
    pub clients: Vec<usize>,
    /// Systems, comma separated; none leaves the appends out. By default all that fit, but jetstream-sync.
    #[arg(long, value_delimiter = ',', num_args = 0.., value_enum)]
    pub systems: Option<Vec<Kind>>,
    /// Leave out batches and bulk loads.
    #[arg(long)]
    pub no_ingest: bool,
    /// Streams that follow the log while others append; 0 leaves that out.
    #[arg(long, default_value_t = 1000)]
    pub followers: usize,
    /// Entries for the list; 0 leaves it out.
    #[arg(long, default_value_t = 100_000)]
    pub list_entries: u64,
    /// Entries for the catch-up; 0 leaves it out.
    #[arg(long, default_value_t = 1_000_000)]
    pub entries: u64,
    /// Bytes of a message's content.
    #[arg(long, default_value_t = 100)]
    pub content_bytes: usize,
    /// The logs are on disk, and bare syncs are measured in turn.
    #[arg(long)]
    pub disk: bool,
    /// Measure that journal beside the one on disk: `jetstream`, which a publish to such a stream is put beside as well.
    #[arg(long, value_name = "JOURNAL", value_parser = ["jetstream"])]
    pub store: Option<String>,
    /// A variable for the nodes, NAME=VALUE; may be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    pub env: Vec<(String, String)>,
    /// Write everything for machines, as JSON, to that file.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Draw appends a second over clients, as SVG, in that file.
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
}

impl Args {
    /// Whether the logs are on disk.
    fn disk(&self) -> bool {
        self.disk || self.store.is_some()
    }

    /// The systems that are measured, each once, the first one first.
    fn kinds(&self) -> Vec<Kind> {
        let Some(asked_for) = &self.systems else {
            return match &self.store {
                Some(_) => Kind::of_streams(),
                None => Kind::usual(self.disk),
            };
        };
        let mut kinds = Vec::new();
        for &kind in asked_for {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        kinds
    }
}

/// Measures, and prints what came out.
///
/// # Errors
/// When a process cannot be started, or ends; when a file cannot be written.
pub async fn measure(args: &Args) -> Result<()> {
    let kinds = args.kinds();
    ensure!(
        args.plot.is_none() || !kinds.is_empty(),
        "--plot draws appends: --systems must name one"
    );
    // Refused before the measuring, not after it.
    let json = args.json.as_deref().map(Output::create).transpose()?;
    let plot = args.plot.as_deref().map(Output::create).transpose()?;
    let mut report = Report::new(args);
    println!(
        "One machine ({} cores) for clients, nodes and broker: only ratios count.",
        report.cores
    );
    if !kinds.is_empty() {
        report.appends = Some(Box::pin(rounds::measure(args, &kinds)).await?);
    }
    if let (Some(plot), Some(appends)) = (plot, &report.appends) {
        plot.write(&plot::draw(&appends.blocks, &plot::title(args))?)?;
    }
    if !args.no_ingest {
        report.ingest = Some(Box::pin(ingest::measure(args)).await?);
    }
    if args.followers > 0 {
        report.followers = Some(Box::pin(followers::measure(args)).await?);
    }
    if args.list_entries > 0 {
        report.list = Some(list::measure(args).await?);
    }
    if args.entries > 0 {
        report.catch_up = Some(catch_up::measure(args).await?);
    }
    json.map_or(Ok(()), |json| json.write(&report.to_json()?))
}

/// A cluster with the settings that users have, not the hurried ones of the tests.
fn cluster(args: &Args, secondaries: usize) -> ClusterBuilder {
    let usual = [
        ("REPLOG_HEARTBEAT_INTERVAL", "500ms"),
        ("REPLOG_SUSPECT_AFTER", "1500ms"),
        ("REPLOG_UNHEALTHY_AFTER", "5s"),
        ("REPLOG_RETRY_MIN", "50ms"),
        ("REPLOG_RETRY_MAX", "5s"),
    ];
    let builder = Cluster::builder()
        .secondaries(secondaries)
        .listed(true)
        .durable(args.disk());
    let own = args.env.iter().map(|(k, v)| (k.as_str(), v.as_str()));
    usual
        .into_iter()
        .chain(own)
        .fold(builder, |builder, (name, value)| builder.env(name, value))
}

/// A master whose journal is in a stream that three brokers keep, with a copy on disk, and two secondaries on disk.
async fn sharing_cluster(args: &Args) -> Result<HaCluster> {
    let usual = [
        ("REPLOG_SUSPECT_AFTER", "1500ms"),
        ("REPLOG_UNHEALTHY_AFTER", "5s"),
        ("REPLOG_RETRY_MIN", "50ms"),
        ("REPLOG_RETRY_MAX", "5s"),
    ];
    let own = args.env.iter().map(|(k, v)| (k.as_str(), v.as_str()));
    let builder = HaCluster::builder()
        .brokers(3)
        .masters(1)
        .secondaries(2)
        .durable(true);
    let all = usual.into_iter().chain(own);
    let cluster = all.fold(builder, |builder, (name, value)| builder.env(name, value));
    let cluster = cluster.start().await?;
    cluster.active().await?;
    cluster.brokers.wait_current(STREAM).await?;
    Ok(cluster)
}

/// A content of so many bytes.
fn content(bytes: usize) -> String {
    let words = "the quick brown fox jumps over the lazy dog ";
    words.chars().cycle().take(bytes).collect()
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if seconds > 0.0 && seconds < 1e6 => Ok(seconds),
        _ => Err("expected a number above 0".to_owned()),
    }
}

fn clients(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(clients @ 1..=10_000) => Ok(clients),
        _ => Err("expected a number from 1 to 10000".to_owned()),
    }
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
