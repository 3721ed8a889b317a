//! What `demo bench` does: appends over HTTP beside a bare axum server, then the catch-up of a fresh
//! secondary and the memory that an entry costs.
//!
//! | module | what it is |
//! |---|---|
//! | [`appends`] | rounds of load on the bare server and on the master, in turns |
//! | [`catch_up`] | a long log, a fresh secondary, the memory of both |
//! | [`bare`] | the server to compare with |
//! | [`mod@disk`] | with `--disk`: bare syncs in turn, and the time to open a long log again |
//! | [`load`] | the clients |
//! | [`usage`] | what the operating system says about a process |

pub mod appends;
pub mod bare;
pub mod catch_up;
pub mod disk;
pub mod load;
pub mod usage;

use anyhow::Result;

use crate::harness::{Cluster, ClusterBuilder};

/// Appends 100-byte messages over HTTP to a master with two secondaries and a real nats-server, beside a bare axum server
/// with the same body parsing; then lets a fresh secondary catch up.
///
/// Servers and clients share this machine, and perhaps with others: only the ratios mean something elsewhere.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Seconds of load for each line of the table.
    #[arg(long, default_value_t = 5.0, value_parser = positive)]
    pub seconds: f64,
    /// Turns in which each line's time is spent: what else the machine does meets all lines alike.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// HTTP connections that append at the same time, comma separated.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256")]
    pub clients: Vec<usize>,
    /// Write concerns, comma separated, from 1 to 3; none leaves the appends out.
    #[arg(long, value_delimiter = ',', num_args = 0.., default_value = "1,2,3")]
    pub w: Vec<u32>,
    /// Entries for the catch-up; 0 leaves it out.
    #[arg(long, default_value_t = 1_000_000)]
    pub entries: u64,
    /// Bytes of a message's content.
    #[arg(long, default_value_t = 100)]
    pub content_bytes: usize,
    /// The logs are on disk, and bare syncs are measured in turn.
    #[arg(long)]
    pub disk: bool,
    /// A variable for the nodes, NAME=VALUE; may be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    pub env: Vec<(String, String)>,
}

/// Measures, and prints what came out.
///
/// # Errors
/// When a process cannot be started, or ends.
pub async fn measure(args: &Args) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("One machine ({cores} cores) for clients, nodes and broker: only ratios count.");
    if !args.w.is_empty() {
        appends::measure(args).await?;
    }
    if args.entries > 0 {
        catch_up::measure(args).await?;
    }
    Ok(())
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
        .durable(args.disk);
    let own = args.env.iter().map(|(k, v)| (k.as_str(), v.as_str()));
    usual
        .into_iter()
        .chain(own)
        .fold(builder, |builder, (name, value)| builder.env(name, value))
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

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
