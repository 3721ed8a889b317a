//! The cluster, and everything that can happen to it.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use replog_protocol::follower::{self, Follower};
use replog_protocol::ids::{NodeId, Seq, Time};
use replog_protocol::leader::Leader;
use replog_protocol::leader::command::{Append, AppendRequest, Command, Reply};
use replog_protocol::leader::health::Status;
use replog_protocol::node::{Input, LinkState, Outbound, StreamEvent, WriteJob};
use replog_protocol::wire::{AckOf, Address, Message};
use replog_protocol::write_concern::WriteConcern;

use crate::cluster::clients::{Fate, Request};
use crate::cluster::fingerprint::{Fingerprinter, fingerprint};
use crate::cluster::journal::{Loss, SimJournal, WriteEnd};
use crate::cluster::judge;
use crate::cluster::members::{Learned, Master, Secondary};
use crate::cluster::moments::hash_relative;
use crate::cluster::process::{Done, Process};
use crate::cluster::rules::{Rule, Violation};
use crate::cluster::setup::Setup;
use crate::cluster::shared::Shared;
use crate::cluster::stream::SimStream;
use crate::cluster::truth::Truth;
use crate::cluster::{Client, members};

/// Where a node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The n-th master.
    Master(usize),
    /// The n-th secondary.
    Secondary(usize),
}

/// A cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Its settings.
    pub setup: Arc<Setup>,
    /// The masters.
    pub masters: Vec<Shared<Master>>,
    /// The secondaries.
    pub secondaries: Vec<Shared<Secondary>>,
    /// The clients.
    pub clients: Vec<Request>,
    /// The stream of their journal, where masters share it.
    pub stream: Shared<SimStream>,
    /// What really was.
    pub truth: Shared<Truth>,
    /// What has left the nodes and was not carried on yet.
    pub outbox: Vec<(Place, Outbound)>,
    /// What operators were told and was not read yet.
    pub events: Vec<(Place, replog_protocol::event::Event)>,
    /// The first rule that was broken.
    pub violation: Option<Violation>,
}

impl Cluster {
    /// A number that is the same for the same node, disk and twin in that place, whatever its clock shows.
    #[must_use]
    pub fn fingerprint(&self, place: Place) -> u64 {
        match place {
            Place::Master(m) => self.masters[m].number(|master| {
                let now = master.process.as_ref().map(|p| p.now);
                // While a master recovers, stands by or waits for a shared journal it matters whether a moment was now or a
                // second ago.
                let waits = master.recovers() || master.stands_by();
                let waits = waits || master.journal.chunk().is_some();
                relative(master, now, u64::from(waits))
            }),
            Place::Secondary(n) => self.secondaries[n].number(|secondary| {
                let now = secondary.process.as_ref().map(|p| p.now);
                relative(secondary, now, 0)
            }),
        }
    }

    /// The same for the cluster as a whole, without its settings, which never change.
    #[must_use]
    pub fn fingerprint_of_all(&self) -> u64 {
        let mut hasher = Fingerprinter::default();
        for place in self.places() {
            self.fingerprint(place).hash(&mut hasher);
        }
        let clients = self.clients.iter();
        clients.for_each(|c| (c.w, &c.fate).hash(&mut hasher));
        self.truth.number(fingerprint).hash(&mut hasher);
        if self.setup.shares_journal {
            self.stream.number(fingerprint).hash(&mut hasher);
        }
        self.violation.hash(&mut hasher);
        hasher.finish()
    }

    /// Every place, whether a process runs there or not: the masters first.
    pub fn places(&self) -> impl Iterator<Item = Place> + use<> {
        let masters = (0..self.masters.len()).map(Place::Master);
        masters.chain((0..self.secondaries.len()).map(Place::Secondary))
    }

    /// That place is as it is in `other` again, and what has left it since, or was told, has not.
    pub fn revert(&mut self, place: Place, other: &Cluster) {
        match place {
            Place::Master(m) => self.masters[m] = other.masters[m].clone(),
            Place::Secondary(n) => self.secondaries[n] = other.secondaries[n].clone(),
        }
        self.truth = other.truth.clone();
        self.stream = other.stream.clone();
        if !self.has_same_fates(other) {
            self.clients.clone_from(&other.clients);
        }
        self.violation.clone_from(&other.violation);
        self.outbox.clear();
        self.events.clear();
    }

