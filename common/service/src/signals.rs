//! Being asked to stop.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// From now on the first SIGTERM, SIGINT or SIGHUP cancels `stop`, and a second one of any of them ends the process at once,
/// with the exit code of a process that the signal has ended: 128 and its number. A SIGHUP that was ignored when the process
/// started (`nohup`) stays ignored.
///
/// Must be called within a tokio runtime.
///
/// # Errors
/// The handlers cannot be registered.
pub fn cancel_on_signal(stop: CancellationToken) -> io::Result<()> {
    let mut signals = Signals {
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
        hangup: match is_hangup_ignored() {
            true => None,
            false => Some(signal(SignalKind::hangup())?),
        },
    };
    tokio::spawn(async move {
        let (name, _) = signals.next().await;
        info!(signal = name, "stopping");
        stop.cancel();
        let (name, number) = signals.next().await;
        warn!(signal = name, "asked again: ending at once");
        std::process::exit(128 + number);
    });
    Ok(())
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Option<Signal>,
}

impl Signals {
    /// The name and the number of the next signal.
    async fn next(&mut self) -> (&'static str, i32) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => ("SIGTERM", SignalKind::terminate().as_raw_value()),
            _ = self.interrupt.recv() => ("SIGINT", SignalKind::interrupt().as_raw_value()),
            _ = hangup => ("SIGHUP", SignalKind::hangup().as_raw_value()),
        }
    }
}

/// Whether whoever started this process has SIGHUP ignored; where the system does not say, it is not.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    is_ignored(&status, SignalKind::hangup().as_raw_value())
}

/// Whether the mask of ignored signals in Linux's `/proc/<pid>/status` has that signal.
fn is_ignored(status: &str, number: i32) -> bool {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (number - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        let status = "Name:\tx\nSigBlk:\tffffffffffffffff\nSigIgn:\t0000000000001001\n";
        assert!(is_ignored(status, 1));
        assert!(!is_ignored(status, 2));
        assert!(is_ignored(status, 13));
        assert!(!is_ignored("", 1));
    }

    #[tokio::test]
    async fn a_signal_sent_before_anybody_waits_is_not_lost() -> io::Result<()> {
        let stop = CancellationToken::new();
        cancel_on_signal(stop.clone())?;
        let sent = std::process::Command::new("kill")
            .args(["-TERM", &std::process::id().to_string()])
            .status()?;
        assert!(sent.success());
        stop.cancelled().await;
        Ok(())
    }
}
