//! Connections that clients keep open: idle, silent, or without reading what they have asked for.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use replog_tests::harness::hidden::OPEN_FILES;
use replog_tests::harness::{Cluster, RawConnection, Session, eventually};
use serde_json::json;

use crate::support::{SOON, wait_equal, wait_health};
use crate::watch::Watch;

/// Far longer than any of these tests.
const NEVER: &str = "10m";

/// Case A3. All connections that there may be are held by clients that ask for a long list and read nothing of it.
#[tokio::test]
async fn a_client_that_does_not_read_is_cut_and_others_are_served() {
    const CLIENTS: usize = 20;
    // More than the kernel keeps for a connection, on both of its ends.
    let large = "x".repeat(900_000);
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .env("REPLOG_MAX_CONNECTIONS", &CLIENTS.to_string())
        .env("REPLOG_WRITE_TIMEOUT", "1s")
        .run(async |cluster| {
            for _ in 0..20 {
                cluster.post(&large, 1).await?.expect(200)?;
            }
            cluster.post("the last", 1).await?.expect(200)?;
            let mut silent = Vec::new();
            for _ in 0..CLIENTS {
                let mut client = RawConnection::open_narrow(cluster.master.addr()).await?;
                client.get("/messages").await?;
                client.read_until("HTTP/1.1 200").await?;
                silent.push(client);
            }
            let http = cluster.master.http();
            let body = json!({"content": "served", "w": 1});
            let served = eventually("a POST to be served", SOON, async || {
                let short = http.with_deadline(Duration::from_secs(5));
                short.post("/messages", &body).await?.expect(200)
            });
            served.await?;
            // The last ones may have waited for a place until the first were cut, and have begun to read in time.
            let mut cut = 0;
            for mut client in silent {
                cut += usize::from(client.read_until("the last").await.is_err());
            }
            ensure!(cut >= CLIENTS / 2, "only {cut} were cut");
            // Who reads, however slowly, gets everything.
            let mut reader = RawConnection::open_narrow(cluster.master.addr()).await?;
            reader.get("/messages?from=21").await?;
            reader.read_until("the last").await?;
            Ok(())
        })
        .await;
}

/// Case 33: what balancers and clients keep for later is not cut by the time that a request's head may take.
#[tokio::test]
async fn an_idle_connection_is_kept_although_a_slow_head_is_cut() {
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .env("REPLOG_HEADER_TIMEOUT", "1s")
        .run(async |cluster| {
            let addr = cluster.master.addr();
            let mut session = Session::open(addr).await?;
            let body = |content: &str| json!({"content": content, "w": 2});
            session.post("/messages", &body("one")).await?.expect(200)?;
            // A head that never ends shows that the time is up.
            let mut slow = RawConnection::open(addr).await?;
            let began = Instant::now();
            slow.send("GET /messages HTTP/1.1\r\nHost: x\r\nX-Slow: ")
                .await?;
            let answer = slow.read_to_end().await?;
            ensure!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
            ensure!(began.elapsed() >= Duration::from_millis(900));
            // Twice that long, the idle one has said nothing.
            let mut slow = RawConnection::open(addr).await?;
            slow.send("GET /messages HTTP/1.1\r\n").await?;
            slow.read_to_end().await?;
            session.post("/messages", &body("two")).await?.expect(200)?;
            ensure!(wait_equal(cluster).await? == ["one", "two"]);
            Ok(())
        })
        .await;
}

/// Case 33: the setting.
#[tokio::test]
async fn an_idle_connection_is_closed_when_its_time_is_up() {
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .env("REPLOG_HEADER_TIMEOUT", NEVER)
        .env("REPLOG_IDLE_TIMEOUT", "1s")
        .run(async |cluster| {
            for node in cluster.nodes() {
                let mut idle = RawConnection::open(node.addr()).await?;
                idle.get("/livez").await?;
                let answered = Instant::now();
                let answer = idle.read_to_end().await?;
                ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
                let after = answered.elapsed();
                ensure!(after >= Duration::from_millis(900), "after {after:?}");
            }
            Ok(())
        })
        .await;
}

/// Case 20. More connections are open than the master may have files: the link to the broker comes back all the same.
#[tokio::test]
async fn idle_connections_leave_room_for_the_link_to_the_broker() {
    const FILES: usize = 200;
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .env(OPEN_FILES, &FILES.to_string())
        .env("REPLOG_HEADER_TIMEOUT", NEVER)
        .env("REPLOG_IDLE_TIMEOUT", NEVER)
        .run(async |cluster| {
            cluster.post("before", 2).await?.expect(200)?;
            let addr = cluster.master.addr();
            let mut idle = Vec::new();
            for _ in 0..FILES + 50 {
                idle.push(RawConnection::open(addr).await?);
            }
            for _ in 0..2 {
                cluster.broker.restart().await?;
                let mut watch = Watch::of(&cluster.broker).await?;
                let heartbeat = watch.until("heartbeat", |seen| seen.is("heartbeat", "secondary1"));
                heartbeat.await.context("the link did not come back")?;
            }
            drop(idle);
            wait_health(&cluster.master, "broker", "connected").await?;
            cluster.post("after", 2).await?.expect(200)?;
            ensure!(wait_equal(cluster).await? == ["before", "after"]);
            Ok(())
        })
        .await;
}

/// The log's own files are opened while clients hold every connection that there may be: for new segments and their indexes,
/// and for older ones that are read.
#[tokio::test]
async fn idle_connections_leave_room_for_the_files_of_the_log() {
    const FILES: usize = 120;
    const MESSAGES: usize = 40;
    let builder = Cluster::builder().secondaries(1).listed(true).durable(true);
    builder
        .env(OPEN_FILES, &FILES.to_string())
        .env("REPLOG_HEADER_TIMEOUT", NEVER)
        .env("REPLOG_IDLE_TIMEOUT", NEVER)
        .env("REPLOG_CACHE_BYTES", "1B")
        .run(async |cluster| {
            let addr = cluster.master.addr();
            let mut session = Session::open(addr).await?;
            let body = |content: &str, w: u32| json!({"content": content, "w": w});
            session
                .post("/messages", &body("the first", 2))
                .await?
                .expect(200)?;
            let mut reader = RawConnection::open(addr).await?;
            reader.get("/livez").await?;
            reader.read_until("ok").await?;
            let mut idle = Vec::new();
            for _ in 0..FILES + 50 {
                idle.push(RawConnection::open(addr).await?);
            }
            let segments = || -> anyhow::Result<usize> {
                let files = std::fs::read_dir(cluster.dir().join("data-master/log"))?;
                let is_segment =
                    |path: &std::path::Path| path.extension().is_some_and(|e| e == "segment");
                Ok(files
                    .flatten()
                    .filter(|file| is_segment(&file.path()))
                    .count())
            };
            let before = segments()?;
            let large = "x".repeat(500_000);
            for _ in 0..MESSAGES {
                session
                    .post("/messages", &body(&large, 1))
                    .await?
                    .expect(200)?;
            }
            let after = segments()?;
            ensure!(after >= before + 4, "{before} segments, then {after}");
            reader.get("/messages/1").await?;
            reader.read_until("the first").await?;
            drop(idle);
            session
                .post("/messages", &body("the last", 2))
                .await?
                .expect(200)?;
            ensure!(wait_equal(cluster).await?.len() == MESSAGES + 2);
            Ok(())
        })
        .await;
}
