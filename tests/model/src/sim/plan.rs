//! What happens in the run of a seed.

use std::time::Duration;

use replog_protocol::leader::recovery::{RecoverySettings, Requires};
use replog_protocol::leader::settings::Replication;

use crate::cluster::Setup;
use crate::cluster::process::Pace;
use crate::cluster::setup::mixed;
use crate::rng::SeededRng;

/// What the faults of a run are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Story {
    /// Secondaries in memory come and go; links lose, repeat and delay.
    Links,
    /// The master comes back without its log, again and again.
    Recovery,
    /// A second master takes over while the first one is alive.
    Takeover,
    /// Logs on disks: crashes in the middle of a write, full and failing disks, damaged entries.
    Disks,
    /// Disks come back with less than they acknowledged: older copies, unsynced writes.
    OlderDisks,
    /// Copied directories: two processes of one name.
    Copies,
    /// The log is cleared.
    Clearing,
    /// Masters share their journal, and take over from one another.
    Sharing,
}

/// The runs of these seeds and of those after them are of masters that share their journal; those before are of the other stories, in
/// turn.
pub const SHARING: u64 = 1 << 32;

impl Story {
    /// All of those that share nothing; the seed chooses one in turn.
    pub const ALL: [Story; 7] = [
        Self::Links,
        Self::Recovery,
        Self::Takeover,
        Self::Disks,
        Self::OlderDisks,
        Self::Copies,
        Self::Clearing,
    ];

    /// Whether the nodes keep their logs on disks; else a crash loses them.
    #[must_use]
    pub fn is_on_disk(self) -> bool {
        matches!(self, Self::Disks | Self::OlderDisks | Self::Copies)
    }
}

/// The run of a seed.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// What the faults are about.
    pub story: Story,
    /// The cluster.
    pub setup: Setup,
    /// How many clients append.
    pub clients: usize,
    /// How long faults happen.
    pub trouble: Duration,
    /// How likely a message is lost, from 0 to 1.
    pub loss: f64,
    /// How likely a message comes twice.
    pub duplication: f64,
    /// The longest time that a message is on its way.
    pub delay: Duration,
    /// The longest time that a write takes.
    pub write: Duration,
    /// The rest of the chance.
    pub rng: SeededRng,
}

impl Plan {
    /// The run of a seed.
    ///
    /// # Panics
    /// Never: the names are names.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut rng = SeededRng::new(seed);
        let story = match seed < SHARING {
            true => Story::ALL[usize::try_from(seed % 7).unwrap_or(0)],
            false => Story::Sharing,
        };
        let many = 1 + rng.below(3);
        let names = (0..many).map(|n| format!("s{n}").parse().expect("a name"));
        let interval = Duration::from_millis(100 + rng.below(400));
        let is_slow = story.is_on_disk();
        let pace = Pace {
            writes: !is_slow,
            reads: !is_slow || rng.hit(0.5),
        };
        // Drawn apart: the other draws of a seed stay what they were. Every third cluster has limits that even a few secondaries
        // reach: they are sent heartbeats less often, catch up in turns, and most are sent entries in turns.
        let limits = match mixed(seed ^ 0x7a11) % 3 {
            0 => Replication {
                heartbeats_per_second: 4,
                catching_up: 1,
                far_behind: 1,
                prompt: 1,
                turns_per_second: 20,
                ..Replication::default()
            },
            _ => Replication::default(),
        };
        let setup = Setup {
            names: names.collect(),
            is_listed: rng.hit(0.8),
            needs_quorum: rng.hit(0.2),
            replication: Replication {
                heartbeat_interval: interval,
                suspect_after: interval * 3,
                unhealthy_after: interval * 10,
                // Small batches and windows: many messages, many ways to go wrong.
                batch_bytes: usize::try_from(150 + rng.below(2000)).unwrap_or(150),
                window_bytes: usize::try_from(600 + rng.below(4000)).unwrap_or(600),
                seed,
                ..limits
            },
            recovery: RecoverySettings {
                timeout: Duration::from_secs(3),
                listen: interval,
                retry: Duration::from_millis(500),
                takeover: false,
                // Drawn apart: the other draws of a seed stay what they were.
                requires: match mixed(seed ^ 0x5e9) % 8 {
                    _ if story == Story::Sharing => Requires::Any,
                    0 => Requires::All,
                    1 => Requires::Majority,
                    _ => Requires::Any,
                },
            },
            remember_ids: is_slow.then(|| usize::try_from(4 + rng.below(40)).unwrap_or(4)),
            secondary_interval: interval,
            is_lazy: story == Story::OlderDisks && rng.hit(0.5),
            master_pace: pace,
            secondary_pace: pace,
            max_payload: 1 << 20,
            is_patient: false,
            tells_committed: true,
            shares_journal: story == Story::Sharing,
            salt: seed + 1,
        };
        Self {
            seed,
            story,
            setup,
            clients: usize::try_from(10 + rng.below(50)).unwrap_or(10),
            trouble: Duration::from_secs(5 + rng.below(15)),
            loss: rng.fraction() * 0.3,
            duplication: rng.fraction() * 0.3,
            delay: Duration::from_millis(1 + rng.below(60)),
            write: Duration::from_millis(1 + rng.below(40)),
            rng,
        }
    }
}
