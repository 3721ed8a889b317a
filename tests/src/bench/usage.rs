//! What the operating system says about a process. Linux only; elsewhere nothing is known.

use std::time::Duration;

/// The kernel counts processor time for user programs in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

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
