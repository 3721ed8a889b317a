//! What goes over NATS, as `nats sub 'replog.>'` would show it: how much, in which words, and when something happens.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use replog_tests::harness::{Cluster, ClusterBuilder};
use serde_json::Value;

use crate::support::{health, wait_health, wait_status};
use crate::watch::{Seen, Watch};

/// Nothing but what appends cost: no heartbeat and no retry comes between.
pub(crate) fn at_rest(builder: ClusterBuilder) -> ClusterBuilder {
    [
        ("REPLOG_HEARTBEAT_INTERVAL", "20s"),
        ("REPLOG_SUSPECT_AFTER", "60s"),
        ("REPLOG_UNHEALTHY_AFTER", "120s"),
        ("REPLOG_RETRY_MIN", "20s"),
        ("REPLOG_RETRY_MAX", "20s"),
    ]
    .into_iter()
    .fold(builder, |builder, (name, value)| builder.env(name, value))
}

#[tokio::test]
async fn an_append_is_one_message_and_one_ack_a_secondary() {
    let builder = Cluster::builder().secondaries(2).listed(true);
    at_rest(builder)
        .run(async |cluster| {
            cluster.wait_healthy(2).await?;
            cluster.post("before", 3).await?.expect(200)?;
            let mut watch = Watch::of(&cluster.broker).await?;
            let health = health(&cluster.master).await?;
            for i in 2..=6 {
                cluster
                    .post(&format!("message {i}"), 3)
                    .await?
                    .expect(200)?;
            }
            let seen = watch.so_far().await?;
            ensure!(
                seen.len() == 20,
                "{} messages for 5 appends: {seen:#?}",
                seen.len()
            );
            for node in ["secondary1", "secondary2"] {
                let of_node: Vec<_> = seen
                    .iter()
                    .filter(|s| s.is_to(node) || s.is("ack", node))
                    .collect();
                for (seq, pair) in (2..).zip(of_node.chunks(2)) {
                    let [append, ack] = pair else {
                        anyhow::bail!("{pair:?}")
                    };
                    is_append(append, node, seq, &health)?;
                    is_ack(ack, node, seq, &health)?;
                }
            }
            Ok(())
        })
        .await;
}

fn is_append(seen: &Seen, node: &str, seq: u64, health: &Value) -> Result<()> {
    let Seen { about, text, json } = seen;
    ensure!(*about == format!("append.{node}"), "{seen:?}");
    ensure!(
        text.starts_with(&format!(
            r#"{{"kind":"append","seq":{seq},"count":1,"prev":{{"seq":{},"#,
            seq - 1
        )),
        "{text}"
    );
    let entries = json["entries"].as_array().context("entries")?;
    ensure!(entries.len() == 1 && entries[0]["seq"] == seq, "{text}");
    ensure!(entries[0]["content"] == format!("message {seq}"), "{text}");
    ensure!(
        json["prev"]["seq"] == seq - 1 && json["tail"] == seq,
        "{text}"
    );
    ensure!(
        json["commit"] == seq - 1,
        "all nodes held the one before: {text}"
    );
    is_frame(seen, health)
}

