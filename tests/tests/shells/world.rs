//! A master and secondaries, each a task, over a broker in memory.

use std::collections::BTreeMap;
use std::time::Duration;

use replog_nats::Subjects;
use replog_protocol::entry::Content;
use replog_protocol::event::Speaker;
use replog_protocol::follower::{self, Follower, FollowerConfig};
use replog_protocol::ids::{LogId, MasterId, MessageId, NodeId, Seq, StorageId};
use replog_protocol::leader::command::{Answer, Append, AppendRequest, Command, Reply};
use replog_protocol::leader::dedup::DeduplicateBy;
use replog_protocol::leader::recovery::{RecoverySettings, Requires};
use replog_protocol::leader::settings::Replication;
use replog_protocol::leader::{Leader, LeaderConfig};
use replog_protocol::node::{Identity, Node, Query, Restored};
use replog_protocol::write_concern::WriteConcern;
use replog_service::client::Client;
use replog_service::clock::Clock;
use replog_service::exit::Failure;
use replog_service::node_task::{NodeHandle, NodeTask, NodeTaskOptions};
use replog_storage::journal::Journal;
use replog_storage::memory::MemoryJournal;
use replog_tests::memory_link::MemoryBroker;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// So many milliseconds.
pub(crate) fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// So many seconds.
pub(crate) fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// One node's task.
#[derive(Debug)]
pub(crate) struct Running<N: Node> {
    pub(crate) handle: NodeHandle<N>,
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<Result<(), Failure>>,
}

impl<N: Node> Running<N> {
    /// The contents that readers see.
    pub(crate) fn contents(&self) -> Vec<String> {
        let view = self.handle.views().borrow().clone();
        let (mut all, mut next) = (Vec::new(), Seq(1));
        while next <= view.snapshot.last {
            let query = Query::Range {
                first: next,
                last: view.snapshot.last,
                max_bytes: usize::MAX,
            };
            let batch = view
                .reader
                .read(&query)
                .unwrap()
                .expect("entries that are shown");
            all.extend(batch.iter().map(|entry| entry.text().into_owned()));
            next = batch.last().next();
        }
        all
    }

    /// Waits until readers see so many entries.
    pub(crate) async fn shows(&self, count: usize) {
        let mut views = self.handle.views();
        let reached = views.wait_for(|view| view.snapshot.last.0 >= count as u64);
        let reached = timeout(secs(60), reached).await;
        assert!(
            reached.is_ok(),
            "{count} entries never came, only {:?}",
            self.contents()
        );
    }

    /// Ends the task as a crash does: nothing is said any more.
    pub(crate) fn kill(self) {
        self.task.abort();
    }
}

/// The settings of a world.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) seed: u64,
    pub(crate) listed: Vec<NodeId>,
    pub(crate) replication: Replication,
    pub(crate) max_commands: usize,
}

impl Setup {
    /// With those listed members.
    pub(crate) fn listed(names: &[&str]) -> Self {
        Self {
            seed: 1,
            listed: names.iter().map(|n| n.parse().unwrap()).collect(),
            replication: Replication::default(),
            max_commands: 10_000,
        }
    }
}

/// All of them.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) broker: MemoryBroker,
    pub(crate) setup: Setup,
    pub(crate) master: Running<Leader<Client<Answer>>>,
    pub(crate) secondaries: BTreeMap<String, Running<Follower<()>>>,
    ids: u128,
}

impl World {
    /// A master alone.
    pub(crate) async fn new(setup: Setup) -> Self {
        let broker = MemoryBroker::new("test", setup.seed);
        let master = start_master(&broker, &setup, 1);
        Self {
            broker,
            setup,
            master,
            secondaries: BTreeMap::new(),
            ids: 1000,
        }
    }

    /// With every listed secondary.
    pub(crate) async fn whole(setup: Setup) -> Self {
        let names: Vec<String> = setup.listed.iter().map(ToString::to_string).collect();
        let mut world = Self::new(setup).await;
        for name in names {
            world.start(&name);
        }
        world
    }

    /// Starts a secondary, empty; the one that ran under this name is killed.
    pub(crate) fn start(&mut self, name: &str) {
        self.start_on(name, Box::new(MemoryJournal::new()));
    }

