//! Masters that share a journal in a JetStream stream: one leads, the others stand by and take over.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use replog_tests::harness::ha_cluster::{HEARTBEAT, HaCluster, is_standby};
use replog_tests::harness::{Answer, Node, Pending, eventually};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{AT_ONCE, SOON, ends_within, health, refused, shown, wait_health};

/// A standby takes over after two heartbeats and a quarter of one; what a busy machine adds is not its fault.
const TAKEOVER_WITHIN: Duration = Duration::from_secs(3);

/// Appends at one master only.
async fn post(node: &Node, content: &str, w: u32) -> Result<Answer> {
    let body = json!({"content": content, "w": w});
    node.http().post("/messages", &body).await
}

/// Waits until that master leads and takes appends.
async fn wait_leads(node: &Node) -> Result<Value> {
    eventually(&format!("{} to lead", node.name()), SOON, async || {
        let health = health(node).await?;
        ensure!(
            health["role"] == "master" && health["status"] == "ok",
            "{health}"
        );
        Ok(health)
    })
    .await
}

/// Waits until that master stands by and knows who leads.
pub(crate) async fn wait_standby(node: &Node) -> Result<Value> {
    eventually(&format!("{} to stand by", node.name()), SOON, async || {
        let health = health(node).await?;
        ensure!(
            health["role"] == "standby" && health["active"]["url"].is_string(),
            "{health}"
        );
        Ok(health)
    })
    .await
}

