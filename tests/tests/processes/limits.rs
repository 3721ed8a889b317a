//! What one client, or all of them together, may take: each limit has a setting, an answer and a count in `/metrics`.

use anyhow::{Context, Result, ensure};
use replog_tests::harness::{Cluster, Node, RawConnection, Session, eventually};
use serde_json::json;

use crate::metrics::wait_for;
use crate::support::{SOON, refused, wait_health};

/// Waits until the limit with that name was reached so often.
async fn reached(node: &Node, limit: &str, times: f64) -> Result<()> {
    let series = format!(r#"replog_http_limits_reached_total{{limit="{limit}"}}"#);
    wait_for(node, &[(&series, times)]).await
}

/// Sends that, and reads until the server ends the connection.
async fn answer_to(node: &Node, request: &str) -> Result<String> {
    let mut client = RawConnection::open(node.addr()).await?;
    client.send(request).await?;
    client.read_to_end().await
}

fn is_problem(answer: &str, status: &str, reason: &str) -> Result<()> {
    let is_it = answer.starts_with(&format!("HTTP/1.1 {status} "))
        && answer.contains("content-type: application/problem+json\r\n")
        && answer.contains(&format!(r#""reason":"{reason}""#));
    ensure!(is_it, "no {status} {reason}: {answer}");
    Ok(())
}

#[tokio::test]
async fn a_request_is_bounded_in_size_and_time_and_its_answer_in_time() {
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .env("REPLOG_MAX_HEADER_BYTES", "1KiB")
        .env("REPLOG_HEADER_TIMEOUT", "700ms")
        .env("REPLOG_MAX_BODY_BYTES", "1KiB")
        .env("REPLOG_BODY_TIMEOUT", "400ms")
        .env("REPLOG_WRITE_TIMEOUT", "700ms")
        .env("REPLOG_IDLE_TIMEOUT", "700ms")
        .run(async |cluster| {
            for node in cluster.nodes() {
                let long = "x".repeat(2_000);
                let long = format!("GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: {long}\r\n\r\n");
                let answer = answer_to(node, &long).await?;
                ensure!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
                reached(node, "max_header_bytes", 1.0).await?;
                let lines = "X: y\r\n".repeat(101);
                let many = format!("GET /livez HTTP/1.1\r\n{lines}\r\n");
                let answer = answer_to(node, &many).await?;
                ensure!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
                reached(node, "max_header_bytes", 2.0).await?;

                let half = answer_to(node, "GET /livez HTTP/1.1\r\nHo").await?;
                is_problem(&half, "408", "request_timeout")?;
                let mut second = RawConnection::open(node.addr()).await?;
                second.get("/livez").await?;
                second.read_until("ok").await?;
                second.send("GET /livez HTTP/1.1\r\n").await?;
                let half = second.read_to_end().await?;
                ensure!(half.contains("HTTP/1.1 408 "), "{half}");
                let silent = answer_to(node, "").await?;
                ensure!(silent.is_empty(), "{silent}");
                reached(node, "header_timeout", 3.0).await?;

                // A secondary reads no body: nothing is appended there.
                if node.name() == "master" {
                    let post = |body: &str| {
                        let head =
                            "POST /messages HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked";
                        format!("{head}\r\n\r\n{body}\r\n")
                    };
                    let large = post(&format!("800\r\n{}", "x".repeat(0x800)));
                    is_problem(&answer_to(node, &large).await?, "413", "too_large")?;
                    reached(node, "max_body_bytes", 1.0).await?;
                    let slow = answer_to(node, &post("1\r\nx")).await?;
                    is_problem(&slow, "408", "request_timeout")?;
                    reached(node, "body_timeout", 1.0).await?;
                }

                // More than the kernel keeps for one connection.
                let mut deaf = RawConnection::open_narrow(node.addr()).await?;
                let ask = "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n";
                deaf.send(&ask.repeat(500)).await?;
                deaf.read_until("HTTP/1.1 200").await?;
                reached(node, "write_timeout", 1.0).await?;

                let idle = answer_to(node, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await?;
                ensure!(idle.starts_with("HTTP/1.1 200 "), "{idle}");
                reached(node, "idle_timeout", 1.0).await?;
            }
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn so_many_streams_waiting_clients_and_connections_and_no_more() {
    let builder = Cluster::builder().secondaries(1).absent(1).listed(true);
    builder
        .master_args(["--max-streams", "1", "--max-waiting", "1"])
        .run(async |cluster| {
            let master = &cluster.master;
            wait_health(master, "status", "ok").await?;
            for path in ["/messages/stream", "/health/stream"] {
                let mut stream = RawConnection::open(master.addr()).await?;
                stream.get("/health/stream").await?;
                stream.read_until("event: health").await?;
                let more = refused(master.http().get(path).await?, 503)?;
                ensure!(more["reason"] == "too_many_streams", "{more}");
                drop(stream);
                wait_for(master, &[("replog_http_streams", 0.0)]).await?;
            }
            reached(master, "max_streams", 2.0).await?;

            let _waits = cluster.post_pending("waits", 2);
            wait_health(master, "waiting", 1).await?;
            let more = refused(cluster.post("no room", 2).await?, 503)?;
            ensure!(more["reason"] == "too_many_waiting", "{more}");
            let more = master.http().get("/messages/1?w=2&wait=1s").await?;
            ensure!(refused(more, 503)?["reason"] == "too_many_waiting");
            cluster.post("needs none", 1).await?.expect(200)?;
            reached(master, "max_waiting", 2.0).await
        })
        .await;
}

/// Whoever waits, for whatever, holds a connection: never all of them.
#[tokio::test]
async fn those_who_wait_leave_a_connection_to_those_who_do_not() {
    const CONNECTIONS: usize = 10;
    let builder = Cluster::builder().secondaries(1).absent(1).listed(true);
    builder
        .env("REPLOG_MAX_CONNECTIONS", &CONNECTIONS.to_string())
        .run(async |cluster| {
            let master = &cluster.master;
            wait_health(master, "status", "ok").await?;
            cluster.post("the first", 1).await?.expect(200)?;
            // Those who wait come first: a session that is kept would be the one that is left.
            let mut waiting = Vec::new();
            let requests = [
                "GET /messages?from=1000&wait=5m HTTP/1.1\r\nHost: x\r\n\r\n",
                "GET /messages?min_seq=1000&wait=5m HTTP/1.1\r\nHost: x\r\n\r\n",
                "GET /messages/1?w=2&wait=1h HTTP/1.1\r\nHost: x\r\n\r\n",
                "GET /messages/stream HTTP/1.1\r\nHost: x\r\n\r\n",
                "POST /messages?w=2 HTTP/1.1\r\nHost: x\r\nContent-Length: 15\r\n\r\n{\"content\":\"p\"}",
                "POST /messages?w=1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n\
                 Transfer-Encoding: chunked\r\n\r\n1\r\n\n\r\n",
            ];
            for n in 0..CONNECTIONS - 1 {
                let mut client = RawConnection::open(master.addr()).await?;
                client.send(requests[n % requests.len()]).await?;
                waiting.push(client);
            }
            let mut last = Session::open(master.addr()).await?;
            let ask = |content: &str, w: u32| json!({"content": content, "w": w});
            // The ninth place may be taken a moment later than the request was sent.
            let full = eventually("a full room", SOON, async || {
                let body = json!({"content": "no place", "w": 2, "timeout_ms": 0});
                refused(last.post("/messages", &body).await?, 503)
            });
            let full = full.await?;
            ensure!(full["reason"] == "too_many_waiting", "{full}");
            for n in 0..20 {
                last.post("/messages", &ask(&n.to_string(), 1)).await?.expect(200)?;
            }
            // All connections are taken now: one more waits until somebody leaves.
            let mut late = RawConnection::open(master.addr()).await?;
            late.get("/livez").await?;
            drop(waiting.pop());
            late.read_until("ok").await?;
            drop(late);
            reached(master, "waiting_connections", 1.0).await?;
            let series = r#"replog_appends_total{outcome="refused_too_many_waiting"}"#;
            wait_for(master, &[(series, 1.0)]).await?;
            drop(waiting);
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn an_address_has_so_many_connections_and_no_more() {
    let builder = Cluster::builder().secondaries(1);
    builder
        .env("REPLOG_MAX_CONNECTIONS_PER_ADDRESS", "3")
        .run(async |cluster| {
            for node in cluster.nodes() {
                let mut held = Vec::new();
                for _ in 0..3 {
                    let mut client = RawConnection::open(node.addr()).await?;
                    client.get("/livez").await?;
                    client.read_until("ok").await?;
                    held.push(client);
                }
                let more = refused(node.http().get("/livez").await?, 429)?;
                ensure!(more["reason"] == "too_many_connections", "{more}");
                // On one of the three: whoever else asked would be refused, and counted, too.
                let scrape = held.first_mut().context("a connection")?;
                scrape.get("/metrics").await?;
                scrape
                    .read_until("{limit=\"max_connections_per_address\"} 1\n")
                    .await?;
            }
            Ok(())
        })
        .await;
}