    /// Whether all clients fare as they do in `other`.
    #[must_use]
    pub fn has_same_fates(&self, other: &Cluster) -> bool {
        let mut pairs = self.clients.iter().zip(&other.clients);
        self.clients.len() == other.clients.len() && pairs.all(|(a, b)| a.fate == b.fate)
    }

    /// Whether there is such a place.
    #[must_use]
    pub fn has(&self, place: Place) -> bool {
        match place {
            Place::Master(m) => m < self.masters.len(),
            Place::Secondary(n) => n < self.secondaries.len(),
        }
    }

    /// Where a process runs.
    #[must_use]
    pub fn running(&self) -> Vec<Place> {
        let masters = self.leaders().map(|(m, _)| Place::Master(m));
        let secondaries = self.followers().map(|(n, _)| Place::Secondary(n));
        masters.chain(secondaries).collect()
    }

    /// Nothing runs yet.
    #[must_use]
    pub fn new(setup: Arc<Setup>) -> Self {
        Self {
            setup,
            masters: Vec::new(),
            secondaries: Vec::new(),
            clients: Vec::new(),
            stream: Shared::default(),
            truth: Shared::default(),
            outbox: Vec::new(),
            events: Vec::new(),
            violation: None,
        }
    }

    // ---- Processes.

    /// One more place for a master, with an empty disk.
    pub fn add_master(&mut self) -> usize {
        self.masters.push(Shared::new(Master {
            journal: SimJournal::new(self.setup.is_lazy),
            process: None,
            id: self.setup.master_id(self.masters.len(), 0),
            starts: 0,
            clears: 0,
            seen: Default::default(),
            highest_round: 0,
            learned: Learned::default(),
            end: None,
        }));
        self.masters.len() - 1
    }

    /// One more place for a secondary of that name, with that disk.
    pub fn add_secondary(&mut self, name: NodeId, journal: SimJournal) -> usize {
        self.secondaries.push(Shared::new(Secondary {
            name,
            journal,
            process: None,
            storage: self.setup.storage_id(self.secondaries.len(), 0),
            starts: 0,
            renewals: 0,
            is_emptying: false,
            epochs_said: Default::default(),
            end: None,
        }));
        self.secondaries.len() - 1
    }

    /// The master of that place starts with what its disk holds, without a link.
    pub fn start_master(&mut self, m: usize, takeover: bool) {
        let setup = Arc::clone(&self.setup);
        let master = self.masters[m].make_mut();
        master.starts += 1;
        master.id = setup.master_id(m, master.starts);
        let new_log_id = setup.log_id(m, master.starts << 8);
        let restored = master.journal.restored();
        master.learned = Learned::of_disk(&restored.hard_state);
        let leader = setup.leader(master.id, new_log_id, takeover, restored);
        master.process = Some(Process::new(leader));
        master.seen.clear();
        master.highest_round = 0;
        master.end = None;
        if self.setup.shares_journal {
            let opened = self.stream.opened();
            self.step_master(m, Input::Stream(opened));
        }
    }

    /// The secondary of that place starts with what its disk holds, without a link.
    pub fn start_secondary(&mut self, n: usize) {
        let setup = Arc::clone(&self.setup);
        let secondary = self.secondaries[n].make_mut();
        secondary.starts += 1;
        secondary.storage = setup.storage_id(n, secondary.starts << 8);
        secondary.end = None;
        secondary.is_emptying = false;
        let restored = secondary.journal.restored();
        let follower = setup.follower(secondary.name.clone(), secondary.storage, restored);
        secondary.process = Some(Process::new(follower));
    }

    /// The process of that place ends at once, and its disk is found with that loss. The write in flight is lost with it, or
    /// was written just before.
    pub fn crash(&mut self, place: Place, loss: Loss, is_written: bool) {
        let crashed = match place {
            Place::Master(m) => self.crash_master(m, loss, is_written),
            Place::Secondary(n) => self.crash_secondary(n, loss, is_written),
        };
        self.keep(crashed);
    }

