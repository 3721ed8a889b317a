//! Clients that take all that they can get: whoever is connected is served as before, and a new client as soon as those that do
//! nothing are cut.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use replog_service::descriptors;
use replog_tests::harness::hidden::OPEN_FILES;
use replog_tests::harness::{Cluster, HttpClient, RawConnection, Session, eventually};
use serde_json::json;
use tokio::time::timeout;

use crate::metrics::wait_for;
use crate::support::{SOON, wait_equal, wait_health};
use crate::watch::Watch;

/// Far longer than any of these tests.
const NEVER: &str = "10m";
/// Within that time an append is answered, however busy the machine is.
const ANSWERED: Duration = Duration::from_secs(5);
/// So many appends are measured each time.
const APPENDS: usize = 200;
/// So many clients are opened at one time.
const AT_ONE_TIME: usize = 50;

const HALF_OPEN: &str = "POST /messages HTTP/1.1\r\nHost: x\r\nContent-";
const LONG_LIST: &str = "GET /messages HTTP/1.1\r\nHost: x\r\n\r\n";
const FOR_ALL: &str = "{\"content\":\"for all\",\"w\":3}";

/// So many clients that send this and read until that has come, and nothing more.
async fn clients(
    cluster: &Cluster,
    count: usize,
    request: &str,
    until: Option<&str>,
) -> Result<Vec<RawConnection>> {
    let mut all = Vec::with_capacity(count);
    while all.len() < count {
        let some = (0..AT_ONE_TIME.min(count - all.len())).map(async |_| {
            let mut client = RawConnection::open_narrow(cluster.master.addr()).await?;
            client.send(request).await?;
            if let Some(part) = until {
                client.read_until(part).await?;
            }
            anyhow::Ok(client)
        });
        all.extend(try_join_all(some).await?);
    }
    Ok(all)
}

fn blocked_post() -> String {
    let length = FOR_ALL.len();
    format!("POST /messages HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{FOR_ALL}")
}

/// How long appends with `w=1` take, the slowest of a hundred; each of them is answered in time.
struct Measured {
    p99: Duration,
    slowest: Duration,
}

impl Measured {
    fn of(mut took: Vec<Duration>) -> Result<Self> {
        took.sort_unstable();
        let slowest = took[took.len() - 1];
        ensure!(slowest < ANSWERED, "an append took {slowest:?}");
        let p99 = took[took.len() * 99 / 100];
        Ok(Self { p99, slowest })
    }

    /// On a connection that is kept.
    async fn on(session: &mut Session) -> Result<Self> {
        let mut took = Vec::with_capacity(APPENDS);
        for _ in 0..APPENDS {
            let began = Instant::now();
            let body = json!({"content": "alone", "w": 1});
            session.post("/messages", &body).await?.expect(200)?;
            took.push(began.elapsed());
        }
        Self::of(took)
    }

    /// On a connection of its own each.
    async fn on_new_connections(http: &HttpClient) -> Result<Self> {
        let mut took = Vec::with_capacity(APPENDS);
        for _ in 0..APPENDS {
            let began = Instant::now();
            let body = json!({"content": "alone", "w": 1});
            http.post("/messages", &body).await?.expect(200)?;
            took.push(began.elapsed());
        }
        Self::of(took)
    }

    fn say(&self, when: &str) {
        println!(
            "w=1, {when}: p99 {:?}, slowest {:?}",
            self.p99, self.slowest
        );
    }
}

