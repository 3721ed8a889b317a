//! Appends over HTTP, beside the same requests to a bare server.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use serde_json::json;

use super::bare::Bare;
use super::disk::Fsyncs;
use super::load::{self, Seen, Until};
use super::{Args, cluster, content, usage};

/// One line of the table.
struct Line {
    name: String,
    addr: SocketAddr,
    pid: Option<i32>,
    body: Bytes,
    seen: Seen,
    cpu: Option<Duration>,
}

/// Measures and prints the table.
///
/// # Errors
/// A process does not start, a request fails.
pub async fn measure(args: &Args) -> Result<()> {
    let bare = Bare::start().await?;
    let cluster = cluster(args, 2).start().await?;
    cluster.wait_healthy(2).await?;
    println!();
    println!("appends of {} bytes, 2 secondaries", args.content_bytes);
    println!(
        "{:>7} {:>5} {:>9} {:>7} {:>9} {:>9} {:>9} {:>11} {:>7}",
        "clients", "", "/s", "x bare", "p50 us", "p99 us", "p99.9 us", "CPU us each", "x bare"
    );
    let mut fsyncs = args.disk.then(|| Fsyncs::new(cluster.dir())).transpose()?;
    for &clients in &args.clients {
        let mut lines = vec![Line::new(args, "bare", bare.addr, bare.pid(), 1)];
        for &w in &args.w {
            let (addr, pid) = (cluster.master.addr(), cluster.master.pid());
            lines.push(Line::new(args, &format!("w={w}"), addr, pid, w));
        }
        let turn = Duration::from_secs_f64(args.seconds / f64::from(args.rounds));
        for line in &mut lines {
            line.run(clients, turn.min(Duration::from_millis(200)))
                .await?;
            line.forget(); // a warm-up
        }
        for _ in 0..args.rounds {
            for line in &mut lines {
                line.run(clients, turn).await?;
            }
            if let Some(fsyncs) = &mut fsyncs {
                fsyncs.run(turn)?;
            }
        }
        for line in &lines {
            line.print(clients, &lines[0]);
        }
        if let Some(fsyncs) = &mut fsyncs {
            let rate = fsyncs.rate();
            let per = |line: &Line| format!("{} {:.1}", line.name, line.seen.rate() / rate);
            let per: Vec<String> = lines[1..].iter().map(per).collect();
            println!(
                "{clients:>7} fsync {rate:>9.0}  appends per bare fsync: {}",
                per.join(", ")
            );
            fsyncs.forget();
        }
    }
    Ok(())
}

impl Line {
    fn new(args: &Args, name: &str, addr: SocketAddr, pid: Option<i32>, w: u32) -> Self {
        let body = json!({"content": content(args.content_bytes), "w": w});
        Self {
            name: name.to_owned(),
            addr,
            pid,
            body: body.to_string().into(),
            seen: Seen::default(),
            cpu: Some(Duration::ZERO),
        }
    }

    async fn run(&mut self, clients: usize, turn: Duration) -> Result<()> {
        let before = usage::cpu(self.pid);
        let until = Until::Elapsed(turn);
        let seen = load::post(self.addr, self.body.clone(), clients, until).await?;
        let after = usage::cpu(self.pid);
        self.seen.add(&seen);
        let took = after.zip(before).map(|(after, before)| after - before);
        self.cpu = self.cpu.zip(took).map(|(sum, took)| sum + took);
        Ok(())
    }

    fn forget(&mut self) {
        (self.seen, self.cpu) = (Seen::default(), Some(Duration::ZERO));
    }

    fn cpu_us(&self) -> f64 {
        let cpu = self.cpu.map_or(f64::NAN, |cpu| cpu.as_secs_f64() * 1e6);
        cpu / self.seen.times.len() as f64
    }

    fn print(&self, clients: usize, bare: &Self) {
        let at = |quantile| self.seen.times.value_at_quantile(quantile);
        println!(
            "{clients:>7} {:>5} {:>9.0} {:>7.2} {:>9} {:>9} {:>9} {:>11.1} {:>7.2}",
            self.name,
            self.seen.rate(),
            self.seen.rate() / bare.seen.rate(),
            at(0.5),
            at(0.99),
            at(0.999),
            self.cpu_us(),
            self.cpu_us() / bare.cpu_us(),
        );
    }
}
