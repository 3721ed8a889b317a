//! Waiting for a state that nobody announces.

use std::fmt::Display;
use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::time::{Instant, sleep, timeout_at};

const POLL_EVERY: Duration = Duration::from_millis(15);

/// Asks again and again until the answer is `Ok`, and returns what was in it.
///
/// `Err` means "not yet" and carries what was seen instead; the last one is in the message when `deadline` has passed.
/// A single question that hangs is cut off by the deadline too.
///
/// # Errors
/// When the answer is still `Err` after `deadline`.
pub async fn eventually<T, E: Display>(
    what: &str,
    deadline: Duration,
    mut ask: impl AsyncFnMut() -> Result<T, E>,
) -> Result<T> {
    let end = Instant::now() + deadline;
    let mut last = String::from("nothing: the first question was not answered");
    loop {
        match timeout_at(end, ask()).await {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(seen)) => last = format!("{seen:#}"),
            Err(_elapsed) => {}
        }
        if Instant::now() + POLL_EVERY >= end {
            return Err(anyhow!("waited {deadline:?} for {what}; last seen: {last}"));
        }
        sleep(POLL_EVERY).await;
    }
}
