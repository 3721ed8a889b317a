//! How large the world of a model is, and what happens in it.

use std::sync::Arc;
use std::time::Duration;

use replog_protocol::leader::recovery::{RecoverySettings, Requires};
use replog_protocol::leader::settings::Replication;
use replog_protocol::write_concern::WriteConcern;

use super::explored::Explored;
use super::state::State;
use replog_model::cluster::journal::Loss;
use replog_model::cluster::process::Pace;
use replog_model::cluster::{Place, Setup};

/// A master's clock goes on by so much at each step of time: no wait of its is longer, but those of [`PATIENCE`].
pub(crate) const TICK: Duration = Duration::from_secs(1);
/// The same of a secondary.
pub(crate) const SECONDARY_TICK: Duration = Duration::from_secs(5);
/// How long a patient master waits: longer than anything in a model lasts.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1 << 20);

/// A client that appends once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    /// Which message; two clients with one number are a client and its retry.
    pub(crate) message: u8,
    /// Its write concern.
    pub(crate) w: WriteConcern,
}

/// What a master does that starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// It waits until all secondaries were seen and have answered, however long that takes.
    Patient,
    /// Its patience may end whenever its clock goes on.
    Hasty,
}

/// Something that is so in some state, and its name.
pub(crate) type Seen = (&'static str, fn(&Bounds, &State) -> bool);

/// How large the world is.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    /// Secondaries.
    pub(crate) nodes: u8,
    /// They are listed; else whoever joins is a member.
    pub(crate) listed: bool,
    /// Clients; they ask in this order.
    pub(crate) clients: Vec<Client>,
    /// How often a secondary ends and starts again, all of them together.
    pub(crate) restarts: u8,
    /// How its storage may come back.
    pub(crate) losses: Vec<Loss>,
    /// How often a secondary says goodbye, ends, and starts again with nothing; all of them together.
    pub(crate) leaves: u8,
    /// How often a secondary that is gone is taken out of the members.
    pub(crate) removals: u8,
    /// How often a master ends and starts again.
    pub(crate) rebirths: u8,
    /// How its storage may come back.
    pub(crate) master_losses: Vec<Loss>,
    /// How often a storage is backed up, of those that may come back as it was then; all of them together.
    pub(crate) backups: u8,
    /// Secondaries are started again, and copies of them, only while a master that was started again recovers.
    pub(crate) meanwhile: bool,
    /// How often a second process starts on a copy of a secondary's storage: as it is, or as it was when it was backed up.
    pub(crate) copies: u8,
    /// How often one more master starts beside the first.
    pub(crate) seconds: u8,
    /// Two masters start at once, before anything has happened; else the first one serves already.
    pub(crate) together: bool,
    /// What masters say to each other is heard at once; else as late as anything, or never.
    pub(crate) prompt: bool,
    /// No master hears what was said before its start: all of that is lost, but for what secondaries would say again.
    pub(crate) punctual: bool,
    /// The log is cleared only once the first client was answered, another master starts after that, and the second client
    /// asks last: fewer ways to get to what is of interest.
    pub(crate) late: bool,
    /// A second master overtakes the first.
    pub(crate) takeover: bool,
    /// Whom a master must have heard, however long that takes.
    pub(crate) requires: Requires,
    /// What masters do first.
    pub(crate) start: Start,
    /// The highest epoch that is looked at.
    pub(crate) epochs: u64,
    /// How many numbers a master may make for its heartbeats, beyond one at its start and one a secondary and an outage.
    pub(crate) rounds: u64,
    /// How often clocks go on, where that has to be bounded.
    pub(crate) ticks: Option<u8>,
    /// What has to happen in some state, or nothing is shown; more follows from the rest.
    pub(crate) sometimes: Vec<Seen>,
    /// How often the log is cleared.
    pub(crate) clears: u8,
    /// How often a secondary is emptied by its own client.
    pub(crate) renewals: u8,
    /// How often the master's link breaks.
    pub(crate) outages: u8,
    /// Whether the broker says that nobody listens (true or not).
    pub(crate) no_responders: bool,
    /// Several entries go in one message; else each goes alone, and they overtake one another.
    pub(crate) batches: bool,
    /// Whether the end of a master's write is a step of its own.
    pub(crate) slow_master: bool,
    /// Whether the end of a secondary's write is a step of its own.
    pub(crate) slow_secondaries: bool,
    /// Whether the end of a read is a step of its own.
    pub(crate) slow_reads: bool,
    /// How often a disk is full.
    pub(crate) fulls: u8,
    /// How often a write fails.
    pub(crate) failures: u8,
    /// How many entries rot, on a master's disk and on secondaries'.
    pub(crate) rots: u8,
    /// Masters tell what is committed, and that is judged.
    pub(crate) commits: bool,
    /// Masters share their journal: so many stand by beside the one that serves.
    pub(crate) standbys: u8,
    /// How often a replica that lags says that nothing follows in the stream.
    pub(crate) stale: u8,
    /// What is known by now.
    pub(crate) explored: Arc<Explored>,
}

