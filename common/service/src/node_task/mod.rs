//! The one driver of both programs: a task that owns a node, waits, steps it, and carries out what it hands out.
//!
//! ```text
//!                 stop token ┐
//!     inspections (handlers) ┤                  ┌ write, reads ──▶ journal (a blocking thread, one write at a time)
//!            messages (link) ┼▶ step ▶ NODE ▶ ready ┼ messages, events ──▶ link
//!   writes and reads (journal) ┤                ├ replies ──▶ the closure that delivers them
//!        commands (handlers) ┤                  └ snapshot ──▶ a watch that readers have
//!       one timer (deadline) ┘
//! ```
//! The task decides nothing. It takes whatever else is there before it asks the node what is to be done, so that one write,
//! one message and one answer serve many; and it carries out what the node hands out in the order of the fields of
//! [`Ready`]. A slow disk stops no heartbeat, because the task never waits for one.

mod event_log;
mod handle;
mod inbox;
mod jobs;
mod message_log;
mod outbox;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use replog_nats::{ChunkStream, Link, LinkEvent};
use replog_protocol::event::Speaker;
use replog_protocol::ids::{Leadership, Time};
use replog_protocol::node::{Input, LinkState, Node, Page, Ready, Snapshot};
use replog_protocol::wire;
use replog_storage::journal::Journal;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::coop::unconstrained;
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::broker::BrokerLink;
use crate::clock::{Clock, wall_ms};
use crate::exit::Failure;
use crate::metrics::NodeMetrics;
use crate::snapshot::View;

use event_log::EventLog;
use handle::Inspection;
pub use handle::{CommandError, NodeHandle};
use inbox::Inbox;
use jobs::{Finished, JournalJobs};
use outbox::Outbox;

/// Commands, and link events, that are taken at one time, at most: many make one batch, and nobody else waits long.
const MAX_TAKEN: usize = 1024;
/// So many turns of the other tasks, at most, are waited for before a batch is closed: with 64 clients it has half as many
/// entries more than after one turn, and the broker a third less to do.
const MAX_TURNS: usize = 8;
/// How long a node may take to stop, at most.
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// How long the journal may take to close, at most.
const CLOSE_LIMIT: Duration = Duration::from_millis(500);

/// What a node's task needs beside the node, the link, the journal and the closure that delivers replies.
#[derive(Clone, Debug)]
pub struct NodeTaskOptions {
    /// Who says the node's events.
    pub speaker: Speaker,
    /// The clock that the node was made with.
    pub clock: Clock,
    /// The program's stop token: once it is cancelled, the node is given [`Input::Stop`].
    pub stop: CancellationToken,
    /// Commands that may wait for the task, at least 1; further ones are refused. The task takes them all at once, so a queue
    /// as long as the waiting room is long enough.
    pub max_commands: usize,
    /// Inspections that may wait for the task, at least 1; who asks for a further one waits for a place.
    pub max_inspections: usize,
}

/// The task of one node. `D` delivers replies to those who wait.
pub struct NodeTask<N: Node, L, D> {
    node: N,
    link: L,
    deliver: D,
    speaker: Speaker,
    clock: Clock,
    stop: CancellationToken,
    /// When the node must have stopped; `None` while it need not.
    stop_by: Option<Time>,
    commands: mpsc::Receiver<N::Command>,
    inspections: mpsc::Receiver<Inspection<N>>,
    /// Somebody wants to read what is committed.
    wants_committed: Arc<Notify>,
    views: watch::Sender<View>,
    broker: watch::Sender<BrokerLink>,
    /// What was shown last.
    snapshot: Snapshot,
    jobs: JournalJobs,
    inbox: Inbox,
    outbox: Outbox,
    event_log: EventLog,
    metrics: Arc<NodeMetrics>,
    /// What the timer is set to; `None` when the timer has rung, or was never set.
    timer_at: Option<Time>,
}

/// What the task ends with.
type Ended = Result<(), Failure>;

/// What woke the task.
enum Woken<N: Node> {
    Stop,
    Inspection(Inspection<N>),
    Link(LinkEvent),
    Finished(Finished),
    Command(N::Command),
    WantsCommitted,
    Timer,
}

