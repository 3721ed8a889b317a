//! What the operating system says about a process. Linux only; elsewhere nothing is known.

use std::time::Duration;

/// The kernel counts processor time for user programs in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

/// The memory that a process has in use, in bytes.
#[must_use]
pub fn memory_bytes(pid: Option<i32>) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid?)).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
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
