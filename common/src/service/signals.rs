//! Being asked to stop.

use std::io;

/// Listens for SIGTERM and SIGINT (Ctrl-C where there are no signals) from now on; the future completes
/// with the name of the first one. Later ones are swallowed: a terminal and a supervisor may both send
/// one, and the second must not cut off the answers to waiting clients.
///
/// Must be called within a tokio runtime.
///
/// # Errors
/// The handlers cannot be registered.
#[cfg(unix)]
pub fn stop_requested() -> io::Result<impl Future<Output = &'static str> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    })
}

/// Listens for Ctrl-C from now on; the future completes at the first one.
///
/// Must be called within a tokio runtime.
///
/// # Errors
/// The handler cannot be registered.
#[cfg(windows)]
pub fn stop_requested() -> io::Result<impl Future<Output = &'static str> + Send + 'static> {
    let mut pressed = tokio::signal::windows::ctrl_c()?;
    Ok(async move {
        pressed.recv().await;
        "Ctrl-C"
    })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_signal_sent_before_anybody_waits_is_not_lost() -> io::Result<()> {
        let stop = stop_requested()?;
        let sent = std::process::Command::new("kill")
            .args(["-TERM", &std::process::id().to_string()])
            .status()?;
        assert!(sent.success());
        assert_eq!(stop.await, "SIGTERM");
        Ok(())
    }
}
