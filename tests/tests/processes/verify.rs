//! `GET /verify`: whether every node has the same entries; on real disks, with what really goes wrong there.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use hyper::Method;
use replog_protocol::entry::{BatchBuilder, Content, EntryBatch};
use replog_protocol::ids::Seq;
use replog_protocol::node::{Query, Truncate, WriteJob, WriteResult};
use replog_storage::directory::{self, Owner, Role};
use replog_storage::disk::{DiskOptions, Fsync, SegmentOptions};
use replog_storage::journal::{Begun, Journal};
use replog_tests::harness::{Cluster, Node, eventually};
use serde_json::{Value, json};

use crate::disk::durable;
use crate::rot::{filled, rot};
use crate::support::{SOON, health, member, refused, wait_equal, wait_status};
use crate::watch::{Seen, Watch};

async fn verify(master: &Node) -> Result<Value> {
    let http = master.http().with_deadline(Duration::from_secs(10));
    http.get("/verify").await?.expect(200)?.json()
}

/// What the verification says of one node.
fn of<'a>(verified: &'a Value, id: &str) -> Result<&'a Value> {
    let nodes = verified["nodes"].as_array().context("nodes")?;
    let mut all = nodes.iter().filter(|node| node["id"] == id);
    all.next().with_context(|| format!("{id} of {verified}"))
}

/// The metric of the difference of one secondary.
async fn differs(master: &Node, id: &str) -> Result<bool> {
    let metrics = master.http().get("/metrics").await?.expect(200)?.text();
    let series = format!("replog_digest_differs{{member=\"{id}\"}} ");
    let mut lines = metrics.lines().filter_map(|l| l.strip_prefix(&series));
    Ok(lines.next().context(series.clone())? == "1")
}

#[tokio::test]
async fn nodes_with_the_same_entries_are_equal_and_one_that_is_gone_is_said_so() {
    let builder = Cluster::builder().secondaries(2).listed(true);
    builder
        .run(async |cluster| {
            cluster.wait_healthy(2).await?;
            let empty = verify(&cluster.master).await?;
            ensure!(empty["equal"] == true && empty["upto"] == 0, "{empty}");
            for n in 0..50 {
                cluster.post(&format!("message {n}"), 3).await?.expect(200)?;
            }
            let verified = verify(&cluster.master).await?;
            let health = health(&cluster.master).await?;
            let node = |id: &str| {
                json!({"id": id, "member": true, "status": "healthy", "answers": true, "equal": true, "upto": 50})
            };
            let expected = json!({"equal": true, "answers": true, "upto": 50, "log_id": health["log_id"],
                "epoch": health["epoch"], "last_seq": 50, "nodes": [node("secondary1"), node("secondary2")]});
            ensure!(verified == expected, "{verified}");
            ensure!(!differs(&cluster.master, "secondary1").await?);

            let http = cluster.master.http();
            for (path, word) in [("/verify?wiat=2s", "wait"), ("/verify?wait=2", "wait")] {
                let problem = refused(http.get(path).await?, 400)?;
                let detail = problem["detail"].as_str().unwrap_or_default();
                ensure!(detail.contains(word), "{problem}");
            }
            let head = http.request(Method::HEAD, "/verify?wait=5s", &[], "".into()).await?;
            ensure!(head.expect(200)?.text().is_empty());
            let on_secondary = cluster.secondary(1).http().get("/verify").await?;
            ensure!(on_secondary.status == 404, "{}", on_secondary.text());

            cluster.kill_secondary(2).await?;
            wait_status(&cluster.master, "secondary2", "unhealthy").await?;
            let verified = verify(&cluster.master).await?;
            let gone = of(&verified, "secondary2")?;
            ensure!(gone["answers"] == false && gone["equal"] == false, "{verified}");
            ensure!(verified["equal"] == true && verified["answers"] == false, "{verified}");
            Ok(())
        })
        .await;
}

/// Nobody reads the log after the start but the node itself, for its digest.
#[tokio::test]
async fn a_flipped_bit_on_a_disk_is_found_though_nobody_reads_and_is_repaired() {
    durable()
        .run(async |cluster| {
            filled(cluster, 30).await?;
            rot(cluster, "secondary1", &[12])?;
            rot(cluster, "master", &[20])?;
            let mut watch = Watch::of(&cluster.broker).await?;
            cluster.start_nodes().await?;
            let mut events = Vec::new();
            eventually("each of them to be found and repaired", SOON, async || {
                events.extend(watch.so_far().await?);
                for (node, seq) in [("secondary1", 12), ("master", 20)] {
                    for kind in ["damaged", "repaired"] {
                        let subject = format!("event.{node}.{kind}");
                        let is_it = |m: &Seen| m.about == subject && m.json["seq"] == seq;
                        ensure!(events.iter().any(is_it), "{subject} {seq}");
                    }
                }
                Ok(())
            })
            .await?;
            eventually(
                "the logs to be known to be the same again",
                SOON,
                async || {
                    let verified = verify(&cluster.master).await?;
                    ensure!(
                        verified["equal"] == true && verified["answers"] == true,
                        "{verified}"
                    );
                    ensure!(verified["upto"] == 30, "{verified}");
                    Ok(())
                },
            )
            .await
        })
        .await;
}

