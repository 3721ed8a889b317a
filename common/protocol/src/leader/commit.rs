//! Who holds what, and who waits for it.
//!
//! A write concern counts distinct nodes by their position, never ACKs: an entry is held by `w` nodes when the w-th
//! largest position has reached it.

use std::collections::BTreeMap;

use crate::ids::{NodeId, Seq, Time};

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
    /// By write concern, then position: one look at the front of each decides.
    waiting: BTreeMap<u32, BTreeMap<(Seq, Ticket), Wait<W>>>,
    timeouts: BTreeMap<(Time, Ticket), (u32, Seq)>,
    len: usize,
    next_ticket: u64,
}

impl<W> Default for Commit<W> {
    fn default() -> Self {
        Self {
            master: Seq::ZERO,
            members: BTreeMap::new(),
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
        self.master = seq;
    }

    /// A member holds everything up to `seq`. Less than before only if another storage answers now.
    pub fn set_member(&mut self, node: &NodeId, seq: Seq) {
        match self.members.get_mut(node) {
            Some(position) => *position = seq,
            None => drop(self.members.insert(node.clone(), seq)),
        }
    }

    /// The last position that `w` nodes hold; [`Seq::ZERO`] if there are not so many nodes.
    #[must_use]
    pub fn held_by(&self, w: u32) -> Seq {
        let mut positions: Vec<Seq> = self
            .members
            .values()
            .copied()
            .chain([self.master])
            .collect();
        positions.sort_unstable_by(|a, b| b.cmp(a));
        let place = (w as usize).checked_sub(1);
        place
            .and_then(|i| positions.get(i).copied())
            .unwrap_or(Seq::ZERO)
    }

    /// How many nodes hold the entry, the master included.
    #[must_use]
    pub fn acks(&self, seq: Seq) -> u32 {
        let held =
            self.members.values().filter(|p| **p >= seq).count() + usize::from(self.master >= seq);
        u32::try_from(held).unwrap_or(u32::MAX)
    }

    /// The members that hold the entry, by name.
    pub fn acked_by(&self, seq: Seq) -> impl Iterator<Item = &NodeId> {
        self.members
            .iter()
            .filter(move |(_, p)| **p >= seq)
            .map(|(node, _)| node)
    }

    /// How many clients wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.len
    }

    /// Lets a client in.
    pub fn wait(&mut self, wait: Wait<W>) {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.len += 1;
        if let Some(until) = wait.until {
            self.timeouts.insert((until, ticket), (wait.w, wait.seq));
        }
        self.waiting
            .entry(wait.w)
            .or_default()
            .insert((wait.seq, ticket), wait);
    }

    /// The next client whose entry is held by enough nodes. Call it until it has none.
    pub fn pop_met(&mut self) -> Option<Wait<W>> {
        let nodes = u32::try_from(self.members.len() + 1).unwrap_or(u32::MAX);
        let (w, seq, ticket) = self.waiting.range(..=nodes).find_map(|(w, queue)| {
            let ((seq, ticket), _) = queue.first_key_value()?;
            (*seq <= self.held_by(*w)).then_some((*w, *seq, *ticket))
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
            .flat_map(BTreeMap::into_values)
    }

    /// Sends those away who wait for an entry after `last`.
    pub fn drain_after(&mut self, last: Seq) -> Vec<Wait<W>> {
        let after = |(w, queue): (&u32, &BTreeMap<(Seq, Ticket), Wait<W>>)| {
            let keys = queue.range((last.next(), Ticket(0))..).map(|(key, _)| *key);
            keys.map(|(seq, ticket)| (*w, seq, ticket))
                .collect::<Vec<_>>()
        };
        let keys: Vec<_> = self.waiting.iter().flat_map(after).collect();
        let waits = keys.into_iter();
        waits
            .filter_map(|(w, seq, ticket)| self.remove(w, seq, ticket))
            .collect()
    }

    /// Frees the places of those who have left.
    pub fn purge(&mut self, has_left: impl Fn(&W) -> bool) {
        let gone: Vec<(u32, Seq, Ticket)> = (self.waiting.iter())
            .flat_map(|(w, queue)| queue.iter().map(move |(key, wait)| (*w, *key, wait)))
            .filter(|(_, _, wait)| has_left(&wait.waiter))
            .map(|(w, (seq, ticket), _)| (w, seq, ticket))
            .collect();
        for (w, seq, ticket) in gone {
            self.remove(w, seq, ticket);
        }
    }

    fn remove(&mut self, w: u32, seq: Seq, ticket: Ticket) -> Option<Wait<W>> {
        let queue = self.waiting.get_mut(&w)?;
        let wait = queue.remove(&(seq, ticket))?;
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
