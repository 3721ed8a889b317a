//! Who may be sent what it has missed: a few at a time.
//!
//! When a region of several hundred secondaries comes back, each of them wants a full window at once. All of these together take
//! seconds on the line between, and what takes longer than the wait for an ACK is sent again. So a few have a place, one after
//! the other; the rest hear heartbeats, and wait for their turn.

use std::collections::{BTreeMap, VecDeque};

use crate::ids::{NodeId, Seq, Time};
use crate::leader::peer::Peer;
use crate::leader::settings::Replication;

/// The turn of one that has a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Turn {
    began: Time,
    /// What it held when that was last looked at, and since when.
    matched: Seq,
    moved_at: Time,
}

/// Who catches up, and who waits for that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct CatchUp {
    admitted: BTreeMap<NodeId, Turn>,
    /// Each once, the next one first.
    waiting: VecDeque<NodeId>,
}

impl CatchUp {
    /// Whether that secondary may be sent entries of long ago now; else it waits, and has its turn in the order of asking.
    pub(super) fn admits(
        &mut self,
        node: &NodeId,
        peer: &Peer,
        settings: &Replication,
        now: Time,
    ) -> bool {
        if !peer.is_catching_up() || self.admitted.contains_key(node) {
            return true;
        }
        let place = self.waiting.iter().position(|other| other == node);
        let place = place.unwrap_or_else(|| {
            self.waiting.push_back(node.clone());
            self.waiting.len() - 1
        });
        let free = settings
            .catching_up
            .max(1)
            .saturating_sub(self.admitted.len());
        if place >= free {
            return false;
        }
        self.waiting.remove(place);
        let turn = Turn {
            began: now,
            matched: peer.matched(),
            moved_at: now,
        };
        self.admitted.insert(node.clone(), turn);
        true
    }

    /// Ends turns: of those who have caught up or are gone, and, where others wait, of those who get no further or have had
    /// their time. Who may have a turn now is handed out.
    pub(super) fn end_turns<'a>(
        &mut self,
        peer: impl Fn(&NodeId) -> Option<&'a Peer>,
        settings: &Replication,
        now: Time,
    ) -> impl Iterator<Item = &NodeId> {
        let catches_up = |node: &NodeId| peer(node).is_some_and(Peer::is_catching_up);
        let waits = !self.waiting.is_empty();
        self.admitted.retain(|node, turn| {
            let Some(peer) = peer(node).filter(|peer| peer.is_catching_up()) else {
                return false;
            };
            if peer.matched() != turn.matched {
                (turn.matched, turn.moved_at) = (peer.matched(), now);
            }
            // One whose time is over asks again when there is something that it can be sent.
            !waits || now < turn.ends_at(settings)
        });
        let free = settings
            .catching_up
            .max(1)
            .saturating_sub(self.admitted.len());
        if free > 0 {
            self.waiting.retain(catches_up);
        }
        self.waiting.iter().take(free)
    }

    /// When a turn ends for which somebody waits.
    pub(super) fn deadline(&self, settings: &Replication) -> Option<Time> {
        let ends = self.admitted.values().map(|turn| turn.ends_at(settings));
        ends.min().filter(|_| !self.waiting.is_empty())
    }
}

impl Turn {
    /// A dead one gets no further, a slow one must not keep its place for ever.
    fn ends_at(self, settings: &Replication) -> Time {
        let stalled = self.moved_at + settings.suspect_after;
        stalled.min(self.began + settings.unhealthy_after)
    }
}
