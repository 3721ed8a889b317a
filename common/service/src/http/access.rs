//! What a handler needs to read the log: the newest view, and the stop of the program.

use std::sync::Arc;
use std::time::Duration;

use replog_protocol::ids::Seq;
use replog_protocol::node::{Node, Query, ReadError};
use replog_storage::journal::LogReader;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::committed::Level;
use super::problem::Problem;
use super::waiting_room::{WaitingPlace, WaitingRoom};
use crate::metrics::HttpLimit;
use crate::node_task::NodeHandle;
use crate::snapshot::{View, Views};

/// How long a request for the log waits for a master that recovers.
pub const RECOVERY_PATIENCE: Duration = Duration::from_secs(5);
/// How long a reader waits for a node to store what it knows to be committed.
const COMMIT_PATIENCE: Duration = Duration::from_secs(1);

/// So many answers that are made as a whole, and may be large, are there at one time.
const LARGE_ANSWERS: usize = 4;

/// Access to the log of this node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LogAccess {
    views: Views,
    stop: CancellationToken,
    streams: Arc<Semaphore>,
    max_streams: usize,
    waiting_room: WaitingRoom,
    large_answers: Arc<Semaphore>,
    wants_committed: Arc<Notify>,
}

/// One of the streams that there may be, as long as this value lives.
#[derive(Debug)]
pub struct StreamPermit {
    _stream: OwnedSemaphorePermit,
    _place: WaitingPlace,
}

/// How a wait for a view has ended.
#[derive(Clone, Debug)]
pub enum Waited {
    /// The view is there.
    Reached(View),
    /// The time was up before.
    TimedOut,
    /// The program is about to end.
    Stopping,
}

impl LogAccess {
    /// Reads what the node shows until `stop` is cancelled; so many streams at once, among so many connections.
    #[must_use]
    pub fn new<N: Node>(
        node: &NodeHandle<N>,
        stop: CancellationToken,
        max_streams: usize,
        max_connections: usize,
    ) -> Self {
        let room = WaitingRoom::within(max_connections);
        Self::of_views(
            node.views(),
            node.wants_committed(),
            stop,
            max_streams,
            room,
        )
    }

    pub(super) fn of_views(
        views: Views,
        wants_committed: Arc<Notify>,
        stop: CancellationToken,
        max_streams: usize,
        waiting_room: WaitingRoom,
    ) -> Self {
        let streams = max_streams.min(Semaphore::MAX_PERMITS);
        Self {
            views,
            stop,
            streams: Arc::new(Semaphore::new(streams)),
            max_streams: streams,
            waiting_room,
            large_answers: Arc::new(Semaphore::new(LARGE_ANSWERS)),
            wants_committed,
        }
    }

    /// What is shown now, also by a master that recovers.
    #[must_use]
    pub fn now(&self) -> View {
        self.views.borrow().clone()
    }

    /// Has the node store what it knows to be committed and has not stored yet. Waits for nothing.
    pub fn store_committed(&self) {
        let snapshot = &self.views.borrow().snapshot;
        if !snapshot.committed.covers(&snapshot.committed_soon) {
            self.wants_committed.notify_one();
        }
    }

    /// Whether the program is about to end.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Waits until the program is about to end.
    pub(super) async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    /// Whether the log that `view` shows is the one that is shown now: neither its end nor all of it was taken out since.
    #[must_use]
    pub fn is_current(&self, view: &View) -> bool {
        self.views.borrow().snapshot.generation == view.snapshot.generation
    }

    /// Waits for a view with that quality, at most so long, and not longer than the program runs.
    pub async fn wait_for(
        &self,
        within: Duration,
        mut is_awaited: impl FnMut(&View) -> bool,
    ) -> Waited {
        if let Some(view) = Some(self.now()).filter(|view| is_awaited(view)) {
            return Waited::Reached(view);
        }
        if within.is_zero() {
            return Waited::TimedOut;
        }
        let mut views = self.views.clone();
        tokio::select! {
            biased;
            reached = views.wait_for(is_awaited) => match reached {
                Ok(view) => Waited::Reached(view.clone()),
                Err(_) => Waited::Stopping, // the owner of the log has ended
            },
            () = self.stop.cancelled() => Waited::Stopping,
            () = tokio::time::sleep(within) => Waited::TimedOut,
        }
    }

    /// As [`LogAccess::wait_for`], for a reader of that level: what is known to be committed is stored meanwhile, so that it can
    /// be shown.
    pub async fn wait_at(
        &self,
        level: Level,
        within: Duration,
        mut is_awaited: impl FnMut(&View) -> bool,
    ) -> Waited {
        self.wait_for(within, |view| {
            let is_reached = is_awaited(view);
            if !is_reached && level.is_behind(&view.snapshot) {
                self.wants_committed.notify_one();
            }
            is_reached
        })
        .await
    }

