//! A stream that is full, made anew, or kept by servers of which most are gone, under masters that run.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use replog_tests::harness::ha_cluster::{HaCluster, STREAM};
use replog_tests::harness::{NatsCluster, Pending, eventually};
use serde_json::json;
use tokio::time::timeout;

use crate::sharing::wait_standby;
use crate::support::{SOON, copy_dir, health, refused, shown, wait_health};

/// Longer than a stream that is gone is waited for.
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(60);

async fn set_max_bytes(brokers: &NatsCluster, bytes: i64) -> Result<()> {
    let mut config = brokers.stream(STREAM).await?.json["config"].clone();
    config["max_bytes"] = json!(bytes);
    let subject = format!("$JS.API.STREAM.UPDATE.{STREAM}");
    let answer = brokers.ask(&subject, &config.to_string()).await?;
    ensure!(answer.get("error").is_none(), "{answer}");
    Ok(())
}

#[tokio::test]
async fn a_full_stream_refuses_appends_and_reads_go_on() {
    HaCluster::builder()
        .run(async |cluster| {
            cluster.post("before", 1).await?.expect(200)?;
            set_max_bytes(&cluster.brokers, 200 << 10).await?;
            let large = "x".repeat(20 << 10);
            let mut stored = 1;
            let problem = loop {
                let answer = cluster.post(&format!("{stored} {large}"), 1).await?;
                if answer.status != 200 {
                    break refused(answer, 503)?;
                }
                stored += 1;
                ensure!(stored < 20, "it takes more than there is room for");
            };
            ensure!(problem["reason"] == "disk_full", "{problem}");
            let active = &cluster.masters[active_of(cluster).await?];
            ensure!(shown(active).await?.len() == stored);
            let ready = refused(active.http().get("/readyz").await?, 503)?;
            ensure!(ready["reason"] == "disk_full", "{ready}");

            set_max_bytes(&cluster.brokers, -1).await?;
            let more = eventually("room to be noticed", SOON, async || {
                let answer = cluster.post("more", 1).await?.expect(200)?;
                answer.json()
            })
            .await?;
            // What was refused is not there.
            ensure!(more["seq"] == stored + 1, "{more}");
            cluster.wait_equal().await?;
            Ok(())
        })
        .await;
}

/// Longer than the stream is left alone: what is due meanwhile cannot be asked, and must not be tried all the time.
#[tokio::test]
async fn without_a_broker_the_masters_live_on_and_go_on_when_it_is_back() {
    const AWAY: Duration = Duration::from_secs(4);
    HaCluster::builder()
        .run(async |cluster| {
            cluster.post("before", 1).await?.expect(200)?;
            cluster.active_and_standby().await?;
            cluster.wait_equal().await?;
            cluster.brokers.servers_mut()[0].kill().await?;
            for master in &cluster.masters {
                wait_health(master, "broker", "disconnected").await?;
            }
            let began = Instant::now();
            while began.elapsed() < AWAY {
                for master in &cluster.masters {
                    let health = health(master).await?;
                    ensure!(health["storage"]["answers"] == false, "{health}");
                    ensure!(shown(master).await? == ["before"]);
                }
            }
            cluster.brokers.servers_mut()[0].restart().await?;
            let after = eventually("appends to go on", SOON, async || {
                cluster.post("after", 1).await?.expect(200)?.json()
            })
            .await?;
            ensure!(after["seq"] == 2, "{after}");
            cluster.wait_equal().await?;
            Ok(())
        })
        .await;
}

/// Where the stream ends.
async fn last_chunk(brokers: &NatsCluster) -> Result<u64> {
    let state = brokers.stream(STREAM).await?.json["state"].take();
    state["last_seq"].as_u64().context("the end of the stream")
}

/// The master that leads, full or not.
async fn active_of(cluster: &HaCluster) -> Result<usize> {
    for (i, master) in cluster.masters.iter().enumerate() {
        if health(master).await?["role"] == "master" {
            return Ok(i);
        }
    }
    anyhow::bail!("none leads")
}

