//! etcd: three nodes, each synced as etcd always does.

use std::ffi::OsStr;

use anyhow::{Context, Result, bail, ensure};
use hyper::StatusCode;
use tempfile::TempDir;

use super::post::{Post, Poster};
use super::{Process, System};
use crate::bench::program::{self, Program};
use crate::harness::HttpClient;
use crate::harness::ports::PortLease;

const NODES: usize = 3;

/// Three nodes. Dropping it ends them.
#[derive(Debug)]
pub struct Etcd {
    /// To the leader, so that no request needs another step.
    post: Post,
    nodes: Vec<Program>,
    _dir: TempDir,
}

impl Etcd {
    /// Starts them and waits until they have a leader.
    ///
    /// # Errors
    /// There is no `etcd` on that path, or it does not start: from version 3.6 on it has no `--enable-v2`, whose in-order
    /// keys are the nearest that etcd has to a log.
    pub async fn start(path: &OsStr, content: &str) -> Result<Self> {
        let program = program::find("etcd", path)?;
        let dir = TempDir::with_prefix("replog-etcd-").context("a directory for etcd")?;
        let ports = (0..NODES)
            .map(|_| Ok((PortLease::take()?, PortLease::take()?)))
            .collect::<Result<Vec<_>>>()?;
        let url = |port: &PortLease| format!("http://{}", port.addr());
        let clients: Vec<_> = ports.iter().map(|(client, _)| client.addr()).collect();
        let members: Vec<String> = ports
            .iter()
            .enumerate()
            .map(|(i, (_, peer))| format!("etcd{i}={}", url(peer)))
            .collect();
        let mut nodes = Vec::new();
        for (i, (client, peer)) in ports.into_iter().enumerate() {
            let home = dir.path().join(format!("etcd{i}"));
            std::fs::create_dir(&home)?;
            let own = [
                ("--name", format!("etcd{i}")),
                ("--data-dir", home.join("data").display().to_string()),
                ("--listen-client-urls", url(&client)),
                ("--advertise-client-urls", url(&client)),
                ("--listen-peer-urls", url(&peer)),
                ("--initial-advertise-peer-urls", url(&peer)),
                ("--initial-cluster", members.join(",")),
                ("--initial-cluster-state", "new".to_owned()),
            ];
            let args = own
                .into_iter()
                .flat_map(|(flag, value)| [flag.to_owned(), value])
                .chain(["--enable-v2".to_owned()])
                .collect();
            nodes.push(Program::spawn(&program, args, vec![client, peer], &home)?);
        }
        let leader = program::ready(&mut nodes, "a leader of etcd", async || {
            for &addr in &clients {
                let answer = HttpClient::new(addr).get("/v2/stats/self").await?;
                if answer.expect(200)?.json()?["state"] == "StateLeader" {
                    return Ok(addr);
                }
            }
            bail!("no node leads")
        })
        .await?;
        let plain = content.bytes().all(|b| b == b' ' || b.is_ascii_lowercase());
        ensure!(
            plain,
            "a content that a form can carry without escapes but spaces"
        );
        let post = Post {
            addr: leader,
            path: "/v2/keys/log",
            content_type: "application/x-www-form-urlencoded",
            body: format!("value={}", content.replace(' ', "+")).into(),
            status: StatusCode::CREATED,
        };
        Ok(Self {
            post,
            nodes,
            _dir: dir,
        })
    }
}

impl System for Etcd {
    type Connection = Poster;

    async fn connect(&self) -> Result<Poster> {
        self.post.connect().await
    }

    async fn request(connection: &mut Poster) -> Result<()> {
        connection.post().await
    }

    fn processes(&self) -> Vec<Process> {
        self.nodes.iter().map(Program::process).collect()
    }
}
