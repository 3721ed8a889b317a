//! The one queue of a run: what is going to happen, and when.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use replog_protocol::entry::Content;
use replog_protocol::ids::{MessageId, NodeId, Seq, Time};
use replog_protocol::leader::command::Answer;
use replog_protocol::node::{Node, Outbound};
use replog_protocol::wire::{Address, Message};
use replog_protocol::write_concern::WriteConcern;
use uuid::Uuid;

use super::plan::{Plan, Story};
use super::{Failure, Report};
use crate::cluster::journal::{Loss, SimJournal, WriteEnd};
use crate::cluster::setup::mixed;
use crate::cluster::well::unwell;
use crate::cluster::{Client, Cluster, Fate, Place, Request};

/// How long a healed cluster may take to become well.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long a cluster that is well is listened to.
const SILENCE: Duration = Duration::from_secs(10);
/// Time goes on at least that often, so that no node takes it for a pause of its own.
const STEP: Duration = Duration::from_millis(50);

/// Something that is going to happen.
#[derive(Clone, Debug)]
enum Happening {
    /// A message arrives at the process that ran there when it was sent.
    Arrive(Place, u32, Address, Bytes),
    /// The broker says that nobody listens.
    NoResponders(Place, u32, Address),
    /// A write ends.
    Write(Place, u32),
    /// The first read ends.
    Read(Place, u32),
    /// A client appends.
    Append(usize),
    /// Something goes wrong.
    Fault,
    /// A master is told of the stream of a shared journal, by a replica that is up to date, or by one that lags.
    Poll(usize, u32),
    /// A chunk of a master that has ended may reach the stream now.
    ArriveLate,
    /// A process that was stopped goes on.
    Resume(Place, u32),
    /// Somebody looks at the clock.
    Look,
}

/// A run.
pub(super) struct World {
    plan: Plan,
    cluster: Cluster,
    now: Duration,
    queue: BTreeMap<(Duration, u64), Happening>,
    count: u64,
    /// Up to when the clock of each place was set.
    clocks: BTreeMap<Place, Duration>,
    /// Writes that have their end in the queue.
    writing: BTreeMap<Place, u32>,
    reading: BTreeMap<Place, u32>,
    /// Processes that are stopped (SIGSTOP), and until when; their clocks go on, and what comes for them waits.
    suspended: BTreeMap<Place, Duration>,
    is_healed: bool,
    /// Until when the servers of a shared stream choose a leader, and nothing gets into it.
    stream_away: Duration,
    /// When a superseded secondary was started again.
    replaced: BTreeMap<usize, Duration>,
    sent: usize,
    other_sent: Option<String>,
    report: Report,
    last: VecDeque<String>,
}

impl World {
    pub(super) fn new(plan: Plan) -> Self {
        let setup = Arc::new(plan.setup.clone());
        let mut cluster = Cluster::new(Arc::clone(&setup));
        let masters = match plan.story {
            Story::Sharing => 2 + usize::try_from(plan.seed % 2).unwrap_or(0),
            _ => 1,
        };
        for _ in 0..masters {
            cluster.add_master();
        }
        for name in &setup.names {
            cluster.add_secondary(name.clone(), SimJournal::new(setup.is_lazy));
        }
        Self {
            plan,
            cluster,
            now: Duration::ZERO,
            queue: BTreeMap::new(),
            count: 0,
            clocks: BTreeMap::new(),
            writing: BTreeMap::new(),
            reading: BTreeMap::new(),
            suspended: BTreeMap::new(),
            is_healed: false,
            stream_away: Duration::ZERO,
            replaced: BTreeMap::new(),
            sent: 0,
            other_sent: None,
            report: Report::default(),
            last: VecDeque::new(),
        }
    }