    fn crash_master(&mut self, m: usize, loss: Loss, is_written: bool) -> Result<(), Violation> {
        if let Some(chunk) = self.masters[m].journal.chunk().cloned() {
            // It is in the stream just before, or may still get there, or never does.
            match is_written {
                true => drop(self.take_chunk(&chunk)),
                false => self.stream.make_mut().may_come_late(chunk),
            }
            self.masters[m].make_mut().journal.drop_write();
        }
        let truth = self.truth.make_mut();
        let master = self.masters[m].make_mut();
        master.process = None;
        let applied = master
            .journal
            .crash(Loss::Nothing, is_written)
            .map_err(bug)?;
        let entries = &master.journal.stored().entries;
        truth.wrote(master.id.0, Some(master.id), entries, false, &applied)?;
        master.journal.crash(loss, false).map_err(bug)?;
        for request in &mut self.clients {
            if request.fate == Fate::Waiting(m) {
                request.fate = Fate::Gone;
            }
        }
        Ok(())
    }

    fn crash_secondary(&mut self, n: usize, loss: Loss, is_written: bool) -> Result<(), Violation> {
        let truth = self.truth.make_mut();
        let secondary = self.secondaries[n].make_mut();
        secondary.process = None;
        let start = secondary.storage.0;
        let applied = secondary
            .journal
            .crash(Loss::Nothing, is_written)
            .map_err(bug)?;
        let entries = &secondary.journal.stored().entries;
        truth.wrote(start, None, entries, secondary.is_emptying, &applied)?;
        let held = secondary.journal.stored();
        if let Some(log_id) = held.hard_state.log_id {
            truth.lost(start, log_id, &held.entries);
        }
        secondary.journal.crash(loss, false).map_err(bug)?;
        if loss != Loss::Nothing {
            let found = &secondary.journal.stored().hard_state;
            let said = found.log_id.map(|log_id| (log_id, found.epoch));
            secondary.epochs_said = said.into_iter().collect();
        }
        Ok(())
    }

    /// A second process of a name starts on a copy of its disk, as it is or as it was when it was backed up.
    pub fn copy(&mut self, n: usize, older: bool) -> usize {
        let name = self.secondaries[n].name.clone();
        let journal = self.secondaries[n].journal.copied(older);
        let copy = self.add_secondary(name, journal);
        self.start_secondary(copy);
        copy
    }

    /// A copy is made of what the storage of that place holds.
    pub fn back_up(&mut self, place: Place) {
        self.journal_mut(place).back_up();
    }

    /// What the journal of that place has acknowledged is synced.
    pub fn sync(&mut self, place: Place) {
        self.journal_mut(place).sync();
    }

    /// An entry of that place cannot be read any more; the node is told when its clock goes on, or when it reads it.
    pub fn rot(&mut self, place: Place, seq: Seq) {
        self.journal_mut(place).rot(seq);
    }

    /// The journal of that place.
    #[must_use]
    pub fn journal(&self, place: Place) -> &SimJournal {
        match place {
            Place::Master(m) => &self.masters[m].journal,
            Place::Secondary(n) => &self.secondaries[n].journal,
        }
    }

    /// Whether an entry of that place is there again if it rots: another one that runs can read the same entry.
    #[must_use]
    pub fn has_readable_copy(&self, place: Place, seq: Seq) -> bool {
        let entry = |at: Place| {
            let journal = self.journal(at);
            let stored = journal.stored();
            let entry = stored
                .get(seq)
                .filter(|_| !journal.damaged().contains(&seq));
            entry.map(|entry| (stored.hard_state.log_id, entry))
        };
        let own = entry(place);
        let others = self.running().into_iter().filter(|at| *at != place);
        own.is_some() && others.map(entry).any(|other| other == own)
    }

    fn journal_mut(&mut self, place: Place) -> &mut SimJournal {
        match place {
            Place::Master(m) => &mut self.masters[m].make_mut().journal,
            Place::Secondary(n) => &mut self.secondaries[n].make_mut().journal,
        }
    }

    // ---- What happens to a process.

    /// The link of that place is there, or is gone.
    pub fn link(&mut self, place: Place, is_up: bool) {
        let max_payload = self.setup.max_payload;
        let state = match is_up {
            true => LinkState::Up { max_payload },
            false => LinkState::Down,
        };
        self.step(place, Input::Link(state), Input::Link(state));
    }

