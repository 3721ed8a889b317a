//! Damaged entries in both directions: the master's own are fetched from a secondary, a secondary's are sent once more.

use std::collections::BTreeMap;

use crate::entry::EntryBatch;
use crate::event::Event;
use crate::ids::{Leadership, NodeId, Seq, Time};
use crate::leader::peer::Peer;
use crate::leader::peers::Peers;
use crate::log::Log;
use crate::node::{Outbound, Purpose, Query, Read};
use crate::repair::{ASK_PAUSE, Repair};
use crate::wire::{Ack, Address, Fetch, Message};

/// What is being repaired.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Repairs {
    own: Repair,
    /// Secondaries for which an entry was read just now: until when no other one is.
    read_for: BTreeMap<NodeId, Time>,
}

impl Repairs {
    /// The master's own damaged entries.
    pub(super) fn own(&self) -> &Repair {
        &self.own
    }

    /// The journal knows of these damaged entries, in a log that ends at `last`: what has changed.
    pub(super) fn update(&mut self, damaged: Vec<Seq>, last: Seq) -> impl Iterator<Item = Event> {
        self.own.update(damaged, last).into_events()
    }

    /// That secondary is taken out of those that are known.
    pub(super) fn forget(&mut self, node: &NodeId) {
        self.read_for.remove(node);
    }

    /// Asks a secondary for an entry that is damaged here, if it is time: one of those who hold it, another one each time.
    pub(super) fn ask(
        &mut self,
        peers: &Peers,
        leader: Leadership,
        log: &Log,
        now: Time,
    ) -> Option<Outbound> {
        let (seq, turn) = self.own.ask(now)?;
        let holds = |p: &Peer| p.matched() >= seq && p.status(now).is_alive();
        let holders: Vec<_> = (peers.iter())
            .filter(|(_, p)| holds(p))
            .filter_map(|(node, p)| Some((node, p.storage()?)))
            .collect();
        let (node, storage) = *holders.get(turn.checked_rem(holders.len())?)?;
        let fetch = Fetch {
            leader,
            storage,
            prev: log.epochs().at(seq.prev())?,
            max_bytes: 1, // one entry, however long
        };
        Some(Outbound {
            to: Address::Fetch(node.clone()),
            reply_to: Some(Address::Fetched(node.clone())),
            message: Message::Fetch(fetch),
        })
    }

    /// The entry of an answer that is to be written again: damaged here, and the very one that was placed there.
    pub(super) fn accept(
        &self,
        position: &Ack,
        entries: Option<&EntryBatch>,
        leader: Leadership,
        log: &Log,
    ) -> Option<EntryBatch> {
        let batch = entries?;
        let entry = batch.range(batch.first(), batch.first())?;
        let follows = (position.log_id, position.epoch) == (Some(leader.log_id), leader.epoch);
        let is_same = log.epochs().matches(entry.last_position());
        let is_held = entry.first() <= position.upto;
        (follows && is_same && is_held && self.own.has(entry.first())).then_some(entry)
    }

    /// What is to be read because a secondary asks for an entry that is damaged on its disk.
    pub(super) fn read_for(
        &mut self,
        ack: &Ack,
        leader: Leadership,
        durable: Seq,
        max_bytes: usize,
        now: Time,
    ) -> Option<Read> {
        let seq = ack.damaged?;
        let follows = (ack.log_id, ack.epoch) == (Some(leader.log_id), leader.epoch);
        let is_shared = Seq::ZERO < seq && seq <= ack.upto.min(durable);
        self.read_for.retain(|_, until| now < *until);
        if !follows || !is_shared || self.read_for.contains_key(&ack.node) {
            return None;
        }
        self.read_for.insert(ack.node.clone(), now + ASK_PAUSE);
        Some(Read {
            purpose: Purpose::Repair(ack.node.clone()),
            query: Query::Range {
                first: seq,
                last: seq,
                max_bytes,
            },
        })
    }
}
