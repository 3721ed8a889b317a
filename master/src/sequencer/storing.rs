//! What the owner of the log writes: at once in memory; on a disk one write after the other, beside everything else, each
//! with all that has queued up during the one before (group commit).

use std::future::pending;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use replog_common::entry::{Entry, Position};
use replog_common::log::disk::put_aside;
use replog_common::log::{Batch, LogStore, Standing, StoreError};
use replog_common::service::clock::wall_ms;
use replog_common::service::exit::Exit;
use replog_common::service::program::Failure;
use replog_common::types::{LogId, Seq, Time};
use replog_nats::Link;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use super::Sequencer;
use crate::command::Cleared;

/// After a disk was full, what has nothing to do with a client is tried again that often.
const FULL_PAUSE: Duration = Duration::from_secs(1);

/// The disk's side of the owner.
#[derive(Debug)]
pub(super) struct OnDisk {
    dir: PathBuf,
    /// What is on the disk of where the master stands.
    written: Standing,
    job: Option<JoinHandle<Done>>,
    /// Still to be taken out: what lies behind this.
    cut: Option<Position>,
    /// Still to begin anew, and who waits for that.
    clear: Option<oneshot::Sender<Cleared>>,
    /// Raised whenever what is being written is not the end of the log any more.
    generation: u64,
    /// The disk was full.
    full_until: Option<Time>,
}

/// What a write has come to.
#[derive(Debug)]
pub(super) struct Done {
    result: Result<Written, StoreError>,
    generation: u64,
    standing: Standing,
    cut: Option<Position>,
    clear: Option<oneshot::Sender<Cleared>>,
}

#[derive(Debug)]
struct Written {
    /// The log that goes on, if the former one was cleared.
    new: Option<Arc<dyn LogStore>>,
    last: Option<Seq>,
    aside: Option<PathBuf>,
}

impl OnDisk {
    pub(super) fn new(dir: PathBuf, written: Standing) -> Self {
        Self {
            dir,
            written,
            job: None,
            cut: None,
            clear: None,
            generation: 0,
            full_until: None,
        }
    }

    /// The write that is under way.
    pub(super) async fn done(disk: &mut Option<Self>) -> Done {
        let Some(job) = disk.as_mut().and_then(|disk| disk.job.as_mut()) else {
            return pending().await;
        };
        match job.await {
            Ok(done) => done,
            Err(panic) => Done {
                result: Err(StoreError::Failed(panic.to_string())),
                generation: 0,
                standing: Standing::default(),
                cut: None,
                clear: None,
            },
        }
    }

    /// When something is to be tried again.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.full_until
    }

    /// What is being written, or waits for that, is not the log any more: a new one begins.
    pub(super) fn clear(&mut self, reply: oneshot::Sender<Cleared>) {
        self.generation += 1;
        self.cut = None;
        self.clear = Some(reply);
    }
}

impl<L: Link> Sequencer<L> {
    /// Whether everything that is said from now on is of a life that would be remembered.
    pub(super) fn is_life_written(&self) -> bool {
        let life = self.leader.life();
        self.disk.as_ref().is_none_or(|disk| {
            let written = &disk.written;
            (written.log_id, written.epoch) == (Some(life.log_id), life.epoch)
        })
    }

    /// Writes what was placed meanwhile.
    pub(super) fn store(&mut self) -> Result<(), Failure> {
        match self.disk.is_some() {
            true => {
                self.write_to_disk();
                Ok(())
            }
            false => self.write_to_memory(),
        }
    }

    fn write_to_memory(&mut self) -> Result<(), Failure> {
        let keep = self.leader.take_cut();
        let staged = self.leader.take_staged();
        if keep.is_none() && staged.is_empty() {
            return Ok(());
        }
        let batch = Batch {
            keep,
            entries: &staged,
            standing: None,
        };
        self.store.write(&batch).map_err(|e| disk_failed(&e))?;
        if let Some(last) = staged.last() {
            self.leader.stored(last.seq);
        }
        self.show();
        Ok(())
    }