impl<N, L, D> NodeTask<N, L, D>
where
    N: Node,
    L: Link,
    D: FnMut(N::Reply),
{
    /// The task of that node, to be spawned with [`NodeTask::run`], and the handle through which handlers reach it.
    pub fn new(
        node: N,
        link: L,
        journal: Box<dyn Journal>,
        deliver: D,
        options: NodeTaskOptions,
    ) -> (Self, NodeHandle<N>) {
        let (command_sender, commands) = mpsc::channel(options.max_commands);
        let (inspection_sender, inspections) = mpsc::channel(options.max_inspections);
        let snapshot = Snapshot::default();
        let (views, view) = watch::channel(View {
            snapshot: snapshot.clone(),
            reader: journal.reader(),
        });
        let (broker, broker_state) = watch::channel(BrokerLink::default());
        let metrics = Arc::new(NodeMetrics::default());
        let wants_committed = Arc::new(Notify::new());
        let task = Self {
            node,
            link,
            deliver,
            speaker: options.speaker,
            clock: options.clock,
            stop: options.stop,
            stop_by: None,
            commands,
            inspections,
            wants_committed: Arc::clone(&wants_committed),
            views,
            broker,
            snapshot,
            jobs: JournalJobs::new(journal, Arc::clone(&metrics), options.clock.now()),
            inbox: Inbox::new(Arc::clone(&metrics)),
            outbox: Outbox::new(Arc::clone(&metrics)),
            event_log: EventLog::default(),
            metrics: Arc::clone(&metrics),
            timer_at: None,
        };
        let handle = NodeHandle::new(
            command_sender,
            inspection_sender,
            wants_committed,
            view,
            broker_state,
            metrics,
        );
        (task, handle)
    }

    /// The node shares its journal with others: they write to that stream as well.
    #[must_use]
    pub fn sharing(mut self, stream: Box<dyn ChunkStream>) -> Self {
        self.jobs.share(stream);
        self
    }

    /// Runs until the node has come to its end: after the stop token was cancelled, within five seconds.
    ///
    /// # Errors
    /// What ended it before: the broker refuses this program, the journal can be used no more, the node's place is taken.
    ///
    /// # Panics
    /// Where the node or the journal does, or when the node hands out a write while one is in flight: each is a bug.
    pub async fn run(mut self) -> Ended {
        let ended = self.serve().await;
        // What is asked from now on is refused; the node has answered who waits.
        self.commands.close();
        self.link.flush().await;
        self.jobs.close(CLOSE_LIMIT).await;
        ended
    }

    async fn serve(&mut self) -> Ended {
        let stopped = self.stop.clone().cancelled_owned();
        let timer = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(stopped, timer);
        if let ControlFlow::Break(ended) = self.carry_out() {
            return ended;
        }
        loop {
            self.set_timer(timer.as_mut());
            let woken = tokio::select! {
                biased;
                () = &mut stopped, if self.stop_by.is_none() => Woken::Stop,
                Some(inspection) = self.inspections.recv() => Woken::Inspection(inspection),
                event = self.link.next() => Woken::Link(event),
                finished = self.jobs.next() => Woken::Finished(finished),
                Some(command) = self.commands.recv() => Woken::Command(command),
                () = self.wants_committed.notified() => Woken::WantsCommitted,
                () = timer.as_mut() => Woken::Timer,
            };
            let is_command = matches!(woken, Woken::Command(_));
            if let ControlFlow::Break(ended) = self.apply(woken, self.clock.now()) {
                return ended;
            }
            if is_command {
                self.gather().await;
            }
            if let ControlFlow::Break(ended) = self.go_on() {
                return ended;
            }
        }
    }

    /// Lets handlers that are about to send a command get into the same batch: as long as each turn brings more, for a few.
    async fn gather(&mut self) {
        for _ in 0..MAX_TURNS {
            tokio::task::yield_now().await;
            if self.take_commands(self.clock.now()) == 0 {
                return;
            }
        }
    }

    /// Takes the commands that are there, and says how many.
    fn take_commands(&mut self, now: Time) -> usize {
        for taken in 0..MAX_TAKEN {
            let Ok(command) = self.commands.try_recv() else {
                return taken;
            };
            self.node.step(Input::Client(command), now);
        }
        MAX_TAKEN
    }

    /// Takes whatever else is there, lets time pass, and does what is to be done.
    fn go_on(&mut self) -> ControlFlow<Ended> {
        self.take_the_rest()?;
        self.let_time_pass()?;
        self.carry_out()
    }

    fn apply(&mut self, woken: Woken<N>, now: Time) -> ControlFlow<Ended> {
        match woken {
            Woken::Stop => self.tell_to_stop(now),
            Woken::Inspection(inspection) => {
                self.metrics.set_unread(self.link.dropped());
                inspection(&self.node, now);
            }
            Woken::Link(event) => return self.link_event(event, now),
            Woken::Finished(Finished::Write(result)) => {
                self.node.step(Input::Written(result), now);
            }
            Woken::Finished(Finished::Read(pages)) => self.pages(pages, now),
            Woken::Finished(Finished::Check(Err(why))) => {
                return self.fail(Failure::disk_failed(&why));
            }
            Woken::Finished(Finished::Stream(event)) => {
                self.node.step(Input::Stream(event), now);
            }
            Woken::Finished(Finished::Denied(denial)) => {
                match &denial {
                    Some(denial) => {
                        warn!(%denial, "denied: trying on until it is granted again");
                    }
                    None => info!("the broker grants everything of the journal again"),
                }
                self.show_broker(|link| link.journal_denial = denial);
            }
            Woken::Finished(Finished::Unusable(why)) => {
                return self.fail(Failure::cannot_start(why));
            }
            Woken::Command(command) => self.node.step(Input::Client(command), now),
            Woken::WantsCommitted => self.node.step(Input::ShowCommitted, now),
            Woken::Finished(Finished::Check(Ok(()))) | Woken::Timer => {}
        }
        ControlFlow::Continue(())
    }

    fn link_event(&mut self, event: LinkEvent, now: Time) -> ControlFlow<Ended> {
        let input = match event {
            LinkEvent::Up { max_payload } => {
                self.metrics.connected();
                self.show_broker(|link| link.is_up = true);
                Some(Input::Link(LinkState::Up { max_payload }))
            }
            LinkEvent::Down => {
                self.show_broker(|link| link.is_up = false);
                Some(Input::Link(LinkState::Down))
            }
            // Messages may be lost on any link, so the node need not know why these are.
            LinkEvent::Denied(denial) => {
                warn!(%denial, "denied: trying on until it is granted again");
                self.show_broker(|link| link.denial = Some(denial));
                None
            }
            LinkEvent::Granted => {
                info!("the broker grants everything again");
                self.show_broker(|link| link.denial = None);
                None
            }
            LinkEvent::Delivered { address, payload } => self.inbox.read(address, payload, now),
            LinkEvent::Fatal(error) => return self.fail(Failure::cannot_start(error.to_string())),
        };
        if let Some(input) = input {
            self.node.step(input, now);
        }
        ControlFlow::Continue(())
    }

    fn show_broker(&mut self, change: impl FnOnce(&mut BrokerLink)) {
        self.broker.send_modify(change);
    }

    fn take_the_rest(&mut self) -> ControlFlow<Ended> {
        let now = self.clock.now();
        // Unconstrained: tokio's budget of a task must not look like an empty queue.
        for _ in 0..MAX_TAKEN {
            let Some(event) = unconstrained(self.link.next()).now_or_never() else {
                break;
            };
            self.apply(Woken::Link(event), now)?;
        }
        while let Some(finished) = unconstrained(self.jobs.next()).now_or_never() {
            self.apply(Woken::Finished(finished), now)?;
        }
        self.take_commands(now);
        while let Ok(inspection) = self.inspections.try_recv() {
            self.apply(Woken::Inspection(inspection), now)?;
        }
        ControlFlow::Continue(())
    }

    /// Does what is due by now. With one input following the other the timer may never get its turn, so this is asked after
    /// each of them.
    fn let_time_pass(&mut self) -> ControlFlow<Ended> {
        let now = self.clock.now();
        if self.stop_by.is_some_and(|at| at <= now) {
            warn!("not everything was finished in time: ending all the same");
            return ControlFlow::Break(Ok(()));
        }
        if self.node.deadline(now).is_some_and(|at| at <= now) {
            self.node.step(Input::Tick, now);
        }
        if self.jobs.is_damage_due(now) {
            self.look_for_damage(now);
        }
        self.jobs.check_if_due(now);
        ControlFlow::Continue(())
    }

    fn pages(&mut self, pages: Vec<Page>, now: Time) {
        if pages.is_empty() {
            return;
        }
        for page in pages {
            self.node.step(Input::Page(page), now);
        }
        self.look_for_damage(now);
    }

    fn look_for_damage(&mut self, now: Time) {
        if let Some(damaged) = self.jobs.look_for_damage(now) {
            self.node.step(Input::Damaged(damaged), now);
        }
    }

    /// Commands that come from now on are refused by the queue; those that wait in it are refused by the node.
    fn tell_to_stop(&mut self, now: Time) {
        self.commands.close();
        self.stop_by = Some(now + STOP_LIMIT);
        self.node.step(Input::Stop, now);
        while let Ok(command) = self.commands.try_recv() {
            self.node.step(Input::Client(command), now);
        }
    }

    /// Ends because of something that the node cannot know; who waits is answered as for a stop.
    fn fail(&mut self, failure: Failure) -> ControlFlow<Ended> {
        if self.stop_by.is_none() {
            self.tell_to_stop(self.clock.now());
        }
        // What the node would end with is not the reason.
        let _ = self.carry_out();
        ControlFlow::Break(Err(failure))
    }

    /// Does everything that the node wants done by now, and what that brings about.
    fn carry_out(&mut self) -> ControlFlow<Ended> {
        loop {
            let now = self.clock.now();
            let ready = self.node.ready(now);
            if ready.is_empty() {
                return ControlFlow::Continue(());
            }
            self.carry_out_one(ready, now)?;
        }
    }

    /// In the order of the fields.
    fn carry_out_one(&mut self, ready: Ready<N::Reply>, now: Time) -> ControlFlow<Ended> {
        if let Some(after) = ready.follow {
            self.jobs.follow(after);
        }
        if let Some(job) = ready.write
            && let Some(result) = self.jobs.write(job)
        {
            self.node.step(Input::Written(result), now);
        }
        let pages = self.jobs.read(ready.reads);
        self.pages(pages, now);
        self.outbox.send(&mut self.link, ready.messages);
        if let Some(snapshot) = ready.snapshot {
            self.metrics.growth().note(snapshot.last, now);
            self.snapshot = snapshot.clone();
            self.views.send_replace(View {
                snapshot,
                reader: Arc::clone(self.jobs.reader()),
            });
        }
        ready.replies.into_iter().for_each(&mut self.deliver);
        let leadership = self.snapshot.leadership.unwrap_or_default();
        for event in ready.events {
            self.event_log.log(&event, &self.speaker, &leadership);
            self.metrics.note(&event, now);
            self.publish(&event, &leadership);
        }
        match ready.end {
            Some(end) => ControlFlow::Break(Failure::of(end)),
            None => ControlFlow::Continue(()),
        }
    }

    fn publish(&mut self, event: &replog_protocol::event::Event, leadership: &Leadership) {
        let (address, line) = wire::event(self.speaker.clone(), event, leadership, wall_ms());
        if !self.link.send(&address, None, line) {
            debug!(
                kind = event.kind(),
                "an event was not published: the link is down or full"
            );
        }
    }

    /// Sets the one timer to the earliest of what is due.
    fn set_timer(&mut self, timer: Pin<&mut Sleep>) {
        let now = self.clock.now();
        let at = [self.node.deadline(now), self.stop_by]
            .into_iter()
            .flatten()
            .fold(self.jobs.deadline(), Time::min);
        if self.timer_at != Some(at) || timer.is_elapsed() {
            self.timer_at = Some(at);
            timer.reset(self.clock.instant(at));
        }
    }
}

impl<N: Node, L, D> fmt::Debug for NodeTask<N, L, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeTask")
            .field("speaker", &self.speaker)
            .field("snapshot", &self.snapshot)
            .field("stop_by", &self.stop_by)
            .finish_non_exhaustive()
    }
}
