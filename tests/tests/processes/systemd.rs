//! What a service manager hears of the programs: systemd's `Type=notify`.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use replog_tests::harness::{Cluster, Node};
use tokio::net::UnixDatagram;
use tokio::time::timeout;

use crate::support::SOON;

/// Waits for a line that begins like that, whatever comes before; the rest of the line.
async fn heard(manager: &UnixDatagram, beginning: &str) -> Result<String> {
    let mut datagram = [0; 4096];
    let heard = async {
        loop {
            let length = manager.recv(&mut datagram).await?;
            let text = std::str::from_utf8(&datagram[..length])?;
            if let Some(rest) = text.lines().find_map(|line| line.strip_prefix(beginning)) {
                return anyhow::Ok(rest.to_owned());
            }
        }
    };
    timeout(SOON, heard)
        .await
        .with_context(|| format!("no {beginning}"))?
}

/// Starts the node again under a service manager that listens there, and has it end.
async fn managed(node: &mut Node, socket: &Path) -> Result<()> {
    let manager = UnixDatagram::bind(socket)?;
    let variable = ("NOTIFY_SOCKET".to_owned(), socket.display().to_string());
    node.spec_mut().env.push(variable);
    node.restart().await?;
    ensure!(heard(&manager, "READY=").await? == "1");
    // Ready is who answers over HTTP, whatever the answer is.
    node.http().get("/livez").await?.expect(200)?;
    let line = heard(&manager, "STATUS=ok: epoch ").await?;
    ensure!(line.contains("broker connected"), "{line}");
    let code = node.terminate().await?;
    ensure!(code == 0, "exit code {code}");
    ensure!(heard(&manager, "STOPPING=").await? == "1");
    Ok(())
}

#[tokio::test]
async fn it_is_told_that_a_node_is_ready_what_it_does_and_that_it_stops() {
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .run(async |cluster| {
            cluster.wait_healthy(1).await?;
            let (first, second) = (cluster.dir().join("first"), cluster.dir().join("second"));
            managed(cluster.secondary_mut(1), &first).await?;
            managed(&mut cluster.master, &second).await
        })
        .await;
}

#[tokio::test]
async fn a_service_manager_that_is_not_there_stops_nobody_from_serving() {
    let builder = Cluster::builder().env("NOTIFY_SOCKET", "/nobody/listens/here");
    builder
        .run(async |cluster| {
            cluster.post("alone", 1).await?.expect(200)?;
            ensure!(cluster.master.terminate().await? == 0);
            Ok(())
        })
        .await;
}