    /// Faults, then none, then silence.
    pub(super) fn play(mut self) -> Result<Report, Box<Failure>> {
        for m in 0..self.cluster.masters.len() {
            self.start(Place::Master(m), false);
        }
        for n in 0..self.cluster.secondaries.len() {
            self.start(Place::Secondary(n), false);
        }
        let trouble = self.plan.trouble;
        let millis = u64::try_from(trouble.as_millis()).unwrap_or(u64::MAX);
        for client in 0..self.plan.clients {
            let at = Duration::from_millis(self.plan.rng.below(millis));
            self.add_client(client);
            self.queue_at(at, Happening::Append(client));
        }
        for _ in 0..2 + self.plan.rng.below(10) {
            let at = Duration::from_millis(self.plan.rng.below(millis));
            self.queue_at(at, Happening::Fault);
        }
        self.run_until(trouble)?;
        self.heal();
        self.become_well()?;
        self.fall_silent()?;
        let told = self.cluster.clients.iter();
        let is_replicated =
            |c: &&Request| matches!(c.fate, Fate::Answered(Answer::Replicated { .. }));
        self.report.replicated = told.filter(is_replicated).count();
        self.report.appends = self.plan.clients;
        Ok(self.report)
    }

    fn become_well(&mut self) -> Result<(), Box<Failure>> {
        let until = self.now + PATIENCE;
        loop {
            self.run_until(self.now + Duration::from_millis(500))?;
            self.revive();
            match unwell(&self.cluster) {
                None => return Ok(()),
                Some(what) if self.now >= until => return Err(self.failure(what)),
                Some(_) => {}
            }
        }
    }

    /// A cluster that is well says heartbeats and their answers, and nothing else.
    fn fall_silent(&mut self) -> Result<(), Box<Failure>> {
        // Whoever waits for more nodes than there are, or holds another history, is asked with its backoff.
        self.run_until(self.now + Duration::from_secs(6))?;
        (self.sent, self.other_sent) = (0, None);
        self.run_until(self.now + SILENCE)?;
        if let Some(other) = self.other_sent.take() {
            return Err(self.failure(format!("an idle cluster says {other}")));
        }
        let interval = self.plan.setup.replication.heartbeat_interval;
        let beats = SILENCE.as_millis() / interval.as_millis() + 2;
        let pairs = self.cluster.secondaries.len() * self.cluster.masters.len();
        let most = 3 * pairs * usize::try_from(beats).unwrap_or(usize::MAX);
        match self.sent <= most {
            true => Ok(()),
            false => Err(self.failure(format!(
                "an idle cluster sends {} messages, more than {most}",
                self.sent
            ))),
        }
    }

    // ---- Time.

    fn queue_at(&mut self, at: Duration, what: Happening) {
        self.count += 1;
        self.queue.insert((at, self.count), what);
    }

    fn queue_in(&mut self, most: Duration, what: Happening) {
        let after = self.plan.rng.between(Duration::from_micros(50), most);
        self.queue_at(self.now + after, what);
    }

    fn run_until(&mut self, end: Duration) -> Result<(), Box<Failure>> {
        self.queue_at(end, Happening::Look);
        while self.now < end {
            let next = self.queue.first_key_value().map_or(end, |((at, _), _)| *at);
            let due = self.deadline().map_or(next, |due| due.min(next));
            let at = due.min(end).min(self.now + STEP).max(self.now);
            self.now = at;
            if at < next {
                self.pass_time();
            } else if let Some((_, what)) = self.queue.pop_first() {
                self.happen(what);
            }
            self.settle();
            if let Some(violation) = &self.cluster.violation {
                let what = violation.to_string();
                return Err(self.failure(what));
            }
        }
        Ok(())
    }

    /// When the next node wants to be woken.
    fn deadline(&self) -> Option<Duration> {
        let due = |place: Place, at: Option<Time>, now: Time| {
            if self.suspended.contains_key(&place) {
                return None;
            }
            let clock = self.clocks.get(&place)?;
            Some(*clock + at?.since(now))
        };
        let masters = self
            .cluster
            .masters
            .iter()
            .enumerate()
            .filter_map(|(m, x)| {
                let p = x.process.as_ref()?;
                due(Place::Master(m), p.node.deadline(p.now), p.now)
            });
        let all = self.cluster.secondaries.iter().enumerate();
        let secondaries = all.filter_map(|(n, x)| {
            let p = x.process.as_ref()?;
            due(Place::Secondary(n), p.node.deadline(p.now), p.now)
        });
        masters.chain(secondaries).min()
    }

