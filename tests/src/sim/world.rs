//! The world of the simulation: virtual time, a queue of what will happen, and the network in between.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use replog_common::entry::Position;
use replog_common::types::{NodeId, Time};

use crate::sim::clients::Clients;
use crate::sim::elder::Elder;
use crate::sim::master::Master;
use crate::sim::plan::Plan;
use crate::sim::random::Random;
use crate::sim::report::Report;
use crate::sim::secondary::Secondary;

/// Something that will happen.
#[derive(Clone, Debug)]
pub enum Happening {
    /// A message reaches a secondary.
    ToNode(usize, Bytes),
    /// An ACK reaches the master.
    ToMaster(Bytes),
    /// It reaches the one that was overtaken.
    ToElder(Bytes),
    /// A client appends.
    Ask,
    /// What the master has placed is on its disk.
    Stored,
    /// The master goes on after a pause.
    Resume,
    /// A secondary that no master has spoken to yet introduces itself again.
    Hello(usize),
    /// Some big fault.
    Fault,
    /// The secondary, or the link to the broker (`None`), is well again.
    Mend(Option<usize>),
}

/// Everything there is.
#[derive(Debug)]
pub struct World {
    /// What the seed stands for.
    pub plan: Plan,
    pub(super) random: Random,
    pub(super) now: Time,
    queue: BTreeMap<(Time, u64), Happening>,
    order: u64,
    pub(super) master: Master,
    /// The master before the last takeover, if it lives.
    pub(super) elder: Option<Elder>,
    /// Whom the master had heard when it began to serve.
    pub(super) served_to: BTreeSet<NodeId>,
    /// What it had taken over then.
    pub(super) served_end: Position,
    pub(super) nodes: Vec<Secondary>,
    pub(super) clients: Clients,
    pub(super) calm: bool,
    pub(super) report: Report,
    /// When the master last looked at the clock.
    pub(super) ticked_at: Time,
    trace: bool,
}

impl World {
    /// The world of a seed, with everything that is to happen first.
    #[must_use]
    pub fn new(seed: u64, trace: bool) -> Self {
        let mut random = Random::new(seed);
        let plan = Plan::of(seed, &mut random);
        let mut world = Self {
            master: Master::new(&plan, &mut random),
            elder: None,
            served_to: BTreeSet::new(),
            served_end: Position::default(),
            nodes: (0..plan.nodes).map(Secondary::new).collect(),
            clients: Clients::default(),
            now: Time(Duration::from_millis(1)),
            queue: BTreeMap::new(),
            order: 0,
            calm: false,
            report: Report::default(),
            plan,
            random,
            ticked_at: Time::ZERO,
            trace,
        };
        world.say(|w| format!("{:?}", w.plan));
        for n in 0..world.plan.nodes {
            world.later(Duration::ZERO, Happening::Hello(n));
        }
        world.later(Duration::from_millis(1), Happening::Mend(None));
        world.later(Duration::ZERO, Happening::Ask);
        world.later(world.plan.fault_every, Happening::Fault);
        world
    }

    /// Prints what happens, when somebody watches.
    pub(super) fn say(&self, what: impl Fn(&Self) -> String) {
        if self.trace {
            println!("{:>12.6} {}", self.now.0.as_secs_f64(), what(self));
        }
    }

    pub(super) fn later(&mut self, wait: Duration, what: Happening) {
        self.order += 1;
        self.queue.insert((self.now + wait, self.order), what);
    }

    /// A message leaves for a secondary, or (`None`) an ACK of that secondary for the master.
    pub(super) fn send(&mut self, n: usize, is_ack: bool, bytes: Bytes) {
        self.report.messages += 1;
        let cut = self.nodes[n].cut_off || !self.master.linked;
        let lost = !self.calm && self.random.happens(self.plan.loss);
        self.say(|_| {
            let (what, text) = (
                if is_ack { "from" } else { "to" },
                String::from_utf8_lossy(&bytes),
            );
            let fate = if cut || lost { "LOST " } else { "" };
            format!(
                "{fate}{what} s{n}: {}",
                text.chars().take(260).collect::<String>()
            )
        });
        if cut || lost {
            return;
        }
        let copies = 1 + u64::from(!self.calm && self.random.happens(self.plan.twice));
        for _ in 0..copies {
            let wait = if !self.calm && self.random.happens(self.plan.late) {
                self.random.micros(100, 3_000_000)
            } else {
                self.random.micros(50, 2_000)
            };
            if is_ack && self.elder.is_some() {
                self.later(wait, Happening::ToElder(bytes.clone()));
            }
            let what = if is_ack {
                Happening::ToMaster(bytes.clone())
            } else {
                Happening::ToNode(n, bytes.clone())
            };
            self.later(wait, what);
        }
    }

