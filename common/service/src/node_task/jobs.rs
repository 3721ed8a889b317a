//! What the journal does beside the node's task: one write at a time, any number of reads, and a look now and then whether
//! the journal is still there.
//!
//! Where masters share a journal, a write that is a chunk has to be in its stream before the node's own storage takes it; and
//! the node is told of the stream while no write is in flight.

use std::sync::Arc;
use std::time::Duration;

use replog_nats::{ChunkStream, ChunkStreamEvent, Denial};
use replog_protocol::chunk::ChunkSeq;
use replog_protocol::chunk_writer::Fate;
use replog_protocol::entry::EntryBatch;
use replog_protocol::ids::{Seq, Time};
use replog_protocol::node::{Page, Purpose, Read, StreamEvent, WriteJob, WriteResult};
use replog_storage::journal::{Begun, Journal, LogReader};
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio::time::Instant;
use tracing::{error, info};

use crate::metrics::NodeMetrics;

/// The journal is asked that often which entries it has found damaged: readers over HTTP find them as well.
const DAMAGE_INTERVAL: Duration = Duration::from_millis(500);
/// The journal is asked that often whether it still lies where it was opened.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// What the stream has taken waits so long for room in the node's own storage before that is tried again.
const ROOM_INTERVAL: Duration = Duration::from_secs(1);

/// The journal, and what it is doing.
#[derive(Debug)]
pub(super) struct JournalJobs {
    journal: Box<dyn Journal>,
    reader: Arc<dyn LogReader>,
    /// The stream, where masters share it.
    stream: Option<Box<dyn ChunkStream>>,
    write: Option<JoinHandle<WriteResult>>,
    /// A chunk that is on its way into the stream.
    chunk: Option<WriteJob>,
    /// What is being stored, where masters share a stream: it has to be, whatever room there is.
    storing: Option<WriteJob>,
    /// When that is tried again.
    room_at: Option<Instant>,
    /// When the last write began, and how many entries it has.
    writing: (Instant, u64),
    metrics: Arc<NodeMetrics>,
    reads: JoinSet<Vec<Page>>,
    check: Option<JoinHandle<Result<(), String>>>,
    check_at: Time,
    damage_at: Time,
    /// What was damaged when that was asked last.
    damaged: Vec<Seq>,
    /// The last write found no room.
    is_full: bool,
    /// The node is to be told that the own storage has no room for what the stream has taken.
    tells_no_room: bool,
}

/// What has ended.
#[derive(Debug)]
pub(super) enum Finished {
    Write(WriteResult),
    Read(Vec<Page>),
    Check(Result<(), String>),
    Stream(StreamEvent),
    /// What the broker refuses of the stream; `None` once it refuses nothing.
    Denied(Option<Denial>),
    /// The stream cannot be used by this program.
    Unusable(String),
}

impl JournalJobs {
    /// Nothing is being done yet; the first looks are due `now`. Counts in `metrics`.
    pub(super) fn new(journal: Box<dyn Journal>, metrics: Arc<NodeMetrics>, now: Time) -> Self {
        let reader = journal.reader();
        Self {
            journal,
            reader,
            stream: None,
            write: None,
            chunk: None,
            storing: None,
            room_at: None,
            writing: (Instant::now(), 0),
            metrics,
            reads: JoinSet::new(),
            check: None,
            check_at: now,
            damage_at: now,
            damaged: Vec::new(),
            is_full: false,
            tells_no_room: false,
        }
    }

    /// Other masters write to that stream as well.
    pub(super) fn share(&mut self, stream: Box<dyn ChunkStream>) {
        self.stream = Some(stream);
    }

    /// The chunks after that one are wanted.
    pub(super) fn follow(&mut self, after: ChunkSeq) {
        if let Some(stream) = &mut self.stream {
            stream.follow(after);
        }
    }

    /// Reads what is durable.
    pub(super) fn reader(&self) -> &Arc<dyn LogReader> {
        &self.reader
    }