    fn pass_time(&mut self) {
        for place in self.cluster.running() {
            if !self.suspended.contains_key(&place) {
                self.set_clock(place);
            }
        }
    }

    /// Whoever is stopped goes on.
    fn set_clock(&mut self, place: Place) {
        self.suspended.remove(&place);
        let clock = self.clocks.entry(place).or_insert(self.now);
        let passed = self.now - *clock;
        *clock = self.now;
        self.cluster.tick(place, passed);
    }

    // ---- What happens.

    fn happen(&mut self, what: Happening) {
        if let Some(until) = self.waits(&what) {
            self.queue_at(until, what);
            return;
        }
        match what {
            Happening::Arrive(place, starts, address, line) => {
                if self.is_running(place, starts) && self.cluster.is_linked(place) {
                    match Message::decode(&address, &line) {
                        Ok(message) => {
                            self.set_clock(place);
                            self.cluster.deliver(place, message);
                        }
                        Err(error) => self.note(format!("{address:?} cannot be read: {error}")),
                    }
                }
            }
            Happening::NoResponders(place, starts, address) => {
                if self.is_running(place, starts) && self.cluster.is_linked(place) {
                    self.set_clock(place);
                    self.cluster.no_responders(place, address);
                }
            }
            Happening::Write(place, starts) => {
                self.writing.remove(&place);
                if self.is_running(place, starts) && self.cluster.is_writing(place) {
                    if self.cluster.journal(place).chunk().is_some() && self.now < self.stream_away
                    {
                        self.writing.insert(place, starts);
                        let after = self.stream_away + self.plan.write;
                        self.queue_at(after, Happening::Write(place, starts));
                        return;
                    }
                    self.set_clock(place);
                    let end = self.write_end();
                    self.cluster.finish_write(place, end);
                }
            }
            Happening::Read(place, starts) => {
                self.reading.remove(&place);
                if self.is_running(place, starts) && self.cluster.is_reading(place) {
                    self.set_clock(place);
                    self.cluster.finish_read(place, 0);
                }
            }
            Happening::Poll(m, starts) => self.poll(m, starts),
            Happening::ArriveLate => self.cluster.arrive_late(),
            Happening::Resume(place, starts) => {
                if self.is_running(place, starts) && self.suspended.contains_key(&place) {
                    self.note(format!("{place:?} goes on"));
                    self.set_clock(place);
                }
            }
            Happening::Append(client) => self.append(client),
            Happening::Fault => self.fault(),
            Happening::Look => self.pass_time(),
        }
    }

    /// Until when it has to wait, because its process is stopped.
    fn waits(&self, what: &Happening) -> Option<Duration> {
        match what {
            Happening::Arrive(place, ..)
            | Happening::NoResponders(place, ..)
            | Happening::Write(place, _)
            | Happening::Read(place, _) => self.suspended.get(place).copied(),
            Happening::Poll(m, _) => self.suspended.get(&Place::Master(*m)).copied(),
            Happening::Resume(..)
            | Happening::ArriveLate
            | Happening::Append(_)
            | Happening::Fault
            | Happening::Look => None,
        }
    }

    /// A master is told what follows in the stream, and will be again.
    fn poll(&mut self, m: usize, starts: u32) {
        let place = Place::Master(m);
        if !self.is_running(place, starts) {
            return;
        }
        let interval = self.plan.setup.replication.heartbeat_interval;
        self.queue_in(interval / 3, Happening::Poll(m, starts));
        self.set_clock(place);
        let is_fresh = self.is_healed || self.plan.rng.hit(0.8);
        while is_fresh && self.cluster.is_behind(m) {
            self.cluster.follow(m);
        }
        self.cluster.at_end(m);
    }

    /// What the last step has brought about is on its way.
    fn settle(&mut self) {
        for (from, outbound) in std::mem::take(&mut self.cluster.outbox) {
            self.send(from, &outbound);
        }
        self.cluster.events.clear();
        for place in self.cluster.running() {
            let starts = self.starts(place);
            if self.cluster.is_writing(place) && !self.writing.contains_key(&place) {
                self.writing.insert(place, starts);
                self.queue_in(self.plan.write, Happening::Write(place, starts));
            }
            if self.cluster.is_reading(place) && !self.reading.contains_key(&place) {
                self.reading.insert(place, starts);
                self.queue_in(self.plan.write, Happening::Read(place, starts));
            }
        }
    }