    /// So much time passes for the process of that place, and it does what is due.
    pub fn tick(&mut self, place: Place, time: Duration) {
        match place {
            Place::Master(m) => {
                let master = self.masters[m].make_mut();
                if let Some(process) = &mut master.process {
                    process.let_pass(time);
                    process.look_for_damage(&master.journal);
                }
                if !self.is_behind(m) {
                    self.at_end(m);
                }
            }
            Place::Secondary(n) => {
                let secondary = self.secondaries[n].make_mut();
                if let Some(process) = &mut secondary.process {
                    process.let_pass(time);
                    process.look_for_damage(&secondary.journal);
                }
            }
        }
        self.step(place, Input::Tick, Input::Tick);
    }

    /// The program of that place is told to end.
    pub fn stop(&mut self, place: Place) {
        self.step(place, Input::Stop, Input::Stop);
    }

    /// The broker says that nobody listens where an answer to that address would come from.
    pub fn no_responders(&mut self, place: Place, address: Address) {
        let for_secondary = Input::NoResponders(address.clone());
        self.step(place, Input::NoResponders(address), for_secondary);
    }

    /// A message reaches that place.
    pub fn deliver(&mut self, place: Place, message: Message) {
        let before = match place {
            Place::Master(m) => {
                let master = self.masters[m].make_mut();
                let before = (m, master.recovers(), master.seen.clone());
                master.learn(&message);
                Some(before)
            }
            Place::Secondary(_) => None,
        };
        self.step(
            place,
            Input::Message(message.clone()),
            Input::Message(message),
        );
        // A master with an empty log that hears of another one begins to ask, and has learned nothing else.
        if let Some((m, false, seen)) = before
            && self.masters[m].recovers()
        {
            self.masters[m].make_mut().seen = seen;
        }
    }

    /// The chunk reaches the stream: whether it is taken.
    fn take_chunk(&mut self, chunk: &Arc<WriteJob>) -> bool {
        let taken = self.stream.make_mut().take(chunk).map_err(bug);
        match taken {
            Ok(None) => false,
            Ok(Some(applied)) => {
                let judged = judge::stream(self, chunk, &applied);
                self.keep(judged);
                true
            }
            Err(violation) => {
                self.keep(Err(violation));
                false
            }
        }
    }

    /// The chunk of that master reaches the stream, and it hears what has become of it.
    fn settle_chunk(&mut self, m: usize, chunk: &Arc<WriteJob>) {
        let is_taken = self.take_chunk(chunk);
        let pace = self.setup.master_pace;
        let Master {
            journal, process, ..
        } = self.masters[m].make_mut();
        if let Some(process) = process {
            let done = match is_taken {
                true => process.finish_write(journal, pace, WriteEnd::Done),
                false => process.refuse_chunk(journal, pace),
            };
            self.after_master(m, done);
        }
    }

    /// A chunk of a master that has ended reaches the stream after all, if one is left that fits there.
    pub fn arrive_late(&mut self) {
        if let Some(late) = self.stream.late() {
            let chunk = self.stream.make_mut().take_late(late);
            self.take_chunk(&chunk);
        }
    }

    /// Whether the stream has a chunk that the master has not carried out, and can be told of.
    #[must_use]
    pub fn is_behind(&self, m: usize) -> bool {
        self.next_chunk(m).is_some()
    }

    fn next_chunk(&self, m: usize) -> Option<&Arc<WriteJob>> {
        let master = &self.masters[m];
        let shared = master.process.as_ref()?.node.shared_journal()?;
        let position = shared.position().filter(|_| !master.journal.is_writing())?;
        self.stream.after(position)
    }

    /// A master that stands by is told that nothing follows: by a replica that may lag.
    pub fn at_end(&mut self, m: usize) {
        let master = &self.masters[m];
        if master.stands_by() && !master.journal.is_writing() {
            self.step_master(m, Input::Stream(StreamEvent::AtEnd));
        }
    }

    /// That master is told of the next chunk.
    pub fn follow(&mut self, m: usize) {
        if let Some(chunk) = self.next_chunk(m) {
            let chunk = Box::new(WriteJob::clone(chunk));
            self.step_master(m, Input::Stream(StreamEvent::Chunk(chunk)));
        }
    }