/// Whoever is connected is served although others hold all connections, and the link to the broker comes back; a new client is
/// served once one of the others leaves.
#[tokio::test]
async fn whoever_is_connected_is_served_while_others_hold_all_they_can_get() {
    const HALF_OPEN_CLIENTS: usize = 1_000;
    const DEAF_CLIENTS: usize = 1_000;
    const BLOCKED_WRITES: usize = 5_000;
    const FILES: usize = 7_500;
    let own = descriptors::raise_limit();
    let enough = own.is_none_or(|own| own >= 10_000);
    assert!(
        enough,
        "this test needs 10,000 open files: ulimit -n, {own:?}"
    );
    let builder = Cluster::builder().secondaries(2).absent(2).listed(true);
    builder
        .env(OPEN_FILES, &FILES.to_string())
        .env("REPLOG_HEADER_TIMEOUT", NEVER)
        .env("REPLOG_IDLE_TIMEOUT", NEVER)
        .env("REPLOG_WRITE_TIMEOUT", NEVER)
        .run(async |cluster| {
            let master = &cluster.master;
            cluster.post("the first", 2).await?.expect(200)?;
            // More than the kernel keeps for a connection, on both of its ends.
            let large = "x".repeat(900_000);
            for _ in 0..8 {
                cluster.post(&large, 2).await?.expect(200)?;
            }
            let http = master.http();
            let mut session = Session::open(master.addr()).await?;
            Measured::on(&mut session)
                .await?
                .say("quiet, on a connection that is kept");
            Measured::on_new_connections(&http)
                .await?
                .say("quiet, on new connections");

            let half_open = clients(cluster, HALF_OPEN_CLIENTS, HALF_OPEN, None).await?;
            let deaf = clients(cluster, DEAF_CLIENTS, LONG_LIST, Some("HTTP/1.1 200")).await?;
            let mut blocked = clients(cluster, BLOCKED_WRITES, &blocked_post(), None).await?;
            wait_health(master, "waiting", BLOCKED_WRITES).await?;
            Measured::on(&mut session)
                .await?
                .say("7,000 in the way, on a connection that is kept");
            Measured::on_new_connections(&http)
                .await?
                .say("7,000 in the way, on new connections");

            // All that the descriptors give, and some more that are not accepted any more.
            let rest = FILES - HALF_OPEN_CLIENTS - DEAF_CLIENTS - BLOCKED_WRITES;
            let mut idle = clients(cluster, rest, "", None).await?;
            Measured::on(&mut session)
                .await?
                .say("no connection left, on one that is kept");
            let refused = timeout(Duration::from_millis(300), http.get("/livez")).await;
            ensure!(refused.is_err(), "a new client is served: {refused:?}");

            cluster.broker.restart().await?;
            let mut watch = Watch::of(&cluster.broker).await?;
            let back = watch.until("heartbeat", |seen| seen.is("heartbeat", "secondary1"));
            back.await?;
            let body = json!({"content": "for two", "w": 2});
            session.post("/messages", &body).await?.expect(200)?;

            // Those that were not accepted come first.
            idle.clear();
            drop((half_open, deaf));
            Measured::on_new_connections(&http)
                .await?
                .say("once others have left, on new connections");
            let full = r#"replog_http_limits_reached_total{limit="max_connections"}"#;
            let scraped = http.get("/metrics").await?.expect(200)?.text();
            let full = scraped.lines().find_map(|line| line.strip_prefix(full));
            let times: f64 = full.unwrap_or_default().trim().parse()?;
            ensure!(
                times >= 1.0,
                "the connections were never all taken: {full:?}"
            );

            cluster.start_secondary(2).await?;
            for client in &mut blocked {
                client.read_until(r#""status":"replicated""#).await?;
            }
            let entries = wait_equal(cluster).await?.len();
            ensure!(entries == 10 + 6 * APPENDS + BLOCKED_WRITES, "{entries}");
            Ok(())
        })
        .await;
}

/// A new client is served within the times that others have, although they hold all connections and none of them leaves.
#[tokio::test]
async fn a_new_client_is_served_when_those_that_do_nothing_are_cut() {
    const FILES: usize = 300;
    const EACH: usize = 80;
    let builder = Cluster::builder().secondaries(2).absent(2).listed(true);
    builder
        .env(OPEN_FILES, &FILES.to_string())
        .env("REPLOG_HEADER_TIMEOUT", "1s")
        .env("REPLOG_IDLE_TIMEOUT", "1s")
        .env("REPLOG_WRITE_TIMEOUT", "1s")
        .run(async |cluster| {
            let large = "x".repeat(900_000);
            for _ in 0..20 {
                cluster.post(&large, 2).await?.expect(200)?;
            }
            let http = cluster.master.http();
            Measured::on_new_connections(&http).await?.say("quiet, on new connections");
            // Those who are cut come back again and again, as fast as they can.
            let blocked = clients(cluster, EACH, &blocked_post(), None).await?;
            wait_health(&cluster.master, "waiting", EACH).await?;
            let come_back = async |request: &str| -> Result<()> {
                loop {
                    let mut client = RawConnection::open_narrow(cluster.master.addr()).await?;
                    // What is cut in between is tried again.
                    let _ = client.send(request).await;
                    match request {
                        LONG_LIST => client.reset().await?,
                        _ => drop(client.read_to_end().await?),
                    }
                }
            };
            let others = (0..3 * EACH).map(|n| match n % 3 {
                0 => come_back(HALF_OPEN),
                1 => come_back(LONG_LIST),
                _ => come_back(""),
            });
            let appends = async {
                let limit = r#"replog_http_limits_reached_total{limit="max_connections"}"#;
                eventually("all connections to be taken", SOON, async || {
                    let scraped = http.get("/metrics").await?.expect(200)?.text();
                    let zero = format!("{limit} 0");
                    ensure!(!scraped.lines().any(|line| line == zero), "not yet");
                    Ok(())
                })
                .await?;
                let mut took = Vec::new();
                for _ in 0..5 {
                    let began = Instant::now();
                    let body = json!({"content": "alone", "w": 1});
                    http.post("/messages", &body).await?.expect(200)?;
                    took.push(began.elapsed());
                }
                Measured::of(took)
            };
            tokio::select! {
                biased;
                measured = appends => measured?.say("others come back as fast as they are cut, on new connections"),
                ended = try_join_all(others) => ended.map(drop)?,
            }
            drop(blocked);
            for limit in ["header_timeout", "write_timeout"] {
                let series = format!(r#"replog_http_limits_reached_total{{limit="{limit}"}}"#);
                let scraped = http.get("/metrics").await?.expect(200)?.text();
                ensure!(!scraped.contains(&format!("{series} 0\n")), "{series} is 0");
            }
            wait_for(&cluster.master, &[("replog_waiting_clients", 0.0)]).await
        })
        .await;
}