/// Its positions are others, so what the former master writes is never taken for a chunk of the new stream.
#[tokio::test]
async fn a_stream_that_is_made_anew_ends_its_former_master() {
    let builder = HaCluster::builder().masters(2).absent_masters(1);
    builder
        .run(async |cluster| {
            cluster.post("of the former stream", 1).await?.expect(200)?;
            let subject = format!("$JS.API.STREAM.DELETE.{STREAM}");
            let answer = cluster.brokers.ask(&subject, "").await?;
            ensure!(answer["success"] == true, "{answer}");
            cluster.masters[1].restart().await?;
            cluster.brokers.wait_current(STREAM).await?;
            let body = json!({"content": "too late", "w": 1});
            let late = cluster.masters[0].http().post_pending("/messages", &body);
            let code = timeout(GIVEN_UP_WITHIN, cluster.masters[0].exited()).await??;
            let said = cluster.masters[0].log_tail(3);
            ensure!(
                code == 4 && said.contains(STREAM) && said.contains("made anew"),
                "{code}: {said}"
            );
            ensure!(late.answer().await.map_or(true, |a| a.status != 200));
            wait_health(&cluster.masters[1], "status", "ok").await?;
            ensure!(
                !shown(&cluster.masters[1])
                    .await?
                    .contains(&"too late".to_owned())
            );
            Ok(())
        })
        .await;
}

/// The broker's storage comes back as it was a while ago: what was acknowledged since is in the directory of one master alone.
#[tokio::test]
async fn what_a_stream_has_lost_at_its_end_comes_back_from_a_masters_directory() {
    let builder = HaCluster::builder().masters(2).absent_masters(1);
    builder
        .durable(true)
        .run(async |cluster| {
            cluster.post("before", 1).await?.expect(200)?;
            let stream = cluster.brokers.servers()[0].dir().join("jetstream");
            let older = cluster.dir().join("older");
            cluster.brokers.servers_mut()[0].kill().await?;
            copy_dir(&stream, &older)?;
            cluster.brokers.servers_mut()[0].restart().await?;
            for content in ["lost", "lost as well"] {
                eventually("it to be appended", SOON, async || {
                    cluster.post(content, 1).await?.expect(200)
                })
                .await?;
            }

            cluster.masters[0].kill().await?;
            cluster.brokers.servers_mut()[0].kill().await?;
            fs::remove_dir_all(&stream).context("the newer storage")?;
            copy_dir(&older, &stream)?;
            cluster.brokers.servers_mut()[0].restart().await?;
            cluster.masters[0].restart().await?;
            wait_health(&cluster.masters[0], "status", "ok").await?;
            let all = ["before", "lost", "lost as well"];
            ensure!(shown(&cluster.masters[0]).await? == all);
            let said = cluster.masters[0].log_tail(1000);
            ensure!(said.contains("has lost its end"), "{said}");
            // It is in the stream again: whoever reads that from its beginning has it too.
            cluster.masters[1].restart().await?;
            cluster.post("after", 1).await?.expect(200)?;
            cluster.wait_equal().await?;
            ensure!(shown(&cluster.masters[1]).await? == [&all[..], &["after"]].concat());
            Ok(())
        })
        .await;
}

