//! Which systems there are, and how those that were asked for are started.

use std::ffi::OsStr;

use anyhow::{Result, ensure};
use clap::ValueEnum;
use serde::Serialize;

use super::AnySystem;
use super::bare::Bare;
use super::etcd::Etcd;
use super::fan_out::FanOut;
use super::jetstream::{JetStream, Sync};
use super::redis::Redis;
use super::replog::Replog;
use crate::bench::{Args, cluster, content, sharing_cluster};
use crate::harness::{Cluster, HaCluster};

/// What can be put under load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A bare axum server: what the others are compared with.
    Bare,
    /// This project with `w` = 1: the master has the entry.
    W1,
    /// This project with `w` = 2: the master and one secondary have the entry.
    W2,
    /// This project with `w` = 3: all three nodes have the entry.
    W3,
    /// This project with `w` = 1 and its journal in a stream of JetStream with three replicas. On disk, and only if asked for.
    W1Stream,
    /// The same with `w` = 3: the stream and both secondaries have the entry.
    W3Stream,
    /// Redis with two replicas: XADD and WAIT 2. In memory.
    Redis,
    /// A message over NATS to two subscribers, and their ACKs. In memory.
    FanOut,
    /// Three nodes of etcd. On disk.
    Etcd,
    /// A stream of JetStream with three replicas, synced every two minutes, as JetStream comes. On disk.
    Jetstream,
    /// The same stream, synced before it answers. On disk, and only if asked for.
    JetstreamSync,
}

impl Kind {
    /// What is measured if nothing is asked for.
    #[must_use]
    pub fn usual(disk: bool) -> Vec<Self> {
        let only = Self::value_variants().iter().copied();
        let is_usual = |kind: &Self| *kind != Self::JetstreamSync && kind.w_in_stream().is_none();
        only.filter(|kind| kind.fits(disk) && is_usual(kind))
            .collect()
    }

    /// What is measured for a journal in JetStream: beside the disk journal, and a publish to such a stream.
    #[must_use]
    pub fn of_streams() -> Vec<Self> {
        vec![
            Self::Bare,
            Self::W1,
            Self::W3,
            Self::W1Stream,
            Self::W3Stream,
            Self::Jetstream,
        ]
    }

    /// Whether it can be compared with logs on disk, or with logs in memory.
    #[must_use]
    pub fn fits(self, disk: bool) -> bool {
        match self {
            Self::Bare | Self::W1 | Self::W2 | Self::W3 => true,
            Self::Redis | Self::FanOut => !disk,
            Self::W1Stream
            | Self::W3Stream
            | Self::Etcd
            | Self::Jetstream
            | Self::JetstreamSync => disk,
        }
    }

    /// As it is called in the table, the picture, and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::W1 => "w1",
            Self::W2 => "w2",
            Self::W3 => "w3",
            Self::W1Stream => "w1-stream",
            Self::W3Stream => "w3-stream",
            Self::Redis => "redis",
            Self::FanOut => "fan-out",
            Self::Etcd => "etcd",
            Self::Jetstream => "jetstream",
            Self::JetstreamSync => "jetstream-sync",
        }
    }

    /// How many nodes must have an entry, for this project.
    #[must_use]
    pub fn w(self) -> Option<u32> {
        match self {
            Self::W1 => Some(1),
            Self::W2 => Some(2),
            Self::W3 => Some(3),
            _ => None,
        }
    }

    /// The same, where the journal is in a stream.
    #[must_use]
    pub fn w_in_stream(self) -> Option<u32> {
        match self {
            Self::W1Stream => Some(1),
            Self::W3Stream => Some(3),
            _ => None,
        }
    }

    /// Whether it is somebody else's: whatever is wrong with it, the others are measured.
    #[must_use]
    pub fn is_peer(self) -> bool {
        self != Self::Bare && self.w().is_none() && self.w_in_stream().is_none()
    }
}

/// A system that is not measured.
#[derive(Clone, Debug, Serialize)]
pub struct LeftOut {
    /// Which one.
    pub system: Kind,
    /// The reason, for people.
    pub why: String,
}

/// Everything that runs. Dropping it ends it.
pub struct Started {
    /// In the order that was asked for.
    pub systems: Vec<(Kind, Box<dyn AnySystem>)>,
    /// Those that could not be started.
    pub left_out: Vec<LeftOut>,
    /// Of `w1` to `w3`.
    _cluster: Option<Cluster>,
    /// Of `w1-stream` and `w3-stream`.
    _sharing: Option<HaCluster>,
}

