//! This program as a NATS service (NATS ADR-32): it shows up in `nats service ls`, `info` and `stats`.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use async_nats::Client;
use async_nats::service::ServiceExt;
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::Value;

/// What a service says of itself.
#[derive(Clone)]
pub struct NatsService {
    /// The kind of program, such as `replog-master`.
    pub name: &'static str,
    /// The release, as semver wants it.
    pub version: &'static str,
    /// A sentence.
    pub description: &'static str,
    /// Which cluster, the second token of its subjects.
    pub cluster: String,
    /// Which node of it.
    pub node: String,
    /// What the statistics say beside the library's own: an object.
    pub stats: Arc<dyn Fn() -> Value + Send + Sync>,
}

impl fmt::Debug for NatsService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsService")
            .field("name", &self.name)
            .field("cluster", &self.cluster)
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

impl NatsService {
    /// Answers as a service for as long as the connection lives. Where the broker does not permit it nobody hears of the service,
    /// and nothing else changes.
    pub(crate) async fn serve(&self, client: &Client) {
        if let Err(error) = self.answer(client).await {
            tracing::warn!(%error, "this node is no NATS service");
        }
    }

    async fn answer(&self, client: &Client) -> Result<(), async_nats::Error> {
        let metadata = [("cluster", &self.cluster), ("node", &self.node)];
        let metadata = metadata.map(|(name, value)| (name.to_owned(), value.clone()));
        let stats = Arc::clone(&self.stats);
        let service = client.service_builder().description(self.description);
        let service = service
            .metadata(HashMap::from(metadata))
            .stats_handler(move |_, _| stats());
        let service = service.start(self.name, self.version).await?;
        // Statistics belong to endpoints. This one is where the permissions of services allow it.
        let subject = format!("$SRV.STATUS.{}.{}", self.cluster, self.node);
        let endpoint = service.endpoint_builder().name("status").add(subject);
        let mut requests = endpoint.await?;
        while let Some(request) = requests.next().await {
            let stats = Bytes::from((self.stats)().to_string());
            // Who has asked without saying where to is not answered.
            if let Err(error) = request.respond(Ok(stats)).await {
                tracing::debug!(%error, "a request for the status was not answered");
            }
        }
        Ok(())
    }
}

/// Whether a refusal of the broker is about services alone, on which nothing depends.
pub(crate) fn is_about_services(violation: &str) -> bool {
    violation.contains("\"$SRV.") || violation.contains("\"_INBOX.")
}