    /// Hands a write to the journal; its result, if it has ended already.
    pub(super) fn write(&mut self, job: WriteJob) -> Option<WriteResult> {
        assert!(
            self.write.is_none() && self.chunk.is_none() && self.storing.is_none(),
            "one write at a time"
        );
        let entries = job.entries.iter().map(EntryBatch::count).sum();
        self.writing = (Instant::now(), entries);
        if let Some(stream) = self.stream.as_mut().filter(|_| job.chunk.is_some()) {
            stream.write(&job);
            self.chunk = Some(job);
            return None;
        }
        self.store(job)
    }

    /// Hands a write to the node's own storage.
    fn store(&mut self, job: WriteJob) -> Option<WriteResult> {
        self.storing = self.stream.is_some().then(|| job.clone());
        match self.journal.write(job) {
            Begun::Done(result) => self.stored(result),
            Begun::Blocking(run) => {
                self.write = Some(tokio::task::spawn_blocking(run));
                None
            }
        }
    }

    /// The own storage has answered: what that comes to. What the stream has taken, or what others have written there, is tried
    /// again until there is room for it.
    fn stored(&mut self, result: WriteResult) -> Option<WriteResult> {
        self.write = None;
        if result == WriteResult::DiskFull && self.storing.is_some() {
            self.room_at = Some(Instant::now() + ROOM_INTERVAL);
            self.tells_no_room = !self.is_full;
            self.note_full();
            return None;
        }
        self.storing = None;
        Some(self.written(result))
    }

    /// The fate of the chunk on its way is known: the result, unless the own storage has still to take it.
    fn settled(&mut self, fate: Fate) -> Option<WriteResult> {
        let job = self.chunk.take()?;
        let result = match fate {
            Fate::Stored => return self.store(job),
            Fate::Taken => WriteResult::Conflict,
            Fate::Full => WriteResult::DiskFull,
            Fate::Lost(why) => WriteResult::Failed(why),
        };
        Some(self.written(result))
    }

    fn note_full(&mut self) {
        self.metrics.found_no_room();
        if !std::mem::replace(&mut self.is_full, true) {
            error!("there is no room: nothing is stored until there is; what is there can be read");
        }
    }

    fn written(&mut self, result: WriteResult) -> WriteResult {
        self.write = None;
        self.reader = self.journal.reader();
        let (began, entries) = self.writing;
        self.metrics.wrote(entries, began.elapsed());
        match &result {
            WriteResult::DiskFull => self.note_full(),
            WriteResult::Done { .. } if self.is_full => {
                self.is_full = false;
                info!("there is room again");
            }
            WriteResult::Done { .. } => {}
            WriteResult::Conflict => info!("another master has written to the journal before"),
            WriteResult::Failed(error) => error!(%error, "the log can be used no more"),
        }
        result
    }

    /// Reads what is asked for; the pages that wait for nothing. All look-ups are one job: a batch asks for thousands.
    pub(super) fn read(&mut self, reads: Vec<Read>) -> Vec<Page> {
        let (mut pages, mut look_ups) = (Vec::new(), Vec::new());
        for read in reads {
            match self.reader.read_now(&read.query) {
                Some(entries) => pages.push(Page {
                    purpose: read.purpose,
                    entries,
                }),
                None if matches!(read.purpose, Purpose::Duplicate(_)) => look_ups.push(read),
                None => self.begin(vec![read]),
            }
        }
        if !look_ups.is_empty() {
            self.begin(look_ups);
        }
        pages
    }

    fn begin(&mut self, reads: Vec<Read>) {
        let reader = Arc::clone(&self.reader);
        self.reads.spawn_blocking(move || {
            let read = |Read { purpose, query }| Page {
                purpose,
                entries: reader.read(&query),
            };
            reads.into_iter().map(read).collect()
        });
    }

