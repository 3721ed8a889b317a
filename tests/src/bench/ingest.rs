//! Many messages a request: batches and bulk loads, in turns with a bare axum server that reads the same bodies.

use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use serde::Serialize;
use serde_json::json;

use super::load::Until;
use super::summary::{Line, Sample};
use super::systems::AnySystem;
use super::systems::bare::{self, Bare};
use super::systems::post::Post;
use super::systems::replog::Replog;
use super::{Args, cluster, content};

/// Messages of a batch.
const BATCH: usize = 100;
/// Lines of a bulk load.
const LOAD: usize = 50_000;
/// The longest turn before those that count.
const WARM_UP: Duration = Duration::from_millis(200);

/// One way to bring many messages with one request.
#[derive(Clone, Debug, Serialize)]
pub struct Ingest {
    /// For people.
    pub name: &'static str,
    /// Messages a request.
    pub messages: usize,
    /// How many clients there were at a time.
    pub clients: usize,
    /// This project, every request with `w` = 3: its rate and its costs are of requests.
    pub line: Line,
    /// The bare server.
    pub bare: Line,
}

/// Measures and prints.
///
/// # Errors
/// A process does not start, a request fails.
pub async fn measure(args: &Args) -> Result<Vec<Ingest>> {
    let content = content(args.content_bytes);
    let message = json!({"content": content}).to_string();
    let batch = format!("[{}]", vec![message.as_str(); BATCH].join(","));
    let lines = format!("{message}\n").repeat(LOAD);
    println!();
    println!("Many messages a request, w = 3, entries a second, and processor time of an entry");
    let json = "application/json";
    let ndjson = "application/x-ndjson";
    let ways = [
        ("batches of 100", BATCH, 1, json, batch.clone()),
        ("batches of 100", BATCH, 16, json, batch),
        ("loads of 50,000 lines", LOAD, 1, ndjson, lines.clone()),
        ("loads of 50,000 lines", LOAD, 4, ndjson, lines),
    ];
    let bare = Bare::start(&content).await?;
    let mut all = Vec::new();
    for (name, messages, clients, content_type, body) in ways {
        // A cluster each: a log in memory only grows.
        let cluster = cluster(args, 2).start().await?;
        cluster.wait_healthy(2).await?;
        let post = |addr, path| Post {
            path,
            content_type,
            ..Post::message(addr, Bytes::from(body.clone()))
        };
        let append = post(cluster.master.addr(), "/messages?w=3");
        let replog = Replog::with(&cluster, append, &content);
        let path = match content_type == ndjson {
            true => bare::LINES,
            false => bare::BATCH,
        };
        let (line, bare) = turns(args, clients, &replog, &bare.with(|addr| post(addr, path)))
            .await
            .with_context(|| format!("{name}, {clients} clients"))?;
        let ingest = Ingest {
            name,
            messages,
            clients,
            line,
            bare,
        };
        println!("{}", ingest.describe());
        all.push(ingest);
    }
    Ok(all)
}

async fn turns(args: &Args, clients: usize, replog: &Replog, bare: &Bare) -> Result<(Line, Line)> {
    let turn = Duration::from_secs_f64(args.seconds / f64::from(args.rounds));
    let systems: [&dyn AnySystem; 2] = [replog, bare];
    let mut samples: [Vec<Sample>; 2] = [Vec::new(), Vec::new()];
    for system in systems {
        let warm_up = Until::Elapsed(turn.min(WARM_UP));
        system.turn(clients, warm_up).await?;
    }
    for round in 0..args.rounds as usize {
        for i in [round % 2, (round + 1) % 2] {
            samples[i].push(systems[i].turn(clients, Until::Elapsed(turn)).await?);
        }
    }
    let [replog, bare] = samples;
    let line = Line::of("w3", replog, Some(&bare)).context("turns")?;
    let bare = Line::of("bare", bare, None).context("turns")?;
    Ok((line, bare))
}

impl Ingest {
    fn describe(&self) -> String {
        let entries = |rate: f64| rate * self.messages as f64;
        let rate = self.line.rate;
        let ratio = self.line.ratio.map_or(f64::NAN, |of_bare| of_bare.median);
        let costs = self.line.costs.iter().map(|cost| {
            let us = cost.us.map_or(f64::NAN, |us| us / self.messages as f64);
            format!("{} {us:.2}", cost.process)
        });
        format!(
            "{:>22}, {:>2} clients: {:>9.0} ({:.0}–{:.0}); bare {:.0}, {ratio:.2} of it; us: {}",
            self.name,
            self.clients,
            entries(rate.median),
            entries(rate.min),
            entries(rate.max),
            entries(self.bare.rate.median),
            costs.collect::<Vec<_>>().join(", "),
        )
    }
}
