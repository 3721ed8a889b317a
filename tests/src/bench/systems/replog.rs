//! This project: a master, two secondaries, a broker.

use anyhow::Result;
use bytes::Bytes;
use serde_json::json;

use super::post::{Post, Poster};
use super::{Process, System};
use crate::harness::Cluster;

/// The same request again and again.
#[derive(Debug)]
pub struct Replog {
    request: Post,
    /// An append that every node must have.
    by_all: Post,
    processes: Vec<Process>,
}

impl Replog {
    /// Appends `content` to that cluster, which must go on running.
    #[must_use]
    pub fn new(cluster: &Cluster, w: u32, content: &str) -> Self {
        Self::with(cluster, append(cluster, w, content), content)
    }

    /// Makes that request to the master of that cluster, which must go on running; an entry of its own is `content`.
    #[must_use]
    pub fn with(cluster: &Cluster, request: Post, content: &str) -> Self {
        let nodes = cluster
            .nodes()
            .map(|node| Process::new(node.name(), node.pid()));
        let broker = Process::new("broker", cluster.broker.pid());
        let mut processes: Vec<Process> = nodes.collect();
        let everybody = u32::try_from(processes.len()).unwrap_or(u32::MAX);
        processes.push(broker);
        Self {
            request,
            by_all: append(cluster, everybody, content),
            processes,
        }
    }
}

fn append(cluster: &Cluster, w: u32, content: &str) -> Post {
    let body = json!({"content": content, "w": w}).to_string();
    Post::message(cluster.master.addr(), Bytes::from(body))
}

impl System for Replog {
    type Connection = Poster;

    async fn connect(&self) -> Result<Poster> {
        self.request.connect().await
    }

    async fn request(connection: &mut Poster) -> Result<()> {
        connection.post().await
    }

    fn processes(&self) -> Vec<Process> {
        self.processes.clone()
    }

    /// With `w` = 1 the secondaries may be behind what was answered; they have it before they have one more entry.
    async fn settle(&self) -> Result<()> {
        self.by_all.connect().await?.post().await
    }
}
