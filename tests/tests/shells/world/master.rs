//! The master's owner task, its command channel and its router.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use replog_common::entry::Content;
use replog_common::log::LogStore;
use replog_common::message::Life;
use replog_common::protocol::dedup::DeduplicateBy;
use replog_common::protocol::leader::{Leader, LeaderConfig, OnDisk};
use replog_common::protocol::outcome::{Draft, Outcome, Placement, ReadOnly, Refusal};
use replog_common::service::program::Failure;
use replog_common::service::storage::Storage;
use replog_common::service::view::{View, Views};
use replog_common::types::{Epoch, Instance, LogId, MessageId, Seq, WriteConcern};
use replog_master::command::{AppendCommand, Query};
use replog_master::http::{self, router};
use replog_master::sequencer::{Inlets, Sequencer};
use replog_nats::Subjects;
use replog_tests::line::Hub;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tower::ServiceExt;
use uuid::Uuid;

use super::{CLUSTER, Disk, Setup};

/// What a client waits for. Dropping it hangs up.
pub(crate) type Answer = oneshot::Receiver<Result<(Placement, Outcome), Refusal>>;

/// A running master.
pub(crate) struct Master {
    commands: mpsc::Sender<AppendCommand>,
    queries: mpsc::Sender<Query>,
    views: Views,
    router: Router,
    owner: JoinHandle<Result<(), Failure>>,
}

impl Master {
    pub(crate) fn start(hub: &Hub, setup: &Setup) -> Self {
        let (commands, command_inlet) = mpsc::channel(setup.replication.max_waiting);
        let (queries, query_inlet) = mpsc::channel(64);
        let (view, views) = watch::channel(View::empty());
        let max_payload = Arc::new(AtomicUsize::new(1 << 20));
        let inlets = Inlets {
            commands: command_inlet,
            queries: query_inlet,
            views: view,
            max_payload: Arc::clone(&max_payload),
        };
        let names = setup.listed.iter().map(|n| n.parse().expect("a name"));
        let mut replication = setup.replication.clone();
        replication.seed = setup.seed;
        let config = LeaderConfig {
            life: Life {
                log_id: LogId(Uuid::new_v4()),
                epoch: Epoch(1),
                instance: Instance(Uuid::new_v4()),
            },
            recovery: setup.recovery.clone(),
            listed: (!setup.listed.is_empty()).then(|| names.collect()),
            deduplicate_by: DeduplicateBy::MessageId,
            read_only_without_quorum: false,
            replication,
        };
        let storage = setup
            .disk
            .as_ref()
            .map_or_else(Storage::memory, Disk::storage);
        let (last, standing) = (storage.last(), storage.standing.clone());
        let leader = match standing {
            None => Leader::new(config),
            Some(standing) => Leader::on_disk(config, OnDisk { standing, last }),
        };
        let line = hub.connect("master", Subjects::of(CLUSTER).of_master());
        let sequencer = Sequencer::new(leader, storage, line, inlets, WriteConcern::All);
        let router = router(http::Master {
            deduplicate_by: DeduplicateBy::MessageId,
            commands: commands.clone(),
            queries: queries.clone(),
            views: views.clone(),
            max_payload,
            listed: (!setup.listed.is_empty()).then_some(setup.listed.len()),
            default_w: WriteConcern::All,
            allow_clear: true,
        });
        let owner = tokio::spawn(sequencer.run());
        Self {
            commands,
            queries,
            views,
            router,
            owner,
        }
    }

    /// Appends as a handler does, and hands out what the client waits for.
    pub(crate) fn post(&self, content: &str, w: u32, timeout: Option<Duration>) -> Answer {
        let draft = Draft {
            content: Content::from_text(content),
            message_id: MessageId(Uuid::new_v4()),
            w: WriteConcern::Count(w),
            until: None,
            expected_seq: None,
            older: Default::default(),
        };
        let (waiter, answer) = oneshot::channel();
        let command = AppendCommand {
            draft,
            timeout,
            waiter,
        };
        if let Err(full) = self.commands.try_send(command) {
            let refusal = Err(Refusal::ReadOnly(ReadOnly::TooManyWaiting));
            full.into_inner().waiter.send(refusal).ok();
        }
        answer
    }