    fn send(&mut self, from: Place, outbound: &Outbound) {
        let Outbound {
            to,
            reply_to,
            message,
        } = outbound;
        self.sent += 1;
        // Where others stand by, the master that leads shows them that it lives.
        let is_sign = matches!(message, Message::Announcement(a) if a.is_serving())
            && self.plan.story == Story::Sharing;
        if !is_sign && !matches!(to, Address::Heartbeat(_) | Address::Ack(..)) {
            self.other_sent = Some(format!("{to:?}"));
        }
        let listeners = self.cluster.listeners(from, to);
        let mut listeners = listeners.into_iter().filter(|l| self.cluster.is_linked(*l));
        let listeners: Vec<Place> = listeners.by_ref().collect();
        let starts = self.starts(from);
        if let (true, Some(reply_to)) = (listeners.is_empty(), reply_to) {
            let answer = Happening::NoResponders(from, starts, reply_to.clone());
            self.queue_in(self.plan.delay, answer);
        }
        let line = message.encode(u64::try_from(self.now.as_millis()).unwrap_or(0));
        for place in listeners {
            let (loss, duplication) = match self.is_healed {
                true => (0.0, 0.0),
                false => (self.plan.loss, self.plan.duplication),
            };
            let copies = match (self.plan.rng.hit(loss), self.plan.rng.hit(duplication)) {
                (true, _) => 0,
                (false, true) => 2,
                (false, false) => 1,
            };
            for _ in 0..copies {
                let starts = self.starts(place);
                let what = Happening::Arrive(place, starts, to.clone(), line.clone());
                self.queue_in(self.plan.delay, what);
            }
        }
    }

    fn write_end(&mut self) -> WriteEnd {
        if self.is_healed || self.plan.story != Story::Disks {
            return WriteEnd::Done;
        }
        match self.plan.rng.below(50) {
            0 | 1 => WriteEnd::DiskFull,
            2 => WriteEnd::Failed {
                is_written: self.plan.rng.hit(0.5),
            },
            _ => WriteEnd::Done,
        }
    }

    // ---- Clients.

    fn add_client(&mut self, number: usize) {
        let w = 1 + self.plan.rng.below(self.plan.setup.names.len() as u64 + 1);
        // Drawn apart: the other draws of a seed stay what they were.
        let asks = match mixed(self.plan.seed ^ (number as u64) << 32) % 8 {
            0 => WriteConcern::All,
            1 => WriteConcern::Majority,
            _ => WriteConcern::Count(w),
        };
        // Some are retries of the one before.
        let message = match number > 0 && self.plan.rng.hit(0.1) {
            true => number - 1,
            false => number,
        };
        let id = u64::try_from(message).unwrap_or(0) + 1;
        self.cluster.clients.push(Request {
            client: Client::new(number),
            message_id: MessageId(Uuid::from_u64_pair(self.plan.seed + 1, id)),
            content: Content::from_text(&format!("Msg{message}")),
            asks,
            w: None,
            fate: Fate::Silent,
        });
    }