/// A world without faults but those of the network. Each client is a message and its write concern.
#[must_use]
pub(crate) fn small(nodes: u8, clients: &[(u8, u32)]) -> Bounds {
    let clients = clients.iter().map(|&(message, w)| Client {
        message,
        w: WriteConcern::Count(w.into()),
    });
    Bounds {
        nodes,
        listed: true,
        clients: clients.collect(),
        restarts: 0,
        losses: vec![Loss::Everything],
        leaves: 0,
        removals: 0,
        rebirths: 0,
        master_losses: vec![Loss::Everything],
        backups: 0,
        meanwhile: false,
        copies: 0,
        seconds: 0,
        together: false,
        prompt: false,
        punctual: false,
        late: false,
        takeover: false,
        requires: Requires::Any,
        start: Start::Hasty,
        epochs: 2,
        rounds: 0,
        ticks: None,
        sometimes: Vec::new(),
        clears: 0,
        renewals: 0,
        outages: 0,
        no_responders: false,
        batches: false,
        slow_master: false,
        slow_secondaries: false,
        slow_reads: false,
        fulls: 0,
        failures: 0,
        rots: 0,
        commits: false,
        standbys: 0,
        stale: 0,
        explored: Arc::default(),
    }
}

impl Bounds {
    /// The cluster of this world.
    pub(crate) fn setup(&self) -> Arc<Setup> {
        let name = |n| format!("s{n}").parse().expect("a name");
        let pace = |is_slow: bool| Pace {
            writes: !is_slow,
            reads: !self.slow_reads,
        };
        // A master with a log on its disk goes on with it, whoever has not answered yet.
        let is_empty = |loss: &Loss| *loss == Loss::Everything;
        let masters_are_empty = self.master_losses.iter().all(is_empty);
        Setup {
            names: (0..self.nodes).map(name).collect(),
            is_listed: self.listed,
            needs_quorum: false,
            replication: self.replication(),
            recovery: RecoverySettings {
                timeout: match self.start {
                    Start::Patient => PATIENCE,
                    Start::Hasty => TICK,
                },
                listen: Duration::ZERO,
                retry: TICK,
                takeover: self.takeover,
                requires: self.requires,
            },
            remember_ids: None,
            secondary_interval: Duration::from_secs(2),
            is_lazy: self.losses.contains(&Loss::Unsynced)
                || self.master_losses.contains(&Loss::Unsynced),
            master_pace: pace(self.slow_master),
            secondary_pace: pace(self.slow_secondaries),
            max_payload: 1 << 20,
            tells_committed: self.commits,
            is_patient: (self.start == Start::Patient || self.requires == Requires::All)
                && self.copies == 0
                && masters_are_empty,
            shares_journal: self.standbys > 0,
            salt: 0,
        }
        .shared()
    }

    /// Every wait is one step of time, and nobody is suspected.
    fn replication(&self) -> Replication {
        Replication {
            // Those who share a journal wait for some of them before they claim it: one step of time, too.
            heartbeat_interval: match self.standbys {
                0 => TICK,
                _ => TICK / 20,
            },
            suspect_after: PATIENCE * 2,
            unhealthy_after: PATIENCE * 4,
            retry_min: TICK,
            // Nothing is too large there.
            shrink_after: Duration::MAX,
            retry_max: TICK,
            batch_bytes: if self.batches { 1 << 20 } else { 1 },
            window_bytes: 1 << 20,
            linger: Duration::ZERO,
            max_waiting: 100,
            // They are compared and decide nothing: the simulation has them.
            compares_digests: false,
            seed: 1,
            // So few secondaries never take turns.
            ..Replication::default()
        }
    }

    /// By how much the clock of that place goes on at each step of time.
    pub(crate) fn tick_of(&self, place: Place) -> Duration {
        match place {
            Place::Master(_) => TICK,
            Place::Secondary(_) => SECONDARY_TICK,
        }
    }

    /// Whether time makes a difference to a secondary whose writes all end well.
    pub(crate) fn secondaries_tick(&self) -> bool {
        self.fulls + self.rots > 0
    }

    /// Whether the clock of that place may go on at any time.
    pub(crate) fn ticks_are_free(&self, place: Place) -> bool {
        let may_tick = matches!(place, Place::Master(_)) || self.secondaries_tick();
        may_tick && self.ticks.is_none()
    }

    /// The highest number of a heartbeat that is looked at.
    pub(crate) fn highest_round(&self) -> u64 {
        1 + u64::from(self.nodes + self.outages) + self.rounds
    }
}