    /// What ends next. Cancel-safe.
    pub(super) async fn next(&mut self) -> Finished {
        loop {
            if std::mem::take(&mut self.tells_no_room) {
                return Finished::Stream(StreamEvent::NoRoom);
            }
            // While the own storage takes something, the stream waits.
            let stream = self.stream.as_mut().filter(|_| self.storing.is_none());
            let result = tokio::select! {
                biased;
                result = ended(&mut self.write) => self.stored(result),
                event = next_of(stream) => match event {
                    ChunkStreamEvent::Stream(event) => return Finished::Stream(event),
                    ChunkStreamEvent::Denied(denial) => return Finished::Denied(Some(denial)),
                    ChunkStreamEvent::Granted => return Finished::Denied(None),
                    ChunkStreamEvent::Unusable(why) => return Finished::Unusable(why),
                    ChunkStreamEvent::Written(fate) => self.settled(fate),
                },
                () = until(self.room_at) => {
                    self.room_at = None;
                    self.storing.take().and_then(|job| self.store(job))
                }
                Some(pages) = self.reads.join_next() => return Finished::Read(unwrapped(pages).await),
                checked = ended(&mut self.check) => {
                    self.check = None;
                    return Finished::Check(checked);
                }
            };
            if let Some(result) = result {
                return Finished::Write(result);
            }
        }
    }

    /// When the next look is due.
    pub(super) fn deadline(&self) -> Time {
        match self.check {
            None => self.damage_at.min(self.check_at),
            Some(_) => self.damage_at,
        }
    }

    /// Whether the next look for damaged entries is due.
    pub(super) fn is_damage_due(&self, now: Time) -> bool {
        self.damage_at <= now
    }

    /// All entries that the journal knows to be damaged, if they are others than at the last look.
    pub(super) fn look_for_damage(&mut self, now: Time) -> Option<Vec<Seq>> {
        self.damage_at = now + DAMAGE_INTERVAL;
        let damaged = self.reader.damaged();
        if damaged == self.damaged {
            return None;
        }
        self.damaged.clone_from(&damaged);
        Some(damaged)
    }

    /// Begins to look whether the journal is still there, if that is due. One look at a time: a disk that hangs is no reason
    /// to look more often.
    pub(super) fn check_if_due(&mut self, now: Time) {
        if self.check.is_some() || now < self.check_at {
            return;
        }
        self.check_at = now + CHECK_INTERVAL;
        let reader = Arc::clone(&self.reader);
        self.check = Some(tokio::task::spawn_blocking(move || reader.check()));
    }

    /// Closes the journal, within `limit`: so much time is given to a disk that is slow. Where a write still hangs, the
    /// journal is left as it is: to close it would wait for the same disk.
    pub(super) async fn close(self, limit: Duration) {
        let Self {
            journal,
            reader,
            write,
            ..
        } = self;
        if write.is_some_and(|write| !write.is_finished()) {
            std::mem::forget((journal, reader));
            return;
        }
        let closing = tokio::task::spawn_blocking(move || drop((journal, reader)));
        // Whether it has closed in time, and how, changes nothing any more: the next start finds out.
        let _ = tokio::time::timeout(limit, closing).await;
    }
}

/// What happens next with a stream, if there is one.
async fn next_of(stream: Option<&mut Box<dyn ChunkStream>>) -> ChunkStreamEvent {
    match stream {
        Some(stream) => std::future::poll_fn(|cx| stream.poll_next(cx)).await,
        None => std::future::pending().await,
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// The result of a job, once there is one.
async fn ended<T>(job: &mut Option<JoinHandle<T>>) -> T {
    match job {
        Some(handle) => unwrapped(handle.await).await,
        None => std::future::pending().await,
    }
}

/// The result of a job that has ended. A panic goes on here; a job that the end of the runtime has cancelled has no result.
async fn unwrapped<T>(result: Result<T, JoinError>) -> T {
    match result.map_err(JoinError::try_into_panic) {
        Ok(result) => result,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        Err(Err(_cancelled)) => std::future::pending().await,
    }
}