    fn append(&mut self, client: usize) {
        let leaders = self.cluster.leaders().map(|(m, _)| m);
        // A stopped one takes nothing.
        let leaders = leaders.filter(|m| !self.suspended.contains_key(&Place::Master(*m)));
        let mut leaders: Vec<usize> = leaders.collect();
        if self.plan.story == Story::Sharing && self.plan.rng.hit(0.8) {
            // Most clients follow the address of the one that leads.
            leaders.retain(|m| !self.cluster.masters[*m].stands_by());
        }
        let Some(m) = self.pick(&leaders) else {
            return;
        };
        self.set_clock(Place::Master(m));
        let timeout = self.plan.rng.hit(0.2).then_some(Duration::from_millis(700));
        self.cluster.append(client, m, timeout, None);
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> Option<T> {
        let many = u64::try_from(all.len()).ok().filter(|many| *many > 0)?;
        all.get(usize::try_from(self.plan.rng.below(many)).ok()?)
            .copied()
    }

    // ---- Faults.

    fn fault(&mut self) {
        if self.is_healed {
            return;
        }
        self.take_out();
        self.report.faults += 1;
        let running = self.cluster.running();
        let Some(place) = self.pick(&running) else {
            return;
        };
        if self.suspended.contains_key(&place) {
            return;
        }
        match self.plan.rng.below(7) {
            0 => {
                self.note(format!("the link of {place:?} breaks, or comes back"));
                let is_up = self.cluster.is_linked(place);
                self.set_clock(place);
                self.cluster.link(place, !is_up);
            }
            1 => {
                let gone: Vec<Place> = self.dead();
                if let Some(place) = self.pick(&gone) {
                    self.start(place, false);
                }
            }
            2 => self.suspend(place),
            _ => self.fault_of_story(place),
        }
    }

    /// An operator takes out whoever is gone, where whoever joins is a member.
    fn take_out(&mut self) {
        let leaders = self
            .cluster
            .leaders()
            .filter(|_| !self.plan.setup.is_listed);
        let leaders = leaders.map(|(m, leader)| {
            let nodes = leader.peers().iter().map(|(node, _)| node.clone());
            (m, nodes.collect::<Vec<NodeId>>())
        });
        for (m, nodes) in leaders.collect::<Vec<_>>() {
            let place = Place::Master(m);
            if self.suspended.contains_key(&place) {
                continue;
            }
            self.set_clock(place);
            for node in nodes {
                if self.cluster.is_gone(m, &node) {
                    self.note(format!("master {m} is told to take out {node}"));
                    self.report.removals += 1;
                    self.cluster.remove(m, &node);
                }
            }
        }
    }

    /// A process is stopped for a while, long enough for others to take it for dead.
    fn suspend(&mut self, place: Place) {
        let pause = Duration::from_millis(500 + self.plan.rng.below(8_000));
        self.note(format!("{place:?} is stopped for {pause:?}"));
        self.set_clock(place);
        let until = self.now + pause;
        // Queued first: what comes meanwhile comes after it.
        self.queue_at(until, Happening::Resume(place, self.starts(place)));
        self.suspended.insert(place, until);
    }

    fn fault_of_story(&mut self, place: Place) {
        let secondaries: Vec<usize> = self.cluster.followers().map(|(n, _)| n).collect();
        let secondary = self.pick(&secondaries);
        match (self.plan.story, secondary) {
            (Story::Links, Some(n)) => self.crash(Place::Secondary(n), Loss::Everything),
            (Story::Recovery, _) => {
                let leaders: Vec<usize> = self.cluster.leaders().map(|(m, _)| m).collect();
                if let Some(m) = self.pick(&leaders) {
                    self.crash(Place::Master(m), Loss::Everything);
                    self.start(Place::Master(m), false);
                }
            }
            (Story::Takeover, _) if self.cluster.masters.len() < 3 => {
                let m = self.cluster.add_master();
                self.start(Place::Master(m), true);
            }
            (Story::Disks, _) => {
                let seq = Seq(1 + self.plan.rng.below(20));
                let crashes = self.plan.rng.hit(0.7);
                match crashes || self.holders(seq) < 2 {
                    true => {
                        self.crash(place, Loss::Nothing);
                        self.start(place, false);
                    }
                    false => {
                        self.note(format!("entry {seq} rots at {place:?}"));
                        self.cluster.rot(place, seq);
                    }
                }
            }
            (Story::OlderDisks, Some(n)) => match self.plan.rng.below(4) {
                0 => self.cluster.back_up(Place::Secondary(n)),
                1 => self.cluster.sync(Place::Secondary(n)),
                2 => {
                    self.crash(Place::Secondary(n), Loss::Unsynced);
                    self.start(Place::Secondary(n), false);
                }
                _ => {
                    self.crash(Place::Secondary(n), Loss::SinceBackup);
                    self.start(Place::Secondary(n), false);
                }
            },
            (Story::Copies, Some(n)) => match self.plan.rng.below(4) {
                0 => self.cluster.back_up(Place::Secondary(n)),
                1 => self.crash(Place::Secondary(n), Loss::Nothing),
                2 if self.cluster.masters[0].process.is_some() => {
                    self.crash(Place::Master(0), Loss::Nothing);
                    self.start(Place::Master(0), false);
                }
                _ if self.cluster.secondaries.len() < self.plan.setup.names.len() + 2 => {
                    let older = self.plan.rng.hit(0.5);
                    self.note(format!("a copy of s{n} starts, older: {older}"));
                    let copy = self.cluster.copy(n, older);
                    self.clocks.insert(Place::Secondary(copy), self.now);
                    self.cluster.link(Place::Secondary(copy), true);
                }
                _ => {}
            },
            (Story::Sharing, _) => {
                let masters: Vec<usize> = self.cluster.leaders().map(|(m, _)| m).collect();
                match (self.plan.rng.below(6), self.pick(&masters), secondary) {
                    (0, ..) => {
                        let away = Duration::from_millis(500 + self.plan.rng.below(8_000));
                        self.note(format!("nothing gets into the stream for {away:?}"));
                        self.stream_away = self.now + away;
                    }
                    (1, Some(m), _) if self.plan.rng.hit(0.3) => {
                        self.note(format!("the log is cleared at master {m}"));
                        self.set_clock(Place::Master(m));
                        self.cluster.clear(m);
                    }
                    (2, _, Some(n)) => self.crash(Place::Secondary(n), Loss::Everything),
                    (_, Some(m), _) => {
                        let loss = match self.plan.rng.hit(0.5) {
                            true => Loss::Everything,
                            false => Loss::Nothing,
                        };
                        self.crash(Place::Master(m), loss);
                        let late = Duration::from_millis(self.plan.rng.below(9_000));
                        self.queue_at(self.now + late, Happening::ArriveLate);
                        if self.plan.rng.hit(0.5) {
                            self.start(Place::Master(m), false);
                        }
                    }
                    _ => {}
                }
            }
            (Story::Clearing, _) => {
                let leaders: Vec<usize> = self.cluster.leaders().map(|(m, _)| m).collect();
                match (self.plan.rng.below(3), self.pick(&leaders), secondary) {
                    (0, Some(m), _) => {
                        self.note(format!("the log is cleared at master {m}"));
                        self.set_clock(Place::Master(m));
                        self.cluster.clear(m);
                    }
                    (1, Some(m), _) => {
                        self.crash(Place::Master(m), Loss::Everything);
                        self.start(Place::Master(m), false);
                    }
                    (_, _, Some(n)) => {
                        self.note(format!("s{n} is emptied"));
                        self.set_clock(Place::Secondary(n));
                        self.cluster.renew(n, false);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// How many nodes can read the entry at `seq`: the last one must not lose it, or nobody could repair it.
    fn holders(&self, seq: Seq) -> usize {
        let masters = self.cluster.masters.iter().map(|m| &m.journal);
        let all = masters.chain(self.cluster.secondaries.iter().map(|s| &s.journal));
        all.filter(|j| j.stored().get(seq).is_some() && !j.damaged().contains(&seq))
            .count()
    }

    fn crash(&mut self, place: Place, loss: Loss) {
        self.note(format!("{place:?} crashes and loses {loss:?}"));
        let is_written = self.plan.rng.hit(0.5);
        self.cluster.crash(place, loss, is_written);
        self.writing.remove(&place);
        self.reading.remove(&place);
        self.suspended.remove(&place);
    }

    fn start(&mut self, place: Place, takeover: bool) {
        self.note(format!("{place:?} starts"));
        match place {
            Place::Master(m) => self.cluster.start_master(m, takeover),
            Place::Secondary(n) => self.cluster.start_secondary(n),
        }
        self.clocks.insert(place, self.now);
        self.cluster.link(place, true);
        if let (Place::Master(m), Story::Sharing) = (place, self.plan.story) {
            let starts = self.starts(place);
            self.queue_in(self.plan.delay, Happening::Poll(m, starts));
        }
    }

    /// No faults any more.
    fn heal(&mut self) {
        self.note("no faults from now on".to_owned());
        self.is_healed = true;
        self.stream_away = Duration::ZERO;
        self.queue
            .retain(|_, what| !matches!(what, Happening::Fault | Happening::Append(_)));
        self.end_waiting();
        for place in self.cluster.running() {
            self.set_clock(place);
            if !self.cluster.is_linked(place) {
                self.cluster.link(place, true);
            }
        }
        self.revive();
    }

    /// What waited for a process that was stopped waits no more.
    fn end_waiting(&mut self) {
        let longest = self.now + self.plan.delay.max(self.plan.write);
        for ((at, _), what) in std::mem::take(&mut self.queue) {
            self.queue_at(if at > longest { self.now } else { at }, what);
        }
    }

    /// Whoever has crashed is started again, and a master if none serves; and who was superseded by a process of its name that
    /// has died since, for it counts no more in this epoch.
    fn revive(&mut self) {
        let counts: Vec<_> = self
            .cluster
            .leaders()
            .flat_map(|(_, leader)| leader.peers().iter().filter_map(|(_, p)| p.storage()))
            .collect();
        let running: Vec<usize> = self.cluster.followers().map(|(n, _)| n).collect();
        for n in running {
            let secondary = &self.cluster.secondaries[n];
            let (name, storage) = (&secondary.name, secondary.storage);
            let mut same = self.cluster.secondaries.iter().filter(|s| s.name == *name);
            let is_alone = !same.any(|s| s.process.is_some() && counts.contains(&s.storage));
            let is_copied = self
                .cluster
                .secondaries
                .iter()
                .filter(|s| s.name == *name)
                .count()
                > 1;
            let due = self.replaced.get(&n).map(|at| *at + 2 * SILENCE);
            let is_superseded = is_copied && is_alone && !counts.contains(&storage);
            if is_superseded && due.is_none_or(|due| self.now >= due) {
                self.replaced.insert(n, self.now);
                self.crash(Place::Secondary(n), Loss::Nothing);
                self.start(Place::Secondary(n), false);
            }
        }
        for place in self.dead() {
            self.start(place, false);
        }
        let is_fenced = |m: &usize| {
            let process = self.cluster.masters[*m].process.as_ref();
            process.is_none_or(|p| {
                p.node
                    .phase()
                    .unavailable()
                    .is_some_and(|u| u.as_str() == "fenced")
            })
        };
        if (0..self.cluster.masters.len()).all(|m| is_fenced(&m)) {
            if self.cluster.masters[0].process.is_some() {
                self.crash(Place::Master(0), Loss::Nothing);
            }
            self.start(Place::Master(0), false);
        }
    }

    /// Who does not run, and has not ended because somebody else has its place.
    fn dead(&self) -> Vec<Place> {
        use replog_protocol::node::End;
        let is_for_good =
            |end: &Option<End>| matches!(end, Some(End::NameTaken(_) | End::OtherMaster(_)));
        let masters = self.cluster.masters.iter().enumerate();
        let masters = masters
            .filter(|(_, x)| x.process.is_none() && !is_for_good(&x.end))
            .map(|(m, _)| Place::Master(m));
        let secondaries = self.cluster.secondaries.iter().enumerate();
        let secondaries = secondaries
            .filter(|(_, x)| x.process.is_none() && !is_for_good(&x.end))
            .map(|(n, _)| Place::Secondary(n));
        masters.chain(secondaries).collect()
    }

    fn starts(&self, place: Place) -> u32 {
        match place {
            Place::Master(m) => self.cluster.masters[m].starts,
            Place::Secondary(n) => self.cluster.secondaries[n].starts,
        }
    }

    fn is_running(&self, place: Place, starts: u32) -> bool {
        let runs = match place {
            Place::Master(m) => self.cluster.masters[m].process.is_some(),
            Place::Secondary(n) => self.cluster.secondaries[n].process.is_some(),
        };
        runs && self.starts(place) == starts
    }

    fn note(&mut self, what: String) {
        self.last.push_back(format!("{:>10.3?}  {what}", self.now));
        if self.last.len() > 40 {
            self.last.pop_front();
        }
    }

    fn failure(&self, what: String) -> Box<Failure> {
        Box::new(Failure {
            seed: self.plan.seed,
            story: self.plan.story,
            what,
            last: self.last.iter().cloned().collect(),
        })
    }
}