    /// Appends and waits for the answer.
    pub(crate) async fn append(&self, content: &str, w: u32) -> u32 {
        super::acks(self.post(content, w, None).await.expect("an answer"))
    }

    /// A request to the router, as if it had come through a socket.
    pub(crate) fn call<B: Into<Body>>(
        &self,
        method: &str,
        uri: &str,
        body: B,
    ) -> impl Future<Output = (u16, Value)> + Send + use<B> {
        let request = Request::builder().method(method).uri(uri);
        let request = request.body(body.into()).expect("a request");
        let router = self.router.clone();
        async move {
            let answer = router.oneshot(request).await.expect("routers do not fail");
            let status = answer.status().as_u16();
            let body = answer.into_body().collect().await.expect("a whole body");
            let json = serde_json::from_slice(&body.to_bytes()).expect("an answer in JSON");
            (status, json)
        }
    }

    pub(crate) async fn query<T>(&self, query: impl FnOnce(oneshot::Sender<T>) -> Query) -> T {
        let (reply, answer) = oneshot::channel();
        self.queries.send(query(reply)).await.expect("it runs");
        answer.await.expect("it answers")
    }

    pub(crate) async fn stop(&self) {
        self.queries.send(Query::Stop).await.expect("it runs");
    }

    /// Who holds an entry.
    pub(crate) async fn holders(&self, seq: u64) -> Vec<String> {
        self.query(|reply| Query::Holders(Seq(seq), reply)).await
    }

    /// `GET /health`.
    pub(crate) async fn health(&self) -> Value {
        let (status, health) = self.call("GET", "/health", "").await;
        assert_eq!(status, 200);
        health
    }

    /// The status of each member.
    pub(crate) async fn statuses(&self) -> Vec<String> {
        let health = self.health().await;
        let members = health["members"].as_array().expect("members");
        let status = |m: &Value| m["status"].as_str().expect("a status").to_owned();
        members.iter().map(status).collect()
    }

    /// How many members are healthy.
    pub(crate) async fn healthy(&self) -> usize {
        let statuses = self.statuses().await;
        statuses.iter().filter(|s| *s == "healthy").count()
    }

    pub(crate) fn log(&self) -> Arc<dyn LogStore> {
        Arc::clone(&self.views.borrow().log)
    }

    pub(crate) fn contents(&self) -> Vec<String> {
        contents(&self.views.borrow())
    }

    pub(crate) fn log_id(&self) -> LogId {
        self.views.borrow().log_id.expect("a master has a history")
    }

    /// With what its owner task ends.
    pub(crate) async fn ended(&mut self) -> Result<(), Failure> {
        let ended = tokio::time::timeout(Duration::from_secs(600), &mut self.owner).await;
        ended.expect("it ends").expect("it does not panic")
    }

    /// Ends it without a word.
    pub(crate) async fn kill(&mut self) {
        self.owner.abort();
        (&mut self.owner).await.ok();
    }

    /// Whether its owner task has ended, well or not.
    pub(crate) fn has_ended(&self) -> bool {
        self.owner.is_finished()
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        self.owner.abort();
    }
}

/// What a node shows, in order.
pub(crate) fn contents(view: &View) -> Vec<String> {
    let all = view.log.read(Seq(1), view.last_seq, u64::MAX, usize::MAX);
    let entries = all.expect("memory").entries().expect("its own text");
    for (place, entry) in (1..).zip(&entries) {
        assert_eq!(entry.seq, Seq(place), "no hole, no entry twice");
    }
    entries
        .iter()
        .map(|e| e.content().text().into_owned())
        .collect()
}
