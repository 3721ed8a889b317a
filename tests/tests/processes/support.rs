//! Questions that more than one behaviour asks.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use replog_tests::harness::{Answer, Cluster, Node, Pending, eventually};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::timeout;

/// Longer than anything takes on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// What a program has that should answer or end at once: the promise is a second, on a machine with nothing else to do.
pub(crate) const AT_ONCE: Duration = Duration::from_secs(3);

/// Asks a node to end by a signal: its exit code is 0, and it takes no longer than that.
pub(crate) async fn ends_within(node: &mut Node, signal: Signal, within: Duration) -> Result<()> {
    let began = Instant::now();
    node.signal(signal)?;
    let code = timeout(SOON, node.exited()).await??;
    ensure!(code == 0, "exit code {code}: {}", node.log_tail(5));
    ensure!(began.elapsed() < within, "it took {:?}", began.elapsed());
    Ok(())
}

/// Waits until what was sent to a node before has been read by it: later requests on other connections were answered.
pub(crate) async fn wait_read(node: &Node) -> Result<()> {
    for _ in 0..5 {
        health(node).await?;
    }
    Ok(())
}

/// Copies a directory with all that is in it.
pub(crate) fn copy_dir(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_dir(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Another master of the same cluster, not started yet.
pub(crate) fn second_master(cluster: &Cluster, args: &[&str]) -> Result<Node> {
    let mut spec = cluster.master.spec().clone();
    spec.name = "master2".to_owned();
    spec.args.extend(args.iter().map(|a| (*a).to_owned()));
    Node::reserve(spec)
}

/// A node's `/health`.
pub(crate) async fn health(node: &Node) -> Result<Value> {
    node.http().get("/health").await?.expect(200)?.json()
}

/// What the master says about one secondary, member or observer.
pub(crate) async fn member(master: &Node, id: &str) -> Result<Value> {
    let health = health(master).await?;
    let mut all = ["members", "observers"]
        .iter()
        .flat_map(|list| health[*list].as_array().into_iter().flatten());
    let found = all.find(|member| member["id"] == id).cloned();
    found.with_context(|| format!("no {id} in {health}"))
}

/// Waits until the master gives a secondary this status; what it says then.
pub(crate) async fn wait_status(master: &Node, id: &str, status: &str) -> Result<Value> {
    eventually(&format!("{id} to be {status}"), SOON, async || {
        let member = member(master, id).await?;
        ensure!(member["status"] == status, "{member}");
        Ok(member)
    })
    .await
}

/// Waits until a field of a node's `/health` has this value.
pub(crate) async fn wait_health(node: &Node, field: &str, value: impl Into<Value>) -> Result<()> {
    let value = value.into();
    let what = format!("{field} of {} to be {value}", node.name());
    eventually(&what, SOON, async || {
        let health = health(node).await?;
        ensure!(health[field] == value, "{health}");
        Ok(())
    })
    .await
}

/// Waits until one secondary shows the master's log, byte for byte: entries, history, epoch and end.
pub(crate) async fn wait_same(master: &Node, secondary: &Node) -> Result<()> {
    let what = format!("{} to show what the master shows", secondary.name());
    eventually(&what, SOON, async || {
        let theirs = secondary.http().get("/messages").await?.expect(200)?.body;
        let ours = master.http().get("/messages").await?.expect(200)?.body;
        ensure!(
            ours == theirs,
            "{} bytes there, {} on the master; it ends with {}",
            theirs.len(),
            ours.len(),
            String::from_utf8_lossy(&theirs[theirs.len().saturating_sub(300)..])
        );
        Ok(())
    })
    .await
}

/// Waits until every secondary shows the master's log, and checks that it counts from 1 without a gap. The contents.
pub(crate) async fn wait_equal(cluster: &Cluster) -> Result<Vec<String>> {
    for secondary in cluster.nodes().skip(1) {
        wait_same(&cluster.master, secondary).await?;
    }
    shown(&cluster.master).await
}

/// The contents a node shows; an error if their positions are not 1, 2, 3 …
pub(crate) async fn shown(node: &Node) -> Result<Vec<String>> {
    let list = node.http().get("/messages").await?.expect(200)?.json()?;
    let messages = list["messages"].as_array().context("messages")?;
    let mut contents = Vec::with_capacity(messages.len());
    for (before, message) in messages.iter().enumerate() {
        ensure!(
            message["seq"] == before + 1,
            "{} shows a gap: {message}",
            node.name()
        );
        contents.push(message["content"].as_str().context("content")?.to_owned());
    }
    ensure!(
        list["last_seq"] == contents.len(),
        "{} of {}",
        list["last_seq"],
        contents.len()
    );
    Ok(contents)
}

/// A refusal as the interface has it: this status, a problem, its own status in the body. The body.
pub(crate) fn refused(answer: Answer, status: u16) -> Result<Value> {
    let answer = answer.expect(status)?;
    let kind = answer.header("content-type").unwrap_or_default();
    ensure!(
        kind == "application/problem+json",
        "{kind:?}: {}",
        answer.text()
    );
    let problem = answer.json()?;
    ensure!(problem["status"] == status, "{problem}");
    for field in ["type", "title", "detail"] {
        ensure!(problem[field].is_string(), "{field} of {problem}");
    }
    Ok(problem)
}

/// A POST that is answered by time alone, if not before: how many nodes hold it. Fails unless it is answered 504.
pub(crate) async fn acks_after(cluster: &Cluster, content: &str, w: u32, ms: u64) -> Result<Value> {
    let body = json!({"content": content, "w": w, "timeout_ms": ms});
    let problem = refused(cluster.master.http().post("/messages", &body).await?, 504)?;
    ensure!(
        problem["reason"] == "timeout" && problem["in_log"] == true,
        "{problem}"
    );
    Ok(problem["acks"].clone())
}

/// Waits for all answers, each 200.
pub(crate) async fn all_ok(pending: Vec<Pending>) -> Result<Vec<Value>> {
    let answers = pending
        .into_iter()
        .map(async |one| one.answer().await?.expect(200)?.json());
    try_join_all(answers).await
}

/// Waits until a node has written a line with all those parts. More than one is an error.
pub(crate) async fn wait_one_line(node: &Node, parts: &[&str]) -> Result<()> {
    eventually("one line of the log", SOON, async || {
        let log = node.log_tail(10_000);
        let is_it = |line: &&str| parts.iter().all(|part| line.contains(part));
        let found: Vec<&str> = log.lines().filter(is_it).collect();
        ensure!(found.len() == 1, "{parts:?}: {found:?}");
        Ok(())
    })
    .await
}

/// The names of the environment's words for "yes, for tests".
pub(crate) const ALLOW_CLEAR: (&str, &str) = ("REPLOG_ALLOW_CLEAR", "true");
/// As above.
pub(crate) const ALLOW_FAULTS: (&str, &str) = ("REPLOG_ALLOW_FAULTS", "true");
