//! What the owner of the log writes: at once in memory; on a disk one write after the other, beside everything else, each
//! with all that has queued up during the one before (group commit).

use std::sync::Arc;
use std::time::Duration;

use replog_common::log::{Batch, StoreError};
use replog_common::service::exit::Exit;
use replog_common::service::program::Failure;
use replog_nats::Link;
use tracing::{error, info, warn};

use super::Sequencer;
use super::on_disk::{Done, Job};

/// After a disk was full, what has nothing to do with a client is tried again that often.
const FULL_PAUSE: Duration = Duration::from_secs(1);

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
        self.store.write(&batch).map_err(|e| self.fail(&e))?;
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
            disk.cut(cut);
        }
        if disk.job.is_some() || disk.full_until.is_some_and(|until| now < until) {
            return;
        }
        disk.full_until = None;
        let standing = self.leader.standing();
        let stands_anew = standing != disk.written;
        let is_idle = disk.cut.is_none() && disk.clear.is_none() && !self.leader.has_staged();
        if is_idle && (!stands_anew || self.leader.is_recovering()) {
            return;
        }
        let (clear, cut) = (disk.clear.take(), disk.cut.take());
        disk.is_clearing = clear.is_some();
        let entries = match clear {
            Some(_) => Vec::new(),
            None => self.leader.take_staged(),
        };
        // What was only fetched, and not all of it, is kept by others.
        let aside = (disk.written.log_id)
            .filter(|_| cut.is_some() && !disk.written.is_partial)
            .map(|log_id| (disk.dir.clone(), log_id));
        let job = Job {
            log: Arc::clone(&self.store),
            generation: disk.generation,
            clear,
            cut,
            aside,
            entries,
            standing,
            stands_anew,
        };
        disk.job = Some(tokio::task::spawn_blocking(|| job.run()));
    }

    /// A write has ended.
    pub(super) fn written(&mut self, done: Done) -> Result<(), Failure> {
        let now = self.clock.now();
        let Some(disk) = &mut self.disk else {
            return Ok(());
        };
        disk.job = None;
        disk.is_clearing = false;
        self.storage.note(&done.result);
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
                if let (Some(replies), (Some(log_id), epoch)) = (done.clear, life) {
                    info!(%log_id, "the log was cleared: a new history begins");
                    for reply in replies {
                        reply.send(Ok((log_id, epoch))).ok();
                    }
                }
                if is_current {
                    self.leader.stored(written.last);
                }
                self.show();
                Ok(())
            }
            Err(StoreError::Full) => {
                disk.full_until = Some(now + FULL_PAUSE);
                disk.put_back(done.cut, done.clear);
                self.leader.disk_full(now);
                Ok(())
            }
            Err(error) => Err(self.fail(&error)),
        }
    }

    /// The log can be used no more: whoever waits is told, and the program ends.
    pub(super) fn fail(&mut self, error: &StoreError) -> Failure {
        self.leader.disk_failed();
        self.answer();
        error!(%error, "the log can be used no more");
        Failure {
            exit: Exit::DiskFailed,
            why: format!("the log can be used no more: {error}"),
        }
    }
}