    /// What is shown to a reader of that level, with all that is known to be committed by now.
    ///
    /// # Errors
    /// As [`LogAccess::readable`].
    pub async fn readable_at(&self, level: Level) -> Result<View, Problem> {
        let view = self.readable().await?;
        if !level.is_behind(&view.snapshot) {
            return Ok(view);
        }
        self.wants_committed.notify_one();
        let (known, generation) = (view.snapshot.committed_soon, view.snapshot.generation);
        let is_shown = |view: &View| {
            let shown = &view.snapshot;
            shown.committed.covers(&known) || shown.generation != generation
        };
        // A node that cannot store it in time shows what it has stored.
        self.wait_for(COMMIT_PATIENCE, is_shown).await;
        self.readable().await // the master may recover again
    }

    /// What is shown, once it is known what is to be shown.
    ///
    /// # Errors
    /// 503 when a master still recovers after [`RECOVERY_PATIENCE`], or the program is about to end.
    pub async fn readable(&self) -> Result<View, Problem> {
        let readable = |view: &View| view.snapshot.is_readable;
        match self.wait_for(RECOVERY_PATIENCE, readable).await {
            Waited::Reached(view) => Ok(view),
            Waited::Stopping => Err(Problem::stopping()),
            Waited::TimedOut => Err(Problem::unavailable(
                "recovering",
                "the master has to ask the secondaries first what they hold, once the broker is there",
            )),
        }
    }

    /// How many streams are open.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.max_streams - self.streams.available_permits()
    }

    /// Room for one more stream, given back when the permit is dropped.
    ///
    /// # Errors
    /// 503 when there are as many as there may be.
    pub fn stream_permit(&self) -> Result<StreamPermit, Problem> {
        let permit = Arc::clone(&self.streams).try_acquire_owned();
        let stream = permit.map_err(|_| {
            Problem::unavailable(
                "too_many_streams",
                "as many streams are open as there may be",
            )
            .at_limit(HttpLimit::MaxStreams)
        })?;
        Ok(StreamPermit {
            _stream: stream,
            _place: self.waiting_place()?,
        })
    }

    /// Room for one more answer that is in memory as a whole, and may be large: to be held until it is sent.
    ///
    /// # Errors
    /// 503 when there are as many as there may be.
    pub(super) fn large_answer(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let permit = Arc::clone(&self.large_answers).try_acquire_owned();
        permit.map_err(|_| {
            Problem::unavailable(
                "too_many_streams",
                "as many large answers are being sent as there may be",
            )
            .at_limit(HttpLimit::MaxStreams)
        })
    }

    /// A place for a request that may wait for longer than its answer takes: to be held until it is answered.
    ///
    /// # Errors
    /// 503 when those that wait leave hardly a connection to the others.
    pub fn waiting_place(&self) -> Result<WaitingPlace, Problem> {
        self.waiting_room.take()
    }
}

/// Reads entries; where that waits for a disk, not on a thread that serves.
///
/// # Errors
/// As [`LogReader::read`].
pub async fn read(
    reader: &Arc<dyn LogReader>,
    query: Query,
) -> Result<Option<replog_protocol::entry::EntryBatch>, ReadError> {
    if let Some(read) = reader.read_now(&query) {
        return read;
    }
    let reader = Arc::clone(reader);
    off_thread(move || reader.read(&query)).await
}

/// Does what waits for a disk, on a thread that may wait.
///
/// # Errors
/// What it ends with; [`ReadError::Failed`] if it has panicked.
pub async fn off_thread<T: Send + 'static>(
    run: impl FnOnce() -> Result<T, ReadError> + Send + 'static,
) -> Result<T, ReadError> {
    let failed = |error: tokio::task::JoinError| ReadError::Failed(error.to_string());
    tokio::task::spawn_blocking(run).await.map_err(failed)?
}

/// A log that cannot be read, for the client: 503 where it soon can be again.
#[must_use]
pub fn unreadable(error: &ReadError) -> Problem {
    match error {
        ReadError::Damaged(seq) => damaged(*seq),
        ReadError::Gone => {
            Problem::unavailable("recovering", "the log was replaced just now: read it again")
        }
        ReadError::Failed(_) => {
            tracing::error!(%error, "the log cannot be read");
            Problem::internal(format!("the log cannot be read: {error}"))
        }
    }
}

fn damaged(seq: Seq) -> Problem {
    let detail = format!(
        "entry {seq} is damaged on this node's disk; it is fetched again from another node that holds it"
    );
    Problem::unavailable("damaged", detail).with_field("seq", seq)
}
