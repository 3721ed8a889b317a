//! Entries that are damaged on a disk: the master's are fetched from a secondary, a secondary's are sent once more.

use std::collections::BTreeMap;
use std::sync::Arc;

use replog_common::entry::Entry;
use replog_common::log::StoreError;
use replog_common::message::{Ack, Fetched};
use replog_common::protocol::event::Event;
use replog_common::service::clock::wall_ms;
use replog_common::service::damage::{ASK_PAUSE, Changed, Damage};
use replog_common::service::program::Failure;
use replog_common::service::reading::off_thread;
use replog_common::types::{NodeId, Seq, Time};
use replog_nats::{Link, Message, Subject};
use tokio::task::JoinSet;
use tracing::{debug, error, info, warn};

use super::Sequencer;
use super::reading::Purpose;

/// What is being mended.
#[derive(Debug, Default)]
pub(super) struct Mending {
    damage: Damage,
    /// One at a time.
    pub(super) jobs: JoinSet<Result<(), StoreError>>,
    /// Secondaries for which an entry was read just now: until when no other one is.
    again: BTreeMap<NodeId, Time>,
    /// Of which holder it was told that what a recovery needs is damaged there.
    told: Option<(NodeId, Seq)>,
}

impl<L: Link> Sequencer<L> {
    /// Tells what was found damaged on the master's disk, and asks a secondary for it.
    pub(super) fn mend(&mut self) -> Result<(), Failure> {
        if let Some(why) = self.store.failure() {
            let error = StoreError::Failed(why.to_owned());
            return Err(self.fail(&error));
        }
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
            return Ok(());
        }
        let asked = self.mending.damage.ask(now);
        let Some((node, fetch)) = asked.and_then(|(seq, turn)| self.leader.ask_for(seq, turn, now))
        else {
            return Ok(());
        };
        debug!(%node, seq = %fetch.from, "fetch: damaged here");
        self.link.send(Message {
            to: Subject::Fetch(node.clone()),
            reply: Some(Subject::Fetched(node)),
            payload: fetch.encode(wall_ms()),
        });
        Ok(())
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
            Err(error) => Err(self.fail(&error)),
        }
    }

    /// Reads what a secondary asks for because its own is damaged.
    pub(super) fn read_again_for(&mut self, node: &NodeId, ack: &Ack) {
        if let Some(seq) = ack.damaged.filter(|_| self.leader.is_recovering()) {
            self.tell_unreadable(node, seq);
        }
        let Some(seq) = self.leader.asked_for(ack) else {
            return;
        };
        let now = self.clock.now();
        self.mending.again.retain(|_, until| now < *until);
        let is_known = self.leader.members().get(node).is_some();
        if !is_known || self.mending.again.contains_key(node) {
            return;
        }
        debug!(%node, %seq, "damaged there: sent once more");
        self.mending.again.insert(node.clone(), now + ASK_PAUSE);
        self.read_for(node.clone(), (seq, seq), usize::MAX, Purpose::Mend);
    }

    fn tell_unreadable(&mut self, node: &NodeId, seq: Seq) {
        let told = Some((node.clone(), seq));
        if self.mending.told != told {
            self.mending.told = told;
            warn!(%node, %seq, "{}", crate::health::cannot_read(node, seq));
        }
    }
}
