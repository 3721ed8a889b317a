//! Long lists: page by page, as lines, packed, and not at all for a client that has them.

use std::io::Read as _;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use flate2::read::GzDecoder;
use hyper::Method;
use replog_tests::bench::usage::memory_bytes;
use replog_tests::harness::{Answer, Cluster, Node, RawConnection, Session};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{ALLOW_CLEAR, AT_ONCE, ends_within, health, refused, wait_read, wait_same};

async fn get(node: &Node, path: &str, headers: &[(&str, &str)]) -> Result<Answer> {
    let http = node.http();
    http.request(Method::GET, path, headers, Bytes::new()).await
}

/// Where the next page is.
fn next(answer: &Answer) -> Option<String> {
    let link = answer.header("link")?;
    let path = link.strip_prefix('<')?.strip_suffix(r#">; rel="next""#)?;
    Some(path.to_owned())
}

fn seqs(list: &Value) -> Result<Vec<u64>> {
    let messages = list["messages"].as_array().context("messages")?;
    let seq = |one: &Value| one["seq"].as_u64().context("seq");
    messages.iter().map(seq).collect()
}

/// Posts so many messages that lists come in pieces: about 30 MB.
async fn fill(cluster: &Cluster) -> Result<u64> {
    let mut session = Session::open(cluster.master.addr()).await?;
    let content = "0123456789".repeat(10_000);
    for _ in 0..300 {
        let body = json!({"content": content, "w": 1});
        session.post("/messages", &body).await?.expect(200)?;
    }
    Ok(300)
}

#[tokio::test]
async fn a_walk_along_the_links_sees_each_entry_once_while_others_append() {
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .run(async |cluster| {
            for i in 0..20 {
                cluster.post(&format!("before {i}"), 2).await?.expect(200)?;
            }
            let addr = cluster.master.addr();
            let posting = tokio::spawn(async move {
                let mut session = Session::open(addr).await?;
                for i in 0..500 {
                    let body = json!({"content": format!("meanwhile {i}"), "w": 1});
                    session.post("/messages", &body).await?.expect(200)?;
                }
                anyhow::Ok(())
            });
            for node in [&cluster.master, cluster.secondary(1)] {
                let (mut seen, mut pages) = (Vec::new(), 0);
                let mut path = Some("/messages?limit=7&committed=1&min_seq=20&wait=20s".to_owned());
                while let Some(page) = path.take() {
                    let answer = get(node, &page, &[]).await?.expect(200)?;
                    let of_page = seqs(&answer.json()?)?;
                    path = next(&answer);
                    ensure!(path.is_none() || of_page.len() == 7, "{of_page:?}");
                    seen.extend(of_page);
                    pages += 1;
                }
                let whole: Vec<u64> = (1..=seen.len() as u64).collect();
                ensure!(seen == whole && seen.len() >= 20, "{seen:?}");
                ensure!(pages >= 3, "{pages} pages");
            }
            posting.await?
        })
        .await;
}

#[tokio::test]
async fn a_page_of_a_log_that_is_gone_is_410() {
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .env(ALLOW_CLEAR.0, ALLOW_CLEAR.1)
        .run(async |cluster| {
            for content in ["one", "two", "three"] {
                cluster.post(content, 2).await?.expect(200)?;
            }
            let first = get(&cluster.master, "/messages?limit=2", &[])
                .await?
                .expect(200)?;
            let log_id = first.json()?["log_id"].clone();
            ensure!(first.header("replog-log-id") == log_id.as_str());
            let second = next(&first).context("a link")?;
            ensure!(
                second.contains(&format!("log_id={}", log_id.as_str().unwrap_or("?"))),
                "{second}"
            );
            for node in [&cluster.master, cluster.secondary(1)] {
                ensure!(seqs(&get(node, &second, &[]).await?.expect(200)?.json()?)? == [3]);
            }
            let cleared = cluster
                .master
                .http()
                .post("/clear", &json!({}))
                .await?
                .expect(200)?
                .json()?;
            cluster.post("new", 2).await?.expect(200)?;
            for node in [&cluster.master, cluster.secondary(1)] {
                let problem = refused(get(node, &second, &[]).await?, 410)?;
                ensure!(problem["reason"] == "other_history", "{problem}");
                ensure!(problem["log_id"] == cleared["log_id"], "{problem}");
            }
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn who_has_a_list_is_told_that_nothing_is_new_by_every_node() {
    let builder = Cluster::builder().secondaries(1).listed(true).durable(true);
    builder
        .run(async |cluster| {
            cluster.post("one", 2).await?.expect(200)?;
            wait_same(&cluster.master, cluster.secondary(1)).await?;
            let whole = get(&cluster.master, "/messages", &[]).await?.expect(200)?;
            let tag = whole.header("etag").context("a tag")?.to_owned();
            cluster.secondary_mut(1).restart().await?;
            wait_same(&cluster.master, cluster.secondary(1)).await?;
            for node in [&cluster.master, cluster.secondary(1)] {
                for had in [&*tag, "*", &format!("\"other\", {tag}")] {
                    let headers = [("if-none-match", had), ("accept-encoding", "gzip")];
                    let answer = get(node, "/messages", &headers).await?.expect(304)?;
                    ensure!(answer.body.is_empty() && answer.header("etag") == Some(&*tag));
                }
                let headers = [("if-none-match", &*tag)];
                get(node, "/messages?limit=1&from=2", &headers)
                    .await?
                    .expect(200)?;
                let http = node.http();
                let head = http.request(Method::HEAD, "/messages", &[], Bytes::new());
                let head = head.await?.expect(200)?;
                ensure!(head.body.is_empty() && head.header("etag") == Some(&*tag));
                let head = http.request(Method::HEAD, "/messages", &headers, Bytes::new());
                let head = head.await?.expect(304)?;
                // It would be that of the 200.
                ensure!(head.header("content-length").is_none());
            }
            cluster.post("two", 2).await?.expect(200)?;
            let headers = [("if-none-match", &*tag)];
            get(&cluster.master, "/messages", &headers)
                .await?
                .expect(200)?;
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn lines_and_packed_lists_say_what_the_list_says() {
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .run(async |cluster| {
            let contents = ["one\ntwo", "\u{2028} \"quoted\"", &"long ".repeat(100_000)];
            for content in contents {
                cluster.post(content, 2).await?.expect(200)?;
            }
            for node in [&cluster.master, cluster.secondary(1)] {
                let list = get(node, "/messages", &[]).await?.expect(200)?;
                let whole = list.json()?;
                let accept = ("accept", "application/x-ndjson");
                let lines = get(node, "/messages?from=1", &[accept])
                    .await?
                    .expect(200)?;
                ensure!(lines.header("content-type") == Some("application/x-ndjson"));
                let text = lines.text();
                let entries = text.split_terminator('\n').map(serde_json::from_str);
                let entries: Vec<Value> = entries.collect::<Result<_, _>>()?;
                ensure!(json!(entries) == whole["messages"]);
                let page = get(node, "/messages?from=2&limit=1&wait=5s", &[accept]).await?;
                let one: Value = page.expect(200)?.json()?;
                ensure!(one == whole["messages"][1], "{one}");

                for headers in [
                    &[("accept-encoding", "gzip")][..],
                    &[("accept-encoding", "gzip"), accept],
                ] {
                    let packed = get(node, "/messages", headers).await?.expect(200)?;
                    ensure!(packed.header("content-encoding") == Some("gzip"));
                    let vary = packed.header("vary").unwrap_or_default();
                    ensure!(vary.contains("accept-encoding"), "{vary}");
                    let mut unpacked = Vec::new();
                    GzDecoder::new(&packed.body[..]).read_to_end(&mut unpacked)?;
                    let plain = if headers.len() == 1 { &list } else { &lines };
                    ensure!(unpacked == plain.body, "{} bytes", unpacked.len());
                    ensure!(packed.body.len() < plain.body.len() / 10);
                }
                let html = get(node, "/messages", &[("accept", "text/html")]).await?;
                let problem = refused(html, 406)?;
                ensure!(problem["reason"] == "not_acceptable", "{problem}");
            }
            Ok(())
        })
        .await;
}

/// Fifty clients that read nothing of a list of 30 MB cost a piece each, and not the list.
#[tokio::test]
async fn a_slow_reader_costs_one_piece() {
    let builder = Cluster::builder().secondaries(0);
    builder
        .run(async |cluster| {
            fill(cluster).await?;
            let addr = cluster.master.addr();
            let resident = || memory_bytes(cluster.master.pid()).context("resident bytes");
            let ask = |packing: &str| {
                format!(
                    "GET /messages HTTP/1.1\r\nHost: {addr}\r\nAccept: application/x-ndjson\r\n{packing}\r\n"
                )
            };
            // What the first ones need once.
            get(&cluster.master, "/messages", &[("accept", "application/x-ndjson")]).await?;
            let before = resident()?;
            let mut slow = Vec::new();
            for i in 0..50 {
                let mut connection = RawConnection::open_narrow(addr).await?;
                let packing = ["", "Accept-Encoding: gzip\r\n"][i % 2];
                connection.send(&ask(packing)).await?;
                connection.read_until("\r\n\r\n").await?;
                slow.push(connection);
            }
            wait_read(&cluster.master).await?;
            let grown = resident()?.saturating_sub(before);
            ensure!(grown < 50 << 20, "{grown} bytes for 50 clients");
            Ok(())
        })
        .await;
}

/// Nobody is slow here, but a list is long, streams have no end, and a poll has nothing to wait for.
#[tokio::test]
async fn whatever_is_being_read_does_not_delay_a_stop() {
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .run(async |cluster| {
            let last = fill(cluster).await?;
            wait_same(&cluster.master, cluster.secondary(1)).await?;
            for which in [1, 0] {
                let node = match which {
                    0 => &mut cluster.master,
                    _ => cluster.secondary_mut(1),
                };
                let mut reading = Vec::new();
                for accept in ["application/json", "application/x-ndjson"] {
                    let mut list = RawConnection::open_narrow(node.addr()).await?;
                    let addr = node.addr();
                    let head = format!("GET /messages HTTP/1.1\r\nHost: {addr}\r\nAccept: {accept}\r\n\r\n");
                    list.send(&head).await?;
                    list.read_until("\"seq\":1,").await?;
                    // About 6 MB a second: the whole of it would take 5 s.
                    reading.push(tokio::spawn(async move {
                        let pause = std::time::Duration::from_millis(10);
                        list.read_slowly(64 << 10, pause).await
                    }));
                }
                let mut streams = Vec::new();
                for accept in ["text/event-stream", "application/x-ndjson"] {
                    let mut stream = RawConnection::open(node.addr()).await?;
                    let addr = node.addr();
                    let head = format!(
                        "GET /messages/stream?from={last} HTTP/1.1\r\nHost: {addr}\r\nAccept: {accept}\r\n\r\n"
                    );
                    stream.send(&head).await?;
                    stream.read_until(&format!("\"seq\":{last},")).await?;
                    streams.push(stream);
                }
                let mut poll = RawConnection::open(node.addr()).await?;
                poll.get(&format!("/messages?from={}&wait=30s&committed=all", last + 1)).await?;
                wait_read(node).await?;
                ends_within(node, Signal::TERM, AT_ONCE).await?;
                for list in reading {
                    let end = list.await??;
                    ensure!(!end.ends_with("0\r\n\r\n"), "the list came to its end");
                }
                for mut stream in streams {
                    let end = stream.read_to_end().await?;
                    ensure!(end.ends_with("0\r\n\r\n"), "cut: {end:?}");
                }
                let answer = poll.read_to_end().await?;
                ensure!(answer.contains("200 OK") && answer.contains("\"messages\":[]"), "{answer}");
            }
            Ok(())
        })
        .await;
}

/// What the list tells beside its entries is right on a node that holds nothing yet as well.
#[tokio::test]
async fn a_walk_that_begins_on_an_empty_log_ends_at_once() {
    let builder = Cluster::builder().secondaries(0);
    builder
        .run(async |cluster| {
            let empty = get(&cluster.master, "/messages?limit=3&committed=all", &[])
                .await?
                .expect(200)?;
            ensure!(next(&empty).is_none());
            let list = empty.json()?;
            ensure!(
                list["last_seq"] == 0 && list["committed_seq"] == 0,
                "{list}"
            );
            ensure!(
                list["log_id"] == health(&cluster.master).await?["log_id"],
                "{list}"
            );
            Ok(())
        })
        .await;
}
