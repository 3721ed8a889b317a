//! The process, in the names that every Prometheus client has for that, and the build.

use std::borrow::Cow;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::param::page_size;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::page::MetricsPage;

/// Which program this is, and since when it runs.
#[derive(Clone, Debug)]
pub struct ProcessInfo {
    role: &'static str,
    node: String,
    version: &'static str,
    started_at: SystemTime,
}

/// What a process takes at one moment. What the system does not tell is left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProcessUsage {
    cpu_seconds: f64,
    resident_bytes: Option<u64>,
    open_fds: Option<u64>,
    max_fds: Option<u64>,
}

impl ProcessInfo {
    /// This process, as it starts: the node `node`, which is a `role` of that version.
    #[must_use]
    pub fn starting(role: &'static str, node: String, version: &'static str) -> Self {
        Self {
            role,
            node,
            version,
            started_at: SystemTime::now(),
        }
    }

    /// Says which program this is, since when, and what it takes, where that is known.
    pub fn write(&self, usage: Option<&ProcessUsage>, page: &mut MetricsPage) {
        let info = vec![
            ("role", Cow::Borrowed(self.role)),
            ("node", Cow::Owned(self.node.clone())),
            ("version", Cow::Borrowed(self.version)),
        ];
        let help = "Which program this is; always 1";
        page.gauges("replog_build_info", help, [(info, 1u64)]);
        let started_at = self.started_at.duration_since(UNIX_EPOCH);
        page.gauge(
            "process_start_time_seconds",
            "When the process started, in seconds since 1970",
            started_at.unwrap_or_default().as_secs_f64(),
        );
        if let Some(usage) = usage {
            usage.write(page);
        }
    }
}

impl ProcessUsage {
    /// What this process takes now. Asks the system, which takes the longer the more descriptors are open: not on a thread that
    /// serves.
    #[must_use]
    pub fn now() -> Self {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        Self {
            cpu_seconds: cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9,
            resident_bytes: resident_bytes(),
            open_fds: open_fds(),
            max_fds: getrlimit(Resource::Nofile).current,
        }
    }

    fn write(&self, page: &mut MetricsPage) {
        page.seconds_counter(
            "process_cpu_seconds_total",
            "Processor time of all threads, in user and in system mode",
            self.cpu_seconds,
        );
        let known = [
            (
                "process_resident_memory_bytes",
                "Memory that is in use",
                self.resident_bytes,
            ),
            (
                "process_open_fds",
                "File descriptors that are open",
                self.open_fds,
            ),
            (
                "process_max_fds",
                "File descriptors that may be open",
                self.max_fds,
            ),
        ];
        for (name, help, value) in known {
            if let Some(value) = value {
                page.gauge(name, help, value);
            }
        }
    }
}

/// `None` where there is no procfs (elsewhere than on Linux).
fn resident_bytes() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * page_size() as u64)
}

/// `None` where there is no procfs. The descriptor that looks is not counted.
fn open_fds() -> Option<u64> {
    let open = fs::read_dir("/proc/self/fd").ok()?.count() as u64;
    Some(open.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn it_says_what_this_process_takes() {
        let before = ProcessUsage::now();
        let open: Vec<fs::File> = (0..50)
            .map(|_| fs::File::open("/dev/null").unwrap())
            .collect();
        let used: u64 = (0..20_000_000u64).fold(1, |a, b| std::hint::black_box(a ^ b));
        let now = ProcessUsage::now();
        assert!(now.cpu_seconds > before.cpu_seconds, "{used}");
        assert!(now.resident_bytes.unwrap() > 1 << 20);
        // Other tests open and close files meanwhile.
        assert!(now.open_fds.unwrap() > open.len() as u64);
        let mut page = MetricsPage::default();
        let info = ProcessInfo::starting("secondary", "a".to_owned(), "1.2.3");
        info.write(Some(&now), &mut page);
        let text = page.text().unwrap();
        for expected in [
            "replog_build_info{role=\"secondary\",node=\"a\",version=\"1.2.3\"} 1\n",
            "\nprocess_start_time_seconds ",
            "\nprocess_cpu_seconds_total ",
            "\nprocess_open_fds ",
        ] {
            assert!(text.contains(expected), "{expected} in {text}");
        }
    }
}
