//! This project: a master, two secondaries, a broker.

use std::net::SocketAddr;

use anyhow::Result;
use bytes::Bytes;
use serde_json::json;

use super::post::{Post, Poster};
use super::{Process, System};
use crate::harness::{Cluster, HaCluster};

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

    /// Appends `content` to the master that leads in a cluster whose masters share a journal, and which must go on running.
    #[must_use]
    pub fn sharing(cluster: &HaCluster, w: u32, content: &str) -> Self {
        // The first one was there alone at first.
        let master = cluster.masters[0].addr();
        let nodes = cluster
            .nodes()
            .map(|node| Process::new(node.name(), node.pid()));
        let mut processes: Vec<Process> = nodes.collect();
        let everybody = cluster.secondaries.len() + 1;
        let brokers = cluster.brokers.servers().iter().enumerate();
        processes.extend(brokers.map(|(n, b)| Process::new(&format!("broker{}", n + 1), b.pid())));
        Self {
            request: append_to(master, w, content),
            by_all: append_to(
                master,
                u32::try_from(everybody).unwrap_or(u32::MAX),
                content,
            ),
            processes,
        }
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
    append_to(cluster.master.addr(), w, content)
}

fn append_to(master: SocketAddr, w: u32, content: &str) -> Post {
    let body = json!({"content": content, "w": w}).to_string();
    Post::message(master, Bytes::from(body))
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
