//! A secondary's owner task and its channels.

use std::time::Duration;

use replog_common::service::program::Failure;
use replog_common::service::storage::Storage;
use replog_common::service::view::{View, Views};
use replog_common::types::{LogId, NodeId};
use replog_nats::Subjects;
use replog_secondary::faults::Faults;
use replog_secondary::follow::{Follow, NoRoom, Query};
use replog_secondary::health::Health;
use replog_tests::line::Hub;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::CLUSTER;
use super::master::contents;

/// A running secondary. Dropping it kills it.
pub(crate) struct Secondary {
    pub(crate) faults: watch::Sender<Faults>,
    pub(crate) views: Views,
    queries: mpsc::Sender<Query>,
    owner: JoinHandle<Result<(), Failure>>,
}

impl Secondary {
    pub(crate) fn start(
        hub: &Hub,
        name: &str,
        storage: Storage,
        faults: Faults,
        seed: u64,
    ) -> Self {
        let node: NodeId = name.parse().expect("a name");
        let (queries, query_inlet) = mpsc::channel(64);
        let (view, views) = watch::channel(View::empty());
        let (faults, faults_seen) = watch::channel(faults);
        let line = hub.connect(name, Subjects::of(CLUSTER).of_secondary(&node));
        let heartbeat = Duration::from_millis(500);
        let follow = Follow::new(
            node,
            heartbeat,
            storage,
            line,
            faults_seen,
            query_inlet,
            view,
        );
        let owner = tokio::spawn(follow.seeded(seed).run());
        Self {
            faults,
            views,
            queries,
            owner,
        }
    }

    pub(crate) fn contents(&self) -> Vec<String> {
        contents(&self.views.borrow())
    }

    pub(crate) fn last_seq(&self) -> u64 {
        self.views.borrow().last_seq.0
    }

    pub(crate) fn log_id(&self) -> Option<LogId> {
        self.views.borrow().log_id
    }

    pub(crate) async fn health(&self) -> Health {
        self.ask(Query::Health).await
    }

    /// `POST /clear` on it.
    pub(crate) async fn clear(&self) -> Result<(), NoRoom> {
        self.ask(Query::Clear).await
    }

    /// `POST /rejoin` on it.
    pub(crate) async fn rejoin(&self) -> Option<Result<u64, NoRoom>> {
        self.ask(Query::Rejoin).await
    }

    async fn ask<T>(&self, query: impl FnOnce(oneshot::Sender<T>) -> Query) -> T {
        let (reply, answer) = oneshot::channel();
        self.queries.send(query(reply)).await.expect("it runs");
        answer.await.expect("it answers")
    }

    /// Ends it without a word.
    pub(crate) async fn kill(mut self) {
        self.owner.abort();
        (&mut self.owner).await.ok();
    }

    /// Waits for its end and says why.
    pub(crate) async fn ended(&mut self) -> Result<(), Failure> {
        let ended = tokio::time::timeout(Duration::from_secs(600), &mut self.owner).await;
        ended.expect("it ends").expect("no panic")
    }

    /// Whether it runs.
    pub(crate) fn is_running(&self) -> bool {
        !self.owner.is_finished()
    }
}

impl Drop for Secondary {
    fn drop(&mut self) {
        self.owner.abort();
    }
}