    /// A secondary says where it stands.
    pub(super) fn hello(&mut self, n: usize) {
        let ack = self.nodes[n].follower.ack().encode(0);
        self.send(n, true, ack);
    }

    /// Lets time pass until `end`.
    ///
    /// # Errors
    /// What went wrong.
    pub fn run_until(&mut self, end: Time) -> Result<(), String> {
        loop {
            let elder = self.elder.as_ref().and_then(|e| e.wake(self.now));
            let wake = self.master.wake(self.now).into_iter().chain(elder).min();
            let next = self.queue.first_key_value().map(|((at, _), _)| *at);
            let due = wake.into_iter().chain(next).min().unwrap_or(end);
            if due > end {
                self.now = end;
                return Ok(());
            }
            self.now = self.now.max(due);
            if next.is_some_and(|at| at <= due)
                && let Some((_, what)) = self.queue.pop_first()
            {
                self.happen(what)?;
            }
            self.after()?;
            self.after_elder()?;
        }
    }

    fn happen(&mut self, what: Happening) -> Result<(), String> {
        // A stopped master sees nothing of it before it goes on, not even that its link is there again.
        let for_master = matches!(
            what,
            Happening::ToMaster(_) | Happening::Ask | Happening::Stored | Happening::Mend(None)
        );
        if let Some(until) = self.master.paused_until.filter(|_| for_master) {
            self.order += 1;
            self.queue.insert((until, self.order), what);
            return Ok(());
        }
        match what {
            Happening::ToNode(n, bytes) => self.reach_node(n, bytes),
            Happening::ToMaster(bytes) => self.reach_master(&bytes),
            Happening::ToElder(bytes) => self.reach_elder(bytes),
            Happening::Ask => self.ask(),
            Happening::Stored => self.master.store(),
            Happening::Resume => {
                self.say(|_| "the master goes on".into());
                self.go_on()
            }
            Happening::Hello(n) => {
                if self.nodes[n].follower.instance().is_none() {
                    self.hello(n);
                    self.later(Duration::from_secs(1), Happening::Hello(n));
                }
                Ok(())
            }
            Happening::Fault => {
                self.fault();
                Ok(())
            }
            Happening::Mend(what) => {
                self.mend(what);
                Ok(())
            }
        }
    }

    /// The master goes on after a pause: if it was a long one, it trusts nobody's health before it has heard them again.
    fn go_on(&mut self) -> Result<(), String> {
        self.master.paused_until = None;
        let gap = self.now.since(self.ticked_at);
        let was_linked = self.master.linked && self.ticked_at > Time::ZERO;
        self.after()?;
        let alone = self.master.leader.members().majority() == 1;
        let long = gap > self.plan.replication.heartbeat_interval * 2;
        if long && was_linked && !alone && self.master.leader.has_quorum(self.now) {
            return Err(format!("trusts its quorum after a pause of {gap:?}"));
        }
        Ok(())
    }

    fn reach_node(&mut self, n: usize, bytes: Bytes) -> Result<(), String> {
        if let Some(until) = self.nodes[n].paused_until {
            self.order += 1;
            self.queue
                .insert((until, self.order), Happening::ToNode(n, bytes));
            return Ok(());
        }
        if bytes.starts_with(br#"{"kind":"recovering""#) {
            self.hello(n);
            return Ok(());
        }
        if bytes.starts_with(br#"{"kind":"fetch""#) {
            let answer = self.nodes[n].fetch(&bytes)?;
            self.send(n, true, answer);
            return Ok(());
        }
        let drops = if self.calm { 0 } else { self.plan.drops };
        let truth = |history, entry: &_| self.master.has(history, entry);
        let ack = self.nodes[n].receive(&bytes, drops, &mut self.random, truth)?;
        let fails = !self.calm && self.random.happens(self.plan.errors);
        let answer = if fails {
            self.nodes[n].error(&mut self.random)
        } else {
            ack
        };
        self.send(n, true, answer);
        Ok(())
    }
}
