//! Who holds what, and who waits for it.
//!
//! A write concern counts distinct nodes by their position, never ACKs: an entry is held by `w` nodes when the w-th
//! largest position has reached it.

use std::collections::{BTreeMap, VecDeque};

use crate::committed::Committed;
use crate::ids::{NodeId, Seq, Time};
use crate::write_concern::{Measure, WriteConcern};

/// A place in the waiting room, in order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Ticket(u64);

/// What a client waits for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wait<W> {
    /// The entry.
    pub seq: Seq,
    /// How many nodes must hold it, the master included.
    pub w: u32,
    /// What that number was taken from.
    pub measure: Measure,
    /// Until when; `None` waits as long as it takes.
    pub until: Option<Time>,
    /// Through whom it is answered.
    pub waiter: W,
}

/// Positions of the nodes and the clients that wait for them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Commit<W> {
    master: Seq,
    members: BTreeMap<NodeId, Seq>,
    /// The positions of all nodes, the highest first: the w-th is what `w` nodes hold. What the master does not hold counts for
    /// nobody.
    positions: Vec<Seq>,
    /// Some position is another one than when that was asked last.
    has_moved: bool,
    /// By write concern; the clients of one are in the order of their entries: one look at the front of each decides.
    waiting: BTreeMap<u32, VecDeque<(Ticket, Wait<W>)>>,
    timeouts: BTreeMap<(Time, Ticket), (u32, Seq)>,
    len: usize,
    next_ticket: u64,
}

impl<W> Default for Commit<W> {
    fn default() -> Self {
        Self {
            master: Seq::ZERO,
            members: BTreeMap::new(),
            positions: vec![Seq::ZERO],
            has_moved: false,
            waiting: BTreeMap::new(),
            timeouts: BTreeMap::new(),
            len: 0,
            next_ticket: 0,
        }
    }
}

impl<W> Commit<W> {
    /// The master holds everything up to `seq`.
    pub fn set_master(&mut self, seq: Seq) {
        if self.master != seq {
            self.master = seq;
            self.sort_positions();
        }
    }

    /// A member holds everything up to `seq`. Less than before only if another storage answers now.
    pub fn set_member(&mut self, node: &NodeId, seq: Seq) {
        let before = match self.members.get_mut(node) {
            Some(position) if *position == seq => return,
            Some(position) => Some(std::mem::replace(position, seq)),
            None => {
                self.members.insert(node.clone(), seq);
                None
            }
        };
        // One of many has moved: sorting all of them again for each ACK is felt with hundreds.
        let place = |positions: &[Seq], seq: Seq| positions.partition_point(|p| *p > seq);
        if let Some(before) = before {
            let at = place(&self.positions, before.min(self.master));
            self.positions.remove(at);
        }
        let after = seq.min(self.master);
        self.positions.insert(place(&self.positions, after), after);
        self.has_moved = true;
    }

    /// That node is no member any more, or was none.
    pub fn remove_member(&mut self, node: &NodeId) {
        if self.members.remove(node).is_some() {
            self.sort_positions();
        }
    }

    fn sort_positions(&mut self) {
        self.positions.clear();
        let counted = self.members.values().map(|p| *p.min(&self.master));
        self.positions.extend(counted);
        self.positions.push(self.master);
        self.positions.sort_unstable_by(|a, b| b.cmp(a));
        self.has_moved = true;
    }

    /// The last position that `w` nodes hold; [`Seq::ZERO`] if there are not so many nodes.
    #[must_use]
    pub fn held_by(&self, w: u32) -> Seq {
        let place = (w as usize).checked_sub(1);
        place
            .and_then(|i| self.positions.get(i).copied())
            .unwrap_or(Seq::ZERO)
    }

    /// What is committed by where the nodes are now, so many members counting besides the master; `None` if no position has
    /// moved since it was asked last.
    pub fn newly_committed(&mut self, members: usize) -> Option<Committed> {
        if !std::mem::take(&mut self.has_moved) {
            return None;
        }
        let by = |nodes: WriteConcern| self.held_by(nodes.nodes(members));
        let (majority, all) = (by(WriteConcern::Majority), by(WriteConcern::All));
        let held = self.positions.iter().copied();
        Some(Committed::new(held, majority, all))
    }

    /// How many nodes hold the entry, the master included; none as long as the master does not.
    #[must_use]
    pub fn acks(&self, seq: Seq) -> u32 {
        if self.master < seq {
            return 0;
        }
        let held = self.acked_by(seq).count() + 1;
        u32::try_from(held).unwrap_or(u32::MAX)
    }

    /// The members that hold the entry, by name; none as long as the master does not hold it.
    pub fn acked_by(&self, seq: Seq) -> impl Iterator<Item = &NodeId> {
        self.members
            .iter()
            .filter(move |(_, p)| **p >= seq && self.master >= seq)
            .map(|(node, _)| node)
    }

