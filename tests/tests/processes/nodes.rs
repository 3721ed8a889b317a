//! The harness does to nodes what the other tests take for granted.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use replog_nats::Credentials;
use replog_tests::harness::cluster::messages_of;
use replog_tests::harness::hidden;
use replog_tests::harness::{Cluster, eventually};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::timeout;

#[tokio::test]
async fn a_cluster_appends_and_shows() {
    let cluster = Cluster::builder().secondaries(2).listed(true);
    cluster
        .run(async |cluster| {
            cluster.wait_healthy(2).await?;
            cluster.post("hello", 3).await?.expect(200)?;
            for node in cluster.nodes() {
                assert_eq!(messages_of(node).await?, ["hello"], "{}", node.name());
            }
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn a_node_is_killed_stopped_terminated_and_started_again() {
    let cluster = Cluster::builder().secondaries(1).listed(true);
    cluster
        .run(async |cluster| {
            cluster.wait_healthy(1).await?;
            cluster.kill_secondary(1).await?;
            cluster.wait_healthy(0).await?;
            let waits = cluster.post_pending("while away", 2);
            cluster
                .wait_messages(&cluster.master, &["while away"])
                .await?;
            assert!(waits.is_pending());
            cluster.start_secondary(1).await?;
            waits.answer().await?.expect(200)?;

            cluster.secondary(1).stop().await?;
            cluster.wait_healthy(0).await?;
            let brief = cluster
                .secondary(1)
                .http()
                .with_deadline(Duration::from_millis(100));
            assert!(
                brief.get("/livez").await.is_err(),
                "a stopped process answers nothing"
            );
            cluster.secondary(1).resume()?;
            cluster.wait_healthy(1).await?;
            assert_eq!(cluster.secondary_mut(1).terminate().await?, 0);
            assert!(!cluster.secondary_mut(1).is_running());
            Ok(())
        })
        .await;
}

/// As `.ci/interop` wants it; it would show nothing if the real one were started all the same.
#[tokio::test]
async fn another_program_takes_the_place_of_a_secondary() {
    let builder = Cluster::builder().secondaries(1).absent(1);
    builder
        .run(async |cluster| {
            let other = (hidden::OTHER_SECONDARY.to_owned(), "false".to_owned());
            let node = cluster.secondary_mut(1);
            node.spec_mut().env.push(other);
            node.spawn()?;
            ensure!(node.exited().await? == 1);
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn hanging_up_closes_the_connection_and_leaves_the_entry() {
    let cluster = Cluster::builder().secondaries(1).absent(1).listed(true);
    cluster
        .run(async |cluster| {
            let waits = cluster.post_pending("nobody waits for me", 2);
            cluster
                .wait_messages(&cluster.master, &["nobody waits for me"])
                .await?;
            waits.hang_up().await;
            cluster.start_secondary(1).await?;
            cluster
                .wait_messages(cluster.secondary(1), &["nobody waits for me"])
                .await
        })
        .await;
}

#[tokio::test]
async fn the_acceptance_check_passes() -> Result<()> {
    let demo = tokio::process::Command::new(hidden::program()?)
        .arg("acceptance")
        .kill_on_drop(true)
        .output();
    let output = timeout(Duration::from_secs(120), demo).await??;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{said}");
    Ok(())
}

/// The broker's guard, the broker, the master and a secondary end when the demo cannot say goodbye.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_killed_parent_leaves_no_orphan() -> Result<()> {
    let left_behind = tempfile::tempdir()?;
    let mut demo = tokio::process::Command::new(hidden::program()?)
        .args(["--secondaries", "1"])
        .env_remove("NATS_URL")
        // What it cannot tidy up any more.
        .env("TMPDIR", left_behind.path())
        .stdout(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let id = demo.id().unwrap_or_default();
    let soon = Duration::from_secs(30);
    let family = eventually("four descendants", soon, async || {
        let found = descendants_of(id);
        ensure!(found.len() == 4, "{found:?}");
        Ok(found)
    })
    .await?;
    demo.kill().await?;
    eventually("all of them to be gone", soon, async || {
        let left: Vec<_> = family.iter().filter(|id| is_alive(**id)).collect();
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
    .await
}

/// The settings of the shell are of another broker; its usual port is somebody else's.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_demo_says_where_its_broker_is_keeps_secrets_to_itself_and_leaves_nothing() -> Result<()>
{
    // Where this fails somebody has it already.
    let _taken = std::net::TcpListener::bind(("127.0.0.1", 4222));
    let mut demo = tokio::process::Command::new(hidden::program()?)
        .args(["--secondaries", "1"])
        .env_remove("NATS_URL")
        .envs(Credentials::VARIABLES.map(|name| (name, "s3cret")))
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let soon = Duration::from_secs(30);
    let mut lines = BufReader::new(demo.stdout.take().context("its output")?).lines();
    let mut said = Vec::new();
    while !said.iter().any(|line| line == "Ctrl-C stops all.") {
        let line = timeout(soon, lines.next_line()).await??;
        said.push(line.with_context(|| format!("it has ended: {said:?}"))?);
    }
    let is_told = |line: &&String| line.starts_with("port 4222 is taken: nats-server listens on ");
    ensure!(said.iter().filter(is_told).count() == 1, "{said:?}");

    let id = demo.id().context("it runs")?;
    let family = descendants_of(id);
    ensure!(family.len() == 4, "{family:?}");
    for member in &family {
        let environ = std::fs::read(format!("/proc/{member}/environ"))?;
        let environ = String::from_utf8_lossy(&environ);
        ensure!(!environ.contains("s3cret"), "process {member} has them");
    }
    let pid = Pid::from_raw(id.cast_signed()).context("an id")?;
    kill_process(pid, Signal::INT)?;
    let status = timeout(soon, demo.wait()).await??;
    ensure!(status.success(), "{status}");
    let left: Vec<_> = family.iter().filter(|id| is_alive(**id)).collect();
    ensure!(left.is_empty(), "{left:?}");
    Ok(())
}

#[cfg(target_os = "linux")]
fn descendants_of(id: u32) -> Vec<u32> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{id}/task")) else {
        return Vec::new();
    };
    let lists = tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let mut found: Vec<u32> = Vec::new();
    for list in lists {
        for child in list.split_whitespace().filter_map(|id| id.parse().ok()) {
            found.push(child);
            found.extend(descendants_of(child));
        }
    }
    found
}

/// One that has ended but that nobody has asked about yet does not count.
#[cfg(target_os = "linux")]
fn is_alive(id: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}