fn is_ack(seen: &Seen, node: &str, seq: u64, health: &Value) -> Result<()> {
    let Seen { about, text, json } = seen;
    ensure!(*about == format!("ack.{node}.{seq}"), "{seen:?}");
    ensure!(
        text.starts_with(&format!(r#"{{"kind":"ack","seq":{seq},"#)),
        "{text}"
    );
    ensure!(
        json["node"] == node && json["storage"].is_string(),
        "{text}"
    );
    is_frame(seen, health)
}

/// What every message carries: one line, the epoch of the master, the version, the time last.
fn is_frame(Seen { text, json, .. }: &Seen, health: &Value) -> Result<()> {
    for field in ["log_id", "epoch", "instance"] {
        ensure!(
            json[field] == health[field] && !json[field].is_null(),
            "{field} of {text}"
        );
    }
    ensure!(json["v"] == 2 && !text.contains('\n'), "{text}");
    let last = text.rsplit(',').next().unwrap_or_default();
    ensure!(last.starts_with(r#""at_ms":"#), "{text}");
    Ok(())
}

#[tokio::test]
async fn heartbeats_have_a_subject_of_their_own_and_tell_what_is_committed() {
    let builder = Cluster::builder().secondaries(2).listed(true);
    builder
        .run(async |cluster| {
            cluster.post("one", 3).await?.expect(200)?;
            let mut watch = Watch::of(&cluster.broker).await?;
            let health = health(&cluster.master).await?;
            let seen = watch
                .until("heartbeat", |seen| seen.is("heartbeat", "secondary2"))
                .await?;
            let heartbeat = seen.last().context("a heartbeat")?;
            is_frame(heartbeat, &health)?;
            let text = &heartbeat.text;
            ensure!(
                text.starts_with(r#"{"kind":"heartbeat","seq":1,"count":0,"prev":{"seq":1,"#),
                "{text}"
            );
            ensure!(
                heartbeat.json["tail"] == 1 && heartbeat.json["commit"] == 1,
                "{text}"
            );
            ensure!(
                seen.iter().all(|s| !s.about.starts_with("append")),
                "an append at rest: {seen:?}"
            );
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn a_dead_secondary_costs_one_small_message_a_backoff_and_two_lines_of_log() {
    let builder = Cluster::builder().secondaries(2).listed(true);
    builder
        .env("RUST_LOG", "info")
        .run(async |cluster| {
            cluster.post("before", 3).await?.expect(200)?;
            cluster.kill_secondary(2).await?;
            wait_status(&cluster.master, "secondary2", "unhealthy").await?;
            let mut watch = Watch::of(&cluster.broker).await?;
            let began = Instant::now();
            let waits = cluster.post_pending("for all", 3);
            for i in 0..100 {
                cluster
                    .post(&format!("message {i}"), 2)
                    .await?
                    .expect(200)?;
            }
            let mut seen = watch.so_far().await?;
            for _ in 0..4 {
                seen.extend(
                    watch
                        .until("message to it", |s| s.is_to("secondary2"))
                        .await?,
                );
            }
            let took = began.elapsed();
            let to_it: Vec<_> = seen.iter().filter(|s| s.is_to("secondary2")).collect();
            // The longest wait of these tests is 500 ms, and at least the half of it with the jitter.
            let most = 2 + took.as_millis() / Duration::from_millis(250).as_millis();
            ensure!(
                to_it.len() as u128 <= most,
                "{} messages in {took:?}",
                to_it.len()
            );
            ensure!(
                to_it.iter().all(|s| s.is("heartbeat", "secondary2")),
                "{to_it:?}"
            );
            let log = cluster.master.log_tail(10_000);
            for word in [" suspected ", " unhealthy "] {
                let of_it = |line: &&str| line.contains(word) && line.contains("secondary2");
                let lines = log.lines().filter(of_it).count();
                ensure!(lines == 1, "{lines} lines with {word}");
            }
            cluster.start_secondary(2).await?;
            waits.answer().await?.expect(200)?;
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn what_operators_look_for_is_an_event() {
    let builder = Cluster::builder().secondaries(1).absent(1);
    builder
        .run(async |cluster| {
            wait_health(&cluster.master, "status", "ok").await?;
            let mut watch = Watch::of(&cluster.broker).await?;
            cluster.start_secondary(1).await?;
            expect(&mut watch, "joined").await?;
            cluster.post("held", 2).await?.expect(200)?;
            cluster.secondary(1).stop().await?;
            let suspected = expect(&mut watch, "suspected").await?;
            ensure!(suspected["from"] == "healthy", "{suspected}");
            expect(&mut watch, "unhealthy").await?;
            cluster.secondary(1).resume()?;
            expect(&mut watch, "healthy").await?;
            cluster.master.restart().await?;
            let serving = watch.until("serving", |seen| seen.about == "event.master.serving");
            let serving = serving.await?.last().context("an event")?.json.clone();
            ensure!(
                serving["log_id"] == suspected["log_id"] && serving["entries"] == 1,
                "{serving}"
            );
            Ok(())
        })
        .await;
}

/// The next event is of this kind and about secondary 1.
async fn expect(watch: &mut Watch, kind: &str) -> Result<Value> {
    let seen = watch
        .until(kind, |seen| seen.about.starts_with("event.master."))
        .await?;
    let event = seen.last().context("an event")?;
    ensure!(event.about == format!("event.master.{kind}"), "{event:?}");
    ensure!(
        event.text.starts_with(&format!(r#"{{"kind":"{kind}","#)),
        "{event:?}"
    );
    let json = event.json.clone();
    ensure!(
        json["node"] == "secondary1" && json["v"] == 2 && json["epoch"] == 1,
        "{json}"
    );
    Ok(json)
}