    /// The same with that journal, which holds nothing.
    pub(crate) fn start_on(&mut self, name: &str, journal: Box<dyn Journal>) {
        self.kill(name);
        self.ids += 1;
        let node: NodeId = name.parse().unwrap();
        let subscriptions = Subjects::of("test").of_secondary(&node);
        let identity = Identity {
            node: node.clone(),
            storage: StorageId(Uuid::from_u128(self.ids)),
        };
        let config = FollowerConfig {
            identity,
            heartbeat_interval: self.setup.replication.heartbeat_interval,
            seed: self.setup.seed,
            url: None,
        };
        let follower: Follower<()> = Follower::new(config, Restored::default());
        let (clock, stop) = (Clock::start(), CancellationToken::new());
        let (task, handle) = NodeTask::new(
            follower,
            self.broker.connect(name, subscriptions),
            journal,
            |_: follower::Reply<()>| {},
            NodeTaskOptions {
                speaker: Speaker::Secondary(node),
                clock,
                stop: stop.clone(),
                max_commands: 16,
                max_inspections: 16,
            },
        );
        let task = tokio::spawn(task.run());
        let running = Running { handle, stop, task };
        self.secondaries.insert(name.to_owned(), running);
    }

    /// Kills a secondary.
    pub(crate) fn kill(&mut self, name: &str) {
        if let Some(running) = self.secondaries.remove(name) {
            running.kill();
        }
    }

    /// Kills the master, and starts another one that is empty.
    pub(crate) fn restart_master(&mut self) {
        self.ids += 1;
        let next = start_master(&self.broker, &self.setup, self.ids);
        std::mem::replace(&mut self.master, next).kill();
    }

    /// Appends; the answer comes through the receiver.
    pub(crate) fn post(
        &mut self,
        content: &str,
        w: u64,
        wait: Option<Duration>,
    ) -> oneshot::Receiver<Answer> {
        self.ids += 1;
        let (waiter, answer) = Client::new();
        let append = Append {
            requests: vec![AppendRequest {
                content: Content::from_text(content),
                message_id: MessageId(Uuid::from_u128(self.ids)),
                is_new_id: true,
            }],
            w: WriteConcern::Count(w),
            timeout: wait,
            expected_seq: None,
            load: None,
            request_id: None,
            waiter,
        };
        let sent = self.master.handle.try_command(Command::Append(append));
        sent.expect("the queue has room");
        answer
    }

    /// Appends, and waits for the answer, which must be that so many nodes hold it.
    pub(crate) async fn must_post(&mut self, content: &str, w: u64) {
        let answer = self.post(content, w, None);
        match timeout(secs(60), answer).await {
            Ok(Ok(Answer::Replicated { acks, .. })) => assert!(u64::from(acks) >= w),
            other => panic!("{content}: {other:?}"),
        }
    }

    /// Waits until every secondary shows what the master shows.
    pub(crate) async fn all_alike(&self) {
        let contents = self.master.contents();
        for (name, secondary) in &self.secondaries {
            secondary.shows(contents.len()).await;
            assert_eq!(secondary.contents(), contents, "{name}");
        }
    }
}

fn start_master(broker: &MemoryBroker, setup: &Setup, id: u128) -> Running<Leader<Client<Answer>>> {
    let config = LeaderConfig {
        master: MasterId(Uuid::from_u128(id)),
        new_log_id: LogId(Uuid::from_u128(id)),
        listed: Some(setup.listed.clone()),
        deduplicate_by: DeduplicateBy::MessageId,
        shares_journal: false,
        remember_ids: None,
        read_only_without_quorum: false,
        recovery: RecoverySettings {
            timeout: secs(3),
            listen: setup.replication.heartbeat_interval,
            retry: secs(1),
            takeover: false,
            requires: Requires::Any,
        },
        replication: setup.replication.clone(),
        url: None,
    };
    let (clock, stop) = (Clock::start(), CancellationToken::new());
    let (task, handle) = NodeTask::new(
        Leader::new(config, Restored::default()),
        broker.connect("master", Subjects::of("test").of_master()),
        Box::new(MemoryJournal::new()),
        |reply: Reply<Client<Answer>>| reply.waiter.answer(reply.answer),
        NodeTaskOptions {
            speaker: Speaker::Master,
            clock,
            stop: stop.clone(),
            max_commands: setup.max_commands,
            max_inspections: 16,
        },
    );
    let task = tokio::spawn(task.run());
    Running { handle, stop, task }
}
