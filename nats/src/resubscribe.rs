//! Making a subscription again that the broker has refused or taken away: the client library would never do so.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::Client;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::nats_link::{Control, Subscription};

/// The first wait before a subject is subscribed to again.
const MIN_DELAY: Duration = Duration::from_millis(500);
/// The longest wait. A broker writes a line into its log for each try that it refuses.
const MAX_DELAY: Duration = Duration::from_secs(10);

/// Subscribes again, with a backoff for each subject, to what comes in on `refused`.
pub(crate) async fn resubscribe(
    client: Client,
    mut refused: mpsc::Receiver<String>,
    control: &mpsc::Sender<Control>,
) {
    let mut retries = Retries::default();
    loop {
        let due = retries.next_due();
        tokio::select! {
            subject = refused.recv() => match subject {
                Some(subject) => retries.on_refused(subject, Instant::now()),
                None => return,
            },
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                for subject in retries.take_due(Instant::now()) {
                    // The client library takes every subject that it has taken before.
                    let Ok(messages) = client.subscribe(subject.clone()).await else {
                        return;
                    };
                    let subscription = Subscription { subject, messages };
                    if control.send(Control::Subscribed(subscription)).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

/// When each refused subject is tried again.
#[derive(Debug, Default)]
struct Retries(BTreeMap<String, Retry>);

#[derive(Debug)]
struct Retry {
    /// The wait before the latest try, or before the one to come.
    delay: Duration,
    state: RetryState,
}

#[derive(Debug)]
enum RetryState {
    /// The subject is to be tried at that moment.
    Waiting { until: Instant },
    /// The subject was tried at that moment. The broker says nothing of a subscription that holds.
    Tried { at: Instant },
}

impl Retries {
    fn on_refused(&mut self, subject: String, now: Instant) {
        let delay = match self.0.get(&subject) {
            // It was tried before that was known.
            Some(Retry {
                state: RetryState::Waiting { .. },
                ..
            }) => return,
            // Refused again, and not after having held for a good while.
            Some(Retry {
                delay,
                state: RetryState::Tried { at },
            }) if now.duration_since(*at) < MAX_DELAY => (*delay * 2).min(MAX_DELAY),
            _ => MIN_DELAY,
        };
        let state = RetryState::Waiting { until: now + delay };
        self.0.insert(subject, Retry { delay, state });
    }

    fn next_due(&self) -> Option<Instant> {
        let waiting = self.0.values().filter_map(|retry| match retry.state {
            RetryState::Waiting { until } => Some(until),
            RetryState::Tried { .. } => None,
        });
        waiting.min()
    }

    /// The subjects whose time has come; they count as tried.
    fn take_due(&mut self, now: Instant) -> Vec<String> {
        let mut due = Vec::new();
        for (subject, retry) in &mut self.0 {
            if matches!(retry.state, RetryState::Waiting { until } if until <= now) {
                retry.state = RetryState::Tried { at: now };
                due.push(subject.clone());
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_doubles_the_wait_and_a_subscription_that_held_begins_anew() {
        let (mut retries, mut now) = (Retries::default(), Instant::now());
        let mut waits = Vec::new();
        for _ in 0..7 {
            retries.on_refused("a".into(), now);
            retries.on_refused("a".into(), now);
            let due = retries.next_due().unwrap();
            assert!(retries.take_due(due - Duration::from_millis(1)).is_empty());
            assert_eq!(retries.take_due(due), ["a"]);
            assert_eq!(retries.next_due(), None);
            waits.push((due - now).as_millis());
            now = due;
        }
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
        now += MAX_DELAY;
        retries.on_refused("a".into(), now);
        assert_eq!(retries.next_due(), Some(now + MIN_DELAY));
        retries.on_refused("b".into(), now - MIN_DELAY);
        assert_eq!(retries.take_due(now), ["b"]);
    }
}
