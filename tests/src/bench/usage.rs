//! What the operating system says about a process. Linux only; elsewhere nothing is known.

use std::time::Duration;

use serde::Serialize;

use super::systems::Process;

/// The kernel counts processor time for user programs in hundredths of a second.
pub const TICK: Duration = Duration::from_millis(10);

/// The memory that a process has in use, in bytes.
#[must_use]
pub fn memory_bytes(pid: Option<i32>) -> Option<u64> {
    status_bytes(pid?, "VmRSS:")
}

/// The most memory that a process has had in use since it started, or since [`forget_peak`].
#[must_use]
pub fn peak_bytes(pid: Option<i32>) -> Option<u64> {
    status_bytes(pid?, "VmHWM:")
}

/// From here on [`peak_bytes`] counts anew, where the system lets us.
pub fn forget_peak(pid: Option<i32>) {
    if let Some(pid) = pid {
        std::fs::write(format!("/proc/{pid}/clear_refs"), "5").ok();
    }
}

fn status_bytes(pid: i32, field: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with(field))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// The processor time that a process has taken so far.
#[must_use]
pub fn cpu(pid: Option<i32>) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid?)).ok()?;
    // `id (name) state …`, and the name may contain anything.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut times = fields.split_whitespace().skip(11);
    let mut next = || times.next()?.parse::<u32>().ok();
    Some(TICK * (next()? + next()?))
}

/// The first child of a process: what a guard stands over.
#[must_use]
pub fn child_of(pid: Option<i32>) -> Option<i32> {
    let pid = pid?;
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

/// The processor time that a process took for something.
#[derive(Clone, Debug, Serialize)]
pub struct Spent {
    /// Its name; several may have the same.
    pub process: String,
    /// In seconds, in steps of a hundredth; none if nothing is known.
    pub cpu_seconds: Option<f64>,
}

/// The processor time of several processes, and of this one, from a moment on.
#[derive(Clone, Debug)]
pub struct Meter {
    before: Vec<(Process, Option<Duration>)>,
    load_before: Option<Duration>,
}

impl Meter {
    /// From now on.
    #[must_use]
    pub fn start(processes: &[Process]) -> Self {
        let before = processes.iter().map(|one| (one.clone(), cpu(one.pid)));
        Self {
            before: before.collect(),
            load_before: cpu(this()),
        }
    }

    /// What each process took since.
    #[must_use]
    pub fn processes(&self) -> Vec<Spent> {
        let spent = self.before.iter().map(|(process, before)| Spent {
            process: process.name.clone(),
            cpu_seconds: since(process.pid, *before),
        });
        spent.collect()
    }

    /// What this process took since: the clients.
    #[must_use]
    pub fn load(&self) -> Option<f64> {
        since(this(), self.load_before)
    }
}

fn since(pid: Option<i32>, before: Option<Duration>) -> Option<f64> {
    let spent = cpu(pid)?.saturating_sub(before?);
    Some(spent.as_secs_f64())
}

/// This process.
#[must_use]
pub fn this() -> Option<i32> {
    i32::try_from(std::process::id()).ok()
}