/// The same while both masters run, and nobody appends: they do not go on as if they were of one log with the stream.
#[tokio::test]
async fn masters_that_run_notice_that_the_stream_has_lost_its_end_and_bring_it_back_when_started_again()
 {
    let builder = HaCluster::builder().secondaries(1);
    builder
        .durable(true)
        .run(async |cluster| {
            cluster.post("before", 2).await?.expect(200)?;
            let stream = cluster.brokers.servers()[0].dir().join("jetstream");
            let older = cluster.dir().join("older");
            cluster.brokers.servers_mut()[0].kill().await?;
            copy_dir(&stream, &older)?;
            cluster.brokers.servers_mut()[0].restart().await?;
            eventually("it to be appended", SOON, async || {
                cluster.post("lost", 2).await?.expect(200)
            })
            .await?;
            cluster.wait_equal().await?;

            cluster.brokers.servers_mut()[0].kill().await?;
            fs::remove_dir_all(&stream).context("the newer storage")?;
            copy_dir(&older, &stream)?;
            cluster.brokers.servers_mut()[0].restart().await?;
            for master in &mut cluster.masters {
                let code = timeout(GIVEN_UP_WITHIN, master.exited()).await??;
                let said = master.log_tail(3);
                ensure!(
                    code == 4 && said.contains("it has lost its end"),
                    "{code}: {said}"
                );
            }
            for master in &mut cluster.masters {
                master.restart().await?;
            }
            eventually("it to be appended", SOON, async || {
                cluster.post("after", 2).await?.expect(200)
            })
            .await?;
            cluster.wait_equal().await?;
            for node in cluster.nodes() {
                ensure!(shown(node).await? == ["before", "lost", "after"]);
            }
            Ok(())
        })
        .await;
}

/// A standby is ahead of the stream, and wants to lead; meanwhile another master has claimed it, and it grows back to where that
/// one was. Its claim must not be taken for one that follows what it has read.
#[tokio::test]
async fn a_stream_that_has_grown_back_takes_no_claim_of_who_knows_another_end() {
    HaCluster::builder()
        .secondaries(0)
        .run(async |cluster| {
            cluster.post("before", 1).await?.expect(200)?;
            let stream = cluster.brokers.servers()[0].dir().join("jetstream");
            let older = cluster.dir().join("older");
            cluster.brokers.servers_mut()[0].kill().await?;
            copy_dir(&stream, &older)?;
            cluster.brokers.servers_mut()[0].restart().await?;
            for i in 0..6 {
                eventually("it to be appended", SOON, async || {
                    cluster.post(&format!("lost {i}"), 1).await?.expect(200)
                })
                .await?;
            }
            cluster.wait_equal().await?;
            let (active, standby) = cluster.active_and_standby().await?;
            let end = last_chunk(&cluster.brokers).await?;
            cluster.brokers.servers_mut()[0].kill().await?;
            cluster.masters[active].kill().await?;
            fs::remove_dir_all(&stream).context("the newer storage")?;
            copy_dir(&older, &stream)?;
            cluster.brokers.servers_mut()[0].restart().await?;
            // It remembers nothing of what was lost.
            cluster.masters[active].restart().await?;
            wait_health(&cluster.masters[active], "status", "ok").await?;
            let mut all = vec!["before".to_owned()];
            while last_chunk(&cluster.brokers).await? < end {
                let content = format!("new {}", all.len());
                let body = json!({"content": content, "w": 1});
                let http = cluster.masters[active].http();
                http.post("/messages", &body).await?.expect(200)?;
                all.push(content);
            }
            ensure!(last_chunk(&cluster.brokers).await? == end && all.len() > 1);
            // Now its claim would be taken.
            let code = timeout(GIVEN_UP_WITHIN, cluster.masters[standby].exited()).await??;
            let said = cluster.masters[standby].log_tail(3);
            ensure!(code == 4 && said.contains("lost its end"), "{code}: {said}");
            ensure!(shown(&cluster.masters[active]).await? == all);
            cluster.masters[standby].restart().await?;
            cluster.wait_equal().await?;
            ensure!(shown(&cluster.masters[standby]).await? == all);
            Ok(())
        })
        .await;
}