    /// The write in flight of that place ends.
    pub fn finish_write(&mut self, place: Place, end: WriteEnd) {
        if let Place::Master(m) = place
            && let Some(chunk) = self.masters[m].journal.chunk().cloned()
        {
            return self.settle_chunk(m, &chunk);
        }
        match place {
            Place::Master(m) => {
                let pace = self.setup.master_pace;
                let Master {
                    journal, process, ..
                } = self.masters[m].make_mut();
                if let Some(process) = process {
                    let done = process.finish_write(journal, pace, end);
                    self.after_master(m, done);
                }
            }
            Place::Secondary(n) => {
                let pace = self.setup.secondary_pace;
                let Secondary {
                    journal, process, ..
                } = self.secondaries[n].make_mut();
                if let Some(process) = process {
                    let done = process.finish_write(journal, pace, end);
                    self.after_secondary(n, done);
                }
            }
        }
    }

    /// The `i`-th read of that place ends.
    pub fn finish_read(&mut self, place: Place, i: usize) {
        match place {
            Place::Master(m) => {
                let pace = self.setup.master_pace;
                let Master {
                    journal, process, ..
                } = self.masters[m].make_mut();
                if let Some(process) = process {
                    let done = process.finish_read(journal, pace, i);
                    self.after_master(m, done);
                }
            }
            Place::Secondary(n) => {
                let pace = self.setup.secondary_pace;
                let Secondary {
                    journal, process, ..
                } = self.secondaries[n].make_mut();
                if let Some(process) = process {
                    let done = process.finish_read(journal, pace, i);
                    self.after_secondary(n, done);
                }
            }
        }
    }

    fn step(
        &mut self,
        place: Place,
        for_master: Input<Command<Client>>,
        for_secondary: Input<follower::Command<Client>>,
    ) {
        match place {
            Place::Master(m) => self.step_master(m, for_master),
            Place::Secondary(n) => self.step_secondary(n, for_secondary),
        }
    }

    fn step_master(&mut self, m: usize, input: Input<Command<Client>>) {
        let pace = self.setup.master_pace;
        let Master {
            journal, process, ..
        } = self.masters[m].make_mut();
        if let Some(process) = process {
            let done = process.step(journal, pace, input);
            self.after_master(m, done);
        }
    }

    fn step_secondary(&mut self, n: usize, input: Input<follower::Command<Client>>) {
        let pace = self.setup.secondary_pace;
        let Secondary {
            journal, process, ..
        } = self.secondaries[n].make_mut();
        if let Some(process) = process {
            let done = process.step(journal, pace, input);
            self.after_secondary(n, done);
        }
    }

    // ---- Clients.

    /// That client appends at that master.
    pub fn append(
        &mut self,
        client: usize,
        m: usize,
        timeout: Option<Duration>,
        expected_seq: Option<Seq>,
    ) {
        // Who is asked while that is not known yet, or has to ask a journal first, counts later.
        let process = self.masters[m].process.as_ref();
        let leader = process.map(|p| &p.node);
        let leader = leader.filter(|l| l.phase().unavailable().is_none());
        let members = leader.map(|l| l.peers().count());
        let members = members.filter(|_| self.setup.remember_ids.is_none());
        let request = &mut self.clients[client];
        let w = request.asks;
        request.w = match w {
            WriteConcern::Count(n) => u32::try_from(n).ok(),
            WriteConcern::Majority | WriteConcern::All => members.map(|n| w.nodes(n)),
        };
        request.fate = Fate::Waiting(m);
        let append = Append {
            requests: vec![AppendRequest {
                content: request.content.clone(),
                message_id: request.message_id,
                is_new_id: false,
            }],
            w,
            timeout,
            expected_seq,
            load: None,
            request_id: None,
            waiter: request.client.clone(),
        };
        self.step_master(m, Input::Client(Command::Append(append)));
    }