#[tokio::test]
async fn a_standby_refuses_names_who_leads_and_serves_reads() {
    let builder = HaCluster::builder().secondaries(1);
    builder
        .run(async |cluster| {
            let (active, standby) = cluster.active_and_standby().await?;
            let (active, standby) = (&cluster.masters[active], &cluster.masters[standby]);
            wait_standby(standby).await?;
            let answer = post(standby, "refused", 1).await?;
            let location = answer.header("location").map(str::to_owned);
            let problem = refused(answer, 503)?;
            ensure!(
                problem["reason"] == "standby" && problem["active"] == active.url(),
                "{problem}"
            );
            let messages = format!("{}/messages", active.url());
            ensure!(location.as_deref() == Some(&*messages), "{location:?}");
            // The same call, with what it asks for.
            let call = "/messages?w=1&expected_seq=9";
            let body = json!({"content": "refused"});
            let answer = standby.http().post(call, &body).await?;
            let location = answer.header("location");
            let same = format!("{}{call}", active.url());
            ensure!(location == Some(&*same), "{location:?}");
            // Whoever follows it finds the one that leads, wherever it began.
            let first = cluster.post("first", 2).await?.expect(200)?.json()?;
            ensure!(first["seq"] == 1, "{first}");

            let second = post(active, "second", 2).await?.expect(200)?.json()?;
            let read = format!("/messages?min_seq={}&wait=20s", second["seq"]);
            let list = standby.http().get(&read).await?.expect(200)?.json()?;
            ensure!(list["last_seq"] == 2 && list["log_id"] == second["log_id"]);
            let one = standby.http().get("/messages/2").await?.expect(200)?;
            ensure!(one.json()?["content"] == "second");
            standby.http().get("/list").await?.expect(200)?;
            eventually("what is committed to be known", SOON, async || {
                // What a majority holds is in the stream with what comes next.
                post(active, "more", 2).await?.expect(200)?;
                let committed = "/messages?committed=majority";
                let list = standby.http().get(committed).await?.expect(200)?.json()?;
                ensure!(list["committed_seq"].as_u64() >= Some(2), "{list}");
                Ok(())
            })
            .await?;
            cluster.wait_equal().await?;
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn health_and_readiness_say_who_leads_and_how_the_stream_is() {
    HaCluster::builder()
        .run(async |cluster| {
            cluster.post("one", 1).await?.expect(200)?;
            let (active, standby) = cluster.active_and_standby().await?;
            let (active, standby) = (&cluster.masters[active], &cluster.masters[standby]);
            let info = cluster.brokers.stream("replog-default").await?;
            wait_standby(standby).await?;
            let (leads, stands_by) = (
                health(active).await?,
                eventually("the standby to have read everything", SOON, async || {
                    let health = health(standby).await?;
                    let chunk = health["storage"]["chunk"].as_u64();
                    ensure!(
                        health["last_seq"] == 1 && chunk >= Some(info.last()),
                        "{health}"
                    );
                    Ok(health)
                })
                .await?,
            );
            ensure!(
                leads["role"] == "master" && leads["status"] == "ok",
                "{leads}"
            );
            for said in [&leads, &stands_by] {
                let storage = &said["storage"];
                ensure!(
                    storage["kind"] == "jetstream"
                        && storage["stream"] == "replog-default"
                        && storage["replicas"] == 1
                        && storage["answers"] == true
                        && storage["copy"] == "memory"
                        && storage["in_flight_ms"].is_u64(),
                    "{said}"
                );
                ensure!(storage["chunk"].as_u64() >= Some(info.last()), "{said}");
            }
            ensure!(
                leads["active"].is_null() && leads["lag_chunks"].is_null(),
                "{leads}"
            );
            ensure!(stands_by["status"] == "standby", "{stands_by}");
            let known = &stands_by["active"];
            ensure!(
                known["instance"] == leads["instance"]
                    && known["epoch"] == leads["epoch"]
                    && known["url"] == active.url()
                    && known["silent_ms"].is_u64(),
                "{stands_by}"
            );
            ensure!(stands_by["lag_chunks"].is_u64(), "{stands_by}");
            ensure!(stands_by["instance"] != leads["instance"], "{stands_by}");

            active.http().get("/readyz").await?.expect(200)?;
            let ready = standby.http().get("/readyz").await?;
            ensure!(refused(ready, 503)?["reason"] == "standby");
            standby.http().get("/livez").await?.expect(200)?;
            Ok(())
        })
        .await;
}

/// Clients that append, one message after the other, wherever they are sent, until they are told to end. What was acknowledged.
struct Appending {
    tasks: Vec<tokio::task::JoinHandle<Vec<(u64, String)>>>,
    stop: tokio_util::sync::CancellationToken,
}

impl Appending {
    fn start(cluster: &HaCluster, clients: usize, w: u32) -> Self {
        let stop = tokio_util::sync::CancellationToken::new();
        let https: Vec<_> = cluster.masters.iter().map(Node::http).collect();
        let tasks = (0..clients).map(|client| {
            let (https, stop) = (https.clone(), stop.clone());
            tokio::spawn(async move {
                let (mut acknowledged, mut at) = (Vec::new(), client);
                for n in 0.. {
                    if stop.is_cancelled() {
                        break;
                    }
                    let content = format!("{client}-{n}");
                    let body = json!({"content": content, "w": w, "timeout_ms": 1000});
                    let http = https[at % https.len()].with_deadline(AT_ONCE / 2);
                    match http.post("/messages", &body).await {
                        Ok(answer) if answer.status == 200 => {
                            let seq = answer.json().ok().and_then(|a| a["seq"].as_u64());
                            acknowledged.push((seq.unwrap_or(0), content));
                        }
                        _ => at += 1,
                    }
                }
                acknowledged
            })
        });
        Self {
            tasks: tasks.collect(),
            stop,
        }
    }

    async fn end(self) -> Result<Vec<(u64, String)>> {
        self.stop.cancel();
        let mut all = Vec::new();
        for task in self.tasks {
            all.extend(task.await?);
        }
        Ok(all)
    }
}

/// Every message that was acknowledged is in the log of each node once, where it was said to be.
async fn check_acknowledged(cluster: &HaCluster, acknowledged: &[(u64, String)]) -> Result<()> {
    cluster.wait_equal().await?;
    for node in cluster.nodes() {
        let shown = shown(node).await?;
        let different: BTreeSet<&String> = shown.iter().collect();
        ensure!(different.len() == shown.len(), "a message is there twice");
        for (seq, content) in acknowledged {
            let at = usize::try_from(*seq)?.checked_sub(1).context("a seq")?;
            ensure!(
                shown.get(at) == Some(content),
                "{content}, acknowledged at {seq}, is not there on {}",
                node.name()
            );
        }
    }
    Ok(())
}

/// The secondaries, who know nothing of the stream, see one log with a further epoch.
#[tokio::test]
async fn one_that_is_killed_is_replaced_and_nothing_acknowledged_is_lost() {
    let builder = HaCluster::builder().secondaries(2);
    builder
        .run(async |cluster| {
            cluster.post("before", 3).await?.expect(200)?;
            let (active, standby) = cluster.active_and_standby().await?;
            let appending = Appending::start(cluster, 4, 2);
            wait_last_seq(&cluster.masters[standby], 100).await?;
            let began = Instant::now();
            cluster.masters[active].kill().await?;
            wait_leads(&cluster.masters[standby]).await?;
            post(&cluster.masters[standby], "next", 2)
                .await?
                .expect(200)?;
            let took = began.elapsed();
            println!("from the kill to the next 200: {took:?}");
            ensure!(took < TAKEOVER_WITHIN, "the takeover took {took:?}");
            ensure!(took > HEARTBEAT, "it was not waited for: {took:?}");
            let end = health(&cluster.masters[standby]).await?["last_seq"].clone();
            wait_last_seq(
                &cluster.masters[standby],
                end.as_u64().context("last_seq")? + 50,
            )
            .await?;
            let acknowledged = appending.end().await?;
            ensure!(acknowledged.len() > 100, "{}", acknowledged.len());
            // The one that was killed comes back as a standby.
            cluster.masters[active].restart().await?;
            wait_standby(&cluster.masters[active]).await?;
            check_acknowledged(cluster, &acknowledged).await?;
            for secondary in &cluster.secondaries {
                let health = health(secondary).await?;
                ensure!(
                    health["put_aside"] == 0 && health["status"] == "ok",
                    "{health}"
                );
            }
            Ok(())
        })
        .await;
}

async fn wait_last_seq(node: &Node, least: u64) -> Result<()> {
    eventually(
        &format!("{} to show {least}", node.name()),
        SOON,
        async || {
            let health = health(node).await?;
            ensure!(health["last_seq"].as_u64() >= Some(least), "{health}");
            Ok(())
        },
    )
    .await
}

/// Of a stop they are told: they do not wait for two heartbeats, which are four seconds here.
#[tokio::test]
async fn one_that_is_asked_to_stop_hands_over_at_once() {
    const LONG: Duration = Duration::from_secs(2);
    let builder = HaCluster::builder().secondaries(1);
    let builder = builder.env("REPLOG_HEARTBEAT_INTERVAL", "2s");
    let builder = builder.env("REPLOG_SUSPECT_AFTER", "5s");
    let builder = builder.env("REPLOG_UNHEALTHY_AFTER", "10s");
    builder
        .run(async |cluster| {
            cluster.post("before", 2).await?.expect(200)?;
            let (active, standby) = cluster.active_and_standby().await?;
            wait_last_seq(&cluster.masters[standby], 1).await?;
            let began = Instant::now();
            ends_within(&mut cluster.masters[active], Signal::TERM, AT_ONCE).await?;
            wait_leads(&cluster.masters[standby]).await?;
            post(&cluster.masters[standby], "next", 2)
                .await?
                .expect(200)?;
            let took = began.elapsed();
            println!("from SIGTERM to the next 200: {took:?}");
            ensure!(took < LONG, "it took {took:?}");
            cluster.wait_equal().await?;
            Ok(())
        })
        .await;
}

/// What lay in its socket while it slept is refused, what waited for more nodes is told that it stays.
#[tokio::test]
async fn one_that_slept_stands_by_and_says_what_became_of_those_who_waited() {
    let builder = HaCluster::builder().secondaries(2);
    builder
        .run(async |cluster| {
            cluster.post("before", 3).await?.expect(200)?;
            let (active, standby) = cluster.active_and_standby().await?;
            cluster.secondaries[1].stop().await?;
            let blocked = pending(&cluster.masters[active], "blocked", 3);
            wait_last_seq(&cluster.masters[standby], 2).await?;
            cluster.masters[active].stop().await?;
            let blind: Vec<_> = (0..5)
                .map(|i| pending(&cluster.masters[active], &format!("blind {i}"), 1))
                .collect();
            wait_leads(&cluster.masters[standby]).await?;
            let next = post(&cluster.masters[standby], "next", 2).await?;
            ensure!(next.expect(200)?.json()?["seq"] == 3);
            cluster.masters[active].resume()?;
            let problem = refused(blocked.answer().await?, 504)?;
            ensure!(
                problem["reason"] == "fenced" && problem["in_log"] == true && problem["seq"] == 2,
                "{problem}"
            );
            for one in blind {
                let problem = refused(one.answer().await?, 503)?;
                let is_exact = problem["reason"] == "fenced" && problem["in_log"] == false;
                ensure!(is_exact || problem["reason"] == "standby", "{problem}");
            }
            wait_standby(&cluster.masters[active]).await?;
            let late = post(&cluster.masters[active], "late", 1).await?;
            ensure!(is_standby(&late)?, "{}", late.text());
            cluster.secondaries[1].resume()?;
            cluster.wait_equal().await?;
            let both = [&cluster.masters[active], &cluster.masters[standby]];
            for node in both {
                ensure!(shown(node).await? == ["before", "blocked", "next"]);
            }
            Ok(())
        })
        .await;
}

fn pending(node: &Node, content: &str, w: u32) -> Pending {
    let body = json!({"content": content, "w": w});
    node.http().post_pending("/messages", &body)
}

/// Its chunk is on its way when it is cut off, in several copies, and arrives when another master leads.
#[tokio::test]
async fn a_chunk_that_comes_late_is_not_taken() {
    let builder = HaCluster::builder().cuttable();
    builder
        .run(async |cluster| {
            cluster.post("before", 1).await?.expect(200)?;
            let (active, standby) = cluster.active_and_standby().await?;
            wait_last_seq(&cluster.masters[standby], 1).await?;
            cluster.networks[active].cut();
            let late: Vec<_> = (0..5)
                .map(|i| pending(&cluster.masters[active], &format!("late {i}"), 1))
                .collect();
            wait_leads(&cluster.masters[standby]).await?;
            let next = post(&cluster.masters[standby], "next", 1)
                .await?
                .expect(200)?;
            ensure!(next.json()?["seq"] == 2);
            // What is on its way may arrive yet: nobody can say that it was not appended.
            ensure!(
                late.iter().any(Pending::is_pending),
                "all of them are answered"
            );
            let stored = health(&cluster.masters[active]).await?;
            ensure!(
                stored["last_seq"] == 1,
                "shown before it is stored: {stored}"
            );
            cluster.networks[active].heal();
            for one in late {
                let problem = refused(one.answer().await?, 503)?;
                let reason = problem["reason"].as_str().unwrap_or_default();
                ensure!(["fenced", "journal"].contains(&reason), "{problem}");
            }
            wait_standby(&cluster.masters[active]).await?;
            post(&cluster.masters[standby], "after", 1)
                .await?
                .expect(200)?;
            cluster.wait_equal().await?;
            ensure!(shown(&cluster.masters[active]).await? == ["before", "next", "after"]);
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn of_masters_that_start_at_once_one_leads() {
    let builder = HaCluster::builder().masters(3).absent_masters(3);
    builder
        .run(async |cluster| {
            for round in 1..=2 {
                for master in &mut cluster.masters {
                    master.spawn()?;
                }
                let content = format!("round {round}");
                let active = cluster.active().await?;
                post(&cluster.masters[active], &content, 1)
                    .await?
                    .expect(200)?;
                let instance = health(&cluster.masters[active]).await?["instance"].clone();
                for (i, master) in cluster.masters.iter().enumerate() {
                    if i != active {
                        let standby = wait_standby(master).await?;
                        ensure!(standby["active"]["instance"] == instance, "{standby}");
                    }
                }
                let list = cluster.wait_equal().await?;
                ensure!(list["last_seq"] == round, "{list}");
                for master in &mut cluster.masters {
                    master.kill().await?;
                }
            }
            Ok(())
        })
        .await;
}

/// A log in a directory is moved in, and out again; the secondaries keep what they have.
#[tokio::test]
async fn a_directory_is_moved_into_the_stream_and_back() {
    let builder = HaCluster::builder()
        .secondaries(1)
        .durable(true)
        .absent_masters(2);
    builder
        .run(async |cluster| {
            let set = |node: &mut Node, store: &str| {
                let setting = ("REPLOG_STORE".to_owned(), store.to_owned());
                node.spec_mut().env.push(setting);
            };
            set(&mut cluster.masters[0], "disk");
            cluster.masters[0].restart().await?;
            for i in 0..200 {
                let content = format!("on disk {i}");
                post(&cluster.masters[0], &content, 2).await?.expect(200)?;
            }
            let before = shown(&cluster.masters[0]).await?;
            let old = health(&cluster.masters[0]).await?;
            ensure!(cluster.masters[0].terminate().await? == 0);

            set(&mut cluster.masters[0], "jetstream");
            cluster.masters[0].restart().await?;
            wait_leads(&cluster.masters[0]).await?;
            ensure!(shown(&cluster.masters[0]).await? == before);
            post(&cluster.masters[0], "in the stream", 2)
                .await?
                .expect(200)?;
            cluster.masters[1].restart().await?;
            wait_standby(&cluster.masters[1]).await?;
            let list = cluster.wait_equal().await?;
            ensure!(list["last_seq"] == 201 && list["log_id"] == old["log_id"]);
            // All of it is in the stream: the other one has it without the directory, and leads when this one has gone.
            cluster.masters[0].kill().await?;
            wait_leads(&cluster.masters[1]).await?;
            post(&cluster.masters[1], "by the other", 2)
                .await?
                .expect(200)?;
            cluster.masters[0].restart().await?;
            wait_standby(&cluster.masters[0]).await?;
            let list = cluster.wait_equal().await?;
            ensure!(list["last_seq"] == 202);
            for master in &mut cluster.masters {
                ensure!(master.terminate().await? == 0);
            }

            set(&mut cluster.masters[0], "disk");
            cluster.masters[0].restart().await?;
            wait_health(&cluster.masters[0], "status", "ok").await?;
            let back = post(&cluster.masters[0], "back", 2)
                .await?
                .expect(200)?
                .json()?;
            ensure!(
                back["seq"] == 203 && back["log_id"] == old["log_id"],
                "{back}"
            );
            cluster.wait_equal().await?;
            let secondary = health(&cluster.secondaries[0]).await?;
            ensure!(secondary["put_aside"] == 0, "{secondary}");
            Ok(())
        })
        .await;
}

/// The stream is empty: what the secondaries hold is the log.
#[tokio::test]
async fn a_log_in_memory_is_moved_in_by_recovery() {
    let builder = HaCluster::builder().secondaries(2).absent_masters(2);
    builder
        .run(async |cluster| {
            let env = &mut cluster.masters[0].spec_mut().env;
            env.push(("REPLOG_STORE".to_owned(), "memory".to_owned()));
            cluster.masters[0].restart().await?;
            for i in 0..20 {
                let content = format!("in memory {i}");
                post(&cluster.masters[0], &content, 3).await?.expect(200)?;
            }
            let before = shown(&cluster.masters[0]).await?;
            cluster.masters[0].kill().await?;
            let env = &mut cluster.masters[0].spec_mut().env;
            env.push(("REPLOG_STORE".to_owned(), "jetstream".to_owned()));
            cluster.masters[0].restart().await?;
            wait_leads(&cluster.masters[0]).await?;
            ensure!(shown(&cluster.masters[0]).await? == before);
            cluster.masters[1].restart().await?;
            wait_standby(&cluster.masters[1]).await?;
            // Not from the secondaries: from the stream.
            cluster.masters[0].kill().await?;
            wait_leads(&cluster.masters[1]).await?;
            let next = post(&cluster.masters[1], "next", 3).await?.expect(200)?;
            ensure!(next.json()?["seq"] == 21);
            cluster.wait_equal().await?;
            ensure!(shown(&cluster.masters[1]).await?[..20] == before);
            Ok(())
        })
        .await;
}