/// Its operator makes a stream forget, under a master that leads: nothing is acknowledged that would vanish.
#[tokio::test]
async fn a_stream_that_is_made_to_forget_is_used_no_more() {
    HaCluster::builder()
        .masters(1)
        .run(async |cluster| {
            cluster.post("before", 1).await?.expect(200)?;
            let mut config = cluster.brokers.stream(STREAM).await?.json["config"].clone();
            config["max_age"] = json!(3_600_000_000_000_u64);
            let subject = format!("$JS.API.STREAM.UPDATE.{STREAM}");
            let answer = cluster.brokers.ask(&subject, &config.to_string()).await?;
            ensure!(answer.get("error").is_none(), "{answer}");
            let code = timeout(GIVEN_UP_WITHIN, cluster.masters[0].exited()).await??;
            let said = cluster.masters[0].log_tail(3);
            ensure!(code == 4 && said.contains("max_age is"), "{code}: {said}");
            Ok(())
        })
        .await;
}

/// Both followers are gone: the leader of the stream proposes a chunk that it cannot commit, and says "wrong last sequence" to
/// each further copy. That is no proof: nothing is shown and nobody is answered until a majority has it.
#[tokio::test]
async fn a_chunk_that_is_proposed_and_not_committed_is_not_acknowledged() {
    let builder = HaCluster::builder().brokers(3).secondaries(1);
    builder
        .run(async |cluster| {
            cluster.post("before", 2).await?.expect(200)?;
            let (active, standby) = cluster.active_and_standby().await?;
            wait_standby(&cluster.masters[standby]).await?;
            let leader = cluster.brokers.leader_of(STREAM).await?;
            let followers: Vec<usize> = (0..3).filter(|i| *i != leader).collect();
            for follower in &followers {
                cluster.brokers.servers_mut()[*follower].kill().await?;
            }
            let body = json!({"content": "proposed", "w": 1});
            let proposed = cluster.masters[active]
                .http()
                .post_pending("/messages", &body);
            eventually("several copies to be sent", SOON, async || {
                let health = health(&cluster.masters[active]).await?;
                ensure!(
                    health["storage"]["in_flight_ms"].as_u64() > Some(1200),
                    "{health}"
                );
                Ok(())
            })
            .await?;
            // Whoever comes now is told, and does not wait for the servers to choose a leader.
            let body = json!({"content": "refused", "w": 1});
            let answer = cluster.masters[active]
                .http()
                .post("/messages", &body)
                .await?;
            let problem = refused(answer, 503)?;
            let reason = problem["reason"].as_str().context("a reason")?;
            ensure!(reason == "journal" || reason == "standby", "{problem}");
            ensure!(proposed.is_pending(), "it was answered");
            for node in cluster.nodes() {
                ensure!(shown(node).await? == ["before"], "{} shows it", node.name());
            }

            // The one that has it, uncommitted, is killed too; the others know nothing of it.
            cluster.brokers.servers_mut()[leader].kill().await?;
            for follower in &followers {
                cluster.brokers.servers_mut()[*follower].restart().await?;
            }
            let told = told_of(proposed).await?;
            cluster.post("after", 2).await?.expect(200)?;
            cluster.brokers.servers_mut()[leader].restart().await?;
            cluster.brokers.wait_current(STREAM).await?;
            cluster.wait_equal().await?;
            let list = shown(&cluster.masters[active]).await?;
            let times = list.iter().filter(|one| *one == "proposed").count();
            match told {
                Some(true) => ensure!(times == 1, "acknowledged: {list:?}"),
                Some(false) => ensure!(times == 0, "refused: {list:?}"),
                None => ensure!(times <= 1, "{list:?}"),
            }
            ensure!(!list.contains(&"refused".to_owned()), "{list:?}");
            Ok(())
        })
        .await;
}

/// Whether a client knows its message to be in the log, or not to be; `None` where it was not told.
async fn told_of(pending: Pending) -> Result<Option<bool>> {
    let answer = pending.answer().await?;
    let json = answer.json()?;
    Ok(match answer.status {
        200 => Some(true),
        503 if json.get("in_log").is_none() => Some(false),
        _ => json["in_log"].as_bool(),
    })
}