    /// Somebody clears the log at that master.
    pub fn clear(&mut self, m: usize) {
        let waiter = Client::new(usize::MAX);
        let master = self.masters[m].make_mut();
        master.clears += 1;
        let log_id = self.setup.log_id(m, master.starts << 8 | master.clears);
        let former = self.masters[m].leads();
        if let Some(former) = former {
            self.truth.make_mut().clear(former.log_id);
        }
        self.step_master(m, Input::Client(Command::Clear { log_id, waiter }));
        let leads = self.masters[m].leads();
        if let Some(former) = former {
            let is_done = leads.is_some_and(|l| l.log_id == log_id);
            let truth = self.truth.make_mut();
            truth.was_cleared(former.log_id, is_done);
            if let Some(leads) = leads.filter(|_| is_done) {
                let serves = truth.serves(leads, Default::default());
                self.keep(serves);
            }
        }
    }

    /// Whether that master is to take that secondary out: it serves, and the secondary is gone and not listed.
    #[must_use]
    pub fn is_gone(&self, m: usize, node: &NodeId) -> bool {
        let Some(process) = &self.masters[m].process else {
            return false;
        };
        let (leader, peers) = (&process.node, process.node.peers());
        let status = peers.get(node).map(|peer| peer.status(process.now));
        leader.phase().unavailable().is_none()
            && peers.listed().is_none_or(|listed| !listed.contains(node))
            && matches!(status, Some(Status::Unknown | Status::Unhealthy))
    }

    /// An operator takes a secondary out that is gone for that master: from then on the master knows nothing of it.
    pub fn remove(&mut self, m: usize, node: &NodeId) {
        let Some(process) = &self.masters[m].process else {
            return;
        };
        let peers = process.node.peers();
        let members = peers.count() - usize::from(peers.is_member(node));
        for request in &mut self.clients {
            let nodes = request.asks.measure().nodes(members);
            if request.fate == Fate::Waiting(m) {
                request.w = request.w.map(|w| nodes.map_or(w, |nodes| w.min(nodes)));
            }
        }
        self.masters[m].make_mut().seen.remove(node);
        let waiter = Client::new(usize::MAX);
        let command = Command::Remove {
            node: node.clone(),
            waiter,
        };
        self.step_master(m, Input::Client(command));
        let process = self.masters[m].process.as_ref();
        if process.is_some_and(|p| p.node.peers().get(node).is_some()) {
            let what = format!("{node} is not taken out");
            self.keep(Err(Violation::new(Rule::NoLie, what)));
        }
    }

    /// Somebody empties that secondary; or, with `rejoin`, has it follow the master of another history.
    pub fn renew(&mut self, n: usize, rejoin: bool) {
        let waiter = Client::new(usize::MAX);
        let truth = self.truth.make_mut();
        let secondary = self.secondaries[n].make_mut();
        let Some(process) = &secondary.process else {
            return;
        };
        if rejoin && process.node.foreign().is_none() {
            return;
        }
        let held = secondary.journal.stored();
        if let Some(log_id) = held.hard_state.log_id {
            truth.lost(secondary.storage.0, log_id, &held.entries);
        }
        secondary.renewals += 1;
        let number = secondary.starts << 8 | secondary.renewals;
        let storage = self.setup.storage_id(n, number);
        secondary.storage = storage;
        secondary.is_emptying = true;
        if rejoin {
            secondary.epochs_said.clear();
        }
        let command = match rejoin {
            true => follower::Command::Rejoin { storage, waiter },
            false => follower::Command::Clear { storage, waiter },
        };
        self.step_secondary(n, Input::Client(command));
    }

    // ---- What follows.

    fn after_master(&mut self, m: usize, done: Done<Reply<Client>>) {
        let judged = judge::master(self, m, &done);
        self.keep(judged);
        let master = self.masters[m].make_mut();
        let sent = done.messages.iter().filter_map(members::round_of);
        master.highest_round = sent.chain([master.highest_round]).max().unwrap_or(0);
        if let Some(end) = done.end {
            master.end = Some(end);
            let crashed = self.crash_master(m, Loss::Nothing, false);
            self.keep(crashed);
        }
        let from = Place::Master(m);
        self.outbox
            .extend(done.messages.into_iter().map(|o| (from, o)));
        self.events
            .extend(done.events.into_iter().map(|e| (from, e)));
    }

