//! A cluster in one process: a master and secondaries without HTTP sockets, and the questions to them.

mod disk;
mod master;
mod secondary;

use std::collections::BTreeMap;
use std::time::Duration;

use replog_common::protocol::outcome::{Outcome, Placement, Refusal};
use replog_common::protocol::recovery::RecoverySettings;
use replog_common::protocol::settings::Replication;
use replog_common::service::storage::Storage;
use replog_secondary::faults::Faults;
use replog_tests::line::Hub;
use tokio::time::{Instant, sleep};

pub(crate) use disk::Disk;
pub(crate) use master::{Master, contents};
pub(crate) use secondary::Secondary;

pub(crate) const CLUSTER: &str = "test";

/// What the cluster is started with.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// The listed members; empty for open membership.
    pub(crate) listed: Vec<&'static str>,
    pub(crate) replication: Replication,
    /// How the master asks the others before it serves; `None` serves at once.
    pub(crate) recovery: Option<RecoverySettings>,
    pub(crate) seed: u64,
    /// The master's disk, if its log is on one.
    pub(crate) disk: Option<Disk>,
}

impl Setup {
    pub(crate) fn listed(names: &[&'static str]) -> Self {
        Self {
            listed: names.to_vec(),
            replication: Replication::default(),
            recovery: None,
            seed: 1,
            disk: None,
        }
    }
}

/// The cluster.
pub(crate) struct World {
    pub(crate) hub: Hub,
    pub(crate) master: Master,
    pub(crate) secondaries: BTreeMap<&'static str, Secondary>,
    setup: Setup,
}

impl World {
    /// A master, and none of its secondaries.
    pub(crate) fn new(setup: Setup) -> Self {
        let hub = Hub::new(CLUSTER, setup.seed);
        let master = Master::start(&hub, &setup);
        let secondaries = BTreeMap::new();
        Self {
            hub,
            master,
            secondaries,
            setup,
        }
    }

    /// A master and these secondaries, all listed, known to one another.
    pub(crate) async fn of(names: &[&'static str]) -> Self {
        let mut world = Self::new(Setup::listed(names));
        for name in names {
            world.start(name).await;
        }
        sleep(Duration::from_millis(50)).await;
        assert_eq!(world.master.healthy().await, names.len());
        world
    }

    /// Starts a secondary with an empty log, in place of the one of that name if there is one.
    pub(crate) async fn start(&mut self, name: &'static str) {
        self.start_with(name, Faults::default()).await;
    }

    /// The same with faults on purpose.
    pub(crate) async fn start_with(&mut self, name: &'static str, faults: Faults) {
        self.kill(name).await;
        let seed = self.setup.seed ^ (self.secondaries.len() as u64 + 1);
        let secondary = Secondary::start(&self.hub, name, Storage::memory(), faults, seed);
        self.secondaries.insert(name, secondary);
    }

    /// The same with its log on that disk.
    pub(crate) async fn start_on(&mut self, name: &'static str, disk: &Disk) {
        self.kill(name).await;
        let secondary = Secondary::start(&self.hub, name, disk.storage(), Faults::default(), 1);
        self.secondaries.insert(name, secondary);
    }

    /// Another master takes the place of the one before, which is gone.
    pub(crate) async fn restart_master(&mut self, recovery: RecoverySettings) {
        self.master.kill().await;
        self.setup.recovery = Some(recovery);
        self.master = Master::start(&self.hub, &self.setup);
    }

    /// Ends a secondary; its log is lost.
    pub(crate) async fn kill(&mut self, name: &str) {
        if let Some(secondary) = self.secondaries.remove(name) {
            secondary.kill().await;
        }
    }

    /// A secondary that runs.
    pub(crate) fn secondary(&self, name: &str) -> &Secondary {
        &self.secondaries[name]
    }

    /// Waits until every running secondary shows what the master shows, for at most that long.
    pub(crate) async fn converge(&self, within: Duration) {
        let end = Instant::now() + within;
        loop {
            let expected = self.master.contents();
            let behind = self.secondaries.iter().find(|(_, s)| {
                s.contents() != expected || s.log_id() != Some(self.master.log_id())
            });
            let Some((name, s)) = behind else { return };
            assert!(
                Instant::now() < end,
                "{name} has {} of {} entries after another {within:?}",
                s.contents().len(),
                expected.len()
            );
            sleep(Duration::from_millis(10)).await;
        }
    }
}

/// What a client is told: whether, and how many nodes hold it.
pub(crate) fn acks(told: Result<(Placement, Outcome), Refusal>) -> u32 {
    match told {
        Ok((_, Outcome::Replicated { acks })) => acks,
        other => panic!("not replicated: {other:?}"),
    }
}

/// The time that `wait` takes.
pub(crate) async fn timed<T>(wait: impl Future<Output = T>) -> (Duration, T) {
    let began = Instant::now();
    let value = wait.await;
    (began.elapsed(), value)
}

/// Demands this duration. tokio's clock has steps of a millisecond, and every wait may round up to the next one.
#[track_caller]
pub(crate) fn assert_took(took: Duration, expected_ms: u64) {
    let expected = Duration::from_millis(expected_ms);
    assert!(
        took >= expected && took <= expected + Duration::from_millis(5),
        "took {took:?}, not {expected:?}"
    );
}

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}