/// Starts the systems; `path` is where programs are looked for, written like the variable `PATH`.
///
/// # Errors
/// One of them cannot be measured in memory, or on disk, whatever was asked for; or one that is no peer does not start.
pub async fn start(args: &Args, kinds: &[Kind], path: &OsStr) -> Result<Started> {
    for kind in kinds {
        ensure!(
            kind.fits(args.disk()),
            "{} is measured {}: {} --disk",
            kind.name(),
            if args.disk() { "in memory" } else { "on disk" },
            if args.disk() { "leave out" } else { "add" },
        );
    }
    let content = content(args.content_bytes);
    let product = if kinds.iter().any(|kind| kind.w().is_some()) {
        let cluster = cluster(args, 2).start().await?;
        cluster.wait_healthy(2).await?;
        Some(cluster)
    } else {
        None
    };
    let sharing = if kinds.iter().any(|kind| kind.w_in_stream().is_some()) {
        Some(Box::pin(sharing_cluster(args)).await?)
    } else {
        None
    };
    let (mut systems, mut left_out) = (Vec::new(), Vec::new());
    for &kind in kinds {
        if let (Some(w), Some(cluster)) = (kind.w_in_stream(), &sharing) {
            let system = Box::new(Replog::sharing(cluster, w, &content));
            systems.push((kind, system as Box<dyn AnySystem>));
            continue;
        }
        let started = one(kind, product.as_ref(), path, &content).await;
        match started {
            Ok(system) => systems.push((kind, system)),
            Err(error) if kind.is_peer() => left_out.push(LeftOut {
                system: kind,
                why: format!("{error:#}"),
            }),
            Err(error) => return Err(error),
        }
    }
    Ok(Started {
        systems,
        left_out,
        _cluster: product,
        _sharing: sharing,
    })
}

async fn one(
    kind: Kind,
    product: Option<&Cluster>,
    path: &OsStr,
    content: &str,
) -> Result<Box<dyn AnySystem>> {
    if let (Some(w), Some(cluster)) = (kind.w(), product) {
        return Ok(Box::new(Replog::new(cluster, w, content)));
    }
    Ok(match kind {
        Kind::Redis => Box::new(Redis::start(path, content).await?),
        Kind::FanOut => Box::new(Box::pin(FanOut::start(content)).await?),
        Kind::Etcd => Box::new(Etcd::start(path, content).await?),
        Kind::Jetstream => Box::new(Box::pin(JetStream::start(Sync::AsItComes, content)).await?),
        Kind::JetstreamSync => Box::new(Box::pin(JetStream::start(Sync::Always, content)).await?),
        Kind::Bare | Kind::W1 | Kind::W2 | Kind::W3 | Kind::W1Stream | Kind::W3Stream => {
            Box::new(Bare::start(content).await?)
        }
    })
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use clap::Parser;

    use super::{Kind, start};
    use crate::bench::Args;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn args(line: &str) -> Args {
        Cli::parse_from(line.split_whitespace()).args
    }

    #[tokio::test]
    async fn a_missing_program_is_left_out_and_named() -> anyhow::Result<()> {
        let nowhere = tempfile::tempdir()?;
        let nowhere = nowhere.path().as_os_str();
        for (line, kind, program) in [
            ("bench", Kind::Redis, "redis-server"),
            ("bench --disk", Kind::Etcd, "etcd"),
        ] {
            let started = start(&args(line), &[kind], nowhere).await?;
            assert!(started.systems.is_empty());
            let [left_out] = started.left_out.as_slice() else {
                panic!("one is left out");
            };
            assert_eq!(left_out.system, kind);
            assert_eq!(left_out.why, format!("no {program} on the PATH"));
        }
        Ok(())
    }

    #[tokio::test]
    async fn what_does_not_fit_is_refused_with_what_to_do() {
        let refused = start(&args("bench"), &[Kind::Etcd], OsStr::new("")).await;
        let Err(error) = refused else {
            panic!("etcd in memory");
        };
        assert_eq!(error.to_string(), "etcd is measured on disk: add --disk");
    }

    #[test]
    fn systems_are_chosen_by_name() {
        let chosen = args("bench --systems w3,bare,fan-out").systems;
        assert_eq!(chosen, Some(vec![Kind::W3, Kind::Bare, Kind::FanOut]));
        assert_eq!(args("bench").systems, None);
        assert_eq!(args("bench --systems").systems, Some(vec![]));
        use Kind::{Bare, Etcd, FanOut, Jetstream, Redis, W1, W2, W3};
        assert_eq!(Kind::usual(false), [Bare, W1, W2, W3, Redis, FanOut]);
        assert_eq!(Kind::usual(true), [Bare, W1, W2, W3, Etcd, Jetstream]);
        let streams = args("bench --store jetstream");
        assert_eq!(streams.kinds(), Kind::of_streams());
        assert!(streams.disk());
    }
}
