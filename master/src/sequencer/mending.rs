//! Entries that are damaged on a disk: the master's are fetched from a secondary, a secondary's are sent once more.

use std::collections::BTreeSet;
use std::sync::Arc;

use replog_common::entry::{Chunk, Entry};
use replog_common::log::StoreError;
use replog_common::message::{Ack, Fetched};
use replog_common::protocol::event::Event;
use replog_common::service::clock::wall_ms;
use replog_common::service::damage::{Changed, Damage};
use replog_common::service::program::Failure;
use replog_common::service::reading::off_thread;
use replog_common::types::NodeId;
use replog_nats::{Link, Message, Subject};
use tokio::task::JoinSet;
use tracing::{debug, error, info};

use super::Sequencer;
use super::reading::Purpose;
use super::storing::disk_failed;

/// What is being mended.
#[derive(Debug, Default)]
pub(super) struct Mending {
    damage: Damage,
    /// One at a time.
    pub(super) jobs: JoinSet<Result<(), StoreError>>,
    /// Secondaries for which an entry is being read.
    again: BTreeSet<NodeId>,
}

impl<L: Link> Sequencer<L> {
    /// Tells what was found damaged on the master's disk, and asks a secondary for it.
    pub(super) fn mend(&mut self) {
        let Changed { found, mended } = self.mending.damage.look(&*self.store);
        for seq in found {
            error!(%seq, "an entry is damaged on the disk: it is fetched again from a secondary");
            self.tell_event(&Event::Damaged { seq });
        }
        for seq in mended {
            info!(%seq, "an entry that was damaged on the disk is mended");
            self.tell_event(&Event::Mended { seq });
        }
        let now = self.clock.now();
        if !self.is_life_written() {
            return;
        }
        let asked = self.mending.damage.ask(now);
        let Some((node, fetch)) = asked.and_then(|(seq, turn)| self.leader.ask_for(seq, turn, now))
        else {
            return;
        };
        debug!(%node, seq = %fetch.from, "fetch: damaged here");
        self.link.send(Message {
            to: Subject::Fetch(node.clone()),
            reply: Some(Subject::Fetched(node)),
            payload: fetch.encode(wall_ms()),
        });
    }

    /// The answer.
    pub(super) fn mend_with(&mut self, fetched: &Fetched<Vec<Entry>>) {
        let own = self.leader.own(fetched);
        let Some(entry) = own.filter(|e| self.mending.damage.has(e.seq)) else {
            return;
        };
        if self.mending.jobs.is_empty() {
            let (log, entry) = (Arc::clone(&self.store), entry.clone());
            (self.mending.jobs).spawn(off_thread(move || log.mend(&entry)));
        }
    }

    pub(super) fn mended(&mut self, result: Result<(), StoreError>) -> Result<(), Failure> {
        match result {
            Ok(()) | Err(StoreError::Gone | StoreError::Full) => Ok(()), // asked for again, if need be
            Err(error) => {
                self.leader.disk_failed();
                self.answer_all();
                Err(disk_failed(&error))
            }
        }
    }

    /// Reads what a secondary asks for because its own is damaged.
    pub(super) fn read_again_for(&mut self, node: &NodeId, ack: &Ack) {
        let Some(seq) = self.leader.asked_for(ack) else {
            return;
        };
        if self.mending.again.insert(node.clone()) {
            debug!(%node, %seq, "damaged there: sent once more");
            self.read_for(node.clone(), (seq, seq), usize::MAX, Purpose::Mend);
        }
    }

    /// It is read.
    pub(super) fn send_again(&mut self, node: &NodeId, chunk: Option<Chunk>) {
        self.mending.again.remove(node);
        if let Some(chunk) = chunk.filter(|c| c.count > 0) {
            self.send_chunk(node, chunk);
        }
    }
}
