//! Entries that are damaged on this node's disk: the master is asked to send them once more.

use replog_common::entry::Entry;
use replog_common::log::StoreError;
use replog_common::protocol::event::{DAMAGED, MENDED};
use replog_common::service::clock::wall_ms;
use replog_common::service::damage::Changed;
use replog_common::service::program::Failure;
use replog_common::types::{Instance, Seq};
use replog_nats::{Link, Message, Subject};
use tracing::{error, info};

use super::{Follow, failed};
use crate::event;

impl<L: Link> Follow<L> {
    /// Tells what was found damaged, or is mended.
    pub(super) fn look_for_damage(&mut self) -> Result<(), Failure> {
        let log = self.store.log();
        if let Some(why) = log.failure() {
            return Err(failed(&StoreError::Failed(why.to_owned())));
        }
        let Changed { found, mended } = self.damage.look(&*log);
        for seq in found {
            error!(%seq, "an entry is damaged on the disk: the master is asked to send it once more");
            self.tell_of_disk(DAMAGED, seq);
        }
        for seq in mended {
            info!(%seq, "an entry that was damaged on the disk is mended");
            self.tell_of_disk(MENDED, seq);
        }
        Ok(())
    }

    fn tell_of_disk(&mut self, kind: &'static str, seq: Seq) {
        let line = event::of_disk(kind, seq, &self.follower, wall_ms());
        let to = Subject::Event(kind);
        self.link.send(Message {
            to,
            reply: None,
            payload: line,
        });
    }

    /// Writes those of the master's entries again that are damaged here.
    pub(super) async fn mend(
        &mut self,
        damaged: Vec<Entry>,
        by: Option<Instance>,
    ) -> Result<(), Failure> {
        for entry in damaged {
            if !self.follower.holds(&entry, by) {
                continue;
            }
            match self.store.mend(entry).await {
                Ok(()) | Err(StoreError::Full) => {} // asked for again, if need be
                Err(error) => return Err(failed(&error)),
            }
        }
        Ok(())
    }
}
