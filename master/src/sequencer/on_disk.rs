//! One write to a disk: what it is to do, on a thread that may wait, and what it has come to.

use std::future::pending;
use std::path::PathBuf;
use std::sync::Arc;

use replog_common::entry::{Entry, Position};
use replog_common::log::disk::put_aside;
use replog_common::log::{Batch, LogStore, Standing, StoreError};
use replog_common::service::clock::wall_ms;
use replog_common::types::{LogId, Seq, Time};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::command::Cleared;

/// Who waits for a clearing.
type Replies = Vec<oneshot::Sender<Cleared>>;

/// The disk's side of the owner.
#[derive(Debug)]
pub(super) struct OnDisk {
    pub(super) dir: PathBuf,
    /// What is on the disk of where the master stands.
    pub(super) written: Standing,
    pub(super) job: Option<JoinHandle<Done>>,
    /// Still to be taken out: what lies behind this.
    pub(super) cut: Option<Position>,
    /// Still to begin anew.
    pub(super) clear: Option<Replies>,
    /// What is being written begins anew.
    pub(super) is_clearing: bool,
    /// Raised whenever what is being written is not the end of the log any more.
    pub(super) generation: u64,
    /// The disk was full.
    pub(super) full_until: Option<Time>,
}

/// What one write is to do.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) log: Arc<dyn LogStore>,
    pub(super) generation: u64,
    pub(super) clear: Option<Replies>,
    pub(super) cut: Option<Position>,
    /// Where to put what is cut, and of which history it is.
    pub(super) aside: Option<(PathBuf, LogId)>,
    pub(super) entries: Vec<Entry>,
    pub(super) standing: Standing,
    /// The standing has changed.
    pub(super) stands_anew: bool,
}

/// What it has come to.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) result: Result<Written, StoreError>,
    pub(super) generation: u64,
    pub(super) standing: Standing,
    pub(super) cut: Option<Position>,
    pub(super) clear: Option<Replies>,
}

#[derive(Debug)]
pub(super) struct Written {
    /// The log that goes on, if the former one was cleared.
    pub(super) new: Option<Arc<dyn LogStore>>,
    /// The end of what is stored.
    pub(super) last: Seq,
    pub(super) aside: Option<PathBuf>,
}

impl OnDisk {
    pub(super) fn new(dir: PathBuf, written: Standing) -> Self {
        Self {
            dir,
            written,
            job: None,
            cut: None,
            clear: None,
            is_clearing: false,
            generation: 0,
            full_until: None,
        }
    }

    /// The write that is under way.
    pub(super) async fn done(disk: &mut Option<Self>) -> Done {
        let Some(job) = disk.as_mut().and_then(|disk| disk.job.as_mut()) else {
            return pending().await;
        };
        job.await.unwrap_or_else(|panic| Done {
            result: Err(StoreError::Failed(panic.to_string())),
            generation: 0,
            standing: Standing::default(),
            cut: None,
            clear: None,
        })
    }

    /// When something is to be tried again.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.full_until
    }

    /// What is being written, or waits for that, is not the log any more: a new one begins.
    pub(super) fn clear(&mut self, reply: oneshot::Sender<Cleared>) {
        self.generation += 1;
        self.cut = None;
        self.clear.get_or_insert_default().push(reply);
    }

    /// What lies behind `keep` is to be taken out.
    pub(super) fn cut(&mut self, keep: Position) {
        let earlier = self.cut.filter(|cut| cut.seq < keep.seq);
        self.cut = Some(earlier.unwrap_or(keep));
    }

    /// There was no room: it is still to be done.
    pub(super) fn put_back(&mut self, cut: Option<Position>, clear: Option<Replies>) {
        if let Some(cut) = cut {
            self.cut(cut);
        }
        if let Some(replies) = clear {
            self.cut = None;
            self.clear.get_or_insert_default().extend(replies);
        }
    }

    /// Whether a new log has begun that is not on the disk yet.
    pub(super) fn is_to_clear(&self) -> bool {
        self.is_clearing || self.clear.is_some()
    }
}

impl Job {
    /// Does it, and waits for the disk.
    pub(super) fn run(self) -> Done {
        let result = match self.clear {
            Some(_) => self.begin_anew(),
            None => self.write(),
        };
        Done {
            result,
            generation: self.generation,
            standing: self.standing,
            cut: self.cut,
            clear: self.clear,
        }
    }

    fn begin_anew(&self) -> Result<Written, StoreError> {
        Ok(Written {
            new: Some(self.log.begin_anew(&self.standing)?),
            last: Seq::ZERO,
            aside: None,
        })
    }

    fn write(&self) -> Result<Written, StoreError> {
        let aside = match (self.cut, &self.aside) {
            (Some(keep), Some((dir, log_id))) => {
                put_aside(dir, &*self.log, *log_id, keep, wall_ms())?
            }
            _ => None,
        };
        let written = self.log.write(&Batch {
            keep: self.cut,
            entries: &self.entries,
            standing: self.stands_anew.then_some(&self.standing),
        });
        if let (Err(_), Some(file)) = (&written, &aside) {
            std::fs::remove_file(file).ok(); // it is still in the log
        }
        written?;
        Ok(Written {
            new: None,
            last: self.log.last().seq,
            aside,
        })
    }
}

#[cfg(test)]
mod tests;
