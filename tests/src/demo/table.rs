//! What the demo prints once everything runs.

use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, Result};
use replog_nats::without_user_info;
use serde_json::Value;

use super::serve::{BROKER, OWN_TOKEN, Running, is_set};

/// How long a master is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// The state of a node of which its master says nothing.
const UNKNOWN: &str = "?";

/// The nodes and their states, as far as the master says them.
pub(super) async fn nodes(running: &Running) -> Result<String> {
    let master = running.nodes.first().context("a master")?;
    let http = master.http().with_deadline(PATIENCE);
    let health = match http.get("/health").await {
        Ok(answer) => answer.json()?,
        Err(_) => Value::Null,
    };
    let members = health["members"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let whose = if running.broker.is_some() {
        ""
    } else {
        " (not started by the demo)"
    };
    let mut out = String::new();
    writeln!(
        out,
        "{:<12} {:<32} {:>8}  STATE",
        "NODE", "ADDRESS", "PROCESS"
    )?;
    let broker = match running.paused.contains(BROKER) {
        true => "paused",
        false => health["broker"].as_str().unwrap_or(UNKNOWN),
    };
    writeln!(
        out,
        "{:<12} {:<32} {:>8}  {broker}{whose}",
        BROKER,
        without_user_info(&running.nats_url),
        ""
    )?;
    for node in &running.nodes {
        let member = members.iter().find(|member| member["id"] == node.name());
        let said = member.map_or(&health["status"], |member| &member["status"]);
        let state = match node.pid() {
            None => "killed",
            Some(_) if running.paused.contains(node.name()) => "paused",
            Some(_) => said.as_str().unwrap_or(UNKNOWN),
        };
        let pid = node.pid().map(|pid| pid.to_string()).unwrap_or_default();
        writeln!(
            out,
            "{:<12} {:<32} {pid:>8}  {state}",
            node.name(),
            node.url()
        )?;
    }
    out.truncate(out.trim_end().len());
    Ok(out)
}

/// The nodes and their states, and lines to paste.
pub(super) async fn describe(running: &Running) -> Result<String> {
    let master = running.nodes.first().context("a master")?;
    let mut out = nodes(running).await?;
    out.push('\n');
    let (curl, url) = (curl(), master.url());
    writeln!(
        out,
        "\nAppend; the answer comes when w nodes hold it, the master included:"
    )?;
    for w in 1..=running.nodes.len().min(3) {
        writeln!(
            out,
            "  {curl} {url}/messages -d '{{\"content\": \"hello {w}\", \"w\": {w}}}'"
        )?;
    }
    writeln!(out, "Read, from every node:")?;
    for node in &running.nodes {
        writeln!(out, "  {curl} {}/messages", node.url())?;
    }
    writeln!(out, "How everybody is:\n  {curl} {url}/health")?;
    writeln!(
        out,
        "Everything that goes over the broker:\n  nats -s {} sub 'replog.>'",
        without_user_info(&running.nats_url)
    )?;
    writeln!(
        out,
        "What the nodes write:\n  tail -f {}/*.log",
        running.logs.path().display()
    )?;
    writeln!(
        out,
        "The cluster's page in a browser:\n  {url}/\n\nType `kill secondary1`, `start secondary1`, `watch`, or `help` for more.\nCtrl-C stops all."
    )?;
    Ok(out)
}

/// How a line to paste begins: with the names of the variables, never with what is in them.
fn curl() -> String {
    let mut curl = "curl -s".to_owned();
    if is_set("REPLOG_TLS_CERT") {
        curl.push_str(r#" --cacert "$REPLOG_TLS_CERT""#);
    }
    if is_set(OWN_TOKEN) {
        curl.push_str(r#" -H "Authorization: Bearer $REPLOG_TOKEN_ADMIN""#);
    }
    curl
}
