//! What both programs say at a scrape.

use std::sync::Arc;
use std::time::Duration;

use replog_protocol::node::Node;
use replog_storage::journal::LogReader;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::http::HttpMetrics;
use super::page::MetricsPage;
use super::process::{ProcessInfo, ProcessUsage};
use crate::http::access::LogAccess;
use crate::node_task::NodeHandle;

/// How long a scrape waits for a disk: a disk that hangs must not hide everything else.
const DISK_PATIENCE: Duration = Duration::from_secs(1);

/// Makes the page of a scrape, with what any node says.
#[derive(Debug)]
pub struct Scraper {
    process: ProcessInfo,
    http: Arc<HttpMetrics>,
    /// One look at the disk at a time: scrapes of a disk that hangs take one thread together.
    disk: Arc<Semaphore>,
}

impl Scraper {
    /// Of this process, whose HTTP server counts in `http`.
    #[must_use]
    pub fn new(process: ProcessInfo, http: Arc<HttpMetrics>) -> Self {
        Self {
            process,
            http,
            disk: Arc::new(Semaphore::new(1)),
        }
    }

    /// What the HTTP server counts in.
    #[must_use]
    pub fn http(&self) -> &Arc<HttpMetrics> {
        &self.http
    }

    /// The page so far: the process, the build, HTTP, the broker, the journal. The node's own numbers are added by its program.
    /// What the system does not tell in time is left out.
    pub async fn page<N: Node>(&self, node: &NodeHandle<N>, log: &LogAccess) -> MetricsPage {
        let bytes = self.log_bytes(log.now().reader).await;
        let usage = tokio::task::spawn_blocking(ProcessUsage::now).await;
        let mut page = MetricsPage::default();
        self.process.write(usage.as_ref().ok(), &mut page);
        self.http.write(log.open_streams(), &mut page);
        node.metrics().write(node.broker(), &mut page);
        if let Some(bytes) = bytes {
            page.gauge(
                "replog_log_bytes",
                "Bytes of the log: in memory, or of its files with the room reserved in them",
                bytes,
            );
        }
        page
    }

    async fn log_bytes(&self, reader: Arc<dyn LogReader>) -> Option<u64> {
        let disk = Arc::clone(&self.disk);
        let look = async move {
            let turn = disk.acquire_owned().await.ok()?;
            let look = tokio::task::spawn_blocking(move || {
                let bytes = reader.bytes();
                drop(turn);
                bytes
            });
            look.await.ok()?.ok()
        };
        timeout(DISK_PATIENCE, look).await.ok()?
    }
}