    fn after_secondary(&mut self, n: usize, done: Done<follower::Reply<Client>>) {
        let judged = judge::secondary(self, n, &done);
        self.keep(judged);
        if let Some(end) = done.end {
            self.secondaries[n].make_mut().end = Some(end);
            let crashed = self.crash_secondary(n, Loss::Nothing, false);
            self.keep(crashed);
        }
        let from = Place::Secondary(n);
        self.outbox
            .extend(done.messages.into_iter().map(|o| (from, o)));
        self.events
            .extend(done.events.into_iter().map(|e| (from, e)));
    }

    /// Whether nobody is left waiting for what a master knows to be there.
    pub fn check_waiting(&mut self) {
        let checked = judge::answered_at_once(self);
        self.keep(checked);
    }

    /// The first rule that is broken is kept.
    fn keep(&mut self, result: Result<(), Violation>) {
        if let Err(violation) = result {
            self.violation.get_or_insert(violation);
        }
    }

    // ---- Who is who.

    /// The processes that listen on that address, but for the one that has sent the message.
    pub fn listeners(&self, from: Place, to: &Address) -> Vec<Place> {
        let masters = || {
            let all = self.masters.iter().enumerate();
            all.filter(|(_, m)| m.process.is_some())
                .map(|(m, _)| Place::Master(m))
        };
        let named = |name: Option<&NodeId>| -> Vec<Place> {
            let all = self.secondaries.iter().enumerate();
            all.filter(|(_, s)| s.process.is_some() && name.is_none_or(|name| *name == s.name))
                .map(|(n, _)| Place::Secondary(n))
                .collect()
        };
        let mut all = match to {
            Address::Append(node)
            | Address::Heartbeat(node)
            | Address::Prepare(node)
            | Address::Fetch(node)
            | Address::Claim(node) => named(Some(node)),
            Address::Ack(node, AckOf::Hello) => masters().chain(named(Some(node))).collect(),
            Address::Ack(..) | Address::Promise(_) | Address::Fetched(_) => masters().collect(),
            Address::Announce => masters().chain(named(None)).collect(),
            Address::Event(..) => Vec::new(),
        };
        all.retain(|place| *place != from);
        all
    }

    /// The masters that run.
    pub fn leaders(&self) -> impl Iterator<Item = (usize, &Leader<Client>)> {
        let all = self.masters.iter().enumerate();
        all.filter_map(|(m, master)| Some((m, &master.process.as_ref()?.node)))
    }

    /// The secondaries that run.
    pub fn followers(&self) -> impl Iterator<Item = (usize, &Follower<Client>)> {
        let all = self.secondaries.iter().enumerate();
        all.filter_map(|(n, s)| Some((n, &s.process.as_ref()?.node)))
    }

    /// Whether a process of that place has a link.
    #[must_use]
    pub fn is_linked(&self, place: Place) -> bool {
        self.process(place)
            .is_some_and(|(_, is_linked, _)| is_linked)
    }

    /// Whether a write of a process of that place is in flight.
    #[must_use]
    pub fn is_writing(&self, place: Place) -> bool {
        self.process(place)
            .is_some_and(|(journal, ..)| journal.is_writing())
    }

    /// Whether a process of that place waits for a read.
    #[must_use]
    pub fn is_reading(&self, place: Place) -> bool {
        self.process(place).is_some_and(|(_, _, reads)| reads > 0)
    }

    /// Of a process: its journal, whether it has a link, and how many reads are under way.
    fn process(&self, place: Place) -> Option<(&SimJournal, bool, usize)> {
        match place {
            Place::Master(m) => {
                let Master {
                    journal, process, ..
                } = &*self.masters[m];
                process
                    .as_ref()
                    .map(|p| (journal, p.is_linked, p.reads.len()))
            }
            Place::Secondary(n) => {
                let Secondary {
                    journal, process, ..
                } = &*self.secondaries[n];
                process
                    .as_ref()
                    .map(|p| (journal, p.is_linked, p.reads.len()))
            }
        }
    }
}

/// A number for a value whose clock shows `now`, whatever that is; `horizon` in seconds.
fn relative(value: &impl Hash, now: Option<Time>, horizon: u64) -> u64 {
    let mut hasher = Fingerprinter::default();
    let horizon = Duration::from_secs(horizon);
    hash_relative(value, now.unwrap_or(Time::ZERO), horizon, &mut hasher);
    hasher.finish()
}

fn bug(what: String) -> Violation {
    Violation::new(Rule::ComesToRest, what)
}
