//! What must hold of everything that a node says.

use std::collections::BTreeMap;

use replog_protocol::follower::{self, Follower};
use replog_protocol::ids::{Epoch, LogId, Seq, StorageId};
use replog_protocol::leader::Leader;
use replog_protocol::leader::command::{Answer, Appended, Reply, Waiter};
use replog_protocol::leader::settings::MAX_NODES;
use replog_protocol::node::{Node, Outbound, Query};
use replog_protocol::wire::{Ack, FetchResponse, Message, Promise};
use replog_storage::journal::LogReader;

/// A client of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Client(pub(super) u32);

impl Waiter for Client {}

/// A node that can be looked into.
pub(super) trait Checked: Node {
    /// Looks at what the node keeps.
    fn look(&self);

    /// The entries of which clients are told that enough nodes hold them.
    fn replicated(replies: &[Self::Reply]) -> Vec<Appended>;
}

impl Checked for Leader<Client> {
    fn look(&self) {
        let listed = self.peers().listed().map_or(0, |l| l.len());
        assert!(self.peers().iter().count() <= MAX_NODES + listed, "bounded");
    }

    fn replicated(replies: &[Reply<Client>]) -> Vec<Appended> {
        let replies = replies.iter().filter_map(|reply| match &reply.answer {
            Answer::Replicated { appended, acks } => {
                assert!(*acks >= appended.w, "as many as were asked for");
                Some(*appended)
            }
            _ => None,
        });
        replies.collect()
    }
}

impl Checked for Follower<Client> {
    fn look(&self) {
        let last = self.log().last().seq;
        assert!(self.verified() <= last);
        assert!(self.committed().held().len() <= MAX_NODES + 1, "bounded");
    }

    fn replicated(_: &[follower::Reply<Client>]) -> Vec<Appended> {
        Vec::new()
    }
}

/// What was said before, by all processes on one disk.
#[derive(Debug, Default)]
pub(super) struct Checks {
    /// The highest position that each storage has acknowledged, in each epoch of each history.
    acked: BTreeMap<(StorageId, Option<LogId>, Epoch), Seq>,
    /// What clients were told, and nobody has cleared away since.
    answered: Vec<Appended>,
}

impl Checks {
    /// The last entry of which a client was told, and nobody has cleared away since.
    pub(super) fn answered(&self) -> Option<Seq> {
        self.answered.last().map(|appended| appended.last)
    }

    /// A client clears the log.
    pub(super) fn cleared(&mut self) {
        self.answered.clear();
    }

    /// Another process begins. A master that starts may roll back, if others have another history.
    pub(super) fn restarted(&mut self) {
        self.answered.clear();
    }

    /// Messages leave, while the journal ends at `last`.
    pub(super) fn may_be_said(&mut self, messages: &[Outbound], last: Seq, log: &dyn LogReader) {
        for Outbound { message, .. } in messages {
            match message {
                Message::Ack(ack) | Message::Promise(Promise { position: ack }) => {
                    self.ack(ack, last)
                }
                Message::FetchResponse(FetchResponse {
                    position, entries, ..
                }) => {
                    self.ack(position, last);
                    if let Some(batch) = entries {
                        let query = Query::Range {
                            first: batch.first(),
                            last: batch.last(),
                            max_bytes: usize::MAX,
                        };
                        let stored = log.read(&query).expect("in memory");
                        assert_eq!(stored.as_ref(), Some(batch), "what is on its disk");
                    }
                }
                _ => {}
            }
        }
    }

    fn ack(&mut self, ack: &Ack, last: Seq) {
        assert!(
            ack.upto <= last && ack.last.seq <= last,
            "only what is durable"
        );
        assert!(ack.upto <= ack.last.seq);
        if ack.log_id.is_none() {
            return;
        }
        let key = (ack.storage, ack.log_id, ack.epoch);
        let before = self.acked.entry(key).or_default();
        // Of a promise and of a process that has to show anew what it shares, a lower one may be said; the entries stay.
        assert!(ack.last.seq >= *before, "{ack:?} after {before}");
        *before = ack.upto.max(*before);
    }

    /// Clients are told that these are held, while the journal ends at `last`.
    pub(super) fn replies(&mut self, replicated: Vec<Appended>, last: Seq) {
        self.answered.extend(replicated);
        let stay = self.answered.iter().all(|appended| appended.last <= last);
        assert!(
            stay,
            "what was answered is on the master's disk, and stays there"
        );
    }
}