/// Gives the log in a data directory another entry at one position, with all checksums right: what no disk does, and a bug may.
async fn write_another(dir: &Path, node: &str, which: u64, content: &str) -> Result<()> {
    let (dir, content) = (
        dir.join(format!("data-{node}")),
        Content::from_text(content),
    );
    let owner = Owner {
        role: Role::Secondary,
        node: Some(node.parse()?),
        cluster: "default".to_owned(),
    };
    let options = DiskOptions {
        owner,
        fsync: Fsync::Always,
        cache_bytes: 1 << 20,
        deduplicate_contents: false,
        segments: SegmentOptions::default(),
    };
    tokio::task::spawn_blocking(move || {
        let (mut journal, restored) = directory::open(&dir, &options)?;
        let query = Query::Range {
            first: Seq(1),
            last: restored.last.seq,
            max_bytes: usize::MAX,
        };
        let all = journal.reader().read(&query)?.context("entries")?;
        ensure!(all.last() == restored.last.seq, "all of one epoch");
        let mut builder = BatchBuilder::new(Seq(which), all.epoch());
        for entry in all.iter().skip_while(|entry| entry.seq < Seq(which)) {
            let is_it = entry.seq == Seq(which);
            let kept = entry.content();
            builder.push(entry.message_id, if is_it { &content } else { &kept });
        }
        let batch: EntryBatch = builder.finish().context("entries")?;
        // As it is read by everybody else.
        let batch = EntryBatch::parse(Bytes::clone(batch.text()), all.epoch())?;
        let job = WriteJob {
            truncate: Some(Truncate {
                after: Seq(which - 1),
                rollback_of: None,
            }),
            entries: vec![batch],
            ..WriteJob::default()
        };
        let result = match journal.write(job) {
            Begun::Done(result) => result,
            Begun::Blocking(write) => write(),
        };
        ensure!(matches!(result, WriteResult::Done { .. }), "{result:?}");
        Ok(())
    })
    .await?
}

/// Positions and epochs are the same, and every checksum is right: nothing but the digest tells.
#[tokio::test]
async fn an_entry_that_is_another_one_is_found_with_its_position() {
    durable()
        .run(async |cluster| {
            let before = filled(cluster, 30).await?;
            write_another(cluster.dir(), "secondary2", 17, "something else").await?;
            cluster.start_nodes().await?;
            cluster.wait_healthy(2).await?;
            // It is seen in the heartbeats, without anybody asking.
            eventually("the difference to be seen", SOON, async || {
                let second = member(&cluster.master, "secondary2").await?;
                ensure!(second["differs_from"] == 17, "{second}");
                let problem = second["problem"].as_str().unwrap_or_default();
                ensure!(problem.starts_with("entry 17 of secondary2"), "{second}");
                Ok(())
            })
            .await?;
            ensure!(differs(&cluster.master, "secondary2").await?);
            ensure!(!differs(&cluster.master, "secondary1").await?);
            let verified = verify(&cluster.master).await?;
            ensure!(
                verified["equal"] == false && verified["answers"] == true,
                "{verified}"
            );
            ensure!(
                verified["upto"] == 16 && verified["last_seq"] == 30,
                "{verified}"
            );
            let (first, second) = (of(&verified, "secondary1")?, of(&verified, "secondary2")?);
            ensure!(first["equal"] == true && first["upto"] == 30, "{verified}");
            ensure!(
                second["equal"] == false && second["upto"] == 16,
                "{verified}"
            );
            ensure!(second["first_difference"] == 17, "{verified}");

            // It is only said; with an empty directory the secondary is filled again, and equal.
            let appended = cluster.post("goes on", 3).await?.expect(200)?.json()?;
            ensure!(appended["seq"] == 31, "{appended}");
            cluster.kill_secondary(2).await?;
            std::fs::remove_dir_all(cluster.dir().join("data-secondary2"))?;
            cluster.start_secondary(2).await?;
            let all = wait_equal(cluster).await?;
            ensure!(all[..30] == before[..], "{all:?}");
            eventually("all to be equal", SOON, async || {
                let verified = verify(&cluster.master).await?;
                ensure!(
                    verified["equal"] == true && verified["upto"] == 31,
                    "{verified}"
                );
                Ok(())
            })
            .await?;
            ensure!(!differs(&cluster.master, "secondary2").await?);
            Ok(())
        })
        .await;
}