    /// How many clients wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.len
    }

    /// The most nodes that anybody waits for, and the first entry that anybody waits for others than the master to hold; `None`
    /// where nobody does.
    #[must_use]
    pub fn waited_for(&self) -> Option<(u32, Seq)> {
        let waiting = self.waiting.range(2..);
        let (most, _) = waiting.clone().next_back()?;
        let fronts = waiting.filter_map(|(_, queue)| queue.front());
        Some((*most, fronts.map(|(_, wait)| wait.seq).min()?))
    }

    /// Everybody who waits.
    pub fn waits(&self) -> impl Iterator<Item = &Wait<W>> {
        self.waiting.values().flatten().map(|(_, wait)| wait)
    }

    /// Lets a client in.
    pub fn wait(&mut self, wait: Wait<W>) {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.len += 1;
        if let Some(until) = wait.until {
            self.timeouts.insert((until, ticket), (wait.w, wait.seq));
        }
        let queue = self.waiting.entry(wait.w).or_default();
        // Only who joins the wait of a former entry is not the last one.
        let at = match queue.back() {
            Some((_, last)) if last.seq > wait.seq => place(queue, wait.seq, ticket),
            _ => queue.len(),
        };
        queue.insert(at, (ticket, wait));
    }

    /// There are so many members now, fewer than before: whoever waits for a majority or for all of them waits for the smaller
    /// of the number it was and what that is now; a number stays. `tell` is called with each of whom that is so, and the new
    /// number.
    pub fn shrink(&mut self, members: usize, mut tell: impl FnMut(&mut W, u32)) {
        let mut moved = Vec::new();
        for (w, queue) in &mut self.waiting {
            let less = |wait: &Wait<W>| wait.measure.nodes(members).filter(|nodes| nodes < w);
            if !queue.iter().any(|(_, wait)| less(wait).is_some()) {
                continue;
            }
            let mut stay = VecDeque::new();
            for (ticket, wait) in queue.drain(..) {
                match less(&wait) {
                    Some(w) => moved.push((ticket, Wait { w, ..wait })),
                    None => stay.push_back((ticket, wait)),
                }
            }
            *queue = stay;
        }
        self.waiting.retain(|_, queue| !queue.is_empty());
        for (ticket, mut wait) in moved {
            tell(&mut wait.waiter, wait.w);
            if let Some(until) = wait.until {
                self.timeouts.insert((until, ticket), (wait.w, wait.seq));
            }
            let queue = self.waiting.entry(wait.w).or_default();
            queue.push_back((ticket, wait));
        }
        for queue in self.waiting.values_mut() {
            let queue = queue.make_contiguous();
            queue.sort_unstable_by_key(|(ticket, wait)| (wait.seq, *ticket));
        }
    }

    /// The next client whose entry is held by enough nodes. Call it until it has none.
    pub fn pop_met(&mut self) -> Option<Wait<W>> {
        let nodes = u32::try_from(self.members.len() + 1).unwrap_or(u32::MAX);
        let (w, seq, ticket) = self.waiting.range(..=nodes).find_map(|(w, queue)| {
            let (ticket, wait) = queue.front()?;
            (wait.seq <= self.held_by(*w)).then_some((*w, wait.seq, *ticket))
        })?;
        self.remove(w, seq, ticket)
    }

    /// The next client whose time is up.
    pub fn pop_late(&mut self, now: Time) -> Option<Wait<W>> {
        let (&(until, ticket), &(w, seq)) = self.timeouts.first_key_value()?;
        if until > now {
            return None;
        }
        self.remove(w, seq, ticket)
    }

    /// When the next client's time is up.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.timeouts
            .first_key_value()
            .map(|((until, _), _)| *until)
    }

    /// Sends everybody away: by write concern, then in the order of the entries.
    pub fn drain(&mut self) -> impl Iterator<Item = Wait<W>> + use<W> {
        self.timeouts.clear();
        self.len = 0;
        std::mem::take(&mut self.waiting)
            .into_values()
            .flatten()
            .map(|(_, wait)| wait)
    }

    /// Sends those away who wait for an entry after `last`.
    pub fn drain_after(&mut self, last: Seq) -> Vec<Wait<W>> {
        let mut gone = Vec::new();
        for queue in self.waiting.values_mut() {
            let at = queue.partition_point(|(_, wait)| wait.seq <= last);
            gone.extend(queue.drain(at..));
        }
        self.forget(&gone);
        gone.into_iter().map(|(_, wait)| wait).collect()
    }

    /// Frees the places of those who have left.
    pub fn purge(&mut self, has_left: impl Fn(&W) -> bool) {
        let mut gone = Vec::new();
        for queue in self.waiting.values_mut() {
            if queue.iter().any(|(_, wait)| has_left(&wait.waiter)) {
                let (left, stay): (VecDeque<_>, _) = std::mem::take(queue)
                    .into_iter()
                    .partition(|(_, wait)| has_left(&wait.waiter));
                *queue = stay;
                gone.extend(left);
            }
        }
        self.forget(&gone);
    }

    /// What else is known of clients that are in no queue any more.
    fn forget(&mut self, gone: &[(Ticket, Wait<W>)]) {
        self.waiting.retain(|_, queue| !queue.is_empty());
        self.len -= gone.len();
        for (ticket, wait) in gone {
            if let Some(until) = wait.until {
                self.timeouts.remove(&(until, *ticket));
            }
        }
    }

    fn remove(&mut self, w: u32, seq: Seq, ticket: Ticket) -> Option<Wait<W>> {
        let queue = self.waiting.get_mut(&w)?;
        let (_, wait) = queue.remove(place(queue, seq, ticket))?;
        if queue.is_empty() {
            self.waiting.remove(&w);
        }
        if let Some(until) = wait.until {
            self.timeouts.remove(&(until, ticket));
        }
        self.len -= 1;
        Some(wait)
    }
}

/// Where the client with that ticket stands, or would stand.
fn place<W>(queue: &VecDeque<(Ticket, Wait<W>)>, seq: Seq, ticket: Ticket) -> usize {
    queue.partition_point(|(other, wait)| (wait.seq, *other) < (seq, ticket))
}
