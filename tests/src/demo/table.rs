//! What the demo prints once everything runs.

use std::fmt::Write;

use anyhow::{Context, Result};
use replog_nats::without_user_info;

use super::serve::Running;

/// The nodes and their states, and lines to paste.
pub(super) async fn describe(running: &Running) -> Result<String> {
    let master = running.nodes.first().context("a master")?;
    let health = master.http().get("/health").await?.json()?;
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
    let broker = health["broker"].as_str().unwrap_or("?");
    writeln!(
        out,
        "{:<12} {:<32} {:>8}  {broker}{whose}",
        "nats",
        without_user_info(&running.nats_url),
        ""
    )?;
    for node in &running.nodes {
        let member = members.iter().find(|member| member["id"] == node.name());
        let state = member
            .map_or(&health["status"], |member| &member["status"])
            .as_str()
            .unwrap_or("?");
        let pid = node.pid().map(|pid| pid.to_string()).unwrap_or_default();
        writeln!(
            out,
            "{:<12} {:<32} {pid:>8}  {state}",
            node.name(),
            format!("http://{}", node.addr())
        )?;
    }
    let master_addr = master.addr();
    writeln!(
        out,
        "\nAppend; the answer comes when w nodes hold it, the master included:"
    )?;
    for w in 1..=running.nodes.len().min(3) {
        writeln!(
            out,
            "  curl -s http://{master_addr}/messages -d '{{\"content\": \"hello {w}\", \"w\": {w}}}'"
        )?;
    }
    writeln!(out, "Read, from every node:")?;
    for node in &running.nodes {
        writeln!(out, "  curl -s http://{}/messages", node.addr())?;
    }
    writeln!(
        out,
        "How everybody is:\n  curl -s http://{master_addr}/health"
    )?;
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
        "The cluster's page in a browser:\n  http://{master_addr}/\n\nCtrl-C stops all."
    )?;
    Ok(out)
}
