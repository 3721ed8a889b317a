//! How handlers reach a node that another task owns.

use std::fmt;
use std::sync::Arc;

use replog_nats::Denial;
use replog_protocol::ids::Time;
use replog_protocol::node::Node;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::broker::{BrokerLink, BrokerState};
use crate::client::Client;
use crate::metrics::NodeMetrics;
use crate::snapshot::{View, Views};

/// A closure that looks at the node, in the node's task.
pub(super) type Inspection<N> = Box<dyn FnOnce(&N, Time) + Send>;

/// Reaches a node's task from anywhere; cheap to clone. A handle keeps no task running.
pub struct NodeHandle<N: Node> {
    commands: mpsc::Sender<N::Command>,
    inspections: mpsc::Sender<Inspection<N>>,
    wants_committed: Arc<Notify>,
    views: watch::Receiver<View>,
    broker: watch::Receiver<BrokerLink>,
    metrics: Arc<NodeMetrics>,
}

/// A command that the node never gets: nothing has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The queue is full: the task does not keep up.
    #[error("the queue of the log's owner is full")]
    Full,
    /// The program stops, or its task has ended.
    #[error("the program stops")]
    Stopped,
}

impl<N: Node> NodeHandle<N> {
    pub(super) fn new(
        commands: mpsc::Sender<N::Command>,
        inspections: mpsc::Sender<Inspection<N>>,
        wants_committed: Arc<Notify>,
        views: watch::Receiver<View>,
        broker: watch::Receiver<BrokerLink>,
        metrics: Arc<NodeMetrics>,
    ) -> Self {
        Self {
            commands,
            inspections,
            wants_committed,
            views,
            broker,
            metrics,
        }
    }

    /// Queues a command for the node. The answer comes through the command itself; a waiter that is dropped
    /// unanswered was either never taken by the node, or the node did not stop in time.
    ///
    /// # Errors
    /// The command is refused: nothing has happened, nothing will.
    pub fn try_command(&self, command: N::Command) -> Result<(), CommandError> {
        self.commands
            .try_send(command)
            .map_err(|error| match error {
                TrySendError::Full(_) => CommandError::Full,
                TrySendError::Closed(_) => CommandError::Stopped,
            })
    }

    /// Queues a command for the node, and waits for the answer; `None` where the node has ended without one.
    ///
    /// # Errors
    /// The command is refused: nothing has happened, nothing will.
    pub async fn ask<A>(
        &self,
        command: impl FnOnce(Client<A>) -> N::Command,
    ) -> Result<Option<A>, CommandError> {
        let (client, answer) = Client::new();
        self.try_command(command(client))?;
        Ok(answer.await.ok())
    }

    /// Looks at the node as it is now: `look` runs in the node's task, so it must be short. `None` once the task has ended.
    pub async fn inspect<T: Send + 'static>(
        &self,
        look: impl FnOnce(&N, Time) -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let inspection: Inspection<N> = Box::new(move |node, now| {
            // Who asked may be gone by now.
            let _ = answer.send(look(node, now));
        });
        self.inspections.send(inspection).await.ok()?;
        answered.await.ok()
    }

    /// What readers see: the newest view, and a wake-up for each later one.
    #[must_use]
    pub fn views(&self) -> Views {
        self.views.clone()
    }

    /// To be notified when somebody wants to read what is committed: what is known of it is then stored, and shown.
    #[must_use]
    pub fn wants_committed(&self) -> Arc<Notify> {
        Arc::clone(&self.wants_committed)
    }

    /// How the link to the broker is.
    #[must_use]
    pub fn broker(&self) -> BrokerState {
        self.broker.borrow().state()
    }

    /// What the broker refuses, if anything; where it refuses several things, one of them.
    #[must_use]
    pub fn denial(&self) -> Option<Denial> {
        self.broker.borrow().denial().cloned()
    }

    /// What the task counts.
    #[must_use]
    pub fn metrics(&self) -> &Arc<NodeMetrics> {
        &self.metrics
    }
}

impl<N: Node> Clone for NodeHandle<N> {
    fn clone(&self) -> Self {
        Self {
            commands: self.commands.clone(),
            inspections: self.inspections.clone(),
            wants_committed: Arc::clone(&self.wants_committed),
            views: self.views.clone(),
            broker: self.broker.clone(),
            metrics: Arc::clone(&self.metrics),
        }
    }
}

impl<N: Node> fmt::Debug for NodeHandle<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeHandle").finish_non_exhaustive()
    }
}
