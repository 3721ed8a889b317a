//! What is read from a disk for a secondary that is far behind: beside everything else, one piece a secondary.

use std::sync::Arc;

use replog_common::entry::Chunk;
use replog_common::log::StoreError;
use replog_common::service::reading;
use replog_common::types::{LogId, NodeId, Seq};
use replog_nats::Link;
use tracing::error;

use super::Sequencer;

/// What it is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It is what the node needs next.
    Replicate,
    /// The node has it already, damaged.
    Mend,
}

/// A piece that was read.
#[derive(Debug)]
pub(super) struct Piece {
    purpose: Purpose,
    node: NodeId,
    log_id: LogId,
    first: Seq,
    chunk: Result<Chunk, StoreError>,
}

impl<L: Link> Sequencer<L> {
    /// Reads entries for that node; they are sent when they are there.
    pub(super) fn read_for(
        &mut self,
        node: NodeId,
        (first, last): (Seq, Seq),
        bytes: usize,
        purpose: Purpose,
    ) {
        if purpose == Purpose::Replicate {
            self.leader.reading(&node, true);
        }
        let (log, log_id) = (Arc::clone(&self.store), self.leader.life().log_id);
        self.reads.spawn(async move {
            let chunk = reading::read(&log, first, last, u64::MAX, bytes).await;
            Piece {
                purpose,
                node,
                log_id,
                first,
                chunk,
            }
        });
    }

    /// They are there, if they are still what the node needs.
    pub(super) fn have_read(&mut self, piece: Piece) {
        let Piece {
            purpose,
            node,
            log_id,
            first,
            chunk,
        } = piece;
        if purpose == Purpose::Mend {
            let is_same = self.leader.life().log_id == log_id && !self.leader.is_recovering();
            if let Some(chunk) = chunk.ok().filter(|c| is_same && c.count > 0) {
                self.send_chunk(&node, chunk);
            }
            return;
        }
        self.leader.reading(&node, false);
        if !self.leader.wants(&node, log_id, first) {
            return;
        }
        match chunk {
            Ok(chunk) if chunk.count > 0 => self.send_entries(&node, chunk),
            Ok(_) => {}
            Err(error) => {
                if !matches!(error, StoreError::Damaged { .. }) {
                    error!(%node, %first, %error, "entries cannot be read to be sent");
                } // that is told where it is found
                let now = self.clock.now();
                self.leader.sent(&node, Some((first, 0)), now); // tried again when its time is up
            }
        }
    }
}
