//! Bytes that change on a disk under a log: what can be fetched from another node is, and nothing else is shown instead.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use replog_tests::harness::{Cluster, eventually};

use crate::disk::durable;
use crate::support::{SOON, health, shown, wait_health};
use crate::watch::{Seen, Watch};

fn mark(n: usize) -> String {
    format!("mark {n:04}")
}

/// Changes a byte of those messages in the log of a node that does not run.
pub(crate) fn rot(cluster: &Cluster, node: &str, which: &[usize]) -> Result<()> {
    // So little is all in the first segment.
    let file = format!("data-{node}/log/0000000001.segment");
    let file = cluster.dir().join(file);
    let mut bytes = fs::read(&file)?;
    for n in which {
        let mark = mark(*n).into_bytes();
        let found: Vec<usize> = (bytes.windows(mark.len()).enumerate())
            .filter_map(|(at, window)| (window == mark).then_some(at))
            .collect();
        ensure!(!found.is_empty(), "entry {n} is not in the file");
        found.iter().for_each(|at| bytes[*at] ^= 1);
    }
    Ok(fs::write(file, bytes)?)
}

/// A cluster with that many messages, its nodes killed.
pub(crate) async fn filled(cluster: &mut Cluster, many: usize) -> Result<Vec<String>> {
    for n in 1..=many {
        cluster.post(&mark(n), 3).await?.expect(200)?;
    }
    let before = shown(&cluster.master).await?;
    cluster.kill_nodes().await?;
    Ok(before)
}

#[tokio::test]
async fn a_damaged_entry_is_fetched_from_a_node_that_holds_it() {
    durable()
        .run(async |cluster| {
            let before = filled(cluster, 30).await?;
            // One that only another secondary has, one each, and the last one.
            rot(cluster, "master", &[7, 12])?;
            rot(cluster, "secondary1", &[12, 30])?;
            let mut watch = Watch::of(&cluster.broker).await?;
            cluster.start_nodes().await?;
            cluster.wait_healthy(2).await?;
            for (node, damaged) in [(0, vec![7, 12]), (1, vec![12, 30])] {
                let node = cluster.nodes().nth(node).expect("a node of three");
                for n in damaged {
                    eventually(&format!("entry {n} of {}", node.name()), SOON, async || {
                        let answer = node.http().get(&format!("/messages/{n}")).await?;
                        if answer.status == 503 {
                            let problem = answer.json()?;
                            ensure!(problem["reason"] == "damaged", "{problem}");
                            ensure!(answer.header("retry-after") == Some("1"));
                        }
                        let entry = answer.expect(200)?.json()?;
                        ensure!(entry["content"] == mark(n), "{entry}");
                        Ok(())
                    })
                    .await?;
                }
                ensure!(shown(node).await? == before, "another log");
                eventually("nothing to be damaged any more", SOON, async || {
                    let health = health(node).await?;
                    ensure!(health["storage"].get("damaged").is_none(), "{health}");
                    Ok(())
                })
                .await?;
            }
            let mut events = Vec::new();
            // The last entry is looked at before the broker is there.
            let expected = [
                ("damaged", "master", 7),
                ("damaged", "master", 12),
                ("damaged", "secondary1", 12),
                ("repaired", "master", 7),
                ("repaired", "master", 12),
                ("repaired", "secondary1", 12),
                ("repaired", "secondary1", 30),
            ];
            eventually("each of them to be said once", SOON, async || {
                events.extend(watch.so_far().await?);
                for (kind, node, seq) in expected {
                    let subject = format!("event.{node}.{kind}");
                    let is_it = |m: &&Seen| m.about == subject && m.json["seq"] == seq;
                    let times = events.iter().filter(is_it).count();
                    ensure!(times == 1, "{kind} {node} {seq}: {times} times");
                }
                Ok(())
            })
            .await?;
            // What was repaired is on the disk.
            cluster.kill_nodes().await?;
            cluster.start_nodes().await?;
            for node in cluster.nodes() {
                ensure!(shown(node).await? == before, "another log");
            }
            Ok(())
        })
        .await;
}

/// Whoever waits for a damaged entry waits for nobody else's good ones.
#[tokio::test]
async fn a_newcomer_gets_past_an_entry_that_is_damaged_on_the_master() {
    durable()
        .run(async |cluster| {
            let before = filled(cluster, 20).await?;
            rot(cluster, "master", &[9])?;
            fs::remove_dir_all(cluster.dir().join("data-secondary2"))?;
            cluster.master.restart().await?;
            cluster.start_secondary(2).await?;
            // Nobody else has it yet: it is waited for, and what lies before it is there.
            let held = eventually("entries before the damage", SOON, async || {
                let shown = shown(cluster.secondary(2)).await?;
                ensure!(shown.len() == 8, "{shown:?}");
                Ok(shown)
            });
            ensure!(held.await? == before[..8]);
            wait_health(&cluster.master, "status", "ok").await?;
            eventually("the damage to be found", SOON, async || {
                let health = health(&cluster.master).await?;
                ensure!(
                    health["storage"]["damaged"] == serde_json::json!([9]),
                    "{health}"
                );
                Ok(())
            })
            .await?;
            let http = cluster.master.http().with_deadline(Duration::from_secs(5));
            let read = http.get("/messages/9").await?.expect(503)?.json()?;
            ensure!(read["seq"] == 9, "{read}");
            let appended = cluster.post("meanwhile", 1).await?.expect(200)?.json()?;
            ensure!(appended["seq"] == 21, "{appended}");
            cluster.start_secondary(1).await?;
            let all: Vec<String> = [before, vec!["meanwhile".to_owned()]].concat();
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            for node in cluster.nodes() {
                cluster.wait_messages(node, &all).await?;
            }
            Ok(())
        })
        .await;
}
