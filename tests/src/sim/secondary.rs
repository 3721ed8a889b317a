//! A secondary of the simulation: the machine, its store, and a book of what each life of its storage held.

use std::collections::BTreeMap;

use bytes::Bytes;
use replog_common::entry::Entry;
use replog_common::log::LogStore;
use replog_common::log::memory::MemoryLog;
use replog_common::message::{Ack, Append, Fetch};
use replog_common::protocol::follower::{Change, Follower};
use replog_common::types::{Incarnation, LogId, NodeId, Seq, Time};
use uuid::Uuid;

use crate::sim::elder::Ever;
use crate::sim::random::Random;

/// What a life of a storage holds, or held at its end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Held {
    /// Of which history.
    pub log_id: Option<LogId>,
    /// Up to where.
    pub upto: Seq,
}

/// One secondary.
#[derive(Debug)]
pub struct Secondary {
    /// The machine.
    pub follower: Follower,
    /// What it stores.
    pub log: MemoryLog,
    /// Each life of its storage.
    pub lives: BTreeMap<Incarnation, Held>,
    /// Every entry that was ever in it.
    pub ever: Ever,
    /// The newest of them that the living master has heard of.
    pub heard: Option<Incarnation>,
    /// Nothing reaches it and nothing leaves it.
    pub cut_off: bool,
    /// It is stopped until then.
    pub paused_until: Option<Time>,
    /// How many messages were sent to it, and how many of them with entries.
    pub addressed: (u64, u64),
}

/// The n-th life of a storage.
#[must_use]
pub fn incarnation(life: usize) -> Incarnation {
    Incarnation(Uuid::from_u128(life as u128 + 1))
}

impl Secondary {
    /// The first life of the n-th one.
    ///
    /// # Panics
    /// Never: the name is a name.
    #[must_use]
    pub fn new(n: usize) -> Self {
        let node: NodeId = format!("s{n}").parse().expect("a name");
        let follower = Follower::new(node, incarnation(0));
        let lives = BTreeMap::from([(follower.incarnation(), Held::default())]);
        Self {
            follower,
            log: MemoryLog::new(),
            lives,
            ever: Ever::new(),
            heard: None,
            cut_off: false,
            paused_until: None,
            addressed: (0, 0),
        }
    }

    /// It loses its memory and begins anew.
    pub fn restart(&mut self) {
        let node = self.follower.node().clone();
        self.follower = Follower::new(node, incarnation(self.lives.len()));
        self.log = MemoryLog::new();
        self.paused_until = None;
        self.note();
    }

    /// It is cleared.
    pub fn clear(&mut self) {
        self.follower.clear(incarnation(self.lives.len()));
        self.log = MemoryLog::new();
        self.paused_until = None;
        self.note();
    }

    /// Takes a message in as the program does, stores what is ready, and says what it holds. `truth` tells whether an
    /// entry is the one that the history has there.
    ///
    /// # Errors
    /// What is not as it must be.
    pub fn receive(
        &mut self,
        bytes: &[u8],
        drops: u64,
        random: &mut Random,
        truth: impl Fn(LogId, &Entry) -> bool,
    ) -> Result<Bytes, String> {
        let mut append = Append::decode(bytes).map_err(|e| format!("unreadable append: {e}"))?;
        append.entries.retain(|_| !random.happens(drops));
        self.follower.receive(append);
        self.change()?;
        let ready = self.follower.take_ready();
        let history = self.follower.log_id();
        if let Some(wrong) = ready.iter().find(|e| !history.is_some_and(|h| truth(h, e))) {
            return Err(format!("stores {wrong:?}, which {history:?} has not there"));
        }
        self.log.append(&ready).map_err(|e| e.to_string())?;
        self.follower.stored(&ready);
        if let Some(history) = history {
            let life = self.follower.incarnation();
            let all = ready.iter();
            self.ever
                .extend(all.map(|e| (life, history, e.seq, e.epoch, e.message_id)));
        }
        self.note();
        if !self.follower.last().agrees_with(&self.log.last())
            || self.follower.verified() > self.log.last().seq
        {
            return Err("the machine and its store disagree".into());
        }
        Ok(self.follower.ack().encode(0))
    }

    fn change(&mut self) -> Result<(), String> {
        match self.follower.take_change() {
            None => {}
            Some(Change::Cleared) => self.log = MemoryLog::new(),
            Some(Change::PutAside(_, keep)) => {
                self.log.truncate(keep).map_err(|e| e.to_string())?
            }
        }
        Ok(())
    }

    /// Answers a master that recovers, as the program does.
    ///
    /// # Errors
    /// What is not as it must be.
    pub fn fetch(&mut self, bytes: &[u8]) -> Result<Bytes, String> {
        let fetch = Fetch::decode(bytes).map_err(|e| format!("unreadable fetch: {e}"))?;
        let answer = self.follower.answer(&fetch);
        self.change()?;
        let (first, last) = answer.entries.clone().into_inner();
        let entries = self.log.read(first, last, u64::MAX, fetch.max_bytes);
        let entries = entries.map_err(|e| e.to_string())?;
        Ok(answer.with(entries).encode(0))
    }

    /// What the newest life of its storage that the master has heard of holds, or held at its end.
    #[must_use]
    pub fn known_life(&self) -> Option<Held> {
        self.lives.get(&self.heard?).copied()
    }

    /// An ACK that is an error, and tells less than is held.
    pub fn error(&self, random: &mut Random) -> Bytes {
        let ack = self.follower.ack();
        let upto = Seq(random.between(0, ack.upto.0));
        let error = Some("a fault that was asked for".to_owned());
        Ack { upto, error, ..ack }.encode(0)
    }

    fn note(&mut self) {
        let held = Held {
            log_id: self.follower.log_id(),
            upto: self.log.last().seq,
        };
        self.lives.insert(self.follower.incarnation(), held);
    }
}