    fn write_to_disk(&mut self) {
        let now = self.clock.now();
        let Some(disk) = &mut self.disk else {
            return;
        };
        if let Some(cut) = self.leader.take_cut() {
            disk.generation += 1;
            let earlier = disk.cut.filter(|c| c.seq < cut.seq);
            disk.cut = Some(earlier.unwrap_or(cut));
        }
        if disk.job.is_some() || disk.full_until.is_some_and(|until| now < until) {
            return;
        }
        disk.full_until = None;
        let standing = self.leader.standing();
        let is_idle = disk.cut.is_none() && disk.clear.is_none() && !self.leader.has_staged();
        if is_idle && (standing == disk.written || self.leader.is_recovering()) {
            return;
        }
        let clear = disk.clear.take();
        let cut = disk.cut.take();
        let entries = match clear {
            Some(_) => Vec::new(),
            None => self.leader.take_staged(),
        };
        let generation = disk.generation;
        // What was only fetched, and not all of it, is kept by others.
        let aside = (disk.written.log_id)
            .filter(|_| cut.is_some() && !disk.written.is_partial)
            .map(|log_id| (disk.dir.clone(), log_id));
        let log = Arc::clone(&self.store);
        disk.job = Some(tokio::task::spawn_blocking(move || {
            let result = match clear {
                Some(_) => begin_anew(&*log, &standing),
                None => write(&*log, cut, &entries, &standing, aside),
            };
            Done {
                result,
                generation,
                standing,
                cut,
                clear,
            }
        }));
    }

    /// A write has ended.
    pub(super) fn written(&mut self, done: Done) -> Result<(), Failure> {
        let now = self.clock.now();
        let Some(disk) = &mut self.disk else {
            return Ok(());
        };
        disk.job = None;
        match done.result {
            Ok(written) => {
                let is_current = disk.generation == done.generation;
                let life = (done.standing.log_id, done.standing.epoch);
                disk.written = done.standing;
                if let Some(log) = written.new {
                    self.store = log;
                }
                if let Some(file) = written.aside {
                    warn!(file = %file.display(), "others go on otherwise: the end of this log was put aside");
                }
                if let (Some(reply), (Some(log_id), epoch)) = (done.clear, life) {
                    info!(%log_id, "the log was cleared: a new history begins");
                    reply.send(Ok((log_id, epoch))).ok();
                }
                if let Some(last) = written.last.filter(|_| is_current) {
                    self.leader.stored(last);
                }
                self.show();
                Ok(())
            }
            Err(StoreError::Full) => {
                error!("the disk is full: nothing is appended, what is there can be read");
                disk.full_until = Some(now + FULL_PAUSE);
                disk.cut = disk.cut.or(done.cut);
                disk.clear = disk.clear.take().or(done.clear);
                self.leader.disk_full(now);
                Ok(())
            }
            Err(error) => {
                self.leader.disk_failed();
                self.answer();
                Err(disk_failed(&error))
            }
        }
    }
}

fn begin_anew(log: &dyn LogStore, standing: &Standing) -> Result<Written, StoreError> {
    Ok(Written {
        new: Some(log.begin_anew(standing)?),
        last: None,
        aside: None,
    })
}

fn write(
    log: &dyn LogStore,
    cut: Option<Position>,
    entries: &[Entry],
    standing: &Standing,
    aside: Option<(PathBuf, LogId)>,
) -> Result<Written, StoreError> {
    let aside = match (cut, aside) {
        (Some(keep), Some((dir, log_id))) => put_aside(&dir, log, log_id, keep, wall_ms())?,
        _ => None,
    };
    log.write(&Batch {
        keep: cut,
        entries,
        standing: Some(standing),
    })?;
    Ok(Written {
        new: None,
        last: entries.last().map(|e| e.seq),
        aside,
    })
}

pub(super) fn disk_failed(error: &StoreError) -> Failure {
    error!(%error, "the log cannot be written");
    Failure {
        exit: Exit::DiskFailed,
        why: format!("the log cannot be written: {error}"),
    }
}
